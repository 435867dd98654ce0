"""The real bubblewrap, and thirty ways out of it that must not work."""

from __future__ import annotations

import errno
import os
import selectors
import shlex
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from alfred import checks, errors
from alfred.config import Settings
from alfred.trust import probes, sandbox
from tests.table import table

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is Linux's")
CANARY = "canary-5f2c9"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with keys in it, and ALFRED_HOME in that."""
    user = tmp_path / "user"
    (user / ".ssh").mkdir(parents=True)
    (user / ".ssh" / "id_ed25519").write_text(CANARY)
    (user / ".netrc").write_text(CANARY)
    (user / "project").mkdir()
    (user / "project" / "file.txt").write_text("hello")
    (user / "other").mkdir()
    (user / "other" / "file.txt").write_text(CANARY)
    home = user / ".alfred"
    for place in (
        "workspaces/run1",
        "workspaces/run2",
        "worktrees/w1",
        "state",
        "tenants/t1/workspaces/r",
    ):
        (home / place).mkdir(parents=True)
    (home / ".env").write_text(f"TOKEN={CANARY}")
    (home / "alfred.db").write_text(CANARY)
    (home / "state" / "token").write_text(CANARY)
    (home / "workspaces" / "run2" / "file").write_text(CANARY)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("CANARY_TOKEN", CANARY)
    return user


def run(
    user: Path,
    script: str,
    *,
    workspace: str | Path = ".alfred/workspaces/run1",
    writable: bool = True,
    **options,
) -> subprocess.CompletedProcess[str]:
    argv = sandbox.build(
        ["/bin/sh", "-c", script],
        workspace=user / workspace,
        home=user / ".alfred",
        writable=writable,
        **options,
    )
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _escapes(user: Path, port: int) -> dict[str, str]:
    """Scripts that print something, or leave something behind, when they got out."""
    home = user / ".alfred"
    show = f"grep -r -s -l {CANARY[:-1]}[9]"
    return {
        "read the .env": f"cat {home}/.env",
        "read the database": f"cat {home}/alfred.db",
        "read the token": f"cat {home}/state/token",
        "read another workspace": f"cat {home}/workspaces/run2/file",
        "list alfred's home": f"ls -A {home} | grep -v '^workspaces$'",
        "list the workspaces": f"ls -A {home}/workspaces | grep -v '^run1$'",
        "read a key": f"cat {user}/.ssh/id_ed25519",
        "read .netrc": f"cat {user}/.netrc",
        "read a neighbour's file": f"cat {user}/other/file.txt",
        "search the whole tree": f"{show} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr",
        "climb up": "cat ../run2/file ../../.env ../../../.netrc",
        "climb by /proc": "cat /proc/self/root/../../.env; ls /proc/1/root/root; ls /proc/1/cwd/.. | grep -v run1",
        "open by a link": f"ln -s {home}/.env link && cat link",
        "hard link": f"ln {home}/.env hard && cat hard",
        "read the environment": f"env | {show[:4]} {CANARY[:-1]}[9]",
        "read the first process": f"tr '\\0' '\\n' < /proc/1/environ | grep {CANARY[:-1]}[9]",
        "read every process": f"{show} /proc/[0-9]*/environ",
        "see the parent": f"test -d /proc/{os.getpid()} && readlink /proc/{os.getpid()}/exe",
        "password file": "grep : /etc/shadow /etc/gshadow",
        "host keys": "ls /etc/ssh | grep .",
        "private certificates": "ls /etc/ssl/private | grep .",
        "connect to this machine": f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo out'",
        "resolve a name": "getent hosts example.com",
        "routes": "tail -n +2 /proc/net/route | grep .",
        "docker": "ls /var/run/docker.sock /run/docker.sock",
        "sockets of the session": "ls /run/user /run/dbus /tmp/.X11-unix",
        "devices": "ls /dev | grep -E '^(sd|vd|nvme|kmsg|mem|port|loop|fuse|kvm)'",
        "mount": "mount -t tmpfs none /mnt 2>/dev/null && echo out",
        "remount the system": "mount -o remount,rw,bind /usr 2>/dev/null && echo out",
        "another namespace": "unshare -U true 2>/dev/null && echo out",
        "capabilities": "grep CapEff /proc/self/status | grep -v 0000000000000000",
        "kernel settings": "echo 1 > /proc/sys/kernel/sysrq && echo out",
        "the log of the kernel": "dmesg 2>/dev/null | grep .",
        "write outside": f"echo x > {user}/made; echo x > {home}/made; echo x > /usr/made; echo x > /etc/made",
        "write by /proc": f"echo x > /proc/self/root{user}/made",
        "write by a link": f"ln -s {user}/other/file.txt w && echo x > w",
        "terminal": "test -t 0 && echo out; ls -l /proc/self/fd | grep -E 'pts|tty'",
        "raise limits of memory": "ls /sys/fs/cgroup | grep .",
    }  # fmt: skip


@pytest.mark.parametrize("name", list(_escapes(Path("/x"), 1)))
@linux
@pytest.mark.needs_program("bwrap")
def test_a_way_out_is_closed(user: Path, name: str) -> None:
    before = {p: p.read_bytes() for p in sorted(user.rglob("*")) if p.is_file()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = _escapes(user, listener.getsockname()[1])[name]
        done = run(user, script)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not done.stderr.startswith("bwrap:"), done.stderr
    assert done.stdout.strip() == ""
    assert CANARY not in done.stdout + done.stderr
    inside = user / ".alfred" / "workspaces" / "run1"
    after = {
        p: p.read_bytes()
        for p in sorted(user.rglob("*"))
        if p.is_file() and not p.is_relative_to(inside)
    }
    assert after == before


@linux
@pytest.mark.needs_program("bwrap")
def test_there_are_thirty_ways_and_they_work_without_a_sandbox(user: Path) -> None:
    """So that a probe which could never print anything is not taken for a closed door."""
    assert len(_escapes(user, 1)) >= 30
    open_doors = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name, script in _escapes(user, listener.getsockname()[1]).items():
            if any(word in name for word in ("write", "mount", "whole tree", "settings")):
                continue  # not on the machine that runs the tests
            done = subprocess.run(
                ["/bin/sh", "-c", script],
                capture_output=True,
                text=True,
                errors="replace",
                cwd=user / ".alfred/workspaces/run1",
                timeout=30,
                stdin=subprocess.DEVNULL,
            )
            if done.stdout.strip():
                open_doors.append(name)
    # What needs root, a desktop or docker is not open everywhere; these are.
    assert {
        "read the .env", "read the database", "read the token", "read another workspace", "read a key",
        "list alfred's home", "list the workspaces", "read .netrc", "read a neighbour's file", "climb up",
        "open by a link", "hard link", "read the environment", "read every process", "see the parent",
        "connect to this machine",
    } <= set(open_doors)  # fmt: skip


@linux
@pytest.mark.needs_program("bwrap")
class TestInside:
    def test_the_workspace_is_where_it_was_and_writable_only_on_request(self, user: Path) -> None:
        done = run(user, "pwd; cat file.txt", workspace="project", writable=False)
        assert done.stdout == f"{user}/project\nhello"
        done = run(user, "echo x > file.txt", workspace="project", writable=False)
        assert done.returncode != 0
        assert "Read-only" in done.stderr
        done = run(user, "echo changed > file.txt; mkdir d; echo new > d/new", workspace="project")
        assert done.returncode == 0, done.stderr
        assert (user / "project/file.txt").read_text() == "changed\n"
        assert (user / "project/d/new").read_text() == "new\n"

    def test_the_environment_is_the_list_and_nothing_else(self, user: Path) -> None:
        done = run(user, "env")
        names = {line.partition("=")[0] for line in done.stdout.splitlines()}
        assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "LANG", "TERM"}
        assert f"HOME={sandbox.HOME}" in done.stdout.splitlines()

    def test_home_and_temp_are_empty_writable_and_gone_afterwards(self, user: Path) -> None:
        done = run(
            user, "ls -A $HOME /tmp; echo x > $HOME/a && echo x > /tmp/a && cat $HOME/a /tmp/a"
        )
        assert done.stdout.split() == [f"{sandbox.HOME}:", "/tmp:", *user.parts[2:3], "x", "x"]
        assert run(user, "cat $HOME/a /tmp/a").returncode != 0

    @pytest.mark.parametrize("name", [".git", ".claude", ".github"])
    def test_control_folders_stay_read_only_in_a_writable_workspace(
        self, user: Path, name: str
    ) -> None:
        (user / "project" / name / "hooks").mkdir(parents=True)
        (user / "project" / name / "config").write_text("old")
        script = (
            f"echo x > {name}/config; echo x > {name}/hooks/pre-commit; rm -rf {name}; mv {name} gone; "
            f"mkdir -p {name}/hooks; chmod 777 {name}; ln -s /tmp {name}/l"
        )
        run(user, script, workspace="project")
        assert (user / "project" / name / "config").read_text() == "old"
        assert sorted(p.name for p in (user / "project" / name).rglob("*")) == ["config", "hooks"]

    @pytest.mark.parametrize(
        "name",
        ["AGENTS.md", "claude.md", ".mcp.json", ".env", ".git", "Jenkinsfile", ".gitattributes"],
    )
    def test_control_files_stay_read_only_in_a_writable_workspace(
        self, user: Path, name: str
    ) -> None:
        (user / "project" / name).write_text("old")
        run(
            user,
            f"echo x > {name}; rm -f {name}; mv {name} gone; cp file.txt {name}",
            workspace="project",
        )
        assert (user / "project" / name).read_text() == "old"

    def test_what_is_held_further_down_stays_read_only_and_where_it_is(self, user: Path) -> None:
        for name in ("a/.git/config", "a/b/AGENTS.md"):
            (user / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            (user / "project" / name).write_text("old")
        script = (
            "echo x > a/.git/config; echo x > a/b/AGENTS.md; rm -rf a/.git a/b/AGENTS.md; mv a/.git gone;"
            " cp file.txt a/b/AGENTS.md; ln a/b/AGENTS.md link && echo x > link; echo x > a/b/free"
        )
        run(user, script, workspace="project", held=["a/.git", "a/b/AGENTS.md"])
        for name in ("a/.git/config", "a/b/AGENTS.md"):
            assert (user / "project" / name).read_text() == "old", name
        assert (user / "project" / "a/b/free").read_text() == "x\n", "the folder may be written"

    def test_a_folder_with_more_to_hold_than_can_be_held_is_refused(self, user: Path) -> None:
        for n in range(sandbox.HELD + 1):
            (user / "project" / f".env.{n}").touch()
        with pytest.raises(errors.PathRefused, match=r"301 files and folders .* at most 300"):
            run(user, "true", workspace="project")
        assert run(user, "true", workspace="project", writable=False).returncode == 0

    @pytest.mark.parametrize("most", [100, 200])
    def test_the_kernel_counts_what_a_plain_user_starts_in_the_sandbox(
        self, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        monkeypatch.setattr(sandbox, "PROCESSES", most)
        plain: dict[str, Any] = (
            {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        with tempfile.TemporaryDirectory(prefix="alfred-crowd-") as place:
            Path(place).chmod(0o755)
            crowd = "for i in $(seq 300); do sleep 5 & echo; done"  # bounded, and over by itself
            argv = sandbox.build(
                ["/bin/sh", "-c", crowd], workspace=Path(place), home=Path(place) / "home"
            )
            done = subprocess.run(argv, capture_output=True, text=True, cwd="/", env={}, **plain)
        assert most // 2 < done.stdout.count("\n") < most
        assert "fork" in done.stderr

    def test_a_git_file_that_points_elsewhere_mounts_nothing(self, user: Path) -> None:
        (user / "project" / ".git").write_text(f"gitdir: {user}/.ssh\n")
        done = run(user, f"cat {user}/.ssh/id_ed25519", workspace="project")
        assert done.returncode != 0
        assert CANARY not in done.stdout

    @pytest.mark.parametrize("place", ["state/alfred", ".alfred", ".claude/alfred"])
    def test_alfreds_home_is_covered_where_it_lies_in_the_workspace(
        self, user: Path, place: str
    ) -> None:
        home = user / "project" / place
        home.mkdir(parents=True)
        (home / ".env").write_text(CANARY)
        argv = sandbox.build(
            ["/bin/sh", "-c", f"ls -A {place}; cat {place}/.env; cat file.txt"],
            workspace=user / "project",
            home=home,
            writable=True,
        )
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.stdout == "hello"

    def test_further_files_are_readable_under_their_own_path_and_never_writable(
        self, user: Path
    ) -> None:
        extra = user / "other" / "file.txt"
        done = run(user, f"cat {extra}; echo x > {extra}; ls {user}/other", readable=[extra])
        assert done.stdout == f"{CANARY}file.txt\n"
        assert extra.read_text() == CANARY

    @pytest.mark.parametrize(
        "script",
        [
            "echo x > data/in/a.txt",
            "truncate -s 0 data/in/a.txt",
            "rm -f data/in/a.txt; echo x > data/in/a.txt",
            "mv data/in/a.txt data/in/b.txt; echo x > data/in/a.txt",
            "cp file.txt new; mv -f new data/in/a.txt",
            "ln -f file.txt data/in/a.txt",
            "ln -sf ../../file.txt data/in/a.txt",
            "ln data/in/a.txt hard; echo x > hard",
            "chmod 777 data/in/a.txt; touch -d 1970-01-01 data/in/a.txt",
            "mv data/in away; mkdir data/in; echo x > data/in/a.txt",
            "mv data away; mkdir -p data/in; echo x > data/in/a.txt",
            "mv -T --exchange data other; rm -rf data; ln -s other data",
            "rm -rf data; mkdir -p data/in; echo x > data/in/a.txt",
        ],
    )
    def test_a_file_to_be_read_in_a_writable_workspace_stays_what_and_where_it_is(
        self, user: Path, script: str
    ) -> None:
        given = user / "project" / "data" / "in" / "a.txt"
        given.parent.mkdir(parents=True)
        given.write_text("given")
        (user / "project" / "other").mkdir()
        before = given.stat()
        done = run(user, f"{script}; echo end > end", workspace="project", readable=[given])
        assert not done.stderr.startswith("bwrap:"), done.stderr
        assert (user / "project" / "end").read_text() == "end\n"
        assert given.read_text() == "given"
        after = given.lstat()
        assert (after.st_ino, after.st_mode, after.st_mtime) == (
            before.st_ino,
            before.st_mode,
            before.st_mtime,
        )

    def test_a_file_to_be_read_is_not_written_by_another_of_its_names(self, user: Path) -> None:
        given, name = user / "other" / "file.txt", user / "project" / "deep" / "er" / "name"
        name.parent.mkdir(parents=True)
        os.link(given, name)
        for script in ("echo x >> deep/er/name", "mv deep away; echo x >> away/er/name"):
            done = run(user, f"{script}; echo end", workspace="project", readable=[given])
            assert done.stdout == "end\n", done.stderr
            assert given.read_text() == CANARY

    def test_where_another_of_its_names_could_be_hidden_nothing_runs(
        self, user: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given, hidden = user / "other" / "file.txt", user / "project" / "hidden"
        hidden.mkdir()
        os.link(given, hidden / "name")
        listed = os.scandir

        def closed(path: str) -> object:
            if str(path) == str(hidden):  # a chmod would hide nothing from root
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return listed(path)

        monkeypatch.setattr(os, "scandir", closed)
        with pytest.raises(errors.PathRefused, match="hard links"):
            run(user, "true", workspace="project", readable=[given])

    def test_around_a_file_to_be_read_the_workspace_stays_writable(self, user: Path) -> None:
        given = user / "project" / "data" / "in" / "a.txt"
        given.parent.mkdir(parents=True)
        given.write_text("given")
        done = run(
            user,
            "cat data/in/a.txt; cd data/in; echo x > b.txt && mv b.txt c.txt && mv c.txt ../..",
            workspace="project",
            readable=[given],
        )
        assert (done.stdout, done.returncode) == ("given", 0), done.stderr
        assert (user / "project" / "c.txt").read_text() == "x\n"

    def test_a_file_to_be_read_does_not_open_the_control_folder_that_it_lies_in(
        self, user: Path
    ) -> None:
        given = user / "project" / ".git" / "info" / "exclude"
        given.parent.mkdir(parents=True)
        given.write_text("given")
        script = "cat .git/info/exclude; echo x > .git/info/attributes; echo x > .git/config"
        assert run(user, script, workspace="project", readable=[given]).stdout == "given"
        assert [p.name for p in (user / "project" / ".git").rglob("*")] == ["info", "exclude"]

    def test_a_file_to_be_read_beside_alfreds_home_does_not_open_it(self, user: Path) -> None:
        home = user / "project" / "state" / "alfred"
        (home / "workspaces" / "run1").mkdir(parents=True)
        (home / ".env").write_text(CANARY)
        beside, within = home.parent / "a.txt", home / "workspaces" / "run1" / "b.txt"
        for given in (beside, within):
            given.write_text("given\n")
        files = "state/a.txt state/alfred/workspaces/run1/b.txt"
        script = f"ls -A state/alfred; cat {files} state/alfred/.env; for f in {files}; do echo x > $f; done"
        argv = sandbox.build(
            ["/bin/sh", "-c", script],
            workspace=user / "project",
            home=home,
            writable=True,
            readable=[beside, within],
        )
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.stdout == "workspaces\ngiven\ngiven\n", done.stderr
        assert [given.read_text() for given in (beside, within)] == ["given\n", "given\n"]
        assert sorted(p.name for p in home.iterdir()) == [".env", "workspaces"]

    def test_a_folder_to_be_read_around_the_workspace_does_not_cover_it(self, user: Path) -> None:
        (user / "other" / "work").mkdir()
        done = run(
            user,
            "cat ../file.txt; echo x > made; echo x > ../made",
            workspace="other/work",
            readable=[user / "other"],
        )
        assert done.stdout == CANARY
        assert (user / "other" / "work" / "made").read_text() == "x\n"
        assert not (user / "other" / "made").exists()

    def test_the_exit_code_of_the_command_comes_through(self, user: Path) -> None:
        assert run(user, "exit 37").returncode == 37
        assert run(user, "kill -9 $$").returncode == 137

    def test_ordinary_tools_work(self, user: Path) -> None:
        done = run(
            user, "ls / >/dev/null && sort /etc/passwd >/dev/null && date >/dev/null && echo fine"
        )
        assert done.stdout == "fine\n", done.stderr

    def test_a_command_with_odd_arguments_is_passed_as_it_is(self, user: Path) -> None:
        odd = ["--", "-x", "a b", "$HOME", "`id`", "\n", "", "--bind", "/"]
        argv = sandbox.build(
            ["/usr/bin/printf", "--", "[%s]", *odd],
            workspace=user / "project",
            home=user / ".alfred",
        )
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.stdout == "".join(f"[{arg}]" for arg in odd)

    def test_it_dies_with_the_process_that_started_it(self, user: Path) -> None:
        # bubblewrap's own first process binds itself to its parent only when the command has begun; that it
        # reaps an orphan shows that it has.
        bound = "orphan=$(sh -c 'true & echo $!'); while kill -0 $orphan 2>/dev/null; do :; done"
        argv = sandbox.build(
            ["/bin/sh", "-c", f"{bound}; echo up; (setsid sleep 40 &); sleep 40"],
            workspace=user / "project",
            home=user / ".alfred",
        )
        # A shell starts it and is killed; the pipe ends only when everything within is gone.
        starter = subprocess.Popen(
            ["/bin/sh", "-c", f"{shlex.join(argv)} & wait"], stdout=subprocess.PIPE, bufsize=0
        )
        with starter:
            assert starter.stdout is not None
            assert starter.stdout.read(3) == b"up\n"
            starter.kill()
            with selectors.DefaultSelector() as reads:
                reads.register(starter.stdout, selectors.EVENT_READ)
                ended = reads.select(20)
            assert ended, "it is still running"
            assert starter.stdout.read() == b""

    def test_where_it_starts_may_be_below_the_workspace_and_nowhere_else(self, user: Path) -> None:
        (user / "project" / "sub").mkdir()
        assert run(user, "pwd", workspace="project", cwd="sub").stdout == f"{user}/project/sub\n"
        for cwd in ("..", "../other", "/etc", "sub/../.."):
            with pytest.raises(errors.PathRefused):
                run(user, "pwd", workspace="project", cwd=cwd)


# ---- what may be mounted


@pytest.fixture
def linked(user: Path) -> Path:
    """The user's home with links to what would open too much."""
    (user / "to-ssh-parent").symlink_to(user)
    (user / "to-home").symlink_to(user / ".alfred")
    (user / ".alfred/workspaces/to-state").symlink_to("../state")
    return user


@table([
        "/", "/usr", "/usr/local/bin", "/bin", "/lib", "/etc", "/etc/ssl", "/proc", "/proc/self", "/sys", "/dev", "/dev/shm",
        "/boot", "/run", "/var", "/var/run", "/home", "/tmp", "{user}", "{user}/..", "{user}/project/..",
        "{home}", "{home}/", "{home}/workspaces", "{home}/worktrees", "{home}/state", "{home}/.env",
        "{home}/alfred.db", "{home}/tenants", "{home}/tenants/t1", "{home}/tenants/t1/workspaces",
        "{home}/workspaces/run1/../../state", "{user}/missing", "{user}/to-ssh-parent", "{user}/to-home",
        "{home}/workspaces/to-state",
    ])  # fmt: skip
def test_a_place_that_would_open_too_much_is_not_mounted(linked: Path, path: str) -> None:
    user = linked
    place = Path(path.replace("{user}", str(user)).replace("{home}", str(user / ".alfred")))
    if not place.exists() and "missing" not in path:
        place = Path("/")  # a folder that this system does not have
    with pytest.raises(errors.PathRefused, match="cannot be given to the sandbox"):
        sandbox.mountable(place, home=user / ".alfred")


@pytest.mark.parametrize(
    "path",
    [
        "{user}/project", "{user}/other/file.txt", "{home}/workspaces/run1", "{home}/worktrees/w1",
        "{home}/tenants/t1/workspaces/r", "{user}/link",
    ],
)  # fmt: skip
def test_a_project_a_workspace_and_a_worktree_are_mounted_by_their_real_path(
    user: Path, path: str
) -> None:
    (user / "link").symlink_to("project")
    place = Path(path.replace("{user}", str(user)).replace("{home}", str(user / ".alfred")))
    assert sandbox.mountable(place, home=user / ".alfred") == place.resolve()


@linux
@pytest.mark.needs_program("bwrap")
def test_a_file_of_the_system_is_read_as_it_is_there_anyway(user: Path) -> None:
    readable = [Path("/etc/passwd"), Path("/usr/bin/env"), Path("/etc/shadow")]
    done = run(user, "grep -c root: /etc/passwd; cat /etc/shadow", readable=readable)
    assert done.stdout == "1\n"


@linux
@pytest.mark.needs_program("bwrap")
def test_a_file_is_no_workspace(user: Path) -> None:
    with pytest.raises(errors.PathRefused, match="it is no folder"):
        run(user, "true", workspace="project/file.txt")


# ---- what there is


@pytest.fixture
def asked_anew():
    sandbox.available.cache_clear()
    yield
    sandbox.available.cache_clear()


@linux
@pytest.mark.needs_program("bwrap")
def test_bubblewrap_is_found_and_tried(asked_anew: None) -> None:
    found = sandbox.available()
    assert found.kind == "bubblewrap"
    assert Path(found.program).name == "bwrap"


@linux
def test_without_bubblewrap_there_is_none_and_nothing_is_built(
    asked_anew: None, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda *a, **k: None)
    found = sandbox.available()
    assert found.kind is None
    assert "not installed" in found.reason
    with pytest.raises(errors.ConfigError, match="There is no sandbox") as caught:
        run(user, "true")
    assert "sandbox: off" in str(caught.value.next)


@linux
@pytest.mark.parametrize(
    "script", ["echo 'bwrap: No permissions' >&2; exit 1", "exit 1", "exec /missing"]
)
def test_a_bubblewrap_that_does_not_work_is_none(
    asked_anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda *a, **k: str(program))
    found = sandbox.available()
    assert found.kind is None
    assert "cannot make a sandbox" in found.reason


@linux
@pytest.mark.parametrize(("lacks", "sized"), [("--disable-userns", True), ("--size", False)])
def test_an_older_bubblewrap_is_used_without_the_option_that_it_lacks(
    asked_anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str, sized: bool
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{lacks}*) exit 1;; esac\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda *a, **k: str(program))
    found = sandbox.available()
    assert (found.kind, found.options, found.sized) == ("bubblewrap", (), sized)


# ---- probes


@linux
@pytest.mark.needs_program("bwrap")
def test_all_probes_hold_and_leave_nothing_behind(user: Path) -> None:
    home = user / ".alfred"
    before = sorted(home.rglob("*"))
    results = probes.probe(home)
    assert len(results) >= 10
    assert [result for result in results if not result.held] == []
    assert sorted(home.rglob("*")) == before


def test_a_home_that_is_the_root_missing_or_nobodys_is_not_read_by_a_probe(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probes._own(user / "elsewhere")
    for home in ("/", str(user / "missing")):
        monkeypatch.setenv("HOME", home)
        assert probes._own(user / "elsewhere") == []


@linux
def test_every_probe_can_fail(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any sandbox each of them gets what it tries to get."""
    monkeypatch.setattr(sandbox, "build", lambda command, **kwargs: list(command))
    needs_root = {"write into the system", "read the passwords of the system"}
    held = {result.name for result in probes.probe(user / ".alfred") if result.held}
    assert held <= (needs_root if os.geteuid() else set())


@linux
def test_a_probe_that_could_not_be_made_does_not_count_as_held(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "build", lambda command, **kwargs: ["/missing/bwrap"])
    assert not any(result.held for result in probes.probe(user / ".alfred"))
    script = "echo 'bwrap: No permissions' >&2; exit 1"
    monkeypatch.setattr(sandbox, "build", lambda command, **kwargs: ["/bin/sh", "-c", script])
    assert not any(result.held for result in probes.probe(user / ".alfred"))


@pytest.mark.parametrize("held", [True, False])
def test_doctor_calls_the_sandbox_well_only_when_every_probe_held(
    user: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: sandbox.Available("bubblewrap", "", "/x"))
    tried = [probes.Probe("one", True, ""), probes.Probe("other", held, "it was possible")]
    monkeypatch.setattr(probes, "probe", lambda home: tried)
    found = list(checks.sandbox(user / ".alfred", Settings(), None))
    assert [finding.level for finding in found] == ["ok" if held else "error"]


# ---- macOS: built, not run


def test_the_profile_denies_first_and_quotes_paths(user: Path) -> None:
    odd = user / 'a "quoted" \\ name'
    odd.mkdir()
    text = sandbox.profile(odd, home=user / ".alfred", writable=True)
    lines = text.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert "(deny network*)" in lines
    assert f'(subpath "{user}/a \\"quoted\\" \\\\ name")' in text
    assert text.count("(") == text.count(")")
    assert "file-write*" not in "".join(
        line for line in sandbox.profile(odd, home=user / ".alfred").splitlines() if str(odd)[:5] in line and "allow" in line
    )  # fmt: skip


def test_the_profile_keeps_a_file_to_be_read_after_the_workspace_was_opened(user: Path) -> None:
    given = user / "project" / "data" / "a.txt"
    lines = sandbox.profile(
        user / "project", home=user / ".alfred", writable=True, readable=[given]
    ).splitlines()
    opening = next(
        n for n, line in enumerate(lines) if "(allow file-write*" in line and "project" in line
    )
    kept = [n for n, line in enumerate(lines) if "deny" in line and f'"{given}"' in line]
    pinned = lines.index(f'(deny file-write-unlink (literal "{given.parent}"))')
    assert min(*kept, pinned) > opening


def test_the_profile_closes_alfreds_home_after_what_holds_it_and_before_what_lies_in_it(
    user: Path,
) -> None:
    home = user / ".alfred"
    lines = sandbox.profile(home / "workspaces/run1", home=home, writable=True).splitlines()
    closing = next(n for n, line in enumerate(lines) if f'"{home}"' in line and "deny" in line)
    opening = next(n for n, line in enumerate(lines) if "run1" in line and "allow" in line)
    assert closing < opening
    inner = user / "project" / "alfred"
    lines = sandbox.profile(user / "project", home=inner, writable=True).splitlines()
    last = max(n for n, line in enumerate(lines) if f'"{inner}"' in line and "deny" in line)
    assert last > max(n for n, line in enumerate(lines) if "(allow" in line)
