"""What a rule with conditions covers: the calls of exactly its kind, and nothing that is more than that."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alfred.actions import Effect, Risk, action, arguments, conditions, declare
from alfred.actions.conditions import Asked
from alfred.config_schema import PolicyRule
from tests.table import table


@action("world.act", integration="world", risk=Risk.MEDIUM, effect=Effect.BLIND)
def act(
    path: str,
    command: str = "",
    content: str = "",
    force: bool = False,
    count: int = 1,
    paths: list[str] | None = None,
) -> None:
    """Does it."""


ACT = declare.build(act)


def asked(**more: Any) -> Asked:
    """A call of `world.act`."""
    about: dict[str, Any] = {"folder": "/p", "to": None, "today": "2026-05-01"}
    about |= {name: more.pop(name) for name in list(more) if name in about}
    to = about.pop("to")
    args = arguments.validate(ACT, {"path": "docs/a.md"} | more)
    assert isinstance(args, arguments.Valid), args
    return Asked(action=ACT, args=args.args, to=lambda: to, **about)


def covers(rule: dict[str, Any], call: Asked) -> bool:
    said = {"action": "world.act", "mode": "autonomous", **rule}
    return conditions.uncovered(PolicyRule.model_validate(said), call) is None


DOCS = {"args": {"path": {"below": "docs"}}}
PATH = {"path": "docs/a.md"}


@table(
    [
        # each argument is named, free, or has its default
        ({"args": PATH}, {}, True),
        ({"args": PATH}, {"path": "docs/b.md"}, False),
        ({"args": PATH}, {"content": "x"}, False),
        ({"args": PATH, "free": ["content"]}, {"content": "x"}, True),
        ({"args": PATH, "free": ["content"]}, {"content": "x", "force": True}, False),
        ({"args": PATH | {"force": "true"}}, {"force": True}, True),
        ({"args": PATH | {"force": "true"}}, {}, False),
        ({"args": PATH | {"count": 2}}, {"count": 2}, True),
        ({"args": PATH | {"count": "2"}}, {"count": 20}, False),
        ({"args": PATH | {"paths": '["a","b"]'}}, {"paths": ["a", "b"]}, True),
        ({"args": PATH | {"paths": '["a"]'}}, {"paths": ["a", "b"]}, False),
        ({"args": PATH | {"paths": None}}, {}, True),
        ({"args": PATH | {"nothing": "x"}}, {}, False),
        ({"free": ["content"]}, {}, False),
        # below a folder
        (DOCS, {}, True),
        (DOCS, {"path": "./docs/x/y"}, True),
        (DOCS, {"path": "docs"}, False),
        (DOCS, {"path": "docs2/a.md"}, False),
        (DOCS, {"path": "docs/../.git/config"}, False),
        (DOCS, {"path": "docs//a"}, False),
        (DOCS, {"path": "/p/docs/a.md"}, False),
        (DOCS, {"path": "docs:x/a"}, False),
        (DOCS, {"path": ""}, False),
        ({"args": {"path": {"below": "../docs"}}}, {"path": "../docs/a"}, False),
        ({"args": PATH | {"paths": {"below": "docs"}}}, {"paths": ["docs/a", "docs/b"]}, True),
        ({"args": PATH | {"paths": {"below": "docs"}}}, {"paths": ["docs/a", "b"]}, False),
        ({"args": PATH | {"paths": {"below": "docs"}}}, {"paths": []}, False),
        ({"args": {"path": {"begins": "docs/a.md"}}}, {}, False),  # that is no command
        ({"args": PATH | {"command": {"below": "cat x"}}}, {"command": "cat x/a; rm b"}, False),
        # where, to whom, how long
        ({"args": PATH, "folder": "/p"}, {}, True),
        ({"args": PATH, "folder": "/p"}, {"folder": "/p/q"}, False),
        ({"args": PATH, "folder": "/p"}, {"folder": "made"}, False),
        ({"args": PATH, "folder": "made"}, {"folder": "made"}, True),
        ({"args": PATH, "until": "2026-05-01"}, {}, True),
        ({"args": PATH, "until": "2026-05-01"}, {"today": "2026-05-02"}, False),
        ({"args": PATH, "to": ["me@x"]}, {"to": ["me@x"]}, True),
        ({"args": PATH, "to": ["me@x", "you@x"]}, {"to": ["you@x"]}, True),
        ({"args": PATH, "to": ["me@x"]}, {"to": ["me@x", "evil@x"]}, False),
        ({"args": PATH, "to": ["me@x"]}, {"to": []}, False),
        ({"args": PATH}, {"to": ["me@x"]}, False),
        ({"args": PATH}, {"to": []}, False),
        ({"args": PATH, "to": ["me@x"]}, {}, False),
    ]
)
def test_a_rule_covers_exactly_its_kind(rule: dict, call: dict, meant: bool) -> None:
    assert covers(rule, asked(**call)) is meant


@table(
    [
        ("pytest", True),
        ("pytest -q", True),
        ("pytest -q tests/x.py", True),
        ("pytest 'a b'", True),
        ("pytest2", False),
        ("pytest=1 PYTHONPATH=/tmp/x pytest -q", False),
        ("pytest; rm -rf x", False),
        ("pytest && curl x", False),
        ("pytest | sh", False),
        ("pytest > x", False),
        ("pytest $(rm x)", False),
        ("pytest `rm x`", False),
        ("pytest $X", False),
        ("pytest *", False),
        ("pytest &", False),
        ("PYTHONPATH=x pytest", False),
        ("(pytest)", False),
        ("! pytest", False),
        ("if pytest; then pytest; fi", False),
        ("for x in a; do pytest; done", False),
        ("pytest \\\n; rm x", False),
        ("cd x\npytest", False),
        ("rm x # pytest", False),
        ("", False),
    ]
)
def test_the_first_words_are_those_of_one_program_that_stands_there(
    command: str, meant: bool
) -> None:
    rule = {"args": PATH | {"command": {"begins": "pytest"}}}
    assert covers(rule, asked(command=command)) is meant


values = st.fixed_dictionaries(
    {"path": st.sampled_from(["docs/a.md", "docs/x/../../y", "b.md", ".git/config"])},
    optional={
        "command": st.sampled_from(["", "pytest", "pytest; rm x"]),
        "content": st.sampled_from(["", "x"]),
        "force": st.booleans(),
        "paths": st.none() | st.lists(st.sampled_from(["docs/a", "b"]), max_size=2),
    },
)


@given(values, values)
def test_nothing_that_is_added_to_a_call_makes_it_covered(call: dict, more: dict) -> None:
    rule = DOCS | {"free": ["content"], "folder": "/p"}
    longer = more | call
    assert covers(rule, asked(**call)) or not covers(rule, asked(**longer))


def test_in_words_it_says_everything_that_it_names_and_deceives_nobody() -> None:
    rule = PolicyRule.model_validate(
        {
            "action": "world.act",
            "agent": "ops",
            "folder": "made",
            "args": {"path": {"below": "docs"}, "command": {"begins": "npm test"}, "count": 2},
            "free": ["content"],
            "to": ["me@x\u202e"],
            "until": "2026-05-01",
            "mode": "autonomous",
        }
    )
    assert conditions.said(rule) == (
        "ops may call world.act without asking, in folders that alfred makes, where path is below docs and command begins"
        " with npm test and count is 2 and content may be anything and it leads to me@x\\u{202E}, until 2026-05-01."
    )
