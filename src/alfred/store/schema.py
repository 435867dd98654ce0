"""Every table, in one MetaData, grouped by who owns its rows. A list, and long by nature.

Conventions: ids are ULIDs (text); times are microseconds UTC (bigint); money is micro-USD (bigint); JSON is
text; truth values are 0 and 1. `tenant` is in every row that belongs to somebody. Statuses are guarded by
CHECK constraints, so that a broken guard is refused by the database and not only by a test.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles

from alfred.store.connect import Store

METADATA = sa.MetaData()

LIVE = "status in('queued','running','parked')"
OVER = "status in('completed','failed','cancelled')"


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


def _column(name: str, kind: Any = Text, *rest: Any, **options: Any) -> sa.Column[Any]:
    options.setdefault("nullable", False)
    return sa.Column(name, kind, *rest, **options)


def _maybe(name: str, kind: Any = Text, *rest: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *rest, nullable=True, **options)


def _number(name: str, default: int = 0, kind: Any = Integer) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=str(default))


def _one_of(column: str, values: str) -> CheckConstraint:
    quoted = ",".join(f"'{v}'" for v in values.split())
    return CheckConstraint(f"{column} in({quoted})")


def _partial(name: str, *columns: Any, where: str, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


# ---- runs: the durable core (runs.ledger) -----------------------------------------------------------------

runs = sa.Table(
    "runs",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("agent"),
    _column("workflow"),
    _maybe("revision"),  # of the user-written workflow that it runs, as `slug@hash`
    _column("title", server_default=""),
    _maybe("brief"),
    _column("trigger_kind", server_default="cli"),
    _maybe("model"),
    _maybe("grants"),  # JSON of the run's Grant, frozen when it starts
    _maybe("workspace"),  # JSON {root, made, trusted}
    _maybe("inputs"),  # JSON {name: path}
    _maybe("state"),  # small JSON that the workflow's steps hand on
    _number("external"),  # 1 once external text has joined its context
    _number("private"),  # 1 once something private has
    _number("dry_run"),
    _maybe("parent_id", Text, ForeignKey("runs.id")),
    _maybe("parent_call"),
    _column("root_id"),
    _number("depth"),
    _column("session_id"),  # the conversation that it is a turn of; of its own, if of none
    _maybe("singleton_key"),
    _maybe("forked_from"),
    _maybe("forked_seq", Integer),
    _column("status"),
    _maybe("wait"),
    _maybe("wake_at", BigInteger),
    _maybe("park_us", BigInteger),  # how long the park was to last, whatever the clock said then
    _number("park_no"),
    _column("driver", server_default="worker"),
    _column("step"),
    _number("seq"),
    _number("turn"),  # raised by every committed step but `parked`: part of a call's identity
    _number("answers"),  # boss answers committed
    _number("items"),  # how long its transcript is
    _number("attempt"),
    _number("reclaims"),
    _maybe("worker"),
    _maybe("lease_until", BigInteger),
    _maybe("lease_boot"),
    _maybe("running_since", BigInteger),
    _number("ran_us", kind=BigInteger),  # time spent in `running` before `running_since`
    _number("ready_at", kind=BigInteger),
    _number("woken_at", kind=BigInteger),
    _number("priority"),
    _number("cancel"),
    _maybe("max_cost", BigInteger),
    _maybe("asks"),  # the provider whose place it has; behind a `?`: waits for one
    _maybe("error"),  # JSON {code, detail}
    _maybe("result"),
    _number("created_at", kind=BigInteger),
    _maybe("ended_at", BigInteger),
    _one_of("status", "queued running parked completed failed cancelled"),
    _one_of("wait", "approval timer children event question budget limit operator pause"),
    _one_of("driver", "worker process"),
    CheckConstraint("(status='running')=(worker is not null)"),
    CheckConstraint("(status='running')=(lease_until is not null)"),
    CheckConstraint("(status='parked')=(wait is not null)"),
    CheckConstraint("status<>'parked' or wake_at is not null"),  # every park has a deadline
    CheckConstraint(f"({OVER})=(ended_at is not null)"),
    CheckConstraint("cancel=0 or status not in('parked','completed','failed')"),
)
_partial(
    "runs_child", runs.c.parent_id, runs.c.parent_call, unique=True, where="parent_id is not null"
)
_partial(
    "runs_single",
    runs.c.tenant,
    runs.c.singleton_key,
    unique=True,
    where=f"singleton_key is not null and {LIVE}",
)
_partial(
    "runs_session",
    runs.c.session_id,
    unique=True,
    where=f"depth=0 and cancel=0 and {LIVE}",
)
_partial("runs_ready", runs.c.priority, runs.c.ready_at, runs.c.id, where="status='queued'")
_partial("runs_live", runs.c.agent, runs.c.tenant, where="status='running'")
_partial("runs_wake", runs.c.wake_at, where="status='parked'")
_partial("runs_open", runs.c.parent_id, where=LIVE)
_partial("runs_asks", runs.c.tenant, runs.c.asks, where="asks is not null")
Index("runs_listed", runs.c.tenant, runs.c.id)
Index("runs_counted", runs.c.tenant, runs.c.status)

run_steps = sa.Table(
    "run_steps",
    METADATA,
    _column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    _column(
        "seq", Integer, primary_key=True
    ),  # not (run, seq, attempt): a double commit cannot be stored
    _column("attempt", Integer),
    _column("token", unique=True),
    _column("name"),
    _column("worker"),
    _column("outcome"),
    _maybe("started", BigInteger),
    _maybe("ended", BigInteger),
    # Where the run was behind it, so that another can begin there: `runs.forks`.
    _column("next_step", server_default=""),
    _maybe("state"),  # null: as after the step before
    _number("turn"),
    _number("answers"),
    _number("external"),
    _number("private"),
)

leases = sa.Table(
    "leases",
    METADATA,
    _column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    _column("attempt", Integer, primary_key=True),
    _column("worker"),
    _column("at", BigInteger),
    _maybe("ended"),  # why: released, parked, a terminal status, lease, gone, stopped
)

transcript = sa.Table(
    "transcript",
    METADATA,
    _column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    _column("n", Integer, primary_key=True),
    _column("seq", Integer),
    _column("kind"),
    _column("item"),
    _column("integrity", server_default="external"),
    _column("confidentiality", server_default="secret"),
    _number("at", kind=BigInteger),
    _one_of("kind", "system user assistant call result note"),
)

interjections = sa.Table(
    "interjections",
    METADATA,
    _column("id", primary_key=True),
    _column("run_id", Text, ForeignKey("runs.id")),
    _column("body"),
    _column("author", server_default="local"),
    _column("at", BigInteger),
    _maybe("consumed_seq", Integer),
)
_partial("inter_open", interjections.c.run_id, where="consumed_seq is null")

workers = sa.Table(
    "workers",
    METADATA,
    _column("id", primary_key=True),  # a ULID per process start, never host:pid
    _column("host"),
    _column("boot"),
    _column("pidns", server_default=""),
    _column("pid", Integer),
    _column("pid_start", BigInteger),
    _column("kind", server_default="worker"),  # worker, serve, run
    _number("slots"),
    _column("beat", BigInteger),
    _maybe("version"),
    _number("stopping"),
)

switches = sa.Table(
    "switches",
    METADATA,
    _column("tenant", primary_key=True),
    _column("name", primary_key=True),  # `stop`: nothing is claimed while it stands
    _column("at", BigInteger),
    _column("by"),
)

# ---- the gate (actions.ledger) ----------------------------------------------------------------------------

calls = sa.Table(
    "calls",
    METADATA,
    _column("id", primary_key=True),
    _column("run_id", Text, ForeignKey("runs.id")),
    _column("turn", Integer),
    _column("ordinal", Integer),
    _maybe("tool_call_id"),  # the provider's id is data: it repeats from turn to turn
    _column("action"),
    _maybe("integration"),
    _column("effect"),
    _maybe("risk"),  # null until the gate has judged it
    _number("gated"),
    _column("args"),  # without the secrets in them
    _maybe("sealed"),  # the whole, when something is left out: `actions.ledger.sealed`
    _column("args_hash"),
    _maybe("run_args_hash"),  # the hash that was approved
    _maybe(
        "asked_args"
    ),  # what was proposed, when a person changed it: `args` is what they made of it
    _maybe("asked_sealed"),
    _maybe("target"),  # JSON: what it touches, as it was when judged
    _maybe("preview"),
    _maybe("claim"),  # the model's stated reason
    _maybe("decision"),  # JSON: verdict, reason, each step of the resolution
    _column("integrity", server_default="external"),
    _column("confidentiality", server_default="secret"),
    _column("status"),
    _maybe("effect_key", unique=True),
    _maybe("intent_attempt", Integer),
    _maybe("intent_at", BigInteger),
    _maybe("outcome_at", BigInteger),
    _maybe("result"),
    _maybe(
        "label"
    ),  # integrity/confidentiality of the result; the two columns above are those of the call
    _maybe("error"),
    _number("created_at", kind=BigInteger),
    UniqueConstraint("run_id", "turn", "ordinal"),
    _one_of("effect", "pure keyed checkable blind"),
    _one_of(
        "status", "proposed staged approved rejected refused executing done failed unknown skipped"
    ),
    CheckConstraint(
        "status not in('executing','done','failed','unknown') or intent_at is not null"
    ),
    CheckConstraint(
        "status not in('proposed','staged','approved','rejected','refused') or intent_at is null"
    ),
    CheckConstraint("status not in('done','failed') or outcome_at is not null"),
)
_partial("calls_intent", calls.c.run_id, where="status in('executing','unknown')")

file_labels = sa.Table(
    "file_labels",
    METADATA,
    _column("tenant", primary_key=True),
    _column(
        "path", primary_key=True
    ),  # absolute, as it really is; of a folder: all that is beneath it
    _column("folded"),  # as a file system sees it to which upper case means nothing
    _column("integrity", server_default="external"),
    _column("confidentiality", server_default="secret"),
    _column("run_id"),
    _number("at", kind=BigInteger),
)
Index("file_labels_folded", file_labels.c.tenant, file_labels.c.folded)

approvals = sa.Table(
    "approvals",
    METADATA,
    _column("id", primary_key=True),
    _column("call_id", Text, ForeignKey("calls.id")),
    _column("version", Integer),
    _column("run_id", Text, ForeignKey("runs.id")),
    _column("tenant"),
    _column("agent", server_default=""),
    _column("kind", server_default="action"),
    _column("action", server_default=""),
    _column("args_hash"),
    _column("risk"),
    _number("auto_ok"),  # may approve itself: low, and nothing forbids it
    _column("title", server_default=""),
    _column("preview", server_default=""),
    _maybe("claim"),
    _maybe("provenance"),
    _maybe("edited_args"),
    _maybe("supersedes"),
    _column("status"),
    _number("created_at", kind=BigInteger),
    _maybe("delivered_at", BigInteger),
    _maybe("auto_approve_at", BigInteger),
    _column("expires_at", BigInteger),
    _maybe("decision"),
    _maybe("decided_by"),
    _maybe("decided_via"),
    _maybe("decided_at", BigInteger),
    _maybe("decision_token", unique=True),
    _maybe("reason"),
    UniqueConstraint("call_id", "version"),
    _one_of("kind", "action question outcome"),
    _one_of(
        "status",
        "pending approved edited rejected auto_approved answered expired superseded cancelled",
    ),
    CheckConstraint("(status='pending')=(decided_at is null)"),
    CheckConstraint("auto_approve_at is null or risk='low'"),
)
_partial("approvals_one", approvals.c.call_id, unique=True, where="status='pending'")
_partial("approvals_open", approvals.c.tenant, approvals.c.created_at, where="status='pending'")
_partial("approvals_due", approvals.c.expires_at, where="status='pending'")
_partial(
    "approvals_auto",
    approvals.c.auto_approve_at,
    where="status='pending' and auto_approve_at is not null",
)
Index("approvals_run", approvals.c.run_id)
Index("approvals_listed", approvals.c.tenant, approvals.c.id)
_partial(
    "approvals_decided",
    approvals.c.tenant,
    approvals.c.decided_at,
    where="decided_at is not null",
)

notices = sa.Table(
    "notices",
    METADATA,
    _column("approval_id", Text, ForeignKey("approvals.id"), primary_key=True),
    _column("channel", primary_key=True),
    _column("tenant"),
    _number("want", 1),
    _number("shown"),
    _maybe("message_ref"),
    _maybe("holder"),
    _maybe("holder_until", BigInteger),
    _maybe("at", BigInteger),  # when it was shown
    CheckConstraint("shown<=want"),
)
_partial("notices_held", notices.c.tenant, notices.c.holder_until, where="holder is not null")
_partial("notices_shown", notices.c.tenant, notices.c.at, where="at is not null")

proposals = sa.Table(
    "proposals",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("rule_hash"),
    _column("rule"),  # as an item of policy.rules, without its last day
    _column("words"),
    _number("times"),
    _column("cards"),  # what it is proposed for
    _column("status"),
    _maybe("by"),
    _number("at", kind=BigInteger),  # when it was found last, or answered
    UniqueConstraint("tenant", "rule_hash"),
    _one_of("status", "open accepted declined"),
)

# ---- triggers, keys (runs.triggers, runs.ledger) ----------------------------------------------------------

triggers = sa.Table(
    "triggers",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("name"),
    _number("rev", 1),
    _column("spec"),
    _maybe("tz"),
    _column("enabled", Integer),
    _column("overlap", server_default="skip"),
    _maybe("next_fire_at", BigInteger),
    _maybe("problem"),
    _column("agent", server_default="main"),
    _column("workflow", server_default="agent"),
    _column("task", server_default=""),
    _column("mode", server_default="background"),
    _column("description", server_default=""),
    _maybe("notify"),
    _maybe("seed"),  # the config key or page name it came from; a removed one leaves its tombstone
    _number("removed"),
    _number("created_at", kind=BigInteger),
)
_partial("triggers_name", triggers.c.tenant, triggers.c.name, unique=True, where="removed=0")
_partial("trig_due", triggers.c.next_fire_at, where="enabled=1")

workflow_revisions = sa.Table(
    "workflow_revisions",
    METADATA,
    _column("tenant", primary_key=True),
    _column("slug", primary_key=True),
    _column("revision", primary_key=True),  # SHA-256 of what the file means
    _column("text"),
    _number("at", kind=BigInteger),
    _maybe("asked"),  # SHA-256 of the contract that a person is asked about
    _maybe("asked_contract"),  # JSON
    _maybe("contract"),  # JSON, the one that was allowed last
    _maybe("activated_by"),
    _maybe("activated_at", BigInteger),
    _maybe("ended_at", BigInteger),
)
_partial(
    "workflow_active",
    workflow_revisions.c.tenant,
    workflow_revisions.c.slug,
    unique=True,
    where="activated_at is not null and ended_at is null",
)

trigger_fires = sa.Table(
    "trigger_fires",
    METADATA,
    _column("trigger_id", Text, ForeignKey("triggers.id"), primary_key=True),
    _column("fire_key", primary_key=True),  # 's:<utc us>' by schedule, 'm:<ulid>' by hand
    _column("fire_at", BigInteger),
    _maybe("run_id"),
    _column("outcome"),
    _number("missed"),
    _number("at", kind=BigInteger),
)

idem = sa.Table(
    "idem",
    METADATA,
    _column("tenant", primary_key=True),
    _column("scope", primary_key=True),
    _column("key", primary_key=True),
    _column("body_hash"),
    _column("ref"),
    _maybe("code", Integer),
    _column("at", BigInteger),
)

# ---- feed, audit (runs.events, runs.audit) ----------------------------------------------------------------

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
    _column("tenant"),
    _maybe("run_id"),
    _column("kind"),
    _column("body"),
    _column("at", BigInteger),
    sqlite_autoincrement=True,
)
Index("events_feed", events.c.tenant, events.c.xid, events.c.id)
Index("events_run", events.c.run_id, events.c.xid, events.c.id)
_partial("events_terminal", events.c.run_id, unique=True, where="kind='run.terminal'")

audit_heads = sa.Table(
    "audit_heads",
    METADATA,
    _column("tenant", primary_key=True),
    _column("n", BigInteger),
    _column("hash"),
)

audit = sa.Table(
    "audit",
    METADATA,
    _column("tenant", primary_key=True),
    _column("n", BigInteger, primary_key=True),
    _column("prev"),
    _column("hash"),
    _column("row"),
    _column("at", BigInteger),
)

# ---- money (runs.budget) ----------------------------------------------------------------------------------

budgets = sa.Table(
    "budgets",
    METADATA,
    _column("tenant", primary_key=True),
    _column(
        "scope", primary_key=True
    ),  # 'day', 'agent:<id>', 'run:<root>', each also with ':tokens'
    _column("day", primary_key=True),  # local date of the tenant; '' for a run
    _maybe("cap", BigInteger),
    _number("reserved", kind=BigInteger),
    _number("spent", kind=BigInteger),
    CheckConstraint("reserved>=0"),
)

reservations = sa.Table(
    "reservations",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("run_id"),
    _column("attempt", Integer),
    _column("seq", Integer),
    _column("scopes"),  # '|day|agent:main|run:<id>|'
    _column("day"),
    _column("amount", BigInteger),
    _maybe("actual", BigInteger),
    _column("status"),
    _column("expires_at", BigInteger),
    _one_of("status", "open settled lapsed"),
    CheckConstraint("(status='settled')=(actual is not null)"),
)
_partial("res_open", reservations.c.expires_at, where="status='open'")

usage = sa.Table(
    "usage",
    METADATA,
    _column("id", primary_key=True),  # one row a model request
    _column("run_id"),
    _column("tenant"),
    _column("agent"),
    _number("turn"),  # boss answers committed when it was asked
    _number("seq"),
    _number("attempt"),
    _column("purpose"),
    _column("model"),
    _maybe("model_served"),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("cache_read_tokens"),
    _number("cache_write_tokens"),
    _maybe("cost", BigInteger),  # null: the price is not known
    _number("notional"),
    _column("outcome"),  # ok, or the kind of the error
    _maybe("detail"),
    _number("at", kind=BigInteger),
)
Index("usage_run", usage.c.run_id, usage.c.turn)
Index("usage_day", usage.c.tenant, usage.c.at)

blocks = sa.Table(
    "blocks",
    METADATA,
    _column("tenant", primary_key=True),
    _column("provider", primary_key=True),
    _column("until", BigInteger),
    _column("reason", server_default=""),
    _number("at", kind=BigInteger),
)

# ---- conversations, memory, people (agents.ledger, memory.ledger, later floors) ----------------------------

sessions = sa.Table(
    "sessions",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("agent"),
    _maybe("title"),  # what was said first
    _maybe("model"),  # who answers in it, where that is not the agent's
    _number("created_at", kind=BigInteger),
    _number("used_at", kind=BigInteger),
)
Index("sessions_used", sessions.c.tenant, sessions.c.agent, sessions.c.used_at)

session_keys = sa.Table(
    "session_keys",
    METADATA,
    _column("tenant", primary_key=True),
    _column(
        "key", primary_key=True
    ),  # where messages come from; it may point to another session later
    _column("session_id", Text, ForeignKey("sessions.id")),
)

session_turns = sa.Table(
    "session_turns",
    METADATA,
    _column("session_id", Text, ForeignKey("sessions.id"), primary_key=True),
    _column("n", Integer, primary_key=True),
    _column("run_id", Text, ForeignKey("runs.id")),  # has the transcript; nothing is copied
)

memories = sa.Table(
    "memories",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("agent"),
    _column("text"),
    _maybe("source_run"),
    _maybe("effect_key", unique=True),
    _column("integrity", server_default="external"),
    _column("confidentiality", server_default="secret"),
    _number("at", kind=BigInteger),
)
Index("memories_owner", memories.c.tenant, memories.c.agent)

todos = sa.Table(
    "todos",
    METADATA,
    _column("id", primary_key=True),
    _column("tenant"),
    _column("agent"),
    _column("text"),
    _maybe("due"),
    _column("status", server_default="open"),
    _maybe("source_run"),
    _maybe("effect_key", unique=True),
    _number("at", kind=BigInteger),
    _maybe("done_at", BigInteger),
    _one_of("status", "suggested open done dismissed"),
)

scratch = sa.Table(
    "scratch",
    METADATA,
    _column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    _column("path", primary_key=True),
    _column("value"),
    _column("author"),
    _maybe("origin"),  # the name that it was promoted from
    _maybe("reason"),  # why it was
    _maybe("form"),  # JSON schema that the value was asked to fit
    _column("integrity", server_default="external"),
    _column("confidentiality", server_default="secret"),
    _number("at", kind=BigInteger),
)

mcp_pins = sa.Table(
    "mcp_pins",
    METADATA,
    _column("tenant", primary_key=True),
    _column("scope", primary_key=True),  # the agent whose entry has the server; empty: the top
    _column("server", primary_key=True),
    _column("definition"),  # SHA-256 of what the configuration says
    _column("digest"),  # SHA-256 of the tools as they were pinned
    _column("tools"),  # JSON, as they are offered
    _maybe("seen"),  # SHA-256 of the tools that it has now; null: the pinned ones
    _maybe("seen_tools"),
    _maybe("asked"),  # the run that asks a person
    _column("by"),
    _number("at", kind=BigInteger),
)

listeners = sa.Table(
    "listeners",
    METADATA,
    _column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    _column("target", primary_key=True),  # a chat, as channels write it
    _column("channel"),
    _number("at", kind=BigInteger),  # when something was said there last
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
    _column("id", unique=True),  # the key of every try to send it
    _column("tenant"),
    _column("channel"),
    _column("target"),
    _maybe("run_id"),
    _column("body"),
    _number("attempts"),
    _number("next_at", kind=BigInteger),
    _maybe("holder"),
    _maybe("holder_until", BigInteger),
    _maybe("sent_at", BigInteger),
    _maybe("dead_at", BigInteger),
    _maybe("ref"),  # the platform's own id of what was sent
    _maybe("error"),
    _number("at", kind=BigInteger),
    sqlite_autoincrement=True,
)
_partial(
    "outbox_open",
    outbox.c.tenant,
    outbox.c.channel,
    outbox.c.target,
    outbox.c.n,
    where="sent_at is null and dead_at is null",
)

meta = sa.Table("meta", METADATA, _column("k", primary_key=True), _column("v"))
"""`schema` (the revision), `feed_epoch`, `installation_key` (hex), `made_by`."""


def _accents() -> tuple[str, str]:
    """Latin letters with accents, and the same letters without."""
    pairs = []
    for code in range(0xC0, 0x250):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base != chr(code) and base.isascii():
            pairs.append((chr(code), base))
    return "".join(accented for accented, _ in pairs), "".join(base for _, base in pairs)


ACCENTED, BARE = _accents()

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
        METADATA.create_all(tx.conn)
        for statement in EXTRAS[tx.conn.dialect.name]:
            tx.conn.exec_driver_sql(statement)

    store.transact(make)
