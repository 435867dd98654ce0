"""The page of the commands says what the parser takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alfred.cli import main
from scripts import commands

ROOT = Path(__file__).parents[2]
IN_WORDS = re.compile(r"(?:`|next=f?\")alfred ([a-z]+)(?: ([a-z]+))?")
TYPED = re.compile(r"(?:`|^(?:\$ )?)alfred (?!is\b|holds\b)([a-z]+)(?: ([a-z]+))?", re.MULTILINE)


def test_every_command_that_the_program_or_a_page_names_is_there() -> None:
    alone = {name for told in main._COMMANDS.values() for name, _, _ in told}
    below = {
        group: {name for name, _, _ in told}
        for groups in main._GROUPS.values()
        for group, _, told in groups
    }
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench/README.md"]
    of_program = [(file, IN_WORDS) for file in (ROOT / "src").rglob("*.py")]
    named = [
        (file, *one.groups())
        for file, form in (*of_program, *((page, TYPED) for page in pages))
        for one in form.finditer(file.read_text(encoding="utf-8"))
    ]
    assert len(named) > 100
    assert not [
        (file.name, first, second)
        for file, first, second in named
        if first not in alone and (first not in below or second not in {None, *below[first]})
    ]


@pytest.mark.slow
def test_the_page_of_the_commands_is_the_parsers() -> None:
    written = commands.TARGET.read_text(encoding="utf-8")
    assert written == commands.page(), "`.venv/bin/python scripts/commands.py` writes it anew."


@pytest.mark.slow
def test_the_page_has_every_command_with_its_options() -> None:
    page = commands.page()
    for told in main._COMMANDS.values():
        assert all(f"\n## alfred {name}\n" in page for name, _, _ in told)
    for groups in main._GROUPS.values():
        for group, _, below in groups:
            assert all(f"\n### alfred {group} {name}\n" in page for name, _, _ in below)
    assert "`--max-cost FLOAT`: USD that the run may cost at most." in page
