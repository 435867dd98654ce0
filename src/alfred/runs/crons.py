"""The rows of triggers: what fires when, as people, seeds and surfaces make, change and remove them.

Invariants: every change raises `rev`, so that a firing that has looked before it loses; a rule is judged before it
is stored; a removed trigger leaves its tombstone, so that a seed that was removed stays removed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from alfred import errors
from alfred.runs import events, rows, schedule
from alfred.store.statement import Sql
from alfred.store.trouble import IntegrityError
from alfred.store.tx import Tx
from alfred.trust import redact

CHANGEABLE = (
    "name",
    "spec",
    "tz",
    "enabled",
    "agent",
    "workflow",
    "task",
    "mode",
    "description",
    "notify",
)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger's row, as it was when it was read."""

    id: str
    tenant: str
    name: str
    rev: int
    spec: str
    tz: str | None
    enabled: int
    overlap: str
    next_fire_at: int | None
    problem: str | None
    agent: str
    workflow: str
    task: str
    mode: str
    description: str
    notify: str | None
    seed: str | None
    removed: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrigger:
    """What a trigger starts with.

    Args:
        id: Made by the caller, so that creating it twice creates it once.
        spec: As `schedule.parse` reads it.
        tz: The IANA zone that the rule means; None for the tenant's, whatever it is when the rule is read.
        seed: What it came from, for a trigger that the program or the configuration brings.
    """

    id: str
    tenant: str
    name: str
    spec: str
    task: str
    tz: str | None = None
    enabled: bool = True
    agent: str = "main"
    workflow: str = "agent"
    mode: str = "cron"
    description: str = ""
    notify: str | None = None
    seed: str | None = None


@dataclass(frozen=True, slots=True)
class Fire:
    """One time that a trigger came due. `outcome`: started, late (started, after its time), skipped_overlap."""

    fire_key: str
    fire_at: int
    run_id: str | None
    outcome: str
    missed: int
    at: int


COLUMNS = ",".join(f.name for f in fields(Trigger))
NOW = Sql("select alfred_now()")

_NEW = [f.name for f in fields(NewTrigger)]
_GET = Sql(f"select {COLUMNS} from triggers where id=:id and removed=0")
_LOCKED = Sql(f"select {COLUMNS} from triggers where id=:id and removed=0 {{lock}}")
_LIST = Sql(f"select {COLUMNS} from triggers where tenant=:tenant and removed=0 order by name")
_INSERT = Sql(
    f"insert into triggers({','.join(_NEW)},next_fire_at,problem,created_at)"
    f" values({','.join(':' + c for c in _NEW)},:next_fire_at,:problem,alfred_now())"
    " on conflict do nothing"
)
_THERE = Sql("select 1 from triggers where id=:id")
_SEEDED = Sql("select 1 from triggers where tenant=:tenant and seed=:seed")
_OF_SEED = Sql(f"select {COLUMNS} from triggers where tenant=:tenant and seed=:seed and removed=0")
_PAUSE = Sql(
    "update triggers set enabled=0,next_fire_at=null,problem=:problem,rev=rev+1"
    " where id=:id and rev=:rev and enabled=1 and removed=0"
)
_CHANGE = Sql(
    f"update triggers set {','.join(f'{c}=:{c}' for c in CHANGEABLE)},"
    "rev=rev+1,next_fire_at=:next_fire_at,problem=:problem"
    " where id=:id and rev=:rev and removed=0"
)
_DUE = Sql(
    f"select {COLUMNS} from triggers where enabled=1 and removed=0 and next_fire_at<=alfred_now()"
)
_PASS = Sql("update triggers set next_fire_at=:next where id=:id")
_REMOVE = Sql(
    "update triggers set removed=1,enabled=0,next_fire_at=null,rev=rev+1 where id=:id and removed=0"
)
_FIRES = Sql(
    "select fire_key,fire_at,run_id,outcome,missed,at from trigger_fires where trigger_id=:id"
    " order by at desc,fire_at desc limit :limit"
)


def get(tx: Tx, trigger_id: str) -> Trigger:
    """The trigger's row as it is now.

    Raises:
        NotFound: there is none, or it was removed.
    """
    return _found(tx(_GET, id=trigger_id).one_or_none(), trigger_id)


def of_tenant(tx: Tx, tenant: str) -> list[Trigger]:
    """Every trigger of a tenant, by name."""
    return [Trigger(*row) for row in tx(_LIST, tenant=tenant).all()]


def fires(tx: Tx, trigger_id: str, *, limit: int = 20) -> list[Fire]:
    """When a trigger came due, newest first, and what became of it."""
    return [Fire(*row) for row in tx(_FIRES, id=trigger_id, limit=limit).all()]


def create(tx: Tx, new: NewTrigger, *, zone: str) -> Trigger:
    """Makes a trigger; again with the same id: the one that is there.

    Args:
        zone: The tenant's time zone, for a trigger without one of its own.

    Raises:
        UsageError: the rule or the zone is none, or it does not fire within ten years.
        NameTaken: another trigger of the tenant has this name.
    """
    following = _first(tx, new.spec, new.tz or zone)
    made = _insert(tx, new, next_fire_at=following if new.enabled else None)
    if not made and tx(_THERE, id=new.id).scalar() is None:
        raise _taken(new.name)
    trigger = get(tx, new.id)
    if made:
        tell(tx, trigger, "created")
    return trigger


def update(tx: Tx, trigger_id: str, *, zone: str, **changes: Any) -> Trigger:
    """Changes some of `CHANGEABLE`. A new rule, zone or switch-on counts from now and clears the problem.

    Raises:
        NotFound, NameTaken; UsageError: as for `create`, or a field that cannot be changed.
    """
    if unknown := set(changes) - set(CHANGEABLE):
        raise errors.UsageError(
            f"A schedule has no {', '.join(sorted(unknown))} to change.",
            next=f"What can be changed: {', '.join(CHANGEABLE)}.",
        )
    old = locked(tx, trigger_id)
    new = replace(old, **changes)
    following, problem = old.next_fire_at, old.problem
    other_rule = (new.spec, new.tz) != (old.spec, old.tz)
    if other_rule or (new.enabled and not old.enabled):
        following, problem = _first(tx, new.spec, new.tz or zone), None
    try:
        tx(
            _CHANGE,
            **_columns(new, CHANGEABLE),
            id=trigger_id,
            rev=old.rev,
            next_fire_at=following if new.enabled else None,
            problem=problem,
        )
    except IntegrityError as clash:
        raise _taken(new.name) from clash
    changed = get(tx, trigger_id)
    tell(tx, changed, "changed")
    return changed


def remove(tx: Tx, trigger_id: str) -> bool:
    """Takes a trigger out for good; its name is free again, its runs go on. False when it was gone."""
    found = tx(_LOCKED, id=trigger_id).one_or_none()
    if found is None:
        return False
    tx(_REMOVE, id=trigger_id)
    tell(tx, Trigger(*found), "removed")
    return True


def seed(tx: Tx, seeds: Sequence[NewTrigger], *, zone: str) -> list[str]:
    """Brings triggers in that were never there; whatever the database knows of them, removed or changed, stays.

    A seed whose rule is wrong becomes a trigger with a problem. Returns the names that are new.
    """
    made = []
    for new in seeds:
        if new.seed is None:
            raise ValueError(f"The seed {new.name!r} does not say where it comes from.")
        if tx(_SEEDED, tenant=new.tenant, seed=new.seed).scalar() is not None:
            continue
        following, problem = None, None
        try:
            following = _first(tx, new.spec, new.tz or zone)
        except errors.UsageError as wrong:
            problem = wrong.detail
        if _insert(tx, new, next_fire_at=following if new.enabled else None, problem=problem):
            made.append(new.name)
    return made


def of_seed(look: Tx, tenant: str, seed: str) -> Trigger | None:
    """The trigger that came from there; None: there is none, or it was removed."""
    row = look(_OF_SEED, tenant=tenant, seed=seed).one_or_none()
    return Trigger(*row) if row else None


def pause(tx: Tx, trigger: Trigger, problem: str | None) -> bool:
    """Switches a trigger off, and says why where that is a problem. False when it was changed since it was read, or off."""
    if not tx(_PAUSE, id=trigger.id, rev=trigger.rev, problem=problem).rowcount:
        return False
    tell(tx, trigger, "paused", **({"problem": problem} if problem else {}))
    return True


def pass_over(tx: Tx) -> None:
    """What has come due is not fired: every trigger goes on with the slot that comes next.

    Whose zone the tenant's settings know is taken for one of this machine, and whose rule has no next slot is put far off:
    the next beat puts either right.
    """
    now = tx(NOW).scalar_one()
    for trigger in (Trigger(*row) for row in tx(_DUE).all()):
        following = None
        with contextlib.suppress(errors.UsageError):
            rule = schedule.parse(trigger.spec)
            following = rule.next_after(now, trigger.tz or schedule.machine_zone(trigger.tenant))
        tx(_PASS, id=trigger.id, next=following or now + rows.FOREVER)


def next_fires(trigger: Trigger, zone: str, *, count: int = 5) -> list[int]:
    """The slots to come of a trigger, as its rule says now; none of one that is switched off or has a problem."""
    if trigger.next_fire_at is None:
        return []
    rule = schedule.parse(trigger.spec)
    after = trigger.next_fire_at - 1
    slots = rule.slots(after, after + schedule.HORIZON, trigger.tz or zone)
    return list(itertools.islice(slots, count))


def locked(tx: Tx, trigger_id: str) -> Trigger:
    """The trigger's row, locked before anything else is.

    Raises:
        NotFound: there is none, or it was removed.
    """
    return _found(tx(_LOCKED, id=trigger_id).one_or_none(), trigger_id)


def _found(row: Any, trigger_id: str) -> Trigger:
    if row is None:
        raise errors.NotFound(
            f"No schedule has the id {trigger_id!r}.", next="`alfred workflows list` shows them."
        )
    return Trigger(*row)


def _first(tx: Tx, spec: str, zone: str) -> int:
    return schedule.first(schedule.parse(spec), tx(NOW).scalar_one(), zone)


def _insert(
    tx: Tx, new: NewTrigger, *, next_fire_at: int | None, problem: str | None = None
) -> bool:
    return (
        tx(_INSERT, **_columns(new, _NEW), next_fire_at=next_fire_at, problem=problem).rowcount == 1
    )


def _columns(trigger: Trigger | NewTrigger, names: Sequence[str]) -> dict[str, Any]:
    """Columns of a trigger's row; what is said in it is kept without secrets."""
    clean = {name: redact.redact(getattr(trigger, name)) for name in ("task", "description")}
    return {name: getattr(trigger, name) for name in names} | {
        **clean,
        "enabled": int(trigger.enabled),
    }


def _taken(name: str) -> errors.NameTaken:
    return errors.NameTaken(
        f"Another schedule is called {name!r}.", next="Choose another name, or change that one."
    )


def tell(tx: Tx, trigger: Trigger, status: str, run_id: str | None = None, **more: Any) -> None:
    """Tells whoever watches what a trigger did."""
    events.emit(
        tx,
        tenant=trigger.tenant,
        run_id=run_id,
        kind="cron",
        id=trigger.id,
        name=trigger.name,
        status=status,
        **more,
    )
