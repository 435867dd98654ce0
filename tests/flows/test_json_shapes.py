"""What programs read: the shape of every document that a command prints, to the last key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alfred import app, ids
from alfred.cli import cards, terminal
from alfred.runs import budget, spending
from alfred.store.statement import Sql
from tests.flows.conftest import Alfred

ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

RUN = {"id", "status", "wait", "result", "usage", "waiting", "error"}
LINE = {"id", "status", "wait", "agent", "workflow", "brief", "created_at", "cost_usd"}
CARD = [
    "id",
    "kind",
    "run_id",
    "agent",
    "risk",
    "action",
    "title",
    "preview",
    "args",
    "args_hash",
    "claim",
    "provenance",
    "default",
    "auto_approve_at",
    "expires_at",
    "status",
    "created_at",
    "decision",
    "decided_by",
    "decided_via",
    "decided_at",
    "reason",
    "edited_args",
    "supersedes",
]
PROBLEM = {"type", "title", "status", "detail", "code", "next"}

LOOK = {
    "say": "I look.",
    "calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}],
    "usage": {"input": 90, "output": 8, "cost_usd": 0.004},
}
WRITE = {
    "say": "I write it.",
    "calls": [
        {"tool": "files.write", "args": {"path": "a.md", "content": "a\n"}},
        {"tool": "files.write", "args": {"path": "b.md", "content": "b\n"}},
        {"tool": "files.write", "args": {"path": "c.md", "content": "c\n"}},
    ],
}
DONE = {"say": "All done."}


@pytest.fixture
def parked(alfred: Alfred, script: Any, folder: Path) -> dict[str, Any]:
    """What `run` says of a run that waits on three cards."""
    said = alfred("run", "write", "--in", folder, "--model", script(LOOK, WRITE, DONE), "--json")
    assert said.code == 3, said.err
    return said.json


def _is_time(text: str) -> bool:
    return TIME.fullmatch(text) is not None


def test_run(parked: dict[str, Any]) -> None:
    assert set(parked) == RUN
    assert ULID.fullmatch(parked["id"])
    assert (parked["status"], parked["wait"], parked["result"]) == ("parked", "approval", None)
    assert parked["usage"] == {
        "turns": 2,
        "input_tokens": 90,
        "output_tokens": 8,
        "cost_usd": 0.004,
    }
    assert [set(card) for card in parked["waiting"]] == [{"id", "kind", "title"}] * 3
    assert [card["title"] for card in parked["waiting"]] == [
        f"files.write {name}.md" for name in "abc"
    ], "in the order of the calls"
    assert parked["error"] is None


def test_run_that_is_left_to_a_worker(alfred: Alfred, script: Any, folder: Path) -> None:
    said = alfred("run", "x", "--in", folder, "--model", script(DONE), "--detach", "--json")
    assert (said.code, set(said.json), said.json["status"]) == (0, RUN, "queued")


def test_run_that_fails_has_code_and_detail(alfred: Alfred, script: Any, folder: Path) -> None:
    said = alfred("run", "x", "--in", folder, "--model", script({"error": "auth"}, DONE), "--json")
    assert set(said.json["error"]) == {"code", "detail"}
    assert said.json["usage"]["cost_usd"] == 0, "what used no token cost nothing"


def test_a_price_that_is_not_known_is_not_0_for_any_command(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    model = script(DONE | {"usage": {"input": 9, "output": 9}})
    run = alfred("run", "x", "--in", folder, "--model", model, "--json").json
    shown = alfred("runs", "show", run["id"], "--json").json["run"]
    [listed] = alfred("runs", "list", "--json").json
    [spent] = alfred("spend", "--json").json["runs"]
    costs = [run["usage"], shown["usage"], listed, spent]
    assert [cost["cost_usd"] for cost in costs] == [None] * 4


def test_run_that_is_dry_says_what_it_would_have_done(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    model = script(WRITE, DONE)
    said = alfred("run", "x", "--in", folder, "--model", model, "--dry-run", "--json")
    assert (said.code, set(said.json)) == (0, RUN | {"proposed"})
    assert [set(call) for call in said.json["proposed"]] == [
        {"action", "args", "risk", "decision", "preview"}
    ] * 3
    first = said.json["proposed"][0]
    assert (first["action"], first["args"]["path"]) == ("files.write", "a.md")
    assert (first["risk"], first["decision"]) == ("medium", "stage")


def test_runs_resume_cancel_and_watch_say_what_run_says(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    said = alfred("runs", "resume", parked["id"], "--json")
    assert (said.code, said.json) == (3, parked)
    said = alfred("runs", "cancel", parked["id"], "--json")
    assert (said.code, set(said.json), said.json["status"]) == (0, RUN, "cancelled")
    watched = alfred("runs", "watch", parked["id"], "--json")
    assert (watched.code, watched.json) == (1, said.json)


def test_runs_list_is_an_array_newest_first(
    alfred: Alfred, script: Any, folder: Path, parked: dict[str, Any]
) -> None:
    alfred("run", "second", "--in", folder, "--model", script(DONE))
    told = alfred("runs", "list", "--json").json
    assert [run["brief"] for run in told] == ["second", "write"]
    assert [set(run) for run in told] == [LINE, LINE]
    assert _is_time(told[0]["created_at"])
    assert (told[1]["id"], told[1]["wait"], told[1]["cost_usd"]) == (
        parked["id"],
        "approval",
        0.004,
    )


def test_runs_show(alfred: Alfred, parked: dict[str, Any]) -> None:
    whole = alfred("runs", "show", parked["id"], "--json").json
    assert set(whole) == {"run", "steps", "transcript", "calls", "approvals", "children", "scratch"}
    assert set(whole["run"]) >= RUN | LINE
    assert {frozenset(step) for step in whole["steps"]} == {
        frozenset({"seq", "attempt", "name", "outcome", "worker", "started_at", "ended_at"})
    }
    assert [(s["seq"], s["name"], s["outcome"]) for s in whole["steps"]] == [
        (1, "boss-turn", "next"),
        (2, "dispatch-tools", "next"),
        (3, "boss-turn", "next"),
        (4, "dispatch-tools", "parked"),
    ]
    assert {frozenset(item) for item in whole["transcript"]} == {
        frozenset({"n", "seq", "at", "kind", "text", "call_id", "tool", "label"})
    }
    assert [item["kind"] for item in whole["transcript"]] == [
        *("system", "user", "assistant", "result", "assistant")
    ]
    assert [item["n"] for item in whole["transcript"]] == [1, 2, 3, 4, 5]
    assert {frozenset(call) for call in whole["calls"]} == {
        frozenset(
            [
                "id",
                "turn",
                "ordinal",
                "action",
                "risk",
                "effect",
                "status",
                "args",
                "result",
                "error",
                "approval_id",
                "started_at",
                "ended_at",
            ]
        )
    }
    done, *staged = whole["calls"]
    assert (done["status"], done["approval_id"]) == ("done", None)
    assert _is_time(done["started_at"]) and _is_time(done["ended_at"])
    assert [(c["status"], c["ordinal"]) for c in staged] == [("staged", n) for n in range(3)]
    assert [c["approval_id"] for c in staged] == [card["id"] for card in whole["approvals"]]
    assert [set(card) for card in whole["approvals"]] == [set(CARD)] * 3
    assert whole["children"] == []


def test_approvals_list_has_pages_that_miss_nothing_and_repeat_nothing(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    seen: list[dict[str, Any]] = []
    cursor: list[str] = []
    for number in range(3):
        page = alfred("approvals", "list", "--limit", "1", *cursor, "--json").json
        assert set(page) == {"approvals", "next"}
        assert (page["next"] is None) == (number == 2)
        seen += page["approvals"]
        cursor = ["--cursor", page["next"]]
    assert [list(card) for card in seen] == [CARD] * 3
    assert [card["id"] for card in seen] == [card["id"] for card in reversed(parked["waiting"])]
    card = seen[0]
    assert (card["kind"], card["status"], card["default"]) == ("action", "pending", "block")
    assert card["args"] == {"path": "c.md", "content": "c\n"}
    assert card["claim"] == "I write it."
    assert _is_time(card["created_at"]) and _is_time(card["expires_at"])
    undecided = [
        "decision",
        "decided_by",
        "decided_via",
        "decided_at",
        "reason",
        "edited_args",
        "supersedes",
    ]
    assert [card[key] for key in undecided] == [None] * 7


def test_approvals_list_tells_people_how_many_more_there_are_and_how_to_see_them(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    said = alfred("approvals", "list", "--limit", "1", "--run", parked["id"])
    assert said.out.count("┌") == 1
    assert "2 older cards" in said.out
    command = re.search(r"`alfred (.*)`$", said.out.strip())
    assert command
    rest = alfred(*command[1].split())
    assert rest.out.count("┌") == 2
    assert "older" not in rest.out


def test_approvals_list_of_a_run_and_of_all(alfred: Alfred, parked: dict[str, Any]) -> None:
    alfred("reject", parked["waiting"][0]["id"])
    left = alfred("approvals", "list", "--run", parked["id"], "--json").json["approvals"]
    assert len(left) == 2
    every = alfred("approvals", "list", "--status", "all", "--json").json["approvals"]
    assert [card["status"] for card in every] == ["pending", "pending", "rejected"]


def test_only_the_low_cards_that_somebody_saw_begin_to_approve_themselves(
    alfred: Alfred, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(
        tmp_path
    )  # a folder of alfred's own is made, where writing .env is a low risk
    model = script({"calls": [{"tool": "files.write", "args": {"path": ".env", "content": "A=1"}}]})
    for _ in range(2):
        assert alfred("run", "x", "--model", model).code == 3
    (card,) = alfred("approvals", "list", "--limit", "1", "--json").json["approvals"]
    assert (card["risk"], card["default"]) == ("low", "auto_approve")
    assert _is_time(card["auto_approve_at"])
    with app.base() as base:
        seen = {c.id: c.auto_approve_at is not None for c in base.desk.cards()}
    assert len(seen) == 2
    assert [identifier for identifier, clock_runs in seen.items() if clock_runs] == [card["id"]]


@pytest.mark.parametrize("how", ["list", "ask"])
def test_a_low_card_says_when_it_approves_itself_the_first_time_that_it_is_shown(
    alfred: Alfred,
    script: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # as above
    model = script({"calls": [{"tool": "files.write", "args": {"path": ".env", "content": "A=1"}}]})
    assert alfred("run", "x", "--model", model).code == 3
    if how == "list":
        shown = alfred("approvals", "list").out
    else:
        monkeypatch.setattr(terminal, "line", lambda question: "l")
        with app.base() as base:
            (card,) = base.desk.cards()
            assert not cards.ask(base.desk, [card])
        shown = capfd.readouterr().err
    assert "approves itself at" in shown


def test_with_json_a_high_risk_is_never_approved_by_a_question(
    alfred: Alfred, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought").mkdir()
    model = script({"calls": [{"tool": "files.write", "args": {"path": ".env", "content": "A=1"}}]})
    assert alfred("run", "x", "--in", tmp_path / "brought", "--model", model).code == 3
    monkeypatch.setattr(terminal, "interactive", lambda: True)
    monkeypatch.setattr(terminal, "line", lambda question: "y")
    (card,) = alfred("approvals", "list", "--json").json["approvals"]
    said = alfred("approve", card["id"], "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "hash_required")
    said = alfred("approve", card["id"])
    assert said.code == 0
    assert said.err.index(card["args_hash"][:12]) >= 0, "the card was shown"


@pytest.mark.parametrize("limit", ["0", "201", "-1"])
def test_approvals_list_has_at_most_200_a_page(alfred: Alfred, limit: str) -> None:
    said = alfred("approvals", "list", "--limit", limit, "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "usage")


def test_a_cursor_that_is_none_is_told(alfred: Alfred) -> None:
    said = alfred("approvals", "list", "--cursor", "ZZZZZZ", "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "not_found")


def test_approve_says_the_cards_as_they_are_now(alfred: Alfred, parked: dict[str, Any]) -> None:
    first = parked["waiting"][0]["id"]
    said = alfred("approve", first[-6:].lower(), "--json")
    card = said.json
    assert (said.code, list(card)) == (0, CARD)
    assert (card["id"], card["status"], card["decision"]) == (first, "approved", "approve")
    assert card["decided_via"] == "cli" and card["decided_by"].startswith("local:")
    assert _is_time(card["decided_at"])


def test_a_decision_about_one_card_is_that_card_and_of_a_group_a_list(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    question = {"calls": [{"tool": "ask.user", "args": {"question": "Which?"}}]}
    asked = alfred("run", "x", "--in", folder, "--model", script(question, DONE), "--json").json
    said = alfred("answer", asked["waiting"][0]["id"], "the first", "--json")
    assert (said.code, list(said.json), said.json["status"]) == (0, CARD, "answered")

    def write() -> dict[str, Any]:
        model = script({"calls": WRITE["calls"][:1]}, DONE)
        return alfred("run", "x", "--in", folder, "--model", model, "--json").json

    told = write()
    said = alfred("reject", told["waiting"][0]["id"], "--json")
    assert (said.code, list(said.json), said.json["status"]) == (0, CARD, "rejected")
    again = alfred("reject", told["waiting"][0]["id"], "--json")
    assert (again.code, again.json["error"]["code"]) == (1, "already_decided")
    group = alfred("approve", "--run", write()["id"], "--json")
    assert (group.code, [card["status"] for card in group.json["approvals"]]) == (0, ["approved"])


def test_of_several_ids_each_is_tried_and_told_in_the_order_given(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    first, second, third = (card["id"] for card in parked["waiting"])
    alfred("reject", second, "--why", "not that one")
    said = alfred("approve", second, "ZZZZ", first, third, "--json")
    assert said.code == 1
    decided, nobody, good, last = said.json["approvals"]
    assert set(decided) == PROBLEM | {"decision", "decided_by", "decided_via", "decided_at"}
    assert (decided["code"], decided["decision"]) == ("already_decided", "reject")
    assert (set(nobody), nobody["code"]) == (PROBLEM, "not_found")
    assert [(card["id"], card["status"]) for card in (good, last)] == [
        (first, "approved"),
        (third, "approved"),
    ]


def test_several_ids_that_all_are_right_are_code_0(alfred: Alfred, parked: dict[str, Any]) -> None:
    said = alfred("reject", *(card["id"] for card in parked["waiting"]), "--why", "no", "--json")
    assert said.code == 0
    assert [(c["status"], c["reason"]) for c in said.json["approvals"]] == [("rejected", "no")] * 3


def test_an_id_that_fits_several_cards_is_code_2_with_the_list(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    cards = [card["id"] for card in parked["waiting"]]
    differ = next(n for n in range(26) if len({card[n] for card in cards}) > 1)
    both = cards[0][:differ]  # their times are in it, which may be a second's two ends
    said = alfred("approve", both, "--json")
    problem = said.json["error"]
    assert (said.code, problem["code"]) == (2, "ambiguous")
    assert sorted(problem["ids"]) == cards
    assert all(card in alfred("approve", both).err for card in cards)


def test_high_is_never_approved_together_with_others(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    secret = {"tool": "files.write", "args": {"path": ".env", "content": "A=1\n"}}
    model = script({"calls": [secret, *WRITE["calls"]]}, DONE)
    told = alfred("run", "x", "--in", folder, "--model", model, "--json").json
    high, first, *_ = (card["id"] for card in told["waiting"])
    said = alfred("approve", high, first, "--json")
    assert said.code == 1
    assert [entry.get("code") or entry["status"] for entry in said.json["approvals"]] == [
        *("hash_required", "approved")
    ]
    group = alfred("approve", "--run", told["id"], "--json")
    assert [entry["status"] for entry in group.json["approvals"]] == ["approved", "approved"]
    alone = alfred("approve", high, "--json")
    assert (alone.code, alone.json["error"]["code"]) == (2, "hash_required")


def test_tools(alfred: Alfred) -> None:
    told = alfred("tools", "--json").json
    keys = {"name", "allowed", "rule", "risk", "effect", "integration", "source"}
    assert {frozenset(tool) for tool in told} == {frozenset(keys)}
    push = next(tool for tool in told if tool["name"] == "git.push")
    assert (push["allowed"], push["risk"], push["integration"]) == (True, "medium", "git")
    assert {tool["effect"] for tool in told} == {"pure", "keyed", "checkable", "blind"}
    alfred("config", "edit", "policy.rules", "[{integration: git, mode: off}]")
    assert {t["allowed"] for t in alfred("tools", "--json").json if t["integration"] == "git"} == {
        False
    }


def test_what_an_action_file_of_the_home_prints_is_no_part_of_the_document(
    alfred: Alfred, home: Path
) -> None:
    alfred("status")
    (home / "actions").mkdir(exist_ok=True)
    (home / "actions" / "loud.py").write_text("print('loaded')\n")
    (home / "actions" / "loud.py").chmod(0o600)
    said = alfred("tools", "--json")
    assert said.json and "loaded" in said.err


def test_tell(alfred: Alfred, script: Any, folder: Path, parked: dict[str, Any]) -> None:
    keys = {"id", "run_id", "consumed", "waits_for", "follow_up"}
    waits = alfred("tell", parked["id"], "hurry", "--json").json
    assert set(waits) == keys
    assert (waits["run_id"], waits["consumed"]) == (parked["id"], False)
    assert (waits["waits_for"], waits["follow_up"]) == ("approval", None)
    alfred("runs", "cancel", parked["id"])
    after = alfred("tell", parked["id"], "again", "--json").json
    assert set(after) == keys
    assert ULID.fullmatch(after["follow_up"])
    question = {"calls": [{"tool": "ask.user", "args": {"question": "Which?"}}]}
    asked = alfred("run", "x", "--in", folder, "--model", script(question, DONE), "--json").json
    answered = alfred("tell", asked["id"], "the first", "--json").json
    assert (answered["consumed"], answered["waits_for"]) == (True, None)


def test_config_show(alfred: Alfred, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("alfred: 1\nlimits:\n  turns: 5\n")
    monkeypatch.setenv("ALFRED_MODEL", "openai:x")
    told = alfred("config", "show", "--json").json
    assert {frozenset(entry) for entry in told.values()} == {frozenset({"value", "source"})}
    assert told["limits.turns"] == {"value": 5, "source": "config.yaml:3"}
    assert told["model"] == {"value": "openai:x", "source": "env:ALFRED_MODEL"}
    assert told["limits.depth"] == {"value": 3, "source": "default"}


def test_audit_verify(alfred: Alfred, parked: dict[str, Any]) -> None:
    alfred("reject", parked["waiting"][0]["id"])
    said = alfred("audit", "verify", "--json")
    assert said.code == 0
    rows = said.json["rows"]
    assert said.json == {"ok": True, "rows": rows, "kept_back": 0, "broken": None}
    assert said.json["rows"] >= 1
    with app.base() as base:
        base.store.transact(lambda tx: tx(Sql("update audit set row='{}' where n=1")))
    broken = alfred("audit", "verify", "--json")
    assert (broken.code, set(broken.json), broken.json["ok"]) == (1, set(said.json), False)
    assert set(broken.json["broken"]) == {"tenant", "n", "why"}
    assert (broken.json["broken"]["tenant"], broken.json["broken"]["n"]) == ("main", 1)


def test_spend(alfred: Alfred, parked: dict[str, Any]) -> None:
    told = alfred("spend", "--json").json
    assert set(told) == {"today_usd", "runs", "by_agent", "by_model"}
    assert (told["today_usd"], told["by_agent"]) == (0.004, {"main": 0.004})
    assert sum(told["by_model"].values()) == 0.004
    assert told["runs"] == [
        {
            "id": parked["id"],
            "agent": "main",
            "cost_usd": 0.004,
            "input_tokens": 90,
            "output_tokens": 8,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
        }
    ]


def test_what_an_answer_may_have_cost_that_nobody_heard_is_told_beside_the_cap_that_it_counts_against(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    assert "count against" not in alfred("spend").out
    with app.base() as base:
        day = budget.day(base.settings.timezone)
        base.store.transact(
            budget.reserve,
            **{"id": "r", "tenant": "main", "run_id": parked["id"], "attempt": 1, "seq": 9},
            **{"day": day, "amount": 2_000_000, "expires_us": 0},
            scopes=[budget.Scope("day", day, 20_000_000)],
        )
        base.store.transact(budget.lapse)
    said = alfred("spend").out
    assert "today: $0.004 of $20\n       ($2.004 count against the cap" in said


def test_spend_of_a_model_without_a_price_is_null_and_unknown_and_the_whole_a_lower_bound(
    alfred: Alfred, parked: dict[str, Any]
) -> None:
    assert "at least" not in alfred("spend").out + alfred("status").out
    with app.base() as base:
        base.store.transact(
            spending.record,
            **{"id": ids.new(), "run_id": parked["id"], "tenant": "main", "agent": "local"},
            **{"turn": 9, "seq": 9, "attempt": 1, "purpose": "boss", "model": "ollama:q"},
            **{"outcome": "ok", "input_tokens": 900, "output_tokens": 80},
        )
    told = alfred("spend", "--json").json
    assert told["by_model"]["ollama:q"] is None
    assert told["by_agent"] == {"main": 0.004, "local": None}
    assert told["today_usd"] == 0.004
    with app.base() as base:
        for _ in range(60):
            base.store.transact(
                spending.record,
                **{"id": ids.new(), "run_id": ids.new(), "tenant": "main", "agent": "local"},
                **{"turn": 9, "seq": 9, "attempt": 1, "purpose": "boss", "model": "ollama:q"},
                **{"outcome": "ok", "input_tokens": 900, "output_tokens": 80},
            )
    said = alfred("spend").out
    assert "and 11 runs that cost less\n" in said
    assert "today: at least $0.004 of $20" in said
    assert "spent today: at least $0.004\n" in alfred("status").out
    assert "of 61 requests the price is not known" in said
    assert alfred("status", "--json").json["unpriced"] == 61
    for name in ("ollama:q", "local"):
        assert re.search(rf"{name} +unknown", said)


def test_status(alfred: Alfred, parked: dict[str, Any]) -> None:
    told = alfred("status", "--json").json
    assert set(told) == {
        *("runs", "approvals_pending", "asked", "workers", "blocks", "spend_today", "next_fires"),
        *("late", "proposals", "unsent", "untold", "waits", "unpriced", "stopped_at"),
    }
    assert (told["unpriced"], told["stopped_at"]) == (0, None)
    assert set(told["runs"]) == {
        *("queued", "running", "parked", "completed", "failed", "cancelled")
    }
    assert (told["runs"]["parked"], told["approvals_pending"], told["workers"]) == (1, 3, 0)
    assert told["waits"] == {"approval": 1}
    assert "runs: 1 parked (1 on approval)\n" in alfred("status").out
    assert told["spend_today"] == 0.004
    assert told["late"] == {"runs": 0, "cards": 0, "timers": 0, "crons": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["runs", "show", "ZZZZZZ"], 2, "not_found"),
        (["approve", "ZZZZZZ"], 2, "not_found"),
        (["answer", "ZZZZZZ", "x"], 2, "not_found"),
        (["runs", "list", "--limit", "0"], 2, "usage"),
        (["run", "x", "--agent", "nobody"], 2, "unknown_agent"),
        (["run", "x"], 2, "no_model"),
        (["db", "restore", "/does/not/exist"], 2, "backup_refused"),
        (["db", "move", "sqlite:////tmp/elsewhere.db"], 2, "usage"),
        (["stop"], 2, "usage"),
    ],
)
def test_an_error_is_a_problem_with_its_code_and_the_next_step(
    alfred: Alfred, arguments: list[str], code: int, name: str
) -> None:
    said = alfred(*arguments, "--json")
    assert (said.code, set(said.json)) == (code, {"error"})
    problem = said.json["error"]
    assert set(problem) >= PROBLEM
    assert (problem["type"], problem["code"]) == (f"urn:alfred:{name}", name)
    assert problem["title"] and problem["detail"] and problem["next"]
    assert isinstance(problem["status"], int)


def test_a_move_says_which_variable_still_names_what_was_left(
    alfred: Alfred, pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_DATABASE_URL", pg_url)
    said = alfred("db", "move", "sqlite", "--json")
    assert (said.code, said.json) == (0, {"database": "moved", "unset": "ALFRED_DATABASE_URL"})
    assert alfred("status").code == 2
    monkeypatch.delenv("ALFRED_DATABASE_URL")
    assert alfred("status").code == 0


def test_what_was_over_is_a_problem_too(alfred: Alfred, script: Any, folder: Path) -> None:
    told = alfred("run", "x", "--in", folder, "--model", script(DONE), "--json").json
    for command in (["runs", "resume"], ["runs", "cancel"]):
        said = alfred(*command, told["id"], "--json")
        assert (said.code, said.json["error"]["code"]) == (1, "already_ended")


def test_a_worker_that_has_nothing_to_do_says_so(alfred: Alfred) -> None:
    said = alfred("worker", "--until-idle", "--json")
    assert (said.code, said.json["ended"], said.json["kind"]) == (0, "idle", "worker")
