"""Places at a provider, over all processes: never more than there are, free again when their holder is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from alfred.runs import places, sweep
from alfred.runs.rows import Lease
from alfred.runs.states import Wait
from alfred.store.tx import Tx
from tests.ledger.core import Core


def take(core: Core, lease: Lease, most: int = 1, provider: str = "p") -> bool:
    return core.do(places.take, lease, provider, most)


def waits(core: Core, lease: Lease, provider: str = "p") -> None:
    """Parks the run until there is a place."""

    def write(tx: Tx, _seq: int) -> None:
        places.wait(tx, lease.run_id, provider)

    core.park(lease, Wait.TIMER, step=core.step(write))


def test_there_are_so_many_places_at_each_provider_for_each_tenant(core: Core) -> None:
    runs = [core.held() for _ in range(3)]
    assert [take(core, run, 2) for run in runs] == [True, True, False]
    assert take(core, runs[0], 2), "it has its place"
    assert take(core, runs[2], 1, "q")
    assert take(core, core.held(tenant="other"))
    core.do(places.give_back, runs[0], "p")
    assert take(core, core.held(), 2)


def test_of_many_that_ask_at_once_no_more_get_a_place_than_there_are(core: Core) -> None:
    runs = [core.held() for _ in range(24)]
    gate = threading.Barrier(len(runs))

    def one(lease: Lease) -> bool:
        gate.wait()
        return take(core, lease, 5)

    with ThreadPoolExecutor(len(runs)) as pool:
        assert sum(pool.map(one, runs)) == 5


def test_a_place_ends_with_the_hold_on_its_run(core: Core) -> None:
    crashed, cancelled, parked, waiting = (core.held() for _ in range(4))
    for lease in (crashed, cancelled, parked):
        assert take(core, lease, 9)
    assert not take(core, waiting, 3)
    core.park(parked, Wait.BUDGET)
    assert take(core, waiting, 3)
    core.do(places.give_back, waiting, "p")
    core.finish(cancelled)
    core.lapse(crashed.run_id)
    sweep.beat(core.store)
    assert take(core, waiting, 1)
    core.do(places.give_back, waiting, "p")
    core.take(crashed.run_id)
    assert take(core, waiting, 1), "who takes the run over asks nobody yet"


def test_who_waits_for_a_place_reads_no_message_before(core: Core) -> None:
    lease = core.held()
    core.message(lease.run_id)
    waits(core, lease)
    assert core.run(lease.run_id).status == "parked"


def test_who_has_lost_its_run_neither_takes_nor_gives_back(core: Core) -> None:
    old = core.held()
    core.lapse(old.run_id)
    sweep.beat(core.store)
    assert not take(core, old)
    new = core.take(old.run_id)
    assert take(core, new)
    core.do(places.give_back, old, "p")
    assert not take(core, core.held())


def test_a_place_that_is_given_back_goes_to_the_oldest_that_waits_and_is_kept_for_it(
    core: Core,
) -> None:
    asks, first, second, elsewhere = (core.held() for _ in range(4))
    assert take(core, asks)
    for lease in (second, first):
        assert not take(core, lease)
        waits(core, lease)
    waits(core, elsewhere, "q")
    core.do(places.hand_over, "main", "p", 1)
    assert core.run(first.run_id).status == "parked", "there is none to hand over"
    core.do(places.give_back, asks, "p")
    core.do(places.hand_over, "main", "p", 1)
    assert [core.run(i.run_id).status for i in (first, second, elsewhere)] == [
        *("queued", "parked", "parked")
    ]
    assert not take(core, asks), "it is kept"
    mine = core.take(first.run_id)
    assert not take(core, asks)
    assert take(core, mine)


def test_who_was_handed_a_place_and_asked_somebody_else_neither_has_one_nor_waits(
    core: Core,
) -> None:
    asks, handed, timed_out = (core.held() for _ in range(3))
    assert take(core, asks)
    for lease in (handed, timed_out):
        waits(core, lease)
    core.do(places.give_back, asks, "p")
    core.do(places.hand_over, "main", "p", 1)
    core.write("update runs set wake_at=1 where id=:id", id=timed_out.run_id)
    sweep.beat(core.store)
    handed, again = (core.take(lease.run_id) for lease in (handed, timed_out))
    assert not take(core, asks), "it is kept"
    core.write("update runs set ready_at=1 where id=:id", id=handed.run_id)
    assert take(core, asks), "nobody has it"
    core.message(again.run_id)
    assert core.park(again, Wait.TIMER).status == "running", "it reads what was said to it"


def test_a_place_is_not_kept_for_ever_for_a_run_that_nobody_claims(core: Core) -> None:
    asks, waiting = core.held(), core.held()
    assert take(core, asks)
    waits(core, waiting)
    core.do(places.give_back, asks, "p")
    core.do(places.hand_over, "main", "p", 1)
    core.write("update runs set ready_at=1 where id=:id", id=waiting.run_id)
    assert take(core, asks)
