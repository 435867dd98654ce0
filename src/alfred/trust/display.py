"""Text that cannot lie on a card or in a terminal.

Invariant: whatever `display` returns moves no cursor, reorders nothing and hides nothing. A character
that would do so is written out as `\\u{202E}`; text that already contained such letters is told apart
(`\\u{5C}u{202E}`). What is cut is said, with its length and its hash, and the end is shown too.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from alfred import trust

MARKS_IN_A_ROW = 4  # Hebrew with points needs three, Vietnamese two; more is a flood

# Letters and symbols that draw nothing, so that two different texts would look the same.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc\U0001d159"
)
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_PLAIN = re.compile(r"[ -\[\]-~]*")  # printable ASCII without the backslash
_FOREIGN = re.compile(
    r"[\n -~]?[^\n -~]+"
)  # with the character before: a mark or a selector is about it
_SMUGGLED = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\U000e0100-\U000e01ef]")
_PIECES = re.compile(r"[\W_]+")


def display(text: str, *, limit: int | None = None, multiline: bool = False) -> str:
    """The text with every control, bidi, invisible or stacked character made visible.

    Newlines and tabs stay only with `multiline`. With `limit` (characters of the answer) a longer text
    is shown as its head, a note with the length and the first 12 hex digits of the SHA-256 of the
    whole, and its tail; the note itself is never cut, however small the limit.
    """
    if limit is None and _PLAIN.fullmatch(text):
        return text
    shown = list(_pieces(text, multiline=multiline))
    if limit is None or sum(map(len, shown)) <= limit:
        return "".join(shown)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    note = f" … [cut: {len(text)} characters, sha256 {digest}] … "
    room = max(0, limit - len(note))
    tail = _take(reversed(shown), room // 3)
    head = _take(iter(shown), room - room // 3)
    return "".join(head) + note + "".join(reversed(tail))


def inert(text: str) -> str:
    """A text that `display` may have written already, or somebody who forges one: what it wrote stays, and whatever would
    still do something is written out."""
    shown = zip(text, _pieces(text, multiline=True), strict=True)
    return "".join(char if char == "\\" else piece for char, piece in shown)


def unsmuggled(text: str) -> tuple[str, int]:
    """A text for a model, in which what only a program reads is written out, and how often: tags and selectors, which draw
    nothing and can spell whole sentences, and what turns the order of letters around. What joins the letters of a script or
    of an emoji stays."""
    if text.isascii():
        return text, 0
    return _SMUGGLED.subn(lambda found: _escape(found[0]), text)


def as_json(
    value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    """The value as JSON whose letters cannot lie either: what `display` would write out is written `\\u202e`, so a program
    reads the same value and a person who looks at it is not deceived."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=default)
    return _FOREIGN.sub(_in_json, text)


def _in_json(found: re.Match[str]) -> str:
    return "".join(
        char if char == piece else json.dumps(char)[1:-1]
        for char, piece in zip(found[0], _pieces(found[0], multiline=True), strict=True)
    )


def _take(pieces: Iterator[str], room: int) -> list[str]:
    """As many whole pieces as fit: an escape is never cut in its middle."""
    taken: list[str] = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        taken.append(piece)
    return taken


def _pieces(text: str, *, multiline: bool) -> Iterator[str]:
    marks = 0
    before = ""
    for at, char in enumerate(text):
        category = unicodedata.category(char)
        if char == "\\" and text.startswith("u{", at + 1):
            yield "\\u{5C}"
        elif " " <= char <= "~" or (multiline and char in "\n\t"):
            yield char
        elif _VARIATION.match(char):
            # One request for the coloured or plain form of a symbol is how emoji are written.
            pictured = char in "\ufe0e\ufe0f" and unicodedata.category(before or " ") == "So"
            yield char if pictured else _escape(char)
        elif char in _BLANK or category[0] in "CZ":
            yield _escape(char)
        elif category[0] == "M":
            marks += 1
            yield char if marks <= MARKS_IN_A_ROW else _escape(char)
        else:
            yield char
        if category[0] != "M":
            marks = 0
        before = char


def _escape(char: str) -> str:
    return f"\\u{{{ord(char):04X}}}"


def warnings(text: str) -> tuple[str, ...]:
    """Why an identifier (host, branch, path, name) may be taken for another one; empty: no reason.

    Each run of letters is judged alone, so that `src/файл.py` is two honest words, while a Latin word
    with one Cyrillic letter, or a Cyrillic word of which every letter has a Latin twin, is reported.
    """
    if text.isascii() and _PLAIN.fullmatch(text):
        return ()
    found: list[str] = []
    shown = zip(text, _pieces(text, multiline=False), strict=True)
    if any(piece != char and char != "\\" for char, piece in shown):
        found.append("has invisible or control characters")
    if unicodedata.normalize("NFKC", text) != text:
        found.append(
            f"is written with look-alike forms of {display(unicodedata.normalize('NFKC', text))!r}"
        )
    from confusable_homoglyphs import categories, confusables

    for word in filter(None, _PIECES.split(text)):
        if word.isascii():
            continue
        scripts = categories.unique_aliases(word) - {"COMMON", "INHERITED"}
        if len(scripts) > 1 and not any(scripts <= allowed for allowed in _WRITTEN_TOGETHER):
            names = ", ".join(sorted(script.capitalize() for script in scripts))
            found.append(f"{display(word)!r} mixes scripts: {names}")
        elif "LATIN" not in scripts:
            twins = {
                twin["character"]: glyph["c"]
                for twin in confusables.is_confusable(
                    word, greedy=True, preferred_aliases=["latin"]
                )
                or ()
                for glyph in twin["homoglyphs"]
                if glyph["c"].isascii()
            }
            if all(char in twins for char in word if char.isalpha()):
                latin = "".join(twins.get(char, char) for char in word)
                found.append(f"{display(word)!r} can be taken for {display(latin)!r}")
    return tuple(found)


_WRITTEN_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "HIRAGANA", "KATAKANA", "LATIN"}),
    frozenset({"HAN", "HANGUL"}),
    frozenset({"HAN", "BOPOMOFO"}),
)


trust.callable_module(__name__)
