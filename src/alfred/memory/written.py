"""Texts that people write into the home for agents: read with care, with the front matter that says what they are.

    ---
    key: value
    ---
    the text

Invariants: nothing is read through a link, or out of the folder that was named; whatever is invisible is written out; lines
are those of the file.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from alfred import config_text, errors
from alfred.config_text import Document, Finding
from alfred.trust import display, paths

LARGEST = 256_000
"""Bytes of a file that is read."""

FRONT = 8_000
"""Characters of front matter that are read."""

DEEPEST = 20
"""Brackets that may be open in it at once: what reading costs grows with the square of them."""

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.S | re.M)

NO_FRONT = "does not begin with front matter between two `---`"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a text is made of.

    Attributes:
        front: What stands between the two `---`, with its lines; what is wrong with it is in its findings.
        body: What follows.
        line: Where the body begins, from 1.
    """

    front: Document
    body: str
    line: int


def text_of(root: Path, path: str) -> str:
    """The text of a file, what is invisible in it written out.

    Raises:
        PathRefused: it leads elsewhere, or a part of it is a link.
        CallFailed: it is too large, or no text.
        OSError: it cannot be read.
    """
    with paths.open_beneath(root, path, "rb", links=False) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise errors.CallFailed(f"it has more than {LARGEST} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.CallFailed("it is no text in UTF-8") from None
    return display.inert(text.replace("\r\n", "\n"))


def parts(text: str, name: str) -> Parts | None:
    """Front matter and body; None: there is no front matter.

    Args:
        name: What places are called by.
    """
    front = _FRONT.match(text)
    if front is None:
        return None
    return Parts(_read(front[1], name), text[front.end() :], front[0].count("\n") + 1)


# once for its text: the turns of a conversation do not parse the same files again
@functools.lru_cache(maxsize=1_000)
def _read(front: str, name: str) -> Document:
    deep = max(itertools.accumulate((c in "[{") - (c in "]}") for c in front), default=0)
    for wrong in (
        f"has more than {FRONT} characters" if len(front) > FRONT else None,
        "is nested too deeply" if deep > DEEPEST else None,
    ):
        if wrong is not None:
            return Document(name, findings=[Finding((), f"its front matter {wrong}", place=name)])
    return config_text.parse(f"\n{front}", name)  # the line of the first `---` counts


def said(problem: Exception) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(problem, errors.AlfredError):
        return problem.detail
    return str(getattr(problem, "strerror", None) or problem).lower()
