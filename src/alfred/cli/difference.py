"""Two runs beside each other: where they part, what each did then, what it cost. Pure, over what `runs show` says."""

from __future__ import annotations

import difflib
import json
from typing import Any

from alfred.cli import terminal

_FACTS = ("agent", "model", "brief", "status", "result")
_SIGN = {"a": ("-", "red"), "b": ("+", "green"), "same": (" ", "grey")}
_AROUND = 1
"""Equal items that are shown on each side of a difference."""


def between(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What differs: `{"a", "b", "facts": {name: [a, b]}, "transcript": [[side, item]…], "calls": [[side, call]…]}`,
    `side` being `a`, `b` or `same`."""
    ours, theirs = first["run"], second["run"]
    facts = {name: [ours[name], theirs[name]] for name in _FACTS if ours[name] != theirs[name]}
    if ours["usage"] != theirs["usage"]:
        facts["usage"] = [ours["usage"], theirs["usage"]]
    return {
        "a": ours["id"],
        "b": theirs["id"],
        "facts": facts,
        "transcript": _aligned(first["transcript"], second["transcript"], _said),
        "calls": _aligned(_calls(first, second), _calls(second, first), _called),
    }


def _calls(run: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a run; of a branch of the other one those behind it, too, which it has in its transcript alone."""
    behind: list[dict[str, Any]] = []
    if run["run"]["forked_from"] == other["run"]["id"]:
        at = run["run"]["forked_seq"]
        until = next((step["ended_at"] for step in other["steps"] if step["seq"] == at), "")
        behind = [call for call in other["calls"] if (call["ended_at"] or "~") <= until]
    return behind + run["calls"]


def _said(item: dict[str, Any]) -> str:
    return json.dumps([item["kind"], item["tool"], item["text"]])


def _called(call: dict[str, Any]) -> str:
    return json.dumps([call["action"], call["args"], call["status"]], sort_keys=True)


def _aligned(ours: list[Any], theirs: list[Any], key: Any) -> list[list[Any]]:
    matcher = difflib.SequenceMatcher(None, [key(x) for x in ours], [key(x) for x in theirs], False)
    found: list[list[Any]] = []
    for what, a0, a1, b0, b1 in matcher.get_opcodes():
        if what == "equal":
            found += [["same", item] for item in ours[a0:a1]]
        else:
            found += [["a", item] for item in ours[a0:a1]]
            found += [["b", item] for item in theirs[b0:b1]]
    return found


def tell(found: dict[str, Any]) -> None:
    """Says it to a person, like a diff."""
    _line("a", f"run {terminal.short(found['a'])}")
    _line("b", f"run {terminal.short(found['b'])}")
    for name, (ours, theirs) in found["facts"].items():
        for side, value in (("a", ours), ("b", theirs)):
            shown = terminal.usage(value) if name == "usage" else terminal.shown(str(value), 200)
            _line(side, f"{name:<10} {shown}")
    for title, line in (("transcript", _item), ("calls", _call)):
        entries = found[title]
        terminal.out("")
        terminal.out(title)
        if all(side == "same" for side, _ in entries):
            terminal.out("  the same")
            continue
        skipped = 0
        for n, (side, entry) in enumerate(entries):
            near = entries[max(0, n - _AROUND) : n + _AROUND + 1]
            if all(other == "same" for other, _ in near):
                skipped += 1
                continue
            if skipped:
                terminal.out(terminal.colour(f"  … {skipped} the same", "grey"))
                skipped = 0
            _line(side, line(entry))
        if skipped:
            terminal.out(terminal.colour(f"  … {skipped} the same", "grey"))


def _line(side: str, text: str) -> None:
    sign, tone = _SIGN[side]
    terminal.out(terminal.colour(f"{sign} {text}", tone))


def _item(item: dict[str, Any]) -> str:
    of = f" of {terminal.shown(item['tool']).replace('__', '.')}" if item["tool"] else ""
    return f"{item['kind']}{of}: {terminal.shown(item['text'], 160)}"


def _call(call: dict[str, Any]) -> str:
    args = terminal.shown(json.dumps(call["args"], ensure_ascii=False), 120)
    return f"{call['status']} {terminal.shown(call['action'])} {args}"
