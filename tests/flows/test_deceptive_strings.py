"""Forty-four strings that deceive, from the mouth of a model, on every surface: each is written out, and does nothing."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred import app, checks
from alfred.cli import cards, doctor, terminal
from alfred.trust import text as storable
from tests.flows.conftest import Alfred, Said
from tests.unit.trust.test_display import DECEPTIVE, SUSPICIOUS

TEXTS = [storable.sanitize(text)[0] for text, _ in DECEPTIVE]
"""What of them can be stored at all."""

NAMES = [text for text, why in SUSPICIOUS if why and "/" not in text]

BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffc"
LINES = "\n\t"  # which the text of a file or of an answer may have


def lies(char: str, before: str) -> bool:
    """Whether a character moves, reorders, hides or is not seen, where it stands alone."""
    if char in "\ufe0e\ufe0f" and unicodedata.category(before) == "So":
        return False
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return True
    return char in BLANK or (char != " " and unicodedata.category(char)[0] in "CZ")


def written_out(text: str) -> Iterator[str]:
    """The escape of every character of a text that lies."""
    for at, char in enumerate(text):
        if char not in LINES and lies(char, text[at - 1]):
            yield f"\\u{{{ord(char):04X}}}"


def honest(said: str) -> None:
    """Nothing in an output moves, reorders or hides, but the ends of its lines and what it indents with."""
    found = {ascii(c) for at, c in enumerate(said) if c not in LINES and lies(c, said[at - 1])}
    assert found == set()


def shows(said: Said, *texts: str) -> None:
    """A person sees what is in these texts, and their terminal does nothing of it."""
    told = said.out + said.err
    honest(told)
    missing = {escape for text in texts for escape in written_out(text) if escape not in told}
    assert missing == set()
    # No line begins as a line of ours does because a text has a line of its own.
    assert "\nApproved: yes" not in told
    assert "\nrm -rf /" not in told


def carries(said: str, *texts: str) -> None:
    """A program reads these very texts, and whoever looks at the JSON is not deceived."""
    honest(said)
    values = set(_texts(json.loads(said)))
    assert {text for text in texts if text not in values} == set()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


EVERYTHING = " | ".join(text.replace("\n", " ") for text in TEXTS)
WRITES: list[dict[str, Any]] = [
    {"tool": "files.write", "args": {"path": f"{n}{text}.md".replace("/", "_"), "content": text}}
    for n, text in enumerate(TEXTS)
]
QUESTIONS = [{"tool": "ask.user", "args": {"question": t, "choices": [t]}} for t in TEXTS]


@pytest.fixture
def asked(alfred: Alfred, script: Callable[..., str], folder: Path) -> Callable[..., Said]:
    """A run whose model says all of them and makes these calls; what is seen of it live."""

    def start(calls: list[dict[str, Any]]) -> Said:
        model = script({"say": EVERYTHING, "calls": calls}, {"say": EVERYTHING})
        return alfred("run", EVERYTHING, "--in", folder, "--model", model)

    return start


def test_no_surface_is_deceived_by_what_a_model_writes(
    alfred: Alfred, asked: Callable[..., Said], tmp_path: Path
) -> None:
    assert len(TEXTS) >= 40
    paths = [call["args"]["path"] for call in WRITES]
    shows(asked(WRITES), EVERYTHING, *paths)  # the live view
    (run,) = alfred("runs", "list", "--json").json
    shows(alfred("approvals", "list"), *TEXTS, *paths)
    carries(alfred("approvals", "list", "--json").out, *TEXTS, *paths)
    shows(alfred("status"))
    honest(alfred("status", "--json").out)
    shows(alfred("runs", "list"))
    carries(alfred("runs", "list", "--json").out, EVERYTHING)

    file = tmp_path / "run.json"
    assert alfred("runs", "export", run["id"], "--out", file).code == 0
    carries(file.read_text(), *TEXTS, *paths, EVERYTHING)
    carries(alfred("runs", "export", run["id"]).out, *TEXTS)
    here, elsewhere = alfred("runs", "show", run["id"]), alfred("runs", "show", file)
    shows(here, EVERYTHING, *paths)
    assert here.out == elsewhere.out
    assert "\\u{5C}u{001B}" not in here.out, "it is written out once"
    for place in (run["id"], file):
        carries(alfred("runs", "show", place, "--json").out, *TEXTS, EVERYTHING)
    assert alfred("runs", "show", "--diff", run["id"], file).out.count("the same") == 2
    card = alfred("approvals", "list", "--json").json["approvals"][-1]
    shows(alfred("policy", "explain", card["id"]))

    shows(alfred("approve", "--run", run["id"]), *TEXTS, *paths)
    shows(alfred("audit", "export"))
    shows(asked([]), EVERYTHING)  # what it came to
    shows(alfred("runs", "watch", alfred("runs", "list", "--json").json[0]["id"]))


def test_no_card_and_no_form_on_a_terminal_deceives(
    alfred: Alfred,
    asked: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    asked(WRITES)
    monkeypatch.setattr(terminal, "line", lambda question: "o" if "one by one" in question else "n")
    monkeypatch.setattr(terminal, "interactive", lambda: True)
    monkeypatch.setenv("EDITOR", f"cp --target-directory={tmp_path}")
    bidi = next(n for n, text in enumerate(TEXTS) if "\u202e" in text)
    with app.base() as base:
        group = base.desk.cards()[::-1]
        assert alfred("edit", group[bidi].id).code == 0
        (form,) = tmp_path.glob("alfred-edit-*")
        carries(form.read_text(), TEXTS[bidi])
        capfd.readouterr()
        assert cards.ask(base.desk, group) is True
        card = capfd.readouterr()
    others = [*WRITES[:bidi], *WRITES[bidi + 1 :]]
    shows(Said(0, card.out, card.err), *(text for c in others for text in c["args"].values()))


def test_no_question_deceives(alfred: Alfred, asked: Callable[..., Said]) -> None:
    shows(asked(QUESTIONS), *TEXTS)
    shows(alfred("approvals", "list"), *TEXTS)
    carries(alfred("approvals", "list", "--json").out, *TEXTS)


def test_a_name_that_can_be_taken_for_another_is_told_on_its_card(
    alfred: Alfred, asked: Callable[..., Said]
) -> None:
    asked([{"tool": "files.write", "args": {"path": name, "content": "x"}} for name in NAMES])
    told = alfred("approvals", "list").out
    honest(told)
    assert told.count("look closely: ") == len(NAMES)
    previews = [card["preview"] for card in alfred("approvals", "list", "--json").json["approvals"]]
    assert all(preview.startswith("look closely: ") for preview in previews)


def test_what_a_file_of_actions_says_when_it_cannot_be_loaded_deceives_nobody(
    alfred: Alfred, home: Path
) -> None:
    assert alfred("tools").code == 0
    path = home / "actions" / "world.py"
    path.write_text(f"raise RuntimeError({EVERYTHING[:200]!r})\n")
    path.chmod(0o600)
    for command in (("tools",), ("worker", "--until-idle")):
        said = alfred(*command)
        honest(said.out + said.err)
        assert "actions/world.py:1" in said.out + said.err


def test_no_finding_of_doctor_deceives(alfred: Alfred, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks.Finding("world.one", "note", EVERYTHING[:300], EVERYTHING[-300:])
    monkeypatch.setattr(checks, "look", lambda *_: [found])
    monkeypatch.setattr(doctor, "_not_set_up", lambda *_: [])
    said = alfred("doctor")
    honest(said.out + said.err)
    assert "world.one" in said.out and "\n                -> " in said.out
