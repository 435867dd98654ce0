"""The gate (`actions.ledger`): calls, what waits for a person, who was told, what is known of files."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
)

from alfred.store.schema.kinds import METADATA, column, maybe, number, one_of, partial

calls = sa.Table(
    "calls",
    METADATA,
    column("id", primary_key=True),
    column("run_id", Text, ForeignKey("runs.id")),
    column("turn", Integer),
    column("ordinal", Integer),
    maybe("tool_call_id"),  # the provider's id is data: it repeats from turn to turn
    column("action"),
    maybe("integration"),
    column("effect"),
    maybe("risk"),  # null until the gate has judged it
    number("gated"),
    column("args"),  # without the secrets in them
    maybe("sealed"),  # the whole, when something is left out: `actions.ledger.sealed`
    column("args_hash"),
    maybe("run_args_hash"),  # the hash that was approved
    maybe(
        "asked_args"
    ),  # what was proposed, when a person changed it: `args` is what they made of it
    maybe("asked_sealed"),
    maybe("target"),  # JSON: what it touches, as it was when judged
    maybe("preview"),
    maybe("claim"),  # the model's stated reason
    maybe("decision"),  # JSON: verdict, reason, each step of the resolution
    column("integrity", server_default="external"),
    column("confidentiality", server_default="secret"),
    column("status"),
    maybe("effect_key", unique=True),
    maybe("intent_attempt", Integer),
    maybe("intent_at", BigInteger),
    maybe("outcome_at", BigInteger),
    maybe("result"),
    maybe(
        "label"
    ),  # integrity/confidentiality of the result; the two columns above are those of the call
    maybe("error"),
    number("created_at", kind=BigInteger),
    UniqueConstraint("run_id", "turn", "ordinal"),
    one_of("effect", "pure keyed checkable blind"),
    one_of(
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
partial("calls_intent", calls.c.run_id, where="status in('executing','unknown')")
partial(
    "calls_low",
    calls.c.action,
    calls.c.created_at,
    where="(risk='low' or risk is null) and status<>'refused'",
)

file_labels = sa.Table(
    "file_labels",
    METADATA,
    column("tenant", primary_key=True),
    column(
        "path", primary_key=True
    ),  # absolute, as it really is; of a folder: all that is beneath it
    column("folded"),  # as a file system sees it to which upper case means nothing
    column("integrity", server_default="external"),
    column("confidentiality", server_default="secret"),
    column("run_id"),
    number("at", kind=BigInteger),
)
Index("file_labels_folded", file_labels.c.tenant, file_labels.c.folded)

approvals = sa.Table(
    "approvals",
    METADATA,
    column("id", primary_key=True),
    column("call_id", Text, ForeignKey("calls.id")),
    column("version", Integer),
    column("run_id", Text, ForeignKey("runs.id")),
    column("tenant"),
    column("agent", server_default=""),
    column("kind", server_default="action"),
    column("action", server_default=""),
    column("args_hash"),
    column("risk"),
    number("auto_ok"),  # may approve itself: low, and nothing forbids it
    column("title", server_default=""),
    column("preview", server_default=""),
    maybe("claim"),
    maybe("provenance"),
    maybe("edited_args"),
    maybe("supersedes"),
    column("status"),
    number("created_at", kind=BigInteger),
    maybe("delivered_at", BigInteger),
    maybe("auto_approve_at", BigInteger),
    column("expires_at", BigInteger),
    maybe("decision"),
    maybe("decided_by"),
    maybe("decided_via"),
    maybe("decided_at", BigInteger),
    maybe("decision_token", unique=True),
    maybe("reason"),
    UniqueConstraint("call_id", "version"),
    one_of("kind", "action question outcome"),
    one_of(
        "status",
        "pending approved edited rejected auto_approved answered expired superseded cancelled",
    ),
    CheckConstraint("(status='pending')=(decided_at is null)"),
    CheckConstraint("auto_approve_at is null or risk='low'"),
)
partial("approvals_one", approvals.c.call_id, unique=True, where="status='pending'")
partial("approvals_open", approvals.c.tenant, approvals.c.created_at, where="status='pending'")
partial("approvals_due", approvals.c.expires_at, where="status='pending'")
partial(
    "approvals_auto",
    approvals.c.auto_approve_at,
    where="status='pending' and auto_approve_at is not null",
)
Index("approvals_run", approvals.c.run_id)
Index("approvals_listed", approvals.c.tenant, approvals.c.id)
partial(
    "approvals_decided",
    approvals.c.tenant,
    approvals.c.decided_at,
    where="decided_at is not null",
)

notices = sa.Table(
    "notices",
    METADATA,
    column("approval_id", Text, ForeignKey("approvals.id"), primary_key=True),
    column("channel", primary_key=True),
    column("tenant"),
    number("want", 1),
    number("shown"),
    maybe("message_ref"),
    maybe("holder"),
    maybe("holder_until", BigInteger),
    maybe("at", BigInteger),  # when it was shown
    CheckConstraint("shown<=want"),
)
partial("notices_held", notices.c.tenant, notices.c.holder_until, where="holder is not null")
partial("notices_shown", notices.c.tenant, notices.c.at, where="at is not null")

proposals = sa.Table(
    "proposals",
    METADATA,
    column("id", primary_key=True),
    column("tenant"),
    column("rule_hash"),
    column("rule"),  # as an item of policy.rules, without its last day
    column("words"),
    number("times"),
    column("cards"),  # what it is proposed for
    column("status"),
    maybe("by"),
    number("at", kind=BigInteger),  # when it was found last, or answered
    UniqueConstraint("tenant", "rule_hash"),
    one_of("status", "open accepted declined"),
)
