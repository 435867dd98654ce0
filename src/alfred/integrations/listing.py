"""What a folder holds: its names, or all beneath it that fit a pattern, as far as they can be told.

Invariant: no pattern takes long; what is left out is counted; alfred's own home is not looked into.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from typing import Any

from alfred import errors
from alfred.actions.context import ActionContext
from alfred.integrations import excerpt, grep, places
from alfred.trust import paths

ENTRIES = 500
"""Names that are told."""

VISITED = 200_000
"""Names that are looked at."""


def listed(ctx: ActionContext, path: str, glob: str | None) -> dict[str, Any]:
    """The answer of `files.list`."""
    if path.strip("/") in (places.INPUTS, "./" + places.INPUTS) and ctx.inputs:
        return _answer(path, [_input_entry(ctx, name) for name in sorted(ctx.inputs)], 0)
    place = places.reading(ctx, path)
    closed = places.homes_below(ctx, place.root)
    prefix = "" if place.path == "." else place.path + "/"
    with places.told(path):
        if glob is None:
            entries = [e for e in paths.listing(place.root, place.path) if e.path not in closed]
            return _answer(path, [_entry(e, prefix) for e in entries], 0)
        fits = _glob(glob)
        found: list[dict[str, Any]] = []
        more = visited = unreadable = 0
        waiting = [place.path]
        while waiting and visited < VISITED:
            folder = waiting.pop()
            try:
                entries = paths.listing(place.root, folder)
            except (OSError, errors.PathRefused):
                if folder == place.path:
                    raise
                unreadable += 1
                continue
            deeper = []
            for entry in entries:
                visited += 1
                name = entry.path.rpartition("/")[2]
                if entry.path in closed or name in grep.VERSION_CONTROL:
                    continue
                if entry.kind == "folder":
                    deeper.append(entry.path)
                if fits(entry.path.removeprefix(prefix)):
                    if len(found) < ENTRIES:
                        found.append(_entry(entry, prefix))
                    else:
                        more += 1
            waiting += reversed(deeper)
    answer = _answer(path, found, more)
    if waiting:
        answer["note"] = f"Only the first {visited} names were looked at."
    if unreadable:
        answer["unreadable_folders"] = unreadable
    return answer


def _entry(entry: paths.Entry, prefix: str) -> dict[str, Any]:
    shown = {"path": entry.path.removeprefix(prefix), "kind": entry.kind}
    return shown | ({"size": entry.size} if entry.kind == "file" else {})


def _input_entry(ctx: ActionContext, name: str) -> dict[str, Any]:
    place = places.reading(ctx, f"{places.INPUTS}/{name}")
    try:
        return _entry(paths.stat(place.root, place.path), "") | {
            "path": name,
            "absolute": str(ctx.inputs[name]),
        }
    except OSError as why:
        return {"path": name, "kind": "missing", "why": why.strerror}


def _answer(path: str, entries: list[dict[str, Any]], more: int) -> dict[str, Any]:
    room, kept = excerpt.ROOM, []
    for entry in entries[:ENTRIES]:
        room -= len(json.dumps(entry, ensure_ascii=False)) + 2
        if room < 0:
            break
        kept.append(entry)
    left_out = more + len(entries) - len(kept)
    return {"path": path, "entries": kept, "left_out": left_out}


def _glob(pattern: str) -> Callable[[str], bool]:
    """Whether a path fits a pattern as in .gitignore: without a slash it fits names at any depth, and
    `**` stands for any number of folders. Part by part, so that no pattern takes long."""
    text = pattern.removeprefix("./").strip("/")
    wanted = [part for part in text.split("/") if part] if "/" in text else ["**", text]
    fits = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in wanted]

    def matches(path: str) -> bool:
        # which of the wanted parts may come next, after each part of the path
        states = _skipping({0}, fits)
        for part in path.split("/"):
            after = {at for at in states if at < len(fits) and fits[at] is None}
            after |= {
                at + 1
                for at in states
                if at < len(fits) and (one := fits[at]) is not None and one.fullmatch(part)
            }
            states = _skipping(after, fits)
        return len(fits) in states

    return matches


def _skipping(states: set[int], fits: list[re.Pattern[str] | None]) -> set[int]:
    """The states, and those that `**` leads to by standing for nothing."""
    for at in range(len(fits)):
        if at in states and fits[at] is None:
            states.add(at + 1)
    return states
