"""An edit is a new proposal: it passes every check, is bound to what the checks saw, and the model learns of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred import errors, ids
from alfred.actions import approvals, card_clock, results
from alfred.actions.declare import action
from alfred.actions.editing import Edit, Editing
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger.approvals import Approval
from alfred.runs import audit
from alfred.store import invariants
from alfred.trust import redact
from tests.promises.gate.conftest import Bench
from tests.table import table

done: list[tuple[str, int]] = []

_RISKS = {"m": Risk.MEDIUM, "h": Risk.HIGH, "l": Risk.LOW, "n": Risk.NONE}


def _risk(args: dict[str, Any], ctx: Any) -> Risk:
    return _RISKS[args["text"][0]]


@action("t.act", integration="t", risk=Risk.NONE, effect=Effect.BLIND, classify=_risk)
def act(text: str, n: int = 1) -> str:
    """Acts.

    Args:
        text: What; its first letter is its risk.
        n: How often.
    """
    done.append((text, n))
    return text


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Iterator[Bench]:
    done.clear()
    made = new_bench(act)
    yield made
    broken = invariants.check(made.store)
    assert not broken, broken
    with made.store.read() as look:
        assert audit.verify(look)[1] is None


def edit(bench: Bench, args: dict[str, Any], card: Approval | None = None, **more: Any) -> Approval:
    card = card or bench.card()
    wanted = {
        "args_hash": card.args_hash,
        "by": "local:1",
        "via": "cli",
        "token": ids.new(),
        **more,
    }
    editing = Editing(bench.store, bench.actions, bench.gate.around)
    return editing.edit(card, editing.judged(card, args), Edit(**wanted))


def staged(bench: Bench, text: str = "medium", **more: Any) -> str:
    run = bench.start(("t.act", {"text": text}), **more)
    bench.go()
    assert bench.card().status == "pending"
    return run


def statuses(bench: Bench) -> list[str]:
    return [card.status for card in bench.cards("all")]


def test_what_a_person_made_of_it_is_what_happens(bench: Bench) -> None:
    run = staged(bench)
    old = edit(bench, {"text": "mild", "n": 2})
    assert (old.status, old.decision, old.decided_by) == ("edited", "edit", "local:1")
    assert json.loads(old.edited_args or "") == {"n": 2, "text": "mild"}
    assert statuses(bench) == ["edited", "approved"]
    new = bench.cards("all")[1]
    assert (new.supersedes, new.decided_by, new.version) == (old.id, "local:1", 2)
    bench.go()
    assert done == [("mild", 2)]
    assert bench.run(run).status == "completed"


def test_the_model_is_told_what_was_changed(bench: Bench) -> None:
    run = staged(bench)
    edit(bench, {"text": "mild"})
    bench.go()
    [call] = bench.calls(run)
    said, bad = results.shown(call)
    assert not bad
    assert 'text: "medium" -> "mild"' in said and "n:" not in said
    assert json.loads(call.asked) == {"n": 1, "text": "medium"}


def test_of_a_secret_that_a_person_wrote_into_a_call_the_model_is_told_no_half(
    bench: Bench,
) -> None:
    redact.register("Zq8vT3nLw9Xk2Rb7Yc5Md1", "KEY")
    run = staged(bench)
    edit(bench, {"text": "m".ljust(results.CHANGE - 12) + " Zq8vT3nLw9Xk2Rb7Yc5Md1"})
    bench.go()
    [call] = bench.calls(run)
    said, _bad = results.shown(call)
    assert "Zq8v" not in said and 'text: "medium" -> "m ' in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "text"),
        ({"text": 3}, "text"),
        ({"text": "m", "m": 1}, "m"),
        ({"text": "m", "n": "many"}, "n"),
    ],
)
def test_an_edit_that_does_not_validate_says_where_and_changes_nothing(
    bench: Bench, args: dict[str, Any], said: str
) -> None:
    run = staged(bench)
    before = (bench.card(), bench.calls(run))
    with pytest.raises(errors.InvalidEdit) as raised:
        edit(bench, args)
    assert said in [problem.field for problem in raised.value.errors]
    assert (bench.card(), bench.calls(run)) == before


def test_what_the_policy_forbids_is_no_edit(bench: Bench) -> None:
    staged(bench)
    bench.policy("off")
    with pytest.raises(errors.InvalidEdit):
        edit(bench, {"text": "mild"})
    assert statuses(bench) == ["pending"]


def test_an_edit_that_risks_more_is_asked_about_again(bench: Bench) -> None:
    run = staged(bench)
    new = edit(bench, {"text": "high"})
    assert (new.status, new.risk, new.version) == ("pending", "high", 2)
    assert statuses(bench) == ["superseded", "pending"]
    bench.go()
    assert done == [] and bench.run(run).wait == "approval"
    bench.decide("approve")
    bench.go()
    assert done == [("high", 1)]


def test_what_a_person_has_changed_is_theirs_on_the_new_card(bench: Bench) -> None:
    staged(bench)
    new = edit(bench, {"text": "high"})
    (field,) = [one for one in json.loads(new.provenance or "[]") if one["value"] == "high"]
    assert (field["from"], field["outside"]) == ("only in your edit of the card", False)
    # and stays so when a day has passed
    bench.decide("approve")
    bench.sql("update approvals set decided_at=decided_at-:d", d=2 * clock_module.DAY)
    bench.go()
    assert bench.card().supersedes == new.id and bench.card().provenance == new.provenance


@table(
    [
        ("answer", {"text": "mail bob"}, "only in your answer to a question"),
        ("reject", {"reason": "mail bob"}, "only in what you said to a card"),
    ]
)
def test_what_a_person_said_to_a_card_is_theirs_on_the_next_one(
    bench: Bench, decision: str, said: dict[str, Any], meant: str
) -> None:
    bench.start(
        ("ask.user", {"question": "whom?"}), then=(("t.act", {"text": "mail bob"}),), external=1
    )
    bench.go()
    bench.decide(decision, **said)
    bench.go()
    (field,) = json.loads(bench.card().provenance or "[]")
    assert (field["value"], field["from"], field["outside"]) == ("mail bob", meant, False)
    bench.decide("reject")
    bench.go()


def test_an_edit_that_risks_less_is_done(bench: Bench) -> None:
    staged(bench, "high")
    edit(bench, {"text": "none at all"})
    bench.go()
    assert done == [("none at all", 1)]


def test_an_edit_of_another_card_than_was_seen_changes_nothing(bench: Bench) -> None:
    staged(bench)
    with pytest.raises(errors.StaleHash):
        edit(bench, {"text": "mild"}, args_hash="0" * 64)
    assert statuses(bench) == ["pending"]


def test_what_was_decided_is_not_edited(bench: Bench) -> None:
    run = staged(bench)
    card = bench.card()
    bench.decide("reject")
    with pytest.raises(errors.AlreadyDecided):
        edit(bench, {"text": "mild"}, card)
    bench.go()
    assert done == [] and bench.calls(run)[0].status == "rejected"


def test_the_same_edit_said_twice_is_one(bench: Bench) -> None:
    staged(bench)
    card, token = bench.card(), ids.new()
    first = edit(bench, {"text": "mild"}, card, token=token)
    assert edit(bench, {"text": "mild"}, card, token=token) == first
    assert statuses(bench) == ["edited", "approved"]


def test_the_same_edit_that_is_asked_about_again_is_one_card(bench: Bench) -> None:
    staged(bench)
    card, token = bench.card(), ids.new()
    first = edit(bench, {"text": "high"}, card, token=token)
    assert edit(bench, {"text": "high"}, card, token=token) == first
    assert statuses(bench) == ["superseded", "pending"]


def test_of_edits_and_decisions_at_once_one_counts(bench: Bench) -> None:
    staged(bench)
    card, told = bench.card(), []
    gate = threading.Barrier(6)

    def decide(n: int) -> None:
        gate.wait()
        try:
            if n % 2:
                told.append(edit(bench, {"text": f"mild {n}"}, card).status)
            else:
                told.append(bench.decide("reject", card).status)
        except errors.AlreadyDecided:
            pass

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.go()
    assert len(told) == 1
    assert len(done) == (1 if told == ["edited"] else 0)


def test_what_it_would_touch_is_looked_at_once_more_when_it_happens(bench: Bench) -> None:
    run = staged(bench)
    edit(bench, {"text": "mild"})
    bench.policy("gated", {"action": "t.act", "mode": "off"})
    bench.go()
    assert done == [] and bench.calls(run)[0].status == "refused"


@pytest.mark.parametrize("seen", ["before", "meanwhile"])
def test_an_open_form_holds_the_clock_of_a_low_card(bench: Bench, clock: Any, seen: str) -> None:
    staged(bench, "low")
    card = bench.card()
    hold = Editing(bench.store, bench.actions, bench.gate.around).hold
    if seen == "meanwhile":
        hold(card.id)
    bench.store.transact(approvals.delivered, card.id, low_after_us=5 * clock_module.MINUTE)
    if seen == "before":
        hold(card.id)
    bench.sql("update approvals set auto_approve_at=auto_approve_at-:m", m=30 * clock_module.MINUTE)
    card_clock.auto_beat(bench.store, ids.new)
    assert bench.card().status == "pending"
    bench.sql("update approvals set auto_approve_at=auto_approve_at-:m", m=31 * clock_module.MINUTE)
    card_clock.auto_beat(bench.store, ids.new)
    assert statuses(bench) == ["auto_approved"]


def test_holding_starts_no_clock(bench: Bench) -> None:
    staged(bench)
    Editing(bench.store, bench.actions, bench.gate.around).hold(bench.card().id)
    assert bench.card().auto_approve_at is None


def test_a_question_has_nothing_to_edit(bench: Bench) -> None:
    bench.does(("ask.user", {"question": "which?"}))
    with pytest.raises(errors.UsageError, match="no arguments to change"):
        edit(bench, {"question": "what?"})


def test_a_fixed_step_that_comes_back_finds_its_call_although_it_was_edited(bench: Bench) -> None:
    run = bench.start(("t.act", {"text": "medium"}), ("t.act", {"text": "more"}))
    bench.go()
    edit(bench, {"text": "mild"})
    bench.go()
    bench.decide("approve")
    bench.go()
    assert done == [("mild", 1), ("more", 1)]
    assert bench.run(run).status == "completed"


def test_both_decisions_are_audited(bench: Bench) -> None:
    staged(bench)
    edit(bench, {"text": "mild"})
    rows = [json.loads(row.row) for row in bench.all("select row from audit order by n")]
    assert [row["decision"] for row in rows if row["what"] == "decision"] == ["edit", "approve"]
