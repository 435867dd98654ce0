"""Why a call executes, waits or is refused: said step by step, for one that was made and for one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.conftest import Alfred


@pytest.mark.parametrize(
    ("action", "args", "verdict", "risk", "reason"),
    [
        ("files.read", '{"path": "notes.txt"}', "execute", "none", "risk_none"),
        ("files.write", '{"path": "x", "content": "y"}', "stage", "medium", "gated"),
        (
            "files.write",
            '{"path": ".github/workflows/x.yml", "content": "y"}',
            "stage",
            "high",
            "floor",
        ),
        ("files.write", '{"path": "x"}', "refuse", None, "invalid_arguments"),
        ("no.such", "{}", "refuse", None, "unknown_tool"),
    ],
)
def test_a_call_that_nobody_made_is_judged_as_the_gate_would(
    alfred: Alfred,
    folder: Path,
    action: str,
    args: str,
    verdict: str,
    risk: str | None,
    reason: str,
) -> None:
    told = alfred("policy", "explain", action, "--args", args, "--in", folder, "--json")
    assert told.code == 0
    assert (told.json["verdict"], told.json["risk"], told.json["reason"]) == (verdict, risk, reason)
    assert told.json["steps"]
    assert alfred("runs", "list", "--json").json == []
    assert not (folder / "x").exists()


def test_the_rule_that_decides_is_named(alfred: Alfred, folder: Path) -> None:
    write = ("policy", "explain", "files.write", "--args", '{"path": "x", "content": ""}')
    assert alfred("config", "edit", "policy.mode", "autonomous").code == 0
    told = alfred(*write, "--in", folder)
    assert "mode autonomous: no rule fits" in told.out and told.out.splitlines()[1].startswith(
        "executes [medium]"
    )
    assert alfred("config", "edit", "policy.mode", "off").code == 0
    assert "is refused" in alfred(*write, "--in", folder).out


def test_of_a_call_that_was_made_what_was_stored_is_said(
    alfred: Alfred, folder: Path, script: Callable[..., str]
) -> None:
    write = {"tool": "files.write", "args": {"path": "b.txt", "content": "x"}}
    model = script({"say": "Writing.", "calls": [write]}, {"say": "Done."})
    ran = alfred("run", "write", "--in", folder, "--model", model, "--json").json
    card = ran["waiting"][0]["id"]
    assert alfred("config", "edit", "policy.mode", "autonomous").code == 0
    told = alfred("policy", "explain", card, "--json")
    assert (told.json["verdict"], told.json["reason"]) == ("stage", "gated")
    assert alfred("policy", "explain", "nobody").code == 2
    assert alfred("policy", "explain", "files.read", "--args", "[").code == 2


def test_status_says_how_often_people_are_asked_and_how_long_they_take(
    alfred: Alfred, folder: Path, script: Callable[..., str]
) -> None:
    assert alfred("status", "--json").json["asked"] == {
        "per_day": 0.0,
        "median_s": None,
        "median_high_s": None,
    }
    high = {"tool": "files.write", "args": {"path": ".github/workflows/x.yml", "content": "x"}}
    model = script({"say": "Writing.", "calls": [high]}, {"say": "Done."})
    ran = alfred("run", "write", "--in", folder, "--model", model, "--json").json
    assert alfred("reject", ran["waiting"][0]["id"]).code == 0
    asked = alfred("status", "--json").json["asked"]
    assert asked["per_day"] == 0.1 and 0 <= asked["median_high_s"] < 60
    if asked["median_high_s"] < 2:
        assert "nobody reads a card that fast" in alfred("status").out
