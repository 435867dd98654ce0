"""What a verb is given: a transaction in progress, and the rows that a statement came to.

Invariants: a statement goes straight to the driver (the toolkit's result objects cost four times the statement);
whatever the driver raises leaves here as the toolkit's `DBAPIError`, whoever executed it; a text that no database
can keep is cleaned before it is written, because a row that cannot be written would be tried for ever.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from alfred.store.statement import Sql
from alfred.trust import text

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
            MultipleResultsFound: the statement promised less than it gave.
        """
        if len(self._rows) > 1:
            raise exc.MultipleResultsFound(f"{len(self._rows)} rows where one was expected")
        return self.first()

    def one(self) -> Any:
        """The only row.

        Raises:
            NoResultFound, MultipleResultsFound: there is none, or more than one.
        """
        row = self.one_or_none()
        if row is None:
            raise exc.NoResultFound("no row where one was expected")
        return row

    def scalar(self) -> Any:
        """The first column of the first row, None when there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """The first column of the only row.

        Raises:
            NoResultFound, MultipleResultsFound: there is none, or more than one.
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

    __slots__ = ("_conn", "_engine", "closing", "pg", "pooled", "wakes")

    def __init__(self, engine: sa.Engine, pooled: sa.PoolProxiedConnection, *, pg: bool):
        self._engine = engine
        self._conn: sa.Connection | None = None
        self.pooled = pooled
        self.pg = pg
        self.closing: list[tuple[str, str, Callable[[Tx, str, str], None]]] = []
        """(order, payload, write): what takes the last locks of the transaction, written sorted at its end."""
        self.wakes: set[str] = set()
        """Runs to look at once this commits: handed to the delivery, sorted, as the last statements."""

    def __call__(self, statement: Sql | sa.Executable, /, **params: Any) -> Any:
        """Executes one statement with its parameters: `Rows`, or the toolkit's result for a construct of its own."""
        clean = _storable(params)
        if not isinstance(statement, Sql):
            return self.conn.execute(statement, clean)
        sent = statement.pg if self.pg else statement.sqlite
        traced(sent)
        if statement.lists:
            clean = statement.parameters(clean, pg=self.pg)
        cursor = None
        try:
            cursor = self.pooled.cursor()
            cursor.execute(sent, clean)
            if self.pg not in statement.shapes:
                statement.shapes[self.pg] = _shape(cursor.description)
            shape: Any = statement.shapes[self.pg]
            if shape is None:
                return Rows([], cursor.rowcount)
            rows = [shape._make(row) for row in cursor.fetchall()]
            return Rows(rows, len(rows))
        except self._engine.dialect.loaded_dbapi.Error as problem:
            raise wrapped(self._engine, problem, self.pooled, sent) from problem
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
            cursor = self.pooled.cursor()
            cursor.executemany(sent, [_storable(row) for row in rows])
        except self._engine.dialect.loaded_dbapi.Error as problem:
            raise wrapped(self._engine, problem, self.pooled, sent) from problem
        finally:
            if cursor is not None:
                cursor.close()

    def commit(self) -> None:
        """Ends the transaction: from here on it has happened."""
        traced("commit")
        try:
            self._engine.dialect.do_commit(self.pooled)  # type: ignore[arg-type]
        except self._engine.dialect.loaded_dbapi.Error as problem:
            raise wrapped(self._engine, problem, self.pooled, "commit") from problem

    def rollback(self) -> None:
        """Ends the transaction as if nothing had been; a connection that cannot even do that is given up."""
        if not self.pooled.is_valid:
            return  # it was cut: the server has done so already
        try:
            self.pooled.rollback()
        except self._engine.dialect.loaded_dbapi.Error as problem:
            self.pooled.invalidate(problem)

    @property
    def conn(self) -> sa.Connection:
        """The toolkit's view of this very transaction, for migrations, copies and the queue's savepoints."""
        if self._conn is None:
            self._conn = sa.Connection(self._engine, connection=self.pooled)
        return self._conn


def wrapped(
    engine: sa.Engine, problem: Exception, pooled: sa.PoolProxiedConnection | None, statement: str
) -> exc.DBAPIError:
    """The driver's error as the toolkit's; a connection that was cut is not used again, nor are its neighbours."""
    dialect = engine.dialect
    cut = dialect.is_disconnect(problem, pooled, None)  # type: ignore[arg-type]
    if cut:
        if pooled is not None:
            pooled.invalidate(problem)
        engine.dispose()
    return exc.DBAPIError.instance(  # type: ignore[return-value]
        statement,
        None,
        problem,
        dialect.loaded_dbapi.Error,
        connection_invalidated=cut,
        dialect=dialect,
    )


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
