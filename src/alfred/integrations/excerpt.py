"""What the model reads of a long text: head and tail, and an honest word about what is missing.

The gate hands results on as JSON and cuts what is longer than 30,000 characters; an excerpt fits into that
with its escapes counted, so that it is cut here, where the text is known, and nowhere else.
"""

from __future__ import annotations

import hashlib
import json

from alfred.trust import redact

ROOM = 26_000
"""Characters of JSON that the one long text of a result may take."""


def cost(text: str) -> int:
    """Characters that `text` takes as JSON, without its quotes."""
    return len(json.dumps(text, ensure_ascii=False)) - 2


def head(text: str, room: int = ROOM) -> str:
    """The longest beginning of a text that takes at most `room` as JSON."""
    if len(text) * 6 <= room or cost(text) <= room:
        return text
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(text[:middle]) <= room else (low, middle - 1)
    return text[:low]


class Excerpt:
    """Takes a text in pieces, keeps its ends, counts the rest."""

    def __init__(self) -> None:
        self.length = 0
        """Characters in all."""
        self._head = ""
        self._tail = ""
        self._digest = hashlib.sha256()

    @classmethod
    def of(cls, text: str) -> Excerpt:
        """Of a text that is there already, without its secrets: half of one, at a cut, is known to nobody."""
        made = cls()
        made.feed(redact.redact(text))
        return made

    def feed(self, piece: str) -> None:
        """The next piece."""
        self.length += len(piece)
        self._digest.update(piece.encode("utf-8", "surrogatepass"))
        room = ROOM - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail = (self._tail + piece)[-ROOM:]

    def shown(self, room: int = ROOM) -> str:
        """The whole when it fits; else its head and its tail, with what was left out and the hash."""
        kept = self._head + self._tail
        if self.length == len(kept) and cost(kept) <= room:
            return kept
        begin = head(kept[:ROOM], room // 2)
        rest = self.length - len(begin)
        end = head(kept[::-1][: min(ROOM, rest)], room // 2)[::-1]
        left_out = rest - len(end)
        digest = self._digest.hexdigest()[:12]
        return (
            f"{begin}\n… {left_out} of {self.length} characters left out, sha256 {digest} …\n{end}"
        )

    @property
    def whole(self) -> bool:
        """Whether `shown()` leaves nothing out."""
        kept = self._head + self._tail
        return self.length == len(kept) and cost(kept) <= ROOM
