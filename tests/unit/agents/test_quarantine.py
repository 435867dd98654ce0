"""A model that reads for a run and cannot act: no tools, the run's budgets, and only a form comes back."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from alfred.actions.grant import Grant
from alfred.agents import quarantine
from alfred.agents.metered import Meter
from alfred.integrations import extract
from alfred.runs import places
from alfred.trust import redact
from tests.unit.agents.conftest import Desk, fails, say

FORM = {"pay": {"type": "bool"}, "to": {"type": "choice", "choices": ["anna", "bob"]}}


@pytest.fixture
def reader(desk: Desk) -> Desk:
    """A desk whose runs can extract."""
    desk.actions.register(extract.ACTIONS)
    meter = Meter(settings=lambda t: desk.settings, secrets=lambda t, n: None, ask=desk._ask)
    asked = functools.partial(quarantine.ask, meter=meter, model="scripted:/cheap")
    object.__setattr__(desk.gate.around, "ask", asked)
    return desk


def reads(desk: Desk, *answers: Any, then: str = "w.send", **more: Any) -> Any:
    """A run that extracts from the page that it has read."""
    desk.summaries[:] = answers
    calls = say("", ("text.extract", {"form": FORM, "call": "w.page"}))
    more.setdefault("grants", Grant(actions=frozenset({"*"})).encode())
    return desk.does(say("", ("w.page", {})), calls, say("done"), **more)


def extracted(desk: Desk, run: Any) -> Any:
    (call,) = desk.calls(run, 2)
    return call.status, json.loads(call.result or "null")


def test_the_reader_has_no_tools_and_costs_the_run(reader: Desk) -> None:
    run = reads(reader, say('{"pay": true, "to": "bob"}', ("w.send", {"text": "x"}), usd="0.01"))
    assert extracted(reader, run) == ("done", {"pay": True, "to": "bob"})
    (request,) = [r for r in reader.requests if r.purpose == "extract"]
    assert (list(request.tools), request.model) == ([], "scripted:/cheap")
    assert "do as I say" in request.items[0]["text"] and len(request.items) == 1
    assert [u[0] for u in reader.usage()].count("extract") == 1
    assert ("extract", "scripted:/cheap", "ok", 10_000) in reader.usage()
    sent = reader.all("select 1 from calls where action='w.send'")
    assert sent == [], "what the reader proposes is thrown away"


def test_a_run_that_has_read_the_text_itself_stays_external(reader: Desk) -> None:
    run = reads(reader, say('{"pay": true}'))
    (call,) = reader.calls(run, 2)
    assert (call.label, call.integrity) == ("derived/internal", "external")
    assert run.external == 1


@pytest.mark.parametrize("kind", ["auth", "refused", "rate_limit"])
def test_a_reader_that_fails_says_nothing_of_its_own(reader: Desk, kind: str) -> None:
    run = reads(reader, *[fails(kind, 600)] * 9)
    status, result = extracted(reader, run)
    assert (status, run.status) == ("failed", "completed")
    assert "it said" not in json.dumps(result)


def test_the_budget_of_the_run_holds_for_the_reader(reader: Desk) -> None:
    def poor(_: Any) -> Any:
        reader.configure(budget={"per_run_tokens": 1})
        return say("", ("text.extract", {"form": FORM, "call": "w.page"}))

    grants = Grant(actions=frozenset({"*"})).encode()
    reader.does(say("", ("w.page", {})), poor, say("done"), grants=grants)
    assert [r for r in reader.requests if r.purpose == "extract"] == []


@pytest.mark.parametrize(("free_after", "ends"), [(2, "done"), (99, "failed")])
def test_a_reader_waits_a_while_for_a_place_at_its_provider(
    reader: Desk, monkeypatch: pytest.MonkeyPatch, free_after: int, ends: str
) -> None:
    monkeypatch.setattr(quarantine, "EVERY", 0)
    monkeypatch.setattr(quarantine, "TRIES", 5)
    reader.configure(limits={"per_provider": {"scripted": 1}})
    asked: list[str] = []

    def take(_tx: Any, _lease: Any, provider: str, _most: int) -> bool:
        asked.append(provider)
        return len(asked) < 3 or len(asked) > 2 + free_after or len(asked) > 9

    monkeypatch.setattr(places, "take", take)
    run = reads(reader, say('{"pay": true}'))
    assert extracted(reader, run)[0] == ends


def test_the_reader_is_told_no_secret(reader: Desk) -> None:
    words = "open sesame please"
    redact.register(words, "WORDS")
    reader.summaries[:] = [say('{"pay": true}')]
    form = {"pay": {"type": "bool", "about": f"whether it says {words}"}}
    asks = say("", ("text.extract", {"form": form, "call": "w.page"}))
    grants = Grant(actions=frozenset({"*"})).encode()
    try:
        reader.does(say("", ("w.page", {})), asks, say("done"), grants=grants)
    finally:
        redact.forget_all()
    (request,) = [r for r in reader.requests if r.purpose == "extract"]
    assert "whether it says [redacted:WORDS:" in request.items[0]["text"]
