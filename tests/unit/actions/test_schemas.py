"""Values against a schema that somebody else wrote: right ones pass, wrong ones are told, a hostile schema does no harm."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from alfred import errors
from alfred.actions import schemas
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
    found = schemas.wrong(schema, args)
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
    assert told in (schemas.unusable(schema) or "")


def test_what_a_schema_refers_to_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket.socket, "connect", connect)
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}
    assert "cannot be checked" in schemas.wrong(schema, {"a": 1})[0].message
    assert schemas.unusable({"$ref": "http://127.0.0.1:9/schema"}) is not None


# ---- what a model writes


@table(
    [
        ({"type": "nothing"}, "is not valid"),
        ({"$ref": "#/$defs/d0", "$defs": DOUBLING}, "too tangled"),
        ({"anyOf": [{"$ref": "#"}]}, "it does not end"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "uses the reference"),
        ({"anyOf": [{"pattern": "(x+x+)+y"}]}, "uses pattern"),
        ({"properties": {"properties": {"pattern": "x"}}}, "uses pattern"),
        ({"allOf": [{}], "unevaluatedProperties": False}, "uses unevaluatedProperties"),
        ({"enum": ["x" * schemas.LONGEST]}, "characters, more than"),
        ({"properties": {"pattern": {"enum": ["pattern"]}}, "default": {"pattern": 1}}, None),
    ]
)
def test_a_model_is_told_why_its_schema_is_not_taken(schema: Any, told: str | None) -> None:
    if told is None:
        schemas.check(schema)
        return
    with pytest.raises(errors.CallRefused, match=told):
        schemas.check(schema)


@pytest.mark.slow
def test_a_schema_is_held_against_a_value_for_so_many_steps() -> None:
    counts = {"items": {"anyOf": [{"const": n} for n in range(400)]}}
    assert "Tangled" in schemas.problems(counts, [399] * 5_000)[-1]
    distinct = [{"n": n} for n in range(3_000)]
    assert schemas.problems({"uniqueItems": True}, distinct) == []
    (told,) = schemas.problems({"uniqueItems": True}, [*distinct, {"n": 2.0}])
    assert "non-unique" in told
    assert schemas.problems({"uniqueItems": True}, [1, True, "1", {"n": 1}, {"n": 1.5}]) == []


@table(
    [
        ("[" * 100_000, "no JSON"),
        ("NaN", "no JSON"),
        ("[1e999]", "no JSON"),
        ("9" * 5_000, "no JSON"),
        ("```", "no JSON"),
        (f'"{"x" * schemas.LONGEST_VALUE}"', "more than"),
        ("```json\n[1]\n```", None),
    ]
)
def test_a_text_that_is_no_json_value_is_told(text: str, told: str | None) -> None:
    if told is None:
        assert schemas.parse(text) == [1]
        return
    with pytest.raises(ValueError, match=told):
        schemas.parse(text)


def test_another_dialect_within_a_schema_takes_no_step_for_nothing() -> None:
    again = "https://json-schema.org/draft/2020-12/schema"
    within = {
        name: {"$schema": again, **one} for name, one in DOUBLING.items() if isinstance(one, dict)
    }
    hostile = {"$ref": "#/$defs/d0", "$defs": within | {"d14": True}}
    assert "too tangled" in (schemas.unusable(hostile) or "")
