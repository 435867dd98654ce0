"""Storable text: the same on every database, and nothing lost silently."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from alfred.trust.text import sanitize


def test_nul_and_lone_surrogates_are_taken_out_of_values_and_keys() -> None:
    dirty = {"a\0": ["x\0y", {"\ud800k": "v\udfff"}], "n": 1, "t": None}
    assert sanitize(dirty) == ({"a": ["xy", {"k": "v"}], "n": 1, "t": None}, True)


def test_a_clean_value_is_returned_as_it_is() -> None:
    clean = {"a": [1, 2.5, None, True, "ü\U0001f600\n\t\x01"], "b": {"c": ()}}
    same, changed = sanitize(clean)
    assert same is clean
    assert changed is False


def test_two_halves_of_a_pair_become_the_character() -> None:
    assert sanitize("\ud83d\ude00") == ("\U0001f600", True)
    assert sanitize("\ude00\ud83d") == ("", True)
    assert sanitize("a\ud83d\ud83d\ude00\ude00b") == ("a\U0001f600b", True)


def test_two_keys_that_become_one_are_both_kept_and_the_clean_one_keeps_its_name() -> None:
    clean, changed = sanitize({"a\0": 1, "a": 2, "\0a": 3})
    assert clean == {"a": 2, "a (2)": 1, "a (3)": 3}
    assert changed


def test_numbers_that_json_does_not_know_become_text() -> None:
    clean, changed = sanitize([math.nan, math.inf, -math.inf, 1.5])
    assert clean == ["NaN", "Infinity", "-Infinity", 1.5]
    assert changed


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
    | st.text("a\0\ud800\udfff", max_size=6),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("ab\0\ud800", max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(_json)
def test_what_comes_out_can_be_stored_everywhere_and_a_second_pass_changes_nothing(
    value: object,
) -> None:
    clean, changed = sanitize(value)
    text = json.dumps(clean, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")
    assert "\\u0000" not in text
    assert sanitize(clean) == (clean, False)
    if not changed:
        assert clean is value


@given(_json)
def test_nothing_is_lost_but_the_characters(value: object) -> None:
    def leaves(item: object) -> int:
        if isinstance(item, dict):
            return sum(map(leaves, item.values()))
        return sum(map(leaves, item)) if isinstance(item, list) else 1

    assert leaves(sanitize(value)[0]) == leaves(value)
