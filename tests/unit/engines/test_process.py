"""A program ends with everything that it started; its output comes in pieces of any size."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from alfred import errors
from alfred.engines import process

ENV = {"PATH": os.environ["PATH"]}
BOTH = pytest.mark.parametrize("guard", [False, True], ids=["plain", "guarded"])


def run(command: str, tmp_path: Path, **more: Any) -> tuple[process.Ended, bytes]:
    said = bytearray()
    given: dict[str, Any] = {"cwd": tmp_path, "env": ENV, "timeout": 60, "out": said.extend}
    return process.run(["sh", "-c", command], **given | more), bytes(said)  # type: ignore[arg-type]


def wait_for(what: Callable[[], bool]) -> None:
    """Looks again and again; a test that never sees it is ended by the suite's own time limit."""
    seen = threading.Event()
    while not what():
        seen.wait(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@BOTH
@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_the_exit_code_is_told(tmp_path: Path, code: int, guard: bool) -> None:
    assert run(f"exit {code}", tmp_path, guard=guard)[0] == process.Ended(code, "exit")


def test_a_signal_is_told(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path)[0].code == -9
    assert run("kill -9 $$", tmp_path, guard=True)[0].code == 137


@BOTH
def test_output_of_any_size_and_shape_arrives_whole(tmp_path: Path, guard: bool) -> None:
    ended, said = run("head -c 3000000 /dev/zero; echo end", tmp_path, guard=guard)
    assert ended.code == 0
    assert said == bytes(3_000_000) + b"end\n"


def test_the_two_outputs_are_told_apart_when_asked(tmp_path: Path) -> None:
    err = bytearray()
    _, said = run("echo out; echo err >&2", tmp_path, err=err.extend)
    assert (said, bytes(err)) == (b"out\n", b"err\n")
    assert run("echo out; echo err >&2", tmp_path)[1] == b"out\nerr\n"


def test_stdin_is_what_was_given_and_then_ends(tmp_path: Path) -> None:
    assert run("cat", tmp_path, stdin=b"x" * 300_000)[1] == b"x" * 300_000
    assert run("cat", tmp_path)[1] == b""


@BOTH
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_stdin_may_be_a_pipe_of_any_size_while_output_comes(
    tmp_path: Path, size: int, guard: bool
) -> None:
    given = b"x" * size
    ended, said = run(
        "test -p /dev/stdin && exec dd bs=5000 status=none",
        tmp_path,
        stdin=given,
        piped=True,
        guard=guard,
    )
    assert (ended.code, said == given) == (0, True)


@BOTH
@pytest.mark.parametrize("command", ["exit 3", "exec 0<&-; exit 3", "read -r _; exit 3"])
def test_a_program_need_not_read_its_pipe(tmp_path: Path, command: str, guard: bool) -> None:
    ended, _ = run(command, tmp_path, stdin=b"line\n" * 500_000, piped=True, guard=guard)
    assert ended == process.Ended(3, "exit")


@BOTH
def test_the_environment_is_exactly_the_one_given(
    tmp_path: Path, guard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_CANARY", "x")
    _, said = run("env", tmp_path, guard=guard)
    names = {line.split("=")[0] for line in said.decode().splitlines()}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}


@BOTH
def test_no_descriptor_of_ours_is_open_in_it(tmp_path: Path, guard: bool) -> None:
    with (tmp_path / "secret").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        _, said = run("ls -l /proc/self/fd", tmp_path, guard=guard)
    assert b"secret" not in said
    assert len([line for line in said.splitlines() if b" -> " in line]) <= 4


@BOTH
def test_it_is_ended_when_its_time_is_over(tmp_path: Path, guard: bool, clock: Any) -> None:
    said = bytearray()

    def out(chunk: bytes) -> None:
        said.extend(chunk)
        clock.advance(61)

    ended, _ = run("echo begun; sleep 600", tmp_path, out=out, guard=guard)
    assert ended.why == "timeout"
    assert ended.code != 0
    assert said == b"begun\n"


@BOTH
def test_it_is_ended_when_it_says_too_much(tmp_path: Path, guard: bool) -> None:
    ended, said = run("yes", tmp_path, max_bytes=200_000, guard=guard)
    assert ended.why == "too_much"
    assert 0 < len(said) <= 200_000


# A child in the background, one in a session of its own, and one that was forked twice.
FAMILY = (
    "sleep 600 & echo $!; : > a; "
    "setsid sh -c 'echo $$; : > b; exec sleep 600' & "
    "(setsid sh -c 'sleep 600 & echo $!; : > c' &) ; "
)


@pytest.mark.parametrize("end", ["exit", "timeout", "cancel"])
def test_nothing_that_it_started_outlives_it_under_guard(
    tmp_path: Path, end: str, clock: Any
) -> None:
    said = bytearray()
    stops: list[Callable[[], None]] = []

    def out(chunk: bytes) -> None:
        said.extend(chunk)
        if said.count(b"\n") >= 4:
            if end == "cancel":
                stops[0]()
            elif end == "timeout":
                clock.advance(61)

    # ends when the others have said their numbers
    last = (
        "while [ $(ls | wc -l) -lt 3 ]; do :; done" if end == "exit" else "echo waiting; sleep 600"
    )
    ended = process.run(
        ["sh", "-c", FAMILY + last],
        cwd=tmp_path,
        env=ENV,
        timeout=60,
        out=out,
        on_cancel=stops.append,
        guard=True,
    )
    pids = [int(line) for line in said.decode().split() if line.isdigit()]
    assert len(pids) == 3
    assert ended.why == {"exit": "exit", "timeout": "timeout", "cancel": "cancelled"}[end]
    assert not [pid for pid in pids if alive(pid)]


def test_what_is_left_in_the_background_does_not_hold_us(tmp_path: Path) -> None:
    ended, said = run("sleep 600 & echo $!", tmp_path)
    assert ended == process.Ended(0, "exit")
    wait_for(lambda: not alive(int(said)))


DYING = """
import os, sys
from pathlib import Path
from alfred.engines import process
def out(chunk):
    sys.stdout.write(chunk.decode()); sys.stdout.flush()
process.run(["sh", "-c", sys.argv[1]], cwd=Path("."), env={"PATH": os.environ["PATH"]},
            timeout=600, out=out, guard=True)
"""


def test_everything_dies_with_us_under_guard(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", DYING, FAMILY + "echo waiting; sleep 600"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(p).absolute()) for p in sys.path)},
    )
    with ours:
        assert ours.stdout
        said: list[str] = []
        while len(said) < 4:
            said += ours.stdout.readline().decode().split()
        pids = [int(word) for word in said if word.isdigit()]
        assert len(pids) == 3
        assert all(alive(pid) for pid in pids)
        ours.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids))


MISSING_ONE = """
import os, sys
from alfred.engines import guard
looks = [[]]  # as when the parent of what is left ends while /proc is read
real = guard._descendants
guard._descendants = lambda **_: looks.pop() if looks else real()
lifeline, ours = os.pipe()
sys.exit(guard.main(["guard", str(lifeline), "0", "0", "sh", "-c", "sleep 60 > /dev/null 2>&1 & echo $!"]))
"""


def test_the_guard_ends_when_the_kernel_says_that_nobody_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING_ONE], capture_output=True, check=True)
    pid = int(done.stdout)
    try:
        assert not alive(pid)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_cancel_after_the_end_kills_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[Callable[[], None]] = []
    run("true", tmp_path, on_cancel=stops.append)
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append(pid))
    stops[0]()
    assert not killed


def test_it_is_ended_however_many_files_whoever_started_it_has_open(tmp_path: Path) -> None:
    with contextlib.ExitStack() as many:
        for _ in range(1100):  # more than `select` can count
            many.enter_context(open(os.devnull, "rb"))  # noqa: PTH123 - what is counted is how many there are
        ended, said = run(
            "setsid sh -c 'echo $$; exec sleep 60' & wait", tmp_path, guard=True, timeout=1
        )
    assert ended.why == "timeout"
    assert not alive(int(said))


def test_a_cancel_before_it_began_ends_it(tmp_path: Path) -> None:
    ended, _ = run("sleep 600", tmp_path, on_cancel=lambda stop: stop())
    assert ended.why == "cancelled"


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    for argv, cwd in [
        (["/nothing/there"], tmp_path),
        (["sh"], tmp_path / "none"),
        (["a\0"], tmp_path),
    ]:
        with pytest.raises(errors.CallFailed, match="cannot be started"):
            process.run(argv, cwd=cwd, env=ENV, timeout=5, out=print)
    ended, said = run("", tmp_path, guard=True)
    assert ended.code == 0
    said = bytearray()
    ended = process.run(
        ["/nothing/there"], cwd=tmp_path, env=ENV, timeout=60, out=said.extend, guard=True
    )
    assert ended.code == 127
    assert b"/nothing/there cannot be started" in said


def test_trouble_of_the_reader_ends_it(tmp_path: Path) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    seen: list[int] = []
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(OSError, match="No space"):
        run("echo x; sleep 600", tmp_path, out=full)
    seen = [p.pid for p in set(psutil.Process().children(recursive=True)) - before]
    assert not [pid for pid in seen if alive(pid)]


CROWDS = {
    "processes": "for i in $(seq 300); do sleep 5 & done; wait",
    "in sessions of their own": "for i in $(seq 300); do setsid sleep 5 & done; wait",
    "threads": f"{sys.executable} -c 'import threading, time\nfor n in range(300):"
    " threading.Thread(target=time.sleep, args=(5,)).start()'",
    "zombies": f"{sys.executable} -c 'import os, time\nfor n in range(300):"
    " os.fork() or os._exit(0)\ntime.sleep(5)'",
}
"""Each is bounded, and over by itself: a guard that is not there costs a failed test and no machine."""


@pytest.mark.skipif(sys.platform != "linux", reason="what is counted is read from /proc")
@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
def test_it_is_ended_with_all_it_started_when_that_is_too_much(tmp_path: Path, crowd: str) -> None:
    before = set(psutil.Process().children(recursive=True))
    ended, said = run(crowd, tmp_path, guard=True, processes=100)
    assert (ended.code, said) == (137, b"ended: it had more than 100 processes and threads\n")
    assert not set(psutil.Process().children(recursive=True)) - before
    assert run("sleep 0 & wait", tmp_path, guard=True, processes=100) == (
        process.Ended(0, "exit"),
        b"",
    )


HOARD = f"{sys.executable} -c 'import os, time\n{{}}\ntime.sleep(5)'"
FILLS = {
    "one": HOARD.format("x = bytearray(os.urandom(1000) * 200_000)"),
    "many": f"for i in 1 2 3; do {HOARD.format('x = bytearray(os.urandom(1000) * 80_000)')} & done; wait",
    "what is shared with others": HOARD.format(
        "import mmap\nm = mmap.mmap(-1, 200_000_000)\nm.write(bytes(200_000_000))"
    ),
}
"""Each is bounded, and over by itself."""


@pytest.mark.skipif(sys.platform != "linux", reason="what is used is read from /proc")
@pytest.mark.parametrize("fills", FILLS.values(), ids=FILLS)
def test_it_is_ended_with_all_it_started_when_they_use_too_much_memory(
    tmp_path: Path, fills: str
) -> None:
    before = set(psutil.Process().children(recursive=True))
    ended, said = run(fills, tmp_path, guard=True, memory=150 * 2**20)
    assert (ended.code, said) == (137, b"ended: it used more than 150 MB of memory\n")
    assert not set(psutil.Process().children(recursive=True)) - before


@pytest.mark.skipif(sys.platform != "linux", reason="what is used is read from /proc")
def test_memory_that_several_processes_share_is_counted_once(tmp_path: Path) -> None:
    shared = (
        "x = bytearray(os.urandom(1000) * 80_000)\n"
        "for n in range(4):\n os.fork() or (time.sleep(1.2), os._exit(0))\n"
        "for n in range(4):\n os.wait()\nos._exit(7)"
    )
    ended, said = run(HOARD.format(shared), tmp_path, guard=True, memory=200 * 2**20)
    assert (ended.code, said) == (7, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told whom to kill first")
def test_when_memory_is_short_it_dies_before_us(tmp_path: Path) -> None:
    assert run("cat /proc/self/oom_score_adj", tmp_path, guard=True)[1] == b"1000\n"
    assert Path("/proc/self/oom_score_adj").read_text() != "1000\n"
