"""How a Postgres ledger is opened: bounds on how long a stopped worker may hold its rows, and what is refused.

READ COMMITTED; safety comes from row locks taken first and guards repeated in each statement.
"""

from __future__ import annotations

import re
import select
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from alfred import errors
from alfred.store.pool import Pool
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

_USER = re.compile(r"([^:/?@]*):(?!\d*/)([^@]*)@")
"""Who opens it, and the password; `:5432/` is a port."""

_NOTICED = {
    "keepalives_idle": "10",
    "keepalives_interval": "10",
    "keepalives_count": "2",
    "tcp_user_timeout": "30000",
}
"""A server whose machine or network is gone without a word is noticed within a lease, not after the quarter of an hour, or
the two hours, that an operating system waits. What the URL says of it wins."""

_SYNCHRONOUS = Sql("show synchronous_commit")
_VERSION = Sql("show server_version")


def version(tx: Tx) -> str:
    """Which Postgres it is, as that says itself."""
    return str(tx(_VERSION).scalar())


def conninfo(url: str) -> str:
    """A URL as libpq reads it, which wants escaped what people paste as it is: a password with `%`, options with `=`.

    Raises:
        ConfigError: it cannot be read. What libpq says of it may hold the password, and is not repeated.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    rest = _USER.sub(
        lambda found: "{}:{}@".format(
            *(quote(unquote_to_bytes(part), "") for part in found.groups())
        ),
        url.partition("://")[2],
        count=1,
    )
    where, _, options = rest.partition("?")
    asked = urlencode(parse_qsl(options, keep_blank_values=True), quote_via=quote)
    written = f"postgresql://{where}{'?' if asked else ''}{asked}"
    try:
        said = conninfo_to_dict(written)
        clear = "@" not in str(said.get("host"))
    except psycopg.Error:
        said, clear = {}, False
    if not clear:
        raise errors.ConfigError(
            "The database URL cannot be read.",
            next="Write `postgresql://user:password@host:port/name`, `@` in a password as %40; behind `?` only"
            " what libpq knows, as `sslmode=require`.",
        )
    return make_conninfo(**(_NOTICED | said))


def pools(url: str) -> tuple[Pool, Pool, None]:
    """The connections that write and those that read, which are the same: who may write is a matter of the transaction.

    Raises:
        ConfigError: the extra for Postgres is not installed, or the URL cannot be read.
    """
    try:
        import psycopg
    except ImportError:
        raise errors.ConfigError(
            "Postgres needs the extra `postgres`, which is not installed.",
            next='Install `alfred-agents[postgres]`; from the sources that is `uv tool install ".[postgres]"`.',
        ) from None

    where = conninfo(url)

    def connect() -> Any:
        conn: Any = psycopg.connect(where, autocommit=True)
        # A worker that is stopped inside a transaction must not hold its rows: the server frees them.
        settings = {"idle_in_transaction_session_timeout": "5s", "lock_timeout": "5s"}
        if conn.info.server_version >= 170000:
            settings["transaction_timeout"] = "30s"
        try:
            for name, value in settings.items():
                conn.execute(f"set {name} = '{value}'")
        except BaseException:
            conn.close()
            raise
        return conn

    pool = Pool(psycopg, connect, most=32, kept=8, good=_silent)
    return pool, pool, None


def _silent(raw: Any) -> bool:
    """Whether the server has said nothing while the connection rested: what it says then is that it goes away. A verb would
    run again on another one, but nobody looks twice."""
    if raw.closed:
        return False
    heard = select.poll()
    heard.register(raw.fileno(), select.POLLIN)
    return not heard.poll(0)


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
