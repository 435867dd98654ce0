"""The neutral transcript as a provider's messages: complete pairs, stable prefixes, nothing lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from alfred.llm import messages
from tests.unit.llm.conftest import result, user


def said(text: str, *ids: str, native: Any = None) -> dict[str, Any]:
    calls = [{"id": call_id, "tool": "files__read", "args": {"path": call_id}} for call_id in ids]
    return {"kind": "assistant", "text": text, "calls": calls, "native": native}


def note(text: str) -> dict[str, Any]:
    return {"kind": "note", "text": text}


def shown(items: list[dict[str, Any]]) -> list[Any]:
    """The messages as tuples that a person can compare."""
    kinds = {
        "user-prompt": lambda p: ("user", p.content),
        "text": lambda p: ("text", p.content),
        "tool-call": lambda p: ("call", p.tool_call_id),
        "tool-return": lambda p: ("result", p.tool_call_id, p.outcome, p.content),
    }
    return [
        [kinds[part.part_kind](part) for part in message.parts] for message in messages.build(items)
    ]


def test_a_conversation_becomes_messages_in_its_order() -> None:
    items = [
        user("Go."),
        said("Reading.", "a", "b"),
        result("a", "A"),
        result("b", "no", error=True),
        note("hurry"),
    ]
    assert shown(items) == [
        [("user", "Go.")],
        [("text", "Reading."), ("call", "a"), ("call", "b")],
        [
            ("result", "a", "success", "A"),
            ("result", "b", "failed", "no"),
            ("user", "[note] hurry"),
        ],
    ]


def test_results_come_before_what_was_said_between_them() -> None:
    items = [user("Go."), said("", "a", "b"), result("a", "A"), user("Wait!"), result("b", "B")]
    assert shown(items)[2] == [
        ("result", "a", "success", "A"),
        ("result", "b", "success", "B"),
        ("user", "Wait!"),
    ]


def test_a_call_without_a_result_is_closed() -> None:
    [_, _, closing] = shown([user("Go."), said("", "a"), user("Go on.")])
    assert closing[0][:3] == ("result", "a", "interrupted")
    assert closing[1] == ("user", "Go on.")


def test_an_answer_whose_calls_have_no_results_yet_is_closed_too() -> None:
    assert shown([user("Go."), said("", "a")])[2][0][:3] == ("result", "a", "interrupted")


@pytest.mark.parametrize(
    "items",
    [
        [user("Go."), result("gone", "OUTCOME")],
        [user("Go."), said("", "gone"), result("gone", "A"), result("gone", "OUTCOME")],
        [user("Go."), said("", "gone"), result("gone", "A"), said("ok"), result("gone", "OUTCOME")],
        [
            user("Go."),
            said("", "gone"),
            said("hm", "x"),
            result("x", "X"),
            result("gone", "OUTCOME"),
        ],
    ],
    ids=[
        "its call was cut away",
        "a second one",
        "after another answer",
        "its call was never answered",
    ],
)
def test_a_result_that_fits_no_open_call_is_told_as_a_note(items: list[dict[str, Any]]) -> None:
    flat = [part for message in shown(items) for part in message]
    assert [
        part for part in flat if part[0] == "user" and "OUTCOME" in part[1] and "gone" in part[1]
    ]
    assert not [part for part in flat if part[0] == "result" and part[3] == "OUTCOME"]


def test_an_id_that_comes_again_in_a_later_turn_belongs_to_that_turn() -> None:
    items = [
        user("Go."),
        said("", "call_0"),
        result("call_0", "1"),
        said("", "call_0"),
        result("call_0", "2"),
    ]
    flat = [part for message in shown(items) for part in message]
    assert flat[1:] == [
        ("call", "call_0"),
        ("result", "call_0", "success", "1"),
        ("call", "call_0-2"),
        ("result", "call_0-2", "success", "2"),
    ]


def test_ids_of_a_scenario_become_ids_that_a_provider_takes() -> None:
    flat = [
        part
        for message in shown([user("Go."), said("", "s1.1"), result("s1.1", "x")])
        for part in message
    ]
    assert flat[1][1] == flat[2][1]
    assert flat[1][1].replace("_", "").isalnum()


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\x00", "\ud800"])
def test_blank_words_are_said_to_be_empty(blank: str) -> None:
    assert shown([user(blank)]) == [[("user", "(empty)")]]


def test_arguments_that_were_malformed_go_back_word_for_word_within_an_object() -> None:
    item = {
        "kind": "assistant",
        "text": "",
        "calls": [{"id": "a", "tool": "no such!", "args": "{broken"}],
        "native": None,
    }
    [_, answer, _] = messages.build([user("Go."), item, result("a", "no", error=True)])
    assert answer.parts[0].args == {messages.UNREAD: "{broken"}  # type: ignore[union-attr]
    assert answer.parts[0].tool_name.startswith("no_such_")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "native",
    [None, {}, {"format_version": 2, "message": {}}, {"format_version": 1}, {"format_version": 1, "message": {"parts": 7}},
     {"format_version": 1, "message": {"kind": "request", "parts": []}}],
)  # fmt: skip
def test_a_native_message_that_cannot_be_read_falls_back_to_text_and_calls(native: Any) -> None:
    assert shown([user("Go."), said("Hi.", "a", native=native), result("a", "A")])[1] == [
        ("text", "Hi."),
        ("call", "a"),
    ]


@pytest.mark.parametrize("items", [[], [said("Hi.")], [user("Go."), said("Done.")]])
def test_a_transcript_with_nothing_to_answer_is_refused(items: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="anything to answer"):
        messages.build(items)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'thought'"):
        messages.build([{"kind": "thought", "text": "x"}])


IDS = st.sampled_from(["call_0", "call_1", "a", "b", "s1.1"])
ITEMS = st.lists(
    st.builds(user, st.text(max_size=8))
    | st.builds(note, st.text(max_size=8))
    | st.builds(lambda text, ids: said(text, *ids), st.text(max_size=8), st.lists(IDS, max_size=3))
    | st.builds(result, IDS, st.text(max_size=8), error=st.booleans()),
    max_size=14,
)


@hypothesis.given(ITEMS)
def test_any_transcript_becomes_one_that_a_provider_takes(items: list[dict[str, Any]]) -> None:
    built = messages.build([user("Go."), *items, user("?")])
    open_calls: list[str] = []
    seen: set[str] = set()
    for message in built:
        answered = [part.tool_call_id for part in message.parts if part.part_kind == "tool-return"]
        assert sorted(answered) == sorted(open_calls), (
            "every call is answered in the message after it, once"
        )
        open_calls = [part.tool_call_id for part in message.parts if part.part_kind == "tool-call"]
        assert not seen & set(open_calls)
        seen |= set(open_calls)
        assert message.parts
    assert built[-1].kind == "request"
    roles = [message.kind for message in built]
    assert all(not (one == two == "request") for one, two in itertools.pairwise(roles))


@hypothesis.given(ITEMS)
def test_the_same_items_give_the_same_messages(items: list[dict[str, Any]]) -> None:
    whole = [user("Go."), *items, user("?")]
    assert shown(whole) == shown(json.loads(json.dumps(whole)))


@hypothesis.given(ITEMS, ITEMS)
def test_what_comes_after_an_answer_never_changes_what_was_before_it(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    first = [user("Go."), *before, user("?")]
    asked = shown(first)
    later = shown([*first, said("Answer."), *after, user("!")])
    assert later[: len(asked)] == asked
