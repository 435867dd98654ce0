"""Arguments: what is mended, what is refused, and what the model is told."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from alfred.actions import Secret, action, arguments, declare
from alfred.actions.arguments import Invalid, Valid
from alfred.trust import redact
from tests.table import table


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


@action("test.all", integration="test")
def everything(
    path: str,
    max_results: int = 20,
    ratio: float = 0.5,
    force: bool = False,
    tags: list[str] | None = None,
    sizes: list[int] | None = None,
    either: int | str = 1,
    colour: Colour = Colour.RED,
    mode: Literal["r", "w"] = "r",
    where: Path = Path("x"),
    point: Point | None = None,
    more: dict[str, Any] | None = None,
    *,
    key: str,
    ctx: object,
    token: Annotated[str, Secret("TOKEN")],
) -> None:
    """Takes everything."""


EVERYTHING = declare.build(everything)
DEFAULTS: dict[str, Any] = {
    "path": "a",
    "max_results": 20,
    "ratio": 0.5,
    "force": False,
    "tags": None,
    "sizes": None,
    "either": 1,
    "colour": "red",
    "mode": "r",
    "where": "x",
    "point": None,
    "more": None,
}


def valid(args: Mapping[str, Any]) -> Valid:
    checked = arguments.validate(EVERYTHING, {"path": "a", **args})
    assert isinstance(checked, Valid), str(checked)
    return checked


def problems(args: Any) -> Invalid:
    checked = arguments.validate(EVERYTHING, args)
    assert isinstance(checked, Invalid), checked
    return checked


def test_defaults_are_filled_in() -> None:
    assert valid({}).args == DEFAULTS


def test_functions_get_what_they_ask_for_and_the_rest_gets_json() -> None:
    checked = valid({"where": "a/b", "colour": "blue", "point": {"x": 1}})
    assert (checked.values["where"], checked.values["colour"]) == (Path("a/b"), Colour.BLUE)
    assert checked.values["point"] == Point(x=1)
    assert checked.args == DEFAULTS | {"where": "a/b", "colour": "blue", "point": {"x": 1, "y": 0}}


@pytest.mark.parametrize(
    "key", ["max_results", "maxResults", "max-results", "MaxResults", "MAX_RESULTS"]
)
def test_names_are_taken_in_other_spellings(key: str) -> None:
    assert valid({key: 3}).args["max_results"] == 3


@table(
    [
        ({"max_results": "5"}, {"max_results": 5}),
        ({"max_results": "-5"}, {"max_results": -5}),
        ({"max_results": 5.0}, {"max_results": 5}),
        ({"ratio": 1}, {"ratio": 1.0}),
        ({"ratio": "0.25"}, {"ratio": 0.25}),
        ({"force": "true"}, {"force": True}),
        ({"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
        ({"sizes": ["1", 2.0]}, {"sizes": [1, 2]}),
        ({"point": '{"x": "1"}'}, None),
        ({"point": '{"x": 1}'}, {"point": {"x": 1, "y": 0}}),
        ({"max_results": None}, {}),
        ({"force": None}, {}),
        ({"either": "5"}, {"either": "5"}),
        ({"path": "5"}, {"path": "5"}),
    ]
)
def test_a_value_is_mended_only_where_nothing_is_lost(
    given: dict[str, Any], meant: dict[str, Any] | None
) -> None:
    if meant is None:
        problems({"path": "a"} | given)
    else:
        assert valid(given).args == DEFAULTS | meant


@table(
    [
        {"max_results": "five"},
        {"max_results": "5.0"},
        {"max_results": "05"},
        {"max_results": " 5"},
        {"max_results": "1e3"},
        {"max_results": "٥"},
        {"max_results": 5.5},
        {"max_results": 1e300},
        {"max_results": True},
        {"max_results": [5]},
        {"ratio": "a lot"},
        {"ratio": "1e3"},
        {"ratio": "NaN"},
        {"ratio": True},
        {"force": 1},
        {"force": "yes"},
        {"force": "True"},
        {"path": 5},
        {"path": None},
        {"path": ["a"]},
        {"tags": "a"},
        {"tags": "a,b"},
        {"tags": "{}"},
        {"tags": [1]},
        {"colour": "green"},
        {"colour": "RED"},
        {"mode": "x"},
        {"point": {"x": 1, "z": 2}, "nothing": 1},
        {"point": {}},
        {"more": []},
    ]
)
def test_a_value_that_would_have_to_be_guessed_is_refused(given: dict[str, Any]) -> None:
    problems({"path": "a"} | given)


@pytest.mark.parametrize("args", [None, [], "", "path", 3, [("path", "a")]])
def test_arguments_must_be_an_object(args: Any) -> None:
    assert "must be an object" in str(problems(args))


@pytest.mark.parametrize(
    "args",
    [
        {"path": "a\0b"},
        {"path": "\ud800"},
        {"path": "a", "ratio": math.nan},
        {"path": "a", "ratio": math.inf},
        {"path": "a", "more": {"x": math.nan}},
        {"path": "a", "more": {"x\0": 1}},
        {"path": "a", "more": {1: 1}},
        {"path": "a", "more": {"x": b"a"}},
        pytest.param({"path": "a", "max_results": 10**5000}, id="5,001 digits"),
        {1: "a"},
        {"path": "a", None: 1},
        {"path": "a", "\ud800": 1},
        {"path": "a", "x\0": 1},
    ],
)
def test_what_json_or_a_database_cannot_hold_is_refused(args: Any) -> None:
    told = str(problems(args))
    told.encode()
    assert "\0" not in told


def test_a_value_that_is_too_deep_is_refused() -> None:
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    assert "nested" in str(problems({"path": "a", "more": {"x": value}}))
    assert "array" in str(problems({"path": "a", "tags": "[" * 100_000}))


def test_an_unknown_argument_is_told_the_nearest_and_all_names() -> None:
    (problem,) = problems({"path": "a", "max_result": 3}).problems
    assert problem.field == "max_result"
    assert "Did you mean 'max_results'?" in problem.message
    assert "It takes: path, max_results, ratio" in problem.message


def test_nothing_unknown_is_dropped() -> None:
    assert [p.field for p in problems({"path": "a", "x": 1, "y": None}).problems] == ["x", "y"]


def test_a_missing_argument_is_told_with_all_names() -> None:
    (problem,) = problems({}).problems
    assert (problem.field, problem.message[:11]) == ("path", "is required")
    assert "It takes: path," in problem.message


@pytest.mark.parametrize("name", ["key", "ctx", "token"])
def test_what_is_injected_cannot_be_given(name: str) -> None:
    (problem,) = problems({"path": "a", name: "x"}).problems
    assert "filled in by alfred" in problem.message


def test_one_argument_in_two_spellings_is_refused() -> None:
    (problem,) = problems({"path": "a", "max_results": 1, "maxResults": 2}).problems
    assert "two spellings" in problem.message


def test_a_spelling_that_could_be_two_arguments_is_refused() -> None:
    @action("test.two", integration="test")
    def two(a_b: int = 0, aB: int = 0) -> None: ...

    built = declare.build(two)
    assert isinstance(arguments.validate(built, {"a-b": 1}), Invalid)
    checked = arguments.validate(built, {"aB": 1})
    assert isinstance(checked, Valid)
    assert checked.args == {"a_b": 0, "aB": 1}


def test_many_problems_are_cut_and_counted() -> None:
    told = problems({"path": "a"} | {f"x{n}": n for n in range(500)})
    assert len(told.problems) == arguments.SHOWN + 1
    assert told.problems[-1].message == "and 480 more problems"


def test_a_long_value_is_not_repeated() -> None:
    told = problems({"path": "a", "max_results": "x" * 1_000_000, "y" * 1_000_000: 1})
    assert len(str(told)) < 2_000
    assert all(len(str(problem.got)) < 200 for problem in told.problems)


def test_a_secret_is_out_before_a_value_is_cut() -> None:
    secret = "correct horse battery staple"
    redact.register(secret, "MINE")
    try:
        for told in (problems({"x" * 85 + secret: 1}), problems({"nothing": "x" * 85 + secret})):
            assert "correct" not in str(told) + str([problem.got for problem in told.problems])
    finally:
        redact.forget_all()


def test_an_action_without_arguments_says_so() -> None:
    @action("test.none", integration="test")
    def none() -> None: ...

    built = declare.build(none)
    assert arguments.validate(built, {}) == Valid({}, {}, "{}")
    checked = arguments.validate(built, {"x": 1})
    assert isinstance(checked, Invalid)
    assert "takes no arguments" in str(checked)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*DEFAULTS, "x", "maxResults"]), JSON, max_size=6) | JSON)
def test_validation_never_raises_and_is_stable(args: Any) -> None:
    checked = arguments.validate(EVERYTHING, args)
    if isinstance(checked, Valid):
        again = arguments.validate(EVERYTHING, checked.args)
        assert isinstance(again, Valid)
        assert again.args == checked.args
