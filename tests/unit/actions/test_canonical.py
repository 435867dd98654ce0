"""One text for one value, and a hash that changes with every part of what was approved."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.actions import Risk, canonical
from tests.table import table

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)

BOUND: dict[str, Any] = {
    "action": "files.delete",
    "schema_hash": "s",
    "args": {"path": "a", "n": 1},
    "target": {"sha": "x"},
    "tenant": "main",
    "run_id": "r",
    "risk": Risk.MEDIUM,
}


@given(JSON)
def test_the_text_means_the_value(value: Any) -> None:
    assert json.loads(canonical.canonical_json(value)) == value


@given(st.dictionaries(st.text("abc", max_size=3), st.integers(), max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical.digest(turned) == canonical.digest(value)


@table(
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0.0, -0.0),
        ("1", 1),
        (None, "null"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("a", "а"),
        ([], {}),
        ({"a": None}, {}),
        (["ab"], ["a", "b"]),
    ]
)
def test_values_that_are_not_the_same_have_other_texts(one: Any, other: Any) -> None:
    assert canonical.canonical_json(one) != canonical.canonical_json(other)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [-math.inf],
        {1: "a"},
        {None: 1},
        "\ud800",
        {"\ud800": 1},
        "a\0b",
        {"a\0": 1},
        b"a",
        {1, 2},
        object(),
        pytest.param(10**5000, id="5,001 digits"),
    ],
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        canonical.canonical_json(value)


def test_depth_has_a_limit() -> None:
    value: Any = 1
    for _ in range(canonical.MAX_DEPTH):
        value = [value]
    canonical.canonical_json(value)
    with pytest.raises(ValueError, match="nested"):
        canonical.canonical_json([value])
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested"):
        canonical.canonical_json(value)


@table(
    [
        ("action", "files.move"),
        ("schema_hash", "t"),
        ("args", {"path": "b", "n": 1}),
        ("args", {"path": "a", "n": 1.0}),
        ("args", {"path": "a"}),
        ("target", {"sha": "y"}),
        ("target", None),
        ("tenant", "other"),
        ("run_id", "s"),
        ("risk", Risk.HIGH),
    ]
)
def test_an_approval_is_bound_to_every_part(part: str, changed: Any) -> None:
    assert bound(BOUND | {part: changed}) != bound(BOUND)


def bound(parts: dict[str, Any]) -> str:
    return canonical.args_hash(**parts | {"args": canonical.canonical_json(parts["args"])})


def test_the_same_approval_has_the_same_hash_that_of_one_object() -> None:
    assert bound(BOUND | {"args": {"n": 1, "path": "a"}}) == bound(BOUND)
    names = {"schema_hash": "schema", "run_id": "run"}
    whole = {names.get(name, name): value for name, value in BOUND.items()}
    assert bound(BOUND) == canonical.digest(whole | {"risk": str(BOUND["risk"])})
