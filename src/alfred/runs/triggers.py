"""Fires what is due: each slot once, by whichever process looks first.

Invariants:
- A slot is its UTC instant. Firing is one transaction: the trigger moves on by a statement that repeats the slot
  and the revision that were seen, the fire is a row with a unique key, the run is in the ledger. Whoever loses
  any of it has done nothing.
- One live run a trigger (`singleton_key`): a slot that comes while one lives, parked ones too, is skipped and says so.
- Slots that were missed are fired once, for the latest of them, with the number of the others, and at most
  `LATE_PER_SECOND` of such late fires start in a second, over all processes.
- A rule or a clock that cannot be right stops one trigger with a `problem`, never the beat.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from alfred import clock, errors, ids
from alfred.runs import crons, ledger, schedule
from alfred.runs.crons import Trigger
from alfred.runs.rows import NewRun
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

log = structlog.get_logger()

LATE = clock.MINUTE
"""A slot that is fired this much later was missed: nobody was there to fire it."""

LATE_PER_SECOND = 10
"""After a long sleep the jobs start one after the other, not all at once (trust: cron storms)."""

COUNTED = 1000
"""Missed slots are counted up to here: `missed` of this much means this many or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a look at a trigger came to: `slot` is fired (None: only the times are put right)."""

    next: int | None
    slot: int | None = None
    missed: int = 0
    late: bool = False
    over: bool = False
    problem: str | None = None


class _Held(Exception):
    """Takes a late fire back: it is tried again at the next beat."""


Start = Callable[[Trigger, str], NewRun]
"""(trigger, run id) -> the run that it starts. It may refuse with an AlfredError: the slot stays due."""

_WAITING = Sql(
    f"select {crons.COLUMNS} from triggers where enabled=1 and removed=0 and next_fire_at is not null"
    " order by next_fire_at,id"
)
_LOCK = Sql("select 1 from triggers where id=:id {lock}")
_MOVE = Sql(
    "update triggers set next_fire_at=:next,enabled=case when :over=1 then 0 else enabled end,problem=:problem"
    " where id=:id and next_fire_at=:seen and rev=:rev and enabled=1 and removed=0"
)
_PROBLEM = Sql(
    "update triggers set problem=:problem"
    " where id=:id and next_fire_at=:seen and rev=:rev and enabled=1 and coalesce(problem,'')<>:problem"
)
_FIRE = Sql(
    "insert into trigger_fires(trigger_id,fire_key,fire_at,run_id,outcome,missed,at)"
    " values(:id,:key,:fire_at,:run_id,:outcome,:missed,alfred_now()) on conflict do nothing"
)
_SKIPPED = Sql(
    "update trigger_fires set outcome='skipped_overlap',run_id=null where trigger_id=:id and fire_key=:key"
)
_FIRED = Sql("select run_id from trigger_fires where trigger_id=:id and fire_key=:key")
_LIVE = Sql(
    "select id from runs where tenant=:tenant and singleton_key=:key"
    " and status in('queued','running','parked')"
)
# Late fires share one row: when the next of them may start, at the earliest, were they a tenth of a second apart.
_PACE_ROW = Sql("insert into meta(k,v) values('late_fires','0') on conflict do nothing")
_PACE = Sql(
    "update meta set v=cast(:gap+case when cast(v as bigint) between alfred_now() and alfred_now()+:second"
    " then cast(v as bigint) else alfred_now() end as text)"
    # a value further ahead than a second was written by a clock that was wrong
    " where k='late_fires' and not cast(v as bigint)"
    " between alfred_now()+:second-:gap+1 and alfred_now()+:second"
)


def run_of(trigger: Trigger, run_id: str) -> NewRun:
    """The plainest run of a trigger: without model and grants, which only `app` can resolve."""
    return NewRun(
        id=run_id,
        tenant=trigger.tenant,
        agent=trigger.agent,
        workflow=trigger.workflow,
        step="boss-turn",
        brief=trigger.task,
        title=trigger.name,
        session_id=run_id,
    )


def fire_by_hand(tx: Tx, trigger_id: str, *, fire_id: str, run: NewRun) -> str:
    """Starts a trigger's run now, whatever its times are and whether or not it is enabled.

    Args:
        fire_id: A ULID made by the caller: the same one again is the same fire.
        run: As a `Start` made it.

    Returns:
        The run's id.

    Raises:
        NotFound: no such trigger.
        Overlap: its last run is not over.
    """
    trigger = crons.locked(tx, trigger_id)
    key = f"m:{fire_id}"
    if earlier := tx(_FIRED, id=trigger_id, key=key).scalar():
        return earlier
    now = tx(crons.NOW).scalar_one()
    if not ledger.start(tx, _single(trigger, run)):
        live = tx(_LIVE, tenant=trigger.tenant, key=f"cron:{trigger.id}").scalar()
        raise errors.Overlap(
            f"The last run of {trigger.name!r} is not over.",
            next="Wait for it, or cancel it: `alfred runs cancel`.",
            run_id=live,
        )
    fired = {"run_id": run.id, "outcome": "started", "missed": 0}
    tx(_FIRE, id=trigger_id, key=key, fire_at=now, **fired)
    crons.tell(tx, trigger, "started", run.id, fire_at=now, by_hand=True)
    return run.id


def beat(
    store: Store, *, start: Start = run_of, zone: Callable[[str], str] = schedule.machine_zone
) -> None:
    """Fires what is due and puts right what a clock or a rule got wrong. Several processes may do so at once.

    Args:
        start: Makes the runs.
        zone: tenant -> its IANA zone, for triggers without one of their own.
    """
    with store.read() as look:
        now = look(crons.NOW).scalar_one()
        waiting = [Trigger(*row) for row in look(_WAITING).all()]
    # What is on time first: it must not wait behind a long queue of what is late anyway.
    held = False
    for trigger in sorted(waiting, key=lambda t: now - (t.next_fire_at or 0) > LATE):
        if held and now - (trigger.next_fire_at or 0) > LATE:
            break
        try:
            held |= _look(store, trigger, now, start, zone)
        except errors.StoreUnavailable:
            raise
        except Exception:
            log.exception("triggers.failed", trigger=trigger.id, name=trigger.name)


def _look(
    store: Store, trigger: Trigger, now: int, start: Start, zone: Callable[[str], str]
) -> bool:
    """One trigger. True when it has to wait because enough late ones have started."""
    if trigger.tz is None:
        schedule.zone_of(zone(trigger.tenant))  # settings that are broken stop no trigger for good
    try:
        plan = _plan(trigger, now, trigger.tz or zone(trigger.tenant))
    except errors.UsageError as wrong:
        plan = _Plan(next=None, problem=wrong.detail)
    if plan is None:
        return False
    run = None
    if plan.slot is not None:
        try:
            run = _single(trigger, start(trigger, ids.new()))
        except errors.AlfredError as refused:
            told = " ".join(filter(None, (refused.detail, refused.next)))
            store.transact(_refused, trigger, told)
            return False
    try:
        store.transact(_carry_out, trigger, plan, run)
    except _Held:
        return True
    return False


def _plan(trigger: Trigger, now: int, zone: str) -> _Plan | None:
    rule, seen = schedule.parse(trigger.spec), trigger.next_fire_at
    assert seen is not None
    if seen > now:
        # Only a clock that was wrong, or another zone, can have put a slot behind the next one.
        right = rule.next_after(now, zone)
        if right is None:
            return _Plan(next=None, over=True)
        return _Plan(next=right) if right < seen else None
    first = rule.next_after(seen - 1, zone) or seen
    if first > now:
        return _Plan(next=first)  # the zone is another one now, and `seen` no slot any more
    slot = rule.last(first, now, zone)
    following = rule.next_after(slot, zone)
    if following is not None and following <= slot:
        problem = f"After {clock.rfc3339(slot)} the rule {trigger.spec!r} gives an earlier time."
        return _Plan(next=None, problem=problem)
    missed = itertools.islice(rule.slots(first - 1, slot - 1, zone), COUNTED)
    return _Plan(
        slot=slot,
        next=following,
        missed=sum(1 for _ in missed),
        late=now - seen > LATE,
        over=following is None,
    )


def _single(trigger: Trigger, run: NewRun) -> NewRun:
    return replace(run, singleton_key=f"cron:{trigger.id}", trigger_kind="cron")


def _refused(tx: Tx, trigger: Trigger, why: str) -> None:
    """The slot stays due and is tried again: a home whose settings are broken loses no slot but the missed ones."""
    if tx(
        _PROBLEM, id=trigger.id, seen=trigger.next_fire_at, rev=trigger.rev, problem=why
    ).rowcount:
        crons.tell(tx, trigger, "refused", problem=why)


def _carry_out(tx: Tx, trigger: Trigger, plan: _Plan, run: NewRun | None) -> str:
    """What became of it: lost (somebody was first), moved, stopped, or the fire's outcome.

    Raises:
        _Held: enough late ones have started; nothing was done.
    """
    tx(_LOCK, id=trigger.id)
    moved = tx(
        _MOVE,
        id=trigger.id,
        seen=trigger.next_fire_at,
        rev=trigger.rev,
        next=plan.next,
        over=int(plan.over),
        problem=plan.problem,
    )
    if moved.rowcount == 0:
        return "lost"
    if plan.late and not _pace(tx):
        raise _Held
    if plan.problem:
        crons.tell(tx, trigger, "stopped", problem=plan.problem)
        return "stopped"
    if plan.slot is None or run is None:
        return "moved"
    key, outcome = f"s:{plan.slot}", "late" if plan.late else "started"
    fired = tx(
        _FIRE,
        id=trigger.id,
        key=key,
        fire_at=plan.slot,
        run_id=run.id,
        outcome=outcome,
        missed=plan.missed,
    )
    if fired.rowcount == 0:
        return "moved"  # this slot was fired before the clock went back
    if not ledger.start(tx, run):
        tx(_SKIPPED, id=trigger.id, key=key)
        crons.tell(tx, trigger, "skipped", fire_at=plan.slot, missed=plan.missed)
        return "skipped_overlap"
    crons.tell(tx, trigger, outcome, run.id, fire_at=plan.slot, missed=plan.missed)
    return outcome


def _pace(tx: Tx) -> bool:
    step = {"gap": clock.SECOND // LATE_PER_SECOND, "second": clock.SECOND}
    if tx(_PACE, **step).rowcount:
        return True
    made = tx(_PACE_ROW).rowcount
    return bool(made) and bool(tx(_PACE, **step).rowcount)
