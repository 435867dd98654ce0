"""How an agent speaks, and what its owner tells it: the texts of the configuration and of the owner's files.

    the agent's `personality`  ->  SOUL.md of its workspace  ->  SOUL.md of `agents/<id>` in the home
      ->  `personality` for all  ->  SOUL.md of the home

The first of them that says anything is the whole. Invariant: a file that cannot be read ends no run: it is as if it were
not there, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alfred import home as places
from alfred.trust import display, redact

if TYPE_CHECKING:
    from alfred.agents.registry import EffectiveAgent

log = logging.getLogger(__name__)

SOUL = "SOUL.md"
OWNER_FILE_LIMIT = 20_000
"""Characters of an owner's file that go into the head."""

_PATH_LIMIT = 4096
"""Characters; what is longer is no path."""


class Persona(NamedTuple):
    """How an agent speaks, and who says so: `agent`, `global`, or the path of a SOUL.md."""

    text: str
    source: str


def of(
    agent: EffectiveAgent,
    *,
    workspace: Path,
    home: Path,
    foreign: Callable[[Path], bool] = lambda path: False,
) -> Persona | None:
    """How the agent speaks; None: nothing says it.

    Args:
        foreign: Whether strangers' words were written into a file: then it says nothing.
    """
    said = text_of(agent.personality, home)
    source = agent.sources.get("personality", "agent")
    folders = dict.fromkeys((workspace, places.agents(home) / agent.id))
    ways: list[tuple[Path | str, str | None]] = [(folder / SOUL, None) for folder in folders]
    ways.insert(len(ways) if source == "global" else 0, (source, said))
    ways.append((home / SOUL, None))
    for where, text in ways:
        if isinstance(where, Path):
            text = owner_file(where)
            if text and foreign(where):
                continue
        if text:
            return Persona(text, str(where))
    return None


def path_of(text: str) -> bool:
    """Whether a personality looks like the path of a file rather than like words."""
    one_line = 0 < len(text) <= _PATH_LIMIT and text.isprintable()
    return one_line and ("/" in text or text.lower().endswith((".md", ".txt")))


def owner_file(path: Path) -> str | None:
    """The text of an owner's file with what is invisible in it written out, the beginning of a long one; None: there is
    none, nothing in it, or it cannot be read."""
    try:
        if not path.is_file():  # opening a pipe would wait for somebody to write into it
            return None
        text = path.read_text("utf-8", errors="replace")
    except OSError as problem:
        log.warning("%s cannot be read, so nothing of it is told: %s", path, problem.strerror)
        return None
    # without secrets before it is cut: half of one is known to nobody
    text = redact.redact(display.inert(text.replace("\0", ""))).strip()
    if len(text) > OWNER_FILE_LIMIT:
        return f"{text[:OWNER_FILE_LIMIT]}\n[the rest of {len(text)} characters is left out]"
    return text or None


def text_of(personality: str | None, home: Path) -> str | None:
    """The text itself, or that of the file that it names."""
    text = (personality or "").strip()
    path = _file(text, home)
    return text or None if path is None else owner_file(path)


def _file(text: str, home: Path) -> Path | None:
    """The file that a personality names, where there is one; a relative path begins in the home."""
    if not path_of(text):
        return None
    try:
        path = home / Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # a name that no file can have, a home of nobody
        return None
