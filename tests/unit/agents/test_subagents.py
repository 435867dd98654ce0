"""How far an agent may hand work on: what its entry says, and which model its children are given."""

from __future__ import annotations

from typing import Any

import pytest

from alfred import errors
from alfred.agents import AgentRegistry, InvalidSubagentPolicy, SubagentPolicy
from tests.table import table

GIVEN = [
    (None, (2, 5, None)),
    ({}, (2, 5, None)),
    (0, (2, 0, None)),
    (False, (2, 0, None)),
    ({"max_children": 0}, (2, 0, None)),
    ({"max_depth": 0, "model": None}, (0, 5, None)),
    ({"max_depth": 3, "max_children": 20, "model": "cheap"}, (3, 20, "cheap")),
]


@table(GIVEN)
def test_an_entry_says_how_far_its_agent_hands_work_on(
    given: Any, means: tuple[int, int, str | None]
) -> None:
    found = AgentRegistry.from_config({"agents": {"a": {"subagents": given}}}).get("a").subagents
    assert (found.max_depth, found.max_children, found.model) == means


WRONG = [True, 1, -1, 0.0, "0x", [], {"max_depth": -1}, {"max_children": 1.5}, {"max_dept": 1}]


@table([(one,) for one in WRONG])
def test_what_does_not_say_it_is_an_error_and_no_wider_policy(given: Any) -> None:
    with pytest.raises(InvalidSubagentPolicy) as wrong:
        AgentRegistry.from_config({"agents": {"a": {"subagents": given}}})
    assert "agents.a.subagents" in wrong.value.detail


def test_a_policy_that_is_made_by_hand_is_checked_too() -> None:
    for wrong in ({"max_depth": -1}, {"max_children": True}, {"max_children": 2.0}):
        with pytest.raises(InvalidSubagentPolicy):
            SubagentPolicy(**wrong)  # type: ignore[arg-type]
    assert issubclass(InvalidSubagentPolicy, errors.ConfigError)


MODELS = [
    # argument, the target's own, the caller's subagents.model, subagent.model, the caller's -> which
    ("a:x", "b:x", "c:x", "d:x", "e:x", "a:x"),
    (None, "b:x", "c:x", "d:x", "e:x", "b:x"),
    (None, None, "c:x", "d:x", "e:x", "c:x"),
    (None, None, None, "d:x", "e:x", "d:x"),
    (None, None, None, None, "e:x", "e:x"),
    (None, None, None, None, None, None),
]


@table(MODELS)
def test_the_first_that_names_a_model_for_a_child_wins(
    argument: Any, own: Any, callers: Any, everyones: Any, parents: Any, wins: Any
) -> None:
    found = AgentRegistry.from_config(
        {
            "subagent": {"model": everyones},
            "agents": {
                "boss": {"model": "f:x", "subagents": {"model": callers}},
                "helper": {"model": own, "subagents": {"model": "never:x"}},
            },
        }
    )
    assert found.subagent_model("boss", argument, parents, target="helper") == wins
    unnamed = argument or callers or everyones or parents
    assert found.subagent_model("boss", argument, parents) == unnamed


def test_an_agent_may_start_as_many_as_its_entry_says() -> None:
    found = AgentRegistry.from_config(
        {"agents": {"a": {"subagents": {"max_children": 2}}, "b": None}}
    )
    assert [found.may_spawn("a", n) for n in (0, 1, 2, 3)] == [True, True, False, False]
