"""The owner's word about files that strangers' words were written into: I have read this.

Invariant: it is given for exactly the marks that were shown, by a yes on a terminal or by their hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import clock, errors
from alfred.actions.ledger.labels import Mark
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common

SHOWN = 30
"""Marks that are shown one by one."""


def endorse(
    path: Annotated[Path, Parameter(converter=terminal.typed_path)],
    /,
    *,
    hash: str | None = None,
    common: Common = DEFAULT,
) -> int:
    """Say that you have read a file or a folder, so that it counts as strangers' words no more.

    Runs that read it from now on are not held back because of it; those that have read it are, as before. Who may read
    it does not change, and what a run with strangers' words writes there later is marked again.

    Args:
        path: The file, or the folder with everything beneath it.
        hash: The hash of the marks that were shown, where nobody can be asked.
    """
    with common.open() as base:
        desk = base.desk
        seen = desk.marks(path)
        bound = _hash(seen)
        if not seen:
            _said(common, path, seen, bound)
            return 0
        if hash is not None and (len(hash) < 8 or not bound.startswith(hash.lower())):
            raise errors.StaleHash(
                "The hash is not that of the marks as they are now.", next="Look at them again."
            )
        if not common.json:
            for line in _lines(seen):
                terminal.say(line)
        asked = not common.json and terminal.interactive()
        if hash is None and not (
            asked and terminal.yes(f"Have you read all of {terminal.shown(str(path), 200)}?")
        ):
            raise errors.HashRequired(
                "Nothing was changed: nobody has said that they read it.",
                next=f"Say so of exactly these marks: --hash {bound[:12]}",
                marks=_shape(seen),
                hash=bound,
            )
        desk.endorse(path, seen)
        _said(common, path, seen, bound)
        return 0


def _said(common: Common, path: Path, seen: Sequence[Mark], bound: str) -> None:
    shown = terminal.shown(str(path), 300)
    if common.json:
        terminal.document({"path": str(path), "marks": _shape(seen), "hash": bound})
    elif seen:
        terminal.out(f"{shown}: {terminal.count(seen, 'mark')} taken off.")
    else:
        terminal.out(f"{shown}: nothing there is marked as strangers' words.")


def _lines(seen: Sequence[Mark]) -> list[str]:
    lines = ["Strangers' words were written here:"]
    for one in seen[:SHOWN]:
        when = str(clock.rfc3339(one.at))[:16].replace("T", " ")
        lines.append(
            f"  {terminal.shown(one.path, 300)}  {one.label}  by run {terminal.short(one.run_id)}, {when}"
        )
    if len(seen) > SHOWN:
        lines.append(f"  and {len(seen) - SHOWN} more")
    return lines


def _shape(seen: Sequence[Mark]) -> list[dict[str, Any]]:
    return [
        {"path": one.path, "label": str(one.label), "by": one.run_id, "at": clock.rfc3339(one.at)}
        for one in seen
    ]


def _hash(seen: Sequence[Mark]) -> str:
    said = json.dumps([[one.path, str(one.label), one.run_id, one.at] for one in seen])
    return hashlib.sha256(said.encode()).hexdigest()
