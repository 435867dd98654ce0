"""Decisions: one for each card, the first wins, and what was approved is what is executed."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred import desk, errors, ids
from alfred.actions import approvals, card_clock, declare
from alfred.actions.approvals import Decision
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.editing import Edit, Editing
from alfred.actions.kinds import Risk
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards
from alfred.runs import endings, stop
from tests.promises.gate.conftest import Bench, code

done: list[str] = []


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    return (ctx.home / "content").read_text()


def _classify(args: dict[str, Any], ctx: ActionContext) -> Risk:
    return Risk.HIGH if (ctx.home / "high").exists() else Risk.NONE


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    return f"over {(ctx.home / 'content').read_text()}"


@action(
    "t.ask",
    integration="t",
    risk=Risk.MEDIUM,
    target=_target,
    classify=_classify,
    preview=_preview,
    touches=lambda args, ctx: (args["name"],),
)
def asked(name: str) -> str:
    """Acts when a person says so.

    Args:
        name: How.
    """
    done.append(name)
    return name


@action("t.low", integration="t", risk=Risk.LOW)
def low(name: str) -> str:
    """Acts unless somebody objects.

    Args:
        name: How.
    """
    done.append(name)
    return name


@action("t.page", integration="t", risk=Risk.NONE, label="external")
def page() -> str:
    """Reads what somebody else wrote."""
    return "news"


@action("t.cut", integration="t", risk=Risk.NONE)
def cut() -> str:
    """Breaks off."""
    raise ConnectionResetError("cut")


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    done.clear()
    made = new_bench(asked, low, page, cut)
    (made.home / "content").write_text("one")
    return made


def staged(bench: Bench, name: str = "x", **more: Any) -> str:
    run = bench.start(("t.ask", {"name": name}), **more)
    bench.go()
    assert bench.run(run).wait == "approval"
    return run


def backdate(bench: Bench, us: int, *columns: str) -> None:
    for column in columns:
        bench.sql(f"update approvals set {column}={column}-:us", us=us)


def auto(bench: Bench) -> None:
    card_clock.auto_beat(bench.store, ids.new)


def expire(bench: Bench) -> None:
    card_clock.expire_beat(bench.store, ids.new)


def seen(bench: Bench) -> None:
    for card in bench.cards():
        bench.store.transact(approvals.delivered, card.id, low_after_us=5 * clock_module.MINUTE)


# ---- the first wins


def test_a_card_is_decided_once_and_who_comes_late_is_told_who_was_first(bench: Bench) -> None:
    staged(bench)
    card = bench.card()
    bench.decide("approve", card, by="local:1")
    for late in ("approve", "reject", "reject_and_end"):
        with pytest.raises(errors.AlreadyDecided) as told:
            bench.decide(late, card, by="local:2")
        assert told.value.extra["decided_by"] == "local:1"
    bench.go()
    assert done == ["x"]
    decisions = bench.all('select 1 from audit where row like \'%"what": "decision"%\'')
    assert len(decisions) == 1


def test_of_many_people_at_once_one_decides(bench: Bench) -> None:
    staged(bench)
    card, together = bench.card(), threading.Barrier(6)
    won: list[Approval] = []
    lost: list[errors.AlreadyDecided] = []

    def person(number: int) -> None:
        together.wait(20)
        try:
            won.append(bench.decide("approve" if number % 2 else "reject", card, by=f"p:{number}"))
        except errors.AlreadyDecided as late:
            lost.append(late)

    people = [threading.Thread(target=person, args=(n,)) for n in range(6)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join(30)
    assert (len(won), len(lost)) == (1, 5)
    assert {late.extra["decided_by"] for late in lost} == {won[0].decided_by}
    bench.go()
    assert done == (["x"] if won[0].status == "approved" else [])


def test_the_same_decision_said_again_by_its_token_is_the_same_answer(bench: Bench) -> None:
    staged(bench)
    card, token = bench.card(), ids.new()
    first = bench.decide("approve", card, token=token)
    again = bench.decide("approve", card, token=token)
    assert again == first
    assert len(bench.all('select 1 from audit where row like \'%"what": "decision"%\'')) == 1


@pytest.mark.parametrize(
    "decision", ["happened", "retry", "skip", "answer", "expire", "nonsense", "auto_approve"]
)
def test_a_card_takes_only_the_decisions_of_its_kind(bench: Bench, decision: str) -> None:
    staged(bench)
    with pytest.raises(errors.UsageError):
        bench.decide(decision)
    assert bench.card().status == "pending"


def test_an_outcome_card_takes_no_approval_and_a_question_only_an_answer(bench: Bench) -> None:
    bench.does(("t.cut", {}))
    with pytest.raises(errors.UsageError):
        bench.decide("approve")
    bench.decide("skip")
    run = bench.start(("ask.user", {"question": "Which?"}))
    bench.go()
    assert bench.run(run).wait == "question"
    with pytest.raises(errors.UsageError):
        bench.decide("approve")
    bench.decide("answer", text="this one")
    bench.go()
    assert bench.answers == [{"answer": "this one"}]


def test_a_decision_about_other_content_than_the_card_has_is_refused(bench: Bench) -> None:
    staged(bench)
    with pytest.raises(errors.StaleHash):
        bench.decide("approve", args_hash="f" * 64)
    assert bench.card().status == "pending"
    assert bench.decide("approve", args_hash=bench.card().args_hash).status == "approved"


def test_nothing_is_decided_about_a_run_that_was_cancelled(bench: Bench) -> None:
    run = staged(bench)
    card = bench.card()
    bench.store.transact(endings.cancel, run, by="somebody", token=ids.new())
    with pytest.raises(errors.AlreadyDecided):
        bench.decide("approve", card)
    assert bench.calls(run)[0].status == "skipped"
    assert done == []


def test_a_decision_that_counts_for_nothing_is_in_the_audit(bench: Bench) -> None:
    staged(bench)
    card = bench.card()
    at_desk = desk.Desk(store=bench.store, settings=bench.settings, home=bench.home, by="p:1")
    editing = Editing(bench.store, bench.actions, bench.gate.around)
    judged = editing.judged(card, {"name": "y"})
    edit = Edit(args_hash=card.args_hash, by="p:1", via="cli", token=ids.new())

    def refused(attempt: Callable[[], object], kind: type[errors.AlfredError]) -> str:
        with pytest.raises(kind):
            attempt()
        (last,) = bench.all("select row from audit order by n desc limit 1")
        said = json.loads(last.row)
        assert (said["what"], said["approval"], said["by"]) == ("decision.refused", card.id, "p:1")
        return said["decision"]

    other = functools.partial(at_desk.decide, card.id, "approve", args_hash="f" * 64)
    assert refused(other, errors.StaleHash) == "approve"
    bench.decide("reject", card)
    late = functools.partial(at_desk.decide, card.id, "approve")
    assert refused(late, errors.AlreadyDecided) == "approve"
    changed = functools.partial(editing.edit, card, judged, edit)
    assert refused(changed, errors.AlreadyDecided) == "edit"


def test_an_unknown_card_is_not_found(bench: Bench) -> None:
    with pytest.raises(errors.NotFound):
        bench.store.transact(
            approvals.decide,
            Decision(approval_id="nope", decision="approve", by="p", via="cli", token="t"),
        )


def test_reject_and_end_ends_the_run_its_other_cards_and_its_children(bench: Bench) -> None:
    run = bench.start(("t.ask", {"name": "a"}), ("t.ask", {"name": "b"}))
    bench.go()
    child = bench.start(parent_id=run, parent_call=bench.calls(run)[0].id, root_id=run)
    first, second = bench.cards()
    bench.decide("reject_and_end", first, reason="enough")
    error = json.loads(bench.run(run).error or "")
    assert (bench.run(run).status, error) == ("cancelled", {"code": "refused", "detail": "enough"})
    assert bench.run(child).status == "cancelled"
    assert [c.status for c in bench.calls(run)] == ["rejected", "skipped"]
    assert [c.status for c in bench.cards("all")] == ["rejected", "cancelled"]
    with pytest.raises(errors.AlreadyDecided):
        bench.decide("approve", second)


# ---- what was approved is what is done


@dataclass(frozen=True)
class Change:
    what: str
    make: Callable[[Bench], Any]


CHANGES = [
    Change("the content", lambda b: (b.home / "content").write_text("two")),
    Change("the risk", lambda b: (b.home / "high").touch()),
    Change("a day passed", lambda b: backdate(b, clock_module.DAY, "decided_at")),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.what)
def test_what_changed_since_it_was_approved_is_asked_again(bench: Bench, change: Change) -> None:
    run = staged(bench)
    old = bench.decide("approve")
    change.make(bench)
    bench.go()
    assert done == []
    assert bench.run(run).wait == "approval"
    new = bench.card()
    assert (new.version, new.call_id, new.supersedes) == (2, old.call_id, old.id)
    assert [c.status for c in bench.cards("all")] == ["superseded", "pending"]
    assert any("Instead of" in line for line in cards.render(new))
    assert cards.decided(bench.cards("all")[0]) == "superseded"
    assert new.preview == f"over {(bench.home / 'content').read_text()}"
    bench.decide("approve")
    bench.go()
    assert (done, bench.run(run).status) == (["x"], "completed")


def test_just_under_a_day_an_approval_still_counts(bench: Bench) -> None:
    staged(bench)
    bench.decide("approve")
    backdate(bench, clock_module.DAY - 10 * clock_module.MINUTE, "decided_at")
    bench.go()
    assert done == ["x"]


def test_the_new_card_of_what_needs_nobody_any_more_still_says_what_it_is(bench: Bench) -> None:
    staged(bench)
    bench.decide("approve")
    (bench.home / "content").write_text("two")
    bench.policy("autonomous")
    bench.go()
    assert bench.card().preview == "over two"


def test_a_policy_that_says_off_is_stronger_than_the_approval(bench: Bench) -> None:
    run = staged(bench)
    bench.decide("approve")
    bench.policy("gated", {"action": "t.ask", "mode": "off"})
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, code(call)) == ("refused", "mode_off")
    assert [c.status for c in bench.cards("all")] == ["superseded"]
    assert (done, bench.run(run).status) == ([], "completed")


# ---- clocks


def test_a_card_that_nobody_decided_in_time_is_a_no(bench: Bench) -> None:
    run = staged(bench)
    expire(bench)
    assert bench.card().status == "pending"
    backdate(bench, 7 * clock_module.DAY + clock_module.MINUTE, "expires_at")
    card = bench.card()
    expire(bench)
    with pytest.raises(errors.AlreadyDecided):
        bench.decide("approve", card)
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, json.loads(call.result or "")["code"]) == ("rejected", "expired")
    assert [c.status for c in bench.cards("all")] == ["expired"]
    assert done == []


def test_an_expired_outcome_is_skipped_and_never_repeated(bench: Bench) -> None:
    run = bench.start(("t.cut", {}))
    bench.go()
    backdate(bench, 7 * clock_module.DAY + clock_module.MINUTE, "expires_at")
    expire(bench)
    bench.go()
    assert [c.status for c in bench.calls(run)] == ["skipped"]
    assert bench.run(run).status == "completed"


def test_a_low_card_approves_itself_five_minutes_after_it_was_seen(bench: Bench) -> None:
    run = bench.start(("t.low", {"name": "x"}))
    bench.go()
    auto(bench)
    assert bench.card().auto_approve_at is None, "nobody could have seen it"
    seen(bench)
    first = bench.card().auto_approve_at
    seen(bench)
    assert bench.card().auto_approve_at == first, "the time is started once"
    auto(bench)
    assert done == []
    backdate(bench, 5 * clock_module.MINUTE, "auto_approve_at")
    auto(bench)
    bench.go()
    (card,) = bench.cards("all")
    assert (card.status, card.decided_by, card.decided_via) == ("auto_approved", "timer", "auto")
    assert (done, bench.run(run).status) == (["x"], "completed")


def test_nobody_but_the_timer_approves_by_time_and_not_before_it(bench: Bench) -> None:
    bench.does(("t.low", {"name": "x"}))
    seen(bench)
    for via in ("cli", "rest", "expiry"):
        with pytest.raises(errors.UsageError):
            bench.decide("auto_approve", via=via)
    with pytest.raises(errors.AlreadyDecided):
        bench.decide("auto_approve", via="auto")
    with pytest.raises(errors.AlreadyDecided):
        bench.decide("expire", via="expiry")
    assert bench.card().status == "pending"


def test_counted_from_staging_the_time_runs_at_once(bench: Bench) -> None:
    bench.policy("gated", low_counts_from="staging", low_after="1m")
    bench.does(("t.low", {"name": "x"}))
    card = bench.card()
    assert (
        0
        <= (card.auto_approve_at or 0) - card.created_at - clock_module.MINUTE
        < clock_module.SECOND
    )
    seen(bench)
    assert bench.card().auto_approve_at == card.auto_approve_at


@pytest.mark.parametrize("beats", [True, False], ids=["a worker is there", "nobody was there"])
def test_while_everything_is_stopped_no_card_approves_itself_and_then_people_can_object(
    bench: Bench, beats: bool
) -> None:
    bench.policy("gated", low_counts_from="staging", low_after="1m")
    run = bench.start(("t.low", {"name": "x"}))
    bench.go()
    bench.store.transact(stop.switch, "main", by="me")
    backdate(bench, clock_module.HOUR, "auto_approve_at")
    if beats:
        auto(bench)
    assert bench.card().status == "pending"
    at_desk = desk.Desk(store=bench.store, settings=bench.settings, home=bench.home)
    at_desk.resume_all()
    auto(bench)
    assert bench.card().status == "pending"
    backdate(bench, clock_module.HOUR, "auto_approve_at")
    auto(bench)
    bench.go()
    assert bench.run(run).status == "completed"


@pytest.mark.parametrize("clock", ["auto_approve_at", "expires_at"])
def test_after_a_restore_no_clock_decides_before_a_person_had_the_time_to(
    bench: Bench, clock: str
) -> None:
    bench.policy("gated", low_counts_from="staging", low_after="1m")
    run = bench.start(("t.low", {"name": "x"}))
    bench.go()
    backdate(bench, 30 * clock_module.DAY, clock)
    at_desk = desk.Desk(store=bench.store, settings=bench.settings, home=bench.home)
    bench.store.transact(at_desk.after_restore)
    auto(bench)
    at_desk.expire()
    assert (bench.card().status, bench.run(run).status) == ("pending", "parked")
    at_desk.shown([bench.card()])
    backdate(bench, 30 * clock_module.DAY, clock)
    auto(bench)
    at_desk.expire()
    assert bench.cards() == []


@pytest.mark.parametrize("what", ["medium", "high", "external", "first use"])
def test_what_is_not_low_or_not_ours_never_approves_itself(bench: Bench, what: str) -> None:
    bench.policy("gated", low_counts_from="staging", low_after="1m")
    if what == "high":
        (bench.home / "high").touch()
    if what == "first use":
        bench.actions.register([foreign], source="actions/x.py")
    wanted = {"external": ("t.low", {"name": "x"}), "first use": ("t.foreign", {})}
    bench.does(wanted.get(what, ("t.ask", {"name": "x"})), external=int(what == "external"))
    seen(bench)
    backdate(bench, clock_module.HOUR, "created_at")
    assert (bench.card().auto_ok, bench.card().auto_approve_at) == (0, None)


@action("t.foreign", integration="t", risk=Risk.LOW)
def foreign() -> str:
    """Comes from a file of the home."""
    return "ok"


def test_what_one_agent_has_used_is_not_ours_for_another(bench: Bench) -> None:
    bench.policy("gated", low_counts_from="staging", low_after="1m")
    bench.actions.register([foreign], source="actions/x.py")
    first = bench.start(("t.foreign", {}), then=[("t.foreign", {})])
    bench.go()
    bench.decide("approve")
    bench.go()
    assert [bench.calls(first)[0].status, bench.card().auto_ok] == ["done", 1]
    bench.decide("approve")
    bench.go()
    bench.does(("t.foreign", {}), agent="other")
    assert bench.card().auto_ok == 0


def test_what_became_another_tool_is_used_for_the_first_time_again(bench: Bench) -> None:
    @action("t.foreign", integration="t", risk=Risk.LOW)
    def grown(deep: bool = False) -> str:
        """Takes more than it did."""
        return "ok"

    bench.policy("gated", low_counts_from="staging", low_after="1m")
    there = foreign
    bench.actions.also(lambda tenant, agent: [declare.build(there, source="actions/x.py")])
    for there, ours in ((foreign, 0), (foreign, 1), (grown, 0), (grown, 1), (foreign, 1)):
        bench.does(("t.foreign", {}))
        assert bench.card().auto_ok == ours, there
        bench.decide("approve")
        bench.go()


def test_at_most_ten_cards_wait_to_approve_themselves(bench: Bench) -> None:
    bench.policy("gated", low_counts_from="staging")
    for agent in ("one", "two", "three"):  # of one agent the sixth is not low any more
        bench.does(*(("t.low", {"name": str(n)}) for n in range(4)), agent=agent)
    waiting = [c for c in bench.cards() if c.auto_approve_at is not None]
    assert len(waiting) == approvals.AUTO_PENDING == 10
    seen(bench)
    assert len([c for c in bench.cards() if c.auto_approve_at is not None]) == 10


def test_at_most_thirty_cards_approve_themselves_in_an_hour(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert card_clock.AUTO_PER_HOUR == 30
    monkeypatch.setattr(card_clock, "AUTO_PER_HOUR", 3)
    bench.policy("gated", low_counts_from="staging")
    bench.does(*(("t.low", {"name": str(n)}) for n in range(5)))
    backdate(bench, clock_module.HOUR, "auto_approve_at")
    auto(bench)
    assert [c.status for c in bench.cards("all")].count("auto_approved") == 3
    auto(bench)
    assert len(bench.cards()) == 2
    backdate(bench, clock_module.HOUR, "decided_at")
    auto(bench)
    assert bench.cards() == []


def test_nothing_approves_itself_in_quiet_hours_and_it_does_after_them(
    bench: Bench, clock: Any
) -> None:
    bench.policy("gated", low_counts_from="staging", quiet_hours="22:00-07:00")
    bench.does(("t.low", {"name": "x"}))
    backdate(bench, hour(1), "auto_approve_at")

    def beat() -> str:
        wants = bench.settings.approvals
        card_clock.auto_beat(
            bench.store, ids.new, quiet=lambda t: card_clock.is_quiet(wants.quiet_hours, "UTC")
        )
        return bench.cards("all")[0].status

    clock.advance(13 * 3600)  # 23:00
    assert beat() == "pending"
    clock.advance(8 * 3600)  # 07:00
    assert beat() == "auto_approved"


def hour(n: int) -> int:
    return n * clock_module.HOUR


@pytest.mark.parametrize(
    ("hours", "zone", "quiet"),
    [
        (None, "UTC", False),
        ("09:00-11:00", "UTC", True),
        ("10:00-11:00", "UTC", True),
        ("09:00-10:00", "UTC", False),
        ("22:00-07:00", "UTC", False),
        ("22:00-10:01", "UTC", True),
        ("22:00-07:00", "Asia/Tokyo", False),  # 19:00
        ("18:30-07:00", "Asia/Tokyo", True),
    ],
)
def test_quiet_hours_are_those_of_the_tenants_zone(
    clock: Any, hours: str | None, zone: str, quiet: bool
) -> None:
    assert card_clock.is_quiet(hours, zone) is quiet
