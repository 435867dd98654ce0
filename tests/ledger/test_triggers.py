"""Triggers on both databases: each slot once, whoever looks, whatever the clock did."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from alfred import clock, errors, ids
from alfred.runs import crons, endings, schedule, stop, triggers
from alfred.runs.crons import NewTrigger, Trigger
from alfred.runs.rows import NewRun
from alfred.store import connect
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

BERLIN = "Europe/Berlin"
HOURLY = "0 * * * *"


def create(store: Store, name: str = "job", spec: str = HOURLY, **changes: Any) -> Trigger:
    changes.setdefault("tz", "UTC")
    return store.transact(crons.create, wanted(name, spec, **changes), zone=BERLIN)


def wanted(name: str, spec: str = HOURLY, **changes: Any) -> NewTrigger:
    values: dict[str, Any] = {"id": ids.new(), "tenant": "main", "name": name, "spec": spec}
    return NewTrigger(**values | {"task": "say hello"} | changes)


def due(store: Store, trigger: Trigger, us: int) -> None:
    """As if nobody had looked since: the trigger's next slot is this one."""
    store.transact(
        lambda tx: tx(
            Sql("update triggers set next_fire_at=:us where id=:id"), us=us, id=trigger.id
        )
    )


def now(store: Store) -> int:
    with store.read() as look:
        return look(crons.NOW).scalar_one()


def last_slot(store: Store, spec: str = HOURLY, back: int = 0) -> int:
    """The newest slot that lies behind, so many `back`."""
    rule, at = schedule.parse(spec), now(store)
    window = (back + 2) * clock.MINUTE
    while len(slots := list(rule.slots(at - window, at, "UTC"))) <= back:
        window *= 2
    return slots[-1 - back]


def get(store: Store, trigger: Trigger) -> Trigger:
    with store.read() as look:
        return crons.get(look, trigger.id)


def fires(store: Store, trigger: Trigger) -> list[crons.Fire]:
    with store.read() as look:
        return crons.fires(look, trigger.id)


def runs_of(store: Store, trigger: Trigger) -> list[Any]:
    with store.read() as look:
        statement = "select id,status,brief,trigger_kind,agent from runs where singleton_key=:key"
        return list(look(Sql(statement), key=f"cron:{trigger.id}").all())


def end(store: Store, trigger: Trigger) -> None:
    """Whatever it started is over."""
    for row in runs_of(store, trigger):
        store.transact(endings.cancel, row.id, by="test", token=ids.new())


def told(store: Store) -> list[str]:
    """Straight from the table: the feed holds back what is newer than any transaction of the whole server."""
    with store.read() as look:
        every = look(Sql("select body from events where kind='cron' order by id")).all()
    return [json.loads(row.body)["status"] for row in every]


def set_everything_due_an_hour_ago(store: Store) -> None:
    at = last_slot(store, back=1)
    store.transact(lambda tx: tx(Sql("update triggers set next_fire_at=:us"), us=at))


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    gate = threading.Barrier(count)

    def one(n: int) -> Any:
        gate.wait()
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# ---- firing ----


def test_a_due_trigger_starts_its_run_and_moves_on(store: Store) -> None:
    trigger = create(store, agent="main", task="say hello")
    triggers.beat(store)
    assert runs_of(store, trigger) == []
    slot = last_slot(store)
    due(store, trigger, slot)
    triggers.beat(store)
    triggers.beat(store)
    (fire,) = fires(store, trigger)
    (run,) = runs_of(store, trigger)
    assert (fire.fire_key, fire.fire_at, fire.run_id, fire.missed) == (f"s:{slot}", slot, run.id, 0)
    assert (run.status, run.brief, run.trigger_kind, run.agent) == (
        "queued",
        "say hello",
        "cron",
        "main",
    )
    moved = get(store, trigger)
    assert moved.next_fire_at == schedule.parse(HOURLY).next_after(slot, "UTC")
    assert (moved.enabled, moved.problem) == (1, None)
    assert told(store) == ["created", fire.outcome]


def test_sixteen_processes_that_look_at_once_start_one_run(store: Store) -> None:
    trigger = create(store)
    due(store, trigger, last_slot(store))
    together(16, lambda _: triggers.beat(store))
    assert len(runs_of(store, trigger)) == 1
    assert len(fires(store, trigger)) == 1


def test_sixteen_processes_with_one_stale_look_start_one_run(store: Store) -> None:
    """Each has read the row before any has fired: only the statement that repeats what was seen can tell them apart."""
    created = create(store)
    slot = last_slot(store)
    due(store, created, slot)
    trigger = get(store, created)
    plan = triggers._plan(trigger, slot, "UTC")
    assert plan is not None

    def one(_: int) -> str:
        # another key for each: were it not for the trigger's row, each could start one
        run = replace(triggers.run_of(trigger, ids.new()), singleton_key=None)
        return store.transact(triggers._carry_out, trigger, plan, run)

    outcomes = together(16, one)
    assert outcomes.count("started") == 1
    assert outcomes.count("lost") == 15
    with store.read() as look:
        assert look(Sql("select count(*) from runs")).scalar() == 1


def test_a_slot_is_skipped_while_a_run_of_the_trigger_lives_and_says_so(store: Store) -> None:
    trigger = create(store)
    living = by_hand(store, trigger)
    newest = last_slot(store)
    due(store, trigger, newest)
    triggers.beat(store)
    assert [r.id for r in runs_of(store, trigger)] == [living]
    skipped = next(f for f in fires(store, trigger) if f.fire_key == f"s:{newest}")
    assert (skipped.outcome, skipped.run_id) == ("skipped_overlap", None)
    assert told(store)[-1] == "skipped"
    assert get(store, trigger).next_fire_at == schedule.parse(HOURLY).next_after(newest, "UTC")


def test_when_the_last_run_is_over_the_next_slot_starts_another(store: Store) -> None:
    trigger = create(store)
    due(store, trigger, last_slot(store, back=5))
    triggers.beat(store)
    end(store, trigger)
    store.transact(lambda tx: tx(Sql("delete from trigger_fires")))
    due(store, trigger, last_slot(store))
    triggers.beat(store)
    assert sorted(r.status for r in runs_of(store, trigger)) == ["cancelled", "queued"]


def test_a_patch_between_look_and_fire_wins(store: Store) -> None:
    created = create(store)
    slot = last_slot(store)
    due(store, created, slot)
    seen = get(store, created)
    plan = triggers._plan(seen, slot, "UTC")
    assert plan is not None
    store.transact(crons.update, seen.id, zone="UTC", task="something else")
    due(store, created, slot)  # the same slot again: only the revision differs
    run = triggers._single(seen, triggers.run_of(seen, ids.new()))
    assert store.transact(triggers._carry_out, seen, plan, run) == "lost"
    assert runs_of(store, created) == []
    triggers.beat(store)
    assert [r.brief for r in runs_of(store, created)] == ["something else"]


@pytest.mark.parametrize("change", ["disable", "remove"])
def test_a_trigger_that_is_taken_out_between_look_and_fire_starts_nothing(
    store: Store, change: str
) -> None:
    created = create(store)
    slot = last_slot(store)
    due(store, created, slot)
    seen = get(store, created)
    plan = triggers._plan(seen, slot, "UTC")
    assert plan is not None
    if change == "remove":
        assert store.transact(crons.remove, seen.id)
    else:
        store.transact(crons.update, seen.id, zone="UTC", enabled=False)
    run = triggers._single(seen, triggers.run_of(seen, ids.new()))
    assert store.transact(triggers._carry_out, seen, plan, run) == "lost"
    triggers.beat(store)
    assert runs_of(store, created) == []


def test_a_disabled_trigger_is_not_looked_at(store: Store) -> None:
    trigger = create(store, enabled=False)
    assert trigger.next_fire_at is None
    due(store, trigger, last_slot(store))
    triggers.beat(store)
    assert runs_of(store, trigger) == []


def test_one_time_fires_once_and_is_disabled_then(store: Store) -> None:
    at = (now(store) // clock.MINUTE) * clock.MINUTE + clock.HOUR
    trigger = create(store, spec=str(clock.rfc3339(at)).replace(".000Z", "+00:00"))
    assert trigger.next_fire_at == at
    passed = now(store) // clock.MINUTE * clock.MINUTE - clock.HOUR
    spec = str(clock.rfc3339(passed)).replace(".000Z", "+00:00")
    store.transact(
        lambda tx: tx(Sql("update triggers set spec=:spec,next_fire_at=:at"), spec=spec, at=passed)
    )
    triggers.beat(store)
    triggers.beat(store)
    assert len(runs_of(store, trigger)) == 1
    after = get(store, trigger)
    assert (after.enabled, after.next_fire_at, after.problem) == (0, None, None)


# ---- what was missed ----


@pytest.mark.parametrize(
    ("spec", "back", "missed"),
    [
        (HOURLY, 0, 0),
        (HOURLY, 5, 5),
        ("*/30 * * * *", 100, 100),
        ("* * * * *", 5000, triggers.COUNTED),
        ("every 5m", 40, 40),
    ],
)
def test_missed_slots_are_fired_once_for_the_latest_and_counted(
    store: Store, spec: str, back: int, missed: int
) -> None:
    trigger = create(store, spec=spec)
    due(store, trigger, last_slot(store, spec, back))
    newest = last_slot(store, spec)
    triggers.beat(store)
    (fire,) = fires(store, trigger)
    assert fire.fire_at >= newest  # the real clock may have passed one more
    assert fire.missed in (missed, missed + 1)
    assert len(runs_of(store, trigger)) == 1
    if back > 1:
        assert fire.outcome == "late"


@pytest.mark.slow
def test_what_was_missed_starts_at_most_ten_runs_a_second_over_all_processes(store: Store) -> None:
    for n in range(60):
        create(store, name=f"job {n}")
    set_everything_due_an_hour_ago(store)
    began = now(store)
    together(8, lambda _: triggers.beat(store))
    together(8, lambda _: triggers.beat(store))
    seconds = (now(store) - began) / clock.SECOND
    with store.read() as look:
        started = look(Sql("select count(*) from runs")).scalar_one()
    assert triggers.LATE_PER_SECOND <= started <= triggers.LATE_PER_SECOND * (1 + seconds) + 1


def test_everything_that_was_missed_starts_in_the_end(sqlite_url: str, clock: Any) -> None:
    store = connect.open_store(sqlite_url)
    made = [create(store, name=f"job {n}") for n in range(35)]
    set_everything_due_an_hour_ago(store)
    started = []
    for _ in range(6):
        triggers.beat(store)
        clock.advance(1)
        with store.read() as look:
            started.append(look(Sql("select count(*) from runs")).scalar_one())
    assert started == [10, 20, 30, 35, 35, 35]
    assert all(len(fires(store, trigger)) == 1 for trigger in made)
    store.close()


def test_what_is_on_time_does_not_wait_behind_what_is_late(sqlite_url: str, clock: Any) -> None:
    store = connect.open_store(sqlite_url)
    for n in range(30):
        create(store, name=f"job {n}")
    set_everything_due_an_hour_ago(store)
    punctual = create(store, name="punctual", spec="* * * * *")
    clock.advance(61)
    triggers.beat(store)
    assert [f.outcome for f in fires(store, punctual)] == ["started"]
    store.close()


def test_a_pace_that_a_wrong_clock_wrote_holds_nothing_up(sqlite_url: str, clock: Any) -> None:
    store = connect.open_store(sqlite_url)
    trigger = create(store)
    clock.jump(74 * 365 * 86400)
    triggers.beat(store)
    end(store, trigger)
    clock.jump(-74 * 365 * 86400)
    set_everything_due_an_hour_ago(store)
    triggers.beat(store)
    assert len(runs_of(store, trigger)) == 2
    store.close()


# ---- clocks and rules that are wrong ----


def test_after_a_clock_that_was_wrong_the_trigger_fires_again(sqlite_url: str, clock: Any) -> None:
    store = connect.open_store(sqlite_url)
    trigger = create(store)
    right = get(store, trigger).next_fire_at
    clock.jump(74 * 365 * 86400)
    triggers.beat(store)
    assert len(fires(store, trigger)) == 1
    far = get(store, trigger).next_fire_at
    assert far is not None
    assert right is not None
    assert far > right + 73 * 365 * 86400 * 1_000_000
    clock.jump(-74 * 365 * 86400)
    triggers.beat(store)
    assert get(store, trigger).next_fire_at == right
    end(store, trigger)
    clock.advance(3600)
    triggers.beat(store)
    assert len(fires(store, trigger)) == 2
    store.close()


def test_a_slot_that_comes_again_because_the_clock_went_back_is_not_fired_again(
    sqlite_url: str, clock: Any
) -> None:
    store = connect.open_store(sqlite_url)
    trigger = create(store)
    clock.advance(3600)
    triggers.beat(store)
    end(store, trigger)
    clock.jump(-3600)
    triggers.beat(store)
    clock.advance(3600)
    triggers.beat(store)
    assert len(runs_of(store, trigger)) == 1
    assert get(store, trigger).next_fire_at == last_slot(store) + 3600 * 1_000_000
    store.close()


@pytest.mark.parametrize(
    ("column", "value"), [("spec", "61 * * * *"), ("spec", "0 0 31 2 *"), ("tz", "Mars/Phobos")]
)
@pytest.mark.parametrize("ahead", [False, True])
def test_a_rule_that_went_bad_stops_its_trigger_and_no_other(
    store: Store, column: str, value: str, ahead: bool
) -> None:
    bad, good = create(store, name="bad"), create(store, name="good")
    store.transact(
        lambda tx: tx(
            Sql(f"update triggers set {column}=:value where id=:id"), value=value, id=bad.id
        )
    )
    if not ahead:
        due(store, bad, last_slot(store))
    due(store, good, last_slot(store))
    triggers.beat(store)
    triggers.beat(store)
    assert len(runs_of(store, good)) == 1
    stopped = get(store, bad)
    assert stopped.next_fire_at is None
    assert stopped.problem is not None
    assert value in stopped.problem
    assert runs_of(store, bad) == []
    assert told(store).count("stopped") == 1
    mended = store.transact(crons.update, bad.id, zone="UTC", spec="@daily", tz="UTC")
    assert mended.problem is None
    assert mended.next_fire_at is not None


def test_a_rule_that_would_fire_at_or_before_its_own_slot_stops_with_a_problem(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = create(store)
    slot = last_slot(store)
    due(store, trigger, slot)

    class Stuck(schedule.Schedule):
        def next_after(self, us: int, zone: str) -> int | None:
            return slot

        def last(self, first: int, until: int, zone: str) -> int:
            return slot

    monkeypatch.setattr(schedule, "parse", lambda text: Stuck("cron", text, HOURLY))
    triggers.beat(store)
    stopped = get(store, trigger)
    assert stopped.next_fire_at is None
    assert "earlier time" in (stopped.problem or "")
    assert runs_of(store, trigger) == []


def test_another_zone_moves_a_slot_that_is_due_and_fires_nothing_early(store: Store) -> None:
    """The tenant's zone changed: 06:00 in Berlin is not 06:00 in Los Angeles, nine hours on."""
    trigger = create(store, spec="0 6 * * *", tz=None)
    rule, at = schedule.parse("0 6 * * *"), now(store)
    # a moment at which the slot of Berlin is behind and the one of Los Angeles ahead
    berlin = rule.last(rule.next_after(at - 3 * clock.DAY, BERLIN) or 0, at, BERLIN)
    seen = replace(trigger, next_fire_at=berlin)
    plan = triggers._plan(seen, berlin + clock.HOUR, "America/Los_Angeles")
    assert plan is not None
    assert plan.slot is None
    assert plan.next == rule.next_after(berlin, "America/Los_Angeles")


def test_settings_that_are_broken_stop_no_trigger_for_good(store: Store) -> None:
    own, of_tenant = create(store, name="own"), create(store, name="tenant's", tz=None)
    for trigger in (own, of_tenant):
        due(store, trigger, last_slot(store))

    def broken(tenant: str) -> str:
        raise errors.ConfigError("the file is broken")

    triggers.beat(store, zone=broken)
    triggers.beat(store, zone=lambda tenant: "Mars/Phobos")
    assert len(runs_of(store, own)) == 1
    assert get(store, of_tenant).problem is None
    triggers.beat(store, zone=lambda tenant: "UTC")
    assert len(runs_of(store, of_tenant)) == 1


def test_a_run_that_cannot_be_made_leaves_its_slot_due_and_says_why(store: Store) -> None:
    trigger = create(store, agent="gone")
    due(store, trigger, last_slot(store))

    def refuse(seen: Trigger, run_id: str) -> NewRun:
        raise errors.NotFound(f"No agent is called {seen.agent!r}.", next="Name another.")

    triggers.beat(store, start=refuse)
    triggers.beat(store, start=refuse)
    waiting = get(store, trigger)
    assert waiting.problem == "No agent is called 'gone'. Name another."
    assert waiting.next_fire_at == last_slot(store)
    assert told(store).count("refused") == 1
    triggers.beat(store)
    assert len(runs_of(store, trigger)) == 1
    assert get(store, trigger).problem is None


def test_a_failure_at_one_trigger_does_not_keep_the_others_from_firing(store: Store) -> None:
    first, second = create(store, name="first"), create(store, name="second")
    due(store, first, last_slot(store, back=1))
    due(store, second, last_slot(store))

    def start(trigger: Trigger, run_id: str) -> NewRun:
        if trigger.id == first.id:
            raise RuntimeError("a bug")
        return triggers.run_of(trigger, run_id)

    triggers.beat(store, start=start)
    assert runs_of(store, first) == []
    assert len(runs_of(store, second)) == 1


# ---- by hand ----


def by_hand(store: Store, trigger: Trigger, fire_id: str | None = None) -> str:
    run = triggers.run_of(trigger, ids.new())
    return store.transact(triggers.fire_by_hand, trigger.id, fire_id=fire_id or ids.new(), run=run)


def test_by_hand_a_disabled_trigger_fires_and_its_times_stay(store: Store) -> None:
    trigger = create(store, enabled=False)
    run_id = by_hand(store, trigger)
    (fire,) = fires(store, trigger)
    assert (fire.run_id, fire.outcome, fire.fire_key[:2]) == (run_id, "started", "m:")
    assert get(store, trigger) == trigger


def test_by_hand_the_same_fire_twice_is_one_run(store: Store) -> None:
    trigger = create(store)
    fire_id = ids.new()
    started = together(8, lambda _: by_hand(store, trigger, fire_id))
    assert len(set(started)) == 1
    assert len(runs_of(store, trigger)) == 1
    end(store, trigger)
    assert by_hand(store, trigger, fire_id) == started[0]


def test_by_hand_a_trigger_whose_run_lives_is_an_overlap(store: Store) -> None:
    trigger = create(store)
    first = by_hand(store, trigger)
    with pytest.raises(errors.Overlap) as refused:
        by_hand(store, trigger)
    assert refused.value.extra["run_id"] == first
    assert len(fires(store, trigger)) == 1
    due(store, trigger, last_slot(store))
    triggers.beat(store)
    assert fires(store, trigger)[0].outcome == "skipped_overlap"
    end(store, trigger)
    assert by_hand(store, trigger) != first


def test_by_hand_sixteen_at_once_start_one_run(store: Store) -> None:
    trigger = create(store)

    def one(_: int) -> str | None:
        try:
            return by_hand(store, trigger)
        except errors.Overlap:
            return None

    assert len([run for run in together(16, one) if run]) == 1
    assert len(runs_of(store, trigger)) == len(fires(store, trigger)) == 1


def test_by_hand_what_is_not_there_cannot_be_fired(store: Store) -> None:
    trigger = create(store)
    store.transact(crons.remove, trigger.id)
    with pytest.raises(errors.NotFound):
        by_hand(store, trigger)


# ---- rows ----


def test_creating_a_trigger_twice_creates_it_once(store: Store) -> None:
    new = wanted("job")
    made = [store.transact(crons.create, new, zone="UTC") for _ in range(2)]
    assert made[0] == made[1]
    assert told(store) == ["created"]
    with pytest.raises(errors.NameTaken, match="'job'"):
        create(store, name="job")
    create(store, name="job", tenant="other")
    store.transact(crons.remove, new.id)
    create(store, name="job")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"spec": "61 * * * *"}, "minute"), ({"tz": "Mars/Phobos"}, "zone"), ({"spec": ""}, "empty")],
)
def test_a_trigger_that_cannot_fire_is_not_made(
    store: Store, changes: dict[str, Any], wrong: str
) -> None:
    for enabled in (True, False):
        with pytest.raises(errors.UsageError, match=wrong):
            create(store, enabled=enabled, **changes)
    with store.read() as look:
        assert crons.of_tenant(look, "main") == []


def test_a_trigger_without_a_zone_means_its_tenants(store: Store) -> None:
    there, here = create(store, name="a", spec="0 6 * * *", tz=None), now(store)
    own = create(store, name="b", spec="0 6 * * *", tz="Asia/Tokyo")
    rule = schedule.parse("0 6 * * *")
    assert there.next_fire_at == rule.next_after(here, BERLIN)
    assert own.next_fire_at == rule.next_after(here, "Asia/Tokyo")
    assert crons.next_fires(there, BERLIN)[0] == there.next_fire_at
    five = crons.next_fires(own, BERLIN)
    assert five == [(own.next_fire_at or 0) + n * clock.DAY for n in range(5)]


def test_a_change_raises_the_revision_and_only_a_new_rule_counts_from_now(store: Store) -> None:
    trigger = create(store)
    slot = last_slot(store)
    due(store, trigger, slot)
    renamed = store.transact(crons.update, trigger.id, zone="UTC", name="other", task="new")
    assert (renamed.rev, renamed.name, renamed.task) == (trigger.rev + 1, "other", "new")
    assert renamed.next_fire_at == slot  # what is due stays due
    slower = store.transact(crons.update, trigger.id, zone="UTC", spec="@yearly")
    assert slower.next_fire_at == schedule.parse("@yearly").next_after(now(store), "UTC")
    off = store.transact(crons.update, trigger.id, zone="UTC", enabled=False)
    assert (off.enabled, off.next_fire_at) == (0, None)
    on = store.transact(crons.update, trigger.id, zone="UTC", enabled=True)
    assert (on.enabled, on.next_fire_at) == (1, slower.next_fire_at)
    assert on.rev == trigger.rev + 4


def test_a_change_that_is_wrong_changes_nothing(store: Store) -> None:
    trigger = create(store)
    create(store, name="taken")
    wrong: list[tuple[type[errors.AlfredError], dict[str, Any]]] = [
        (errors.NameTaken, {"name": "taken"}),
        (errors.UsageError, {"spec": "61 * * * *"}),
        (errors.UsageError, {"tz": "Mars/Phobos"}),
        (errors.UsageError, {"tenant": "other"}),
        (errors.UsageError, {"seed": "x"}),
    ]
    for error, changes in wrong:
        with pytest.raises(error):
            store.transact(crons.update, trigger.id, zone="UTC", **changes)
    assert get(store, trigger) == trigger
    with pytest.raises(errors.NotFound):
        store.transact(crons.update, "nobody", zone="UTC", task="x")


def test_a_trigger_with_a_bad_zone_can_still_be_switched_off(store: Store) -> None:
    trigger = create(store)
    store.transact(lambda tx: tx(Sql("update triggers set tz='Mars/Phobos'")))
    assert store.transact(crons.update, trigger.id, zone="UTC", enabled=False).enabled == 0


def test_what_is_removed_is_gone_for_everybody_and_its_runs_go_on(store: Store) -> None:
    trigger = create(store)
    by_hand(store, trigger)
    assert store.transact(crons.remove, trigger.id)
    assert not store.transact(crons.remove, trigger.id)
    with store.read() as look:
        assert crons.of_tenant(look, "main") == []
        with pytest.raises(errors.NotFound):
            crons.get(look, trigger.id)
    assert [r.status for r in runs_of(store, trigger)] == ["queued"]


def test_lists_are_of_one_tenant_by_name(store: Store) -> None:
    for name in ("b", "a", "c"):
        create(store, name=name)
    create(store, name="d", tenant="other")
    with store.read() as look:
        assert [t.name for t in crons.of_tenant(look, "main")] == ["a", "b", "c"]


# ---- seeds ----


def seeds(*names: str, **changes: Any) -> list[NewTrigger]:
    return [wanted(name, **{"seed": f"config:{name}"} | changes) for name in names]


def seed(store: Store, brought: list[NewTrigger]) -> list[str]:
    return store.transact(crons.seed, brought, zone="UTC")


def test_a_seed_comes_once_and_what_was_removed_or_changed_stays_so(store: Store) -> None:
    assert seed(store, seeds("a", "b", "c")) == ["a", "b", "c"]
    with store.read() as look:
        a, b, _ = crons.of_tenant(look, "main")
    store.transact(crons.remove, a.id)
    store.transact(crons.update, b.id, zone="UTC", spec="@daily", name="renamed")
    assert seed(store, seeds("a", "b", "c", "d")) == ["d"]
    with store.read() as look:
        kept = {t.name: t.spec for t in crons.of_tenant(look, "main")}
    assert kept == {"renamed": "@daily", "c": HOURLY, "d": HOURLY}


def test_processes_that_start_at_once_seed_once(store: Store) -> None:
    together(8, lambda _: seed(store, seeds("a", "b")))
    with store.read() as look:
        assert [t.name for t in crons.of_tenant(look, "main")] == ["a", "b"]


def test_a_seed_may_be_switched_off_and_one_that_is_wrong_says_so(store: Store) -> None:
    seed(store, [*seeds("off", enabled=False), *seeds("wrong", spec="61 * * * *")])
    with store.read() as look:
        off, wrong = crons.of_tenant(look, "main")
    assert (off.enabled, off.next_fire_at, off.problem) == (0, None, None)
    assert wrong.next_fire_at is None
    assert "minute" in (wrong.problem or "")


def test_a_seed_does_not_take_a_persons_name(store: Store) -> None:
    mine = create(store, name="a")
    assert seed(store, seeds("a")) == []
    with store.read() as look:
        assert crons.of_tenant(look, "main") == [mine]


def test_a_seed_says_where_it_comes_from(store: Store) -> None:
    with pytest.raises(ValueError, match="where it comes from"):
        seed(store, seeds("a", seed=None))


def test_a_fire_is_one_commit(store: Store) -> None:
    """What fails after the run was inserted takes the run, the fire and the move back."""
    trigger = create(store)
    slot = last_slot(store)
    due(store, trigger, slot)
    seen = get(store, trigger)

    def fire_and_fail(tx: Tx) -> None:
        plan = triggers._plan(seen, slot, "UTC")
        assert plan is not None
        run = triggers._single(seen, triggers.run_of(seen, ids.new()))
        assert triggers._carry_out(tx, seen, plan, run) == "started"
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        store.transact(fire_and_fail)
    assert get(store, trigger) == seen
    assert fires(store, trigger) == []
    assert runs_of(store, trigger) == []


def test_after_a_restore_no_slot_fires_that_may_have_fired_already(store: Store) -> None:
    trigger, once = create(store), create(store, name="once", spec="2030-01-01T00:00Z")
    set_everything_due_an_hour_ago(store)
    store.transact(
        lambda tx: tx(Sql("update triggers set spec='2020-01-01T00:00Z' where id=:id"), id=once.id)
    )
    store.transact(stop.restored, by="me")
    read = get(store, trigger).next_fire_at
    assert read is not None and read <= now(store) + clock.HOUR, (
        "people are told when it fires next"
    )
    triggers.beat(store)
    assert not runs_of(store, trigger) and not runs_of(store, once)
    following = get(store, trigger).next_fire_at
    assert following is not None and now(store) < following <= now(store) + 2 * clock.HOUR
    assert not get(store, once).enabled
