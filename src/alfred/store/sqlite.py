"""How a SQLite ledger is opened: the driver, the pragmas with their reasons, one writer and many readers.

Invariants: readers have connections of their own that cannot write; the writer has one connection, used
behind the writer lock. The lock is `lockf` on a file of its own, opened once per process, and nothing but SQLite ever
opens the database's own files: POSIX locks vanish when any descriptor of a file is closed in the process. A file that
was moved away, deleted or replaced is used no more: whoever opens its name has another ledger, and both would be worked on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from alfred import clock, errors
from alfred.store import disk, trouble
from alfred.store.pool import Pool
from alfred.store.writer import WriterLock

SAFE_SQLITE = (3, 51, 3)
"""Versions below can corrupt a WAL database when two connections write (the WAL-reset bug, fixed in 3.51.3)."""

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
SYNCHRONOUS: str = "full"
"""A commit that was acknowledged survives a power cut."""

RESTORE = (
    "Stop what uses it, move it and its `-wal` and `-shm` away, and put a backup in its place: "
    "`alfred db restore <file>`."
)


@dataclass(frozen=True, slots=True)
class Place:
    """A database's file as it was when it was opened: where it lies, and which one it is."""

    path: Path
    which: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Self:
        found = path.stat()
        return cls(path, (found.st_dev, found.st_ino))

    def lost(self) -> str | None:
        """Why it is not the one that its name leads to any more; None: it is. Opens nothing."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return f"its file {str(self.path)!r} was moved or deleted"
        except OSError:
            return None  # nobody knows, and SQLite says what it cannot do
        if (found.st_dev, found.st_ino) != self.which:
            return f"another file was put in the place of {str(self.path)!r}"
        return None


def driver() -> Any:
    """pysqlite3 where there is a wheel of it (it bundles a SQLite without the WAL-reset bug), else the standard one."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        import sqlite3 as dbapi2
    return dbapi2


def path(url: str) -> Path:
    """Where the file of a `sqlite:///…` URL lies, which has its path with what a URL escapes."""
    return Path(unquote(url.partition(":///")[2].partition("?")[0]))


def pools(path: Path) -> tuple[Pool, Pool, WriterLock, Place]:
    """The connection that writes, those that read, the lock to hold for writing, and which file that is. It is made when
    there is none.

    Raises:
        StoreUnavailable: it cannot be opened here.
    """
    disk.check_place(path)
    module = driver()
    try:
        lock = WriterLock.of(path.with_name(path.name + ".lock"))
    except OSError as problem:
        raise errors.StoreUnavailable(
            f"The lock file of the database {path} cannot be made: {problem.strerror}.",
            next="Check that the folder can be written, or set ALFRED_HOME.",
        ) from problem

    def connect(*, read_only: bool) -> Any:
        conn = module.connect(str(path), isolation_level=None, check_same_thread=False, timeout=5)
        for pragma in (
            "journal_mode=wal",  # readers never wait for the writer
            f"synchronous={SYNCHRONOUS}",
            "foreign_keys=on",
            "mmap_size=0",  # a torn page must not be mapped into every process
            "busy_timeout=5000",  # only against programs that do not take the writer lock
            "temp_store=memory",
        ):
            conn.execute(f"pragma {pragma}")
        if read_only:
            conn.execute("pragma query_only=on")
        conn.create_function("alfred_now", 0, lambda: clock.now())
        conn.create_function("alfred_mono", 0, lambda: clock.monotonic())
        return conn

    writer = Pool(module, lambda: connect(read_only=False), most=1, kept=1)
    reader = Pool(module, lambda: connect(read_only=True), most=32, kept=8)
    try:
        with lock:
            writer.give_back(writer.take())
        place = Place.of(path)
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except module.Error as raised:
        problem = trouble.of(raised, "connect")
        damaged = problem.sqlite_name.startswith(DAMAGED)
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: {problem.said}.",
            next=RESTORE if damaged else "Check that the file can be written, or set ALFRED_HOME.",
        ) from problem
    return writer, reader, lock, place
