"""What the demo is about: a report on the repository out of what the run itself has read, and the card of that report.

Invariants: the report never takes the place of a file that no demo wrote; where no person decides, that one card is
approved and no other, and none of a high risk.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.actions.ledger.approvals import Approval

REPORT = "alfred-report.md"

_NAMES = (REPORT, *(f"alfred-report-{number}.md" for number in range(2, 100)))

_MOST = 100_000  # bytes of a report: 20 commits and 20 files

NONE = "(none)"  # of a repository without a commit or a file

_WRITTEN_BEFORE = re.compile(
    r"# What alfred saw in this repository\n\n"
    r"Written by run \w+, which was killed with -9 in the middle and went on\.\n\n"
    r"## Latest commits\n\n(?: {4}.*\n)*\n## Files\n\n(?: {4}.*\n)*"
)
"""A report of an earlier demo, with nothing of anybody else's in it."""


def brief(report: str) -> str:
    """What the run is asked to do."""
    return (
        f"Investigate this repository: its git log and its files. Write what you find to {report}."
    )


def report_in(folder: Path) -> str:
    """The report's name in this folder: the first that is free, or has the report of an earlier demo.

    Raises:
        UsageError: every name is taken.
    """
    for name in _NAMES:
        if replaceable(folder / name):
            return name
    raise errors.UsageError(
        f"{REPORT} and every other name for the report is taken in {str(folder)!r}, or cannot be looked at.",
        next="Start the demo in another repository.",
    )


def replaceable(report: Path) -> bool:
    """Whether nobody loses anything when the report is written there: nothing is there, or an earlier report."""
    try:
        found = report.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            return False
        return _WRITTEN_BEFORE.fullmatch(report.read_text("utf-8")) is not None
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def is_report(arguments: Mapping[str, Any], report: Path) -> bool:
    """Whether a call of `files.write` in the report's folder writes the report."""
    path = arguments.get("path")
    return isinstance(path, str) and report.parent / path == report


def objection(card: Approval, arguments: Mapping[str, Any], report: Path) -> str | None:
    """Why the demo does not approve this card in the place of a person; None: it is the one that it is about."""
    if card.kind != "action" or card.action != "files.write" or not is_report(arguments, report):
        return f"Nobody is at a terminal, and the demo itself approves the report {report.name} and nothing else."
    if card.risk == "high":
        return "Nobody is at a terminal, and a high risk is for a person."
    if not replaceable(report):
        return f"Nobody is at a terminal, and {report.name} holds what no demo wrote."
    return None


def look_first(scenario: Path) -> None:
    """The first two turns. The second one takes long enough to be killed in the middle."""
    _write(
        scenario,
        [
            {
                "say": "I look at the history and the files first.",
                "calls": [
                    {"tool": "git.log", "args": {"limit": 10}},
                    {"tool": "git.status", "args": {}},
                    {"tool": "files.list", "args": {}},
                ],
                "usage": {"input": 900, "output": 60},
            },
            {"say": "Now I write down what I found.", "delay": 60},
        ],
    )


def write_the_report(scenario: Path, run_id: str, calls: list[dict[str, Any]], name: str) -> None:
    """The turns after the kill.

    Args:
        calls: What the run has done so far, as `runs show` tells it.
        name: The report's, in the run's folder.
    """
    log, files = _result(calls, "git.log"), _result(calls, "files.list")
    report = "\n".join(
        [
            "# What alfred saw in this repository",
            "",
            f"Written by run {run_id}, which was killed with -9 in the middle and went on.",
            "",
            "## Latest commits",
            "",
            *(f"    {line}" for line in log[:20] or [NONE]),
            "",
            "## Files",
            "",
            *(f"    {line}" for line in files[:20] or [NONE]),
            *([f"    … and {len(files) - 20} more"] if len(files) > 20 else []),
            "",
        ]
    )
    _write(
        scenario,
        [
            {"say": "(committed before the kill)"},
            {
                "say": "Now I write down what I found.",
                "calls": [{"tool": "files.write", "args": {"path": name, "content": report}}],
                "usage": {"input": 1_400, "output": 300},
                "delay": 0.2,
            },
            {"say": f"The report is in {name}.", "usage": {"input": 1_800, "output": 12}},
        ],
    )


INVESTIGATIONS = {
    "Find out from the git log who changed this repository last.": "git.log",
    "Find out what files this repository has.": "files.list",
}
"""Briefs of the second scene, and what each of them looks at."""

BOSS = "Let two sub-agents investigate this repository, share what the first one found, and answer."


def hand_on(scenario: Path) -> None:
    """The second scene, up to where its agents have looked: what they found is not known yet."""
    _second_scene(scenario, ["I have looked."] * 2, [{"say": "Both have looked."}])


def answer(scenario: Path, children: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """The rest of it: what the agents say is what they have read, and the boss promotes what the first one said.

    Args:
        children: The prefix of each one's notes, and its calls so far, in the order of their briefs.
    """
    found = [
        _result(calls, action)
        for (_, calls), action in zip(children, INVESTIGATIONS.values(), strict=True)
    ]
    said = [f"{lines[0]} ({len(lines)} in all)" if lines else NONE for lines in found]
    promote = {
        "path": f"{children[0][0]}result",
        "to": "last-change",
        "reason": "It stands in the git log.",
    }
    share = {"say": "I share that.", "calls": [{"tool": "scratch.promote", "args": promote}]}
    end = {"say": f"Last change: {said[0]}. First in the folder: {said[1]}."}
    _second_scene(scenario, said, [share, end])


def _second_scene(scenario: Path, said: list[str], then: list[dict[str, Any]]) -> None:
    """`then`: what the boss does when both have answered."""
    looks = {"git.log": {"limit": 10}, "files.list": {}}
    runs: list[dict[str, Any]] = [
        {
            "match": f"^{re.escape(brief)}$",
            "turns": [
                {"calls": [{"tool": action, "args": looks[action]}]},
                {"calls": [{"tool": "git.status", "args": {}}], "delay": 0.4},
                {"say": text},
            ],
        }
        for (brief, action), text in zip(INVESTIGATIONS.items(), said, strict=True)
    ]
    on = {"tool": "agents.delegate", "args": {"briefs": list(INVESTIGATIONS)}}
    runs.append({"match": ".", "turns": [{"say": "I hand both on.", "calls": [on]}, *then]})
    _replace(scenario, runs)


def _write(scenario: Path, turns: list[dict[str, Any]]) -> None:
    _replace(scenario, [{"match": ".", "turns": turns}])


def _replace(scenario: Path, runs: list[dict[str, Any]]) -> None:
    """Whoever reads it meanwhile reads the one or the other."""
    new = scenario.with_suffix(".new")
    new.write_text(json.dumps({"runs": runs}, ensure_ascii=False))  # JSON is YAML, and quoted
    new.replace(scenario)


def _result(calls: list[dict[str, Any]], action: str) -> list[str]:
    """What a call of the run returned, as lines."""
    for call in calls:
        if call["action"] == action and call["status"] == "done":
            value = call["result"]
            entries = value["entries"] if isinstance(value, dict) and "entries" in value else value
            if isinstance(entries, list):
                lines = [_line(entry) for entry in entries]
                return [line for line in lines if line != ".git"]  # which is the repository itself
            return str(value).splitlines()
    return ["(it could not be read)"]


def _line(entry: Any) -> str:
    """One entry of a list that a call returned, in words."""
    if isinstance(entry, dict) and "sha" in entry:
        return f"{entry['sha'][:12]} {entry['date'][:10]} {entry['author']}: {entry['subject']}"
    return entry["path"] if isinstance(entry, dict) and "path" in entry else str(entry)
