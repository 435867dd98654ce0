"""What a run asks in one turn is one group: shown together, decided together, and never a high risk among it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import app, desk
from alfred.cli import cards, terminal
from tests.flows.conftest import Alfred
from tests.table import table

WRITES = [
    {"tool": "files.write", "args": {"path": name, "content": "x\n"}}
    for name in ("a.md", "b.md", ".env")
]


@pytest.fixture
def waiting(alfred: Alfred, script: Callable[..., str], folder: Path) -> Callable[[], str]:
    """Starts a run that waits on two medium cards and a high one, of one turn."""
    model = script({"say": "I write.", "calls": WRITES}, {"say": "Done."})
    return lambda: alfred("run", "write", "--in", folder, "--model", model, "--json").json["id"]


@pytest.fixture
def run(waiting: Callable[[], str]) -> str:
    """A run that waits on such cards."""
    return waiting()


def statuses(alfred: Alfred, run: str) -> list[str]:
    """Of every card of a run, in the order in which they were asked."""
    found = alfred("approvals", "list", "--run", run, "--status", "all", "--json").json["approvals"]
    return [card["status"] for card in reversed(found)]


def test_the_cards_of_a_turn_stand_together_with_the_command_that_decides_them(
    alfred: Alfred, run: str, script: Callable[..., str], folder: Path
) -> None:
    alfred("run", "another", "--in", folder, "--model", script({"calls": WRITES[:1]}), "--json")
    told = alfred("approvals", "list").out
    assert "asks 3 things at once" in told and told.count("asks") == 1
    approve = f"alfred approve --run {run[-6:].lower()} (2 of 3, the others one by one)"
    assert told.count(approve) == 1 and told.count("together:") == 1
    assert told.index(".env") < told.index("together:"), "the group ends with it"


def test_one_command_decides_a_group_and_the_high_one_waits(alfred: Alfred, run: str) -> None:
    told = alfred("approve", "--run", run[-6:])
    assert told.code == 0 and told.err.count("┌") == 2, "each was shown"
    assert statuses(alfred, run) == ["approved", "approved", "pending"]
    assert "alfred approve" in told.err and "--hash" in told.err, "what is left is said"


def test_one_command_says_no_to_all_of_a_group(alfred: Alfred, run: str) -> None:
    assert alfred("reject", "--run", run, "--why", "no").code == 0
    assert statuses(alfred, run) == ["rejected"] * 3
    again = alfred("reject", "--run", run, "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "not_found")


def test_a_no_that_ends_the_run_takes_the_other_cards_along(alfred: Alfred, run: str) -> None:
    assert alfred("reject", "--run", run, "--end").code == 0
    assert statuses(alfred, run) == ["rejected", "cancelled", "cancelled"]


@table(
    [
        (["y", "l"], False, ["approved", "approved", "pending"]),
        (["y", "n", "no"], True, ["approved", "approved", "rejected"]),
        (["o", "n", "", "y", "y"], True, ["rejected", "approved", "approved"]),
        (["n", "no", "l"], False, ["rejected", "rejected", "pending"]),
        (["o", "e", ""], True, ["rejected", "cancelled", "cancelled"]),
        (["e", ""], True, ["rejected", "cancelled", "cancelled"]),
        (["l"], False, ["pending"] * 3),
    ]
)
def test_one_answer_at_the_terminal_decides_a_group(
    alfred: Alfred,
    waiting: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    said: bool,
    wanted: list[str],
) -> None:
    run, answers = waiting(), iter(typed)
    monkeypatch.setattr(terminal, "line", lambda question: next(answers))
    with app.base() as base:
        assert cards.ask(base.desk, base.desk.cards(run=run)[::-1]) is said
    assert next(answers, None) is None, "a question too few"
    assert statuses(alfred, run) == wanted


@pytest.mark.parametrize(
    "elsewhere", [("approve", "approve", "reject"), ("approve", "approve"), ("reject_and_end",)]
)
def test_who_is_asked_is_let_go_when_it_is_decided_elsewhere(
    alfred: Alfred, run: str, monkeypatch: pytest.MonkeyPatch, elsewhere: tuple[str, ...]
) -> None:
    with app.base() as base, a_terminal(monkeypatch) as typed:
        group = base.desk.cards(run=run)[::-1]
        os.write(typed, b"y")  # half a line: not for the card behind
        assert os.read(typed, 1) == b"y", "the echo: it has come to the terminal"
        ways = zip(group, elsewhere, strict=False)

        def somebody(_ready: Any, *_: Any) -> tuple[list[Any], list[Any], list[Any]]:
            for card, way in ways:
                base.desk.decide(card.id, way, args_hash=card.args_hash)
                return [], [], []
            os.write(typed, b"\n")
            return [sys.stdin], [], []

        monkeypatch.setattr(terminal, "select", SimpleNamespace(select=somebody))
        assert cards.ask(base.desk, group) is (len(elsewhere) != 2)


@contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard input is a terminal; where its keys are typed."""
    keys, end = os.openpty()
    with os.fdopen(end) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keys
    os.close(keys)


def test_a_no_that_ends_the_run_ends_it_though_somebody_was_first_at_a_card(
    alfred: Alfred, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.base() as base:
        group = base.desk.cards(run=run)[::-1]

        def line(question: str) -> str:
            if "approve" in question:
                base.desk.decide(group[0].id, "approve")
                return "e"
            return ""

        monkeypatch.setattr(terminal, "line", line)
        cards.ask(base.desk, group)
        assert base.desk.run(run).status == "cancelled"


def test_a_run_is_ended_from_the_command_line_though_somebody_was_first_at_a_card(
    alfred: Alfred, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards_of = desk.Desk.cards

    def cards_(self: desk.Desk, **about: Any) -> list[Any]:
        found = cards_of(self, **about)
        monkeypatch.setattr(desk.Desk, "cards", cards_of)
        self.decide(found[0].id, "approve", args_hash=found[0].args_hash)
        self.decide(found[-1].id, "approve", args_hash=found[-1].args_hash)
        return found

    monkeypatch.setattr(desk.Desk, "cards", cards_)
    assert alfred("reject", "--run", run, "--end").code == 0
    with app.base() as base:
        assert base.desk.run(run).status == "cancelled"


def test_a_run_that_is_left_to_its_cards_has_somebody_who_tells_of_them(
    alfred: Alfred, script: Callable[..., str], folder: Path
) -> None:
    model = script({"calls": WRITES[:1]}, {"say": "Done."})
    left = ("run", "x", "--in", folder, "--model", model)
    assert "worker" not in alfred(*left).err
    assert alfred("config", "edit", "channels", "{notify: ['json://localhost:9']}").code == 0
    assert "alfred worker" in alfred(*left).err
    assert alfred("status", "--json").json["untold"] == {"cards": 0, "why": None}
    assert alfred("config", "edit", "approvals.notify_after", "0s").code == 0
    assert alfred("status", "--json").json["untold"] == {"cards": 2, "why": None}
    assert "nobody was told of 2 cards" in alfred("status").out
