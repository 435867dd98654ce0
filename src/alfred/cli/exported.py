"""A run as one file: written here, looked at anywhere.

Invariants: the file holds what `runs show --json` says, without secrets, and nothing else is needed to read it: no
home, no ledger. What somebody else's file says reaches the terminal only written out, and a file that is none is refused
before a line of it is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pydantic

from alfred import clock, errors
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import views
from alfred.trust import display, redact
from alfred.version import VERSION

FORMAT = 1
_SHOWN = frozenset(["brief", "model", "tool", "text", "action", "args", "detail", "result"])
"""Fields that a model or the world wrote: `runs show` and its comparison write them out when they print them."""

LARGEST = 256_000_000
"""Bytes of a file that is read."""


class _Lenient(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class _Usage(_Lenient):
    turns: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class _Waiting(_Lenient):
    kind: str
    title: str


class _Error(_Lenient):
    code: str
    detail: str


class _Line(_Lenient):
    id: str
    status: str
    wait: str | None
    brief: str | None


class _Message(_Lenient):
    to: str
    status: str
    why: str | None


class _Run(_Line):
    agent: str
    model: str | None
    created_at: str
    attempt: int
    seq: int
    usage: _Usage
    wakes_at: str | None
    waiting: list[_Waiting]
    error: _Error | None
    result: str | None
    label: str | None = None
    messages: list[_Message] = []


class _Step(_Lenient):
    seq: int
    attempt: int
    name: str
    outcome: str
    ended_at: str | None


class _Item(_Lenient):
    n: int
    kind: str
    text: str | None
    tool: str | None


class _Call(_Lenient):
    turn: int
    ordinal: int
    status: str
    action: str
    risk: str | None
    args: Any


class _Origin(_Lenient):
    field: str
    value: str
    from_: str = pydantic.Field(alias="from")


class _Card(_Lenient):
    id: str
    status: str
    decided_by: str | None
    title: str
    provenance: list[_Origin] | None = None


class _Child(_Line):
    agent: str | None = None
    cost_usd: float | None = None
    result: str | None = None
    error: _Error | None = None


class _Note(_Lenient):
    path: str
    value: str
    author: str
    origin: str | None
    reason: str | None
    label: str


class _Export(_Lenient):
    """What `runs show` needs of a file."""

    alfred_run: int
    version: str
    run: _Run
    steps: list[_Step]
    transcript: list[_Item]
    calls: list[_Call]
    approvals: list[_Card]
    children: list[_Child]
    scratch: list[_Note] = []


def export(run: str, /, *, out: Path | None = None, common: Common = DEFAULT) -> int:
    """Write a run into one file, which `alfred runs show FILE` reads anywhere.

    Args:
        run: The run's id.
        out: The file, made new; standard output when it is not given.
    """
    with common.open() as base, base.store.read() as look:
        whole = views.show(look, views.resolve(look, "runs", base.desk.tenant, run))
    told = {"alfred_run": FORMAT, "version": VERSION, "exported_at": clock.rfc3339(clock.now())}
    document = told | redact.redact_data(whole)
    if out is None:
        terminal.document(document)
        return 0
    with made(out) as file:
        file.write(display.as_json(document, indent=1) + "\n")
    if common.json:
        terminal.document({"id": whole["run"]["id"], "file": str(out)})
    else:
        terminal.say(f"{out}: `alfred runs show {out}` shows it, here and elsewhere.")
    return 0


@contextlib.contextmanager
def made(out: Path) -> Iterator[TextIO]:
    """A new file that its owner alone may read, and never one that is there already.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
    except OSError as problem:
        raise errors.UsageError(
            f"{str(out)!r} cannot be written: {problem.strerror}.", next="Name another file."
        ) from None


def read(path: Path) -> dict[str, Any]:
    """What an exported file says, letter by letter: `printable` makes of it what a terminal may get.

    Raises:
        UsageError: it cannot be read, or is no run that was exported by a program of this or an older format.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)  # a device has no size, and may have no end
        if len(text) > LARGEST:
            raise errors.UsageError(
                f"{str(path)!r} has more than {LARGEST:,} bytes.", next="Name an exported run."
            )
        said = json.loads(text.decode("utf-8"))
    except OSError as problem:
        raise errors.UsageError(
            f"{str(path)!r} cannot be read: {problem.strerror}.",
            next="Name a run by its id, or a file that `alfred runs export` wrote.",
        ) from None
    except (ValueError, RecursionError):
        raise _foreign(path, "it is no JSON") from None
    made = said.get("alfred_run") if isinstance(said, dict) else None
    if isinstance(made, int) and made > FORMAT:
        raise errors.UsageError(
            f"{str(path)!r} was written by a newer alfred (format {made}; this one reads {FORMAT}).",
            next="Use that version to look at it.",
        )
    try:
        _Export.model_validate(said, strict=True)
    except pydantic.ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _foreign(path, f"{where}: {first['msg']}") from None
    return said


def _foreign(path: Path, why: str) -> errors.UsageError:
    return errors.UsageError(
        f"{str(path)!r} is no exported run: {terminal.shown(why, 200)}.",
        next="`alfred runs export RUN --out FILE` writes one.",
    )


def printable(value: Any) -> Any:
    """A run, or what differs between two, without anything that a terminal would act on; what `runs show` writes out
    itself is left to it."""
    if isinstance(value, str):
        return display.inert(value)
    if isinstance(value, list):
        return [printable(entry) for entry in value]
    if isinstance(value, dict):
        return {key: entry if key in _SHOWN else printable(entry) for key, entry in value.items()}
    return value
