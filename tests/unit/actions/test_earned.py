"""Which rules are proposed for what people allow again and again: the narrowest, and none that somebody's no forbids."""

from __future__ import annotations

from typing import Any

from alfred import ids
from alfred.actions import Effect, Risk, action, arguments, declare, earned
from alfred.actions.conditions import Asked
from alfred.actions.earned import ENOUGH, Said
from alfred.config_schema import Policy
from tests.table import table


@action("world.act", integration="world", risk=Risk.MEDIUM, effect=Effect.BLIND)
def act(path: str, command: str = "", content: str = "", force: bool = False) -> None:
    """Does it."""


ACT = declare.build(act)
FOREIGN = declare.build(act, source="actions/x.py")


def said(path: str, *, run: str | None = None, yes: bool = True, **more: Any) -> Said:
    """What a person said about one call."""
    about = {name: more.pop(name, old) for name, old in ABOUT.items()}
    args = arguments.validate(about["action"], {"path": path} | more)
    assert isinstance(args, arguments.Valid)
    asked = Asked(
        action=about["action"],
        args=args.args,
        folder=about["folder"],
        to=lambda: about["to"],
        today="2026-05-01",
    )
    return Said(
        card=ids.new(), agent=about["agent"], asked=asked, time=(run or ids.new(), 0), yes=yes
    )


ABOUT: dict[str, Any] = {"agent": "main", "action": ACT, "folder": "/p", "to": None}


def rules(*them: Said, policy: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    held = Policy.model_validate(policy or {})
    return [found.rule for found in earned.propose(them, held)]  # type: ignore[arg-type]


def many(path: str = "a.md", times: int = ENOUGH, **more: Any) -> list[Said]:
    return [said(path.format(n), **more) for n in range(times)]


@table(
    [
        # as narrow as what they have in common
        (many(), [{"path": "a.md"}]),
        (many("docs/{}.md"), [{"path": {"below": "docs"}}]),
        (many("docs/x/{}.md"), [{"path": {"below": "docs/x"}}]),
        (many("docs/{}/a.md"), [{"path": {"below": "docs"}}]),
        (many("docs/{0}.md", 3) + many("docs/x/{}.md", 3), [{"path": {"below": "docs"}}]),
        (many("a.md", force=True), [{"path": "a.md", "force": True}]),
        (many("a.md", command="pytest"), [{"path": "a.md", "command": "pytest"}]),
        # what is asked most exactly is proposed exactly, and counts for nothing else
        (many("docs/a.md") + many("docs/{}.md"), [{"path": "docs/a.md"}, {"path": {"below": "docs"}}]),
        (many("docs/a.md") + many("docs/{}.md", ENOUGH - 1), [{"path": "docs/a.md"}]),
        # nothing in common, too seldom, of different kinds
        (many("{}.md"), []),
        (many("a.md", ENOUGH - 1), []),
        (many("a.md", 3) + many("a.md", 3, agent="ops"), []),
        (many("a.md", 3) + many("a.md", 3, folder="/q"), []),
        (many("a.md", 3) + many("a.md", 3, force=True), []),
        ([said("a.md", command=f"pytest {n}") for n in range(ENOUGH)], []),
        (many("a.md", run="one"), []),
        # what it says is free of alfred's own actions alone
        ([said("a.md", content=str(n)) for n in range(ENOUGH)], [{"path": "a.md"}]),
        ([said("a.md", content=str(n), action=FOREIGN) for n in range(ENOUGH)], []),
        (many("a.md", action=FOREIGN), [{"path": "a.md"}]),
        # a no
        ([*many("docs/{}.md"), said("docs/z.md", yes=False)], []),
        ([*many("docs/{}.md"), said("src/z.md", yes=False)], [{"path": {"below": "docs"}}]),
        ([*many("docs/{}.md"), said("docs/z", yes=False, agent="x")], [{"path": {"below": "docs"}}]),
        (many("a.md", yes=False), []),
        # what deceives, or leads nowhere that is known
        (many("a.md\u200b"), []),
        (many("a.md", to=[]), []),
    ]
)  # fmt: skip
def test_the_narrowest_rule_that_covers_what_was_allowed_is_proposed(
    them: list[Said], wanted: list[dict[str, Any]]
) -> None:
    assert [rule["args"] for rule in rules(*them)] == wanted


def test_where_calls_lead_is_named_one_by_one() -> None:
    them = [said("a.md", to=[f"{n % 2}@x"]) for n in range(ENOUGH)]
    (rule,) = rules(*them)
    assert rule["to"] == ["0@x", "1@x"]


@table(
    [
        {"mode": "off"},
        {"mode": "autonomous"},
        {"rules": [{"integration": "world", "mode": "off"}]},
        {"rules": [{"action": "world.act", "args": {"path": "a.md"}, "mode": "autonomous"}]},
    ]
)
def test_nothing_is_proposed_where_no_rule_would_change_anything(policy: dict[str, Any]) -> None:
    assert rules(*many(), policy=policy) == []
