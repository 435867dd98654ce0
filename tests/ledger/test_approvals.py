"""Cards: staged, seen, decided once, expired, asked again."""

from __future__ import annotations

import json

import pytest

from alfred import clock, errors, ids
from alfred.actions import approvals, card_clock
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.runs import endings, rows, stop
from alfred.runs.states import Status
from alfred.store.connect import Store
from alfred.store.tx import Tx
from tests.ledger.core import Core


def auto(store: Store) -> None:
    card_clock.auto_beat(store, ids.new)


def expire(store: Store) -> None:
    card_clock.expire_beat(store, ids.new)


# ---- what a decision does ----


@pytest.mark.parametrize(
    ("kind", "decision", "card", "call"),
    [
        ("action", "approve", "approved", "approved"),
        ("action", "reject", "rejected", "rejected"),
        ("question", "answer", "answered", "done"),
        ("question", "reject", "rejected", "rejected"),
    ],
)
def test_a_decision_changes_card_call_and_run_at_once(
    core: Core, kind: str, decision: str, card: str, call: str
) -> None:
    lease = core.held()
    [asked] = core.staged(lease, kinds=(kind,))
    decided = core.decide(asked, decision, text="yes")
    assert (decided.status, decided.decided_by, decided.decided_via) == (card, "me", "test")
    assert core.call_of(asked).status == call
    assert core.run(lease.run_id).status == "queued"


def test_an_answer_is_the_result_of_its_call(core: Core) -> None:
    [asked] = core.staged(core.held(), kinds=("question",))
    core.decide(asked, "answer", text="blue")
    assert json.loads(core.call_of(asked).result or "") == {"answer": "blue"}


def test_what_is_approved_is_what_was_shown(core: Core) -> None:
    [asked] = core.staged(core.held())
    core.decide(asked)
    assert core.call_of(asked).run_args_hash == core.approval(asked).args_hash


def test_reject_and_end_ends_the_run_and_all_that_hangs_on_it(core: Core) -> None:
    lease = core.held()
    child = core.child(lease.run_id)
    first, second = core.staged(lease, kinds=("action", "action"))
    core.decide(first, "reject_and_end", reason="no")
    run = core.run(lease.run_id)
    assert run.status == "cancelled" and json.loads(run.error or "")["code"] == "refused"
    assert core.approval(second).status == "cancelled"
    assert core.run(child).status == "cancelled"


def test_reject_and_end_of_a_child_tells_its_parent(core: Core) -> None:
    from alfred.runs.states import Wait

    parent = core.held()
    child = core.child(parent.run_id)
    core.park(parent, Wait.CHILDREN)
    [asked] = core.staged(core.take(child))
    core.decide(asked, "reject_and_end")
    assert core.run(parent.run_id).status == "queued"


@pytest.mark.parametrize("kind", ["action", "question"])
def test_a_card_takes_the_decisions_of_its_kind_alone(core: Core, kind: str) -> None:
    [asked] = core.staged(core.held(), kinds=(kind,))
    for wrong in {"approve", "answer", "happened", "retry", "skip", "yes"} - set(
        approvals.DECISIONS[kind]
    ):
        with pytest.raises(errors.UsageError):
            core.decide(asked, wrong)
    assert core.approval(asked).status == "pending"


def test_a_card_that_is_not_there_is_not_decided(core: Core) -> None:
    with pytest.raises(errors.NotFound):
        core.decide("01NOSUCHCARD")


# ---- once ----


@pytest.mark.parametrize("second", ["approve", "reject", "reject_and_end"])
@pytest.mark.parametrize("first", ["approve", "reject"])
def test_the_first_decision_stands_and_the_second_is_told_of_it(
    core: Core, first: str, second: str
) -> None:
    lease = core.held()
    [asked] = core.staged(lease)
    core.decide(asked, first)
    with pytest.raises(errors.AlreadyDecided) as told:
        core.decide(asked, second, by="you")
    assert told.value.extra["decided_by"] == "me" and told.value.extra["decision"] == first
    assert core.approval(asked).decision == first
    assert core.run(lease.run_id).status == "queued"
    assert core.one("select count(*) from audit") == 1


def test_the_same_decision_said_again_is_the_same(core: Core) -> None:
    [asked] = core.staged(core.held())
    token = ids.new()
    assert core.decide(asked, token=token) == core.decide(asked, token=token)
    assert core.one("select count(*) from audit") == 1


def test_another_content_than_the_one_seen_is_not_decided(core: Core) -> None:
    [asked] = core.staged(core.held())
    with pytest.raises(errors.StaleHash):
        core.decide(asked, args_hash="another")
    assert core.approval(asked).status == "pending"
    core.decide(asked, args_hash=core.approval(asked).args_hash)


def test_nothing_is_decided_of_a_run_that_is_over_or_being_cancelled(core: Core) -> None:
    over, ending = core.held(), core.held()
    [first] = core.staged(over)
    [second] = core.staged(ending, parked=False)
    core.cancel(over.run_id)
    core.cancel(ending.run_id)
    for asked in (first, second):
        with pytest.raises(errors.AlreadyDecided):
            core.decide(asked)
        assert core.approval(asked).status == "cancelled"


def test_even_a_card_that_was_left_pending_is_not_decided_under_a_cancel(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease, parked=False)
    core.write("update runs set cancel=1 where id=:r", r=lease.run_id)
    with pytest.raises(errors.AlreadyDecided, match="being cancelled"):
        core.decide(asked)
    assert core.call_of(asked).status == "staged"
    core.do(endings.honour_cancel, lease.run_id)
    core.write("update runs set cancel=0")
    core.write("update approvals set status='pending',decided_at=null")
    with pytest.raises(errors.AlreadyDecided, match="is over"):
        core.decide(asked)
    core.write("update approvals set status='cancelled',decided_at=1")


def test_a_card_whose_time_is_over_takes_no_yes(core: Core) -> None:
    asked = low(core, counts_from_staging=True)
    ripe(core)
    core.write("update approvals set expires_at=1")
    for decision, via in (("approve", "cli"), ("reject_and_end", "cli"), ("auto_approve", "auto")):
        with pytest.raises(errors.AlreadyDecided, match="expired"):
            core.decide(asked, decision, via=via)
    core.decide(asked, "expire", via="expiry")
    assert core.call_of(asked).status == "rejected"


def test_who_ends_a_child_with_its_card_locks_the_parent_first(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever cancels the parent does: in the other order each would wait for the other."""
    parent = core.held()
    [asked] = core.staged(core.take(core.child(parent.run_id)))
    locked: list[str | None] = []
    lock = rows.lock

    def spy(tx: Tx, *ids: str | None) -> None:
        locked.extend(ids)
        lock(tx, *ids)

    monkeypatch.setattr(rows, "lock", spy)
    core.decide(asked, "reject_and_end")
    assert locked[0] == parent.run_id


# ---- order ----


def test_a_run_is_woken_by_the_decision_of_its_first_open_call(core: Core) -> None:
    lease = core.held()
    first, second = core.staged(lease, kinds=("action", "action"))
    core.decide(second)
    assert core.run(lease.run_id).status == "parked", "a later call was run before an earlier one"
    core.decide(first)
    assert core.run(lease.run_id).status == "queued"


@pytest.mark.parametrize(("said", "then"), [("approve", "queued"), ("reject", "parked")])
def test_an_allowed_prefix_runs_though_a_later_card_is_open(
    core: Core, said: str, then: str
) -> None:
    lease = core.held()
    first, _ = core.staged(lease, kinds=("action", "action"))
    core.decide(first, said)
    assert core.run(lease.run_id).status == then, "a refused call is nothing to run"


# ---- what nobody says ----


def test_an_expired_card_is_a_no(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease)
    expire(core.store)
    assert core.approval(asked).status == "pending", "it was not due"
    core.write("update approvals set expires_at=1")
    expire(core.store)
    assert (core.approval(asked).status, core.call_of(asked).status) == ("expired", "rejected")
    assert core.run(lease.run_id).status == "queued"
    with pytest.raises(errors.AlreadyDecided):
        core.decide(asked)


def test_an_expired_outcome_is_skipped_and_never_sent_again(core: Core) -> None:
    lease, call = unknown(core)
    asked = ask_outcome(core, lease, call)
    core.write("update approvals set expires_at=1")
    expire(core.store)
    assert core.approval(asked).status == "expired"
    assert core.call(call).status == "skipped"


def low(core: Core, **more: object) -> str:
    said = {"risk": "low", "auto_ok": True, "low_after_us": clock.MINUTE, **more}
    [asked] = core.staged(core.held(), **said)  # type: ignore[arg-type]
    return asked


def ripe(core: Core) -> None:
    core.write("update approvals set auto_approve_at=1 where auto_approve_at is not null")


def test_a_low_card_approves_itself_after_its_time_and_not_before(core: Core) -> None:
    asked = low(core)
    core.do(approvals.delivered, asked, low_after_us=clock.MINUTE)
    auto(core.store)
    assert core.approval(asked).status == "pending"
    ripe(core)
    auto(core.store)
    decided = core.approval(asked)
    assert (decided.status, decided.decided_by, decided.decided_via) == (
        "auto_approved",
        "timer",
        "auto",
    )
    assert core.call_of(asked).status == "approved"


def test_the_clock_of_a_low_card_starts_when_somebody_could_see_it(core: Core) -> None:
    asked = low(core)
    assert core.approval(asked).auto_approve_at is None
    core.do(approvals.delivered, asked, low_after_us=clock.MINUTE)
    started = core.approval(asked).auto_approve_at
    assert started is not None
    core.do(approvals.delivered, asked, low_after_us=clock.HOUR)
    assert core.approval(asked).auto_approve_at == started, "a second delivery moved it"


def test_where_the_setting_says_so_the_clock_starts_at_once(core: Core) -> None:
    assert core.approval(low(core, counts_from_staging=True)).auto_approve_at is not None


@pytest.mark.parametrize("more", [{"risk": "medium"}, {"risk": "high"}, {"auto_ok": False}])
def test_what_is_not_low_or_not_allowed_to_never_approves_itself(core: Core, more: dict) -> None:
    asked = low(core, **more)
    core.do(approvals.delivered, asked, low_after_us=1)
    auto(core.store)
    assert core.approval(asked).auto_approve_at is None
    assert core.approval(asked).status == "pending"


def test_no_more_than_so_many_wait_to_approve_themselves(core: Core) -> None:
    cards = [low(core, counts_from_staging=True) for _ in range(approvals.AUTO_PENDING + 2)]
    started = [core.approval(card).auto_approve_at is not None for card in cards]
    assert started == [True] * approvals.AUTO_PENDING + [False] * 2


def test_no_more_than_so_many_approve_themselves_in_an_hour(core: Core) -> None:
    cards = []
    for _ in range(4):
        cards += [low(core, counts_from_staging=True) for _ in range(approvals.AUTO_PENDING)]
        ripe(core)
        auto(core.store)
    done = [core.approval(card).status for card in cards].count("auto_approved")
    assert done == card_clock.AUTO_PER_HOUR


def test_a_person_is_before_the_timer_or_the_timer_is_before_the_person(core: Core) -> None:
    asked = low(core, counts_from_staging=True)
    ripe(core)
    core.decide(asked, "reject")
    auto(core.store)
    assert core.approval(asked).status == "rejected"
    assert core.call_of(asked).status == "rejected"


def test_no_timer_decides_by_itself_before_its_time_even_when_asked_to(core: Core) -> None:
    asked = low(core, counts_from_staging=True)
    for decision, via in (("auto_approve", "auto"), ("expire", "expiry")):
        with pytest.raises(errors.AlreadyDecided):
            core.decide(asked, decision, by="timer", via=via)
    assert core.approval(asked).status == "pending"


def test_nothing_approves_itself_when_everything_is_stopped_and_the_run_was_cancelled(
    core: Core,
) -> None:
    asked = low(core, counts_from_staging=True)
    ripe(core)
    core.cancel(core.approval(asked).run_id)
    core.do(stop.switch, "main", by="me")
    auto(core.store)
    assert core.approval(asked).status == "cancelled"


# ---- an outcome that nobody knows ----


def unknown(core: Core) -> tuple:
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    [call] = core.calls(lease.run_id)
    core.intend(lease, call.id)
    core.write("update calls set status='unknown' where id=:c", c=call.id)
    return lease, call.id


def ask_outcome(core: Core, lease, call: str) -> str:
    from alfred.runs.states import Wait

    card = core.card(lease, call, kind="outcome")
    done = core.park(
        lease, Wait.OPERATOR, step=core.step(lambda tx, seq: approvals.stage(tx, card))
    )
    assert (done.status, done.wait) == (Status.PARKED, Wait.OPERATOR)
    return card.id


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("happened", "done"),
        ("skip", "skipped"),
        ("retry", "unknown"),
        ("reject_and_end", "skipped"),
    ],
)
def test_what_a_person_says_of_an_outcome(core: Core, decision: str, status: str) -> None:
    lease, call = unknown(core)
    asked = ask_outcome(core, lease, call)
    core.decide(asked, decision)
    assert core.call(call).status == status
    assert core.run(lease.run_id).status == (
        "cancelled" if decision == "reject_and_end" else "queued"
    )


def test_an_outcome_that_comes_in_late_takes_its_card_away(core: Core) -> None:
    lease, call = unknown(core)
    asked = ask_outcome(core, lease, call)
    assert core.outcome(lease, call)
    core.do(approvals_ledger.known, call)
    assert core.approval(asked).status == "superseded"
    with pytest.raises(errors.AlreadyDecided):
        core.decide(asked, "retry")
    core.write("update runs set status='queued',wait=null,wake_at=null where id=:r", r=lease.run_id)


# ---- asked again ----


def test_what_changed_since_it_was_approved_is_asked_again(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease, parked=False)
    core.decide(asked)
    call = core.call_of(asked)
    again = core.card(lease, call.id, args_hash="other content")
    core.do(approvals.restage, again, target="there now")
    assert core.approval(asked).status == "superseded"
    assert core.approval(again.id).version == 2
    now = core.call(call.id)
    assert (now.status, now.args_hash, now.run_args_hash) == ("staged", "other content", None)


def test_a_call_has_one_pending_card(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease)
    core.do(approvals.stage, core.card(lease, core.call_of(asked).id))
    assert core.one("select count(*) from approvals") == 1


def test_a_policy_that_turned_to_no_is_stronger_than_the_yes(core: Core) -> None:
    [asked] = core.staged(core.held(), parked=False)
    core.decide(asked)
    call = core.call_of(asked).id
    core.do(approvals.withdraw, call, '{"code":"off"}')
    assert (core.call(call).status, core.approval(asked).status) == ("refused", "superseded")


def test_lists_are_of_one_tenant_newest_first_and_of_a_status(core: Core) -> None:
    mine = [core.staged(core.held())[0] for _ in range(3)]
    core.staged(core.held(tenant="other"))
    core.decide(mine[1])
    with core.store.read() as look:
        assert [c.id for c in approvals_ledger.listed(look, "main")] == [mine[2], mine[0]]
        assert [c.id for c in approvals_ledger.listed(look, "main", status="all")] == mine[::-1]
