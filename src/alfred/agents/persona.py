"""How an agent speaks, and what its owner tells it: the texts of the configuration and of the owner's files.

    the agent's `personality`  ->  SOUL.md of its workspace  ->  `personality` for all  ->  SOUL.md of the home

The first of them that says anything is the whole. Invariant: a file that cannot be read ends no run: it is as if it were
not there, and the log says so.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alfred.agents.registry import EffectiveAgent

log = logging.getLogger(__name__)

SOUL = "SOUL.md"
OWNER_FILE_LIMIT = 20_000
"""Characters of an owner's file that go into the head."""

_PATH_LIMIT = 4096
"""Characters; what is longer is no path."""


def of(agent: EffectiveAgent, *, workspace: Path, home: Path) -> str | None:
    """How the agent speaks; None: nothing says it."""
    inherited = agent.sources.get("personality") == "global"
    said = _said(agent.personality, home)
    return (
        (None if inherited else said)
        or _soul(workspace)
        or (said if inherited else None)
        or _soul(home)
    )


def owner_file(path: Path) -> str | None:
    """The text of an owner's file, the beginning of a long one; None: there is none, nothing in it, or it cannot be read."""
    try:
        if not path.is_file():  # opening a pipe would wait for somebody to write into it
            return None
        text = path.read_text("utf-8", errors="replace")
    except OSError as problem:
        log.warning("%s cannot be read, so nothing of it is told: %s", path, problem.strerror)
        return None
    text = text.replace("\0", "").strip()
    if len(text) > OWNER_FILE_LIMIT:
        return f"{text[:OWNER_FILE_LIMIT]}\n[the rest of {len(text)} characters is left out]"
    return text or None


def _soul(folder: Path) -> str | None:
    return owner_file(folder / SOUL)


def _said(personality: str | None, home: Path) -> str | None:
    """The text itself, or that of the file that it names."""
    text = (personality or "").strip()
    path = _path(text, home)
    return text or None if path is None else owner_file(path)


def _path(text: str, home: Path) -> Path | None:
    """The file that a personality names; a relative one lies in the home."""
    one_line = len(text) <= _PATH_LIMIT and text.isprintable()
    if not text or not one_line or not ("/" in text or text.lower().endswith((".md", ".txt"))):
        return None
    try:
        path = home / Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # a name that no file can have, a home of nobody
        return None
