"""How tools write a value down: quoted, escaped, encoded, on several lines. Pure.

What is no spelling here is found by nobody: `redact` looks for these texts and for no other.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterator

SHORTEST = 6
"""Characters; anything shorter would also be an ordinary word or number."""

# Blanks are taken from where they begin, or not at all: else a page of them would be read once from each.
LINE_END = re.compile(r"(?:(?<![ \t])[ \t]+)?\r?\n[ \t]*")
"""What stands between two lines of a value that a tool has wrapped."""

_MIN_FORM = 8  # of an encoded piece of a secret
_MIN_LINE = 16  # of one line of a secret with several


def of(value: str) -> Iterator[str]:
    """Every spelling in which a tool may print this value."""
    for plain in dict.fromkeys((value, value.strip())):
        for form in _spellings(plain):
            yield form
            folded = LINE_END.sub("", form)
            if len(folded) >= SHORTEST:
                yield folded
    for line in value.splitlines():
        if _MIN_LINE <= len(line.strip()) < len(value.strip()):
            yield line.strip()


def _spellings(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "surrogatepass")
    yield value
    for quoted in (
        urllib.parse.quote(raw, safe=""),
        urllib.parse.quote(raw),
        urllib.parse.quote_plus(raw),
    ):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), quoted)
    for ascii_only in (True, False):
        inner = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")
        yield re.sub("[<>&]", lambda m: f"\\u{ord(m[0]):04x}", inner)  # Go's
        yield json.dumps(inner, ensure_ascii=ascii_only)[1:-1]  # JSON within JSON
    yield repr(value)[1:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield shlex.quote(value).removeprefix("'").removesuffix("'")
    yield re.sub(r"([^A-Za-z0-9_@%+=:,./-])", r"\\\1", value)  # printf %q, and double quotes
    yield re.sub(r'(["$`\\])', r"\\\1", value)
    yield value.replace("'", "'\\''")
    if len(raw) >= SHORTEST:
        yield raw.hex()
        yield raw.hex().upper()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode("ascii")
        for offset in range(3):
            text = encode(b"\0" * offset + raw).decode("ascii").rstrip("=")
            lead = (0, 2, 3)[offset]  # characters that also hold bits of what stands before
            tail = len(text) - (1 if (offset + len(raw)) % 3 else 0)  # ... and of what comes after
            if tail - lead >= _MIN_FORM:
                yield text[lead:tail]
