"""What a text says once it is decoded: the readings in which a secret is looked for before the text leaves.

`redact` knows the spellings in which tools print a value. Somebody who wants to carry one out has more of them: each
letter as `%41`, an encoding within another one, a dot after each letter. This is a net for those that a single step
undoes, and for a few of these steps together; what is encrypted, compressed, reversed, split over calls or spelt in words
passes it. However much else in a text can be decoded: every step that a text allows is taken once and twice.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

from alfred.trust import redact, signs

_DEPTH = 3
_MOST = 200  # readings of one text: more than two steps can give
_LONGEST = 1_000_000  # characters of a text that is decoded; a longer one is read as it is
_SHORTEST = 12  # characters of a word that something may be hidden in
_SPACE = re.compile(r"(\s+)")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_RUN_16 = re.compile(r"[0-9A-Fa-f]{16,}")
_RUN_32 = re.compile(r"\b(?:[A-Z2-7]{16,}|[a-z2-7]{16,})\b")
_PAIRS = re.compile(r"(?:(?:0x)?[0-9A-Fa-f]{2}[\s:,;-]{1,2}){7,}(?:0x)?[0-9A-Fa-f]{2}")
_SPREAD = re.compile(r"(?<!\w)\w([\W_]{1,4})(?:.\1){8,}(?:\S(?!\w))?", re.DOTALL)
_NUMBERS = re.compile(r"(?<!\d)(?:\d{2,3}[\s,;]{1,3}){9,}\d{2,3}(?!\d)")
_MARKS = re.compile(r"<[^<>]{0,500}>|\*{1,3}|`{1,3}|~~|[\"']\s{0,3}[+.,]?\s{0,3}[\"']")
"""What a page draws nothing for, and what joins the pieces of a text in a program."""
_LEGIBLE = re.compile(rb"[\t\n\r\x20-\x7e]{8,}")
_PRINTABLE = re.compile(r"=(?:([0-9A-F]{2})|\r?\n)")
_BACKSLASH = re.compile(
    r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|U(0[0-9A-Fa-f]{7})|u\{([0-9A-Fa-f]{1,5})\}|([0-3][0-7]{2})|([nrt\\/\"']))"
)
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""Letters that draw nothing and say ASCII."""
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
    words = _SPACE.split(redact.redact(text))
    shown = "".join(
        signs.tag(found[0], word) if len(word) >= _SHORTEST and (found := secrets(word)) else word
        for word in words
    )
    return signs.tag(spread[0], text) if (spread := secrets(shown)) else shown


def readings(text: str) -> Iterator[str]:
    """The text, and what becomes of it when it is decoded, up to three times, each reading once."""
    seen = {text, ""}
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
    if "=" in text:
        yield _PRINTABLE.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", text)
    if not text.isascii():
        drawn = unicodedata.normalize("NFKC", text.translate(_TAGS))
        yield "".join(c for c in drawn if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    yield _SPREAD.sub(_together, text)
    yield _MARKS.sub("", text)
    numbers = (map(int, re.findall(r"\d+", run)) for run in _NUMBERS.findall(text))
    yield "\n".join("".join(map(chr, run)) for run in numbers)
    # all of a kind together: a text with many of them has no more readings than one with few
    yield "\n".join(said for run in _RUN.findall(text) for said in _bytes(run))
    yield "\n".join(said for run in _RUN_16.findall(text) for said in _of_16(run))
    yield "\n".join(said for run in _RUN_32.findall(text) for said in _of_32(run))
    pairs = (re.sub("0x|[^0-9A-Fa-f]", "", run) for run in _PAIRS.findall(text))
    yield "\n".join(said for run in pairs for said in _text(bytes.fromhex(run)))


def _character(found: re.Match[str]) -> str:
    if code := found[1] or found[2] or found[3] or found[4]:
        return chr(min(int(code, 16), 0x10FFFF))
    return chr(int(found[5], 8)) if found[5] else _SHORT.get(found[6], found[6])


def _together(found: re.Match[str]) -> str:
    letters = found[0][:: 1 + len(found[1])]
    return f"{letters} " if found[0].endswith(found[1]) else letters


def _bytes(run: str) -> Iterator[str]:
    """A run of letters as base64, wherever in it that begins."""
    bare = run.rstrip("=").replace("-", "+").replace("_", "/")
    for at in range(4):
        four = bare[at:]
        if len(four) % 4 == 1:
            four = four[:-1]
        yield from _text(base64.b64decode(four + "=" * (-len(four) % 4)))


def _of_16(run: str) -> Iterator[str]:
    for at in range(2):
        yield from _text(bytes.fromhex(run[at : len(run) - (len(run) - at) % 2]))


def _of_32(run: str) -> Iterator[str]:
    try:
        yield from _text(base64.b32decode(run.upper() + "=" * (-len(run) % 8)))
    except (binascii.Error, ValueError):
        return


def _text(raw: bytes) -> Iterator[str]:
    """What of some bytes is text, UTF-16 as well."""
    raw = raw.removeprefix(b"\xff\xfe").replace(b"\0", b"")
    try:
        said = raw.decode()
    except UnicodeDecodeError:
        said = ""
    if said and sum(c.isprintable() or c.isspace() for c in said) >= 0.9 * len(said):
        yield said
    else:
        yield from (found.decode() for found in _LEGIBLE.findall(raw))
