"""Secrets that give themselves away: an issuer's format, or a name that announces the value behind it. Pure.

What these look like is in `tokens`; here it is judged whether a text that looks so is one, and not an example, a
placeholder, code or a word.
"""

from __future__ import annotations

import hashlib
import math
import re
import string
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from alfred.trust import tokens

_TAG = re.compile(r"\[redacted:[A-Za-z0-9_.-]+:[0-9a-f]{4}\]")
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}


class Span(NamedTuple):
    """A piece of a text that is hidden, and what stands in its place."""

    start: int
    end: int
    tag: str


def tag(kind: str, secret: str) -> str:
    """What stands in place of a secret."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"[redacted:{re.sub(r'[^A-Za-z0-9_.-]', '-', kind) or 'secret'}:{digest[-4:]}]"


def formatted(text: str) -> Iterator[Span]:
    """What has the format of an issuer."""
    for known in tokens.FORMATS:
        for found in known.finds(text):
            group = "v" if "v" in found.re.groupindex else 0
            if not _harmless(found[group], known.kind):
                yield Span(*found.span(group), tag(known.kind, found[group]))


def _harmless(value: str, kind: str) -> bool:
    """An issuer's published example, or filler in the shape of a token."""
    if value in tokens.EXAMPLES or _TAG.search(value):
        return True
    if kind == "private-key":
        return len(value) < 80 and "END" in value
    if kind in ("url-password", "authorization", "bearer", "cookie", "basic-auth"):
        return bool(tokens.PLACEHOLDER.search(value))
    body = re.split(r"[_.:/-]", value)[-1]
    return len(set(body.lower())) <= 3 or bool(re.search(r"(?i)x{6}|\*{4}|\.{3}|your[_-]", value))


def _telling(text: str) -> list[int]:
    """Where a telling word may begin. Lower case of ASCII only: it keeps every place where it is."""
    lower = text.translate(_LOWER)
    places = []
    for start in tokens.STARTS:
        at = lower.find(start)
        while at >= 0:
            places.append(at)
            at = lower.find(start, at + 1)
    return sorted(places)


def announced(text: str) -> Iterator[Span]:
    """What stands behind a name that announces a secret, as in `password = …`."""
    done = 0
    for at in _telling(text):
        found = tokens.CONTEXT.match(text, at) if at >= done else None
        if not found:
            continue
        done = found.end()
        group = "quoted" if found["quoted"] is not None else "bare"
        first = at
        while first > max(0, at - 64) and text[first - 1] in tokens.NAME_LETTERS:
            first -= 1
        for escape in tokens.ESCAPE.finditer(text, max(0, first - 8), at):
            first = max(first, escape.end())
        name = text[first : found.start("sep")]
        if not found["sep"].strip() and not name.startswith("-"):
            continue  # "the token foo": only an option is followed by its value without = or :
        value = found[group]
        quoted, env = group == "quoted", found["sep"] == "=" and name.isupper()
        if _is_secret(name, value, quoted=quoted, strong=bool(found["strong"]), env=env):
            yield Span(*found.span(group), tag(_kind(found), value))


def below(key: str, value: str) -> str | None:
    """What stands in place of a value that its key announces, as in `{"password": "…"}`; None: it may be shown."""
    telling = tokens.SECRET_NAME.fullmatch(key)
    if telling and _is_secret(key, value, quoted=True, strong=bool(telling["strong"])):
        return tag(_kind(telling), value)
    return None


def _kind(found: re.Match[str]) -> str:
    """The telling word alone: the rest of the name is foreign text, and may be a secret itself."""
    return re.sub(r"[_.]", "-", (found["strong"] or found["weak"]).lower())


def _is_secret(name: str, value: str, *, quoted: bool, strong: bool, env: bool = False) -> bool:
    """Whether a value that stands behind a telling name is one, and not code, a word or a number."""
    if tokens.HARMLESS_NAME.search(name) or tokens.PLACEHOLDER.search(value) or _TAG.search(value):
        return False
    if value in tokens.EXAMPLES or (name in tokens.FOLDERS and value.startswith("/")):
        return False
    if strong:
        if quoted:
            return len(value) >= 4 and not re.search(r"\s{2}|[.!?] ", value)
        # Bare, it may be code (`password = config.password`, `password: str`): a name is not a value,
        # unless it has a digit, or stands in an environment file (`DB_PASSWORD=…`).
        is_code = re.fullmatch(r"[A-Za-z_]+[:.]?|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[:.]?", value)
        return len(value) >= 6 and (env or not is_code)
    if len(value) < 8 or " " in value.strip() or not re.search(r"[0-9]", value) or value.isdigit():
        return False
    if re.fullmatch(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", value):
        return False
    return _entropy(value) >= 2.7 and not value.startswith(("http://", "https://", "/", "./", "~/"))


def _entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
