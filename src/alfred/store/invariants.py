"""What must hold in every committed state of the ledger, and the check of a database against it.

Each invariant is a query whose rows are the violations: `alfred db check` runs them, and so does every crash,
race and soak test. They name states that no order of verbs may lead to, so that a row is a defect of the
program or of the disk, never of the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alfred.store import backup
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_PAGES = Sql("pragma integrity_check(100)")
_LOST = Sql("pragma foreign_key_check")
SHOWN = 5
"""Violations that one finding names."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule, and the query for what breaks it: its first column names the row."""

    name: str
    sql: Sql


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a database."""

    check: str
    """The rule that is broken."""
    count: int
    """How many rows break it."""
    rows: tuple[str, ...]
    """The first few of them."""


_SETS = {
    "<over>": "in('completed','failed','cancelled')",
    "<live>": "in('queued','running','parked')",
    "<sent>": "in('executing','done','failed','unknown')",
}


def _rule(name: str, sql: str) -> Invariant:
    for word, values in _SETS.items():
        sql = sql.replace(word, values)
    return Invariant(name, Sql(sql))


INVARIANTS = (
    _rule(
        "a run has a holder exactly while it is running",
        "select id from runs where (status='running')<>(worker is not null)"
        " or (status='running')<>(lease_until is not null)",
    ),
    _rule(
        "a parked run has a reason and a deadline",
        "select id from runs where status='parked' and (wait is null or wake_at is null)",
    ),
    _rule(
        "a run that waits for a person has a card to decide",
        "select r.id from runs r where r.status='parked' and r.wait in('approval','question','operator')"
        " and not exists(select 1 from approvals p where p.run_id=r.id and p.status='pending')",
    ),
    _rule(
        "no card is pending of a run that is over or being cancelled",
        "select p.id from approvals p join runs r on r.id=p.run_id"
        " where p.status='pending' and (r.status <over> or r.cancel=1)",
    ),
    _rule(
        "a call has one pending card at most",
        "select call_id from approvals where status='pending' group by call_id having count(*)>1",
    ),
    _rule(
        "a gated call was sent with exactly one approval of what was sent",
        "select c.id from calls c where c.gated=1 and c.status <sent>"
        " and (1<>(select count(*) from approvals p where p.call_id=c.id and p.kind='action'"
        " and p.status in('approved','auto_approved'))"
        # whoever says of an unknown outcome that it be tried again approves what that card showed
        " or not exists(select 1 from approvals p where p.call_id=c.id and p.args_hash=c.run_args_hash"
        " and (p.kind='action' and p.status in('approved','auto_approved')"
        " or p.kind='outcome' and p.decision='retry')))",
    ),
    _rule(
        "an approved call is approved",
        "select c.id from calls c join approvals p on p.call_id=c.id and p.kind='action'"
        " and p.status in('approved','auto_approved')"
        " where c.status in('proposed','staged','rejected','refused')",
    ),
    _rule(
        "an outcome has an intent before it",
        "select id from calls where status in('done','failed') and (intent_at is null or outcome_at is null)",
    ),
    _rule(
        "no effect is under way in a run that is over",
        "select c.id from calls c join runs r on r.id=c.run_id"
        " where c.status='executing' and r.status <over>",
    ),
    _rule(
        "an intent belongs to an attempt that there was",
        "select c.id from calls c join runs r on r.id=c.run_id"
        " where c.status='executing' and c.intent_attempt>r.attempt",
    ),
    _rule(
        "the steps of a run have no gap",
        "select r.id from runs r left join"
        " (select run_id, count(*) as n, max(seq) as m from run_steps group by run_id) s on s.run_id=r.id"
        # one that was forked has none of its own before the fork
        " where r.seq<>coalesce(r.forked_seq,0)+coalesce(s.n,0) or r.seq<>coalesce(s.m,r.forked_seq,0)",
    ),
    _rule(
        "no step was committed by an attempt before the last one's",
        "select a.run_id from run_steps a join run_steps b on b.run_id=a.run_id and b.seq=a.seq+1"
        " where b.attempt<a.attempt",
    ),
    _rule(
        "each attempt has a lease",
        "select r.id from runs r where r.attempt<>(select count(*) from leases c where c.run_id=r.id)",
    ),
    _rule(
        "a parent that waits for children has an open one",
        "select r.id from runs r where r.status='parked' and r.wait='children'"
        " and not exists(select 1 from runs c where c.parent_id=r.id and c.status <live>)",
    ),
    _rule(
        "no child is open when its parent is over",
        "select c.id from runs c join runs p on p.id=c.parent_id where p.status <over>"
        " and c.status <live> and c.cancel=0",
    ),
    _rule(
        "a run that is over has one last event, no other has one",
        "select r.id from runs r where (case when r.status <over> then 1 else 0 end)"
        "<>(select count(*) from events e where e.run_id=r.id and e.kind='run.terminal')",
    ),
    _rule(
        "a completed run has read its messages",
        "select i.id from interjections i join runs r on r.id=i.run_id"
        " where i.consumed_seq is null and r.status='completed'",
    ),
    _rule(
        "a transcript has no gap",
        "select run_id from transcript group by run_id having count(*)<>max(n) or min(n)<>1",
    ),
    _rule(
        "the tools that a run was offered are kept",
        "select t.run_id from transcript t join runs r on r.id=t.run_id where t.kind='system'"
        " and not exists(select 1 from tool_lists l where l.tenant=r.tenant and l.digest="
        """substr(t.item,{sqlite:instr}{pg:strpos}(t.item,'"tools": "')+10,64))""",
    ),
    _rule(
        "what is reserved is the sum of the open reservations",
        "select b.tenant||' '||b.scope||' '||b.day from budgets b where b.reserved<>"
        "(select coalesce(sum(v.amount),0) from reservations v where v.status='open' and v.tenant=b.tenant"
        # the row of a run's own cap has no day: it holds over midnight
        " and (b.day='' or v.day=b.day) and {sqlite:instr}{pg:strpos}(v.scopes,'|'||b.scope||'|')>0)",
    ),
    _rule(
        "the audit chain holds together",
        "select a.tenant||' '||a.n from audit a left join audit b on b.tenant=a.tenant and b.n=a.n-1"
        " where a.prev<>coalesce(b.hash,'')",
    ),
    _rule(
        "the head of the audit chain is its last row",
        "select h.tenant from audit_heads h left join audit a on a.tenant=h.tenant and a.n=h.n"
        " where h.n<>(select coalesce(max(n),0) from audit a where a.tenant=h.tenant)"
        " or h.hash<>coalesce(a.hash,'')"
        " union all select distinct a.tenant from audit a"
        " where not exists(select 1 from audit_heads h where h.tenant=a.tenant)"
        " union all select substr(k,8) from meta where k like 'policy:%'"
        " and not exists(select 1 from audit_heads h where h.tenant=substr(k,8))",
    ),
    _rule(
        "a fire that started has a run, and no run two fires",
        "select fire_key from trigger_fires where outcome='started' and run_id is null"
        " union all select run_id from trigger_fires where run_id is not null"
        " group by run_id having count(*)>1",
    ),
    _rule(
        "a keyed effect was sent with its key",
        "select id from calls where effect='keyed' and status <sent> and effect_key is null",
    ),
    _rule(
        "a decision has somebody who made it, and alfred decides low ones only",
        "select id from approvals where status in('approved','auto_approved','edited','answered','rejected')"
        " and decided_by is null"
        " union all select id from approvals where decided_via='auto' and (risk<>'low' or auto_approve_at is null)",
    ),
    _rule(
        "a decided card is to be shown as decided",
        "select n.approval_id from notices n join approvals p on p.id=n.approval_id"
        " where p.status<>'pending' and n.want<2",
    ),
    _rule(
        "a run does not wait for an approval that is given",
        "select r.id from runs r join calls c on c.run_id=r.id and c.status='approved'"
        " where r.status='parked' and r.wait='approval' and not exists(select 1 from calls d"
        " where d.run_id=r.id and d.status in('proposed','staged')"
        " and (d.turn<c.turn or (d.turn=c.turn and d.ordinal<c.ordinal)))",
    ),
)
"""Hold always. (A cap on running runs is a matter of settings, which are no part of a database.)"""

UNDER_FIXED_CAPS = (
    _rule(
        "no budget is exceeded",
        "select tenant||' '||scope||' '||day from budgets where cap is not null and reserved+spent>cap",
    ),
)
"""Hold while nobody lowers a cap and nothing costs more than was reserved for it: for tests."""


def broken(tx: Tx, rules: Sequence[Invariant] = INVARIANTS) -> list[Finding]:
    """The rules that do not hold."""
    found = []
    for rule in rules:
        if rows := [str(row[0]) for row in tx(rule.sql)]:
            found.append(_finding(rule.name, rows))
    return found


def check(store: Store) -> list[Finding]:
    """Everything that is wrong with a database, at one moment; an empty list when nothing is.

    Raises:
        StoreUnavailable: it cannot be read at all.
    """
    found: list[Finding] = []
    # FTS5 compares with what a connection remembers of its index: one that has searched before remembers what was
    store.close()
    with backup.snapshot(store) as look:
        if not store.pg:
            pages = [str(row[0]) for row in look(_PAGES)]
            if pages != ["ok"]:
                found.append(_finding("the file is whole", pages))
            lost = [f"{row.table} row {row.rowid} -> {row.parent}" for row in look(_LOST)]
            if lost:
                found.append(_finding("what a row points to is there", lost))
        return found + broken(look)


def _finding(check: str, rows: list[str]) -> Finding:
    return Finding(check, len(rows), tuple(rows[:SHOWN]))
