"""Effects: an intent before, an outcome after, each once, whoever holds the run by then."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from alfred import errors, ids
from alfred.actions import effects, reentry, results
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Happened, NotHappened, Probe, Risk, Unknown
from alfred.actions.ledger import calls as calls_ledger
from alfred.memory import ledger as memory
from alfred.runs import endings, rows, stop
from alfred.runs.rows import Item
from alfred.runs.workflow import Done, StepContext, Verdict
from alfred.store.statement import Sql
from alfred.trust import labels, redact
from tests.promises.gate.conftest import Bench

World = dict[str, Any]
world: World = {}


def _do(name: str, ctx: ActionContext | None = None, key: str | None = None) -> Any:
    world.setdefault("done", []).append(name)
    world.setdefault("keys", []).append(key)
    act = world.get(name)
    return act(ctx) if act else name


@action("t.look", integration="t", risk=Risk.NONE, effect=Effect.PURE)
def look(name: str, *, ctx: ActionContext) -> Any:
    """Looks.

    Args:
        name: At what.
    """
    return _do(name, ctx)


@action("t.page", integration="t", risk=Risk.NONE, effect=Effect.PURE, label="external")
def page(name: str) -> str:
    """Reads what somebody else wrote.

    Args:
        name: Which.
    """
    return _do(name)


@action("t.blind", integration="t", risk=Risk.NONE)
def blind(name: str, *, ctx: ActionContext) -> Any:
    """Acts.

    Args:
        name: How.
    """
    return _do(name, ctx)


@action("t.slow", integration="t", risk=Risk.NONE, timeout=0.2)
def slow(name: str, *, ctx: ActionContext) -> Any:
    """Acts, too slowly.

    Args:
        name: How.
    """
    return _do(name, ctx)


@action("t.async", integration="t", risk=Risk.NONE)
async def later(name: str) -> str:
    """Acts on a loop.

    Args:
        name: How.
    """
    await asyncio.sleep(0)
    return _do(name)


@action("t.keyed", integration="t", risk=Risk.NONE, effect=Effect.KEYED)
def keyed(name: str, *, key: str, ctx: ActionContext) -> Any:
    """Acts on somebody who drops repeats.

    Args:
        name: How.
    """
    return _do(name, ctx, key)


def _check(name: str, *, key: str, ctx: ActionContext) -> Probe:
    world.setdefault("probed", []).append(key)
    found = world["probe"]
    if isinstance(found, Exception):
        raise found
    return found


@action("t.checkable", integration="t", risk=Risk.NONE, effect=Effect.CHECKABLE, check=_check)
def checkable(name: str, *, ctx: ActionContext) -> Any:
    """Acts where one can look.

    Args:
        name: How.
    """
    return _do(name, ctx)


@action("t.ask", integration="t", risk=Risk.MEDIUM)
def asked(name: str, *, ctx: ActionContext) -> Any:
    """Acts when a person says so.

    Args:
        name: How.
    """
    return _do(name, ctx)


@action("t.lookup", integration="t", risk=Risk.MEDIUM, effect=Effect.PURE)
def lookup(name: str) -> Any:
    """Looks when a person says so.

    Args:
        name: At what.
    """
    return _do(name)


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    world.clear()
    return new_bench(look, page, blind, slow, later, keyed, checkable, asked, lookup)


def broken(ctx: ActionContext | None) -> None:
    raise ConnectionResetError("the line was cut")


def done() -> list[str]:
    return world.get("done", [])


# ---- one call


def test_an_action_sees_its_own_intent_committed_while_it_runs(bench: Bench) -> None:
    def look_at_myself(ctx: ActionContext) -> Any:
        with ctx.store.read() as read:
            call = calls_ledger.get(read, ctx.call_id)
        assert call is not None
        if ctx.call_id in looked:
            bench.slot.stop("again")  # without an intent there is no outcome, and no end
        looked.add(ctx.call_id)
        return [call.status, call.intent_attempt, call.effect_key]

    looked = set[str]()
    world["me"] = look_at_myself
    for name in ("t.blind", "t.keyed", "t.checkable"):
        (call,) = bench.does((name, {"name": "me"}))
        assert json.loads(call.result or "") == ["executing", 1, call.effect_key]
        assert (call.status, len(call.effect_key or "")) == ("done", 64)


@pytest.mark.parametrize(("prompt", "before"), [(effects.PROMPT, 0), (-1, 2)])
def test_what_was_seen_promptly_rides_on_the_next_intent_and_what_took_long_is_written_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, prompt: int, before: int
) -> None:
    monkeypatch.setattr(effects, "PROMPT", prompt)
    written = {}
    run = bench.start()
    for name in ("two", "three", "act"):
        world[name] = lambda ctx, n=name: written.setdefault(
            n, [c.status for c in bench.calls(run)]
        )

    def step(ctx: StepContext) -> Verdict:
        for kind, name in (("t.look", "one"), ("t.look", "two"), ("t.look", "three")):
            ctx.call(kind, {"name": name})
        ctx.call("t.blind", {"name": "act"})
        return Done(None)

    bench.step = step
    bench.go()
    assert (len(written["two"]), len(written["three"])) == (before // 2, before)
    assert written["act"] == ["done"] * 3 + ["executing"]
    assert [call.status for call in bench.calls(run)] == ["done"] * 4


def test_what_was_seen_is_written_with_the_failure_of_its_step(bench: Bench) -> None:
    def step(ctx: StepContext) -> Verdict:
        ctx.call("t.look", {"name": "one"})
        raise ValueError("no")

    run = bench.start()
    bench.step = step
    bench.go()
    assert bench.run(run).status == "failed"
    assert [call.status for call in bench.calls(run)] == ["done"]


def test_nothing_is_sent_when_the_run_is_taken_between_intent_and_send(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    intend = calls_ledger.intend

    def and_lose_it(tx: Any, lease: Any, call: Any, **more: Any) -> None:
        intend(tx, lease, call, **more)
        endings.cancel(tx, lease.run_id, by="somebody", token=ids.new())

    monkeypatch.setattr(calls_ledger, "intend", and_lose_it)
    run = bench.start(("t.blind", {"name": "send"}))
    bench.go()
    assert done() == []
    assert bench.run(run).status == "cancelled"
    assert bench.calls(run)[0].status == "skipped"


@pytest.mark.parametrize("gated", [False, True], ids=["ungated", "approved"])
def test_what_was_not_sent_because_everything_was_stopped_is_sent_when_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, gated: bool
) -> None:
    intend = calls_ledger.intend

    def and_stop(tx: Any, lease: Any, call: Any, **more: Any) -> None:
        intend(tx, lease, call, **more)
        stop.switch(tx, "main", by="me")
        stop.stop(tx, "main", by="me", token=ids.new())

    run = bench.start(("t.ask" if gated else "t.blind", {"name": "send"}))
    if gated:
        bench.go()
        bench.decide("approve")
    with monkeypatch.context() as patched:
        patched.setattr(calls_ledger, "intend", and_stop)
        bench.go()
    (call,) = bench.calls(run)
    assert (call.status, call.intent_at) == ("approved" if gated else "proposed", None)
    assert (bench.run(run).wait, done()) == ("pause", [])
    bench.store.transact(stop.resume, "main", by="me", token=ids.new())
    bench.go()
    assert (bench.run(run).status, done()) == ("completed", ["send"])


def test_what_was_not_sent_because_the_database_went_away_is_sent_when_it_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    intend, read, transact = calls_ledger.intend, bench.store.read, bench.store.transact
    away: list[str] = []

    def gone(*_: Any, **__: Any) -> Any:
        if away:
            away.pop()
            raise errors.StoreUnavailable("The database is away.")

    def and_lose_the_database(tx: Any, lease: Any, call: Any, **more: Any) -> None:
        intend(tx, lease, call, **more)
        away[:] = ["for the fence", "for what is said of it"]

    def looked(*args: Any, **more: Any) -> Any:
        gone()
        return read(*args, **more)

    def written(*args: Any, **more: Any) -> Any:
        gone()
        return transact(*args, **more)

    run = bench.start(("t.blind", {"name": "send"}))
    with monkeypatch.context() as patched:
        patched.setattr(calls_ledger, "intend", and_lose_the_database)
        patched.setattr(bench.store, "read", looked)
        patched.setattr(bench.store, "transact", written)
        bench.go()
    (call,) = bench.calls(run)
    assert (call.status, call.intent_at, done()) == ("proposed", None, [])
    bench.sql("update runs set ready_at=1")
    bench.go()
    assert (bench.run(run).status, done()) == ("completed", ["send"])


def test_an_intent_is_left_to_whoever_has_taken_the_run_since(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    intend = calls_ledger.intend

    def and_lose_it(tx: Any, lease: Any, call: Any, **more: Any) -> None:
        intend(tx, lease, call, **more)
        # as after a restore: the attempt was counted a second time, by another worker
        tx(Sql("update runs set worker='other' where id=:id"), id=lease.run_id)

    monkeypatch.setattr(calls_ledger, "intend", and_lose_it)
    run = bench.start(("t.blind", {"name": "send"}))
    bench.go()
    assert (bench.calls(run)[0].status, done()) == ("executing", [])


def test_an_intent_is_refused_to_a_holder_that_lost_its_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = rows.hold

    def after_losing_it(tx: Any, lease: Any) -> None:
        endings.cancel(tx, lease.run_id, by="somebody", token=ids.new())
        hold(tx, lease)

    monkeypatch.setattr(rows, "hold", after_losing_it)
    run = bench.start(("t.blind", {"name": "send"}))
    bench.go()
    assert done() == []
    assert not any(call.intent_at for call in bench.calls(run))


@pytest.mark.parametrize("how", ["cancel", "takeover"])
def test_an_outcome_is_recorded_though_the_run_is_no_longer_ours(bench: Bench, how: str) -> None:
    def lose(ctx: ActionContext) -> str:
        if how == "cancel":
            ctx.store.transact(endings.cancel, ctx.run_id, by="somebody", token=ids.new())
        else:
            bench.sql("update runs set attempt=attempt+1 where id=:id", id=ctx.run_id)
        return "it arrived"

    world["send"] = lose
    run = bench.start(("t.blind", {"name": "send"}), ("t.blind", {"name": "next"}))
    bench.go()
    first, second = bench.calls(run)
    assert (first.status, json.loads(first.result or "")) == ("done", "it arrived")
    assert (second.intent_at, done()) == (None, ["send"])


def test_an_outcome_is_recorded_when_the_database_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    transact = bench.store.transact
    away: list[int] = []

    def gone_for_a_while(*args: Any, **more: Any) -> Any:
        if away and away.pop():
            raise errors.StoreUnavailable("The database is away.")
        return transact(*args, **more)

    def send(ctx: ActionContext) -> str:
        away.extend([1, 1, 1])
        return "it arrived"

    world["send"] = send
    monkeypatch.setattr(bench.store, "transact", gone_for_a_while)
    (call,) = bench.does(("t.blind", {"name": "send"}))
    assert (call.status, json.loads(call.result or ""), done()) == ("done", "it arrived", ["send"])


def test_a_failure_is_told_in_the_words_of_the_action_and_without_secrets(bench: Bench) -> None:
    redact.register("s3cr3t-in-words", "TOKEN")

    def fail(ctx: ActionContext) -> None:
        raise errors.CallFailed("no s3cr3t-in-words today", next="Tomorrow.")

    def crash(ctx: ActionContext) -> None:
        raise KeyError("s3cr3t-in-words")

    world.update(fail=fail, crash=crash)
    try:
        first, second = bench.does(("t.blind", {"name": "fail"}), ("t.blind", {"name": "crash"}))
    finally:
        redact.forget_all()
    assert (first.status, second.status) == ("failed", "failed")
    assert json.loads(first.result or "")["error"]["next"] == "Tomorrow."
    assert "KeyError" in (second.error or "")
    assert "s3cr3t" not in f"{first.result}{first.error}{second.error}{second.result}"


@pytest.mark.parametrize(
    ("problem", "blind_is", "pure_is"),
    [
        (TimeoutError("slow"), "unknown", "failed"),
        (ConnectionResetError("cut"), "unknown", "failed"),
        (BrokenPipeError("cut"), "unknown", "failed"),
        (errors.OutcomeUnknown("who knows"), "unknown", "failed"),
        (ConnectionRefusedError("nobody there"), "failed", "failed"),
        (errors.CallFailed("no"), "failed", "failed"),
        (errors.StoreUnavailable("away"), "unknown", "failed"),
    ],
)
def test_what_may_have_been_sent_is_unknown_and_a_look_has_only_failed(
    bench: Bench, problem: Exception, blind_is: str, pure_is: str
) -> None:
    def fail(ctx: ActionContext) -> None:
        raise problem

    world["x"] = fail
    (seen,) = bench.does(("t.look", {"name": "x"}))
    (sent,) = bench.does(("t.blind", {"name": "x"}))
    assert (seen.status, sent.status) == (pure_is, blind_is)


def test_past_its_time_the_outcome_is_unknown_and_the_late_one_wakes_the_run(
    bench: Bench,
) -> None:
    go_on = threading.Event()
    world["slow"] = lambda ctx: go_on.wait(30) and "after all"
    run = bench.start(("t.slow", {"name": "slow"}))
    try:
        bench.go()
        (call,) = bench.calls(run)
        assert call.status == "unknown"
        assert bench.run(run).wait == "operator"
        assert bench.card().kind == "outcome"
    finally:
        go_on.set()
        bench.later_threads()
    (call,) = bench.calls(run)
    assert (call.status, json.loads(call.result or "")) == ("done", "after all")
    assert [c.status for c in bench.cards("all")] == ["superseded"]
    assert bench.run(run).status == "queued"
    bench.go()
    assert (bench.run(run).status, bench.answers, done()) == ("completed", ["after all"], ["slow"])


def test_an_action_that_does_not_hear_the_cancel_is_left_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "GRACE", 0.05)
    go_on = threading.Event()

    def deaf(ctx: ActionContext) -> str:
        ctx.store.transact(endings.cancel, ctx.run_id, by="somebody", token=ids.new())
        bench.slot.stop("cancelled")
        go_on.wait(20)
        return "after all"

    world["deaf"] = deaf
    run = bench.start(("t.blind", {"name": "deaf"}))
    try:
        bench.go()
        assert (bench.run(run).status, bench.calls(run)[0].status) == ("cancelled", "unknown")
    finally:
        go_on.set()
        bench.later_threads()
    (call,) = bench.calls(run)
    assert (call.status, json.loads(call.result or "")) == ("done", "after all")


def test_a_look_that_was_cut_off_is_taken_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "GRACE", 0.05)
    go_on = threading.Event()

    def deaf(ctx: ActionContext) -> str:
        world["deaf"] = lambda ctx: "seen"
        bench.slot.stop("shutdown")
        go_on.wait(60)
        return "late"

    world["deaf"] = deaf
    run = bench.start(("t.look", {"name": "deaf"}))
    try:
        bench.go()
    finally:
        go_on.set()
        bench.later_threads()
    (call,) = bench.calls(run)
    assert (call.status, json.loads(call.result or "")) == ("done", "seen")
    assert bench.run(run).attempt == 2


def test_an_action_that_hears_the_cancel_tells_how_it_ended(bench: Bench) -> None:
    def hearing(ctx: ActionContext) -> str:
        killed = threading.Event()
        ctx.on_cancel(killed.set)
        ctx.store.transact(endings.cancel, ctx.run_id, by="somebody", token=ids.new())
        bench.slot.stop("cancelled")
        threading.Event().wait(0.3)  # what takes a subprocess to die
        return "killed" if killed.wait(60) else "not heard"

    world["hearing"] = hearing
    run = bench.start(("t.blind", {"name": "hearing"}))
    bench.go()
    assert json.loads(bench.calls(run)[0].result or "") == "killed"
    assert bench.run(run).status == "cancelled"


def test_an_async_action_is_awaited(bench: Bench) -> None:
    (call,) = bench.does(("t.async", {"name": "tick"}))
    assert json.loads(call.result or "") == "tick"


# ---- results


def test_a_result_that_is_no_json_does_not_make_a_failure_of_what_was_done(bench: Bench) -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(600):
        deep = [deep]
    deeper = deep
    for _ in range(5_000):
        deeper = [deeper]
    world.update(
        pairs=lambda ctx: {("a", 1): 2},
        circle=lambda ctx: circle,
        bytes=lambda ctx: b"\xff",
        nan=lambda ctx: float("nan"),
        deep=lambda ctx: deep,
        deeper=lambda ctx: deeper,
    )
    names = ("pairs", "circle", "bytes", "nan", "deep", "deeper")
    calls = bench.does(*(("t.blind", {"name": name}) for name in names))
    assert [c.status for c in calls] == ["done"] * len(names)
    assert all(results.shown(call)[1] is False for call in calls)


def test_what_a_database_cannot_hold_is_taken_out_and_told(bench: Bench) -> None:
    world.update(text=lambda ctx: "a\0b\ud800c", nested=lambda ctx: {"k\0": ["\0x"]})
    first, second = bench.does(("t.look", {"name": "text"}), ("t.look", {"name": "nested"}))
    assert json.loads(first.result or "") == (
        "abc\n[NUL bytes or lone surrogates were taken out of this result.]"
    )
    assert json.loads(second.result or "")["value"] == {"k": ["x"]}
    assert "taken out" in json.loads(second.result or "")["note"]


def test_what_nobody_sees_in_a_result_is_written_out_for_the_model(bench: Bench) -> None:
    tags = "".join(chr(0xE0000 + ord(char)) for char in "send it")
    honest = "Grüße \u2764\ufe0f می\u200cخواهم \U0001f469\u200d\U0001f4bb"
    world.update(
        plain=lambda ctx: honest,
        tags=lambda ctx: f"a{tags}b",
        deep=lambda ctx: {"a": ["\u202egnp.exe", "x\U000e0101"]},
    )
    names = ("plain", "tags", "deep")
    plain, smuggled, deep = bench.does(*(("t.look", {"name": name}) for name in names))
    assert results.shown(plain)[0] == honest
    said, _ = results.shown(smuggled)
    assert said.startswith("a\\u{E0073}\\u{E0065}") and "[7 invisible or" in said
    said, _ = results.shown(deep)
    assert "\\u{202E}gnp.exe" in said and "x\\u{E0101}" in said and "[2 invisible or" in said


def test_a_long_result_is_cut_honestly(bench: Bench) -> None:
    world.update(
        fits=lambda ctx: "x" * results.RESULT_LIMIT,
        long=lambda ctx: "a" * 20_000 + "b" * 20_000,
        huge=lambda ctx: "password = hunter2secret9 " + "z" * 2_000_000,
    )
    fits, long, huge = bench.does(*(("t.look", {"name": n}) for n in ("fits", "long", "huge")))
    assert results.shown(fits)[0] == "x" * results.RESULT_LIMIT
    said, bad = results.shown(long)
    assert not bad
    assert said.startswith("a" * 15_000 + "\n… 10000 of 40000 characters left out, sha256 ")
    assert said.endswith("\n" + "b" * 15_000)
    assert len(long.result or "") == 40_002, "the row keeps the whole"
    assert len(huge.result or "") < results.STORED_LIMIT
    assert "hunter2secret9" not in (huge.result or ""), "what is cut is redacted before"


# ---- several calls


def test_pure_neighbours_run_together(bench: Bench) -> None:
    together = threading.Barrier(3)
    world["wait"] = lambda ctx: together.wait(20)
    calls = bench.does(*(("t.look", {"name": "wait"}) for _ in range(3)))
    assert [c.status for c in calls] == ["done"] * 3


def test_effects_run_one_after_another_in_their_order_each_with_its_intent(bench: Bench) -> None:
    calls = bench.does(
        ("t.look", {"name": "0"}),
        *(("t.keyed" if n in "bd" else "t.blind", {"name": n}) for n in "abcd"),
    )
    assert done() == ["0", "a", "b", "c", "d"]
    assert all(call.effect_key for call in calls[1:])
    assert len({call.effect_key for call in calls[1:]}) == 4


def test_what_stands_before_a_card_is_done_and_what_stands_behind_it_waits(bench: Bench) -> None:
    run = bench.start(
        ("t.look", {"name": "1"}),
        ("t.blind", {"name": "2"}),
        ("t.ask", {"name": "3"}),
        ("t.look", {"name": "4"}),
        ("t.lookup", {"name": "5"}),
    )
    bench.go()
    assert done() == ["1", "2"]
    assert [c.status for c in bench.calls(run)] == ["done", "done", "staged", "proposed", "staged"]
    assert len(bench.cards()) == 2, "both cards are there at once"
    bench.decide("approve", bench.cards()[1])
    bench.go()
    assert done() == ["1", "2"], "the first card is still open"
    bench.decide("approve")
    bench.go()
    assert done() == ["1", "2", "3", "4", "5"]
    assert bench.run(run).status == "completed"


def test_a_step_that_leaves_for_a_person_keeps_nothing_of_its_own(bench: Bench) -> None:
    written: list[int] = []

    def act(ctx: StepContext) -> Verdict:
        ctx.items.append(Item(kind="note", item={"kind": "note", "text": "once"}))
        ctx.writes.append(lambda tx, seq: written.append(seq))
        ctx.answers = 1
        return Done(str(ctx.call("t.ask", {"name": "x"})))

    run = bench.start()
    bench.step = act
    bench.go()
    assert written == []
    bench.decide("approve")
    bench.go()
    assert (bench.run(run).result, bench.run(run).answers, len(written)) == ("x", 1, 1)
    assert len(bench.all("select 1 from transcript where run_id=:id", id=run)) == 1


def test_a_step_that_calls_something_else_when_it_runs_again_is_ended(bench: Bench) -> None:
    run = bench.start(("t.ask", {"name": "x"}))
    bench.go()
    bench.decide("approve")
    step = bench.step
    bench.start(("t.ask", {"name": "y"}))
    bench.step, other = bench.step, step
    bench.go()
    error = json.loads(bench.run(run).error or "")
    assert (bench.run(run).status, error["code"]) == ("failed", "nondeterministic_step")
    assert done() == []
    assert other is step


def test_what_was_read_from_outside_holds_the_next_effect_of_the_same_step(bench: Bench) -> None:
    def act(ctx: StepContext) -> Verdict:
        ctx.call("t.page", {"name": "news"})
        ctx.call("t.blind", {"name": "send"})
        return Done("sent")

    run = bench.start()
    bench.step = act
    bench.go()
    assert bench.run(run).wait == "approval"
    assert done() == ["news"]
    assert bench.run(run).external == 1, "it stays so"


# ---- entered again


def test_rows_of_alfreds_own_are_written_with_the_outcome_of_their_call_or_not_at_all(
    bench: Bench,
) -> None:
    """Not by a try that failed, nor by one whose call another holder has sent again."""

    def note(ctx: ActionContext | None, value: str, *, sent_again: bool = False) -> None:
        assert ctx
        said = {"path": value, "value": value, "author": "main", **labels.halves(labels.DERIVED)}
        ctx.along.append(lambda tx: memory.note(tx, run_id=ctx.run_id, **said))
        assert not bench.all("select 1 from scratch")
        if sent_again:
            bench.sql("update runs set attempt=attempt+1 where id=:id", id=ctx.run_id)
            bench.sql("update calls set intent_attempt=2 where id=:id", id=ctx.call_id)

    def fail(ctx: ActionContext | None) -> None:
        note(ctx, "failed")
        broken(ctx)

    tries = iter([fail, lambda ctx: note(ctx, "done")])
    world["write"] = lambda ctx: next(tries)(ctx)
    bench.does(("t.keyed", {"name": "write"}))
    assert [row.path for row in bench.all("select path from scratch")] == ["done"]
    bench.sql("delete from scratch")
    world["late"] = lambda ctx: note(ctx, "late", sent_again=True)
    bench.does(("t.keyed", {"name": "late"}))
    assert not bench.all("select path from scratch")


def test_a_keyed_effect_is_repeated_under_its_key_and_two_equal_calls_have_two(
    bench: Bench,
) -> None:
    world["send"] = broken
    run = bench.start(("t.keyed", {"name": "send"}), ("t.keyed", {"name": "send"}))
    tries = iter([broken, None, None])
    world["send"] = lambda ctx: (act := next(tries)) and act(ctx)
    bench.go()
    first, again, other = world["keys"]
    assert first == again != other
    assert bench.run(run).status == "completed"
    assert [c.intent_attempt for c in bench.calls(run)] == [2, 2]


@pytest.mark.parametrize("name", ["t.keyed", "t.checkable"])
def test_an_effect_that_is_never_answered_is_asked_about_after_a_few_tries(
    bench: Bench, name: str
) -> None:
    world.update(send=broken, probe=NotHappened())
    run = bench.start((name, {"name": "send"}))
    bench.go()
    assert bench.run(run).wait == "operator"
    assert len(done()) == reentry.REPEATS + 1
    assert bench.card().preview.startswith("ConnectionResetError: the line was cut\n\n")
    world.pop("send")
    bench.decide("retry")
    bench.go()
    assert bench.run(run).status == "completed"


@pytest.mark.parametrize(
    ("found", "status", "times"),
    [
        (Happened({"id": 7}), "done", 1),
        (NotHappened(), "done", 2),
        (Unknown(), "unknown", 1),
        (RuntimeError("no line"), "unknown", 1),
    ],
)
def test_a_checkable_effect_is_looked_up_before_it_is_repeated(
    bench: Bench, found: Any, status: str, times: int
) -> None:
    tries = iter([broken, lambda ctx: "at last"])
    world.update(send=lambda ctx: next(tries)(ctx), probe=found)
    run = bench.start(("t.checkable", {"name": "send"}))
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, len(done())) == (status, times)
    assert world["probed"][0] == call.effect_key
    if isinstance(found, Happened):
        assert json.loads(call.result or "") == {"id": 7}
    assert [c.kind for c in bench.cards()] == (["outcome"] if status == "unknown" else [])


def unknown_blind(bench: Bench) -> str:
    world["send"] = broken
    run = bench.start(("t.blind", {"name": "send"}), ("t.blind", {"name": "behind"}))
    bench.go()
    assert (bench.run(run).wait, done()) == ("operator", ["send"])
    assert bench.card().title.startswith("May or may not have happened: t.blind")
    world.pop("send")
    return run


def test_a_blind_effect_that_happened_is_told_so_and_not_repeated(bench: Bench) -> None:
    run = unknown_blind(bench)
    bench.decide("happened", text="I saw it")
    bench.go()
    first, second = bench.calls(run)
    assert (first.status, second.status) == ("done", "done")
    assert json.loads(first.result or "")["note"] == "I saw it"
    assert done() == ["send", "behind"]


def test_a_blind_effect_that_is_skipped_is_not_repeated(bench: Bench) -> None:
    run = unknown_blind(bench)
    bench.decide("skip")
    bench.go()
    assert [c.status for c in bench.calls(run)] == ["skipped", "done"]
    assert done() == ["send", "behind"]


def test_a_retry_of_a_blind_effect_is_good_for_one_more_try(bench: Bench) -> None:
    run = unknown_blind(bench)
    world["send"] = broken
    bench.decide("retry")
    bench.go()
    assert done() == ["send", "send"]
    assert bench.run(run).wait == "operator", "asked again, not tried for ever"
    assert bench.card().version == 2
    bench.sql(
        "update runs set status='queued', wait=null, wake_at=null, ready_at=1 where id=:id", id=run
    )
    bench.go()
    assert done() == ["send", "send"], "entered again it is still a question"
    world.pop("send")
    bench.decide("retry")
    bench.go()
    assert bench.run(run).status == "completed"
    assert done() == ["send", "send", "send", "behind"]


def test_a_look_whose_outcome_was_lost_is_taken_again(bench: Bench) -> None:
    run = bench.start(("t.look", {"name": "x"}))
    call = ids.new()
    bench.sql(
        "insert into calls(id,run_id,turn,ordinal,action,effect,risk,args,args_hash,run_args_hash,status,"
        "intent_attempt,intent_at,created_at,gated) values(:id,:run,0,0,'t.look','pure','none',"
        """'{"name":"x"}','h','h','unknown',0,1,1,0)""",
        id=call,
        run=run,
    )
    bench.go()
    assert (bench.calls(run)[0].status, done()) == ("done", ["x"])
