"""Money (`runs.budget`, `runs.spending`, `runs.blocks`)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, CheckConstraint, Index, Integer

from alfred.store.schema.kinds import METADATA, column, maybe, number, one_of, partial

budgets = sa.Table(
    "budgets",
    METADATA,
    column("tenant", primary_key=True),
    column(
        "scope", primary_key=True
    ),  # 'day', 'agent:<id>', 'run:<root>', each also with ':tokens'
    column("day", primary_key=True),  # local date of the tenant; '' for a run
    maybe("cap", BigInteger),
    number("reserved", kind=BigInteger),
    number("spent", kind=BigInteger),
    CheckConstraint("reserved>=0"),
)

reservations = sa.Table(
    "reservations",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("run_id"),
    column("attempt", Integer),
    column("seq", Integer),
    column("scopes"),  # '|day|agent:main|run:<id>|'
    column("day"),
    column("amount", BigInteger),
    maybe("actual", BigInteger),
    column("status"),
    column("expires_at", BigInteger),
    one_of("status", "open settled lapsed"),
    CheckConstraint("(status='settled')=(actual is not null)"),
)
partial("res_open", reservations.c.expires_at, where="status='open'")

usage = sa.Table(
    "usage",
    METADATA,
    column("id", primary_key=True),  # one row a model request
    column("run_id"),
    column("tenant"),
    column("agent"),
    number("turn"),  # boss answers committed when it was asked
    number("seq"),
    number("attempt"),
    column("purpose"),
    column("model"),
    maybe("model_served"),
    number("input_tokens"),
    number("output_tokens"),
    number("cache_read_tokens"),
    number("cache_write_tokens"),
    maybe("cost", BigInteger),  # null: the price is not known
    number("notional"),
    column("outcome"),  # ok, or the kind of the error
    maybe("detail"),
    number("at", kind=BigInteger),
)
Index("usage_run", usage.c.run_id, usage.c.turn)
Index("usage_day", usage.c.tenant, usage.c.at)

blocks = sa.Table(
    "blocks",
    METADATA,
    column("tenant", primary_key=True),
    column("provider", primary_key=True),
    column("until", BigInteger),
    column("reason", server_default=""),
    number("at", kind=BigInteger),
)
