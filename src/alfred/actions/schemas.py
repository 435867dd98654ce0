"""JSON schemas that models write: whether one can be used, and whether a value fits it.

Invariants: nothing is fetched for a schema, and nothing in it can take long: it is small, its references stay within it,
and it has no patterns, because a pattern can be written that a short text keeps busy for ever.
"""

from __future__ import annotations

import json
from typing import Any

from alfred import errors

LONGEST = 10_000
"""Characters of a schema, as JSON writes it."""

TOLD = 5
"""Of all that does not fit, so many are told."""

_REFUSED = ("pattern", "patternProperties", "$dynamicRef", "$recursiveRef")


def check(schema: dict[str, Any]) -> None:
    """Whether this is a schema that values can be held against.

    Raises:
        CallRefused: it is none, or none that is taken; the text says why.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        size = len(json.dumps(schema, ensure_ascii=False))
        if size > LONGEST:
            raise _refused(f"it has {size} characters, more than {LONGEST}")
        if (name := _beyond(schema)) is not None:
            raise _refused(f"it uses {name}")
        Draft202012Validator.check_schema(schema)
    except SchemaError as problem:
        raise _refused(problem.message[:300]) from None
    except RecursionError:
        raise _refused("it is nested too deep") from None


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What about the value does not fit, each with its place; nothing when it fits.

    Raises:
        CallRefused: a reference of the schema leads nowhere.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    found = []
    try:
        for problem in Draft202012Validator(schema, registry=Registry()).iter_errors(value):
            found.append(f"{problem.json_path}: {problem.message[:200]}")
            if len(found) == TOLD:
                break
    except (Unresolvable, RecursionError) as problem:
        raise _refused(f"a reference of it leads nowhere ({type(problem).__name__})") from None
    return found


def parse(text: str) -> Any:
    """The JSON value that a text is, also between the marks of a code block.

    Raises:
        ValueError: it is none.
    """
    said = text.strip()
    if said.startswith("```") and said.endswith("```"):
        said = said.removeprefix("```json").strip("`").strip()
    return json.loads(said)


def _beyond(schema: Any) -> str | None:
    """Something in a schema that is not taken."""
    if isinstance(schema, dict):
        for key, inside in schema.items():
            # a property may be called so: then a schema stands behind it, where else a text or several do
            named = key == "pattern" and isinstance(inside, dict | bool)
            if key in _REFUSED and not named:
                return key
            if key == "$ref" and isinstance(inside, str) and not inside.startswith("#"):
                return f"the reference {inside[:80]!r}"
            if (found := _beyond(inside)) is not None:
                return found
    elif isinstance(schema, list):
        for inside in schema:
            if (found := _beyond(inside)) is not None:
                return found
    return None


def _refused(why: str) -> errors.CallRefused:
    return errors.CallRefused(
        f"The JSON schema cannot be used: {why}.",
        next="Write a small schema of draft 2020-12: type, properties, required, items, enum.",
    )
