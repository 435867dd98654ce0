"""What is wrong is said in a sentence with the next step: no traceback, no secret, nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alfred import app
from tests.flows.conftest import Alfred

DONE = {"say": "Done."}


def _problem(said: Any, code: int) -> dict[str, Any]:
    assert said.code == code, (said.out, said.err)
    assert "Traceback" not in said.out + said.err
    problem = said.json["error"]
    assert problem["detail"] and problem["code"]
    return problem


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["run", "x", "--model", "nope:nothing"], "nope"),
        (["run", "x", "--agent", "lucious"], "lucious"),
        (["run", "x", "--workflow", "dance"], "dance"),
        (["run", "x", "--in", "/does/not/exist"], "/does/not/exist"),
        (["run", "x", "--input", "/does/not/exist.txt", "--model", "scripted:x.yaml"], ""),
        (["run", "  ", "--model", "MODEL"], "brief"),
        (["run", "x", "--max-cost", "-1", "--model", "MODEL"], "max-cost"),
        (["run", "x", "--max-cots", "1"], "max-cots"),
        (["run", "x", "--model", "scripted:/does/not/exist.yaml"], "/does/not/exist.yaml"),
        (["runs", "show", "zzzzzz"], "zzzzzz"),
        (["runs", "shwo", "x"], ""),
        (["approve"], "card"),
        (["approve", "abcdef"], "abcdef"),
        (["stop"], "everything"),
        (["config", "edit", "budget.per_rnu_usd", "3"], "per_run_usd"),
        (["config", "edit", "limits.turns", "many"], "turns"),
        (["worker", "--slots", "0"], "slots"),
    ],
)
def test_a_mistake_is_told_with_its_name_and_code_2(
    alfred: Alfred, script: Any, arguments: list[str], names: str
) -> None:
    arguments = [script(DONE) if word == "MODEL" else word for word in arguments]
    problem = _problem(alfred(*arguments, "--json"), 2)
    assert names in json.dumps(problem)
    assert alfred("runs", "list", "--json").json == []


def test_a_missing_key_is_told_before_anything_is_written(alfred: Alfred) -> None:
    problem = _problem(alfred("run", "x", "--model", "anthropic:claude-sonnet-4-5", "--json"), 2)
    assert "ANTHROPIC_API_KEY" in problem["detail"]
    assert alfred("runs", "list", "--json").json == []


def test_every_problem_of_a_broken_config_is_told_with_its_line(alfred: Alfred, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        "alfred: 1\nmodle: x\nbudget:\n  per_run_usd: lots\nlimits: {turns: -3}\n"
    )
    problem = _problem(alfred("status", "--json"), 2)
    said = json.dumps(problem)
    assert "model" in said and "per_run_usd" in said and "turns" in said
    assert len(problem["errors"]) == 3


def test_a_home_of_another_product_is_refused_and_left_alone(alfred: Alfred, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("theirs: true\n")
    problem = _problem(alfred("status", "--json"), 2)
    assert "ALFRED_HOME" in problem["next"]
    assert sorted(path.name for path in home.iterdir()) == ["config.yaml"]


def test_a_newer_database_is_refused_and_the_version_still_answers(
    alfred: Alfred, home: Path
) -> None:
    assert alfred("status").code == 0
    base = app.base()
    base.store.transact(lambda tx: tx(sa.text("update meta set v='9999' where k='schema'")))
    base.close()
    problem = _problem(alfred("status", "--json"), 2)
    assert "9999" in problem["detail"]
    assert alfred("doctor").code == 1


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self/status").exists(), reason="needs Linux"
)
def test_a_workspace_that_holds_the_home_is_refused(
    alfred: Alfred, script: Any, home: Path
) -> None:
    alfred("status")
    problem = _problem(
        alfred("run", "x", "--in", home.parent, "--model", script(DONE), "--json"), 2
    )
    assert "home" in problem["detail"]


def test_odd_bytes_from_a_tool_and_a_model_end_in_rows_that_both_databases_take(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    (folder / "odd.txt").write_bytes(b"nul \x00 and bad \xff\xfe utf-8\n")
    (folder / "big.bin").write_bytes(os.urandom(1024) * 1024)
    model = script(
        {
            "say": "A \x00 b \ud800 c",
            "calls": [
                {"tool": "files.read", "args": {"path": "odd.txt"}},
                {"tool": "files.read", "args": {"path": "big.bin"}},
                {"tool": "files.search", "args": {"pattern": "utf"}},
            ],
        },
        {"say": "Over \x00 it."},
    )
    told = alfred(
        "run", "read \x00 it".replace("\x00", ""), "--in", folder, "--model", model, "--json"
    )
    assert told.code == 0, told.err
    assert "\x00" not in told.json["result"]


def test_ten_thousand_calls_in_one_answer_are_refused_beyond_the_cap_and_the_run_goes_on(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    calls = [{"tool": "files.list", "args": {}}] * 10_000
    told = alfred("run", "x", "--in", folder, "--model", script({"calls": calls}, DONE), "--json")
    assert told.code == 0, told.err
    whole = alfred("runs", "show", told.json["id"], "--json").json
    done = [call for call in whole["calls"] if call["status"] == "done"]
    assert len(done) == 64


def test_unknown_tools_and_wrong_arguments_teach_the_model(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    model = script(
        {
            "calls": [
                {"tool": "files.raed", "args": {"path": "a"}},
                {"tool": "files.read", "args": {"pth": "a"}},
            ]
        },
        DONE,
    )
    told = alfred("run", "x", "--in", folder, "--model", model, "--json").json
    texts = [
        item["text"]
        for item in alfred("runs", "show", told["id"], "--json").json["transcript"]
        if item["kind"] == "result"
    ]
    assert "files.read" in texts[0] or "files__read" in texts[0]
    assert "path" in texts[1]


def test_an_empty_turn_is_asked_again_and_then_fails_by_its_name(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    told = alfred("run", "x", "--in", folder, "--model", script({"say": ""}, {"say": ""}), "--json")
    assert told.code == 1
    assert told.json["error"]["code"] in ("model:empty", "model:malformed")


def test_a_mistyped_variable_is_a_warning_with_the_nearest_name(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_MODLE", "x")
    said = alfred("status")
    assert said.code == 0
    assert "ALFRED_MODEL" in said.err


def test_a_secret_in_a_tools_result_is_in_no_row(
    alfred: Alfred, script: Any, folder: Path, home: Path
) -> None:
    secret = "ghp_" + "a1B2" * 9
    (folder / "notes.txt").write_text(f"token {secret}\n")
    model = script({"calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}]}, DONE)
    assert alfred("run", "x", "--in", folder, "--model", model).code == 0
    for path in home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
