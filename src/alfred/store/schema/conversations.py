"""Conversations, memory, people (`runs.sessions`, `memory.ledger`, `runs.outbox` and floors above)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text

from alfred.store.schema.kinds import METADATA, column, maybe, number, one_of, partial

sessions = sa.Table(
    "sessions",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("agent"),
    maybe("title"),  # what was said first
    maybe("model"),  # who answers in it, where that is not the agent's
    number("created_at", kind=BigInteger),
    number("used_at", kind=BigInteger),
)
Index("sessions_used", sessions.c.tenant, sessions.c.agent, sessions.c.used_at)

session_keys = sa.Table(
    "session_keys",
    METADATA,
    column("tenant", primary_key=True),
    column(
        "key", primary_key=True
    ),  # where messages come from; it may point to another session later
    column("session_id", Text, ForeignKey("sessions.id")),
)

session_turns = sa.Table(
    "session_turns",
    METADATA,
    column("session_id", Text, ForeignKey("sessions.id"), primary_key=True),
    column("n", Integer, primary_key=True),
    column("run_id", Text, ForeignKey("runs.id")),  # has the transcript; nothing is copied
)

memories = sa.Table(
    "memories",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("agent"),
    column("text"),
    maybe("source_run"),
    maybe("effect_key", unique=True),
    column("integrity", server_default="external"),
    column("confidentiality", server_default="secret"),
    number("at", kind=BigInteger),
)
Index("memories_owner", memories.c.tenant, memories.c.agent)

todos = sa.Table(
    "todos",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("agent"),
    column("text"),
    maybe("due"),
    column("status", server_default="open"),
    maybe("source_run"),
    maybe("effect_key", unique=True),
    number("at", kind=BigInteger),
    maybe("done_at", BigInteger),
    one_of("status", "suggested open done dismissed"),
)

scratch = sa.Table(
    "scratch",
    METADATA,
    column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    column("path", primary_key=True),
    column("value"),
    column("author"),
    maybe("origin"),  # the name that it was promoted from
    maybe("reason"),  # why it was
    maybe("form"),  # JSON schema that the value was asked to fit
    column("integrity", server_default="external"),
    column("confidentiality", server_default="secret"),
    number("at", kind=BigInteger),
)

mcp_pins = sa.Table(
    "mcp_pins",
    METADATA,
    column("tenant", primary_key=True),
    column("scope", primary_key=True),  # the agent whose entry has the server; empty: the top
    column("server", primary_key=True),
    column("definition"),  # SHA-256 of what the configuration says
    column("digest"),  # SHA-256 of the tools as they were pinned
    column("tools"),  # JSON, as they are offered
    maybe("seen"),  # SHA-256 of the tools that it has now; null: the pinned ones
    maybe("seen_tools"),
    maybe("asked"),  # the run that asks a person
    column("by"),
    number("at", kind=BigInteger),
)

listeners = sa.Table(
    "listeners",
    METADATA,
    column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    column("target", primary_key=True),  # a chat, as channels write it
    column("channel"),
    number("at", kind=BigInteger),  # when something was said there last
)
Index("listeners_target", listeners.c.target)

outbox = sa.Table(
    "outbox",
    METADATA,
    sa.Column(
        "n",  # the order in which a chat is told
        BigInteger().with_variant(Integer, "sqlite"),
        sa.Identity(always=True),
        primary_key=True,
    ),
    column("id", unique=True),  # the key of every try to send it
    column("tenant"),
    column("channel"),
    column("target"),
    maybe("run_id"),
    column("body"),
    number("attempts"),
    number("next_at", kind=BigInteger),
    maybe("holder"),
    maybe("holder_until", BigInteger),
    maybe("sent_at", BigInteger),
    maybe("dead_at", BigInteger),
    maybe("ref"),  # the platform's own id of what was sent
    maybe("error"),
    number("at", kind=BigInteger),
    sqlite_autoincrement=True,
)
partial(
    "outbox_open",
    outbox.c.tenant,
    outbox.c.channel,
    outbox.c.target,
    outbox.c.n,
    where="sent_at is null and dead_at is null",
)
