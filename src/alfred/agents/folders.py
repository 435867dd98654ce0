"""Where a run works: a folder that somebody names, one of a person's, or one of its own.

Invariant: no run works in a folder that holds alfred's own home, where its rows and secrets lie.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred import home as places

if TYPE_CHECKING:
    from alfred.agents.entries import AgentConfig
    from alfred.config import Settings


def place(agent: AgentConfig, settings: Settings, home: Path) -> str:
    """The folder of an agent that has one, as the row of its run keeps it.

    Raises:
        UsageError: it is no folder, or it holds alfred's own home.
    """
    return json.dumps(workspace("", agent.workspace, home=home, trusted=settings.trust.workspaces))


def workspace(
    run_id: str, folder: Path | None, *, home: Path, trusted: Sequence[Path]
) -> dict[str, Any]:
    """Where a run works: the folder that it or its agent names, else the current one inside a git work tree, else one of
    its own.

    Raises:
        UsageError: it is no folder, or it holds alfred's own home.
    """
    chosen = folder if folder is not None else work_tree()
    if chosen is None:
        return own_workspace(run_id, home=home)
    try:
        root = chosen.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as problem:
        why = getattr(problem, "strerror", None) or "it cannot be resolved"
        raise errors.UsageError(
            f"The folder {str(chosen)!r} cannot be used: {why.lower()}.",
            next="Name a folder that exists.",
        ) from None
    if not root.is_dir():
        raise errors.UsageError(f"{str(chosen)!r} is no folder.", next="Name a folder with --in.")
    whole = places.whole(home).resolve()  # a tenant's rows lie outside of its own folder
    home = home.resolve()
    own = (home / "workspaces", home / "worktrees")
    if whole.is_relative_to(root) or (
        root.is_relative_to(whole) and not any(root.is_relative_to(o) and root != o for o in own)
    ):
        raise errors.UsageError(
            f"The folder {str(chosen)!r} holds alfred's own home, where its rows and secrets lie.",
            next="Name a folder that does not contain it, or move the home with ALFRED_HOME.",
        )
    return {
        "root": str(root),
        "made": any(root.is_relative_to(o) for o in own),
        "trusted": _trusted(root, trusted),
    }


def again(place: str, *, trusted: Sequence[Path]) -> str:
    """Where a run worked, as its row keeps it, for the one that goes on there: trusted if the folder is so now."""
    kept = json.loads(place)
    owners = "root" in kept and _trusted(Path(kept["root"]), trusted)
    if kept.get("made"):
        owners = owners and kept.get("trusted", False)
    return json.dumps({**kept, "trusted": owners})


def _trusted(root: Path, trusted: Sequence[Path]) -> bool:
    return any(root.is_relative_to(path.expanduser()) for path in trusted)


def own_workspace(run_id: str, *, home: Path) -> dict[str, Any]:
    """A folder of a run's own; not made yet."""
    return {"root": str(home / "workspaces" / run_id), "made": True, "trusted": False}


def work_tree() -> Path | None:
    """The current folder when it lies inside a git work tree. Only names are looked at: git itself is not started.

    Raises:
        UsageError: it is gone, or cannot be looked into.
    """
    try:
        folder = Path.cwd()
        inside = any((parent / ".git").exists() for parent in (folder, *folder.parents))
    except OSError as problem:
        raise errors.UsageError(
            f"The folder that you stand in cannot be used: {(problem.strerror or '').lower()}.",
            next="Go to another one.",
        ) from None
    return folder if inside else None
