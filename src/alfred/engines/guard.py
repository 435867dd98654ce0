"""Stands between alfred and a command: when alfred goes, everything goes.

Started by file name (`python -I -S guard.py FD MOST COMMAND...`), standard library only. FD is the reading end
of a pipe whose other end only alfred holds: when it closes (alfred died, or wants an end), every process
that descends from this one is killed, also those in sessions of their own. The same happens to whatever
the command leaves behind when it ends; its exit code is passed on (128 + n for signal n).

When there are more than MOST processes and threads below this one (0: as many as it likes), all are killed. That is a
look now and then and no limit of the kernel, because there is none that holds for root without cgroups: a fork bomb
gets some hundred further. When memory is short, the kernel kills what the command started before anything else.

On Linux orphans come to this process (PR_SET_CHILD_SUBREAPER), so none is lost. Elsewhere the process group
is killed, which a command can leave with setsid.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_BEAT = 0.02  # seconds between two looks at how many there are
_BEATS = 50  # a second


def main(argv: list[str]) -> int:
    """Runs the command to its end, or until the lifeline is cut."""
    lifeline, most, command = int(argv[1]), int(argv[2]), argv[3:]
    os.set_inheritable(lifeline, False)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _die_first()
        try:
            os.execvp(command[0], command)
        except OSError as why:
            os.write(2, f"{command[0]} cannot be started: {why.strerror}\n".encode())
        os._exit(127)
    ended: list[str] = []
    watch = threading.Thread(target=_watch, args=(lifeline, most, ended), daemon=True)
    watch.start()
    status = _wait(child)
    _end_all()
    if ended:
        watch.join()  # it says why, and exits
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _die_first() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - as below
        file.write("1000")


def _watch(lifeline: int, most: int, ended: list[str]) -> None:
    # nothing is ever written: it becomes readable when the other end is closed
    crowd = _Crowd(most) if most and sys.platform.startswith("linux") else None
    while not select.select([lifeline], [], [], _BEAT if crowd else None)[0]:
        if crowd and crowd.too_large():
            ended.append(f"ended: it had more than {most} processes and threads\n")
            break
    _end_all()
    os.write(2, "".join(ended).encode())
    os._exit(128 + signal.SIGKILL)


class _Crowd:
    """How many there are below this process. They are counted when the whole system has so many more that it may be too
    many, which costs one read, and every second."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count_at = 0
        self.beats = 0

    def too_large(self) -> bool:
        with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 - as below
            alive = int(file.read().split()[3].split(b"/")[1])
        self.beats += 1
        if alive < self.count_at and self.beats % _BEATS:
            return False
        count = sum(max(threads, 1) for threads in _descendants(zombies=True).values())
        self.count_at = alive + self.most - count
        return count > self.most


def _wait(child: int) -> int:
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return signal.SIGKILL  # `_watch` took the status of what it killed
        if pid == child:
            return status


def _end_all() -> None:
    """Kills every descendant, again and again until none is left (they may be forking meanwhile).

    Only the kernel knows when that is so: every orphan becomes a child of this process at once, so without a
    child there is no descendant. A look into /proc may miss one whose parent ends in that moment.
    """
    if not sys.platform.startswith("linux"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        return
    while True:
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select([], [], [], 0.002)


def _descendants(*, zombies: bool = False) -> dict[int, int]:
    """The living below this process, with how many threads each has; zombies are on their way, but have a number."""
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - as below
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms of a start
                # the name of a program may hold anything, so the fields are counted from its end
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if zombies or fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append((int(name), int(fields[17])))
    found: dict[int, int] = {}
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found |= dict(below)
        waiting += [pid for pid, _ in below]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
