"""How commands speak: text for people, one JSON document for programs, errors that name the next step.

Invariant: with `--json` standard output carries exactly one JSON document, also for an error; whatever else is
said goes to standard error; nothing that a model or the world wrote reaches a terminal unescaped; whatever is
written here has passed `trust.redact`, before anything was cut from it: half a key is known to nobody.
"""

from __future__ import annotations

import json
import os
import select
import sys
import termios
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from alfred import app, config, errors, home
from alfred.cli import leaving
from alfred.runs import views
from alfred.trust import display, redact

NO_INPUT = "ALFRED_NO_INPUT"


def typed_path(_type: Any, tokens: Sequence[Token]) -> Path:
    """What somebody typed as a path. Nothing, as a variable that is not set leaves it, is not the folder that one stands in.

    Raises:
        ValueError: it is empty; who parses tells for which option.
    """
    if not tokens[0].value:
        raise ValueError("The path is empty.")
    return Path(tokens[0].value)


Folder = Annotated[Path | None, Parameter(name="--in", converter=typed_path)]
"""Where a command is to look or to work."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print one JSON document.")
    ] = False
    home: Annotated[
        Path | None,
        Parameter(
            name="--home", converter=typed_path, help="The home folder, instead of ALFRED_HOME."
        ),
    ] = None

    def folder(self) -> Path:
        """The home that this command works on; its children inherit it."""
        if self.home is not None:
            os.environ["ALFRED_HOME"] = str(home.expanded(self.home).absolute())
        return home.path()

    def open(self) -> app.Base:
        """Home, settings, ledger and desk, with warnings about mistyped variables said once."""
        folder = self.folder()
        for warning in config.mistyped(os.environ):
            say(warning)
        return app.base(folder=folder)


DEFAULT = Common()


def out(text: str = "") -> None:
    """A line of the answer."""
    sys.stdout.write(redact.redact(text) + "\n")


def say(text: str) -> None:
    """A line beside the answer: progress, hints, warnings."""
    sys.stderr.write(redact.redact(text) + "\n")
    sys.stderr.flush()


def document(value: Any) -> None:
    """The one JSON document of a command. Its texts are redacted, not its letters: it stays JSON."""
    told = display.as_json(
        redact.redact_data(value),
        indent=2 if sys.stdout.isatty() else None,
        default=lambda other: redact.redact(str(other)),
    )
    sys.stdout.write(told + "\n")


def without_secrets(said: str | None) -> None:
    """Tells who has typed a secret that it was taken out, and how a call gets one."""
    if said is not None and redact.found(said):
        say(
            "What you wrote holds a secret. It was taken out: neither the model nor the ledger has it. A call that needs"
            " it names it: `secrets` in config.yaml, then secret://NAME."
        )


def interactive() -> bool:
    """Whether somebody can be asked: both ends are a terminal and nobody forbade it."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get(NO_INPUT)


def yes(question: str) -> bool:
    """Asks on the terminal; anything but a yes is a no."""
    return line(f"{question} [y/N]").lower() in ("y", "yes")


def line(question: str) -> str:
    """Asks for one line on the terminal."""
    return line_or_end(question) or ""


def line_or_end(question: str) -> str | None:
    """The same; None: whoever was asked has ended the input (Ctrl-D), or what is asked was settled without an answer."""
    sys.stderr.write(f"{redact.redact(question)} ")
    sys.stderr.flush()
    said = ""
    if _answerable():
        with leaving.asking():
            said = sys.stdin.readline()
    if not said:
        say("")  # nobody has ended the line of the question
    return said.strip() if said else None


LOOKS = 0.5
"""Seconds between two looks whether somebody elsewhere has settled what is asked here."""

_settled: Callable[[], bool] | None = None


@contextmanager
def until(settled: Callable[[], bool]) -> Generator[None]:
    """What is asked at the terminal in this block is asked until somebody answers, or it is settled elsewhere."""
    global _settled
    before, _settled = _settled, settled
    try:
        yield
    finally:
        _settled = before


def _answerable() -> bool:
    """Waits for a line of the terminal; False: what is asked was settled before one came. Half a line goes with it."""
    while _settled is not None and sys.stdin.isatty():
        with leaving.asking():
            if select.select([sys.stdin], [], [], LOOKS)[0]:
                break
        if _settled():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
            return False
    return True


def fail(problem: errors.AlfredError, *, as_json: bool) -> int:
    """Says an error the way that was asked for; returns its exit code."""
    if as_json:
        document({"error": problem.problem()})
        return problem.exit_code
    say(f"alfred: {_lines(problem.detail)}")
    for entry in () if isinstance(problem, errors.ConfigError) else problem.errors:
        got = "" if entry.got is None else f" (given: {shown(str(entry.got))})"
        say(f"  {shown(entry.field, 200)}: {shown(entry.message, 300)}{got}")
    if problem.next:
        say(f"  {_lines(problem.next)}")
    return problem.exit_code


def json_object(text: str, example: str) -> dict[str, Any]:
    """The JSON object that somebody typed.

    Raises:
        UsageError: it is none; `example` shows how one is given.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise errors.UsageError(
            f"The arguments are no JSON: {str(problem)[:200]}.", next=f"Give one object: {example}."
        ) from None
    if not isinstance(said, dict):
        raise errors.UsageError(
            "The arguments are no JSON object.", next=f"Give one object: {example}."
        )
    return said


def check_limit(limit: int) -> None:
    """Refuses a number of entries that no page has."""
    if not 1 <= limit <= views.MOST:
        raise errors.UsageError(
            f"--limit is {limit}.", next=f"Give a number from 1 to {views.MOST}."
        )


def short(identifier: str) -> str:
    """An id as people see and type it: its last 6 characters."""
    return identifier[-6:].lower()


def shown(text: str | None, limit: int = 80) -> str:
    """One line of somebody else's text."""
    return display.display(" ".join(redact.redact(text or "").split()), limit=limit)


def beginning(text: str | None, length: int = 70) -> str:
    """How a text began, in a list in which it is only to be found again: what is decided on is `shown`."""
    whole = display.display(" ".join(redact.redact(text or "").split()))
    return whole if len(whole) <= length else f"{whole[:length].rstrip()} …"


def _lines(text: str) -> str:
    """Somebody else's text as it is, with its lines."""
    return display.display(redact.redact(text), multiline=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need, the last one as wide as it likes."""
    widths = [
        max(len(h), *(len(r[i]) for r in rows)) if rows else len(h) for i, h in enumerate(headers)
    ]
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        out("  ".join([*cells, row[-1]]).rstrip())


def count(many: int | Sequence[Any], noun: str) -> str:
    """`1 run`, `2 runs`."""
    number = many if isinstance(many, int) else len(many)
    return f"{number} {noun}{'' if number == 1 else 's'}"


def usage(used: Mapping[str, Any]) -> str:
    """What a run has used, for people."""
    tokens = f"{used['input_tokens']:,} + {used['output_tokens']:,} tokens"
    return f"{count(used['turns'], 'turn')}, {tokens}, cost {money(used['cost_usd'])}"


def money(usd: Any) -> str:
    """USD for people; a price that nobody knows is not zero."""
    return (
        "unknown" if usd is None else f"${float(usd):.4f}".rstrip("0").rstrip(".") if usd else "$0"
    )


COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "grey": 90, "bold": 1}


def colour(text: str, name: str, stream: Any = None) -> str:
    """The text in a colour, where a person looks at it on a terminal that has some (and NO_COLOR is not set)."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        return text
    return f"\x1b[{COLOURS[name]}m{text}\x1b[0m"
