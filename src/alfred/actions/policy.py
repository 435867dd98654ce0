"""Whether a call executes, waits for a person or is refused: one pure function, and its explanation.

Invariants: what is high waits for a person under every mode (the floor); `off` refuses; a rule decides
only which mode holds, never the floor; whatever is not known (a label, a reach) counts as the worse. A rule with
conditions (`conditions`) only lifts `gated`, in a context without foreign text, and never for the first use of a foreign
action. What a workflow may do by itself (`bounds`) lifts `gated` alone, too, and not for such a first use; what leads
elsewhere asks then, even if it risks nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from alfred.actions import conditions
from alfred.actions.conditions import Asked
from alfred.actions.declare import Action
from alfred.actions.kinds import Effect, Risk

Mode = Literal["off", "gated", "autonomous"]
Integrity = Literal["owner", "trusted", "derived", "external"]
Verdict = Literal["execute", "stage", "refuse"]
Reason = Literal[
    "forbidden",  # never, even if approved
    "mode_off",
    "question",  # the call itself is a question to a person
    "risk_none",
    "floor",  # high: a person decides, whatever the mode
    "external",  # the context holds foreign text, and the call reaches out
    "undeclared",  # it leads where the contract of its workflow does not
    "gated",
    "autonomous",
]

STRICTNESS: dict[Mode, int] = {"off": 0, "gated": 1, "autonomous": 2}
"""Smaller is stricter."""

QUESTION = "ask.user"

_LITERAL = re.compile(r"\[[^]]*\]|[*?]")


class Rule(conditions.Rule, Protocol):
    """A rule of `policy.rules`; what it does not name is None."""

    @property
    def integration(self) -> str | None: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def conditional(self) -> bool: ...


class Policy(Protocol):
    """The owner's policy, as the configuration has it."""

    @property
    def mode(self) -> Mode: ...
    @property
    def rules(self) -> Sequence[Rule]: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a call, and why."""

    verdict: Verdict
    """In a dry run: what would happen."""
    reason: Reason
    risk: Risk
    mode: Mode
    kind: Literal["action", "question"]
    """What a staged call becomes."""
    auto_approvable: bool
    """Whether its card may approve itself after a while. The ledger still counts how many per hour."""
    skip: bool
    """A dry run: the call is recorded with its preview, and nothing is done or staged."""
    explanation: tuple[str, ...]
    """Each step, in order, for `policy explain` and for the call's row."""


def decide(
    *,
    action: Action,
    risk: Risk,
    agent: str,
    policy: Policy,
    floor: Mode = "autonomous",
    integrity: Integrity = "external",
    contained: bool = False,
    first_use: bool = True,
    dry_run: bool = False,
    forbidden: str | None = None,
    asked: Callable[[], Asked] | None = None,
    contract: str | None = None,
    undeclared: bool = False,
) -> Decision:
    """Decides one call. Pure: the same arguments give the same decision.

    Args:
        action: What is called.
        risk: The effective risk of this call (`risk.assess`). Below the declared one it is raised to it.
        agent: Whose run it is.
        policy: The owner's mode and rules; the most specific rule that fits wins, of equals the stricter.
        floor: The laxest mode that the run may have, such as that of the run which started it.
        integrity: The worst label in the run's context.
        contained: The call touches nothing but the run's workspace and the run's own records.
        first_use: This agent never executed this action with this schema; matters for foreign ones only.
        dry_run: Nothing may be changed or staged.
        forbidden: Why the call is never carried out (`risk.assess`), if so.
        asked: What rules with conditions look at in the call; without it there are none.
        contract: By which contract the run makes this call without asking; None: by none.
        undeclared: The contract says that a person is asked, for the call leads where it does not.
    """
    risk = max(risk, action.risk)
    why = [f"risk {risk}: declared {action.risk}"]
    novel = first_use and not action.built_in
    # an unknown label is read as the worst
    foreign = integrity not in ("owner", "trusted", "derived")
    mode, how = resolve(action=action, agent=agent, policy=policy)
    why.append(how)
    if mode == "gated" and contract is not None:
        mode = "gated" if novel else "autonomous"
        why.append(f"mode {mode}: {contract}" + (", but for the first use of it" * novel))
    if mode == "gated" and asked is not None:
        bar = "foreign text" if foreign else "the first use of a foreign action" if novel else None
        lifted, how = _allowed(action, agent, policy, asked, bar)
        mode = "autonomous" if lifted else mode
        why += how
    if STRICTNESS[floor] < STRICTNESS[mode]:
        mode = floor
        why.append(f"the run may not be laxer than {floor}")
    verdict, reason, said = _verdict(action, risk, mode, foreign, contained, forbidden, undeclared)
    why.append(said)
    question = reason == "question"
    auto = verdict == "stage" and not question and risk is Risk.LOW and not novel and not foreign
    if verdict == "stage" and risk is Risk.LOW and not question:
        why.append(
            "it may approve itself after its time"
            if auto
            else "it does not approve itself: "
            + ("the first use of a foreign action" if novel else "the context is external")
        )
    # only what changes nothing may run dry, and only where it would run at all
    runs = verdict == "execute" and action.effect is Effect.PURE
    skip = dry_run and verdict != "refuse" and not runs
    if skip:
        why.append("dry run: recorded, not carried out")
    return Decision(
        verdict=verdict,
        reason=reason,
        risk=risk,
        mode=mode,
        kind="question" if question else "action",
        auto_approvable=auto,
        skip=skip,
        explanation=tuple(why),
    )


def floor_of(action: Action, agents: Collection[str], policy: Policy) -> Mode:
    """The laxest mode that a run may have which works for these agents: what one of them may not do by itself, nobody
    does for it."""
    modes = [resolve(action=action, agent=agent, policy=policy)[0] for agent in agents]
    return min(modes, key=STRICTNESS.__getitem__, default="autonomous")


def asks_itself(action: Action, agent: str, above: Collection[str], policy: Policy) -> str | None:
    """Of the agents that another one works for, one that may not do this by itself; None: there is none. Then the other one
    asks, whatever rule with conditions covers its call."""
    others = sorted({*above} - {agent})
    found = (who for who in others if floor_of(action, [who], policy) != "autonomous")
    return next(found, None)


def resolve(*, action: Action, agent: str, policy: Policy) -> tuple[Mode, str]:
    """The mode that holds for this action and agent before any floor, and the rule that says so. Of rules without
    conditions: what the others let through depends on the call."""
    fitting = [r for r in policy.rules if not r.conditional and _fits(r, action, agent)]
    if not fitting:
        return policy.mode, f"mode {policy.mode}: no rule fits"
    best = max(fitting, key=lambda rule: (*_specificity(rule), -STRICTNESS[rule.mode]))
    named = ", ".join(
        f"{part} {value}"
        for part, value in (
            ("action", best.action),
            ("integration", best.integration),
            ("agent", best.agent),
        )
        if value is not None
    )
    others = f", over {len(fitting) - 1} others" if len(fitting) > 1 else ""
    return best.mode, f"mode {best.mode}: rule for {named or 'everything'}{others}"


def _allowed(
    action: Action, agent: str, policy: Policy, asked: Callable[[], Asked], bar: str | None
) -> tuple[bool, list[str]]:
    """Whether a rule with conditions lets a gated call through, and what is said of those that there are."""
    fitting = [r for r in policy.rules if r.conditional and _fits(r, action, agent)]
    if not fitting:
        return False, []
    if bar:
        return False, [f"mode gated: {bar}, which no rule with conditions lets through"]
    said, call = [], asked()
    for rule in fitting:
        why_not = conditions.uncovered(rule, call)
        if why_not is None:
            return True, [f"mode autonomous: {conditions.said(rule)}"]
        said.append(f"mode gated: {conditions.said(rule)} Not this: {why_not}")
    return False, said


def _verdict(
    action: Action,
    risk: Risk,
    mode: Mode,
    foreign: bool,
    contained: bool,
    forbidden: str | None,
    undeclared: bool,
) -> tuple[Verdict, Reason, str]:
    if forbidden is not None:
        return "refuse", "forbidden", f"never, even if approved: {forbidden}"
    if mode == "off":
        return "refuse", "mode_off", "refused: the mode is off"
    if action.id == QUESTION:
        return "stage", "question", "staged: a question is for a person"
    if risk >= Risk.HIGH:
        return "stage", "floor", "staged: a person decides about high risks in every mode"
    if foreign and action.effect is not Effect.PURE and not contained:
        return "stage", "external", "staged: it reaches out, and the context holds foreign text"
    if undeclared:
        return "stage", "undeclared", "staged: it leads where its workflow does not declare"
    if risk is Risk.NONE:
        return "execute", "risk_none", "executes: it risks nothing"
    if mode == "autonomous" and not (foreign and not contained):
        return "execute", "autonomous", "executes: the mode is autonomous"
    if mode == "autonomous":
        return "stage", "external", "staged: it reaches out, and the context holds foreign text"
    return "stage", "gated", "staged: the mode is gated"


def about(rule: Rule, action: str, integration: str) -> bool:
    """Whether a rule is about this action, whoever calls it."""
    return _matches(rule.action, action) and _matches(rule.integration, integration)


def _fits(rule: Rule, action: Action, agent: str) -> bool:
    return about(rule, action.id, action.integration) and _matches(rule.agent, agent)


def _matches(pattern: str | None, name: str) -> bool:
    return pattern is None or fnmatch.fnmatchcase(name, pattern)


def _specificity(rule: Rule) -> tuple[tuple[int, int], ...]:
    """What decides between rules that fit, most important first: how exactly the action is named, then
    the integration, then the agent. So agent and action > action > agent and integration > integration >
    agent; an exact name beats a glob of its kind. An action implies its integration, so naming both adds
    nothing."""
    action = _exactness(rule.action)
    integration = _exactness(rule.integration) if action[0] == 0 else (0, 0)
    return action, integration, _exactness(rule.agent)


def _exactness(pattern: str | None) -> tuple[int, int]:
    """2 for a name, 1 for a glob (the more letters it fixes the more exact), 0 for nothing or `*`."""
    if pattern is None or not pattern.strip("*"):
        return 0, 0
    fixed = len(_LITERAL.sub("", pattern))
    return (2, 0) if not _LITERAL.search(pattern) else (1, fixed)
