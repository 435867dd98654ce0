"""What would leave with a call: secrets in every spelling that a few steps undo, and nothing that only looks like one."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from alfred.actions import outgoing
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Risk
from alfred.integrations import notify, web
from alfred.trust import readings, redact
from tests.built import built
from tests.table import table
from tests.unit.trust.test_redact import MUST_HIDE, MUST_KEEP

VALUE = "correct horse/battery=staple&77"
TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4
CTX = cast(ActionContext, None)


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    redact.forget_all()
    redact.register(VALUE, "MINE")
    yield
    redact.forget_all()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def every_letter(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "url twice": lambda s: urllib.parse.quote(urllib.parse.quote(s, safe=""), safe=""),
    "every letter": every_letter,
    "every letter twice": lambda s: urllib.parse.quote(every_letter(s)),
    "base64": b64,
    "base64 with more": lambda s: b64(f"user:{s}\nand more"),
    "base64 for urls": lambda s: base64.urlsafe_b64encode(f"k={s}".encode()).decode().rstrip("="),
    "base64 twice": lambda s: b64(b64(s)),
    "base64 in an address": lambda s: urllib.parse.quote(b64(f"x {s}")),
    "hex": lambda s: s.encode().hex(),
    "hex with more": lambda s: f"key {s} end".encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "hex of base64": lambda s: b64(s).encode().hex(),
    "json": json.dumps,
    "json escapes": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "bytes as python writes them": lambda s: "".join(f"\\x{ord(c):02x}" for c in s),
    "html": html.escape,
    "html of each letter": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html in hex": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "UTF-16": lambda s: s.encode("utf-16-le").decode("latin-1"),
    "base64 of UTF-16": lambda s: base64.b64encode(s.encode("utf-16")).decode(),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32 as a name of a host": lambda s: (
        base64.b32encode(s.encode()).decode().lower().strip("=")
    ),
    "pairs of hex": lambda s: s.encode().hex(":"),
    "bytes of hex": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "octal": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "long escapes": lambda s: "".join(f"\\U{ord(c):08x}" for c in s),
    "escapes in braces": lambda s: "".join(f"\\u{{{ord(c):x}}}" for c in s),
    "quoted-printable": lambda s: "".join(f"={byte:02X}" for byte in s.encode()),
    "wide letters": lambda s: "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in s),
    "letters with marks": "\u0301".join,
    "letters that draw nothing": lambda s: "".join(chr(0xE0000 + ord(c)) for c in s),
    "a dot after each letter": ".".join,
    "a space after each letter": lambda s: " ".join(s.replace(" ", "")) if s == TOKEN else s,
    "a line under each letter": "_".join,
    "a list of letters": lambda s: str(list(s)),
    "numbers": lambda s: " ".join(str(byte) for byte in s.encode()),
    "numbers of a program": lambda s: f"f({','.join(str(byte) for byte in s.encode())})",
    "pieces of a program": lambda s: f'"{s[:7]}" + "{s[7:]}"',
    "half of it bold": lambda s: f"**{s[:7]}**{s[7:]}",
    "half of it in a tag": lambda s: f"<b>{s[:7]}</b>{s[7:]}",
    "a comment in it": lambda s: f"{s[:7]}<!-- x -->{s[7:]}",
    "half of it red": lambda s: f"{s[:7]}\x1b[31m{s[7:]}",
}


@table([(name, secret) for name in SPELLINGS for secret in (VALUE, TOKEN)])
def test_a_secret_is_found_however_it_is_spelt(name: str, secret: str) -> None:
    kind = "MINE" if secret is VALUE else "github-token"
    spelt = SPELLINGS[name](secret)
    for around in ("{}", "https://x.example/?q={}&r=1", "see: {} (end)", "https://x.io/a/{}"):
        assert kind in readings.secrets(around.replace("{}", spelt)), around
        assert spelt not in readings.hidden(around.replace("{}", spelt))


@table(
    [
        " ".join(VALUE),
        "\n".join(VALUE),
        "\u200b".join(VALUE),
        VALUE.replace(" ", ""),
        VALUE.replace(" ", "\t\t"),
        f"{VALUE[:9]}\n{VALUE[9:]}",
    ]
)
def test_spaces_hide_no_known_value(text: str) -> None:
    assert readings.secrets(f"it is {text}.") == ["MINE"]


@table([text for text, _ in MUST_HIDE])
def test_whatever_redaction_hides_is_found(text: str) -> None:
    assert readings.secrets(text)


@table(MUST_KEEP)
def test_what_is_no_secret_leaves(text: str) -> None:
    assert readings.secrets(text) == []
    assert readings.secrets(b64(text) + " " + urllib.parse.quote(text)) == []


@table(
    [
        ({"text": f"my key is {VALUE}"}, [("text", "MINE")]),
        ({"text": "a", "more": {"deep": ["b", TOKEN]}}, [("more", "github-token")]),
        ({"text": "a", "more": {TOKEN: 1}}, [("more", "github-token")]),
        ({"parts": [VALUE[:10], VALUE[10:]]}, [("parts", "MINE")]),
        ({"title": VALUE[:10], "text": VALUE[10:]}, [("several arguments together", "MINE")]),
        ({"password": "hunter2-and-more"}, [("password", "password")]),
        ({"text": "nothing", "number": 5, "none": None}, []),
    ]
)
def test_each_argument_is_looked_through(args: dict[str, Any], found: list[Any]) -> None:
    leak = outgoing.leak(built(notify.send), args, CTX)
    assert list(leak.secrets) == found
    assert leak.risk is (Risk.HIGH if found else Risk.NONE)
    assert leak.explanation.startswith(f"by secrets {leak.risk}: ")
    shown = leak.shown("the preview")
    assert VALUE not in shown and TOKEN not in shown
    assert all(f"{name} in {where}." in shown for where, name in found)


def test_the_address_of_a_fetch_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://x.example/?q={urllib.parse.quote(VALUE)}"
    args = {"url": url, "headers": {"Authorization": "Bearer secret://MINE"}}
    assert outgoing.leak(built(web.fetch), args, CTX).secrets == (("url", "MINE"),)


@pytest.mark.timeout(20)
@table(["%25" * 50_000, "QUJD" * 100_000, "&amp;" * 80_000, "\\\\u0041" * 40_000, "ab " * 150_000])
@pytest.mark.slow
def test_a_hostile_text_is_read_in_bounded_time(text: str) -> None:
    assert readings.secrets(text) == []


def test_a_text_has_so_many_readings_and_no_more() -> None:
    text = "%41 &amp; \\x41 =41 ａ a.b.c.d.e.f.g.h.i.j.k and more"
    for _ in range(2):
        hex_ = text.encode().hex
        plain = (text, urllib.parse.quote(text), html.escape(text), text.replace("\\", "\\\\"))
        packed = (b64(text), hex_(), hex_(" "), base64.b32encode(text.encode()).decode())
        text = " ".join((*plain, *packed, text.replace("=", "=3D")))
    assert 100 < len(list(readings.readings(text))) <= 200
    many = " ".join(b64(f"some text, number {n}") for n in range(1_000))
    assert readings.secrets(f"{many} {b64(b64(TOKEN))}") == ["github-token"]
