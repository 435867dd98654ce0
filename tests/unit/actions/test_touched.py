"""What a call touches, and when two calls touch the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alfred.actions import declare
from alfred.actions.declare import action
from alfred.actions.kinds import Risk
from alfred.actions.touched import EVERYTHING, NOTHING, meet, touched
from tests.table import table


def about(path: str) -> frozenset[tuple[str, ...]]:
    return touched(made(touches=lambda args, ctx: [args["path"]]), {"path": path}, _context)


def made(**hooks: Callable[..., Any]) -> declare.Action:
    def fn(path: str) -> None: ...

    return declare.build(action("t.do", integration="t", **hooks)(fn))  # type: ignore[arg-type]


def _context() -> Any:
    return None


@table(
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "b.txt", False),
        ("a.txt", "./A.TXT", True),
        ("a", "ab", False),
        ("src", "src/a.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/a.py", "src//b/../a.py", True),
        ("a.txt", ".", True),
        ("a.txt", "/a.txt", True),
        ("caf\u00e9", "cafe\u0301", True),
    ]
)
def test_two_calls_touch_the_same_when_one_path_is_or_holds_the_other(
    one: str, other: str, same: bool
) -> None:
    assert meet(about(one), about(other)) is meet(about(other), about(one)) is same


def test_everything_meets_everything_but_nothing() -> None:
    assert meet(EVERYTHING, EVERYTHING)
    assert meet(EVERYTHING, about("a"))
    assert not meet(EVERYTHING, NOTHING)
    assert not meet(NOTHING, NOTHING)


def test_whose_judgement_looks_at_the_world_touches_everything_until_it_says_what() -> None:
    args = {"path": "a"}
    assert touched(made(), args, _context) == NOTHING
    assert touched(made(target=lambda args, ctx: 1), args, _context) == EVERYTHING
    assert touched(made(classify=lambda args, ctx: Risk.NONE), args, _context) == EVERYTHING
    said = made(target=lambda args, ctx: 1, touches=lambda args, ctx: ())
    assert touched(said, args, _context) == NOTHING


def test_an_action_that_fails_to_say_touches_everything() -> None:
    def fails(args: Any, ctx: Any) -> Any:
        raise KeyError("path")

    for hook in (fails, lambda args, ctx: None, lambda args, ctx: [7]):
        assert touched(made(touches=hook), {"path": "a"}, _context) == EVERYTHING


def test_what_will_be_refused_touches_nothing() -> None:
    assert touched(None, {}, _context) == NOTHING
    assert touched(made(touches=lambda args, ctx: ["a"]), {"wrong": 1}, _context) == NOTHING
