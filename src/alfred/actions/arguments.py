"""The arguments of a call: normalised and checked, or a list of problems that teaches the right ones.

Invariant: what comes out as `Valid.args` is JSON, complete (defaults filled in) and stable: validating it
again gives the same. A value is only changed where nothing can be lost by it (`"5"` for an integer);
nothing is dropped, so an argument that the action does not know is a problem and never silence.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alfred.actions import canonical
from alfred.actions.declare import Action
from alfred.errors import Problem
from alfred.trust import redact

if TYPE_CHECKING:
    from pydantic import BaseModel

SHOWN = 20
"""How many problems of one call are told; the rest is counted."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_EXACT = 2**53
"""Up to here a float holds every integer."""


@dataclass(frozen=True, slots=True)
class Valid:
    """Arguments that may be used."""

    args: dict[str, Any]
    """As JSON, defaults filled in: what is stored, hashed, shown and given to hooks."""
    values: dict[str, Any]
    """As the function takes them (a `Path` where it says so)."""
    text: str
    """`args` as their one text."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Arguments that may not be used, and why."""

    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in self.problems)


def validate(action: Action, args: Any) -> Valid | Invalid:
    """Checks `args` against what `action` takes. Pure, and total: no input makes it raise."""
    if action.model is None:
        return _foreign(action, args)
    import pydantic

    takes = tuple(action.schema.get("properties", {}))
    if not isinstance(args, Mapping):
        return _invalid(
            Problem("", f"the arguments must be an object. {_takes(takes)}", _short(args))
        )
    named, problems = _name(dict(args), takes, action)
    if problems:
        return _invalid(*problems)
    try:
        text = canonical.canonical_json(named)
    except ValueError as e:
        return _invalid(Problem("", str(e)))
    try:
        checked = _check(action, text)
    except pydantic.ValidationError as first:
        repaired = _repair(action, named, first.errors(include_url=False, include_context=False))
        try:
            checked = _check(action, canonical.canonical_json(repaired))
        except pydantic.ValidationError as e:
            found = e.errors(include_url=False, include_context=False)
            return _invalid(*(_problem(error, takes) for error in found))
    normal = checked.model_dump(mode="json", by_alias=True)
    try:
        return Valid(normal, _taken(checked), canonical.canonical_json(normal))
    except ValueError as e:  # of a default, or of what the model made of a value
        return _invalid(Problem("", str(e)))


def values(action: Action, text: str) -> dict[str, Any] | Invalid:
    """What the function of an action takes, of arguments that were found right before, as their text has them."""
    import pydantic

    if action.model is not None:
        with contextlib.suppress(pydantic.ValidationError):
            return _taken(_check(action, text))
    found = validate(action, json.loads(text))
    return found if isinstance(found, Invalid) else dict(found.values)


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that `name` was probably meant to be."""
    close = difflib.get_close_matches(name[:200], known, n=1, cutoff=0.6)
    return close[0] if close else None


def _taken(checked: BaseModel) -> dict[str, Any]:
    """What the function is given of arguments that its model has checked."""
    return {argument: getattr(checked, field) for argument, field in _fields(type(checked))}


@functools.lru_cache(maxsize=512)
def _fields(model: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The arguments that a model takes, each with the field that holds it."""
    return tuple((field.alias or name, name) for name, field in model.model_fields.items())


def _foreign(action: Action, args: Any) -> Valid | Invalid:
    """Arguments of an action whose schema somebody else wrote: as they are, or wrong."""
    from alfred.actions import schemas

    takes = _takes(tuple(action.schema.get("properties", {})))
    if not isinstance(args, Mapping):
        return _invalid(Problem("", f"the arguments must be an object. {takes}", _short(args)))
    given = dict(args)
    try:
        text = canonical.canonical_json(given)
    except ValueError as e:
        return _invalid(Problem("", str(e)))
    if found := schemas.wrong(action.schema, given):
        return _invalid(*found, Problem("", takes))
    return Valid(given, {"arguments": given}, text)


def _check(action: Action, text: str) -> Any:
    assert action.model is not None
    return action.model.model_validate_json(text, strict=True)


def _name(
    args: dict[Any, Any], takes: tuple[str, ...], action: Action
) -> tuple[dict[str, Any], list[Problem]]:
    """Gives each argument the name that the action has for it: `maxResults` and `max-results` are
    `max_results`, as long as that is the only one they can be."""
    named: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in args.items():
        if not isinstance(key, str):
            problems.append(Problem("", f"the name {_short(key)} is no string. {_takes(takes)}"))
            continue
        fits = [key] if key in takes else [name for name in takes if _form(name) == _form(key)]
        if len(fits) != 1:
            problems.append(_unknown(key, value, takes, action))
        elif fits[0] in named:
            problems.append(Problem(fits[0], "was given twice, in two spellings", _short(value)))
        else:
            named[fits[0]] = value
    return named, problems


def _unknown(key: str, value: Any, takes: tuple[str, ...], action: Action) -> Problem:
    if key in action.injects or key in action.secrets:
        return Problem(key, f"is filled in by alfred; leave it out. {_takes(takes)}", _short(value))
    close = nearest(_form(key), takes)
    hint = f" Did you mean {close!r}?" if close else ""
    return Problem(
        _short(key), f"is not an argument of {action.id}.{hint} {_takes(takes)}", _short(value)
    )


def _form(name: str) -> str:
    return _CAMEL.sub("_", name[:200]).replace("-", "_").lower()


def _takes(takes: tuple[str, ...]) -> str:
    return f"It takes: {', '.join(takes)}." if takes else "It takes no arguments."


def _repair(action: Action, args: dict[str, Any], found: list[Any]) -> dict[str, Any]:
    """Mends what was written in another form and can be read in one way only."""
    mended = json.loads(canonical.canonical_json(args))
    optional = set(action.schema.get("properties", {})) - set(action.schema.get("required", ()))
    for error in found:
        path = error["loc"]
        holder = mended
        try:
            for part in path[:-1]:
                holder = holder[part]
            value = holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # a branch of a union, or already mended: there is no one place to mend
        if value is None and len(path) == 1 and path[0] in optional:
            del holder[path[0]]  # null for "as you like": the default
            continue
        better = _lossless(error["type"], value)
        if better is not None:
            holder[path[-1]] = better
    return mended


def _lossless(wanted: str, value: Any) -> Any:
    """`value` as `wanted` asks for it, when both mean exactly the same; otherwise None."""
    if wanted == "int_type":
        if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
            return int(value)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
    elif wanted == "float_type" and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    elif wanted == "bool_type" and value in ("true", "false") and isinstance(value, str):
        return value == "true"
    elif wanted in ("list_type", "dict_type", "model_type") and isinstance(value, str):
        try:
            read = json.loads(value)
            canonical.canonical_json(read)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, list if wanted == "list_type" else dict) else None
    return None


def _problem(error: Any, takes: tuple[str, ...]) -> Problem:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return Problem(
            where, f"is required. {_takes(takes)}" if len(error["loc"]) == 1 else "is required"
        )
    message = error["msg"][:1].lower() + error["msg"][1:]
    return Problem(where, message[:300], _short(error["input"]))


def _invalid(*problems: Problem) -> Invalid:
    if len(problems) <= SHOWN:
        return Invalid(tuple(problems))
    rest = Problem("", f"and {len(problems) - SHOWN} more problems")
    return Invalid((*problems[:SHOWN], rest))


def _short(value: Any) -> str:
    text = redact.redact(value if isinstance(value, str) else repr(value))
    text = text[:200].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return text if len(text) < 100 else f"{text[:100]}…"
