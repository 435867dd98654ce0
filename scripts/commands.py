"""Writes docs/commands.md from the parser that reads the command line: `.venv/bin/python scripts/commands.py`.

tests/house/test_commands.py says when that is due.
"""

from __future__ import annotations

from pathlib import Path

from alfred.cli import main

TARGET = Path(__file__).resolve().parent.parent / "docs/commands.md"

HEADER = """\
# Commands

<!-- Written by scripts/commands.py; a change here is lost. -->

Every command takes `--json` and then prints one document, of an error `{"error": {…}}` with what is wrong and what to do
next; progress goes to stderr. `approve`, `reject` and `answer` print the card as it is then; of several ids, and of `--run`,
`{"approvals": […]}` with each card or its problem, in the order given.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | failed or cancelled |
| 2 | wrong usage or configuration, before anything is written |
| 3 | a run waits for a person |
| 4 | a run was ended by a refusal or a cap |

An id is shown by its last 6 characters; any beginning or end of at least 4 that fits one only is taken.

"""


def page() -> str:
    """The page as it has to be."""
    whole = main.tree().generate_docs(output_format="markdown", recursive=True)
    lines = [line.rstrip() for line in whole.splitlines()]
    start = lines.index("## Table of Contents")
    first = next(n for n, line in enumerate(lines) if n > start and line.startswith("**"))
    return HEADER + "\n".join(lines[first:]).strip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
