"""What a verb is given: a transaction in progress, and the rows that a statement came to.

Invariants: a statement goes straight to the driver; whatever that raises leaves here as a `trouble.DatabaseError`; a text
that no database can keep is cleaned before it is written, because a row that cannot be written would be tried for ever.
"""

from __future__ import annotations

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alfred.store import trouble
from alfred.store.pool import Pool
from alfred.store.statement import Sql
from alfred.trust import text

IDLE = 0
"""What libpq says of a connection on which no statement runs and no transaction is open."""

trace: Callable[[str], None] | None = None
"""Told of each statement before it is sent, and of `commit`: where tests let a process die."""


class Rows:
    """The rows of a statement, all of them read: tuples whose fields have names."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int):
        self._rows = rows
        self.rowcount = rowcount
        """How many rows were written, or read."""

    def all(self) -> list[Any]:
        """Every row."""
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def first(self) -> Any | None:
        """The first row, None when there is none."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any | None:
        """The only row, None when there is none.

        Raises:
            AssertionError: the statement promised less than it gave.
        """
        if len(self._rows) > 1:
            raise AssertionError(f"{len(self._rows)} rows where one was expected")
        return self.first()

    def one(self) -> Any:
        """The only row.

        Raises:
            AssertionError: there is none, or more than one.
        """
        row = self.one_or_none()
        if row is None:
            raise AssertionError("no row where one was expected")
        return row

    def scalar(self) -> Any:
        """The first column of the first row, None when there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row.

        Raises:
            AssertionError: there is none, or more than one.
        """
        return self.one()[0]

    def scalars(self) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self._rows]


def traced(what: str) -> None:
    """Tells whoever traces."""
    if trace is not None:
        trace(what)


def _shape(description: Iterable[Any] | None) -> type | None:
    if description is None:
        return None
    names = [column[0] for column in description]
    return namedtuple("Row", names, rename=True)  # type: ignore[bad-class-definition]


_ALONE = Sql("select pg_advisory_xact_lock(hashtextextended(:key,0))")


class Tx:
    """A transaction in progress, or a connection for looking. Ledger functions take it first and never open one."""

    __slots__ = ("closing", "pg", "pool", "raw", "spoiled", "wakes")

    def __init__(self, pool: Pool, raw: Any, *, pg: bool):
        self.pool = pool
        self.raw = raw
        """The driver's connection."""
        self.pg = pg
        self.spoiled = False
        """The connection is closed afterwards, not handed to the next."""
        self.closing: list[tuple[str, str, Callable[[Tx, str, str], None]]] = []
        """(order, payload, write): what takes the last locks of the transaction, written sorted at its end."""
        self.wakes: set[str] = set()
        """Runs to look at once this commits: handed to the delivery, sorted, as the last statements."""

    def __call__(self, statement: Sql, /, **params: Any) -> Rows:
        """Executes one statement with its parameters."""
        clean = _storable(params)
        sent = statement.pg if self.pg else statement.sqlite
        traced(sent)
        if statement.lists:
            clean = statement.parameters(clean, pg=self.pg)
        cursor = None
        try:
            cursor = self.raw.cursor()
            cursor.execute(sent, clean)
            if self.pg not in statement.shapes:
                statement.shapes[self.pg] = _shape(cursor.description)
            shape: Any = statement.shapes[self.pg]
            if shape is None:
                return Rows([], cursor.rowcount)
            rows = [shape._make(row) for row in cursor.fetchall()]
            return Rows(rows, len(rows))
        except self.pool.driver.Error as problem:
            raise self.trouble(problem, sent) from problem
        finally:
            if cursor is not None:
                cursor.close()

    def alone(self, key: str) -> None:
        """From here to the end of the transaction nobody else who names this key goes on: what is counted, or read to write
        something else, stays as it is. SQLite has one writer."""
        if self.pg:
            self(_ALONE, key=key)

    def many(self, statement: Sql, rows: Sequence[dict[str, Any]], /) -> None:
        """Executes one statement for each of several rows; nothing when there are none."""
        if not rows:
            return
        sent = statement.pg if self.pg else statement.sqlite
        traced(sent)
        cursor = None
        try:
            cursor = self.raw.cursor()
            cursor.executemany(sent, [_storable(row) for row in rows])
        except self.pool.driver.Error as problem:
            raise self.trouble(problem, sent) from problem
        finally:
            if cursor is not None:
                cursor.close()

    def stream(
        self, statement: Sql, size: int
    ) -> tuple[tuple[str, ...], Iterator[list[tuple[Any, ...]]]]:
        """The columns of a statement without parameters, and its rows, so many at a time: of many rows few are in the
        memory. Inside a transaction. The connection is closed afterwards: rows that nobody read to their end are let go
        of at any later time, which would be in the middle of what somebody else does on it."""
        sent = statement.pg if self.pg else statement.sqlite
        traced(sent)
        self.spoiled = True
        cursor = self.raw.cursor("rows") if self.pg else self.raw.cursor()
        try:
            cursor.execute(sent, {})
        except self.pool.driver.Error as problem:
            cursor.close()
            raise self.trouble(problem, sent) from problem
        return tuple(column[0] for column in cursor.description), self._parts(cursor, sent, size)

    def _parts(self, cursor: Any, sent: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        try:
            while part := cursor.fetchmany(size):
                yield part
        except self.pool.driver.Error as problem:
            raise self.trouble(problem, sent) from problem
        finally:
            with contextlib.suppress(
                self.pool.driver.Error
            ):  # the connection may have been closed before
                cursor.close()

    def commit(self) -> None:
        """Ends the transaction: from here on it has happened."""
        traced("commit")
        try:
            self.raw.commit()
        except self.pool.driver.Error as problem:
            raise self.trouble(problem, "commit") from problem

    def rollback(self) -> None:
        """Ends the transaction as if nothing had been; a connection that cannot even do that is given up."""
        try:
            self.raw.rollback()
        except self.pool.driver.Error:  # it was cut: the server has done so already
            self.spoiled = True

    def over(self) -> bool:
        """Whether the next may have the connection: it is good, and nothing that was begun on it goes on. What an
        interruption left in the middle would be found by whoever comes then."""
        if self.spoiled:
            return False
        return (
            self.raw.pgconn.transaction_status == IDLE if self.pg else not self.raw.in_transaction
        )

    def trouble(self, raised: Exception, statement: str) -> Exception:
        """The driver's error as ours (`DatabaseError`); a connection that was cut is not used again, nor are its neighbours."""
        cut = self.pg and bool(self.raw.closed or self.raw.broken)
        if cut:
            self.spoiled = True
            self.pool.renew()
        return trouble.of(raised, statement, cut=cut, whose=self.pool)


def _storable(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that both databases take: NUL and lone surrogates are no text. Whoever brings text from outside has
    taken them out before and said so (`trust.text`); here it is made sure."""
    for value in params.values():
        if (type(value) is str and not _clean(value)) or (
            type(value) is list and not all(map(_clean, value))
        ):
            return {key: text.sanitize(entry)[0] for key, entry in params.items()}
    return params


def _clean(value: str) -> bool:
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
