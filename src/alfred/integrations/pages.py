"""One page of a file: which bytes, as which text, and where the next page begins.

Invariant: pages read one after another give the whole text, no character twice and none lost, wherever they
were cut; a page takes no more room than an excerpt has. A secret is taken out of each page that it reaches into: read
in slices it would be known to nobody.
"""

from __future__ import annotations

import os
from typing import IO, Any

from alfred.integrations import excerpt
from alfred.trust import redact

LOOK = 8192
"""Bytes in which a NUL says that a file is no text."""

AROUND = 4096
"""Bytes before and behind a page that are looked at for secrets which reach into it."""


def kind(start: bytes) -> str:
    """What the first bytes of a file say that it is: `text`, `text in UTF-16` or `binary`."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16"
    return "binary" if b"\0" in start else "text"


def page(file: IO[bytes], offset: int, limit: int | None) -> dict[str, Any]:
    """The page of a text file at `offset`, of at most `limit` bytes (but always a whole character)."""
    size = os.fstat(file.fileno()).st_size
    wanted = max(4, min(limit or excerpt.ROOM, excerpt.ROOM))
    begin = max(0, offset - AROUND)
    file.seek(begin)
    raw = file.read(offset - begin + wanted + AROUND)
    skip = _into_character(raw, offset - begin)
    first = offset - begin + skip
    found = raw[first : first + wanted + 1]
    at = offset + skip
    if len(found) > wanted or at + len(found) < size:
        found = _whole_characters(found[:wanted])
    text = found.decode("utf-8", "replace")
    shown = excerpt.head(text)
    if shown != text:
        found = found[: _bytes_of(found, shown)]
        text = found.decode("utf-8", "replace")
    rest = at + len(found)
    answer = {
        "offset": at,
        "content": redact.within(*_beside(raw, first, len(found), text)),
        "next_offset": rest if rest < size and found else None,
    }
    if "\ufffd" in text and "\ufffd".encode() not in found:
        answer["note"] = "Some bytes are no UTF-8; they are shown as \ufffd."
    return answer


def _beside(raw: bytes, first: int, length: int, text: str) -> tuple[str, str, str]:
    """What stands before a page, the page, and what stands behind it."""
    before, after = raw[:first], raw[first + length :]
    return before.decode("utf-8", "replace"), text, after.decode("utf-8", "replace")


def _into_character(raw: bytes, at: int) -> int:
    """How many bytes behind `at` still belong to a character that began before it."""
    if at > len(raw):
        return 0  # behind the end of the file
    for back in range(1, min(3, at) + 1):
        lead = raw[at - back]
        if lead & 0xC0 == 0x80:
            continue
        length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
        inside = length - back
        rest = raw[at : at + max(0, inside)]
        if inside > 0 and len(rest) == inside and all(b & 0xC0 == 0x80 for b in rest):
            return inside
        return 0
    return 0


def _whole_characters(page: bytes) -> bytes:
    """A page without the character at its end that goes on behind it."""
    for back in range(1, min(4, len(page)) + 1):
        byte = page[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return page[:-back] if length > back and back < len(page) else page
    return page


def _bytes_of(page: bytes, shown: str) -> int:
    """How many bytes of a page the beginning `shown` of its text was made of."""
    if "\ufffd" not in shown:
        return len(shown.encode())
    low, high = 0, len(page)
    while low < high:
        middle = (low + high + 1) // 2
        text = _whole_characters(page[:middle]).decode("utf-8", "replace")
        low, high = (middle, high) if len(text) <= len(shown) else (low, middle - 1)
    return len(_whole_characters(page[:low]))
