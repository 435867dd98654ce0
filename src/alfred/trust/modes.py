"""Who else may read or change what is the owner's alone: the files of the home, secrets in files, the folders above.

Invariant: it looks and changes nothing; what cannot be looked at is told as well. Links are judged by what they lead to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alfred import home as home_folder
from alfred.trust import tokens

MOST = 20_000
"""Files of a home that are looked at."""

_OTHERS = 0o077
_KEPT = ("state", "logs", "backups", "transcripts")
"""Folders of a home whose files are all private, whatever they are called."""


@dataclass(frozen=True, slots=True)
class Open:
    """Something that others may read or change."""

    path: Path
    why: str
    mend: int | None = None
    """The mode that would be right; None where a mode is not what is wrong."""

    @property
    def next(self) -> str | None:
        """The command that mends it."""
        return None if self.mend is None else f"chmod {self.mend:o} {self.path}"


def of_home(home: Path) -> Iterator[Open]:
    """The home, its tenants', every private file in them, and the folders above."""
    yield from _above(home)
    for tenant in home_folder.tenants(home):
        folder = home_folder.of_tenant(home, tenant)
        yield from _judged(folder, 0o700)
        for name in _KEPT:
            yield from _judged(folder / name, 0o700)
        for file in _files(folder):
            yield from _judged(file, 0o600)


def of_named(env: Mapping[str, str]) -> Iterator[Open]:
    """Files that `NAME_FILE` names where NAME announces a secret. One that the system keeps for us need not be ours."""
    for name, path in sorted(env.items()):
        if not name.endswith("_FILE") or not tokens.SECRET_NAME.fullmatch(name[:-5]) or not path:
            continue
        try:
            found = Path(path).stat()
        except OSError as why:
            yield Open(Path(path), f"{name} names it, and it cannot be looked at: {why.strerror}")
            continue
        ours = found.st_uid == os.geteuid()
        if found.st_mode & 0o022 or (ours and found.st_mode & _OTHERS):
            yield Open(Path(path), f"{name} names it, and {_said(found)}", 0o600 if ours else None)


def _files(folder: Path) -> Iterator[Path]:
    database = home_folder.database_file(folder)
    yield home_folder.config_file(folder)
    yield home_folder.env_file(folder)
    yield from (database.with_name(database.name + end) for end in ("", "-wal", "-shm"))
    left = MOST
    for name in _KEPT:
        for where, _, files in os.walk(folder / name):
            for file in sorted(files)[:left]:
                yield Path(where, file)
            left = max(0, left - len(files))


def _judged(path: Path, mode: int) -> Iterator[Open]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as why:
        yield Open(path, f"it cannot be looked at: {why.strerror}")
        return
    if found.st_uid not in (os.geteuid(), 0):
        yield Open(path, f"it belongs to the user {found.st_uid}")
    elif found.st_mode & _OTHERS:
        yield Open(path, _said(found), mode)


def _said(found: os.stat_result) -> str:
    folder = stat.S_ISDIR(found.st_mode)
    can = "enter or list" if folder else "read"
    if found.st_mode & 0o022:
        can = "write into" if folder else "change"
    return f"others may {can} it (mode {stat.S_IMODE(found.st_mode):o})"


def _above(home: Path) -> Iterator[Open]:
    """Who may write into a folder above can put another home in the place of this one."""
    for parent in Path(os.path.realpath(home)).parents:
        try:
            found = parent.stat()
        except OSError:
            continue
        if found.st_uid not in (os.geteuid(), 0):
            yield Open(parent, f"the home lies in it, and it belongs to the user {found.st_uid}")
        elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            yield Open(parent, f"the home lies in it, and {_said(found)}")
