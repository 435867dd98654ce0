"""What starts runs (`runs.triggers`, `runs.revisions`), and keys that are used once (`runs.idempotency`)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, ForeignKey, Integer, Text

from alfred.store.schema.kinds import METADATA, column, maybe, number, partial

triggers = sa.Table(
    "triggers",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("name"),
    number("rev", 1),
    column("spec"),
    maybe("tz"),
    column("enabled", Integer),
    column("overlap", server_default="skip"),
    maybe("next_fire_at", BigInteger),
    maybe("problem"),
    column("agent", server_default="main"),
    column("workflow", server_default="agent"),
    column("task", server_default=""),
    column("mode", server_default="background"),
    column("description", server_default=""),
    maybe("notify"),
    maybe("seed"),  # the config key or page name it came from; a removed one leaves its tombstone
    number("removed"),
    number("created_at", kind=BigInteger),
)
partial("triggers_name", triggers.c.tenant, triggers.c.name, unique=True, where="removed=0")
partial("trig_due", triggers.c.next_fire_at, where="enabled=1")

workflow_revisions = sa.Table(
    "workflow_revisions",
    METADATA,
    column("tenant", primary_key=True),
    column("slug", primary_key=True),
    column("revision", primary_key=True),  # SHA-256 of what the file means
    column("text"),
    number("at", kind=BigInteger),
    maybe("asked"),  # SHA-256 of the contract that a person is asked about
    maybe("asked_contract"),  # JSON
    maybe("contract"),  # JSON, the one that was allowed last
    maybe("activated_by"),
    maybe("activated_at", BigInteger),
    maybe("ended_at", BigInteger),
)
partial(
    "workflow_active",
    workflow_revisions.c.tenant,
    workflow_revisions.c.slug,
    unique=True,
    where="activated_at is not null and ended_at is null",
)

trigger_fires = sa.Table(
    "trigger_fires",
    METADATA,
    column("trigger_id", Text, ForeignKey("triggers.id"), primary_key=True),
    column("fire_key", primary_key=True),  # 's:<utc us>' by schedule, 'm:<ulid>' by hand
    column("fire_at", BigInteger),
    maybe("run_id"),
    column("outcome"),
    number("missed"),
    number("at", kind=BigInteger),
)

idem = sa.Table(
    "idem",
    METADATA,
    column("tenant", primary_key=True),
    column("scope", primary_key=True),
    column("key", primary_key=True),
    column("body_hash"),
    column("ref"),
    maybe("code", Integer),
    column("at", BigInteger),
)
