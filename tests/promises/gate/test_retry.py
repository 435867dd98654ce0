"""What is sent once more passes the gate once more: a person who says `retry` of an unknown outcome approves what their
card showed and no more than that, and what alfred repeats by itself is judged as it would be if it were proposed now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred.actions import reentry, results
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Happened, NotHappened, Probe, Risk
from alfred.actions.ledger import calls as calls_ledger
from alfred.runs import audit
from alfred.store import invariants
from tests.promises.gate.conftest import Bench, code

HOUR, DAY = clock_module.HOUR, clock_module.DAY

sent: list[str | None] = []
"""The key of each try that reached the world."""
cut_off: list[Callable[[], object]] = []
"""For each try that is cut off, the next first, what it does before that."""


def _send(ctx: ActionContext, key: str | None = None) -> str:
    sent.append(key)
    if cut_off:
        cut_off.pop(0)()
        raise ConnectionResetError("the line was cut")
    return "sent"


def _content(args: dict[str, Any], ctx: ActionContext) -> Any:
    return (ctx.home / "content").read_text()


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    return Risk.HIGH if (ctx.home / "high").exists() else Risk.NONE


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    return f"over {(ctx.home / 'content').read_text()}"


_LOOKS: dict[str, Any] = {"target": _content, "classify": _risk, "preview": _preview}


@action("t.asked", integration="t", risk=Risk.MEDIUM, **_LOOKS)
def asked(*, ctx: ActionContext) -> str:
    """Sends when a person says so."""
    return _send(ctx)


@action("t.free", integration="t", risk=Risk.NONE, **_LOOKS)
def free(*, ctx: ActionContext) -> str:
    """Sends."""
    return _send(ctx)


@action("t.keyed", integration="t", risk=Risk.NONE, effect=Effect.KEYED, **_LOOKS)
def keyed(*, key: str, ctx: ActionContext) -> str:
    """Sends to somebody who drops repeats."""
    return _send(ctx, key)


def _check(*, key: str, ctx: ActionContext) -> Probe:
    with ctx.store.read() as look:
        call = calls_ledger.get(look, ctx.call_id)
    assert call is not None
    there = (ctx.home / "content").read_text()
    return NotHappened() if json.loads(call.target or "") == there else Happened("probed")


@action(
    "t.checked", integration="t", risk=Risk.NONE, effect=Effect.CHECKABLE, check=_check, **_LOOKS
)
def checked(*, ctx: ActionContext) -> str:
    """Sends where one can look."""
    return _send(ctx)


@action("t.keyed_asked", integration="t", risk=Risk.MEDIUM, effect=Effect.KEYED, **_LOOKS)
def keyed_asked(*, key: str, ctx: ActionContext) -> str:
    """Sends to somebody who drops repeats, when a person says so."""
    return _send(ctx, key)


@action(
    "t.checked_asked",
    integration="t",
    risk=Risk.MEDIUM,
    effect=Effect.CHECKABLE,
    check=lambda **_: NotHappened(),
    **_LOOKS,
)
def checked_asked(*, ctx: ActionContext) -> str:
    """Sends where one can look, when a person says so."""
    return _send(ctx)


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Iterator[Bench]:
    sent.clear()
    cut_off.clear()
    made = new_bench(asked, free, keyed, checked, keyed_asked, checked_asked)
    (made.home / "content").write_text("one")
    yield made
    broken = invariants.check(made.store)
    assert not broken, broken
    with made.store.read() as look:
        assert audit.verify(look)[1] is None


def unknown(bench: Bench, name: str, does: Callable[[], object] = lambda: None) -> str:
    """A run whose one call was cut off after it had done this; its person is asked what became of it."""
    cut_off.append(does)
    run = bench.start((name, {}))
    bench.go()
    if name == "t.asked":
        bench.decide("approve")
        bench.go()
    assert (bench.run(run).wait, bench.card().kind, len(sent)) == ("operator", "outcome", 1)
    sent.clear()
    return run


def half(bench: Bench) -> Callable[[], object]:
    """Half of what a try does."""
    return lambda: (bench.home / "content").write_text("half")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is asked about an effect at the first time that its outcome is not known."""
    monkeypatch.setattr(reentry, "REPEATS", 0)


NAMES = ["t.asked", "t.free"]


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_of_what_has_not_changed_is_sent_once_more(bench: Bench, name: str) -> None:
    run = unknown(bench, name)
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, len(sent), bench.run(run).status) == ("done", 1, "completed")


def test_every_try_of_a_call_has_the_same_key(bench: Bench, at_once: None) -> None:
    run = unknown(bench, "t.keyed", half(bench))
    key = bench.calls(run)[0].effect_key
    bench.decide("retry")
    bench.go()
    assert (sent, bench.calls(run)[0].status) == ([key], "done")


@pytest.mark.parametrize("name", NAMES)
def test_what_half_happened_is_retried_as_its_card_showed_it(bench: Bench, name: str) -> None:
    run = unknown(bench, name, half(bench))
    card = bench.card()
    assert card.preview == "ConnectionResetError: the line was cut\n\nover half"
    assert card.args_hash != bench.calls(run)[0].args_hash, "it is bound to what there is now"
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, len(sent), bench.cards()) == ("done", 1, [])
    assert (call.run_args_hash, json.loads(call.target or "")) == (card.args_hash, "half")


def test_the_audit_of_a_retry_names_the_content_that_was_decided(bench: Bench) -> None:
    unknown(bench, "t.asked", half(bench))
    card = bench.decide("retry")
    bench.go()
    rows = [json.loads(row) for (row,) in bench.all("select row from audit order by n")]
    said = [(r["what"], r["args_hash"]) for r in rows]
    assert said[-2:] == [("decision", card.args_hash), ("effect", card.args_hash)]


@dataclass(frozen=True)
class Change:
    what: str
    make: Callable[[Bench], Any]
    why: str


CHANGES = [
    Change("the content", lambda b: (b.home / "content").write_text("two"), "has changed since"),
    Change("the risk", lambda b: (b.home / "high").touch(), "has changed since"),
    Change(
        "a day passed",
        lambda b: b.sql("update approvals set decided_at=decided_at-:day", day=clock_module.DAY),
        "more than a day ago",
    ),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.what)
def test_what_changed_since_the_retry_is_asked_again(
    bench: Bench, change: Change, name: str
) -> None:
    run = unknown(bench, name)
    old = bench.decide("retry")
    bench.sql("update calls set intent_at=intent_at-:two_days", two_days=2 * clock_module.DAY)
    change.make(bench)
    bench.go()
    assert (sent, bench.run(run).wait) == ([], "operator")
    new = bench.card()
    assert (new.kind, new.call_id, new.version) == ("outcome", old.call_id, old.version + 1)
    assert change.why in new.preview
    assert new.preview.endswith(f"over {(bench.home / 'content').read_text()}")
    assert new.risk == ("high" if change.what == "the risk" else old.risk)
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, call.run_args_hash, len(sent)) == ("done", new.args_hash, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_that_says_off_is_stronger_than_a_retry(bench: Bench, name: str) -> None:
    run = unknown(bench, name)
    bench.decide("retry")
    bench.policy("gated", {"action": name, "mode": "off"})
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, code(call), sent) == ("skipped", "mode_off", [])
    assert "Whether it happened before is not known" in results.shown(call)[0]
    assert bench.run(run).status == "completed"


def test_of_what_the_policy_has_switched_off_the_outcome_is_asked_as_it_was_judged(
    bench: Bench,
) -> None:
    off = {"action": "t.asked", "mode": "off"}
    run = unknown(bench, "t.asked", lambda: bench.policy("gated", off))
    card = bench.card()
    assert card.args_hash == bench.calls(run)[0].args_hash
    assert card.preview.endswith("over one")
    bench.decide("retry")
    bench.go()
    assert (code(bench.calls(run)[0]), sent) == ("mode_off", [])


@pytest.mark.parametrize("back", [True, False])
def test_what_cannot_be_looked_at_is_retried_only_as_it_was_approved(
    bench: Bench, back: bool
) -> None:
    run = unknown(bench, "t.asked", (bench.home / "content").unlink)
    assert bench.card().preview.endswith("over one")
    if back:
        (bench.home / "content").write_text("one")
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, len(sent)) == (("done", 1) if back else ("skipped", 0))


def test_a_probe_after_a_retry_compares_with_what_the_retry_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(reentry, "REPEATS", 0)
        run = unknown(bench, "t.checked", half(bench))
    cut_off.append(lambda: None)
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.result, len(sent)) == ('"sent"', 2), "the retry that did nothing is done again"


class Killed(BaseException):
    """What no handler of a step catches: the process is gone."""


@pytest.mark.parametrize("name", NAMES)
def test_killed_before_the_intent_of_a_retry_it_is_sent_by_the_next_holder(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = unknown(bench, name, half(bench))
    bench.decide("retry")

    def die(*args: Any, **more: Any) -> None:
        raise Killed

    with monkeypatch.context() as short:
        short.setattr(calls_ledger, "intend", die)
        with pytest.raises(Killed):
            bench.go()
    assert not invariants.check(bench.store)
    bench.sql(
        "update runs set status='queued', worker=null, lease_until=null, ready_at=1 where id=:id",
        id=run,
    )
    bench.go()
    assert (bench.calls(run)[0].status, len(sent)) == ("done", 1)


def test_a_clock_that_is_put_back_loses_no_retry(bench: Bench) -> None:
    run = unknown(bench, "t.free", half(bench))
    bench.sql("update calls set intent_at=intent_at+:us where run_id=:id", us=HOUR, id=run)
    bench.decide("retry")
    bench.go()
    assert (bench.calls(run)[0].status, len(sent)) == ("done", 1)


def test_a_retry_that_a_clock_far_ahead_decided_is_asked_again(bench: Bench) -> None:
    run = unknown(bench, "t.free", half(bench))
    bench.decide("retry")
    bench.sql(
        "update approvals set decided_at=decided_at+:us where run_id=:id", us=30 * DAY, id=run
    )
    bench.go()
    assert (bench.run(run).wait, len(sent)) == ("operator", 0)


# ---- what alfred repeats by itself ----

REPEATED = ["t.keyed_asked", "t.checked_asked"]


def cut_off_once(bench: Bench, name: str, does: Callable[[], object] = lambda: None) -> str:
    """A run whose one call was allowed and cut off after it had done this, driven as far as it goes by itself."""
    cut_off.append(does)
    run = bench.start((name, {}))
    bench.go()
    if name.endswith("_asked"):
        bench.decide("approve")
        bench.go()
    return run


@pytest.mark.parametrize("name", [*REPEATED, "t.keyed", "t.checked"])
def test_what_is_allowed_as_before_is_repeated_without_a_question(bench: Bench, name: str) -> None:
    run = cut_off_once(bench, name)
    (call,) = bench.calls(run)
    assert (call.status, len(sent), len(set(sent)), bench.cards()) == ("done", 2, 1, [])


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.what)
def test_what_is_not_as_it_was_approved_is_not_repeated_but_asked(
    bench: Bench, change: Change, name: str
) -> None:
    run = cut_off_once(bench, name, lambda: change.make(bench))
    assert (bench.run(run).wait, len(sent)) == ("operator", 1)
    card = bench.card()
    assert (card.kind, change.why.replace("retry", "approval") in card.preview) == ("outcome", True)
    assert ("A look found that it has not happened." in card.preview) is ("checked" in name)
    cut_off.append(lambda: None)
    bench.decide("retry")
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, call.run_args_hash) == ("done", card.args_hash)
    assert len(sent) == 3, "what a retry allows is repeated as what an approval allows"


@pytest.mark.parametrize("name", REPEATED)
def test_a_retry_that_is_a_day_old_repeats_nothing(bench: Bench, name: str) -> None:
    run = cut_off_once(bench, name, half(bench))
    cut_off.append(lambda: CHANGES[-1].make(bench))
    bench.decide("retry")
    bench.go()
    assert (bench.run(run).wait, len(sent)) == ("operator", 2)
    assert "The retry was decided more than a day ago." in bench.card().preview


@pytest.mark.parametrize("name", ["t.keyed", "t.checked"])
def test_what_a_person_has_to_allow_by_now_is_not_repeated_but_asked(
    bench: Bench, name: str
) -> None:
    run = cut_off_once(bench, name, (bench.home / "high").touch)
    assert (bench.run(run).wait, len(sent)) == ("operator", 1)
    card = bench.card()
    assert (card.risk, "By now a person has to allow it." in card.preview) == ("high", True)
    bench.decide("retry")
    bench.go()
    assert (bench.calls(run)[0].status, len(sent)) == ("done", 2)


@pytest.mark.parametrize("name", ["t.keyed", "t.keyed_asked"])
def test_what_the_policy_has_switched_off_is_not_repeated_and_a_person_hears_of_it(
    bench: Bench, name: str
) -> None:
    off = {"action": name, "mode": "off"}
    run = cut_off_once(bench, name, lambda: bench.policy("gated", off))
    assert (bench.run(run).wait, len(sent)) == ("operator", 1)
    assert "It was not sent again by itself: " in bench.card().preview
    bench.decide("happened")
    bench.go()
    assert (bench.calls(run)[0].status, len(sent)) == ("done", 1)


@pytest.mark.parametrize("name", ["t.checked", "t.checked_asked"])
def test_what_has_not_happened_and_is_switched_off_by_now_does_not_happen(
    bench: Bench, name: str
) -> None:
    off = {"action": name, "mode": "off"}
    run = cut_off_once(bench, name, lambda: bench.policy("gated", off))
    (call,) = bench.calls(run)
    assert (call.status, code(call), len(sent)) == ("skipped", "mode_off", 1)
    assert "It had not happened, and it was not tried again." in results.shown(call)[0]
    assert (bench.run(run).status, bench.cards()) == ("completed", [])
