"""What the demo is about: its report takes the place of nothing, and is all that it approves where nobody is."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.actions.ledger.approvals import Approval
from alfred.cli import demo_script

CALLS = [
    {
        "action": "git.log",
        "status": "done",
        "result": {
            "entries": [{"sha": "a" * 40, "date": "2026-01-01", "author": "p", "subject": "First"}]
        },
    },
    {"action": "files.list", "status": "done", "result": {"entries": [{"path": "notes.txt"}]}},
]


@pytest.fixture
def report(tmp_path: Path) -> str:
    """What the demo's script writes."""
    scenario = tmp_path / "scenario.yaml"
    demo_script.write_the_report(scenario, "01KB0000000000000000000000", CALLS, "x.md")
    turns = json.loads(scenario.read_text())["runs"][0]["turns"]
    return next(turn["calls"][0]["args"]["content"] for turn in turns if "calls" in turn)


def test_the_report_of_an_earlier_demo_is_replaced(report: str, tmp_path: Path) -> None:
    (tmp_path / demo_script.REPORT).write_text(report)
    assert demo_script.report_in(tmp_path) == demo_script.REPORT
    many = [{"path": f"{n}.txt"} for n in range(23)]
    calls = [CALLS[0], CALLS[1] | {"result": {"entries": many}}]
    demo_script.write_the_report(tmp_path / "s", "01KB0000000000000000000000", calls, "x.md")
    turns = json.loads((tmp_path / "s").read_text())["runs"][0]["turns"]
    long = next(turn["calls"][0]["args"]["content"] for turn in turns if "calls" in turn)
    assert long.endswith("    … and 3 more\n"), "no part looks like the whole"
    (tmp_path / demo_script.REPORT).write_text(long)
    assert demo_script.report_in(tmp_path) == demo_script.REPORT


def test_a_repository_without_a_commit_and_a_file_is_reported_as_that(tmp_path: Path) -> None:
    there = {"git.log": [], "files.list": [{"path": ".git"}]}
    nothing = [
        {"action": action, "status": "done", "result": {"entries": entries}}
        for action, entries in there.items()
    ]
    scenario = tmp_path / "scenario.yaml"
    demo_script.answer(scenario, [("a.", nothing), ("b.", nothing)])
    assert "Last change: (none). First in the folder: (none)." in scenario.read_text()
    demo_script.write_the_report(scenario, "01KB0000000000000000000000", nothing, "x.md")
    assert scenario.read_text().count("    (none)") == 2
    assert ".git\n" not in scenario.read_text()


@pytest.mark.parametrize("text", ["", "mine\n", "{report}mine\n", "mine\n{report}", "\udcff"])
def test_what_a_person_wrote_is_not_replaced(report: str, tmp_path: Path, text: str) -> None:
    mine = tmp_path / demo_script.REPORT
    mine.write_text(text.format(report=report), errors="surrogateescape")
    assert demo_script.report_in(tmp_path) == "alfred-report-2.md"


def test_a_link_is_not_followed_to_what_it_would_replace(report: str, tmp_path: Path) -> None:
    (tmp_path / "else.md").write_text(report)
    (tmp_path / demo_script.REPORT).symlink_to("else.md")
    (tmp_path / "alfred-report-2.md").symlink_to("nowhere.md")
    assert demo_script.report_in(tmp_path) == "alfred-report-3.md"


def card(**given: Any) -> Approval:
    values: dict[str, Any] = {field.name: None for field in fields(Approval)}
    return Approval(
        **values | {"kind": "action", "action": "files.write", "risk": "medium"} | given
    )


def test_the_card_of_the_report_is_the_demos(tmp_path: Path) -> None:
    report = tmp_path / demo_script.REPORT
    for path in (report.name, f"./{report.name}", str(report)):
        assert demo_script.objection(card(), {"path": path}, report) is None


def test_no_other_card_is_the_demos(tmp_path: Path) -> None:
    report = tmp_path / demo_script.REPORT
    its_own = {"path": report.name}
    for other in ("notes.txt", ".git/hooks/pre-commit", f"../{report.name}", None):
        assert "nothing else" in str(demo_script.objection(card(), {"path": other}, report))
    for action in ("files.delete", "files.patch", "shell.run", "git.push"):
        assert "nothing else" in str(demo_script.objection(card(action=action), its_own, report))
    for kind in ("question", "outcome"):
        assert "nothing else" in str(demo_script.objection(card(kind=kind), its_own, report))


def test_a_high_risk_is_for_a_person_whatever_it_writes(tmp_path: Path) -> None:
    report = tmp_path / demo_script.REPORT
    said = demo_script.objection(card(risk="high"), {"path": report.name}, report)
    assert "for a person" in str(said)


def test_what_came_to_stand_there_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    report = tmp_path / demo_script.REPORT
    report.write_text("mine\n")
    assert "no demo wrote" in str(demo_script.objection(card(), {"path": report.name}, report))


def test_where_every_name_is_taken_the_demo_says_so(tmp_path: Path) -> None:
    for number in itertools.chain([""], (f"-{n}" for n in range(2, 100))):
        (tmp_path / f"alfred-report{number}.md").touch()
    with pytest.raises(errors.UsageError, match="is taken"):
        demo_script.report_in(tmp_path)
