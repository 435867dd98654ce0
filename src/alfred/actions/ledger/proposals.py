"""The rows of rules that alfred proposes, and of what people decided that they are proposed for.

Invariants: a rule is proposed once, whoever finds it; a no keeps it quiet for a while; what was answered is not changed
by finding it again. Nothing here lets anything through: a proposal is a text until its owner has made the rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from alfred import clock
from alfred.runs import audit
from alfred.store.statement import Sql
from alfred.store.tx import Tx

WITHIN = 30 * clock.DAY
"""So far back a decision is a reason for a rule; so long a rule that was declined stays quiet."""

Answer = Literal["accepted", "declined"]

_DECIDED = Sql(
    "select p.id,p.call_id,p.run_id,p.agent,p.action,p.status,p.risk,c.turn,coalesce(c.asked_args,c.args) as args,"
    "case when c.asked_args is null then 0 else 1 end as changed,r.workspace,r.external,r.parent_id from approvals p"
    " join calls c on c.id=p.call_id join runs r on r.id=p.run_id where p.tenant=:tenant and p.kind='action'"
    " and p.decided_at>alfred_now()-:within"
    # of a call with a secret only what may be shown is there to compare
    " and c.sealed is null and p.status in('approved','rejected','edited') order by p.decided_at desc limit 1000"
)
_NEWEST = Sql(
    "select max(decided_at) from approvals where tenant=:tenant and decided_at>alfred_now()-:within"
)
_FOUND = Sql(
    "insert into proposals(id,tenant,rule_hash,rule,words,times,cards,status,at)"
    " values(:id,:tenant,:rule_hash,:rule,:words,:times,:cards,'open',alfred_now())"
    " on conflict(tenant,rule_hash) do update set times=excluded.times,cards=excluded.cards,"
    "status='open',at=excluded.at where proposals.status='open' or proposals.at<=alfred_now()-:within"
)
_OTHERS = Sql(
    "delete from proposals where tenant=:tenant and status='open' and rule_hash not in :found"
)
_OPEN = Sql(
    "select id,rule,words,times,cards,at from proposals where tenant=:tenant and status='open'"
    " and at>alfred_now()-:within order by times desc,id"
)
_GET = Sql("select id,rule,words,times,cards,at from proposals where id=:id and status='open'")
_ANSWER = Sql(
    "update proposals set status=:status,by=:by,at=alfred_now() where id=:id and status='open' returning tenant,rule"
)
_CARDS = Sql("select id,title,decided_at from approvals where id in :ids order by id")


@dataclass(frozen=True, slots=True)
class Decided:
    """A card about a call that a person has decided."""

    id: str
    call_id: str
    run_id: str
    agent: str
    action: str
    status: str
    risk: str
    turn: int
    args: str
    """As they were proposed, as JSON."""
    changed: int
    """Somebody has changed them before allowing it."""
    workspace: str | None
    external: int
    parent_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A rule that would have covered what people allowed. `id` is made by the caller."""

    id: str
    rule_hash: str
    rule: dict[str, Any]
    words: str
    times: int
    cards: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule that nobody has answered yet."""

    id: str
    rule: dict[str, Any]
    """Without its last day: that counts from the yes."""
    words: str
    times: int
    """How often people allowed what it covers, each turn of a run counted once."""
    cards: tuple[str, ...]
    at: int


def decided(look: Tx, tenant: str) -> list[Decided]:
    """What people said about calls lately, newest first."""
    return [Decided(*row) for row in look(_DECIDED, tenant=tenant, within=WITHIN).all()]


def newest(look: Tx, tenant: str) -> int | None:
    """When something was decided last; None: nothing was, lately."""
    return look(_NEWEST, tenant=tenant, within=WITHIN).scalar()


def found(tx: Tx, tenant: str, proposals: Iterable[Found]) -> None:
    """These are the rules to propose: new ones are open, open ones that are not among them go."""
    known = list(proposals)
    # on Postgres an empty list is no list of texts
    tx(_OTHERS, tenant=tenant, found=[one.rule_hash for one in known] or [""])
    for one in known:
        tx(
            _FOUND,
            id=one.id,
            tenant=tenant,
            rule_hash=one.rule_hash,
            rule=json.dumps(one.rule, ensure_ascii=False),
            words=one.words,
            times=one.times,
            cards=json.dumps(list(one.cards)),
            within=WITHIN,
        )


def open_(look: Tx, tenant: str) -> list[Proposal]:
    """The rules that wait for an answer, what was allowed most often first."""
    return [_proposal(row) for row in look(_OPEN, tenant=tenant, within=WITHIN).all()]


def get(look: Tx, proposal_id: str) -> Proposal | None:
    """A rule that waits for an answer."""
    row = look(_GET, id=proposal_id).one_or_none()
    return _proposal(row) if row else None


def answer(tx: Tx, proposal_id: str, said: Answer, *, by: str) -> bool:
    """open -> accepted or declined, once. Whether it was open."""
    row = tx(_ANSWER, id=proposal_id, status=said, by=by).one_or_none()
    if row is not None:
        audit.append(tx, row.tenant, f"proposal.{said}", by=by, rule=json.loads(row.rule))
    return row is not None


def cards(look: Tx, ids: Sequence[str]) -> list[Any]:
    """The cards of these ids, oldest first: id, title, decided_at."""
    return list(look(_CARDS, ids=list(ids)).all())


def _proposal(row: Any) -> Proposal:
    return Proposal(
        id=row.id,
        rule=json.loads(row.rule),
        words=row.words,
        times=row.times,
        cards=tuple(json.loads(row.cards)),
        at=row.at,
    )
