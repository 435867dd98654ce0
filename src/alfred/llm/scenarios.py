"""Scenario files of the scripted model: their form, read and checked, with the line of what is wrong.

runs:
  - match: "investigate.*git"      # regular expression on the brief; the first that matches, else the last
    turns:
      - {say: "Looking.", calls: [{tool: git.log, args: {limit: 20}}], usage: {input: 900, output: 80}, delay: 0.2}
      - {error: rate_limit, retry_after: 3, times: 1}
      - {say: "Done."}
purposes: {compact: "[summary]"}   # answers of calls that are no boss turn
"""

from __future__ import annotations

import datetime
import difflib
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

from alfred import config_mistake, errors
from alfred.llm import contract

MAX_BYTES = 8_000_000  # of a scenario file
_NEXT = "Correct the scenario file and start again."
ERRORS: tuple[contract.FailureKind, ...] = (
    *(
        "auth",
        "rate_limit",
        "overloaded",
        "budget",
        "context",
        "refused",
        "network",
        "malformed",
        "empty",
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a script: an answer, or with `error` a failure that is given `times` times."""

    say: str = ""
    calls: tuple[tuple[str | None, str, Any], ...] = ()  # (id, tool, arguments)
    usage: contract.Usage | None = None
    delay: float = 0.0
    error: contract.FailureKind | None = None
    retry_after: float | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Script:
    """The turns of the runs whose brief fits `match`; None fits every brief."""

    match: re.Pattern[str] | None
    turns: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario file, read and checked."""

    path: str
    scripts: tuple[Script, ...]
    purposes: dict[str, str]


def load(path: str) -> Scenario:
    """Reads and checks a scenario file; one that has not changed is read once.

    Raises:
        errors.ConfigError: It is missing, no YAML, or holds what no scenario holds: with file and line.
    """
    try:
        known = Path(path).stat()
    except (OSError, ValueError) as missing:
        why = getattr(missing, "strerror", None) or missing
        raise errors.ConfigError(
            f"The scenario {path!r} cannot be read: {why}.",
            next="Write scripted:PATH with the path of a YAML file.",
        ) from None
    return _read(path, known.st_mtime_ns, known.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: str, _mtime_ns: int, size: int) -> Scenario:
    if size > MAX_BYTES:
        raise errors.ConfigError(
            f"The scenario {path} has {size} bytes; at most {MAX_BYTES} are read.", next=_NEXT
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as broken:
        raise errors.ConfigError(
            f"{path}: this cannot be read as text: {broken}.", next=_NEXT
        ) from None
    try:
        # JSON is YAML, and read as such it takes a hundred times as long; only YAML knows the line of what is wrong.
        return _Reader(path).scenario(json.loads(text, object_pairs_hook=_once))
    except (ValueError, RecursionError, errors.ConfigError):
        return _Reader(path).scenario(_yaml(path, text))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _yaml(path: str, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as broken:
        line, said = config_mistake.of(text, broken)
        raise errors.ConfigError(f"{path}:{line}: this is no YAML: {said}.", next=_NEXT) from None
    except (YAMLError, RecursionError) as broken:
        raise errors.ConfigError(
            f"{path}: this cannot be read as YAML: {broken}.", next=_NEXT
        ) from None


class _Reader:
    """Turns what the YAML says into a `Scenario`, or says in which line it is none."""

    def __init__(self, path: str):
        self._path = path

    def scenario(self, whole: Any) -> Scenario:
        top = self._map(whole, None, "the scenario", ("runs", "purposes"))
        scripts = tuple(self._script(run, where) for run, where in self._list(top, "runs"))
        if not scripts:
            self._wrong(top, "runs", "`runs` needs at least one entry with `turns`")
        purposes = top.get("purposes")
        if purposes is None:
            purposes = {}
        elif not isinstance(purposes, dict):
            self._wrong(top, "purposes", "`purposes` is a mapping of a purpose to its answer")
        told = {self._word(key, top, "purposes"): self._text(purposes, key) for key in purposes}
        return Scenario(self._path, scripts, told)

    def _script(self, run: Any, where: int | None) -> Script:
        run = self._map(run, where, "an entry of `runs`", ("match", "turns"))
        pattern = None
        if "match" in run:
            try:
                pattern = re.compile(self._text(run, "match"))
            except re.error as broken:
                self._wrong(run, "match", f"`match` is no regular expression: {broken}")
        return Script(
            pattern, tuple(self._entry(turn, at) for turn, at in self._list(run, "turns"))
        )

    def _entry(self, turn: Any, where: int | None) -> Entry:
        failure = isinstance(turn, dict) and "error" in turn
        keys = (
            ("error", "retry_after", "times", "delay")
            if failure
            else ("say", "calls", "usage", "delay")
        )
        turn = self._map(turn, where, "a failing turn" if failure else "a turn", keys)
        delay = self._number(turn, "delay") or 0.0
        if not failure:
            say = self._text(turn, "say") if turn.get("say") is not None else ""
            calls = tuple(self._call(call, at) for call, at in self._list(turn, "calls"))
            return Entry(say=say, calls=calls, usage=self._usage(turn), delay=delay)
        kind = self._text(turn, "error")
        if kind not in ERRORS:
            self._wrong(turn, "error", f"no error is called {kind!r}{_near(kind, ERRORS)}")
        times = self._count(turn, "times", 1)
        if times < 1:
            self._wrong(turn, "times", "`times` is a whole number from 1")
        return Entry(
            error=kind, retry_after=self._number(turn, "retry_after"), times=times, delay=delay
        )

    def _call(self, call: Any, where: int | None) -> tuple[str | None, str, Any]:
        call = self._map(call, where, "a call", ("tool", "args", "id"))
        if "tool" not in call:
            self._wrong(call, None, "a call needs `tool`")
        given = self._text(call, "id") if call.get("id") is not None else None
        return given, self._text(call, "tool"), self._plain(call.get("args"), call, 0)

    def _usage(self, turn: Any) -> contract.Usage | None:
        if turn.get("usage") is None:
            return None
        keys = ("input", "output", "cache_read", "cache_write", "cost_usd")
        usage = self._map(turn["usage"], self._line(turn, "usage"), "`usage`", keys)
        cost = None
        if usage.get("cost_usd") is not None:
            try:
                cost = Decimal(str(usage["cost_usd"]))
            except InvalidOperation:
                cost = Decimal("NaN")
            if not cost.is_finite() or cost < 0:
                self._wrong(usage, "cost_usd", "`cost_usd` is an amount of USD from 0")
        return contract.Usage(
            input_tokens=self._count(usage, "input", 0),
            output_tokens=self._count(usage, "output", 0),
            cache_read_tokens=self._count(usage, "cache_read", 0),
            cache_write_tokens=self._count(usage, "cache_write", 0),
            cost_usd=cost,
            model_served=f"scripted:{Path(self._path).name}",
        )

    # -- values, each checked where it stands --

    def _map(self, value: Any, where: int | None, what: str, keys: Sequence[str]) -> Any:
        if not isinstance(value, dict):
            self._fail(where, f"{what} is a mapping with {', '.join(f'`{key}`' for key in keys)}")
        for key in value:
            if key not in keys:
                self._wrong(value, key, f"{what} has no key {str(key)!r}{_near(str(key), keys)}")
        return value

    def _list(self, owner: Any, key: str) -> list[tuple[Any, int | None]]:
        value = owner.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong(owner, key, f"`{key}` is a list")
        listed: Any = value
        return [(item, self._line(listed, at)) for at, item in enumerate(listed)]

    def _text(self, owner: Any, key: Any) -> str:
        return self._word(owner[key], owner, key)

    def _word(self, value: Any, owner: Any, key: Any) -> str:
        if not isinstance(value, str):
            self._wrong(owner, key, f"`{key}` is a text; put {str(value)!r} in quotes")
        return str(value)

    def _number(self, owner: Any, key: str) -> float | None:
        value = owner.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 86_400:
            self._wrong(owner, key, f"`{key}` is a number of seconds from 0 to a day")
        return float(value)

    def _count(self, owner: Any, key: str, default: int) -> int:
        value = owner.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self._wrong(owner, key, f"`{key}` is a whole number from 0")
        return int(value)

    def _plain(self, value: Any, owner: Any, depth: int) -> Any:
        """Arguments as plain JSON values; a date is its text."""
        if depth > 2 * contract.MAX_DEPTH:
            self._wrong(owner, "args", "`args` nest too deep")
        if isinstance(value, dict):
            return {str(key): self._plain(item, owner, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item, owner, depth + 1) for item in value]
        if value is None or isinstance(value, bool):
            return value
        for kind in (str, int, float):
            if isinstance(value, kind):
                return kind(value)
        if isinstance(value, datetime.date):
            return value.isoformat()
        return self._wrong(
            owner, "args", f"`args` hold {type(value).__name__}, which JSON does not have"
        )

    def _line(self, owner: Any, key: Any) -> int | None:
        lines: Any = getattr(owner, "lc", None)  # ruamel's collections know where they stand
        try:
            return (lines.item(key) if isinstance(owner, list) else lines.key(key))[0] + 1
        except (AttributeError, KeyError, TypeError, IndexError):
            return None

    def _wrong(self, owner: Any, key: Any, why: str) -> NoReturn:
        line = self._line(owner, key)
        if line is None and hasattr(owner, "lc") and owner.lc.line is not None:
            line = owner.lc.line + 1
        self._fail(line, why)

    def _fail(self, line: int | None, why: str) -> NoReturn:
        raise errors.ConfigError(
            f"{self._path}{f':{line}' if line else ''}: {why}{'' if why.endswith('?') else '.'}",
            next=_NEXT,
        )


def _near(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f" (there is {', '.join(known)})"
