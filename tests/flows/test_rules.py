"""A rule that is made of a card: shown first, written where its owner reads it, and named by whatever it lets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import app
from alfred.actions import earned
from alfred.cli import cards, policy, terminal
from alfred.runs import audit
from alfred.store.statement import Sql
from alfred.trust import sandbox
from tests.flows.conftest import Alfred

Asks = Callable[..., dict[str, Any]]


def write(path: str, content: str = "x") -> dict[str, Any]:
    return {"tool": "files.write", "args": {"path": path, "content": content}}


@pytest.fixture
def asks(alfred: Alfred, script: Callable[..., str], folder: Path) -> Asks:
    """Runs these calls in the folder as far as it goes; what `run` says."""

    def run(*calls: dict[str, Any]) -> dict[str, Any]:
        model = script({"say": "Now.", "calls": list(calls)}, {"say": "Done."})
        return alfred("run", "write", "--in", folder, "--model", model, "--json").json

    return run


@pytest.fixture
def allow(alfred: Alfred) -> Callable[..., Any]:
    """Makes a rule of a card, by the hash that was shown; what it says."""

    def make(card: str, *more: str) -> Any:
        shown = alfred("policy", "allow", card, *more, "--json")
        assert (shown.code, shown.json["error"]["code"]) == (2, "hash_required"), shown.out
        hash = shown.json["error"]["hash"]
        return alfred("policy", "allow", card, *more, "--hash", hash[:12], "--json").json

    return make


def test_what_a_rule_covers_asks_no_more_and_is_explained_by_it(
    alfred: Alfred, asks: Asks, allow: Callable[..., Any], folder: Path, home: Path
) -> None:
    card = asks(write("a.md"))["waiting"][0]["id"]
    (home / "config.yaml").write_text("alfred: 1\npolicy:\n  mode: gated   # as ever\n# end\n")
    made = allow(card)
    assert made["place"] == "config.yaml:4"
    text = (home / "config.yaml").read_text()
    assert "# as ever\n  rules: [{action: files.write, agent: main," in text
    assert text.endswith("# end\n")
    assert made["words"].startswith(f"main may call files.write without asking, in {folder}, where")
    # the card itself is decided by itself
    (waits,) = alfred("approvals", "list", "--json").json["approvals"]
    assert waits["id"] == card
    assert asks(write("a.md", "other"))["status"] == "completed"
    assert (folder / "a.md").read_text() == "other"
    assert asks(write("b.md"))["wait"] == "approval"
    told = alfred(
        "policy", "explain", "files.write", "--args", json.dumps(write("a.md")["args"]), "--in", folder
    )  # fmt: skip
    assert made["words"] in told.out
    with app.base() as base, base.store.read() as look:
        rows = [json.loads(row.row or "{}") for row in audit.chain(look, "main")]
    (sealed,) = [row for row in rows if row["what"] == "rule"]
    assert (sealed["rule"], sealed["approval"]) == (made["rule"], card)
    policies = [row for row in rows if row["what"] == "policy"]
    assert policies[-1]["rules"]["policy"]["rules"][0]["args"] == {"path": "a.md"}


def test_a_folder_may_be_named_instead_of_the_one_path(
    alfred: Alfred, asks: Asks, allow: Callable[..., Any]
) -> None:
    card = asks(write("docs/a.md"))["waiting"][0]["id"]
    refused = alfred("policy", "allow", card, "--below", "src", "--json")
    assert refused.json["error"]["code"] == "usage"
    assert allow(card, "--below", "docs")["rule"]["args"] == {"path": {"below": "docs"}}
    assert asks(write("docs/b.md"))["status"] == "completed"
    assert asks(write("docs/.env"))["wait"] == "approval", "what is high asks"
    again = alfred("policy", "allow", card, "--json")
    assert "covers this already" in again.json["error"]["detail"]


def test_the_first_words_of_a_command_may_be_named_instead_of_all_of_it(
    alfred: Alfred, asks: Asks, allow: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = sandbox.Available("bubblewrap", "", "/x")  # outside of one every command is high
    monkeypatch.setattr(sandbox, "available", lambda: there)
    command = {"tool": "shell.run", "args": {"command": "npm test a", "write": True}}
    card = asks(command)["waiting"][0]["id"]
    for wrong in ("yarn", "npm test b", "npm test a; x"):
        refused = alfred("policy", "allow", card, "--begins", wrong, "--json")
        assert refused.json["error"]["code"] == "usage"
    made = allow(card, "--begins", "npm test")
    assert made["rule"]["args"] == {"command": {"begins": "npm test"}, "write": True}


def test_nobody_makes_a_rule_that_they_have_not_seen(
    alfred: Alfred, asks: Asks, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = asks(write("a.md"))["waiting"][0]["id"]
    monkeypatch.setattr(terminal, "line", lambda question: "y")
    for more, code in ([], "hash_required"), (["--hash", "0" * 12], "stale_hash"):
        said = alfred("policy", "allow", card, *more, "--json")
        assert said.json["error"]["code"] == code
    monkeypatch.setattr(terminal, "interactive", lambda: True)
    assert alfred("policy", "allow", card, "--json").json["error"]["code"] == "hash_required"
    monkeypatch.setattr(terminal, "line", lambda question: "")
    assert alfred("policy", "allow", card).code == 2
    assert not (home / "config.yaml").exists() or "rules" not in (home / "config.yaml").read_text()
    monkeypatch.setattr(terminal, "line", lambda question: "y")
    assert alfred("policy", "allow", card).code == 0


def test_of_what_asks_each_time_or_deceives_no_rule_is_made(alfred: Alfred, asks: Asks) -> None:
    question = {"tool": "ask.user", "args": {"question": "Which?"}}
    secret = write("ghp_1234567890abcdefghijklmnopqrstuvwxyzAB")
    long = write("/".join("x" * 200 for _ in range(3)))
    calls = (write(".env"), question, write("a.md\u200b"), long, secret, write("a.md"))
    waiting = asks(*calls)["waiting"]

    def refused(card: str) -> str:
        said = alfred("policy", "allow", card, "--json")
        assert (said.code, said.json["error"]["code"]) == (2, "usage")
        return said.json["error"]["detail"]

    why = ("high risk", "no call", "invisible", "602 characters", "secret")
    for card, reason in zip(waiting, why, strict=False):
        assert reason in refused(card["id"])
    with app.base() as base:
        strangers = Sql("update runs set external=1")
        base.store.transact(lambda tx: tx(strangers) and None)
    assert "strangers" in refused(waiting[-1]["id"])
    assert alfred("reject", waiting[-1]["id"]).code == 0
    assert "rejected" in refused(waiting[-1]["id"])


def test_no_rule_is_made_or_proposed_that_another_agents_asking_would_keep_from_holding(
    alfred: Alfred,
    asks: Asks,
    home: Path,
    script: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(earned, "ENOUGH", 1)
    both = "alfred: 1\nagents: {main: {}, ops: {}}\n"
    home.mkdir()
    (home / "config.yaml").write_text(both)
    model = script({"say": "Done."})
    above = alfred("run", "x", "--agent", "ops", "--model", model, "--json").json["id"]
    run = asks(write("a.md"))
    card = run["waiting"][0]["id"]
    below = Sql("update runs set parent_id=:above where id<>:above")
    with app.base() as base:
        base.store.transact(lambda tx: tx(below, above=above) and None)
    said = alfred("policy", "allow", card, "--json").json["error"]
    assert "works for ops" in said["detail"] and "files.write" in said["next"]
    assert alfred("approve", card).code == 0
    assert alfred("runs", "resume", run["id"]).code == 0
    assert alfred("status", "--json").json["proposals"] == []
    # what the one above may do by itself a rule of the one below holds for
    lets = "policy: {rules: [{action: files.write, agent: ops, mode: autonomous}]}\n"
    (home / "config.yaml").write_text(both + lets)
    assert alfred("policy", "allow", card, "--json").json["error"]["code"] == "hash_required"


def test_rules_of_the_environment_are_not_written_past(
    alfred: Alfred, asks: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = asks(write("a.md"))["waiting"][0]["id"]
    shown = alfred("policy", "allow", card, "--json").json["error"]["hash"]
    monkeypatch.setenv("ALFRED_POLICY__RULES", "[]")
    said = alfred("policy", "allow", card, "--hash", shown, "--json")
    assert "ALFRED_POLICY__RULES" in said.json["error"]["detail"]


def test_a_rule_is_offered_where_a_card_is_approved_and_wants_a_yes_of_its_own(
    asks: Asks, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    asks(write("a.md"))
    typed = iter(["always", "y"])
    asked = []
    monkeypatch.setattr(terminal, "interactive", lambda: True)
    monkeypatch.setattr(terminal, "line", lambda said: [asked.append(said), next(typed)][1])
    with app.base() as base:
        assert cards.ask(base.desk, base.desk.cards(), lambda card: policy.offer(base, card))
        assert base.desk.cards(status="approved")
    assert "[a]lways" in asked[0] and "rule" in asked[1]
    assert "files.write" in (home / "config.yaml").read_text()


def test_no_rule_is_offered_for_a_high_risk(asks: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    asks(write(".env"))
    monkeypatch.setattr(terminal, "line", lambda said: "a")
    with app.base() as base:
        assert not cards.ask(base.desk, base.desk.cards(), lambda card: pytest.fail("offered"))
        assert base.desk.cards()


def test_what_is_allowed_again_and_again_is_proposed_as_a_rule_and_a_person_decides(
    alfred: Alfred, script: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earned, "ENOUGH", 2)
    turns = [{"calls": [write(f"docs/{n}.md"), write("a.md", str(n))]} for n in range(2)]
    run = alfred("run", "x", "--in", folder, "--model", script(*turns, {"say": "Done."}), "--json")
    for _ in turns:
        assert alfred("status", "--json").json["proposals"] == []
        assert alfred("approve", "--run", run.json["id"]).code == 0
        alfred("runs", "resume", run.json["id"])
    told = alfred("approvals", "list").out
    assert told.count("2 times you allowed, unchanged:") == 2
    assert "files.write docs/1.md" in told and "path is below docs" in told
    proposed = {
        json.dumps(one["rule"]["args"]): one["id"]
        for one in alfred("status", "--json").json["proposals"]
    }
    below, exact = proposed['{"path": {"below": "docs"}}'], proposed['{"path": "a.md"}']
    assert "`alfred approvals list`" in alfred("status").out
    assert alfred("policy", "decline", exact).code == 0
    shown = alfred("policy", "accept", below, "--json").json["error"]
    assert shown["code"] == "hash_required" and shown["rule"]["until"]
    made = alfred("policy", "accept", below, "--hash", shown["hash"], "--json").json
    assert made["rule"] == shown["rule"]
    assert alfred("status", "--json").json["proposals"] == []
    assert alfred("policy", "accept", below, "--json").json["error"]["code"] == "not_found"
    again = script({"calls": [write("docs/9.md")]}, {"say": "Done."})
    assert alfred("run", "x", "--in", folder, "--model", again, "--json").json["wait"] is None
