"""The writer lock of a SQLite database: one writer at a time, over all processes of the machine.

Invariants: the order is process mutex -> POSIX lock on a file of its own -> BEGIN IMMEDIATE. The lock is `lockf`,
never `flock`: a forked child keeps a `flock` alive after its parent is killed. POSIX locks vanish when any
descriptor of the file is closed in the process, so the file is opened once per process and path. The file names
its holder; a holder that is stopped (SIGSTOP) while everybody waits is killed after a while, which frees the
lock and rolls its transaction back: nothing that it had acknowledged is lost.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path
from typing import ClassVar

STUCK = 10.0
"""Seconds that others wait for a holder that is stopped before it is killed."""


class WriterLock:
    """Use `WriterLock.of(path)` as a context manager around a write transaction."""

    _known: ClassVar[dict[str, WriterLock]] = {}
    _making = threading.Lock()

    def __init__(self, path: str):
        self.path = path
        self.mutex = threading.Lock()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @classmethod
    def of(cls, path: Path) -> WriterLock:
        """The lock of this file: one per process."""
        key = str(path)
        with cls._making:
            if key not in cls._known:
                cls._known[key] = cls(key)
            return cls._known[key]

    @classmethod
    def after_fork(cls) -> None:
        """A child holds none of its parent's locks, and no thread of it will ever release a mutex."""
        cls._making = threading.Lock()
        for lock in cls._known.values():
            lock.mutex = threading.Lock()

    def __enter__(self) -> None:
        self.mutex.acquire()
        try:
            try:
                fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait()
            os.pwrite(self.fd, b"%-20d" % os.getpid(), 0)
        except BaseException:
            self.__exit__()  # whatever interrupted this may have come with the lock in hand
            raise

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
        finally:
            self.mutex.release()

    def _wait(self) -> None:
        """Waits in the kernel's queue, which is fair; a watcher frees us from a holder that is stopped."""
        got = threading.Event()
        threading.Thread(target=self._watch, args=(got,), daemon=True).start()
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX)
        finally:
            got.set()

    def _watch(self, got: threading.Event) -> None:
        """Frees whoever waits from a holder that is stopped; again and again, for it may be stopped later."""
        while not got.wait(STUCK):
            pid = self._named()
            if pid is not None and pid != os.getpid() and stopped(pid):
                os.kill(pid, signal.SIGKILL)

    def _named(self) -> int | None:
        text = os.pread(self.fd, 20, 0).strip()
        return int(text) if text.isdigit() else None

    def holder(self) -> int | None:
        """The process that holds the lock right now, None when nobody does or when it is this one."""
        if not self.mutex.acquire(blocking=False):
            return None
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._named()
        else:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
            return None
        finally:
            self.mutex.release()


def stopped(pid: int) -> bool:
    """Whether a process of this user is stopped (SIGSTOP, a debugger, a suspended job)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_STOPPED and process.uids().real == os.getuid()
    except psutil.Error:
        return False


os.register_at_fork(after_in_child=WriterLock.after_fork)
