"""Going back in a run's time: another branch, another model, one file that is read anywhere, two runs side by side."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred.cli import exported
from tests.flows.conftest import Alfred

Script = Callable[..., str]


@pytest.fixture
def past(alfred: Alfred, folder: Path, script: Script) -> Callable[[], dict[str, Any]]:
    """A run that was done: it read, wrote what a person allowed, and answered."""

    def make() -> dict[str, Any]:
        model = script(
            {"say": "Reading.", "calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}]},
            {
                "say": "Writing.",
                "calls": [{"tool": "files.write", "args": {"path": "b.txt", "content": "x"}}],
            },
            {"say": "Done."},
            {"say": "Done in another way."},
        )
        ran = alfred("run", "look and write", "--in", folder, "--model", model, "--json")
        [card] = ran.json["waiting"]
        assert alfred("approve", card["id"]).code == 0
        return alfred("runs", "resume", ran.json["id"], "--json").json

    return make


def test_a_branch_says_where_it_begins_and_what_is_still_there(
    alfred: Alfred, past: Callable[[], dict[str, Any]]
) -> None:
    run = past()
    told = alfred("runs", "fork", run["id"], "--at", 3)
    assert told.code == 0 and told.out.strip() == "Done."
    assert "behind step 3, without files.write" in told.err
    assert 'still there: files.write {"content": "x", "path": "b.txt"}' in told.err
    told = alfred("runs", "fork", run["id"][-6:], "--at", 6, "--brief", "again", "--json")
    assert told.json["result"] == "Done in another way."
    assert (told.json["forked_from"], told.json["at"]) == (run["id"], 6)
    assert (told.json["not_executed"], told.json["still_there"]) == ([], [])
    assert alfred("db", "check").code == 0
    assert alfred("audit", "verify").code == 0


def test_a_question_leaves_nothing_in_the_world(alfred: Alfred, script: Script) -> None:
    asks = {"tool": "ask.user", "args": {"question": "Which colour?"}}
    ran = alfred("run", "paint", "--model", script({"calls": [asks]}, {"say": "Red."}), "--json")
    [card] = ran.json["waiting"]
    assert alfred("answer", card["id"], "red").code == 0
    assert alfred("runs", "resume", ran.json["id"], "--json").json["result"] == "Red."
    told = alfred("runs", "fork", ran.json["id"], "--at", 1, "--json").json
    assert (told["not_executed"], told["still_there"]) == (["ask.user"], [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--at", 9), "no committed step 9. It has the steps 1 to 6."),
        (("--at", 10**20), f"no committed step {10**20}."),
        (("--at", -(10**20)), f"no committed step -{10**20}."),
        (("--at", 6), "gave its answer"),
        (("--at", 2, "--reject", "no"), "No call was open"),
        (("--at", 3, "--brief", "  "), "The brief is empty"),
        (("--at", 3, "--model", "nobody:x"), "nobody"),
        (("--at", 3, "--model", ""), "No provider is named ''"),
        ((), "--at"),
    ],
)
def test_what_cannot_be_branched_off_from_is_said_and_nothing_begins(
    alfred: Alfred, past: Callable[[], dict[str, Any]], more: tuple[object, ...], said: str
) -> None:
    run = past()
    told = alfred("runs", "fork", run["id"], *more)
    assert told.code == 2 and said in told.err
    assert len(alfred("runs", "list", "--json").json) == 1


def test_another_model_is_asked_the_same_turns(
    alfred: Alfred, past: Callable[[], dict[str, Any]], script: Script
) -> None:
    run = past()
    other = script(
        {"say": "Reading.", "calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}]},
        {"say": "Listing.", "calls": [{"tool": "files.list"}]},
        {"say": "All done."},
    )
    told = alfred("runs", "replay", run["id"], "--model", other, "--json")
    assert told.code == 0
    assert [turn["same"] for turn in told.json["turns"]] == ["all", "nothing", "calls"]
    assert told.json["replay_of"] == run["id"]
    assert told.json["recorded"]["turns"] == 3
    refused = alfred("tell", told.json["id"], "hello")
    assert refused.code == 2 and "nobody listens" in refused.err
    refused = alfred("runs", "fork", told.json["id"], "--at", 1)
    assert refused.code == 2 and "no branches" in refused.err


def test_one_file_is_enough_to_look_at_a_run_elsewhere(
    alfred: Alfred,
    past: Callable[[], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = past()
    file = tmp_path / "run.json"
    assert alfred("runs", "export", run["id"], "--out", file).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = alfred("runs", "export", run["id"], "--out", file)
    assert again.code == 2 and "File exists" in again.err
    here = alfred("runs", "show", run["id"])
    whole = alfred("runs", "show", run["id"], "--json").json
    monkeypatch.setenv("ALFRED_HOME", "/nowhere")
    there = alfred("runs", "show", file)
    assert (there.code, there.out) == (0, here.out)
    shown = alfred("runs", "show", file, "--json").json
    assert {key: shown[key] for key in whole} == whole


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "is no exported run"),
        ('{"alfred_run": 2}', "newer alfred"),
        ('{"alfred_run": 1, "run": {}}', "is no exported run"),
    ],
)
def test_a_file_that_is_no_run_is_refused(
    alfred: Alfred, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    told = alfred("runs", "show", file)
    assert told.code == 2 and said in told.err
    assert alfred("runs", "show", tmp_path / "not.there").code == 2


def test_a_device_without_an_end_is_not_read_for_ever(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "LARGEST", 1_000)
    told = alfred("runs", "show", "/dev/zero")
    assert told.code == 2 and "has more than 1,000 bytes" in told.err
    assert alfred("audit", "verify", "/dev/zero").code == 2


def test_a_file_that_somebody_changed_is_shown_or_refused(
    alfred: Alfred, past: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    told = alfred("runs", "export", past()["id"]).json
    file = tmp_path / "bad.json"
    run, card = ["run"], ["approvals", 0]
    changes: list[tuple[list[Any], Any, int]] = [
        ([*run, "label"], True, 2),
        ([*run, "wait"], "a sign", 0),
        ([*run, "attempt"], "1", 2),
        (["calls", 0, "turn"], "1", 2),
        ([*card, "provenance"], {"field": "x"}, 2),
        ([*card, "provenance"], [{"field": "x", "value": "y"}], 2),
        ([*card, "provenance"], None, 0),
    ]
    for (*above, last), value, code in changes:
        changed = json.loads(json.dumps(told))
        place = changed
        for name in above:
            place = place[name]
        place[last] = value
        file.write_text(json.dumps(changed))
        assert (above, last, alfred("runs", "show", file).code) == (above, last, code)


def test_somebody_elses_file_says_nothing_to_the_terminal(
    alfred: Alfred, past: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    run = past()
    told = alfred("runs", "export", run["id"]).json

    def poisoned(value: Any) -> Any:
        if isinstance(value, str):
            return f"\x1b]0;x\x07\u202e{value}"
        if isinstance(value, list):
            return [poisoned(entry) for entry in value]
        if isinstance(value, dict):
            return {key: poisoned(entry) for key, entry in value.items()}
        return value

    file = tmp_path / "bad.json"
    file.write_text(json.dumps(poisoned(told)))
    for shown in (alfred("runs", "show", file), alfred("runs", "show", "--diff", file, run["id"])):
        assert shown.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(shown.out + shown.err)


def test_two_runs_are_compared_where_they_part(
    alfred: Alfred, past: Callable[[], dict[str, Any]]
) -> None:
    run = past()
    branch = alfred("runs", "fork", run["id"], "--at", 3, "--json").json
    told = alfred("runs", "show", "--diff", run["id"], branch["id"])
    assert told.code == 0
    lines = told.out.splitlines()
    assert any(line.startswith("- result of files.write: {") for line in lines)
    assert any(line.startswith("+ result of files.write: This call was not") for line in lines)
    found = alfred("runs", "show", "--diff", run["id"], branch["id"], "--json").json
    assert [side for side, _ in found["transcript"]].count("same") == len(found["transcript"]) - 2
    assert [(side, call["action"]) for side, call in found["calls"]] == [
        ("same", "files.read"),
        ("a", "files.write"),
    ]
    turned = alfred("runs", "show", "--diff", branch["id"], run["id"], "--json").json
    assert [side for side, _ in turned["calls"]] == ["same", "b"]
    same = alfred("runs", "show", "--diff", run["id"], run["id"])
    assert same.out.count("the same") == 2
    assert alfred("runs", "show").code == 2
    assert alfred("runs", "show", run["id"], "--diff", run["id"], branch["id"]).code == 2
