"""What is never run, even if a person approves it, and that mentioning it is not doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.actions import Risk, classify_command
from alfred.actions import forbidden as forbidding
from alfred.actions.risk import forbidden
from tests.table import table

FORBIDDEN = [
    # the root folder, in every spelling
    "rm -rf /",
    "rm -fr /",
    "rm -r -f -- /",
    "rm --recursive --force /",
    "rm -rf //",
    "rm -rf /./",
    "rm -rf /../",
    "rm -rf /tmp/..",
    "rm -rf /*",
    "rm -rf /.*",
    "rm -rf x --no-preserve-root",
    "/bin/rm -rf /",
    "r\\m -rf /",
    "'rm' -rf /",
    '"rm" "-rf" "/"',
    "rm -r\\\nf /",
    # home
    "rm -rf ~",
    "rm -rf ~/",
    "rm -rf ~/*",
    "rm -rf $HOME",
    'rm -rf "$HOME"',
    "rm -rf ${HOME}/",
    'rm -rf "${HOME}"/*',
    "rm -rf /home",
    "rm -rf /home/me",
    "rm -rf /home/me/.",
    "rm -rf /home/other",
    "rm -rf /Users/me",
    "rm -rf /root",
    # system folders
    "rm -rf /etc",
    "rm -rf /usr /var",
    "rm -rf /usr/bin",
    "rm -rf /usr/lib/x86_64-linux-gnu",
    "rm -rf /boot/*",
    "rm -rf /{bin,etc}",
    "rm -rf /lib64/",
    "rmdir /home",
    # behind wrappers
    "sudo rm -rf /",
    "sudo -n -u root rm -rf /",
    "doas rm -rf /",
    "env rm -rf /",
    "env FOO=1 rm -rf /",
    "FOO=1 rm -rf /",
    "nice -n 5 rm -rf /",
    "timeout 5 rm -rf /",
    "nohup rm -rf / &",
    "time rm -rf /",
    "exec rm -rf /",
    "command rm -rf /",
    "busybox rm -rf /",
    "coproc rm -rf /",
    "ssh host rm -rf /",
    "ssh host 'rm -rf /'",
    "docker exec c rm -rf /",
    "sudo env nice timeout 3 rm -rf /",
    # in text for another shell
    "bash -c 'rm -rf /'",
    'sh -c "rm -rf ~"',
    "bash -lc 'cd /tmp; rm -rf /'",
    "bash -c \"bash -c 'rm -rf /'\"",
    "sudo bash -c 'rm -rf /*'",
    "eval rm -rf /",
    'eval "rm -rf /"',
    "su -c 'rm -rf /'",
    "trap 'rm -rf /' EXIT",
    "alias x='rm -rf /'; x",
    'echo "rm -rf /" | sh',
    "echo 'rm -rf /' | sudo bash",
    "printf 'rm -rf /' | bash -s",
    "echo 'rm -rf /' > x.sh; bash x.sh",
    "bash <<< 'rm -rf /'",
    "bash <<EOF\nrm -rf /\nEOF",
    "cat <<'EOF' | sh\nls\nrm -rf /\nEOF",
    # anywhere in a script
    "echo hi; rm -rf /",
    "ls && rm -rf / || true",
    "true | rm -rf /",
    "(rm -rf /)",
    "{ rm -rf /; }",
    "if true; then rm -rf /; fi",
    "while true; do rm -rf /; done",
    "for x in 1; do rm -rf /; done",
    "f() { rm -rf /; }; f",
    "echo $(rm -rf /)",
    "echo `rm -rf /`",
    "cat <(rm -rf /)",
    "[[ -n $(rm -rf /) ]]",
    # from somewhere else
    "echo / | xargs rm -rf",
    "echo / | xargs -I{} rm -rf {}",
    "find / -print0 | xargs -0 rm -rf",
    "find / -delete",
    "find ~ -delete",
    "find / -type f -delete",
    "find /home/me -exec rm -rf {} +",
    "find / -exec sh -c 'rm -rf \"$1\"' _ {} \\;",
    "cd / && rm -rf *",
    "cd / && rm -rf .",
    "cd ~; rm -rf ./*",
    "cd /usr/share && rm -rf ../bin",
    # through variables and expansions that the text itself makes known
    "D=/; rm -rf $D",
    'D=/; rm -rf "${D}"',
    "X=rm; $X -rf /",
    "rm${IFS}-rf${IFS}/",
    "rm -rf $(echo /)",
    "rm -rf ${X:-/}",
    "rm -rf $'/'",
    # devices
    "mkfs /dev/sda1",
    "mkfs.ext4 /dev/sda1",
    "mkfs.ext4 -F /dev/nvme0n1",
    "mkfs -t ext4 $DEV",
    "sudo mkfs.xfs /dev/vdb",
    "wipefs -a /dev/sda",
    "dd if=/dev/zero of=/dev/sda",
    "dd of=/dev/nvme0n1 if=x bs=1M",
    "sudo dd if=x of=/dev/disk2",
    "cat x > /dev/sda",
    "echo x >> /dev/sdb1",
    "cp x /dev/sda",
    "tee /dev/sda < x",
    "shred /dev/sda",
    "sgdisk -Z /dev/sda",
    # fork bombs
    ":(){ :|:& };:",
    ":(){ :|: & }; :",
    "bomb() { bomb | bomb & }; bomb",
    "f(){ f & f & }; f",
    "function b { b | b & }; b",
    "bash -c ':(){ :|:& };:'",
    "$0 & $0 &",
    "$0|$0&",
    "python -c 'import os\nwhile True: os.fork()'",
    "perl -e 'fork while fork'",
    # other languages
    "python3 -c \"import shutil; shutil.rmtree('/')\"",
    "python3 -c \"import os; os.system('rm -rf /')\"",
    'python3 -c \'import subprocess; subprocess.run(["rm","-rf","/"])\'',
    "python3 -c \"import shutil, os; shutil.rmtree(os.path.expanduser('~'))\"",
    "python3 -c \"import shutil, pathlib; shutil.rmtree(pathlib.Path('/etc'))\"",
    'node -e \'require("fs").rmSync("/", {recursive:true})\'',
    "perl -e 'system(\"rm -rf /\")'",
    "ruby -e 'FileUtils.rm_rf(\"/home/me\")'",
    'python <<EOF\nimport os; os.system("rm -rf /")\nEOF',
    # the host
    "shutdown",
    "shutdown -h now",
    "sudo shutdown -r +5",
    "reboot",
    "/sbin/reboot",
    "poweroff",
    "halt -f",
    "init 0",
    "telinit 6",
    "systemctl poweroff",
    "systemctl reboot -i",
    "sudo systemctl isolate poweroff.target",
    "echo b > /proc/sysrq-trigger",
    "kill -9 -1",
    "kill -1 -1",
    "kill -9 1",
    "kill -- -1",
    # emptied by other means
    "mv / x",
    "mv ~ /dev/null",
    "rsync -a --delete empty/ /",
    # what cannot be parsed
    "rm -rf / 'unclosed",
    "rm -rf / )",
    "if rm -rf ~",
    "((rm -rf /",
    "[[ rm -rf /",
    "f() rm -rf ~",
    "for x in; rm -rf $HOME",
    "done rm -rf /",
    "x \ud800; rm -rf /",
    # one step further: loops, what a shell or `find` is given, patterns, other homes
    "for d in / ; do rm -rf $d; done",
    'for d in etc usr; do rm -rf "/$d"; done',
    "for d in a b; do for e in etc; do rm -rf /$e; done; done",
    "bash -c 'rm -rf \"$0\"' /",
    "sh -c 'rm -rf \"$1\"' x /",
    "bash -ec 'rm -rf \"$1\"' x /",
    "bash -c 'rm -rf \"$@\"' x a /",
    "sh -c 'rm -rf $*' x /",
    "bash -c 'for one; do rm -rf \"$one\"; done' x /",
    'set -- /; rm -rf "$1"',
    'set -- a /; rm -rf "$@"',
    "cd /; rm -rf $PWD",
    'cd /; rm -rf "$(pwd)"',
    "rm -rf `printf /`",
    "find / ! -name x -delete",
    "find / -not -iname x -exec rm -rf {} +",
    "find / -name x -o -delete",
    "find / -name x -delete -o -type f -delete",
    "find / \\( -name x -o -true \\) -delete",
    "find ~ ! -empty -delete",
    "find . -exec sh -c 'rm -rf /' \\;",
    "find . -exec find / -delete \\;",
    "find / -name '*' -delete",
    "find ~ -path '/*' -delete",
    "awk 'BEGIN { system(\"rm -rf /\") }'",
    "rm -rf /[a-z]*",
    "rm -rf /u*",
    "rm -rf /us?",
    "rm -rf ~/{*,.*}",
    "rm -rf ~root",
    "rm -rf ~other/",
    "echo o | tee /proc/sysrq-trigger",
    "cp x /proc/sysrq-trigger",
    "hdparm --user-master u --security-erase x /dev/sda",
    "nvme format /dev/nvme0n1",
    "kexec -e",
]

ALLOWED = [
    # mentioning is not doing
    'grep "rm -rf /" notes',
    'echo "rm -rf /"',
    'git commit -m "never rm -rf / again"',
    "git log --grep='fork bomb :(){ :|:& };:'",
    "grep ':(){ :|:& };:' x",
    "man shutdown",
    "which reboot",
    "apt install reboot-notifier",
    "python -c 'print(\"shutdown complete now\")'",
    "python manage.py halt",
    "systemctl status reboot.target",
    # near, and not it
    "rm -rf build",
    "rm -rf ./x",
    "rm -rf /tmp/x",
    "rm -rf ~/projects/x",
    "rm /etc/hosts",
    "rm -rf /var/log/app",
    "rm -rf /opt/myapp",
    "rm -rf /usr/local/share/myapp",
    "rm -rf /etc/nginx/sites-enabled/old",
    "dd if=/dev/sda of=disk.img",
    "dd if=x of=/dev/null",
    "mkfs.ext4 disk.img",
    "mkfs.ext4 --help",
    "cat /dev/sda",
    "parted -l",
    "shutdown -c",
    "kill -9 1234",
    "kill -1 1234",
    "kill 4321",
    "f() { ls; }; f",
    "find / -name x",
    "find . -delete",
    "find / -name '*.pyc' -delete",
    "find / -name rm -exec ls {} +",
    "find . -exec grep -l 'rm -rf /' {} +",
    "for d in a b; do rm -rf $d; done",
    "for f in /etc/*; do cat $f; done",
    "sh -c 'ls \"$1\"' x /",
    "find / -name x -o -name y -delete",
    "find / -name x -print -o -empty -delete",
    'set -- build; rm -rf "$@"',
    "rm -rf $PWD/build",
    "awk '/rm -rf/' log",
    "awk '{ print $1 }' /etc/hosts",
    "rm -rf /tmp/a*",
    "rm -rf /opt/app-*",
    "rm -rf ~other/x",
    "cat /proc/sysrq-trigger",
    "hdparm -I /dev/sda",
    "nvme list",
    "cp x /tmp",
    "echo x > /dev/null",
    "ls / | head",
    "mv x y",
    "bash test.sh",
    "echo a; bash run.sh",
    "",
]


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@table(FORBIDDEN)
def test_what_destroys_the_machine_is_never_run(text: str) -> None:
    assert forbidden(text) is not None


@table(FORBIDDEN)
def test_what_is_forbidden_is_also_high(text: str) -> None:
    assert classify_command(text) is Risk.HIGH


@table(ALLOWED)
def test_what_only_looks_like_it_is_left_to_the_gate(text: str) -> None:
    assert forbidden(text) is None


def test_relative_paths_are_resolved_from_where_the_command_starts(tmp_path: Path) -> None:
    assert forbidden("rm -rf .", cwd="/") is not None
    assert forbidden("rm -rf ../../..", cwd="/srv/app/src") is not None
    assert forbidden("rm -rf .", cwd=tmp_path) is None


def test_a_very_long_text_is_looked_at_from_both_ends() -> None:
    filler = "echo x\n" * 200_000
    assert forbidden(f"{filler}rm -rf /") is not None
    assert forbidden(f"rm -rf /\n{filler}") is not None


def test_a_long_loop_is_not_read_as_often_as_it_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    at = forbidding._Look.at

    def counted(look: Any, text: str, depth: int) -> str | None:
        read.append(len(text))
        return at(look, text, depth)

    monkeypatch.setattr(forbidding._Look, "at", counted)
    filler = "echo x; " * 3_000
    assert forbidden(f"for d in {'a ' * 60}; do {filler} done") is None
    assert len(read) > 1 and sum(read) < 100_000
    assert forbidden(f"for d in etc usr; do {filler} rm -rf /$d; done") is not None


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200) | st.text("rm -f/~*'\"$(){}|&;<>\\\n`!#[]", max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    assert forbidden(text) is None or isinstance(forbidden(text), str)


@given(
    st.sampled_from([t for t in FORBIDDEN if "\n" not in t]),
    st.sampled_from(["ls", "cat a b", "true"]),
)
@settings(max_examples=80, deadline=None)
def test_another_command_before_or_behind_does_not_hide_it(text: str, other: str) -> None:
    # behind a newline: a text that cannot be parsed may end inside of a quote
    assert forbidden(f"{other}; {text}") is not None
    assert forbidden(f"{text}\n{other}") is not None
