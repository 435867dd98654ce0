"""The audit as a person uses it: walked here, taken elsewhere, and checked there with nothing but the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred.trust import redact
from tests.flows.conftest import Alfred

Change = Callable[[list[str]], list[str]]


@pytest.fixture
def file(alfred: Alfred, tmp_path: Path) -> Path:
    """A chain of four rows, exported."""
    for _ in range(2):
        assert alfred("stop", "--all").code == 0
        assert alfred("runs", "resume", "--all").code == 0
    made = tmp_path / "audit.jsonl"
    told = alfred("audit", "export", "--out", made, "--json")
    assert (told.code, told.json["rows"]) == (0, 4)
    return made


def test_a_chain_is_checked_elsewhere(
    alfred: Alfred, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = alfred("audit", "export")
    assert whole.out == file.read_text()
    monkeypatch.setenv("ALFRED_HOME", "/nowhere")
    assert alfred("audit", "verify", file).out == "4 rows, the chain holds.\n"
    told = alfred("audit", "verify", file, "--json").json
    assert told == {"ok": True, "rows": 4, "kept_back": 0, "broken": None}


@pytest.mark.parametrize(
    ("change", "n"),
    [
        (lambda lines: [line.replace("stop", "Stop") for line in lines], 1),
        (lambda lines: [*lines[:2], *lines[3:]], 2),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 2),
        (lambda lines: [*lines[:4], lines[5]], 4),
        (lambda lines: [lines[0], lines[5]], 1),
        (lambda lines: [*lines[:3], *lines[2:]], 2),
        (lambda lines: [*lines[:5], lines[1].replace('"main"', '"other"'), lines[5]], 1),
    ],
    ids=["changed", "missing", "swapped", "the last", "all", "twice", "another's"],
)
def test_the_first_row_that_does_not_hold_is_named(
    alfred: Alfred, file: Path, change: Change, n: int
) -> None:
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    told = alfred("audit", "verify", file, "--json")
    assert (told.code, told.json["ok"], told.json["broken"]["n"]) == (1, False, n)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "cut short"),
        (lambda lines: lines[1:], "is no exported chain"),
        (lambda lines: [lines[0], "[1]", lines[-1]], "is no exported chain"),
        (lambda lines: [lines[0], '{"tenant": "main"}', lines[-1]], "is no exported chain"),
        (lambda lines: ["{}"], "is no exported chain"),
        (lambda lines: [], "is no exported chain"),
        (lambda lines: [lines[0], "x", lines[-1]], "is no exported chain"),
    ],
)
def test_a_file_that_is_none_is_refused(
    alfred: Alfred, file: Path, change: Change, said: str
) -> None:
    file.write_text("\n".join(change(file.read_text().splitlines())))
    told = alfred("audit", "verify", file)
    assert told.code == 2 and said in told.err


def test_what_became_a_secret_later_is_kept_back_and_the_chain_still_holds(
    alfred: Alfred, script: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    call = {"tool": "files.delete", "args": {"path": "notes.txt"}}
    model = script({"say": "Gone.", "calls": [call]}, {"say": "Done."})
    ran = alfred("run", "delete it", "--in", folder, "--model", model, "--json").json
    assert alfred("reject", ran["waiting"][0]["id"], "--why", "correct-horse-battery").code == 0
    redact.register("correct-horse-battery", "PASSPHRASE")
    made = tmp_path / "audit.jsonl"
    assert alfred("audit", "export", "--out", made).code == 0
    assert "horse" not in made.read_text()
    rows = [json.loads(line).get("row", "") for line in made.read_text().splitlines()]
    assert rows.count(None) == 1
    checked = alfred("audit", "verify", made)
    assert checked.code == 0 and checked.out.endswith("What 1 of them say is kept back.\n")


def test_what_may_happen_by_itself_is_sealed_when_it_changes(
    alfred: Alfred, script: Callable[..., str], folder: Path, home: Path
) -> None:
    model = script({"say": "Done."})
    for key, value in (
        *(("policy.mode", mode) for mode in ("gated", "gated", "autonomous")),
        *(("tools", "coding"), ("agents.main.tools", "minimal")),
    ):
        assert alfred("config", "edit", key, value).code == 0
        assert alfred("run", "hello", "--in", folder, "--model", model).code == 0
    rows = [json.loads(line) for line in alfred("audit", "export").out.splitlines()[1:-1]]
    sealed = [json.loads(row["row"]) for row in rows]
    rules = [row["rules"] for row in sealed if row["what"] == "policy"]
    assert [(one["policy"]["mode"], one["tools"], one["agents"]) for one in rules] == [
        ("gated", None, {}),
        ("autonomous", None, {}),
        ("autonomous", "coding", {}),
        ("autonomous", "coding", {"main": {"tools": "minimal"}}),
    ]


def test_a_row_that_was_noted_elsewhere_is_looked_for(
    alfred: Alfred, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
    noted = f"main:3:{rows[2]['hash']}"
    other = f"main:3:{rows[1]['hash']}"
    for where in ([], [file]):
        assert alfred("audit", "verify", *where, "--head", noted).code == 0
        told = alfred("audit", "verify", *where, "--head", other)
        assert told.code == 1
        assert told.out == "Row 3 of main: it is another one than was noted elsewhere.\n"
    told = alfred("audit", "verify", "--head", "main:3")
    assert told.code == 2 and "TENANT:N:HASH" in told.err
