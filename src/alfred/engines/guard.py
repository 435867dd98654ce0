"""Stands between alfred and a command: when alfred goes, everything goes.

Started by file name (`python -I -S guard.py FD COMMAND...`), standard library only. FD is the reading end
of a pipe whose other end only alfred holds: when it closes (alfred died, or wants an end), every process
that descends from this one is killed, also those in sessions of their own. The same happens to whatever
the command leaves behind when it ends; its exit code is passed on (128 + n for signal n).

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


def main(argv: list[str]) -> int:
    """Runs the command to its end, or until the lifeline is cut."""
    lifeline, command = int(argv[1]), argv[2:]
    os.set_inheritable(lifeline, False)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)
        except OSError as why:
            os.write(2, f"{command[0]} cannot be started: {why.strerror}\n".encode())
        os._exit(127)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    status = _wait(child)
    _end_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the other end is closed
    _end_all()
    os._exit(128 + signal.SIGKILL)


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


def _descendants() -> list[int]:
    """The living below this process; zombies are on their way."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - as below
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 5 ms of a start
                # the name of a program may hold anything, so the fields are counted from its end
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue  # it ended meanwhile
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(name))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
