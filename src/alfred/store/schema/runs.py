"""The durable core (`runs.ledger`): runs, their steps and transcripts, who holds them, what was said to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, Text

from alfred.store.schema.kinds import METADATA, column, maybe, number, one_of, partial

LIVE = "status in('queued','running','parked')"
OVER = "status in('completed','failed','cancelled')"

runs = sa.Table(
    "runs",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("agent"),
    column("workflow"),
    maybe("revision"),  # of the user-written workflow that it runs, as `slug@hash`
    column("title", server_default=""),
    maybe("brief"),
    column("trigger_kind", server_default="cli"),
    maybe("model"),
    maybe("grants"),  # JSON of the run's Grant, frozen when it starts
    maybe("workspace"),  # JSON {root, made, trusted}
    maybe("inputs"),  # JSON {name: path}
    maybe("state"),  # small JSON that the workflow's steps hand on
    number("external"),  # 1 once external text has joined its context
    number("private"),  # 1 once something private has
    number("dry_run"),
    maybe("parent_id", Text, ForeignKey("runs.id")),
    maybe("parent_call"),
    column("root_id"),
    number("depth"),
    column("session_id"),  # the conversation that it is a turn of; of its own, if of none
    maybe("singleton_key"),
    maybe("forked_from"),
    maybe("forked_seq", Integer),
    column("status"),
    maybe("wait"),
    maybe("wake_at", BigInteger),
    maybe("park_us", BigInteger),  # how long the park was to last, whatever the clock said then
    number("park_no"),
    column("driver", server_default="worker"),
    column("step"),
    number("seq"),
    number("turn"),  # raised by every committed step but `parked`: part of a call's identity
    number("answers"),  # boss answers committed
    number("items"),  # how long its transcript is
    number("attempt"),
    number("reclaims"),
    maybe("worker"),
    maybe("lease_until", BigInteger),
    maybe("lease_boot"),
    maybe("running_since", BigInteger),
    number("ran_us", kind=BigInteger),  # time spent in `running` before `running_since`
    number("ready_at", kind=BigInteger),
    number("woken_at", kind=BigInteger),
    number("priority"),
    number("cancel"),
    maybe("max_cost", BigInteger),
    maybe("asks"),  # the provider whose place it has; `?` waits for one, `+` has one kept
    maybe("error"),  # JSON {code, detail}
    maybe("result"),
    number("created_at", kind=BigInteger),
    maybe("ended_at", BigInteger),
    one_of("status", "queued running parked completed failed cancelled"),
    one_of("wait", "approval timer children event question budget limit operator pause"),
    one_of("driver", "worker process"),
    CheckConstraint("(status='running')=(worker is not null)"),
    CheckConstraint("(status='running')=(lease_until is not null)"),
    CheckConstraint("(status='parked')=(wait is not null)"),
    CheckConstraint("status<>'parked' or wake_at is not null"),  # every park has a deadline
    CheckConstraint(f"({OVER})=(ended_at is not null)"),
    CheckConstraint("cancel=0 or status not in('parked','completed','failed')"),
)
partial(
    "runs_child", runs.c.parent_id, runs.c.parent_call, unique=True, where="parent_id is not null"
)
partial(
    "runs_single",
    runs.c.tenant,
    runs.c.singleton_key,
    unique=True,
    where=f"singleton_key is not null and {LIVE}",
)
partial(
    "runs_session",
    runs.c.session_id,
    unique=True,
    where=f"depth=0 and cancel=0 and {LIVE}",
)
partial("runs_ready", runs.c.priority, runs.c.ready_at, runs.c.id, where="status='queued'")
partial(
    "runs_queues",
    *(runs.c.tenant, runs.c.agent, runs.c.priority, runs.c.ready_at, runs.c.id),
    where="status='queued'",
)
partial("runs_live", runs.c.agent, runs.c.tenant, where="status='running'")
partial("runs_wake", runs.c.wake_at, where="status='parked'")
partial("runs_open", runs.c.parent_id, where=LIVE)
partial("runs_asks", runs.c.tenant, runs.c.asks, where="asks is not null")
Index("runs_listed", runs.c.tenant, runs.c.id)
Index("runs_counted", runs.c.tenant, runs.c.status)

run_steps = sa.Table(
    "run_steps",
    METADATA,
    column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    column(
        "seq", Integer, primary_key=True
    ),  # not (run, seq, attempt): a double commit cannot be stored
    column("attempt", Integer),
    column("token", unique=True),
    column("name"),
    column("worker"),
    column("outcome"),
    maybe("started", BigInteger),
    maybe("ended", BigInteger),
    # Where the run was behind it, so that another can begin there: `runs.forks`.
    column("next_step", server_default=""),
    maybe("state"),  # null: as after the step before
    number("turn"),
    number("answers"),
    number("external"),
    number("private"),
)

leases = sa.Table(
    "leases",
    METADATA,
    column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    column("attempt", Integer, primary_key=True),
    column("worker"),
    column("at", BigInteger),
    maybe("ended"),  # why: released, parked, a terminal status, lease, gone, stopped
)

transcript = sa.Table(
    "transcript",
    METADATA,
    column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    column("n", Integer, primary_key=True),
    column("seq", Integer),
    column("kind"),
    column("item"),
    column("integrity", server_default="external"),
    column("confidentiality", server_default="secret"),
    number("at", kind=BigInteger),
    one_of("kind", "system user assistant call result note"),
)

tool_lists = sa.Table(
    "tool_lists",
    METADATA,
    column("tenant", primary_key=True),
    column("digest", primary_key=True),  # SHA-256 of the body
    column("body"),  # JSON of the tools that runs were offered; their heads name it by its digest
    number("at", kind=BigInteger),
)

interjections = sa.Table(
    "interjections",
    METADATA,
    column("id", primary_key=True),
    column("run_id", Text, ForeignKey("runs.id")),
    column("body"),
    column("author", server_default="local"),
    column("at", BigInteger),
    maybe("consumed_seq", Integer),
)
partial("inter_open", interjections.c.run_id, where="consumed_seq is null")

workers = sa.Table(
    "workers",
    METADATA,
    column("id", primary_key=True),  # a ULID per process start, never host:pid
    column("host"),
    column("boot"),
    column("pidns", server_default=""),
    column("pid", Integer),
    column("pid_start", BigInteger),
    column("kind", server_default="worker"),  # worker, serve, run
    number("slots"),
    column("beat", BigInteger),
    maybe("version"),
    number("stopping"),
)

switches = sa.Table(
    "switches",
    METADATA,
    column("tenant", primary_key=True),
    column("name", primary_key=True),  # `stop`: nothing is claimed while it stands
    column("at", BigInteger),
    column("by"),
)
