"""What a text says once it is decoded: the readings in which a secret is looked for before the text leaves.

`redact` knows the spellings in which tools print a value. Somebody who wants to carry one out has more of them: each
letter as `%41`, an encoding within another one, a space after each letter. This is a net for those that a single step
undoes, and for a few of these steps together; what is encrypted, split over calls or spelt in words passes it.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Iterator

from alfred.trust import redact

_DEPTH = 3
_MOST = 200  # readings of one text
_LONGEST = 1_000_000  # characters of a text that is decoded; a longer one is read as it is
_SHORTEST = 12  # characters of a word that something may be hidden in
_SPACE = re.compile(r"(\s+)")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrt\\/\"']))")
_SHORT = {"n": "\n", "r": "\r", "t": "\t"}


def secrets(text: str) -> list[str]:
    """The secrets in a text, however it is spelt: the name of each known one, the kind of each other, once each."""
    found: dict[str, None] = dict.fromkeys(redact.squeezed(text))
    for reading in readings(text):
        found.update(dict.fromkeys(redact.found(reading)))
    return list(found)


def hidden(text: str) -> str:
    """The text as it may be shown when a secret stands in it that `redact` does not see: without the words that it is
    hidden in, and without all of it when it is spread over them."""
    clean = redact.redact(text)
    if spread := redact.squeezed(clean):
        return redact.tag(spread[0], text)
    words = _SPACE.split(clean)
    return "".join(
        redact.tag(found[0], word) if len(word) >= _SHORTEST and (found := secrets(word)) else word
        for word in words
    )


def readings(text: str) -> Iterator[str]:
    """The text, and what becomes of it when it is decoded, up to three times, each reading once."""
    seen = {text}
    level = [text]
    yield text
    for _ in range(_DEPTH):
        following: list[str] = []
        for one in level:
            for decoded in _decoded(one) if len(one) <= _LONGEST else ():
                if decoded in seen or len(seen) >= _MOST:
                    continue
                seen.add(decoded)
                following.append(decoded)
                yield decoded
        level = following


def _decoded(text: str) -> Iterator[str]:
    if "\0" in text:
        yield text.replace("\0", "")  # UTF-16
    if "%" in text:
        yield urllib.parse.unquote(text, errors="replace")
    if "&" in text:
        yield html.unescape(text)
    if "\\" in text:
        yield _BACKSLASH.sub(_character, text)
    for run in _RUN.findall(text):
        yield from _bytes(run)


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else _SHORT.get(found[3], found[3])


def _bytes(run: str) -> Iterator[str]:
    """A run of letters as hex and as base64, where that gives text."""
    bare = run.rstrip("=")
    if len(bare) % 2 == 0 and re.fullmatch("[0-9A-Fa-f]+", bare):
        yield from _text(bytes.fromhex(bare))
    try:
        raw = base64.b64decode(
            bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        return
    yield from _text(raw)


def _text(raw: bytes) -> Iterator[str]:
    try:
        said = raw.decode()
    except UnicodeDecodeError:
        return
    if sum(c.isprintable() or c.isspace() for c in said) >= 0.9 * len(said):
        yield said
