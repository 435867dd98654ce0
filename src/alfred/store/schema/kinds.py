"""What tables are made of here: the one MetaData, columns and their checks, and what each database says its own way."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Index, Integer, Text, text
from sqlalchemy.ext.compiler import compiles

METADATA = sa.MetaData()


class Xid(sa.types.UserDefinedType[int]):
    """Which transaction wrote a row: Postgres' xid8, a bigint on SQLite."""

    cache_ok = True


@compiles(Xid, "postgresql")
def _xid_pg(*_: Any, **__: Any) -> str:
    return "xid8"


@compiles(Xid)
def _xid(*_: Any, **__: Any) -> str:
    return "bigint"


class current_xid(sa.sql.functions.FunctionElement[int]):
    """The default of `events.xid`: the transaction's number on Postgres, 0 on SQLite (one writer, ids are in order)."""

    inherit_cache = True


@compiles(current_xid, "postgresql")
def _current_xid_pg(*_: Any, **__: Any) -> str:
    return "pg_current_xact_id()"


@compiles(current_xid)
def _current_xid(*_: Any, **__: Any) -> str:
    return "0"


def column(name: str, kind: Any = Text, *rest: Any, **options: Any) -> sa.Column[Any]:
    """A column that always has a value."""
    options.setdefault("nullable", False)
    return sa.Column(name, kind, *rest, **options)


def maybe(name: str, kind: Any = Text, *rest: Any, **options: Any) -> sa.Column[Any]:
    """A column that may be null."""
    return sa.Column(name, kind, *rest, nullable=True, **options)


def number(name: str, default: int = 0, kind: Any = Integer) -> sa.Column[Any]:
    """A number, with what it is at first."""
    return sa.Column(name, kind, nullable=False, server_default=str(default))


def one_of(column: str, values: str) -> CheckConstraint:
    """The only values, parted by blanks, that a column may have."""
    quoted = ",".join(f"'{v}'" for v in values.split())
    return CheckConstraint(f"{column} in({quoted})")


def partial(name: str, *columns: Any, where: str, unique: bool = False) -> None:
    """An index of the rows that `where` names."""
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
