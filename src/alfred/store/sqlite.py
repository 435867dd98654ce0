"""How a SQLite ledger is opened: the driver, the pragmas with their reasons, one writer and many readers.

Invariants: readers have an engine of their own that cannot write; the writer's engine has one connection, used
behind the writer lock. The lock is `lockf` on a file of its own, opened once per process, and nothing but SQLite ever
opens the database's own files: POSIX locks vanish when any descriptor of a file is closed in the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc, pool

from alfred import clock, errors
from alfred.store import disk
from alfred.store.writer import WriterLock

SAFE_SQLITE = (3, 51, 3)
"""Versions below can corrupt a WAL database when two connections write (the WAL-reset bug, fixed in 3.51.3)."""

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
RESTORE = "Move it away and put a backup in its place: `alfred db restore <file>`."


def driver() -> Any:
    """pysqlite3 where there is a wheel of it (it bundles a SQLite without the WAL-reset bug), else the standard one."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        import sqlite3 as dbapi2
    return dbapi2


def engines(path: Path) -> tuple[sa.Engine, sa.Engine, WriterLock]:
    """The engine that writes, the one that reads, and the lock to hold for writing. The file is made when there is none.

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
            "synchronous=full",  # a commit that was acknowledged survives a power cut
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

    def engine(*, read_only: bool) -> sa.Engine:
        return sa.create_engine(
            "sqlite://",
            module=module,
            creator=lambda: connect(read_only=read_only),
            poolclass=pool.QueuePool,
            pool_size=8 if read_only else 1,
            max_overflow=24 if read_only else 0,
            pool_reset_on_return=None,  # whoever opens a transaction ends it: `Store`
        )

    writer, reader = engine(read_only=False), engine(read_only=True)
    try:
        with lock, writer.connect():
            pass
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except exc.DBAPIError as problem:
        damaged = getattr(problem.orig, "sqlite_errorname", "").startswith(DAMAGED)
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: {str(problem.orig).splitlines()[0]}.",
            next=RESTORE if damaged else "Check that the file can be written, or set ALFRED_HOME.",
        ) from problem
    return writer, reader, lock
