"""Databases of the tests' Postgres that are used again, with the connections to them.

To empty one takes 2 ms; to copy the template, connect and drop the copy takes the server more than the test itself.

A test cannot tell such a database from a new one: every row is gone, those of the template are back, every sequence
begins anew, nobody else is connected. What could not be put right so, a changed schema or a session that somebody
left open, ends the database: it is dropped, and the next test gets a copy of the template.
"""

from __future__ import annotations

import contextlib
import copy
import time
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from alfred.store import connect
from tests import pg

LEAVING = 2.0
"""Seconds that sessions get to end: the server notices a moment later that a connection was closed."""

OURS = "reused"
"""The application name of the connections that stay from test to test."""

# Rows of the catalogs that belong to us, by who wrote them last: whatever changes the schema changes this.
SCHEMA = " union all ".join(
    f"select '{catalog}', count(*), coalesce(sum(xmin::text::bigint), 0) from {catalog}"
    f" where {key} >= 16384"
    for catalog, key in (
        ("pg_namespace", "oid"),
        ("pg_class", "oid"),
        ("pg_attribute", "attrelid"),
        ("pg_attrdef", "oid"),
        ("pg_constraint", "oid"),
        ("pg_index", "indexrelid"),
        ("pg_trigger", "oid"),
        ("pg_proc", "oid"),
    )
).encode()
TABLES: LiteralString = """
    select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid >= 16384 and c.relkind = 'r' order by c.oid
"""
SEQUENCES: LiteralString = "select setval(seqrelid::regclass, seqstart, false) from pg_sequence"
SESSIONS: LiteralString = f"""
    select count(*) filter (where application_name = '{OURS}'),
        count(*) filter (where application_name <> '{OURS}')
    from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""


class Reused:
    """The databases of one test process: `take` one, `give` it back."""

    def __init__(self, server: pg.Server):
        self._server = server
        self._rested: list[_Database] = []
        self._taken: dict[str, _Database] = {}

    def take(self) -> str:
        """The URL of a database that is as new."""
        while self._rested:
            database = self._rested.pop()
            if database.made_new():
                break
            self._drop(database)
        else:
            database = _Database(self._server.create())
        self._taken[database.url] = database
        return database.url

    def store(self, url: str) -> connect.Store:
        """An open store on a taken database; its connections are not to be closed."""
        return self._taken[url].store()

    def give(self, url: str) -> None:
        """The test is done with it."""
        self._rested.append(self._taken.pop(url))

    def close(self) -> None:
        """Drops them all."""
        for database in (*self._rested, *self._taken.values()):
            self._drop(database)

    def _drop(self, database: _Database) -> None:
        database.close()
        self._server.drop(database.url)


class _Database:
    """One database, the line by which it is emptied, and how it was when it was new."""

    def __init__(self, url: str):
        self.url = url
        self._line = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        self._line.execute("set lock_timeout = '2s'")
        self._opened: connect.Store | None = None
        self._schema = self._all(SCHEMA)
        tables = [sql.Identifier(*name) for name in self._all(TABLES)]
        # One statement, so that the order of the tables is nobody's concern: foreign keys are looked at when it ends.
        deletes = [
            sql.SQL("d{} as (delete from {})").format(sql.Literal(number), table)
            for number, table in enumerate(tables)
        ]
        self._empty = sql.SQL("with {} select 1").format(sql.SQL(", ").join(deletes))
        self._rows: list[tuple[sql.Composed, str]] = []
        for table in tables:
            [(rows,)] = self._all(sql.SQL("select json_agg(t)::text from {} t").format(table))
            if rows:
                refill = sql.SQL(
                    "insert into {0} select * from json_populate_recordset(null::{0}, %s)"
                )
                self._rows.append((refill.format(table), rows))

    def store(self) -> connect.Store:
        """As nobody has used it before, over connections that stay open."""
        if self._opened is None:
            self._opened = connect.open_store(f"{self.url}?application_name={OURS}")
            self._opened.url = self.url
        return copy.copy(self._opened)

    def made_new(self) -> bool:
        """Puts everything back; False when that cannot be done."""
        with contextlib.suppress(psycopg.Error):
            if not self._alone() or self._all(SCHEMA) != self._schema:
                return False
            self._line.execute(self._empty)
            for refill, rows in self._rows:
                self._line.execute(refill, [rows])
            self._line.execute(SEQUENCES)
            return True
        return False

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._line.close()

    def _alone(self) -> bool:
        """Whether the only sessions are ours, and rest."""
        used, resting = self._opened._writer.numbers if self._opened else (0, 0)
        if used:
            return False
        until = time.monotonic() + LEAVING
        while self._all(SESSIONS) != [(resting, 0)]:
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def _all(self, statement: LiteralString | bytes | sql.Composed) -> list[tuple[Any, ...]]:
        return self._line.execute(statement).fetchall()
