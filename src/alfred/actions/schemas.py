"""Values against JSON schemas that somebody else wrote: a model, or a server that may mean harm.

Invariants: nothing is fetched, whatever a schema refers to; a schema that does not end, or takes more than `STEPS` steps, is an
answer and no hang. Patterns, and what is left over between parts of a schema, are never tried: a pattern can take for
ever. A model is told to leave them out; a server's are left to itself, which checks them again behind the wire. Values are
taken as they were given: nothing is repaired and no default is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.errors import Problem
from alfred.trust import redact

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

LONGEST = 10_000
"""Characters of a schema that a model writes, as JSON."""

LONGEST_VALUE = 200_000
"""Characters of a text that is held against one."""

TOLD = 5
"""Of all that does not fit, so many are told to a model."""

STEPS = 100_000
"""Words of a schema that are held against something for one check; a list counts by its length, a reference as `_FOLLOWED`."""

_FOLLOWED = 50
_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Where keys are names."""
_VALUES = frozenset({"enum", "const", "default", "examples"})
_LEFT = frozenset({"pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems"})
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_REFUSED = _LEFT | {"$dynamicRef", "$recursiveRef"}


class Tangled(Exception):
    """A schema that takes too many steps."""


# ---- schemas that a model writes


def check(schema: dict[str, Any]) -> None:
    """Whether this is a schema that values can be held against.

    Raises:
        CallRefused: it is none, or none that is taken; the text says why.
    """
    try:
        size = len(json.dumps(schema, ensure_ascii=False))
        beyond = _beyond(schema)
    except RecursionError:
        raise _refused("it is nested too deep") from None
    if size > LONGEST:
        raise _refused(f"it has {size} characters, more than {LONGEST}")
    if beyond is not None:
        raise _refused(f"it uses {beyond}")
    if (why := unusable(schema)) is not None:
        raise _refused(why)


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    """What about the value does not fit, each with its place; nothing when it fits. Never raises."""
    found = []
    try:
        for problem in _errors(schema, value):
            found.append(f"{problem.json_path}: {redact.redact(problem.message)[:200]}")
            if len(found) == TOLD:
                break
    except Exception as why:
        found.append(f"it cannot be held against the schema ({type(why).__name__})")
    return found


def parse(text: str) -> Any:
    """The JSON value that a text is, also between the marks of a code block.

    Raises:
        ValueError: it is none, or longer than what is held against a schema.
    """
    said = text.strip()
    if said.startswith("```") and said.endswith("```"):
        said = said.removeprefix("```json").strip("`").strip()
    if len(said) > LONGEST_VALUE:
        raise ValueError(f"it has {len(said)} characters, more than {LONGEST_VALUE}")
    try:
        value = json.loads(said, parse_constant=_no_number)
        json.dumps(value, allow_nan=False)  # 1e999 is no number either
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    return value


def _no_number(said: str) -> float:
    raise ValueError(said)


def _beyond(schema: Any, *, names: bool = False) -> str | None:
    """Something in a schema that is not taken."""
    inside: Any = ()
    if isinstance(schema, dict):
        for key, value in schema.items():
            if not names and key in _REFUSED:
                return key
            if not names and key == "$ref" and isinstance(value, str) and value[:1] != "#":
                return f"the reference {value[:80]!r}"
        inside = [
            _beyond(value, names=not names and key in _SCHEMAS)
            for key, value in schema.items()
            if names or key not in _VALUES
        ]
    elif isinstance(schema, list):
        inside = [_beyond(value) for value in schema]
    return next((found for found in inside if found is not None), None)


def _refused(why: str) -> errors.CallRefused:
    return errors.CallRefused(
        f"The JSON schema cannot be used: {why}.",
        next="Write a small schema of draft 2020-12: type, properties, required, items, enum.",
    )


# ---- schemas that a server writes


def unusable(schema: Mapping[str, Any]) -> str | None:
    """Why values cannot be checked against a schema; None when they can."""
    import jsonschema
    import referencing.exceptions

    try:
        _kind(schema).check_schema(_checked(schema, top=True))
        list(_errors(schema, {}))
    except jsonschema.SchemaError as why:
        return redact.redact(why.message)[:200]
    except Tangled:
        return "it is too tangled to be checked"
    except RecursionError:
        return "it does not end"
    except referencing.exceptions.Unresolvable as why:
        return f"it refers to {str(why.ref)[:100]!r}, which is not in it"
    except Exception as why:  # whatever a hostile schema makes the library do
        return f"it cannot be read ({type(why).__name__})"
    return None


def wrong(schema: Mapping[str, Any], args: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with arguments, in no order; also that they cannot be checked. Never raises."""
    try:
        return [
            Problem(
                ".".join(str(part) for part in error.absolute_path),
                redact.redact(error.message)[:300],
                _short(error.instance),
            )
            for error in _errors(schema, dict(args))
        ]
    except Exception as why:
        return [Problem("", f"cannot be checked against the tool's schema ({type(why).__name__})")]


def _short(value: Any) -> str:
    said = redact.redact(json.dumps(value, ensure_ascii=False, default=str))
    return said if len(said) < 100 else f"{said[:100]}…"


# ---- the check


def _errors(schema: Mapping[str, Any], value: Any) -> Iterator[ValidationError]:
    """What is wrong with a value, in no order.

    Raises:
        Exception: the schema cannot be used for this value.
    """
    from referencing import Registry

    # an own registry: the library's would fetch what a reference names
    checker = _bounded(_kind(schema))(_checked(schema, top=True), registry=Registry())
    return checker.iter_errors(value)


def _kind(schema: Mapping[str, Any]) -> Any:
    from jsonschema import validators

    return validators.validator_for(dict(schema), default=validators.Draft202012Validator)


def _bounded(kind: Any) -> Any:
    """The validator of a dialect that counts its steps."""
    from jsonschema import validators

    left = [STEPS]

    def counted(word: str, follow: Any) -> Any:
        def step(validator: Any, said: Any, *given: Any) -> Any:
            left[0] -= _FOLLOWED if word in _REFERENCES else _weight(said)
            if left[0] < 0:
                raise Tangled
            return follow(validator, said, *given)

        return step

    follows = {word: counted(word, follow) for word, follow in kind.VALIDATORS.items()}
    if "uniqueItems" in follows:
        follows["uniqueItems"] = _unique
    return validators.extend(kind, follows)


def _weight(said: Any) -> int:
    return 1 + len(said) // 10 if isinstance(said, list | dict) else 1


def _unique(validator: Any, said: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """Whether no two items of a list are equal: by their text, so that a long list takes no longer than to be read."""
    from jsonschema.exceptions import ValidationError

    if said and validator.is_type(value, "array"):
        texts = {json.dumps(_number(item), sort_keys=True) for item in value}
        if len(texts) < len(value):
            yield ValidationError(f"non-unique elements in {redact.redact(str(value))[:100]}")


def _number(value: Any) -> Any:
    """A value in which 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _number(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_number(inside) for inside in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _checked(schema: Any, *, names: bool = False, top: bool = False) -> Any:
    """A schema without what is not checked here."""
    if isinstance(schema, Mapping):
        if names:
            return {name: _checked(one) for name, one in schema.items()}
        left = set(_LEFT)
        if not top:
            left.add("$schema")  # another dialect within would be one that counts nothing
        if "patternProperties" in schema:
            left.add("additionalProperties")  # which others these are, patterns say
        return {
            key: value if key in _VALUES else _checked(value, names=key in _SCHEMAS)
            for key, value in schema.items()
            if key not in left
        }
    if isinstance(schema, list | tuple):
        return [_checked(one) for one in schema]
    return schema
