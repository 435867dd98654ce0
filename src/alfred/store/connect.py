"""Opens the ledger's database and owns how a transaction begins, retries and ends, on SQLite and on Postgres.

Invariants:
- A *verb* is a plain function `verb(tx, ...)` made of guarded statements. `Store.transact` runs it in one
  write transaction and runs it again, whole, when the database says that it must (deadlock, busy, a cut
  connection). So a verb never has an effect outside of the database, and running it twice equals running it
  once: ids and tokens are made by its caller.
- SQLite: one writer at a time, over all processes: process mutex -> POSIX lock on a file of its own ->
  BEGIN IMMEDIATE. Readers have an engine of their own that cannot write. The lock is `lockf`, never `flock`:
  a forked child keeps a `flock` alive after its parent is killed. POSIX locks vanish when *any* descriptor of
  the file is closed in the process, so the lock file is opened once per process, and nothing but SQLite ever
  opens the database's own files.
- Postgres: READ COMMITTED; safety comes from row locks taken first and guards repeated in each statement.
- Time in SQL is `alfred_now()` (wall clock, microseconds) and `alfred_mono()` (lease clock). On SQLite they
  call `alfred.clock`; on Postgres they are functions of the schema over `clock_timestamp()`, never `now()`,
  which is the start of the transaction.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc, pool
from sqlalchemy.dialects import postgresql, sqlite

from alfred import clock, errors
from alfred.store import disk
from alfred.store.writer import WriterLock
from alfred.trust import text

P = ParamSpec("P")
T = TypeVar("T")

SAFE_SQLITE = (3, 51, 3)
"""Versions below can corrupt a WAL database when two connections write (the WAL-reset bug, fixed in 3.51.3)."""

RETRIES = 5
_TRANSIENT_PG = {
    "40001",
    "40P01",
    "55P03",
    "57P01",
    "57P02",
    "57P03",
    "25P03",
    "25P04",
    "08006",
    "08003",
}
MOVED = "this ledger was moved to another database"
"""What the triggers say that `store.restore` leaves behind in a ledger that went elsewhere."""

_FULL = ("disk is full", "No space left on device")
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_RESTORE = "Move it away and put a backup in its place: `alfred db restore <file>`."


class Sql:
    """One statement for both databases, built once at import.

    `{lock}` becomes FOR NO KEY UPDATE on Postgres (never FOR UPDATE: it deadlocks with foreign keys) and
    nothing on SQLite, where the writer lock is held; `{skip}` adds SKIP LOCKED; `{pg:...}` and `{sqlite:...}`
    stand for text of one dialect only. `lists` names the parameters that are lists (`x in :lists`).
    """

    __slots__ = ("_texts", "lists", "pg", "sqlite")

    def __init__(self, text: str, *, lists: Sequence[str] = ()):
        binds = [sa.bindparam(name, expanding=True, type_=sa.Text) for name in lists]
        self.lists = bool(lists)
        self.pg = sa.text(_render(text, "pg")).bindparams(*binds)
        self.sqlite = sa.text(_render(text, "sqlite")).bindparams(*binds)
        self._texts: dict[bool, str] = {}

    def text(self, *, pg: bool) -> str:
        """The statement as its driver takes it, compiled at its first use: half the cost of handing the construct on."""
        found = self._texts.get(pg)
        if found is None:
            dialect = _PSYCOPG if pg else _SQLITE
            found = str((self.pg if pg else self.sqlite).compile(dialect=dialect))
            self._texts[pg] = found
        return found


_PSYCOPG = postgresql.dialect(paramstyle="pyformat")
_SQLITE = sqlite.dialect(paramstyle="named")


def _render(text: str, dialect: str) -> str:
    other = "sqlite" if dialect == "pg" else "pg"
    text = text.replace("{lock}", "{pg:for no key update}")
    text = text.replace("{skip}", "{pg:for no key update skip locked}")
    text = re.sub(r"\{" + other + r":[^{}]*\}", "", text)
    return re.sub(r"\{" + dialect + r":([^{}]*)\}", r"\1", text)


class Tx:
    """A write transaction in progress. Ledger functions take it first and never open one."""

    __slots__ = ("closing", "conn", "pg", "wakes")

    def __init__(self, conn: sa.Connection, *, pg: bool):
        self.conn = conn
        self.pg = pg
        self.closing: list[tuple[str, str, Callable[[Tx, str, str], None]]] = []
        """(order, payload, write): what takes the last locks of the transaction, written sorted at its end."""
        self.wakes: set[str] = set()
        """Runs to look at once this commits: handed to the delivery, sorted, as the last statements."""

    def __call__(
        self, statement: Sql | sa.Executable, /, **params: Any
    ) -> sa.CursorResult[*tuple[Any, ...]]:
        """Executes one statement with its parameters."""
        clean = _storable(params)
        if isinstance(statement, Sql) and not statement.lists:
            return self.conn.exec_driver_sql(statement.text(pg=self.pg), clean)
        return self.conn.execute(self._chosen(statement), clean)  # type: ignore[return-value]

    def put(self, statement: Sql, /, **params: Any) -> int:
        """Executes a statement whose rows nobody reads, straight on the driver; returns how many rows it touched.

        A step's commit is four such statements: without the toolkit's result objects it costs a third less.
        """
        raw = self.conn.connection
        cursor = raw.cursor()
        try:
            cursor.execute(statement.text(pg=self.pg), _storable(params))
            return cursor.rowcount
        except self.conn.dialect.loaded_dbapi.Error as problem:
            cut = self.conn.dialect.is_disconnect(problem, raw, cursor)
            if cut:
                self.conn.invalidate(problem)
            raise exc.DBAPIError.instance(
                statement.text(pg=self.pg),
                None,
                problem,
                self.conn.dialect.loaded_dbapi.Error,
                connection_invalidated=cut,
                dialect=self.conn.dialect,
            ) from problem
        finally:
            cursor.close()

    def many(self, statement: Sql | sa.Executable, rows: Sequence[dict[str, Any]], /) -> None:
        """Executes one statement for each of several rows; nothing when there are none."""
        if rows:
            self.conn.execute(self._chosen(statement), [_storable(row) for row in rows])

    def _chosen(self, statement: Sql | sa.Executable) -> sa.Executable:
        if isinstance(statement, Sql):
            return statement.pg if self.pg else statement.sqlite
        return statement


def _storable(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that both databases take: NUL and lone surrogates are no text. Whoever brings text from outside has
    taken them out before and said so (`trust.text`); here it is made sure, because a row that cannot be written
    would be tried for ever."""
    for value in params.values():
        if type(value) is str and ("\0" in value or not (value.isascii() or _encodes(value))):
            return {key: text.sanitize(entry)[0] for key, entry in params.items()}
    return params


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Store:
    """An open database. `transact` writes, `read` looks; nothing else reaches the rows."""

    def __init__(self, url: str, writer: sa.Engine, reader: sa.Engine, lock: WriterLock | None):
        self.url = url
        self.pg = writer.dialect.name == "postgresql"
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._broken: str | None = None
        self.deliver: Callable[[Tx, list[str]], None] = lambda tx, runs: None
        """Called with the wakes of a transaction as its last statements; `app` sets it."""
        self.delivered: Callable[[list[str]], None] = lambda runs: None
        """Called after a commit that had wakes; `app` sets it."""

    def transact(
        self, verb: Callable[Concatenate[Tx, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `verb(tx, ...)` in one write transaction and commits it.

        Raises:
            StoreUnavailable: the database cannot be reached or written, after retries where those may help.
        """
        for attempt in range(RETRIES + 1):
            if self._broken:
                raise _unavailable(self._broken)
            try:
                return self._once(verb, args, kwargs)
            except exc.DBAPIError as problem:
                if not self._worth_retrying(problem) or attempt == RETRIES:
                    self._raise(problem)
            clock.sleep(0.02 * 2**attempt * (0.5 + random.random()))
        raise AssertionError("unreachable")

    def _once(self, verb: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        with self._lock or contextlib.nullcontext(), self._writer.connect() as conn:
            tx = Tx(conn, pg=self.pg)
            with conn.begin():
                result = verb(tx, *args, **kwargs)
                for order, payload, write in sorted(tx.closing, key=lambda entry: entry[0]):
                    write(tx, order, payload)
                wakes = sorted(tx.wakes)
                if wakes:
                    self.deliver(tx, wakes)
        if wakes:
            self.delivered(wakes)
        return result

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """A connection for looking: each statement sees what is committed; writing fails."""
        try:
            with self._reader.connect() as conn:
                yield Tx(conn, pg=self.pg)
        except exc.DBAPIError as problem:
            self._raise(problem)

    def close(self) -> None:
        """Closes every connection of this process."""
        self._writer.dispose()
        self._reader.dispose()

    @property
    def broken(self) -> str | None:
        """Why nothing of this process will be written any more, None when it will: only a new process helps."""
        return self._broken

    def writer_pid(self) -> int | None:
        """SQLite: another process that holds the writer lock right now; None on Postgres."""
        return self._lock.holder() if self._lock else None

    def _worth_retrying(self, problem: exc.DBAPIError) -> bool:
        if self.pg:
            state = getattr(problem.orig, "sqlstate", None)
            return problem.connection_invalidated or state in _TRANSIENT_PG
        name = getattr(problem.orig, "sqlite_errorname", "") or ""
        return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))

    def _raise(self, problem: exc.DBAPIError) -> None:
        """Database trouble becomes one clear error; a mistake of ours (a broken guard) stays what it is."""
        text = str(problem.orig).strip().split("\n")[0]
        name = getattr(problem.orig, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_IOERR"):
            self._broken = (
                text  # after a failed fsync nothing that is cached can be trusted: never retry
            )
        if (
            any(word in text for word in _FULL)
            or getattr(problem.orig, "sqlstate", None) == "53100"
        ):
            raise errors.StoreUnavailable(
                f"The disk of the database is full ({text}).",
                next="Free some space; nothing that was acknowledged is lost, and work goes on by itself.",
            ) from problem
        if MOVED in text:
            raise _unavailable(text, next="Start again: `database:` says where it is.") from problem
        if name.startswith(_DAMAGED):
            raise _unavailable(text, next=_RESTORE) from problem
        if isinstance(problem, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
            raise problem
        raise _unavailable(text) from problem


def _unavailable(
    text: str, next: str = "`alfred doctor` says what is wrong with it."
) -> errors.StoreUnavailable:
    return errors.StoreUnavailable(f"The database cannot be used: {text}.", next=next)


def open_store(url: str) -> Store:
    """Opens a database by URL: `sqlite:////path/alfred.db` or `postgresql://...`. The schema is not touched.

    Raises:
        StoreUnavailable: it cannot be reached.
        ConfigError: the URL is neither of the two, or the extra for Postgres is not installed.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise errors.ConfigError(
            "The database URL cannot be read.", next="Write `sqlite` or `postgresql://host/name`."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(url, Path(parsed.database or ""))
    if backend in ("postgresql", "postgres"):
        return _open_postgres(url, parsed)
    raise errors.ConfigError(
        f"No support for a database of the kind {backend!r}.",
        next="Write `sqlite` or `postgresql://host/name`.",
    )


def sqlite_driver() -> Any:
    """pysqlite3 where there is a wheel of it (it bundles a SQLite without the WAL-reset bug), else the standard one."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        import sqlite3 as dbapi2
    return dbapi2


def _open_sqlite(url: str, path: Path) -> Store:
    disk.check_place(path)
    driver = sqlite_driver()
    try:
        lock = WriterLock.of(path.with_name(path.name + ".lock"))
    except OSError as problem:
        raise errors.StoreUnavailable(
            f"The lock file of the database {path} cannot be made: {problem.strerror}.",
            next="Check that the folder can be written, or set ALFRED_HOME.",
        ) from problem

    def connect(*, read_only: bool) -> Any:
        conn = driver.connect(str(path), isolation_level=None, check_same_thread=False, timeout=5)
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
        made = sa.create_engine(
            "sqlite://",
            module=driver,
            creator=lambda: connect(read_only=read_only),
            poolclass=pool.QueuePool,
            pool_size=8 if read_only else 1,
            max_overflow=24 if read_only else 0,
            pool_reset_on_return=None if read_only else "rollback",
        )
        begin = "begin" if read_only else "begin immediate"

        @event.listens_for(made, "begin")
        def _(conn: sa.Connection) -> None:
            if not read_only:
                conn.exec_driver_sql(begin)

        return made

    writer, reader = engine(read_only=False), engine(read_only=True)
    store = Store(url, writer, reader, lock)
    try:
        with lock, writer.connect():
            pass
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except exc.DBAPIError as problem:
        damaged = getattr(problem.orig, "sqlite_errorname", "").startswith(_DAMAGED)
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: {str(problem.orig).splitlines()[0]}.",
            next=_RESTORE if damaged else "Check that the file can be written, or set ALFRED_HOME.",
        ) from problem
    return store


def _open_postgres(url: str, parsed: sa.URL) -> Store:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise errors.ConfigError(
            "Postgres needs the extra `postgres`, which is not installed.",
            next="Install `alfred-agents[postgres]`.",
        ) from None
    engine = sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=24,
        pool_use_lifo=True,
    )

    @event.listens_for(engine, "connect")
    def _(conn: Any, _record: Any) -> None:
        # A worker that is stopped inside a transaction must not hold its rows: the server frees them.
        settings = {"idle_in_transaction_session_timeout": "5s", "lock_timeout": "5s"}
        if conn.info.server_version >= 170000:
            settings["transaction_timeout"] = "30s"
        conn.autocommit = True
        for name, value in settings.items():
            conn.execute(f"set {name} = '{value}'")
        conn.autocommit = False

    reader = engine.execution_options(isolation_level="AUTOCOMMIT")
    store = Store(url, engine, reader, None)
    with store.read() as look:
        if look(sa.text("show synchronous_commit")).scalar() == "off":
            raise errors.ConfigError(
                "The Postgres server runs with synchronous_commit=off: it may forget what it acknowledged.",
                next="Set synchronous_commit to `on` for this database.",
            )
    return store
