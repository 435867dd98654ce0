"""Arguments against a schema that a stranger wrote: right ones pass, wrong ones are told, a hostile schema does no harm."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from alfred.actions import foreign
from tests.table import table

OBJECT = {"type": "object"}
DOUBLING = {
    f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(14)
} | {"d14": True}  # fmt: skip


@table(
    [
        (OBJECT, {"any": [1]}, None),
        ({**OBJECT, "properties": {"a": {"type": "integer"}}}, {"a": 1}, None),
        ({**OBJECT, "properties": {"a": {"type": "integer"}}}, {"a": "1"}, "is not of type 'integer'"),
        ({**OBJECT, "required": ["a"]}, {}, "'a' is a required property"),
        ({**OBJECT, "additionalProperties": False}, {"x": 1}, "'x' was unexpected"),
        ({**OBJECT, "properties": {"a": {"enum": ["x"]}}}, {"a": "y"}, "is not one of"),
        ({**OBJECT, "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"minimum": 3}}}, {"a": 1}, "less than"),
        # whoever wrote a pattern checks it
        ({**OBJECT, "properties": {"a": {"pattern": "(x+x+)+y"}}}, {"a": "x" * 24}, None),
        ({**OBJECT, "patternProperties": {"(x+x+)+y": {}}, "additionalProperties": False}, {"x" * 24: 1}, None),
        # an argument that is called so is an argument
        ({**OBJECT, "properties": {"pattern": {"type": "string"}}}, {"pattern": 1}, "is not of type 'string'"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"const": 1}}}, {"a": 2}, "1 was expected"),
    ]
)  # fmt: skip
def test_arguments_are_checked_as_the_schema_says(schema: Any, args: Any, told: str | None) -> None:
    found = foreign.wrong(schema, args)
    assert (told is None) == (found == []), found
    assert told is None or told in found[0].message


@table(
    [
        ({"type": "nothing"}, "is not valid"),
        ({"$ref": "#/$defs/none"}, "which is not in it"),
        ({"$ref": "#"}, "it does not end"),
        ({"$ref": "#/$defs/d0", "$defs": DOUBLING}, "too tangled"),
    ]
)
def test_a_schema_that_nothing_can_be_checked_against_is_told(schema: Any, told: str) -> None:
    assert told in (foreign.unusable(schema) or "")


def test_what_a_schema_refers_to_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket.socket, "connect", connect)
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}
    assert "cannot be checked" in foreign.wrong(schema, {"a": 1})[0].message
    assert foreign.unusable({"$ref": "http://127.0.0.1:9/schema"}) is not None
