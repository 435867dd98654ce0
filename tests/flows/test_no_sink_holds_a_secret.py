"""More than eighty secrets through everything that alfred writes, shows, sends to a model or takes along: none is left.

The oracle greps bytes: every file of the home but the sources themselves, every output, every prompt.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import shlex
import textwrap
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred.llm import scripted
from alfred.runs import overview
from alfred.trust import redact
from tests.flows.conftest import Alfred
from tests.unit.trust.test_redact import MUST_HIDE

pytestmark = pytest.mark.slow

KNOWN = {
    "FORUM_ACCOUNT": "Zq7-plain value of nobody's concern",
    "OTHER_PASSWORD": 'quote"back\\slash$(x) <&> 100% äöü/+=',
    "THIRD_TOKEN": "only-letters-and-a-dash",
}
"""In `.env`. The first has no telling name: `secrets` of the configuration says that it is one."""


def encoded(value: str) -> list[tuple[str, str]]:
    """A value as tools print it, and what must not be left of that."""
    raw = value.encode()
    made = [
        value,
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote(value),
        urllib.parse.quote_plus(value),
        json.dumps(value),
        json.dumps(json.dumps(value)),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        shlex.quote(value),
        html.escape(value),
        raw.hex(),
        raw.hex().upper(),
    ]
    pairs = [(text, text.strip("'\"\\")) for text in made]
    for before in (b"", b"u", b"us"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(before + raw + b":rest").decode()
            pairs.append((text, text[4:-8]))
    wrapped = textwrap.fill(base64.b64encode(raw).decode(), 20)
    return [*pairs, (wrapped, wrapped.splitlines()[0])]


ENCODED = [pair for value in KNOWN.values() for pair in encoded(value)]
PAIRS = [(text, needle) for text, needle in (*ENCODED, *MUST_HIDE) if "\0" not in text]
NEEDLES = sorted({needle for _, needle in PAIRS})
LONGEST_PIECE = 16
MATERIAL = "\n".join(f"line {n}\n{text}" for n, (text, _) in enumerate(PAIRS))
LINES = [text for text, _ in PAIRS if len(text) < 90 and "\n" not in text]
SOME = "\n".join(LINES[:70])
"""As many as fit into a memory or an answer."""

ACTIONS = '''
import logging
import pathlib
from alfred import errors
from alfred.actions import Effect, Risk, action

MATERIAL = (pathlib.Path(__file__).parent / "material.txt").read_text()


@action("leak.tell", integration="leak", risk=Risk.NONE, effect=Effect.PURE)
def tell(what: str, *, ctx) -> dict:
    """Tells everything."""
    ctx.emit(MATERIAL)
    logging.getLogger("leak").warning("here: %s", MATERIAL)
    return {"text": MATERIAL, "lines": MATERIAL.splitlines(), "x " + MATERIAL: 1}


@action("leak.fail", integration="leak", risk=Risk.NONE, effect=Effect.PURE)
def fail() -> str:
    """Fails with it."""
    local = "x" * 70 + MATERIAL
    raise RuntimeError(local)


@action("leak.refuse", integration="leak", risk=Risk.NONE, effect=Effect.PURE)
def refuse() -> str:
    """Fails as actions should."""
    raise errors.CallFailed(MATERIAL, next=MATERIAL)


def shown(args, ctx):
    return MATERIAL


@action("leak.lose", integration="leak", risk=Risk.MEDIUM, preview=shown)
def lose(text: str) -> str:
    """Nobody knows what became of it."""
    raise errors.OutcomeUnknown(text)
'''


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the model was sent."""
    sent: list[str] = []
    answer = scripted.answer

    def listening(request: Any, path: str, **more: Any) -> Any:
        sent.append(json.dumps([request.system, list(request.items)], ensure_ascii=False))
        sent.append(str([tool.description for tool in request.tools]))
        return answer(request, path, **more)

    monkeypatch.setattr(scripted, "answer", listening)
    redact.forget_all()
    yield sent
    redact.forget_all()


@pytest.mark.timeout(300)  # 14 s of processor time, which a busy machine stretches
def test_no_sink_holds_a_secret(
    alfred: Alfred,
    home: Path,
    folder: Path,
    tmp_path: Path,
    script: Callable[..., str],
    prompts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(NEEDLES) >= 120
    told: list[str] = []

    def does(*arguments: object, code: int = 0) -> Any:
        said = alfred(*arguments)
        assert said.code == code, said.err
        told.append(said.out + said.err)
        return said

    does("status")
    (home / "config.yaml").write_text(
        f"alfred: 1\nsecrets: {{FORUM_ACCOUNT: [forum.example]}}\npersonality: {json.dumps(SOME)}\n"
    )
    lines = [f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in KNOWN.items()]
    (home / ".env").write_text("\n".join(lines).replace("$", "\\$") + "\n")
    (home / ".env").chmod(0o600)
    (home / "SOUL.md").write_text(f"Be kind. {SOME}")
    (home / "actions" / "leak.py").write_text(ACTIONS)
    (home / "actions" / "material.txt").write_text(MATERIAL)
    (folder / "secrets.txt").write_text(MATERIAL)
    model = script(
        {
            "say": MATERIAL,
            "calls": [
                {"tool": "files.read", "args": {"path": "secrets.txt"}},
                {"tool": "files.search", "args": {"pattern": "line 1", "path": "secrets.txt"}},
                {"tool": "leak.tell", "args": {"what": MATERIAL}},
                {"tool": "leak.fail", "args": {}},
                {"tool": "leak.refuse", "args": {}},
                {"tool": "leak.tell", "args": {LINES[0]: SOME}},
                {"tool": f"x {LINES[0]}", "args": {"x": MATERIAL}},
                {"tool": "todo.add", "args": {"text": SOME}},
            ],
        },
        {
            "say": SOME,
            "calls": [
                {"tool": "files.write", "args": {"path": "out.txt", "content": MATERIAL}},
                {"tool": "memory.add", "args": {"text": SOME}},
                {"tool": "leak.lose", "args": {"text": MATERIAL}},
                {"tool": "leak.lose", "args": {"text": SOME}},
                {"tool": "ask.user", "args": {"question": SOME}},
            ],
        },
        {"say": f"Done. {MATERIAL}"},
    )
    run = does("run", MATERIAL, "--in", folder, "--model", model, "--json", code=3).json["id"]
    assert "was taken out" in told[-1]
    does("tell", run, SOME)
    rejected = False
    while waiting := does("approvals", "list", "--json").json["approvals"]:
        does("approvals", "list")
        does("runs", "show", run)
        for card in waiting:
            if card["kind"] == "question":
                does("answer", card["id"], SOME)
            elif card["kind"] == "outcome":
                does("approve", card["id"], "--as", "skip")
            elif card["action"] == "leak.lose" and not rejected:
                rejected = does("reject", card["id"], "--why", SOME).code == 0
            else:
                does("approve", card["id"], "--hash", card["args_hash"])
        resumed = alfred("runs", "resume", run)
        told.append(resumed.out + resumed.err)
    assert (folder / "out.txt").read_text() == MATERIAL, "what is carried out is what was proposed"
    whole = does("runs", "show", run, "--json").json
    assert (whole["run"]["status"], rejected) == ("completed", True)
    assert {"done", "failed", "refused", "rejected", "skipped"} <= {
        call["status"] for call in whole["calls"]
    }

    does("runs", "list")
    does("approvals", "list", "--status", "all", "--json")
    does("runs", "fork", run, "--at", 1, "--brief", MATERIAL, "--reject", SOME, "--detach")
    does("runs", "cancel", does("runs", "list", "--json").json[0]["id"], "--why", SOME)
    does("runs", "export", run, "--out", tmp_path / "run.json")
    does("audit", "export", "--out", tmp_path / "audit.jsonl")
    does("db", "backup")

    def crash(*_: Any, **__: Any) -> Any:
        raise RuntimeError(MATERIAL)

    monkeypatch.setattr(overview, "status", crash)
    does("status", code=1)
    logging.getLogger("end").error("The last: %s", MATERIAL)

    places = {str(n): text.encode() for n, text in enumerate([*told, *prompts])}
    sources = {home / ".env", home / "config.yaml", home / "SOUL.md"}
    for file in (tmp_path / "run.json", tmp_path / "audit.jsonl", *home.rglob("*")):
        if file.is_file() and file not in sources and home / "actions" not in file.parents:
            places[str(file)] = file.read_bytes()
    assert {"alfred.db", "alfred.jsonl", "crash.log"} <= {Path(name).name for name in places}
    assert any("backups" in name for name in places)
    assert "[redacted:FORUM_ACCOUNT:" in "".join(prompts)
    held = b"\0".join(places.values())
    left = [piece for needle in NEEDLES for piece in pieces(needle) if piece in held]
    assert {piece: [name for name in places if piece in places[name]] for piece in left} == {}


def pieces(needle: str) -> set[bytes]:
    """A secret as it would stand in bytes, and every third piece of it: half of one is too much as well."""
    forms = {needle, json.dumps(needle)[1:-1]}
    starts = range(0, max(1, len(needle) - LONGEST_PIECE + 1), 3)
    return {form[at : at + LONGEST_PIECE].encode() for form in forms for at in starts}
