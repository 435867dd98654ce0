"""The page of the commands says what the parser takes."""

from __future__ import annotations

from alfred.cli import main
from scripts import commands


def test_the_page_of_the_commands_is_the_parsers() -> None:
    written = commands.TARGET.read_text(encoding="utf-8")
    assert written == commands.page(), "`.venv/bin/python scripts/commands.py` writes it anew."


def test_the_page_has_every_command_with_its_options() -> None:
    page = commands.page()
    for told in main._COMMANDS.values():
        assert all(f"\n## alfred {name}\n" in page for name, _, _ in told)
    for groups in main._GROUPS.values():
        for group, _, below in groups:
            assert all(f"\n### alfred {group} {name}\n" in page for name, _, _ in below)
    assert "`--max-cost FLOAT`: USD that the run may cost at most." in page
