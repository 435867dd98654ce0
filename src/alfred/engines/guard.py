"""Stands between alfred and a command: when alfred goes, everything goes.

Started by file name (`python -I -S guard.py FD MOST BYTES COMMAND...`), standard library only. FD is the reading end
of a pipe whose other end only alfred holds: when it closes (alfred died, or wants an end), every process
that descends from this one is killed, also those in sessions of their own. The same happens to whatever
the command leaves behind when it ends; its exit code is passed on (128 + n for signal n).

When there are more than MOST processes and threads below this one, or they use more than BYTES of memory together (0: as
many, and as much, as they like), all are killed. That is a look now and then and no limit of the kernel, because there is
none that holds for root, or for several processes, without cgroups: a fork bomb gets some hundred further, and memory
what can be filled in a fiftieth of a second. When memory is short, the kernel kills what the command started before
anything else.

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
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(argv: list[str]) -> int:
    """Runs the command to its end, or until the lifeline is cut."""
    lifeline, most, memory, command = int(argv[1]), int(argv[2]), int(argv[3]), argv[4:]
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
    watch = threading.Thread(target=_watch, args=(lifeline, most, memory, ended), daemon=True)
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


def _watch(lifeline: int, most: int, memory: int, ended: list[str]) -> None:
    # nothing is ever written: it becomes readable when the other end is closed
    load = _Load(most, memory) if (most or memory) and sys.platform.startswith("linux") else None
    # The number is alfred's, which may have more files open than `select` can count.
    cut = select.poll()
    cut.register(lifeline, select.POLLIN)
    while not cut.poll(_BEAT * 1000 if load else None):
        if load and (too_much := load.too_much()):
            ended.append(f"ended: {too_much}\n")
            break
    _end_all()
    os.write(2, "".join(ended).encode())
    os._exit(128 + signal.SIGKILL)


class _Load:
    """How many there are below this process, and how much memory they use. They are looked at when the whole system has so
    many more, or so much less memory left, that it may be too much, which costs two reads; and every second."""

    def __init__(self, most: int, memory: int) -> None:
        self.most = most
        self.memory = memory
        self.count_at = 0
        self.look_below = 0
        self.beats = 0

    def too_much(self) -> str | None:
        """What is too much, in words."""
        alive, left = _alive(), _left()
        self.beats += 1
        if alive < self.count_at and left > self.look_below and self.beats % _BEATS:
            return None
        below = _descendants(zombies=True)
        count = sum(max(threads, 1) for threads, _ in below.values())
        used = sum(size for _, size in below.values())
        if self.memory and used > self.memory:
            used = sum(_own(pid, size) for pid, (_, size) in below.items())  # once what they share
        self.count_at = alive + self.most - count if self.most else sys.maxsize
        self.look_below = left - (self.memory - used) if self.memory else 0
        if self.most and count > self.most:
            return f"it had more than {self.most} processes and threads"
        if self.memory and used > self.memory:
            return f"it used more than {self.memory // 2**20} MB of memory"
        return None


def _alive() -> int:
    with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 - as below
        return int(file.read().split()[3].split(b"/")[1])


def _left() -> int:
    with open("/proc/meminfo", "rb") as file:  # noqa: PTH123 - as below
        for line in file:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def _own(pid: int, size: int) -> int:
    """What a process uses, with its part of what it shares; `size`, all that it has in memory, where nobody says."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - as below
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # it ended meanwhile, or may not be looked into
    return size


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


def _descendants(*, zombies: bool = False) -> dict[int, tuple[int, int]]:
    """The living below this process, with how many threads each has and how many bytes in memory; zombies are on their
    way, but have a number."""
    children: dict[int, list[tuple[int, tuple[int, int]]]] = {}
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
            has = (int(fields[17]), int(fields[21]) * _PAGE)
            children.setdefault(int(fields[1]), []).append((int(name), has))
    found: dict[int, tuple[int, int]] = {}
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found |= dict(below)
        waiting += [pid for pid, _ in below]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
