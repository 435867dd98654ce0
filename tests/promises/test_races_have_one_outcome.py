"""Two verbs at the same moment: whichever is first, what comes out is one of the two orders, and nobody waits for ever.

Postgres: the first verb is held inside its transaction until the server itself reports that the second waits
for it, so each race is the race and no sleep decides it. SQLite has one writer: there both orders are run.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import config, errors, ids
from alfred.actions import approvals, card_clock, editing
from alfred.actions.dispatch import Dispatch
from alfred.actions.effects import Effects
from alfred.actions.invoke import Ended
from alfred.actions.ledger import allowances, notices
from alfred.actions.ledger.calls import Judgement
from alfred.actions.pipeline import Judged
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.agents import allowance
from alfred.desk import Desk
from alfred.runs import claims, endings, forks, leases, ledger, listeners, rows, sessions, stop
from alfred.runs.rows import Caps, Full, NewRun
from alfred.runs.states import Status, Wait
from alfred.store import connect
from alfred.store import tx as tx_module
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from tests.ledger.core import LEASE, Core, holder, roomy

Verb = Callable[[Tx], Any]
LOCKS = "for no key update"
WRITES = re.compile(
    r"(with held as \()?(update|insert into|delete from) ?(approvals|calls|runs|notices)"
)
PATIENCE = (
    Sql("set local lock_timeout='60s'"),
    Sql("set local idle_in_transaction_session_timeout='60s'"),
)
WAITING = "select count(*) from pg_stat_activity where datname=current_database() and wait_event_type='Lock'"


def answered(core: Core, verb: Verb) -> Any:
    """What a verb came to: its result, or the refusal that is an answer."""
    try:
        return core.do(verb)
    except (errors.AlreadyDecided, errors.LeaseLost) as refused:
        return type(refused)


def patient(verb: Verb) -> Verb:
    """The verb, in a transaction that waits as long as a busy machine takes to bring the other one to it."""

    def waits(tx: Tx) -> Any:
        for words in PATIENCE:
            tx(words)
        return verb(tx)

    return waits


def race(core: Core, first: Verb, second: Verb, *then: Verb) -> tuple[Any, Any]:
    """Both verbs, the second begun while the first has done its work and not committed; `then` follow the second."""
    if not core.store.pg:
        said, told, *_ = [answered(core, verb) for verb in (first, second, *then)]
        return said, told
    worked, go = threading.Event(), threading.Event()

    def held(tx: Tx) -> Any:
        result = first(tx)
        worked.set()
        assert go.wait(50), "the other verb neither waited nor came through"
        return result

    answers: list[Future[Any]] = [Future(), Future()]

    def run(n: int, verb: Verb, *then: Verb) -> None:
        try:
            answer = answered(core, verb)
            for more in then:
                core.do(more)
            answers[n].set_result(answer)
        except BaseException as problem:
            answers[n].set_exception(problem)
            worked.set()

    one = threading.Thread(target=run, args=(0, patient(held)))
    two = threading.Thread(target=run, args=(1, patient(second), *then))
    one.start()
    assert worked.wait(20)
    two.start()
    while two.is_alive() and not core.one(WAITING):
        time.sleep(0.002)
    go.set()
    one.join(60)
    two.join(60)
    return answers[0].result(1), answers[1].result(1)


def both_orders(core: Core, make: Callable[[], tuple[Verb, Verb]]) -> Iterator[tuple[Any, Any]]:
    """The answers to (a, b), with a first and with b first, each in a world of its own."""
    a, b = make()
    yield race(core, a, b)
    a, b = make()
    said_b, said_a = race(core, b, a)
    yield said_a, said_b


def deciding(card: str, decision: str = "approve", via: str = "test") -> Verb:
    wanted = approvals.Decision(
        approval_id=card, decision=decision, by=via, via=via, token=ids.new()
    )
    return lambda tx: approvals.decide(tx, wanted)


def cancelling(run_id: str) -> Verb:
    return lambda tx: endings.cancel(tx, run_id, by="me", token=ids.new())


def test_a_decision_and_the_park_that_waits_for_it(core: Core) -> None:
    """The decision comes between staging and parking: the run never sleeps on a decided card."""
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        lease = core.held()
        [card] = core.staged(lease, parked=False)
        made.append(lease.run_id)
        step = core.step()
        return deciding(card), lambda tx: ledger.park(
            tx, lease, 1, step, to="next", wait=Wait.APPROVAL, for_us=LEASE, lease_us=LEASE
        )

    for decided, parked in both_orders(core, make):
        assert decided.status == "approved"
        assert parked.status in (Status.RUNNING, Status.PARKED)
        assert core.run(made[-1]).status in ("running", "queued")


def test_a_decision_and_a_cancel(core: Core) -> None:
    made: list[tuple[str, str]] = []

    def make() -> tuple[Verb, Verb]:
        lease = core.held()
        [card] = core.staged(lease)
        made.append((lease.run_id, card))
        return deciding(card), cancelling(lease.run_id)

    for decided, cancelled in both_orders(core, make):
        run_id, card = made[-1]
        assert cancelled is True
        assert core.run(run_id).status == "cancelled"
        won = decided is not errors.AlreadyDecided
        assert core.approval(card).status == ("approved" if won else "cancelled")
        assert core.call_of(card).status == "skipped"


def test_a_persons_no_and_the_timers_yes(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        [card] = core.staged(core.held(), risk="low", auto_ok=True, counts_from_staging=True)
        core.write("update approvals set auto_approve_at=1 where id=:c", c=card)
        made.append(card)
        return deciding(card, "reject"), deciding(card, "auto_approve", "auto")

    for answers in both_orders(core, make):
        assert sum(answer is errors.AlreadyDecided for answer in answers) == 1
        card, call = core.approval(made[-1]), core.call_of(made[-1])
        assert (card.status, call.status) in (
            ("rejected", "rejected"),
            ("auto_approved", "approved"),
        )


def test_two_low_cards_and_the_last_yes_of_the_hour(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_clock, "AUTO_PER_HOUR", 1)
    low = {"risk": "low", "auto_ok": True, "counts_from_staging": True}
    made = [core.staged(core.held(), **low)[0] for _ in range(2)]
    core.write("update approvals set auto_approve_at=1")

    def auto(card: str) -> Verb:
        seen, token = core.approval(card), ids.new()
        return lambda tx: card_clock._auto(tx, card, seen.args_hash, "main", token)

    race(core, auto(made[0]), auto(made[1]))
    assert [core.approval(card).status for card in made] == ["auto_approved", "pending"]


def test_two_low_cards_that_are_seen_and_the_last_clock(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "AUTO_PENDING", 1)
    made = [core.staged(core.held(), risk="low", auto_ok=True)[0] for _ in range(2)]

    def seen(card: str) -> Verb:
        return lambda tx: approvals.delivered(tx, card, low_after_us=LEASE)

    race(core, seen(made[0]), seen(made[1]))
    first, second = (core.approval(card) for card in made)
    assert first.auto_approve_at and not second.auto_approve_at
    assert first.delivered_at and second.delivered_at
    core.write("update approvals set delivered_at=1")
    core.do(seen(made[1]))
    assert core.approval(made[1]).delivered_at == 1, "it is seen for the first time once"


def test_the_last_two_children_end_together(core: Core) -> None:
    parents: list[str] = []

    def make() -> tuple[Verb, Verb]:
        parent = core.held()
        children = [core.child(parent.run_id) for _ in range(2)]
        held = [core.take(child) for child in children]
        core.park(parent, Wait.CHILDREN)
        parents.append(parent.run_id)

        def finish(n: int) -> Verb:
            step = core.step()
            return lambda tx: ledger.finish(
                tx, held[n], 0, step, again="a", status=Status.COMPLETED, lease_us=LEASE
            )

        return finish(0), finish(1)

    for answers in both_orders(core, make):
        assert [a.status for a in answers] == [Status.COMPLETED, Status.COMPLETED]
        assert core.run(parents[-1]).status == "queued", "nobody woke the parent"


def test_a_childs_end_and_its_parents_park(core: Core) -> None:
    parents: list[str] = []

    def make() -> tuple[Verb, Verb]:
        parent = core.held()
        child = core.take(core.child(parent.run_id))
        parents.append(parent.run_id)
        steps = core.step(), core.step()
        return (
            lambda tx: ledger.finish(
                tx, child, 0, steps[0], again="a", status=Status.COMPLETED, lease_us=LEASE
            ),
            lambda tx: ledger.park(
                tx, parent, 0, steps[1], to="n", wait=Wait.CHILDREN, for_us=LEASE, lease_us=LEASE
            ),
        )

    for _ in both_orders(core, make):
        assert core.run(parents[-1]).status in ("running", "queued")


def test_a_childs_end_and_its_parents_cancel(core: Core) -> None:
    made: list[tuple[str, str]] = []

    def make() -> tuple[Verb, Verb]:
        parent = core.held()
        child = core.take(core.child(parent.run_id))
        core.park(parent, Wait.CHILDREN)
        made.append((parent.run_id, child.run_id))
        step = core.step()
        return (
            lambda tx: ledger.finish(
                tx, child, 0, step, again="a", status=Status.COMPLETED, lease_us=LEASE
            ),
            cancelling(parent.run_id),
        )

    for finished, cancelled in both_orders(core, make):
        parent, child = made[-1]
        assert cancelled is True and core.run(parent).status == "cancelled"
        if finished is errors.LeaseLost:
            assert core.do(endings.honour_cancel, child)
        assert not core.run(child).live


def test_a_spawn_and_a_cancel_leave_no_orphan(core: Core) -> None:
    made: list[tuple[str, str]] = []

    def make() -> tuple[Verb, Verb]:
        parent = core.held()
        child = ids.new()
        made.append((parent.run_id, child))
        new = ledger.NewRun(
            id=child,
            workflow="w",
            step="s",
            parent_id=parent.run_id,
            parent_call="c",
            root_id=parent.run_id,
            depth=1,
        )

        def start(tx: Tx, _seq: int) -> None:
            ledger.start(tx, new)

        step = core.step(start)
        return (
            lambda tx: ledger.advance(tx, parent, 0, step, to="n", lease_us=LEASE),
            cancelling(parent.run_id),
        )

    for spawned, cancelled in both_orders(core, make):
        parent, child = made[-1]
        assert cancelled is True
        there = core.one("select status from runs where id=:c", c=child)
        assert there == (None if spawned is errors.LeaseLost else "cancelled")
        assert core.do(endings.honour_cancel, parent)


def test_a_message_and_the_end_of_its_run(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        lease = core.held()
        made.append(lease.run_id)
        step, message = core.step(), ids.new()
        return (
            lambda tx: ledger.message(
                tx, lease.run_id, message_id=message, body="and?", author="me"
            ),
            lambda tx: ledger.finish(
                tx, lease, 0, step, again="a", status=Status.COMPLETED, lease_us=LEASE
            ),
        )

    for told, finished in both_orders(core, make):
        taken = told is not None
        assert finished.status is (Status.RUNNING if taken else Status.COMPLETED)
        assert core.run(made[-1]).status == ("running" if taken else "completed")


def test_two_words_to_one_session_begin_one_run(core: Core) -> None:
    """Said to two of its runs, so that no lock of theirs decides it, only the key of the session."""
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        key = ids.new()
        ended = []
        for _ in range(2):
            ended.append(core.held(session_id=key))
            core.finish(ended[-1])
        made.append(key)

        def saying(run_id: str, word: str) -> Verb:
            new = ledger.NewRun(id=ids.new(), workflow="w", step="s", brief=word)
            run = core.run(run_id)
            return lambda tx: sessions.follow(tx, run, new, author="me")

        return saying(ended[0].run_id, "one"), saying(ended[1].run_id, "two")

    for one, two in both_orders(core, make):
        assert one.id == two.id
        assert core.one("select count(*) from runs where session_id=:k", k=made[-1]) == 3
        messages = core.all("select body from interjections where run_id=:r", r=one.id)
        assert {core.run(one.id).brief, *(body for (body,) in messages)} == {"one", "two"}


def test_what_is_said_while_a_turn_ends_is_read_by_it_or_is_the_next_turn(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        session, step = ids.new(), core.step()
        core.do(sessions.begin, id=session, tenant="main", agent="main")
        first = ledger.NewRun(id=ids.new(), workflow="w", step="s", brief="one")
        lease = core.take(core.do(sessions.deliver, session, first, author="me").id)
        new = ledger.NewRun(id=ids.new(), workflow="w", step="s", brief="two")
        made.append(session)
        return (
            lambda tx: sessions.deliver(tx, session, new, author="me"),
            lambda tx: ledger.finish(
                tx, lease, 0, step, again="a", status=Status.COMPLETED, lease_us=LEASE
            ),
        )

    for said, finished in both_orders(core, make):
        turns = core.all("select run_id from session_turns where session_id=:s", s=made[-1])
        if finished.status is Status.COMPLETED:
            assert len(turns) == 2 and said.brief == "two"
        else:
            assert len(turns) == 1 and core.all(
                "select body from interjections where run_id=:r", r=said.id
            ) == [("two",)]


def test_one_word_that_is_brought_twice_at_once_is_said_once(core: Core) -> None:
    """As by a service that sends an update again while the first one is still being taken."""
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        session = ids.new()
        core.do(sessions.begin, id=session, tenant="main", agent="main")
        new = ledger.NewRun(id=ids.new(), workflow="w", step="s", brief="one")
        made.append(new.id)

        def bring(tx: Tx) -> Any:
            return sessions.deliver(tx, session, new, author="me")

        return bring, bring

    for one, two in both_orders(core, make):
        assert one.id == two.id == made[-1]
        assert core.one("select count(*) from interjections where run_id=:r", r=made[-1]) == 0


def _talks(core: Core) -> tuple[str, rows.Lease, NewRun, NewRun]:
    """A session whose turn is held: its id, the lease, a child that is to take it over, and something that is said."""
    session = ids.new()
    core.do(sessions.begin, id=session, tenant="main", agent="main")
    first = NewRun(id=ids.new(), workflow="w", step="s", brief="one")
    lease = core.take(core.do(sessions.deliver, session, first, author="me").id)
    child = NewRun(
        id=ids.new(),
        agent="ops",
        workflow="w",
        step="s",
        parent_id=first.id,
        parent_call=f"{ids.new()}:{rows.TAKES_OVER}",
        root_id=first.id,
        depth=1,
    )
    said = NewRun(id=ids.new(), workflow="w", step="s", brief="two")
    return session, lease, child, said


def _hands_over(child: NewRun) -> Verb:
    def verb(tx: Tx) -> None:
        assert ledger.start(tx, child)
        sessions.take_over(tx, child)

    return verb


def test_what_is_said_while_a_conversation_is_handed_over_is_said_to_who_took_it(
    core: Core,
) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        session, _lease, child, said = _talks(core)
        made.append(child.id)
        return (lambda tx: sessions.deliver(tx, session, said, author="me")), _hands_over(child)

    for _ in both_orders(core, make):
        where = "select body from interjections where run_id=:r and consumed_seq is null"
        assert core.all(where, r=made[-1]) == [("two",)]


def test_a_chat_that_speaks_to_who_took_it_while_its_caller_is_ended_hears_of_that(
    core: Core,
) -> None:
    made: list[tuple[str, str]] = []

    def make() -> tuple[Verb, Verb]:
        session, lease, child, said = _talks(core)
        core.do(_hands_over(child))
        core.park(lease, Wait.CHILDREN)
        made.append((lease.run_id, said.id))

        def speak(tx: Tx) -> None:
            run = sessions.deliver(tx, session, said, author="me")
            listeners.listen(tx, run.root_id, channel="local:bot", target=f"local:bot:{said.id}")

        return speak, cancelling(lease.run_id)

    for _ in both_orders(core, make):
        caller, said = made[-1]
        told = core.one("select count(*) from outbox where id=:id", id=f"{caller}@local:bot:{said}")
        begun = core.one("select count(*) from runs where id=:id", id=said)
        assert told + begun == 1, "it ends without a word, and nobody answers"


def test_what_is_said_while_who_took_it_fails_is_read_by_its_caller(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        session, lease, child, said = _talks(core)
        core.do(_hands_over(child))
        core.park(lease, Wait.CHILDREN)
        held, step = core.take(child.id), core.step()
        made.append(lease.run_id)
        return (
            lambda tx: sessions.deliver(tx, session, said, author="me"),
            lambda tx: ledger.finish(
                tx, held, 0, step, again="a", status=Status.FAILED, lease_us=LEASE
            ),
        )

    for _ in both_orders(core, make):
        where = "select body from interjections where run_id=:r and consumed_seq is null"
        assert core.all(where, r=made[-1]) == [("two",)]


def test_two_who_open_one_conversation_speak_in_one_session(core: Core) -> None:
    def make() -> tuple[Verb, Verb]:
        key = ids.new()

        def opening() -> Verb:
            new_id = ids.new()
            return lambda tx: sessions.opened(
                tx, tenant="main", agent="main", key=key, new_id=new_id
            )

        return opening(), opening()

    for one, two in both_orders(core, make):
        assert one.id == two.id


def test_a_heartbeat_and_a_sweep(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        lease = core.held()
        core.lapse(lease.run_id)
        run = core.run(lease.run_id)
        seen = leases.Lapsed(run.id, None, run.attempt, 0, 0)
        made.append(run.id)
        return (
            lambda tx: leases.renew(tx, core.me, [(lease.run_id, lease.attempt)]),
            lambda tx: leases.reclaim(tx, seen),
        )

    for _, reclaimed in both_orders(core, make):
        assert core.run(made[-1]).status == ("queued" if reclaimed else "running")


def test_two_sweeps_of_one_dead_run(core: Core) -> None:
    lease = core.held()
    core.lapse(lease.run_id)
    seen = leases.Lapsed(lease.run_id, None, 1, 0, 0)
    both = race(core, lambda tx: leases.reclaim(tx, seen), lambda tx: leases.reclaim(tx, seen))
    assert sorted(both) == [False, True]
    assert core.run(lease.run_id).reclaims == 1


def test_two_claims_of_one_run(core: Core) -> None:
    run_id = core.start()
    me, you = holder(), holder()
    answers = race(
        core,
        lambda tx: claims.claim(tx, me, roomy, hint=run_id),
        lambda tx: claims.claim(tx, you, roomy, hint=run_id),
    )
    assert isinstance(answers[0], tuple) and answers[1] is None
    assert core.run(run_id).worker == me.worker


def test_two_claims_of_the_last_place_under_a_cap(core: Core) -> None:
    def caps(_t: str, _a: str) -> Caps:
        return Caps(total=1, per_agent=1)

    first, second = core.start(), core.start()
    answers = race(
        core,
        lambda tx: claims.claim(tx, core.me, caps, hint=first),
        lambda tx: claims.claim(tx, core.me, caps, hint=second),
    )
    assert isinstance(answers[0], tuple) and isinstance(answers[1], Full)


def test_a_claim_and_a_stop_leave_nothing_at_work(core: Core) -> None:
    """The switch waits for the claim that has read that there is none, and the pause finds its run."""
    run_id = core.start()
    race(
        core,
        lambda tx: claims.claim(tx, core.me, roomy, hint=run_id),
        lambda tx: stop.switch(tx, "main", by="me"),
        lambda tx: stop.stop(tx, "main", by="me", token=ids.new()),
    )
    assert core.run(run_id).status == "parked"


def test_a_cancel_and_a_stop_of_everything(core: Core) -> None:
    made: list[str] = []

    def make() -> tuple[Verb, Verb]:
        made.append(core.held().run_id)
        return cancelling(made[-1]), lambda tx: stop.stop(tx, "main", by="me", token=ids.new())

    for cancelled, _ in both_orders(core, make):
        assert cancelled is True
        core.do(endings.honour_cancel, made[-1])
        assert core.run(made[-1]).status == "cancelled"


NOTHING = Surroundings(home=Path, settings=lambda _: None, secrets=lambda *_: None)


def low(core: Core) -> str:
    """A low card."""
    return core.staged(core.held(), risk="low", auto_ok=True)[0]


def entering(core: Core) -> Verb:
    """Somebody takes a run that asks whether it goes on."""
    lease = core.held()
    card = core.card(lease, ids.new(), args_hash="h")
    more = allowances.Allowance("day", "2026-11-21", 1)

    def write(tx: Tx, _seq: int) -> None:
        allowances.stage(tx, card, more, "{}", why="")
        approvals.stage(tx, card)

    core.park(lease, Wait.BUDGET, step=core.step(write))
    core.write("update runs set status='queued',wait=null,wake_at=null where wait='budget'")
    mine = core.take(lease.run_id)
    return lambda tx: Dispatch(core.store, Registry(), NOTHING).enter(tx, mine)


def editing_it(core: Core) -> Verb:
    lease = core.held()
    seen = core.approval(core.staged(lease)[0])
    judged = Judged(
        judgement=Judgement(call_id=seen.call_id, status="staged", action="a", risk="low")
    )
    new = core.card(lease, seen.call_id)
    wanted = editing.Edit(args_hash=seen.args_hash, by="me", via="cli", token=ids.new())
    return lambda tx: editing._edit(tx, seen, judged, new, wanted)


def recording(core: Core) -> Verb:
    """An effect has come to its end."""
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    [call] = core.calls(lease.run_id)
    core.intend(lease, call.id)

    begun = core.call(call.id)

    def verb(tx: Tx) -> None:
        store: Any = SimpleNamespace(record=lambda write: write(tx))
        Effects(store, Registry(), NOTHING).record(lease, begun, Ended("done", '"ok"'))

    return verb


def forking(core: Core) -> Verb:
    lease = core.held()
    core.advance(lease)
    return lambda tx: forks.point(tx, lease.run_id, 1)


def telling(core: Core) -> Verb:
    run_id = core.approval(low(core)).run_id
    return lambda tx: notices.claim(tx, [run_id], [], holder="h")


def seeing(core: Core) -> Verb:
    card = low(core)
    return lambda tx: approvals.delivered(tx, card, low_after_us=LEASE)


LOCKING: dict[str, Callable[[Core], Verb]] = {
    "decide": lambda core: deciding(low(core)),
    "edit": editing_it,
    "seen": seeing,
    "told": telling,
    "enter": entering,
    "outcome": recording,
    "fork": forking,
    "stop": lambda core: lambda tx: stop.stop(tx, "main", by="me", token=ids.new()),
    "resume": lambda core: lambda tx: stop.resume(tx, "main", by="me", token=ids.new()),
}


def test_whoever_writes_to_what_hangs_on_a_run_locks_the_run_first(
    pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two of them, or one of them and a cancel or a park, would wait for each other, or each miss what the other did."""
    sent: list[str] = []
    monkeypatch.setattr(tx_module, "trace", sent.append)
    with opened(pg_url) as core:
        for name, make in LOCKING.items():
            verb = make(core)
            sent.clear()
            core.do(verb)
            touched = [said for said in sent if LOCKS in said or WRITES.match(said)]
            assert touched and LOCKS in touched[0], (name, touched)


def test_a_claim_by_hint_waits_for_a_row_that_is_locked(pg_url: str) -> None:
    """Skipping it would lose the wake that named it."""
    with opened(pg_url) as core:
        run_id = core.start()
        _, taken = race(
            core,
            lambda tx: rows.lock(tx, run_id),
            lambda tx: claims.claim(tx, core.me, roomy, hint=run_id),
        )
        assert isinstance(taken, tuple) and taken[1].id == run_id


@pytest.mark.parametrize("full", [[], ["main/full"]])
@pytest.mark.parametrize("other", ["main", "other"])
def test_the_search_for_the_next_run_does_not_wait_for_a_locked_one(
    pg_url: str, other: str, full: list[str]
) -> None:
    with opened(pg_url) as core:
        locked, free = core.start(), core.start(agent=other)
        _, taken = race(
            core,
            lambda tx: rows.lock(tx, locked),
            lambda tx: claims.claim(tx, core.me, roomy, full=full),
        )
        assert isinstance(taken, tuple) and taken[1].id == free


@contextlib.contextmanager
def opened(url: str) -> Iterator[Core]:
    store = connect.open_store(url)
    try:
        yield Core(store)
    finally:
        store.close()


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_wake_that_is_lost_or_comes_often_runs_nothing_twice(core: Core, times: int) -> None:
    run_id = core.start()
    taken = [core.claim(run_id, by=holder()) for _ in range(times)]
    assert [isinstance(t, tuple) for t in taken] == [True] + [False] * (times - 1)


def test_of_two_who_cancel_a_run_the_second_is_told_that_it_is_cancelled(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Desk(store=core.store, settings=config.Settings(), home=tmp_path)
    run = second.run(core.start())
    assert core.do(cancelling(run.id))
    seen, now = [run], Desk.run
    monkeypatch.setattr(Desk, "run", lambda desk, ref: seen.pop() if seen else now(desk, ref))
    with pytest.raises(errors.AlreadyEnded, match="was over: cancelled"):
        second.cancel(run.id)


def test_runs_that_reach_a_cap_at_once_ask_no_more_often_than_one_by_one(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "ASKING", 1)

    def asking() -> Verb:
        run = core.run(core.held().run_id)
        ctx: Any = SimpleNamespace(run=run, store=core.store, writes=[])
        settings = config.Settings()
        allowance.ask(ctx, scope="day", amount=1, day="2026-11-21", settings=settings, for_us=LEASE)
        [write] = ctx.writes
        return lambda tx: (rows.lock(tx, run.id), write(tx, 1))

    race(core, asking(), asking())
    [(said,)] = core.all("select preview from approvals")
    assert "Other runs" in said
