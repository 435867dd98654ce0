"""What a command put beside the files of a person that steers other programs: `.git`, `.github`, `.claude`, `.env`.

Invariant: of names that are sensitive at the top of a workspace, none is there after a command that was not there
before it. The sandbox keeps those read-only that exist; one that does not exist yet cannot be mounted over without
making it, so it is taken away afterwards. It is moved, not deleted: the person may have made it at the same time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from alfred.trust import beneath, names


def seen(workspace: Path) -> dict[str, str | None]:
    """The sensitive names at the top of a workspace; of a symlink with what it says, because no mount keeps it."""
    return {
        entry.name: str(Path(entry.path).readlink()) if entry.is_symlink() else None
        for entry in os.scandir(workspace)
        if names.sensitive(entry.name)
    }


def take_away(workspace: Path, before: Mapping[str, str | None], to: Path) -> list[str]:
    """Moves what appeared or was replaced since `before` into the folder `to`, and puts links back.

    Returns what was done, and what could not be, one line for each.
    """
    told = []
    now = seen(workspace)
    for name in sorted(now):
        if name in before and before[name] == now[name]:
            continue
        shown = beneath.display_name(name)
        try:
            to.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (workspace / name).is_symlink() and (workspace / name).is_dir():
                (workspace / name).chmod(0o700)  # a folder that forbids writing cannot be moved
            shutil.move(workspace / name, to / name)
            told.append(f"{shown} was made by the command and taken away: it lies in {to} now")
        except (OSError, shutil.Error) as why:
            told.append(f"{shown} was made by the command and COULD NOT be taken away: {why}")
    for name, link in before.items():
        path = workspace / name
        if link is not None and not os.path.lexists(path):
            path.symlink_to(link)
            told.append(f"{beneath.display_name(name)} was a link and is one again")
    return told
