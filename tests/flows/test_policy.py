"""Why a call executes, waits or is refused: said step by step, for one that was made and for one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

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


def test_what_a_part_of_an_action_does_wrong_goes_to_the_log_and_not_into_an_answer(
    alfred: Alfred, home: Path
) -> None:
    structlog.reset_defaults()  # as in a process of its own
    assert alfred("tools").code == 0
    path = home / "actions" / "world.py"
    path.write_text(
        "from alfred.actions import action\n"
        "def lacks(settings): raise RuntimeError('lacks')\n"
        "def preview(args, ctx): raise RuntimeError('preview')\n"
        "@action('world.one', integration='world', lacks=lacks)\n"
        "def one(): ...\n"
        "@action('world.two', integration='world', preview=preview)\n"
        "def two(): ...\n"
    )
    path.chmod(0o600)
    for said in (alfred("tools", "--json"), alfred("policy", "explain", "world.two", "--json")):
        assert said.code == 0 and said.json and "Traceback" not in said.err
    log = (home / "logs" / "alfred.jsonl").read_text()
    assert "lacks.failed" in log and "preview.failed" in log


def test_an_action_is_explained_by_whichever_of_its_names(alfred: Alfred, home: Path) -> None:
    assert alfred("tools").code == 0
    path = home / "actions" / "deploy.py"
    path.write_text(
        "from alfred.actions import action\n"
        "@action('deploy', integration='world')\n"
        "def deploy(): ...\n"
    )
    path.chmod(0o600)
    assert alfred("policy", "explain", "deploy", "--json").json["verdict"] == "stage"
    other = alfred("policy", "explain", "terminal", "--args", '{"command": "ls"}', "--json").json
    assert (other["action"], other["verdict"]) == ("shell.run", "execute")
    nobodys = alfred("policy", "explain", "deplox", "--json")
    assert (nobodys.code, nobodys.json["error"]["code"]) == (2, "not_found")


def test_what_its_agent_has_done_before_counts(
    alfred: Alfred, folder: Path, script: Callable[..., str], home: Path
) -> None:
    assert alfred("tools").code == 0
    path = home / "actions" / "world.py"
    path.write_text(
        "from alfred.actions import Effect, Risk, action\n"
        "@action('world.tidy', integration='world', risk=Risk.LOW, effect=Effect.BLIND)\n"
        "def tidy(n: int):\n    '''Tidies.\n\n    Args:\n        n: What.\n    '''\n"
    )
    path.chmod(0o600)
    explain = ("policy", "explain", "world.tidy", "--args", '{"n": 9}', "--in", folder)
    assert "first use of a foreign action" in alfred(*explain).out
    assert alfred("config", "edit", "policy.mode", "autonomous").code == 0
    calls = [{"tool": "world.tidy", "args": {"n": n}} for n in range(5)]
    model = script({"calls": calls}, {"say": "Done."})
    assert alfred("run", "x", "--in", folder, "--model", model, "--json").json["wait"] is None
    assert alfred("config", "edit", "policy.mode", "gated").code == 0
    # a medium one never approves itself: whether it is the first use a rule with conditions tells
    path = home / "config.yaml"
    rule = "{action: world.tidy, args: {n: 9}, mode: autonomous}"
    path.write_text(f"alfred: 1\npolicy: {{rules: [{rule}]}}\n")
    told = alfred(*explain).out
    assert "executes [medium]" in told and "by volume medium: 5 low calls" in told


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
