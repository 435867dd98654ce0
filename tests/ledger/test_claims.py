"""Who holds a run: claim, take, release."""

from __future__ import annotations

import random

import pytest

from alfred import clock, errors, ids
from alfred.runs import claims, ledger, stop
from alfred.runs.rows import Caps, Full
from alfred.runs.states import Wait
from alfred.store.statement import Sql
from tests.ledger.core import Core, holder, roomy


def test_a_claim_raises_the_attempt_and_takes_the_lease(core: Core) -> None:
    run_id = core.start()
    lease = core.take(run_id)
    run = core.run(run_id)
    assert (run.status, run.worker, run.attempt, lease.attempt) == ("running", core.me.worker, 1, 1)
    core.do(claims.release, lease)
    assert core.take(run_id).attempt == 2
    assert core.all(
        "select attempt,ended from leases where run_id=:r order by attempt", r=run_id
    ) == [
        (1, "released"),
        (2, None),
    ]


def test_a_held_run_is_not_claimed_again(core: Core) -> None:
    lease = core.held()
    assert core.claim(lease.run_id, by=holder()) is None
    assert core.claim(by=holder()) is None


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "parked"])
def test_only_what_is_queued_is_claimed(core: Core, end: str) -> None:
    lease = core.held()
    if end == "parked":
        core.park(lease, Wait.TIMER)
    elif end == "cancelled":
        core.do(claims.release, lease)
        core.cancel(lease.run_id)
    else:
        core.finish(lease, end)  # type: ignore[arg-type]
    assert core.run(lease.run_id).status == end
    assert core.claim(lease.run_id) is None
    assert core.claim() is None


def test_the_next_is_the_most_urgent_then_the_oldest(core: Core) -> None:
    first, second = core.start(), core.start()
    urgent = core.start(priority=-1)
    order = [core.claim() for _ in range(3)]
    assert [taken[1].id for taken in order if isinstance(taken, tuple)] == [urgent, first, second]


def test_what_is_ready_later_is_not_claimed_yet(core: Core) -> None:
    lease = core.held()
    core.do(claims.release, lease, delay_us=clock.HOUR)
    assert core.claim(lease.run_id) is None
    assert core.claim() is None
    core.write("update runs set ready_at=0 where id=:r", r=lease.run_id)
    assert core.take(lease.run_id).attempt == 2


def test_an_agents_cap_is_never_exceeded_and_is_said(core: Core) -> None:
    def caps(_tenant: str, _agent: str) -> Caps:
        return Caps(total=10, per_agent=2)

    runs = [core.start(agent="a") for _ in range(3)]
    other = core.start(agent="b")
    assert isinstance(core.claim(runs[0], caps=caps), tuple)
    assert isinstance(core.claim(runs[1], caps=caps), tuple)
    full = core.claim(runs[2], caps=caps)
    assert full == Full("main", "a")
    taken = core.claim(caps=caps, full=["main/a"])
    assert isinstance(taken, tuple) and taken[1].id == other


def test_who_comes_next_beside_what_is_full_is_the_oldest_of_all_others(core: Core) -> None:
    """As somebody who walks through all that is queued would find it."""
    agents = [("main", "a"), ("main", "b"), ("main", "b/c"), ("other", "a"), ("other", "b")]
    order = random.Random(7)
    for n in range(40):
        tenant, agent = order.choice(agents)
        core.start(tenant=tenant, agent=agent, priority=order.randrange(3))
        if n % 7 == 0:
            core.do(claims.release, core.held(tenant=tenant, agent=agent), delay_us=clock.HOUR)
    queued = core.all(
        "select id,tenant,agent from runs where status='queued' and ready_at<=alfred_now()"
        " order by priority,ready_at,id"
    )
    for full in (["main"], ["main/b"], ["main/a", "other"], ["main", "other"], ["b", "main/"]):
        left = [id for id, t, a in queued if t not in full and f"{t}/{a}" not in full]
        taken = core.claim(full=full)
        assert (taken[1].id if isinstance(taken, tuple) else None) == (left[0] if left else None)
        if isinstance(taken, tuple):
            queued = [row for row in queued if row[0] != taken[1].id]


def test_nobody_walks_through_the_runs_of_an_agent_that_is_full(core: Core) -> None:
    for agent in ("a", "b"):
        core.start(agent=agent)
    many = "with recursive n(i) as (select 1 union all select i+1 from n where i<2000)"
    copied = "tenant,agent,workflow,root_id,session_id,status,step,seq,ready_at"
    core.write(
        f"insert into runs(id,{copied}) {many} select id||'-'||i,tenant,agent,workflow,id||'-'||i,id||'-'||i,status,"
        "step,seq,ready_at from runs,n"
    )
    core.write("analyze runs")  # where the planner knows much, it has other ideas
    may = {"suspects": 1, "patience": 1, "root": ""}
    for statement, of in (
        (claims._HEADS, {"full": ["main/a"]}),
        (claims._IN_ORDER, {"heads": ["x"]}),
        (claims._NEXT_OF, {"tenant": "main", "agent": "a"}),
    ):
        plan = Sql("")
        plan.sqlite, plan.pg = f"explain query plan {statement.sqlite}", f"explain {statement.pg}"
        plan.lists = statement.lists
        with core.store.read() as look:
            found = look(plan, **of, **may).all()
        assert ("runs_queues" in str(found)) == (statement is not claims._IN_ORDER), found
        assert not any(walk in str(found) for walk in ("Seq Scan", "SCAN runs", "runs_ready"))


def test_what_is_full_is_seen_at_one_look_as_claims_would_find_it_one_by_one(core: Core) -> None:
    def caps(tenant: str, _agent: str) -> Caps:
        if tenant == "broken":
            raise errors.ConfigError("no yaml")
        return {"narrow": Caps(total=2, per_agent=5)}.get(tenant, Caps(total=9, per_agent=1))

    core.do(stop.switch, "halted", by="me")
    with core.store.read() as look:
        assert claims.full(look, caps) == ["halted"]
    for tenant, agent in (
        ("narrow", "a"),
        ("narrow", "b"),
        ("wide", "a"),
        ("wide", "b"),
        ("broken", "a"),
    ):
        core.held(tenant=tenant, agent=agent)
    gone = core.start(tenant="other", driver="process")
    assert isinstance(core.claim(gone, driver="process"), tuple)
    core.lapse(gone)
    for tenant, agent in (("narrow", "a"), ("wide", "a"), ("wide", "b"), ("broken", "a")):
        core.start(tenant=tenant, agent=agent)
    found: list[str] = []
    while isinstance(refused := core.claim(caps=caps, full=found), Full):
        found.append(str(refused))
    assert refused is None
    with core.store.read() as look:
        assert claims.full(look, caps) == sorted([*found, "halted"])


def test_a_tenants_cap_counts_all_its_agents_and_nobody_elses(core: Core) -> None:
    def caps(_tenant: str, _agent: str) -> Caps:
        return Caps(total=1, per_agent=5)

    core.held(agent="a")
    assert core.claim(core.start(agent="b"), caps=caps) == Full("main")
    assert isinstance(core.claim(core.start(tenant="other"), caps=caps), tuple)


def test_a_dead_firing_does_not_fill_a_cap(core: Core) -> None:
    run_id = core.start(driver="process")
    assert isinstance(core.claim(run_id, driver="process"), tuple)
    core.lapse(run_id)
    one = Caps(total=1, per_agent=1)
    assert isinstance(core.claim(core.start(), caps=lambda t, a: one), tuple)


def test_no_worker_takes_a_firings_run(core: Core) -> None:
    run_id = core.start(driver="process")
    assert core.claim() is None
    assert core.claim(run_id) is None
    assert isinstance(core.claim(run_id, driver="process"), tuple)
    assert core.run(run_id).driver == "process"


def test_a_firing_that_lives_is_not_claimed_again(core: Core) -> None:
    run_id = core.start(driver="process")
    assert isinstance(core.claim(run_id, driver="process"), tuple)
    assert core.claim(run_id, driver="process", by=holder()) is None
    assert core.run(run_id).worker == core.me.worker


def test_a_parked_firing_is_a_workers_run(core: Core) -> None:
    run_id = core.start(driver="process")
    taken = core.claim(run_id, driver="process")
    assert isinstance(taken, tuple)
    core.park(taken[0], Wait.TIMER)
    assert core.run(run_id).driver == "worker"


def test_a_firing_is_taken_over_only_when_its_lease_is_over_and_by_what_was_seen(
    core: Core,
) -> None:
    run_id = core.start(driver="process")
    first = core.claim(run_id, driver="process")
    assert isinstance(first, tuple)
    other = holder()
    assert core.do(claims.take, other, run_id, seen=1) is None
    core.lapse(run_id)
    assert core.do(claims.take, other, run_id, seen=7) is None
    taken = core.do(claims.take, other, run_id, seen=1)
    assert taken is not None and taken[0].attempt == 2
    assert core.do(claims.take, holder(), run_id, seen=1) is None
    with pytest.raises(errors.LeaseLost):
        core.advance(first[0], seq=0)


def test_a_workers_run_is_never_taken_over(core: Core) -> None:
    lease = core.held()
    core.lapse(lease.run_id)
    assert core.do(claims.take, holder(), lease.run_id, seen=1) is None


def test_nothing_is_claimed_while_everything_is_stopped(core: Core) -> None:
    run_id = core.start()
    core.do(stop.switch, "main", by="me")
    assert core.claim(run_id) == Full("main")
    assert core.claim() == Full("main")
    core.do(stop.resume, "main", by="me", token=ids.new())
    core.take(run_id)


def test_a_run_that_is_to_be_cancelled_is_not_claimed(core: Core) -> None:
    run_id = core.start()
    core.write("update runs set cancel=1 where id=:r", r=run_id)
    assert core.claim(run_id) is None
    assert core.claim() is None
    core.cancel(run_id)


def test_a_suspect_is_left_to_a_process_without_neighbours(core: Core) -> None:
    suspect = core.start()
    core.write("update runs set reclaims=1 where id=:r", r=suspect)
    assert core.claim(suspects=False) is None
    taken = core.claim(suspects=True)
    assert isinstance(taken, tuple) and taken[1].id == suspect


def test_a_command_that_stays_with_its_run_claims_its_tree_alone(core: Core) -> None:
    core.start()
    mine = core.start()
    taken = core.claim(root=mine)
    assert isinstance(taken, tuple) and taken[1].id == mine
    assert core.claim(root=mine) is None


def test_a_release_is_no_reclaim_and_only_the_holders(core: Core) -> None:
    lease = core.held()
    assert core.do(claims.release, lease)
    assert core.run(lease.run_id).reclaims == 0
    assert not core.do(claims.release, lease)
    again = core.take(lease.run_id)
    assert not core.do(claims.release, lease), "an old holder gave a run back that is not its"
    assert core.run(lease.run_id).attempt == again.attempt == 2


def test_a_release_of_a_cancelled_run_leaves_it_to_the_cancel(core: Core) -> None:
    lease = core.held()
    core.cancel(lease.run_id)
    assert not core.do(claims.release, lease)
    assert core.run(lease.run_id).status == "running"


def test_starting_twice_starts_once(core: Core) -> None:
    run_id = core.start()
    again = ledger.NewRun(id=run_id, workflow="w", step="first")
    assert not core.do(ledger.start, again)
    assert core.events(run_id) == ["run.queued"]


def test_one_live_run_a_key_and_another_when_it_is_over(core: Core) -> None:
    run_id = core.start(singleton_key="cron:1")
    twin = ledger.NewRun(id=ids.new(), workflow="w", step="first", singleton_key="cron:1")
    assert not core.do(ledger.start, twin)
    core.cancel(run_id)
    assert core.do(ledger.start, twin)


def test_one_live_run_a_conversation(core: Core) -> None:
    core.start(session_id="chat:1")
    twin = ledger.NewRun(id=ids.new(), workflow="w", step="first", session_id="chat:1")
    assert not core.do(ledger.start, twin)


def test_a_parents_call_has_one_child(core: Core) -> None:
    parent = core.held()
    child = core.child(parent.run_id)
    twin = ledger.NewRun(
        id=ids.new(),
        workflow="w",
        step="first",
        parent_id=parent.run_id,
        parent_call=core.run(child).parent_call,
    )
    assert not core.do(ledger.start, twin)


def test_inserting_and_claiming_is_one_transaction(core: Core) -> None:
    new = ledger.NewRun(id=ids.new(), workflow="w", step="first")

    def verb(tx: claims.Tx) -> object:
        ledger.start(tx, new)
        taken = claims.claim(tx, core.me, roomy, hint=new.id)
        assert new.id not in tx.wakes, "a worker is woken for a run that is held already"
        return taken

    assert isinstance(core.do(verb), tuple)


def test_a_hint_takes_no_run_of_another_tree(core: Core) -> None:
    mine, theirs = core.start(), core.start()
    assert core.claim(theirs, root=mine) is None
    assert isinstance(core.claim(mine, root=mine), tuple)


def test_a_run_whose_holder_died_is_not_taken_beside_others_by_a_hint(core: Core) -> None:
    suspect = core.start()
    core.write("update runs set reclaims=1 where id=:r", r=suspect)
    assert core.claim(suspect, suspects=False) is None
    core.write(
        "update runs set ready_at=ready_at-:waited where id=:r",
        r=suspect,
        waited=claims.PATIENCE + clock.SECOND,
    )
    assert isinstance(core.claim(suspect, suspects=False), tuple), "it is never left for ever"


def test_nothing_is_claimed_by_a_program_that_is_older_than_the_schema(core: Core) -> None:
    run_id = core.start()
    core.write("update meta set v='9999' where k='schema'")
    with pytest.raises(errors.SchemaMismatch):
        core.claim(run_id)


def test_settings_of_one_tenant_that_cannot_be_read_hold_up_nobody_else(core: Core) -> None:
    def caps(tenant: str, agent: str) -> Caps:
        if tenant == "acme":
            raise errors.ConfigError("broken")
        return roomy(tenant, agent)

    core.start(tenant="acme")
    mine = core.start()
    full = core.claim(caps=caps)
    assert full == Full("acme")
    taken = core.claim(caps=caps, full=[str(full)])
    assert isinstance(taken, tuple) and taken[0].run_id == mine


def test_a_dead_firing_is_not_taken_over_while_everything_is_stopped(core: Core) -> None:
    run_id = core.start(driver="process")
    taken = core.claim(run_id, driver="process")
    assert isinstance(taken, tuple)
    core.lapse(run_id)
    core.do(stop.switch, "main", by="me")
    assert core.do(claims.take, core.me, run_id, seen=1) is None
