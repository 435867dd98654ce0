"""What happened, for those who watch (`runs.events`) and for those who check (`runs.audit`)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Index, Integer

from alfred.store.schema.kinds import METADATA, Xid, column, current_xid, maybe, partial

events = sa.Table(
    "events",
    METADATA,
    sa.Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        sa.Identity(always=True),
        primary_key=True,
    ),
    sa.Column("xid", Xid, nullable=False, server_default=current_xid()),
    column("tenant"),
    maybe("run_id"),
    column("kind"),
    column("body"),
    column("at", BigInteger),
    sqlite_autoincrement=True,
)
Index("events_feed", events.c.tenant, events.c.xid, events.c.id)
Index("events_run", events.c.run_id, events.c.xid, events.c.id)
partial("events_terminal", events.c.run_id, unique=True, where="kind='run.terminal'")

audit_heads = sa.Table(
    "audit_heads",
    METADATA,
    column("tenant", primary_key=True),
    column("n", BigInteger),
    column("hash"),
)

audit = sa.Table(
    "audit",
    METADATA,
    column("tenant", primary_key=True),
    column("n", BigInteger, primary_key=True),
    column("prev"),
    column("hash"),
    column("row"),
    column("at", BigInteger),
)
