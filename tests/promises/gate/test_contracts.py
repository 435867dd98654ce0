"""A run of a user-written workflow stays within what a person allowed it, and asks no less than they said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alfred.actions import Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.actions.grant import Contract, Grant
from tests.promises.gate.conftest import Bench, code

sent: list[str] = []


def _to(args: dict[str, Any], ctx: Any) -> list[str]:
    return [args["to"]]


@action("t.send", integration="t", risk=Risk.MEDIUM, destinations=_to)
def send(to: str) -> str:
    """Sends.

    Args:
        to: Where.
    """
    sent.append(to)
    return to


@action("t.grave", integration="t", risk=Risk.HIGH, destinations=_to)
def grave(to: str) -> str:
    """Does much.

    Args:
        to: Where.
    """
    sent.append(to)
    return to


@action("t.mute", integration="t", risk=Risk.MEDIUM)
def mute(to: str) -> str:
    """Says not where it leads.

    Args:
        to: Where, perhaps.
    """
    sent.append(to)
    return to


@action("t.fetch", integration="t", risk=Risk.NONE, effect=Effect.PURE, destinations=_to)
def fetch(to: str) -> str:
    """Reads, and who is read reads the question.

    Args:
        to: Where.
    """
    sent.append(to)
    return to


@action("t.look", integration="t", risk=Risk.NONE, effect=Effect.PURE)
def look(to: str, *, ctx: ActionContext) -> str:
    """Only looks.

    Args:
        to: Where.
    """
    sent.append(f"of {sorted(ctx.declared or ())}")
    return to


@action("t.recall", integration="memory", risk=Risk.NONE)
def recall(to: str) -> str:
    """Changes what alfred will do.

    Args:
        to: What it remembers.
    """
    return to


@action("t.adopt", integration="skills", risk=Risk.MEDIUM)
def adopt(to: str) -> str:
    """Changes what alfred will do, and is asked about.

    Args:
        to: What it takes over.
    """
    return to


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    sent.clear()
    return new_bench(send, grave, mute, fetch, look, recall, adopt)


def came(bench: Bench, wanted: str, to: str = "here", autonomous: bool = True, **more: Any) -> str:
    """What became of one call of a run whose contract declares `here`."""
    bound = Contract(
        workflow="w", destinations=frozenset({"here", "t.loud"}), autonomous=autonomous
    )
    bound = more.pop("bound", bound)
    grants = Grant(actions=frozenset({"t.*"}), contract=bound).encode()
    (call,) = bench.does((wanted, {"to": to}), grants=grants, **more)
    return code(call) if call.status == "refused" else call.status


def test_an_autonomous_workflow_asks_no_more_within_its_contract_and_below_high_risks(
    bench: Bench,
) -> None:
    assert came(bench, "t.send") == "done"
    assert came(bench, "t.send", autonomous=False) == "staged"
    assert came(bench, "t.send", "elsewhere") == "staged"
    assert came(bench, "t.fetch", "elsewhere") == "staged", "its card says so, of no risk too"
    assert came(bench, "t.fetch", "elsewhere", dry_run=1) == "skipped"
    assert came(bench, "t.mute") == "staged", "nobody knows where it leads"
    assert came(bench, "t.recall") == "done", "it leads nowhere"
    assert came(bench, "t.adopt") == "staged", "what it will do later is no part of a contract"
    assert came(bench, "t.grave") == "staged", "the floor"
    assert sent == ["here"]
    assert came(bench, "t.fetch", "elsewhere", autonomous=False) == "done", "as any run"
    assert sent == ["here", "elsewhere"]
    bench.policy("autonomous")
    assert came(bench, "t.send", "elsewhere") == "staged"
    bench.policy("off")
    assert came(bench, "t.send") == "mode_off"


def test_with_strangers_words_what_is_not_declared_is_refused_and_what_is_asks(
    bench: Bench,
) -> None:
    for autonomous in (True, False):
        more = {"external": 1, "autonomous": autonomous}
        assert came(bench, "t.send", **more) == "staged"
        assert came(bench, "t.send", "elsewhere", **more) == "outside_contract"
        assert came(bench, "t.fetch", "elsewhere", **more) == "outside_contract"
        assert came(bench, "t.mute", **more) == "outside_contract"
        assert came(bench, "t.recall", **more) == "outside_contract"
    assert came(bench, "t.send", "elsewhere", external=1, bound=None) == "staged", "no contract"
    declared = Contract(workflow="w", destinations=frozenset({"t.mute"}))
    assert came(bench, "t.mute", external=1, bound=declared) == "staged"
    assert sent == []
    assert came(bench, "t.look", external=1) == "done", "it leads nowhere"
    assert came(bench, "t.fetch", external=1) == "done"
    assert came(bench, "t.look", autonomous=False) == "done"
    declared = "of ['here', 't.loud']"
    assert sent == [declared, "here", "of []"], "an action is told what holds it"


def test_a_dry_run_of_an_autonomous_workflow_does_nothing(bench: Bench) -> None:
    assert came(bench, "t.send", dry_run=1) == "skipped"
    assert sent == []
