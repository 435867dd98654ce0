"""Where a path of a call leads, and how delicate that place is.

Invariants: a path names something in the run's workspace or one of its inputs, nothing else; inputs are
never written; alfred's own home is neither read nor written, even when the workspace contains it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from alfred import errors
from alfred import home as home_folder
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Risk
from alfred.trust import beneath, names, paths

INPUTS = "inputs"
"""The folder, in paths of calls, that the inputs of a run are seen in."""


@dataclass(frozen=True, slots=True)
class Place:
    """A root that the program chose and a path beneath it that the model gave."""

    root: Path
    path: str
    """Relative to the root, without `.` and `..`; `.` is the root itself."""
    shown: str
    """As the model may name it again."""


def reading(ctx: ActionContext, path: str) -> Place:
    """Where a path leads for reading: an input by its absolute path or as `inputs/<name>`, else the workspace.

    Raises:
        PathRefused: it leads elsewhere, or into alfred's own home.
    """
    given = _input(ctx, path)
    if given is not None:
        return given
    place = _in_workspace(ctx, path)
    _refuse_home(ctx, place)
    return place


def writing(ctx: ActionContext, path: str) -> Place:
    """Where a path leads for writing: the workspace, and nothing in it that is an input.

    Raises:
        PathRefused: it leads elsewhere, to an input, or into alfred's own home.
    """
    if _input(ctx, path) is not None:
        raise beneath.refused(
            path, "it is an input of this run, which is only read", next="Write a copy."
        )
    place = _in_workspace(ctx, path)
    if place.path == ".":
        raise beneath.refused(path, "it names the workspace itself")
    _refuse_home(ctx, place)
    there = Path(os.path.realpath(place.root), place.path)
    found = paths.identity(there)
    for given in ctx.inputs.values():
        real = Path(os.path.realpath(given))
        # by name, and by what it is: a file may have several names, and upper case may mean nothing
        if (
            there.is_relative_to(real)
            or real.is_relative_to(there)
            or (found and found in map(paths.identity, (real, *real.parents)))
        ):
            raise beneath.refused(path, "an input of this run lies there, which is only read")
    return place


@contextlib.contextmanager
def opened(ctx: ActionContext, place: Place) -> Iterator[IO[bytes]]:
    """The file at a place, for reading bytes, judged by what was opened and not by its name."""
    with paths.open_beneath(place.root, place.path, "rb") as file:
        own = _own(ctx)
        root = Path(os.path.realpath(place.root))
        if any(home.is_relative_to(root) for home in own):
            real = _real_path(file.fileno())
            if any(real.is_relative_to(home) for home in own):
                raise beneath.refused(place.shown, "it leads into alfred's own home")
        yield file


def homes_below(ctx: ActionContext, root: Path) -> list[str]:
    """The paths, relative to `root`, of what of alfred's own lies beneath it."""
    real = Path(os.path.realpath(root))
    return [
        home.relative_to(real).as_posix()
        for home in _own(ctx)
        if home != real and home.is_relative_to(real)
    ]


def risk(ctx: ActionContext, *touched: str) -> Risk:
    """The risk of changing these paths: none where alfred made the workspace, medium where a person
    brought it, one tier higher where one of them is sensitive."""
    base = Risk.NONE if ctx.workspace.made else Risk.MEDIUM
    return Risk(base + 1) if any(delicate(ctx, path) for path in touched) else base


def delicate(ctx: ActionContext, path: str) -> bool:
    """Whether a path, from the workspace, names what steers other programs or holds secrets. The folders above the
    workspace count too: it may be `.git` or `.github/workflows` itself. Alfred's own home above it does not."""
    root = Path(os.path.realpath(ctx.workspace.root))
    for home in _own(ctx):
        if root.is_relative_to(home):
            root = root.relative_to(home)
            break
    return names.sensitive(f"{root}/{path}")


def installation(ctx: ActionContext) -> Path:
    """The home folder of the installation: a tenant's lies in it as `tenants/<id>`."""
    if ctx.tenant != "main" and ctx.home.parent.name == "tenants":
        return ctx.home.parent.parent
    return ctx.home


@contextlib.contextmanager
def told(path: str) -> Iterator[None]:
    """Turns what the system says about a path into an answer that says what to do."""
    shown = beneath.display_name(path)
    try:
        yield
    except FileNotFoundError:
        raise errors.CallFailed(
            f"There is no {shown}.", next="`files.list` shows what is there."
        ) from None
    except IsADirectoryError:
        raise errors.CallFailed(f"{shown} is a folder.", next="`files.list` reads it.") from None
    except NotADirectoryError:
        raise errors.CallFailed(f"A part of {shown} is a file, not a folder.") from None
    except FileExistsError:
        raise errors.CallFailed(f"{shown} is there already.") from None
    except PermissionError:
        raise errors.CallFailed(f"The system does not permit this with {shown}.") from None
    except OSError as why:
        if why.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.CallFailed(
                f"The disk is full; {shown} is what it was.", next="Free some space."
            ) from why
        raise errors.CallFailed(f"{shown} cannot be used: {why.strerror}.") from why


def relative(root: Path, path: str) -> str:
    """A path from the root, `.` for the root itself.

    Raises:
        PathRefused: it is empty, has NUL or `..`, or is absolute and not beneath the root.
    """
    return "/".join(beneath.parts_of(root, path)) or "."


def _in_workspace(ctx: ActionContext, path: str) -> Place:
    inside = relative(ctx.workspace.root, path)
    return Place(ctx.workspace.root, inside, inside)


def _input(ctx: ActionContext, path: str) -> Place | None:
    """The input that a path names, or a file in an input that is a folder."""
    if "\0" in path or ".." in path.split("/"):
        return None
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for name, given in ctx.inputs.items():
        rest: list[str] | None = None
        if path.startswith("/"):
            own = [part for part in str(given).split("/") if part not in ("", ".")]
            if parts[: len(own)] == own:
                rest = parts[len(own) :]
        elif parts[:2] == [INPUTS, name]:
            rest = parts[2:]
        if rest is None:
            continue
        if not rest and not given.is_dir():
            return Place(given.parent, given.name, path)
        return Place(given, "/".join(rest) or ".", path)
    return None


def _own(ctx: ActionContext) -> tuple[Path, ...]:
    """alfred's own folders, as they really are."""
    named = {installation(ctx), ctx.home, home_folder.path()}
    return tuple(Path(os.path.realpath(folder)) for folder in named)


def _refuse_home(ctx: ActionContext, place: Place) -> None:
    """Refuses what leads into alfred's own home from a workspace around it."""
    root = Path(os.path.realpath(place.root))
    own = _own(ctx)
    for home in own:
        if root.is_relative_to(home) and not _for_work(root.relative_to(home).parts):
            raise beneath.refused(place.shown, "the workspace lies in alfred's own home")
    own = tuple(home for home in own if not root.is_relative_to(home))
    real = Path(os.path.realpath(root / place.path))
    steps = [p for p in (root / place.path, *(root / place.path).parents) if p != root]
    for home in own:
        # by name as it really is, and by identity: file systems may not mind upper case
        if real.is_relative_to(home) or any(
            step.is_relative_to(root) and _same(step, home) for step in steps
        ):
            raise beneath.refused(place.shown, "it leads into alfred's own home")


def _for_work(parts: tuple[str, ...]) -> bool:
    """Whether a folder in a home is one that runs work in."""
    if parts[:1] == ("tenants",):
        parts = parts[2:]
    return len(parts) > 1 and parts[0] in ("workspaces", "worktrees")


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def _real_path(fd: int) -> Path:
    if sys.platform == "darwin":
        get_path = 50  # F_GETPATH of <sys/fcntl.h>
        return Path(os.fsdecode(fcntl.fcntl(fd, get_path, bytes(1024)).rstrip(b"\0")))
    return Path(f"/proc/self/fd/{fd}").readlink()
