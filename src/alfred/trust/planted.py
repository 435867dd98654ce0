"""What a command put into the files of a person that steers other programs: `.git`, `.github`, `.claude`, `.env`.

Invariant: of sensitive names, none is in a workspace after a command that was not there before it, at any depth but
in folders of installed packages (`names.INSTALLED`). The sandbox keeps those read-only that exist; one that does not
exist yet cannot be mounted over without making it, so it is taken away afterwards. It is moved, not deleted: the person
may have made it at the same time. A mount holds a name only in its folder, so what is there under an old name counts
as old while it lies in the same folder; with a folder that was moved it may have moved along.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alfred.trust import beneath, names

Identity = tuple[int, int]
"""Device and inode: which file it is, whatever it is called."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A sensitive name: which file it is, in which folder, and of a symlink what it says, because no mount keeps it."""

    itself: Identity
    folder: Identity
    link: str | None


@dataclass(slots=True)
class Seen:
    """What there is in a workspace, by path from it."""

    marks: dict[str, Mark] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    """Folders that could not be looked into, and why."""

    @property
    def files(self) -> list[str]:
        """What a mount can hold, nearest first."""
        held = (path for path, mark in self.marks.items() if mark.link is None)
        return sorted(held, key=lambda path: (path.count("/"), path))


def seen(workspace: Path, *, but: Path) -> Seen:
    """The sensitive names in a workspace. Links are not followed, and what lies in what is sensitive itself is its own.

    Args:
        but: alfred's own home, which is nobody's to look into where it lies in the workspace.
    """
    found = Seen()
    root, home = (Path(os.path.realpath(folder)) for folder in (workspace, but))
    skip = home.relative_to(root).as_posix() if home.is_relative_to(root) else None
    folders = [""]
    while folders:
        inside = folders.pop()
        try:
            marks, below = _looked_into(root / inside)
        except FileNotFoundError:
            continue  # it was removed meanwhile
        except OSError as why:
            found.closed[inside] = why.strerror or type(why).__name__
            continue
        start = f"{inside}/" if inside else ""
        found.marks |= {start + name: mark for name, mark in marks.items() if start + name != skip}
        folders += [start + name for name in below if start + name != skip]
    return found


def take_away(workspace: Path, before: Seen, to: Path, *, but: Path) -> list[str]:
    """Moves what appeared or was replaced since `before` into the folder `to`, and puts links back.

    Returns what was done, and what could not be, one line for each.
    """
    told = []
    now = seen(workspace, but=but)
    known = {(mark.itself, mark.link) for mark in before.marks.values()}
    for path, mark in sorted(now.marks.items()):
        old = before.marks.get(path)
        if old is not None and (old.folder, old.link) == (mark.folder, mark.link):
            continue
        if old is None and (mark.itself, mark.link) in known:
            continue  # it was moved with its folder
        shown = beneath.display_name(path)
        try:
            _move(workspace / path, to / path)
            told.append(f"{shown} was made by the command and taken away: it lies in {to} now")
        except (OSError, shutil.Error) as why:
            told.append(f"{shown} was made by the command and COULD NOT be taken away: {why}")
    for path, mark in before.marks.items():
        place = workspace / path
        if mark.link is None or os.path.lexists(place) or not _is(place.parent, mark.folder):
            continue
        with _writable(place.parent):
            place.symlink_to(mark.link)
        told.append(f"{beneath.display_name(path)} was a link and is one again")
    for path, why in now.closed.items():
        if path not in before.closed:
            shown = beneath.display_name(path)
            told.append(f"{shown} was closed by the command and COULD NOT be looked into: {why}")
    return told


def _mark(entry: os.DirEntry[str], folder: Identity) -> Mark:
    link = str(Path(entry.path).readlink()) if entry.is_symlink() else None
    return Mark(_identity(entry.stat(follow_symlinks=False)), folder, link)


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _is(folder: Path, which: Identity) -> bool:
    try:
        return _identity(folder.lstat()) == which
    except OSError:
        return False


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _writable(path.parent):
        if not path.is_symlink() and path.is_dir():
            path.chmod(0o700)  # a folder that forbids writing cannot be moved
        shutil.move(path, to)


def _looked_into(folder: Path) -> tuple[dict[str, Mark], list[str]]:
    """What of a folder is sensitive, and the folders to look into next; also of one that its owner may not list now."""
    try:
        return _look(folder)
    except PermissionError:
        with _writable(folder):
            return _look(folder)


def _look(folder: Path) -> tuple[dict[str, Mark], list[str]]:
    marks: dict[str, Mark] = {}
    below: list[str] = []
    here = _identity(folder.stat())
    with os.scandir(folder) as entries:
        for entry in entries:
            if names.sensitive(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    marks[entry.name] = _mark(entry, here)
            elif entry.is_dir(follow_symlinks=False) and not names.installed(entry.name):
                below.append(entry.name)
    return marks, below


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A folder as its owner may use it; its mode is what it was afterwards."""
    mode = stat.S_IMODE(folder.lstat().st_mode)
    if mode & 0o700 != 0o700:
        folder.chmod(mode | 0o700)
    try:
        yield
    finally:
        if mode & 0o700 != 0o700:
            folder.chmod(mode)
