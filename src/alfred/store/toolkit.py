"""SQLAlchemy's view of a transaction in progress, for the migrations, which are written in it.

Invariant: it works on the very connection of the transaction and neither ends nor keeps it. Nothing that a command or a
worker does every day comes by here: importing it takes longer than all else that a command does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from alfred.store.tx import Tx


class _Borrowed(sa.PoolProxiedConnection):
    """A connection that somebody else opens and closes, and of which `Store` sees for itself when it was cut."""

    def __init__(self, raw: Any):
        self.dbapi_connection: Any = raw
        self.driver_connection: Any = raw

    @property
    def is_valid(self) -> bool:
        return True

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:
        """Nothing: what became of it is told by the error that is on its way."""

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        return self.dbapi_connection.cursor(*args, **kwargs)

    def __getattr__(self, key: str) -> Any:
        return getattr(self.dbapi_connection, key)


@contextlib.contextmanager
def connection(tx: Tx) -> Iterator[sa.Connection]:
    """The transaction, as Alembic and constructs of SQLAlchemy take it.

    Raises:
        DatabaseError: what fails on it, as everywhere else.
    """
    engine = sa.create_engine(
        "postgresql+psycopg://" if tx.pg else "sqlite://", module=tx.pool.driver
    )
    try:
        lent = sa.Connection(engine, connection=_Borrowed(tx.raw))
        # What the database can do is asked on this one too: a role may have no second connection.
        engine.dialect.initialize(lent)
        yield lent
    except sa.exc.DBAPIError as problem:
        assert isinstance(problem.orig, Exception)
        raise tx.trouble(problem.orig, problem.statement or "") from problem
    except tx.pool.driver.Error as problem:
        raise tx.trouble(problem, "a migration") from problem
