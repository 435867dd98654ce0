"""The repository of a run's workspace, and what a commit of it would hold.

Invariant: judging a commit leaves no trace: its tree is written from an index of our own, its objects into a
folder of our own; only the commit itself writes into the repository.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alfred import errors
from alfred.actions.context import ActionContext
from alfred.engines import git, refs
from alfred.integrations import places


def of(ctx: ActionContext) -> git.Repository:
    """The repository of the run's workspace; of a folder that a person brought, also one around it.

    Raises:
        CallFailed: there is none.
    """
    return git.find(ctx.workspace.root, upward=not ctx.workspace.made)


def to_change(ctx: ActionContext) -> git.Repository:
    """The repository whose own folder is about to be changed. The files of the work tree never are.

    Raises:
        CallFailed: there is none, or an input of the run lies in that folder.
    """
    here = of(ctx)
    own = [Path(os.path.realpath(folder)) for folder in git.folders(here)]
    for name, given in ctx.inputs.items():
        if any(Path(os.path.realpath(given)).is_relative_to(folder) for folder in own):
            raise errors.CallFailed(
                f"The input {name!r} lies in the folder of the repository itself, which this would change.",
                next="Give a copy of it as the input.",
            )
    return here


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a commit would hold."""

    parent: str | None
    tree: str
    files: tuple[str, ...]
    """What it changes, from the top of the repository."""
    diff: str = ""


def snapshot(ctx: ActionContext, wanted: list[str] | None, *, shown: bool = False) -> Snapshot:
    """What a commit would hold now; the repository stays as it is."""
    with index(ctx, of(ctx), wanted, keep=False, shown=shown) as made:
        return made


@contextlib.contextmanager
def index(
    ctx: ActionContext,
    here: git.Repository,
    wanted: list[str] | None,
    *,
    keep: bool,
    shown: bool = False,
) -> Iterator[Snapshot]:
    """Writes the tree of a commit from an index of our own.

    Without `keep` the objects go to a folder that is gone afterwards.
    """
    parent = refs.sha(here, "HEAD")
    with tempfile.TemporaryDirectory(prefix="alfred-index-") as folder:
        env = {"GIT_INDEX_FILE": f"{folder}/index", "GIT_OPTIONAL_LOCKS": "1"}
        if not keep:
            Path(folder, "objects").mkdir()
            env |= {
                "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(git.folders(here)[1] / "objects"),
            }
        git.run(here, "read-tree", parent or "--empty", env=env)
        chosen = _changed_paths(here) if wanted is None else _named_paths(ctx, here, wanted)
        if chosen:
            git.run(
                here,
                *("add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"),
                stdin=b"".join(path + b"\0" for path in chosen),
                env=env,
                on_cancel=ctx.on_cancel,
            )
        tree = git.run(here, "write-tree", env=env).text.strip()
        base = parent or refs.empty_tree(here)
        names = git.run(
            here,
            *("diff-tree", "-r", "-z", "--name-only", "--no-renames", *refs.NO_PROGRAMS),
            *("--end-of-options", base, tree),
            env=env,
        )
        text = ""
        if shown:
            difference = git.run(
                here, "diff-tree", "-p", *refs.NO_PROGRAMS, "--end-of-options", base, tree, env=env
            )
            text = difference.text
        files = tuple(os.fsdecode(name) for name in names.out.split(b"\0") if name)
        yield Snapshot(parent, tree, files, text)


def _changed_paths(here: git.Repository) -> list[bytes]:
    """What differs from the index or is new, below the folder that work is done in."""
    done = git.run(
        here,
        *("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames"),
        *("--ignore-submodules=all", "--", "."),
    )
    if done.cut:
        raise errors.CallFailed("There are too many changes; name the paths.")
    prefix = os.fsencode(os.path.relpath(here.top, here.folder))
    found = []
    for entry in done.out.split(b"\0"):
        kind, _, rest = entry.partition(b" ")
        if kind == b"u":
            raise errors.CallFailed("There are conflicts that are not resolved.")
        path = rest.split(b" ", 7)[-1] if kind == b"1" else rest if kind == b"?" else b""
        if path and not path.endswith(b"/"):  # another repository within this one is left alone
            found.append(path if prefix == b"." else prefix + b"/" + path)
    return found


def _named_paths(ctx: ActionContext, here: git.Repository, wanted: list[str]) -> list[bytes]:
    if not wanted:
        raise errors.CallFailed("`paths` is empty; leave it out to commit everything.")
    return [os.fsencode(places.relative(ctx.workspace.root, path)) for path in wanted]


def from_folder(here: git.Repository, path: str) -> bytes:
    """A path from the top as git takes it in the folder that it runs in."""
    return os.fsencode(os.path.relpath(here.top / path, here.folder))
