"""Opens the ledger's database and owns how a transaction begins, retries and ends, on SQLite and on Postgres.

Invariants:
- A *verb* is a plain function `verb(tx, ...)` made of guarded statements. `Store.transact` runs it in one
  write transaction and runs it again, whole, when the database says that it must (deadlock, busy, a cut
  connection). So a verb never has an effect outside of the database, and running it twice equals running it
  once: ids and tokens are made by its caller.
- SQLite: one writer at a time, over all processes: process mutex -> POSIX lock on a file of its own ->
  BEGIN IMMEDIATE. Readers have an engine of their own that cannot write.
- Postgres: READ COMMITTED; safety comes from row locks taken first and guards repeated in each statement.
- Time in SQL is `alfred_now()` (wall clock, microseconds) and `alfred_mono()` (lease clock). On SQLite they
  call `alfred.clock`; on Postgres they are functions of the schema over `clock_timestamp()`, never `now()`,
  which is the start of the transaction.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from alfred import clock, errors
from alfred.store import postgres, sqlite, trouble
from alfred.store.pool import Pool
from alfred.store.statement import Sql
from alfred.store.together import Together, Waiting
from alfred.store.trouble import DatabaseError
from alfred.store.tx import Tx
from alfred.store.writer import WriterLock

P = ParamSpec("P")
T = TypeVar("T")

RETRIES = 5
PATIENCE = 600.0
"""Seconds that `Store.record` waits for a database to come back: as long as a restart with recovery may take."""
DOCTOR = "`alfred doctor` says what is wrong with it."
MOVED = "this ledger was moved to another database"
"""What the triggers say that `store.restore` leaves behind in a ledger that went elsewhere."""

_FULL = ("disk is full", "No space left on device")
_BEGIN = Sql("{sqlite:begin immediate}")
_REACH = (
    "Look whether the server runs and lets you in, with the address, name, user and password of `database` in config.yaml,"
    " of ALFRED_DATABASE_URL, or of `alfred db move`."
)
_AGAIN = "Start this program again; `alfred db check` looks at what is there now."


class Store:
    """An open database. `transact` writes, `read` looks; nothing else reaches the rows."""

    def __init__(
        self,
        url: str,
        writer: Pool,
        reader: Pool,
        lock: WriterLock | None,
        place: sqlite.Place | None = None,
    ):
        self.url = url
        self.pg = lock is None
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._place = place
        self._broken: str | None = None
        self._inside = threading.local()
        self._together = Together(self._write_together, lambda: self._lock)
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
        return self._again(lambda: self._once(verb, args, kwargs, alone=False))

    def transact_alone(
        self, verb: Callable[Concatenate[Tx, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `transact`, for a verb that on Postgres is one statement: that commits by itself, in one round trip. On
        SQLite those that wait for the writer at the same time are committed together."""
        if self.pg:
            return self._again(lambda: self._once(verb, args, kwargs, alone=True))
        # Whatever goes wrong together was taken back: alone it is told, or does not come again.
        with contextlib.suppress(Exception):
            told = self._together(lambda tx: verb(tx, *args, **kwargs))
            if told.done:
                return told.result
        return self.transact(verb, *args, **kwargs)

    def _write_together(self, batch: Sequence[Waiting]) -> None:
        with self._transaction() as tx:
            for one in batch:
                one.result = one.verb(tx)
            if tx.closing or tx.wakes:
                raise AssertionError("what is written together wakes nobody and seals nothing")

    def record(
        self, verb: Callable[Concatenate[Tx, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `transact`, for what has happened in the world and is known here alone: a database that is away is waited
        for, at most `PATIENCE` seconds, whoever holds the run by then.

        Raises:
            StoreUnavailable: it did not come back, or nothing more is written from this process.
        """
        until = clock.monotonic() + int(PATIENCE * clock.SECOND)
        while True:
            try:
                return self.transact(verb, *args, **kwargs)
            except errors.StoreUnavailable:
                if self._broken or clock.monotonic() > until:
                    raise
            clock.sleep(0.5)

    def _again(self, once: Callable[[], T]) -> T:
        for attempt in range(RETRIES + 1):
            try:
                return once()
            except DatabaseError as problem:
                if problem.whose not in (self._writer, self._reader):
                    raise
                if not self._worth_retrying(problem) or attempt == RETRIES:
                    self._raise(problem)
            clock.sleep(0.02 * 2**attempt * (0.5 + random.random()))
        raise AssertionError("unreachable")

    def _once(
        self, verb: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], *, alone: bool
    ) -> T:
        with (
            self._alone(),
            self._lock or contextlib.nullcontext(),
            self._transaction(alone=alone) as tx,
        ):
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
    def _alone(self) -> Iterator[None]:
        """A verb that opened a transaction of its own would wait for itself for ever."""
        if getattr(self._inside, "verb", False):
            raise AssertionError("a verb is given its transaction, and opens none")
        try:
            self._inside.verb = True
            yield
        finally:
            self._inside.verb = False

    @contextlib.contextmanager
    def _transaction(self, *, alone: bool = False) -> Iterator[Tx]:
        """Begins, and commits or takes back. `alone`: the one statement commits by itself. Every write comes by here, on
        SQLite with the writer in hand: what another thread has learned of the ledger meanwhile is heeded."""
        if self._broken:
            raise _unavailable(self._broken)
        with self._opened(self._writer, alone) as tx:
            if not self.pg:
                tx(_BEGIN)
            try:
                yield tx
                if not alone:
                    tx.commit()
            except BaseException:
                tx.rollback()
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """A connection for looking: each statement sees what is committed; writing fails."""
        try:
            with self._opened(self._reader, True) as look:
                yield look
        except DatabaseError as problem:
            self._raise(problem)

    @contextlib.contextmanager
    def _opened(self, pool: Pool, autocommit: bool) -> Iterator[Tx]:
        if self._place and (lost := self._place.lost()):
            self.give_up(lost)
            raise _unavailable(lost, next=_AGAIN)
        try:
            raw = pool.take()
        except pool.driver.Error as problem:
            raise self._heeded(trouble.of(problem, "connect", whose=pool)) from problem
        tx = None
        try:
            tx = Tx(pool, raw, pg=self.pg)
            if self.pg and raw.autocommit is not autocommit:
                try:
                    raw.autocommit = autocommit
                except pool.driver.Error as problem:
                    # A connection that has rested while its server went away: it is noticed here first.
                    raise tx.trouble(problem, "connect") from problem
            yield tx
        except DatabaseError as problem:
            self._heeded(problem)
            raise
        finally:
            (pool.give_back if tx is not None and tx.over() else pool.drop)(raw)

    def _heeded(self, problem: DatabaseError) -> DatabaseError:
        """After a failed fsync nothing that is cached can be trusted: never retry."""
        if problem.sqlite_name.startswith("SQLITE_IOERR"):
            self.give_up(problem.said)
        return problem

    def close(self) -> None:
        """Closes every connection of this process."""
        self._writer.renew()
        self._reader.renew()

    @property
    def broken(self) -> str | None:
        """Why nothing of this process will be written any more, None when it will: only a new process helps."""
        return self._broken

    def give_up(self, why: str) -> None:
        """Nothing more is written from this process: the ledger is not what it was when it was opened."""
        self._broken = self._broken or why

    def writer_pid(self) -> int | None:
        """SQLite: another process that holds the writer lock right now; None on Postgres."""
        return self._lock.holder() if self._lock else None

    def _worth_retrying(self, problem: DatabaseError) -> bool:
        if self.pg:
            return problem.cut or problem.sqlstate in postgres.TRANSIENT
        return problem.sqlite_name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))

    def _raise(self, problem: DatabaseError) -> None:
        """Database trouble becomes one clear error; a mistake of ours (a broken guard) stays what it is."""
        text, name = problem.said, problem.sqlite_name
        if any(word in text for word in _FULL) or problem.sqlstate == "53100":
            raise errors.StoreUnavailable(
                f"The disk of the database is full ({text}).",
                next="Free some space; nothing that was acknowledged is lost, and work goes on by itself.",
            ) from problem
        if MOVED in text:
            raise _unavailable(text, next="Start again: `database:` says where it is.") from problem
        if name.startswith(sqlite.DAMAGED):
            raise _unavailable(text, next=sqlite.RESTORE) from problem
        if isinstance(
            problem, trouble.IntegrityError | trouble.ProgrammingError | trouble.DataError
        ):
            raise problem
        raise _unavailable(text) from problem


def _unavailable(text: str, next: str = DOCTOR) -> errors.StoreUnavailable:
    return errors.StoreUnavailable(f"The database cannot be used: {text}.", next=next)


def open_store(url: str) -> Store:
    """Opens a database by URL: `sqlite:////path/alfred.db` or `postgresql://...`. The schema is not touched.

    Raises:
        StoreUnavailable: it cannot be reached.
        ConfigError: the URL is neither of the two, or the extra for Postgres is not installed.
    """
    scheme, _, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if not rest or not kind.isalnum():
        raise errors.ConfigError(
            "The database URL cannot be read.", next="Write `sqlite` or `postgresql://host/name`."
        )
    if kind == "sqlite":
        return Store(url, *sqlite.pools(sqlite.path(url)))
    if kind in ("postgresql", "postgres"):
        store = Store(url, *postgres.pools(url))
        try:
            with store.read() as look:
                postgres.check(look)
        except errors.StoreUnavailable as problem:
            store.close()
            raise errors.StoreUnavailable(problem.detail, next=_REACH) from problem
        except BaseException:
            store.close()
            raise
        return store
    raise errors.ConfigError(
        f"No support for a database of the kind {kind!r}.",
        next="Write `sqlite` or `postgresql://host/name`.",
    )
