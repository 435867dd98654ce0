"""Of a workflow at most one revision is active, by a yes to the contract that was shown; its schedule is a job while it is."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import errors, ids
from alfred.actions import Happened, NotHappened
from alfred.runs import audit, crons, revisions
from alfred.runs.revisions import Revision
from alfred.store.connect import Store
from alfred.workflows import activation
from alfred.workflows.contracts import Contract
from tests.built import built

ONE = Contract(
    workflow="weekly",
    revision="one",
    agent="main",
    brief="Do it.",
    inputs={},
    tools={"git.log": "none"},
    left_out={},
    destinations=(),
    autonomy="gated",
    schedule=None,
    timezone="UTC",
)
TWO = replace(ONE, revision="two")


def ask(store: Store, contract: Contract, text: str = "text") -> str:
    return store.transact(activation.begin, "main", contract, text, ids.new())


def yes(store: Store, contract: Contract, asked: str | None = None) -> bool:
    about = {"asked": asked or contract.digest, "by": "me"}
    return store.transact(revisions.activate, "main", "weekly", contract.revision, **about)


def active(store: Store, tenant: str = "main") -> Revision | None:
    with store.read() as look:
        return revisions.active(look, tenant, "weekly")


def holds(store: Store) -> str | None:
    found = active(store)
    return found.revision if found else None


def said(store: Store) -> list[str]:
    with store.read() as look:
        rows = [row.row or "" for row in audit.chain(look, "main")]
    return [row for row in rows if "workflow." in row]


def test_a_yes_is_to_the_contract_that_was_shown_and_to_no_other(store: Store) -> None:
    assert not yes(store, ONE), "nobody has asked"
    ask(store, ONE)
    wider = replace(ONE, tools={"git.push": "medium"})
    assert not yes(store, ONE, wider.digest)
    ask(store, wider)
    assert not yes(store, ONE), "something else is asked by now"
    assert active(store) is None
    assert yes(store, wider)
    assert not yes(store, wider), "once"
    found = active(store)
    assert found is not None
    assert (found.contract, found.activated_by, found.asked) == (wider.encode(), "me", None)


def test_what_is_active_stays_as_it_is_while_another_contract_is_asked_about(store: Store) -> None:
    ask(store, ONE)
    yes(store, ONE)
    ask(store, replace(ONE, tools={"git.push": "medium"}))
    found = active(store)
    assert found is not None
    assert found.contract == ONE.encode()
    ask(store, TWO)
    assert not yes(store, TWO, "another")
    assert holds(store) == "one"
    assert yes(store, TWO)
    assert holds(store) == "two", "one at a time"
    assert active(store, "acme") is None


def test_one_run_asks_about_a_contract_and_each_contract_is_asked_about(store: Store) -> None:
    first = ask(store, ONE)
    assert ask(store, ONE) == first
    assert ask(store, replace(ONE, tools={})) != first
    assert ask(store, ONE) == first
    assert yes(store, ONE), "what is asked about is what was said last"


def test_a_yes_has_happened_when_it_was_this_one(store: Store) -> None:
    check = built(activation.activate).check
    assert check is not None

    def happened(run: str) -> Any:
        ctx = SimpleNamespace(store=store, tenant="main", run_id=run)
        return check(key="k", ctx=ctx, name="weekly", revision="one", contract=ONE.digest)

    ask(store, ONE)
    about = {"asked": ONE.digest, "by": "run:first"}
    assert happened("first") == NotHappened()
    assert store.transact(revisions.activate, "main", "weekly", "one", **about)
    assert happened("first") == Happened("The workflow weekly is active: when you say so.")
    ask(store, ONE)
    assert happened("second") == NotHappened(), "the same was active before"


def test_nobody_is_asked_for_what_a_yes_could_not_carry_out(store: Store) -> None:
    with pytest.raises(errors.UsageError, match="it is past"):
        ask(store, replace(ONE, schedule="2020-01-01T00:00:00Z"))
    assert not yes(store, ONE)
    ask(store, replace(ONE, schedule="@daily"))


def test_the_text_of_a_revision_is_kept_once_and_an_end_is_told(store: Store) -> None:
    ask(store, ONE, "first")
    ask(store, ONE, "second")
    yes(store, ONE)
    with store.read() as look:
        kept = revisions.get(look, "main", "weekly", "one")
    assert kept is not None
    assert kept.text == "first"
    assert store.transact(activation.deactivate, "main", "weekly", by="me")
    assert not store.transact(activation.deactivate, "main", "weekly", by="me")
    assert active(store) is None
    assert [("deactivate" in row, '"by": "me"' in row) for row in said(store)] == [
        (False, True),
        (True, True),
    ]
    assert ONE.digest in said(store)[0]


def test_an_end_ends_what_takes_the_place_of_the_active_one_at_that_moment(store: Store) -> None:
    for _ in range(25):
        for contract in (ONE, TWO):
            ask(store, contract)
        assert yes(store, ONE)
        gate, ended = threading.Barrier(2), []

        def another(gate: threading.Barrier = gate) -> None:
            gate.wait()
            yes(store, TWO)

        def end(gate: threading.Barrier = gate, ended: list[bool] = ended) -> None:
            gate.wait()
            ended.append(store.transact(activation.deactivate, "main", "weekly", by="me"))

        both = [threading.Thread(target=work) for work in (another, end)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(30)
        assert ended == [True], "it was active before and after"
        store.transact(activation.deactivate, "main", "weekly", by="me")


def job(store: Store) -> crons.Trigger:
    with store.read() as look:
        found = crons.of_seed(look, "main", activation.seed_of("weekly"))
    assert found is not None
    return found


def test_a_job_is_paused_by_whoever_has_seen_it_as_it_is(store: Store) -> None:
    new: dict[str, Any] = {"name": "weekly", "spec": "@daily", "task": "x", "tenant": "main"}
    trigger = crons.NewTrigger(id=ids.new(), seed=activation.seed_of("weekly"), **new)
    first = store.transact(crons.create, trigger, zone="UTC")
    store.transact(crons.update, first.id, zone="UTC", spec="@hourly")
    assert not store.transact(crons.pause, first, "seen too early")
    assert job(store).enabled
    assert store.transact(crons.pause, job(store), "it has changed")
    found = job(store)
    assert (found.enabled, found.next_fire_at, found.problem) == (0, None, "it has changed")
    assert not store.transact(crons.pause, found, "twice")
    store.transact(crons.update, found.id, zone="UTC", enabled=True)
    assert job(store).next_fire_at
    assert job(store).problem is None
    store.transact(crons.remove, found.id)
    with store.read() as look:
        assert crons.of_seed(look, "main", activation.seed_of("weekly")) is None
