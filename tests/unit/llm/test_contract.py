"""What a model proposed is judged and never believed: nothing it writes crashes, and nothing odd is executable."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from alfred.llm import contract
from alfred.llm.contract import ModelTool, propose
from tests.table import table

READ = ModelTool("files__read", "", {})
TOOLS = [READ, ModelTool("shell__run", "", {})]


def one(args: Any, *, tool: str = "files__read", call_id: str = "c1") -> contract.ProposedCall:
    [call] = propose([(call_id, tool, args)], TOOLS)
    return call


@table(
    [
        ('{"path": "a"}', {"path": "a"}),
        ({"path": "a"}, {"path": "a"}),
        (' {"a": [1, 2.5, true, null, {"b": "ü"}]} ', {"a": [1, 2.5, True, None, {"b": "ü"}]}),
        ("{}", {}),
        ("", {}),
        (None, {}),
        ('{"a": "\\u0000b\\ud800"}', {"a": "b"}),
        ('{"a\\u0000": 1}', {"a": 1}),
        ('{"a": "\\ud83c\\udf88"}', {"a": "🎈"}),
    ]
)
def test_an_object_becomes_arguments(given: Any, args: dict[str, Any]) -> None:
    call = one(given)
    assert (call.args, call.raw, call.problem) == (args, None, None)


@table(
    [
        ("nonsense", "no valid JSON"),
        ('{"path": "a"', "no valid JSON"),
        ('{"path": "a"} {"path": "b"}', "no valid JSON"),
        ("{'path': 'a'}", "no valid JSON"),
        ('{"a": 1,}', "no valid JSON"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"path": "a", "path": "/etc/shadow"}', "appears twice"),
        ('{"x": {"a": 1, "a": 2}}', "appears twice"),
        ('{"a": ' + "9" * 5_000 + "}", "no valid JSON"),
        ("[1, 2]", "a list"),
        ('"text"', "a text"),
        ("7", "a number"),
        ("7.5", "a number"),
        ("true", "a truth value"),
        ("null", "null"),
        ("[" * 100_000, "JSON"),
        ('{"a":' * 100_000, "deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "deeper than 64"),
        ("\ud800", "no valid JSON"),
        ("\x00", "no valid JSON"),
        (b"{}", "not a JSON object"),
        (7, "a number"),
        ([1], "a list"),
        (math.nan, "a text"),
    ]
)
def test_what_is_no_object_is_a_problem_and_its_text_is_kept(given: Any, why: str) -> None:
    call = one(given)
    assert call.args is None
    assert call.problem and (
        "deep" in call.problem if why in ("JSON", "deep") else why in call.problem
    ), call.problem
    assert call.raw is not None
    if isinstance(given, str):
        assert call.raw == given.replace("\ud800", "").replace("\x00", "")


def test_sixty_four_levels_are_not_too_deep() -> None:
    assert one('{"a":' * 64 + "1" + "}" * 64).problem is None


def test_an_unknown_tool_is_a_problem_with_the_nearest_name() -> None:
    call = one("{}", tool="files__raed")
    assert call.problem == "No tool is named 'files__raed'. Did you mean 'files__read'?"
    assert call.tool == "files__raed"


def test_when_no_tool_is_offered_every_call_is_a_problem() -> None:
    [call] = propose([("c1", "files__read", "{}")], [])
    assert call.problem and "answer in words" in call.problem


def test_a_tools_name_is_cleaned_and_cut() -> None:
    assert one("{}", tool="a\x00\ud800" + "b" * 500).tool == "a" + "b" * 127


def test_the_second_use_of_an_id_is_a_problem_under_an_id_of_its_own() -> None:
    calls = propose([("x", "files__read", "{}")] * 3 + [("x-2", "files__read", "{}")], TOOLS)
    assert [call.id for call in calls] == ["x", "x-2", "x-3", "x-2-2"]
    assert [bool(call.problem) for call in calls] == [False, True, True, True]


def test_the_same_answer_is_judged_the_same_way_every_time() -> None:
    raw = [("", "nope", "{"), ("", "x y", None), ("ü" * 90, "files__read", {})]
    assert propose(raw, TOOLS) == propose(raw, TOOLS)


@hypothesis.given(
    st.lists(
        st.tuples(
            st.text(max_size=80) | st.sampled_from(["", "x", "x-2", "s1.1"]),
            st.text(max_size=80) | st.sampled_from(["files__read", "shell__run"]),
            st.none()
            | st.text()
            | st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            )
            | st.dictionaries(st.text(), st.integers() | st.text()).map(json.dumps),
        ),
        max_size=8,
    )
)
@pytest.mark.slow
def test_whatever_a_model_proposes_comes_out_storable_with_unique_ids(
    raw: list[tuple[str, str, Any]],
) -> None:
    calls = propose(raw, TOOLS)
    assert len(calls) == len(raw)
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        assert 1 <= len(call.id) <= 64
        assert (call.args is None) == (call.raw is not None)
        assert call.args is not None or call.problem
        assert call.problem or call.tool in ("files__read", "shell__run")
        stored = json.dumps(
            [call.id, call.tool, call.args, call.raw, call.problem],
            ensure_ascii=False,
            allow_nan=False,
        )
        assert "\x00" not in stored
        stored.encode()


@hypothesis.given(
    st.lists(st.text(max_size=90) | st.sampled_from(["a", "a-2", "a-3"]), max_size=30)
)
def test_a_name_is_given_out_once_and_the_same_way(wanted: list[str]) -> None:
    first, second = contract.Names(), contract.Names()
    given = [first.take(name) for name in wanted]
    assert len(set(given)) == len(given)
    assert given == [second.take(name) for name in wanted]


@hypothesis.given(st.text())
def test_a_wire_name_is_one_that_every_provider_takes(name: str) -> None:
    if not any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        assert contract.WIRE_NAME.fullmatch(contract.wire_name(name))


def test_prompt_bytes_count_everything_that_is_sent() -> None:
    small = contract.ModelRequest(model="x:y", system="", items=[])
    large = contract.ModelRequest(
        model="x:y",
        system="s" * 1_000,
        items=[{"kind": "user", "text": "ü" * 1_000}, {"kind": "user", "text": "\ud800"}],
        tools=[ModelTool("t", "d" * 1_000, {"x": "z" * 1_000})],
    )
    assert large.prompt_bytes() - small.prompt_bytes() > 5_000


def test_an_error_tells_its_kind_and_provider_as_a_problem() -> None:
    error = contract.ModelError("rate_limit", "slow down", retry_after_s=3, provider="anthropic")
    assert error.problem() == {
        "type": "urn:alfred:model",
        "title": "The model gave no answer that can be used.",
        "status": 500,
        "detail": "slow down",
        "code": "model",
        "next": None,
        "kind": "rate_limit",
        "provider": "anthropic",
    }
