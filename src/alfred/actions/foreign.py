"""Arguments against a JSON schema that somebody else wrote, who may mean harm.

Invariants: nothing is fetched, whatever a schema refers to; a schema that does not end, or takes more than `STEPS` steps,
is an answer and no hang. Patterns, and what is left over between parts of a schema, are left to whoever wrote it: a
pattern can take for ever, and it is checked again behind the wire. Arguments are taken as they were given: nothing is
repaired and no default is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from alfred.errors import Problem
from alfred.trust import redact

STEPS = 2_000
"""References that are followed for one check."""

_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Where keys are names."""
_VALUES = frozenset({"enum", "const", "default", "examples"})
_LEFT = frozenset({"pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems"})


class Tangled(Exception):
    """A schema that takes too many steps."""


def unusable(schema: Mapping[str, Any]) -> str | None:
    """Why arguments cannot be checked against a schema; None when they can."""
    import jsonschema
    import referencing.exceptions

    try:
        _kind(schema).check_schema(_checked(schema))
        list(problems(schema, {}))
    except jsonschema.SchemaError as why:
        return why.message[:200]
    except Tangled:
        return "it is too tangled to be checked"
    except RecursionError:
        return "it does not end"
    except referencing.exceptions.Unresolvable as why:
        return f"it refers to {str(why.ref)[:100]!r}, which is not in it"
    except Exception as why:  # whatever a hostile schema makes the library do
        return f"it cannot be read ({type(why).__name__})"
    return None


def problems(schema: Mapping[str, Any], args: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with arguments, in no order.

    Raises:
        Exception: the schema cannot be used for these arguments.
    """
    from referencing import Registry

    # an own registry: the library's would fetch what a reference names
    checker = _bounded(_kind(schema))(_checked(schema), registry=Registry())
    for error in checker.iter_errors(dict(args)):
        where = ".".join(str(part) for part in error.absolute_path)
        yield Problem(where, redact.redact(error.message)[:300], _short(error.instance))


def wrong(schema: Mapping[str, Any], args: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with arguments; also that they cannot be checked. Never raises."""
    try:
        return list(problems(schema, args))
    except Exception as why:
        return [Problem("", f"cannot be checked against the tool's schema ({type(why).__name__})")]


def _kind(schema: Mapping[str, Any]) -> Any:
    from jsonschema import validators

    return validators.validator_for(dict(schema), default=validators.Draft202012Validator)


def _bounded(kind: Any) -> Any:
    """The validator of a dialect that counts the references that it follows."""
    from jsonschema import validators

    left = [STEPS]

    def counted(follow: Any) -> Any:
        def step(*given: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Tangled
            return follow(*given)

        return step

    follows = {
        word: counted(kind.VALIDATORS[word])
        for word in ("$ref", "$dynamicRef", "$recursiveRef")
        if word in kind.VALIDATORS
    }
    return validators.extend(kind, follows)


def _checked(schema: Any, *, names: bool = False) -> Any:
    """A schema without what is not checked here."""
    if isinstance(schema, Mapping):
        if names:
            return {name: _checked(one) for name, one in schema.items()}
        left = set(_LEFT)
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


def _short(value: Any) -> str:
    said = redact.redact(json.dumps(value, ensure_ascii=False, default=str))
    return said if len(said) < 100 else f"{said[:100]}…"
