"""What the demo's scripted model says: a look at the repository, and a report out of what the run itself has read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = "alfred-report.md"
BRIEF = f"Investigate this repository: its git log and its files. Write what you find to {REPORT}."


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


def write_the_report(scenario: Path, run_id: str, calls: list[dict[str, Any]]) -> None:
    """The turns after the kill.

    Args:
        calls: What the run has done so far, as `runs show` tells it.
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
            *(f"    {line}" for line in log[:20]),
            "",
            "## Files",
            "",
            *(f"    {line}" for line in files[:20]),
            "",
        ]
    )
    _write(
        scenario,
        [
            {"say": "(committed before the kill)"},
            {
                "say": "Now I write down what I found.",
                "calls": [{"tool": "files.write", "args": {"path": REPORT, "content": report}}],
                "usage": {"input": 1_400, "output": 300},
                "delay": 0.2,
            },
            {"say": f"The report is in {REPORT}.", "usage": {"input": 1_800, "output": 12}},
        ],
    )


def _write(scenario: Path, turns: list[dict[str, Any]]) -> None:
    # JSON is YAML: nothing has to be quoted by hand.
    scenario.write_text(json.dumps({"runs": [{"match": ".", "turns": turns}]}, ensure_ascii=False))


def _result(calls: list[dict[str, Any]], action: str) -> list[str]:
    """What a call of the run returned, as lines."""
    for call in calls:
        if call["action"] == action and call["status"] == "done":
            value = call["result"]
            entries = value["entries"] if isinstance(value, dict) and "entries" in value else value
            if isinstance(entries, list):
                return [_line(entry) for entry in entries]
            return str(value).splitlines()
    return ["(it could not be read)"]


def _line(entry: Any) -> str:
    """One entry of a list that a call returned, in words."""
    if isinstance(entry, dict) and "sha" in entry:
        return f"{entry['sha'][:12]} {entry['date'][:10]} {entry['author']}: {entry['subject']}"
    return entry["path"] if isinstance(entry, dict) and "path" in entry else str(entry)
