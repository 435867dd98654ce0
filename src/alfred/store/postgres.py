"""How a Postgres ledger is opened: bounds on how long a stopped worker may hold its rows, and what is refused.

READ COMMITTED; safety comes from row locks taken first and guards repeated in each statement.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from alfred import errors
from alfred.store.statement import Sql
from alfred.store.tx import Tx

TRANSIENT = {
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
"""SQLSTATEs after which the same transaction may go through: conflicts, locks, time limits, a server that restarts."""

_SYNCHRONOUS = Sql("show synchronous_commit")
_VERSION = Sql("show server_version")


def version(tx: Tx) -> str:
    """Which Postgres it is, as that says itself."""
    return str(tx(_VERSION).scalar())


def engines(url: sa.URL) -> tuple[sa.Engine, sa.Engine, None]:
    """The engine that writes and the one that reads, which are the same: who may write is a matter of the transaction.

    Raises:
        ConfigError: the extra for Postgres is not installed.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise errors.ConfigError(
            "Postgres needs the extra `postgres`, which is not installed.",
            next='Install `alfred-agents[postgres]`; from the sources that is `uv tool install ".[postgres]"`.',
        ) from None
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=24,
        pool_use_lifo=True,
        pool_reset_on_return=None,  # whoever opens a transaction ends it: `Store`
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

    return engine, engine, None


def check(look: Tx) -> None:
    """Looks at the server's settings.

    Raises:
        ConfigError: it may forget what it acknowledged.
    """
    if look(_SYNCHRONOUS).scalar() == "off":
        raise errors.ConfigError(
            "The Postgres server runs with synchronous_commit=off: it may forget what it acknowledged.",
            next="Set synchronous_commit to `on` for this database.",
        )
