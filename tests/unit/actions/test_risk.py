"""The risk of one call: a maximum that nothing in the call can lower."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.actions import Risk, Workspace, action, classify_command, declare, risk
from tests.table import table

CTX: Any = SimpleNamespace(workspace=Workspace(Path("/srv/w"), made=True, trusted=False))


def make(declared: Risk = Risk.NONE, classify: Any = None) -> declare.Action:
    @action("test.do", integration="test", risk=declared, classify=classify)
    def fn() -> None: ...

    return declare.build(fn)


@pytest.mark.parametrize("declared", list(Risk))
@pytest.mark.parametrize("answered", list(Risk))
def test_the_higher_of_declared_and_classified_counts(declared: Risk, answered: Risk) -> None:
    found = risk.assess(make(declared, lambda args, ctx: answered), {}, CTX)
    assert found.risk is max(declared, answered)


def _fails(args: Any, ctx: Any) -> Risk:
    raise ValueError("broken")


@pytest.mark.parametrize(
    "classify", [_fails, *(lambda args, ctx, a=a: a for a in (None, 0, "none", True))]
)
def test_a_classify_that_fails_or_answers_nonsense_is_high(classify: Any) -> None:
    found = risk.assess(make(Risk.NONE, lambda args, ctx: classify(args, ctx)), {}, CTX)
    assert found.risk is Risk.HIGH
    assert "so high" in found.explanation[-1]


def test_a_classify_cannot_change_the_arguments() -> None:
    args = {"force": True}

    def classify(args: dict[str, Any], ctx: Any) -> Risk:
        args.clear()
        return Risk.NONE

    assert risk.assess(make(Risk.NONE, classify), args, CTX).risk is Risk.HIGH
    assert args == {"force": True}


@table(
    [
        ({}, Risk.NONE),
        ({"force": True}, Risk.HIGH),
        ({"force": "true"}, Risk.HIGH),
        ({"force": False}, Risk.NONE),
        ({"force": "false"}, Risk.NONE),
        ({"force": None}, Risk.NONE),
        ({"force": 0}, Risk.NONE),
        ({"mirror": True}, Risk.HIGH),
        ({"delete": True}, Risk.MEDIUM),
        ({"overwrite": True}, Risk.MEDIUM),
        ({"delete": True, "force": True}, Risk.HIGH),
        ({"path": "force"}, Risk.NONE),
    ]
)
def test_arguments_that_force_or_delete_raise_the_risk_of_any_action(
    args: dict[str, Any], least: Risk
) -> None:
    assert risk.by_arguments(args) is least
    assert risk.assess(make(), args, CTX).risk is least


@pytest.mark.parametrize(
    "args",
    [
        {"command": "rm -rf /"},
        {"cmd": "cd .. && cd .. && rm -rf ."},
        {"command": ["rm", "-rf", "/"]},
        {"command": ["bash", "-c", "rm -rf ~"]},
        {"script": "ls\nshutdown now\n"},
    ],
)
def test_a_forbidden_command_is_found_in_the_arguments_of_any_action(args: dict[str, Any]) -> None:
    found = risk.assess(make(), args, CTX)
    assert found.forbidden is not None
    assert found.risk is Risk.HIGH
    assert any("never carried out" in line for line in found.explanation)


@pytest.mark.parametrize(
    "args",
    [
        {"content": "rm -rf /"},
        {"command": "ls"},
        {"command": 3},
        {"command": ["ls", 3]},
        {"command": None},
    ],
)
def test_text_that_is_no_command_is_not_forbidden(args: dict[str, Any]) -> None:
    assert risk.assess(make(), args, CTX).forbidden is None


def test_every_part_is_explained() -> None:
    found = risk.assess(make(Risk.LOW, lambda args, ctx: Risk.MEDIUM), {"force": True}, CTX)
    assert found.explanation == ("declared low", "by arguments high", "by its classify medium")


VALUES = (
    st.booleans()
    | st.none()
    | st.sampled_from(["", "false", "x", "ls", "rm -rf /"])
    | st.integers(0, 1)
)
NAMES = st.sampled_from(["force", "delete", "command", "path", "overwrite", "hard", "x"])


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES), st.sampled_from(list(Risk)))
def test_adding_an_argument_never_lowers_the_risk(
    args: dict[str, Any], more: dict[str, Any], declared: Risk
) -> None:
    fewer = risk.assess(make(declared), args, CTX)
    both = risk.assess(make(declared), more | args, CTX)
    assert declared <= fewer.risk <= both.risk


def test_risks_are_ordered_and_named() -> None:
    assert Risk.NONE < Risk.LOW < Risk.MEDIUM < Risk.HIGH
    assert [str(r) for r in Risk] == ["none", "low", "medium", "high"]
    assert [Risk.of(str(r)) for r in Risk] == list(Risk)
    for text in ("HIGH", "", "3"):
        with pytest.raises(ValueError):
            Risk.of(text)


def test_shells_in_shells_end() -> None:
    text = "ls"
    for _ in range(4):
        text = f"bash -c {shlex.quote(text)}"
        assert classify_command(text) is Risk.NONE
    for _ in range(3):
        text = f"bash -c {shlex.quote(text)}"
    assert classify_command(text) is Risk.HIGH


@pytest.mark.parametrize(
    "text",
    [
        "cd a; cd b; " * 2000 + "rm -rf x",
        "(" * 5000,
        "{ " * 8000,
        "'" * 30_001,
        "$(" * 8000,
        "a{" * 15_000,
        "x() { " * 4000,
        "bash -c " * 3000,
        "rm " * 10_000,
        "a" * 31_000 + "(",
        "x(){ x " * 4000,
        '"$(echo ' + " " * 30_000 + "x",
        "s" + " " * 30_000 + "'",
    ],
    ids=lambda text: text[:8].strip(),
)
@pytest.mark.timeout(60)
@pytest.mark.slow
def test_a_text_made_to_take_long_is_judged_all_the_same(text: str) -> None:
    assert classify_command(text) is Risk.HIGH
    assert risk.forbidden(text, cwd="/srv/w") is None
