"""Every table, in one MetaData; a file for each owner of rows.

Conventions: ids are ULIDs (text); times are microseconds UTC (bigint); money is micro-USD (bigint); JSON is
text; truth values are 0 and 1. `tenant` is in every row that belongs to somebody. Statuses are guarded by
CHECK constraints, so that a broken guard is refused by the database and not only by a test.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from alfred.store import toolkit
from alfred.store.accents import ACCENTED, BARE
from alfred.store.connect import Store
from alfred.store.schema.conversations import (
    listeners,
    mcp_pins,
    memories,
    outbox,
    scratch,
    session_keys,
    session_turns,
    sessions,
    todos,
)
from alfred.store.schema.feed import audit, audit_heads, events
from alfred.store.schema.gate import approvals, calls, file_labels, notices, proposals
from alfred.store.schema.kinds import METADATA, Xid, column
from alfred.store.schema.money import blocks, budgets, reservations, usage
from alfred.store.schema.runs import (
    interjections,
    leases,
    run_steps,
    runs,
    switches,
    tool_lists,
    transcript,
    workers,
)
from alfred.store.schema.triggers import idem, trigger_fires, triggers, workflow_revisions

__all__ = [
    "EXTRAS",
    "METADATA",
    "Xid",
    "approvals",
    "audit",
    "audit_heads",
    "blocks",
    "budgets",
    "calls",
    "create_all",
    "events",
    "file_labels",
    "idem",
    "interjections",
    "leases",
    "listeners",
    "mcp_pins",
    "memories",
    "meta",
    "notices",
    "outbox",
    "proposals",
    "reservations",
    "run_steps",
    "runs",
    "scratch",
    "session_keys",
    "session_turns",
    "sessions",
    "switches",
    "todos",
    "tool_lists",
    "transcript",
    "trigger_fires",
    "triggers",
    "usage",
    "workers",
    "workflow_revisions",
]

meta = sa.Table("meta", METADATA, column("k", primary_key=True), column("v"))
"""`schema` (the revision), `feed_epoch`, `installation_key` (hex), `made_by`."""


EXTRAS = {
    "sqlite": (
        # The index has its own copy keyed by id: VACUUM may renumber the rowids of a table without an integer key.
        "create virtual table memories_fts using fts5(id unindexed, text, tokenize='porter unicode61')",
        "create trigger memories_ai after insert on memories begin"
        " insert into memories_fts(id, text) values (new.id, new.text); end",
        "create trigger memories_ad after delete on memories begin"
        " delete from memories_fts where id = old.id; end",
        "create virtual table said_fts using fts5(run_id unindexed, n unindexed, text)",
        "create trigger said_ai after insert on transcript when new.kind in('user','assistant') begin"
        " insert into said_fts(run_id, n, text) values (new.run_id, new.n,"
        " case when json_valid(new.item) then json_extract(new.item,'$.text') else new.item end); end",
    ),
    "postgresql": (
        "create function alfred_now() returns bigint language sql volatile as"
        " $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint $$",
        "create function alfred_mono() returns bigint language sql volatile as $$ select alfred_now() $$",
        "create index memories_fts on memories using gin (to_tsvector('simple', text))",
        # without accents, as FTS5 has them; of a long text the beginning, for a tsvector holds no more than 1 MB
        "create function alfred_words(said text) returns tsvector language sql immutable as $$ select"
        " to_tsvector('simple', translate(replace(replace(substring(left(said, 100000)"
        f" from '\"text\": \"((?:[^\"\\\\]|\\\\.)*)'), '\\n', ' '), '\\t', ' '), '{ACCENTED}', '{BARE}')) $$",
        "create index said_fts on transcript using gin (alfred_words(item)) where kind in('user','assistant')",
        # Room beside each row: a step's update stays on its page and touches no index (none holds what a step changes).
        "alter table runs set (fillfactor=70)",
    ),
}
"""What no Table can say: the clock of the database and full-text search."""


def create_all(store: Store) -> None:
    """Makes every table in an empty database. Migrations from empty must give the same (tested)."""

    def make(tx: Any) -> None:
        with toolkit.connection(tx) as connection:
            METADATA.create_all(connection)
            for statement in EXTRAS[connection.dialect.name]:
                connection.exec_driver_sql(statement)

    store.transact(make)
