"""Execute, stage or refuse: every rule of the gate, one by one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, cast

import pytest

from alfred.actions import Effect, Risk, action, declare, policy
from alfred.actions.conditions import Asked
from alfred.actions.policy import Mode
from alfred.config_schema import PolicyRule
from tests.table import table


def ruled(
    mode: str,
    action: str | None = None,
    integration: str | None = None,
    agent: str | None = None,
    **conditions: Any,
) -> PolicyRule:
    named = {"action": action, "integration": integration, "agent": agent, **conditions}
    return PolicyRule.model_validate({"mode": mode, **named})


@dataclass(frozen=True)
class Policy:
    mode: Mode = "gated"
    rules: tuple[PolicyRule, ...] = ()


def make(id: str = "world.append", source: str = "alfred", **more: Any) -> declare.Action:
    more.setdefault("effect", Effect.BLIND)
    more.setdefault("risk", Risk.NONE)

    @action(id, integration=more.pop("integration", id.split(".")[0]), **more)
    def fn() -> None:
        """Does it."""

    return declare.build(fn, source=source)


def decide(risk: Risk = Risk.NONE, **more: Any) -> policy.Decision:
    given: dict[str, Any] = {
        "action": make(),
        "risk": risk,
        "agent": "main",
        "policy": Policy(),
        "integrity": "owner",
    }
    return policy.decide(**given | more)


@table(
    [
        ("gated", Risk.NONE, "execute", "risk_none"),
        ("gated", Risk.LOW, "stage", "gated"),
        ("gated", Risk.MEDIUM, "stage", "gated"),
        ("gated", Risk.HIGH, "stage", "floor"),
        ("autonomous", Risk.NONE, "execute", "risk_none"),
        ("autonomous", Risk.LOW, "execute", "autonomous"),
        ("autonomous", Risk.MEDIUM, "execute", "autonomous"),
        ("autonomous", Risk.HIGH, "stage", "floor"),
        ("off", Risk.NONE, "refuse", "mode_off"),
        ("off", Risk.LOW, "refuse", "mode_off"),
        ("off", Risk.MEDIUM, "refuse", "mode_off"),
        ("off", Risk.HIGH, "refuse", "mode_off"),
    ]
)
def test_each_mode_does_with_each_risk_what_it_says(
    mode: Mode, risk: Risk, verdict: str, reason: str
) -> None:
    decision = decide(risk, policy=Policy(mode))
    assert (decision.verdict, decision.reason, decision.mode) == (verdict, reason, mode)


def test_a_risk_below_the_declared_one_is_raised_to_it() -> None:
    decision = decide(Risk.NONE, action=make(risk=Risk.HIGH), policy=Policy("autonomous"))
    assert (decision.verdict, decision.risk) == ("stage", Risk.HIGH)


def test_what_is_forbidden_is_refused_under_every_mode() -> None:
    for mode in ("off", "gated", "autonomous"):
        decision = decide(Risk.NONE, policy=Policy(mode), forbidden="deleting /")
        assert (decision.verdict, decision.reason) == ("refuse", "forbidden")


# each rule is more specific than the one after it
LADDER = [
    ruled("off", action="github.label", agent="ops"),
    ruled("off", action="github.label", agent="o*"),
    ruled("off", action="github.label"),
    ruled("off", action="github.la*", agent="ops"),
    ruled("off", action="github.la*"),
    ruled("off", action="github.*"),
    ruled("off", integration="github", agent="ops"),
    ruled("off", integration="github", agent="o*"),
    ruled("off", integration="github"),
    ruled("off", integration="git*"),
    ruled("off", agent="ops"),
    ruled("off", agent="o*"),
]


@table(list(itertools.pairwise(LADDER)))
def test_the_more_specific_rule_wins_in_either_order(upper: PolicyRule, lower: PolicyRule) -> None:
    for won, lost in (("autonomous", "off"), ("off", "autonomous"), ("gated", "autonomous")):
        rules = (
            ruled(won, upper.action, upper.integration, upper.agent),
            ruled(lost, lower.action, lower.integration, lower.agent),
        )
        for order in (rules, rules[::-1]):
            decision = decide(
                action=make("github.label"), agent="ops", policy=Policy("gated", order)
            )
            assert decision.mode == won


@pytest.mark.parametrize(
    "rule",
    [
        ruled("off", action="github.*"),
        ruled("off", action="world.append", agent="ops"),
        ruled("off", integration="github"),
        ruled("off", agent="other"),
        ruled("off", action="World.Append"),
        ruled("off", action="world.append", integration="github"),
    ],
)
def test_a_rule_that_does_not_fit_in_every_part_does_not_hold(rule: PolicyRule) -> None:
    assert decide(policy=Policy("gated", (rule,))).mode == "gated"


def test_between_equals_the_stricter_rule_wins() -> None:
    for modes in itertools.permutations(("off", "gated", "autonomous")):
        rules = tuple(ruled(mode, action="world.append") for mode in modes)
        assert decide(policy=Policy("gated", rules)).mode == "off"


def test_a_bare_star_names_nothing() -> None:
    rules = (ruled("autonomous", action="*", agent="main"), ruled("off", integration="world"))
    assert decide(policy=Policy("gated", rules)).mode == "off"


def test_a_rule_beats_the_general_mode_but_never_the_floor() -> None:
    rules = (ruled("autonomous", action="world.append"),)
    assert decide(Risk.MEDIUM, policy=Policy("off", rules)).verdict == "execute"
    assert decide(Risk.HIGH, policy=Policy("off", rules)).verdict == "stage"


def test_a_run_is_never_laxer_than_the_one_that_started_it() -> None:
    assert decide(Risk.LOW, policy=Policy("autonomous"), floor="gated").verdict == "stage"
    assert decide(Risk.LOW, policy=Policy("off"), floor="gated").verdict == "refuse"
    assert decide(Risk.LOW, policy=Policy("gated"), floor="autonomous").verdict == "stage"


def test_a_question_is_always_put_to_a_person() -> None:
    for mode in ("gated", "autonomous"):
        decision = decide(action=make("ask.user"), policy=Policy(mode))
        assert (decision.verdict, decision.kind) == ("stage", "question")
        assert not decision.auto_approvable
    assert decide(action=make("ask.user"), policy=Policy("off")).verdict == "refuse"


@pytest.mark.parametrize("integrity", ["external", "", "unheard-of", None])
def test_in_a_foreign_context_what_reaches_out_is_staged_in_every_mode(integrity: Any) -> None:
    for mode, risk in itertools.product(
        ("gated", "autonomous"), (Risk.NONE, Risk.LOW, Risk.MEDIUM)
    ):
        decision = decide(risk, policy=Policy(cast(Mode, mode)), integrity=integrity)
        assert decision.verdict == "stage"
        assert not decision.auto_approvable


def test_in_a_foreign_context_reading_and_the_workspace_stay_as_they_are() -> None:
    reading = make(effect=Effect.PURE)
    assert decide(Risk.NONE, action=reading, integrity="external").verdict == "execute"
    autonomous = Policy("autonomous")
    assert (
        decide(Risk.MEDIUM, policy=autonomous, integrity="external", contained=True).verdict
        == "execute"
    )
    assert (
        decide(Risk.MEDIUM, action=reading, policy=autonomous, integrity="external").verdict
        == "stage"
    )


def test_a_label_that_is_not_given_counts_as_foreign() -> None:
    decision = policy.decide(
        action=make(), risk=Risk.NONE, agent="main", policy=Policy("autonomous")
    )
    assert decision.verdict == "stage"


def test_only_low_risks_approve_themselves() -> None:
    assert [risk for risk in Risk if decide(risk, first_use=False).auto_approvable] == [Risk.LOW]


@pytest.mark.parametrize(
    "more",
    [
        {"integrity": "external", "contained": True},
        {"integrity": "", "contained": True},
        {"action": make(source="actions/mine.py"), "first_use": True},
        {"action": make(source="some-package:x"), "first_use": True},
        {"policy": Policy("off")},
        {"forbidden": "x"},
    ],
)
def test_nothing_foreign_new_or_refused_approves_itself(more: dict[str, Any]) -> None:
    assert not decide(Risk.LOW, **more).auto_approvable


def test_used_foreign_actions_and_our_own_approve_themselves() -> None:
    assert decide(Risk.LOW, action=make(source="actions/mine.py"), first_use=False).auto_approvable
    assert decide(Risk.LOW, first_use=True).auto_approvable


def test_in_a_dry_run_only_reads_run() -> None:
    reading = make(effect=Effect.PURE)
    assert not decide(Risk.NONE, action=reading, dry_run=True).skip
    assert decide(Risk.MEDIUM, action=reading, dry_run=True).skip
    assert decide(Risk.NONE, dry_run=True).skip
    staged = decide(Risk.MEDIUM, dry_run=True)
    assert (staged.skip, staged.verdict) == (True, "stage")
    refused = decide(Risk.NONE, policy=Policy("off"), dry_run=True)
    assert (refused.skip, refused.verdict) == (False, "refuse")
    assert not decide(Risk.MEDIUM).skip


def test_every_decision_explains_each_step() -> None:
    rules = (ruled("autonomous", action="world.*"), ruled("gated", agent="main"))
    decision = decide(Risk.LOW, policy=Policy("gated", rules), floor="gated", dry_run=True)
    assert decision.explanation == (
        "risk low: declared none",
        "mode autonomous: rule for action world.*, over 1 others",
        "the run may not be laxer than gated",
        "staged: the mode is gated",
        "it may approve itself after its time",
        "dry run: recorded, not carried out",
    )


def test_raising_the_risk_never_makes_a_decision_laxer() -> None:
    strict = {"execute": 0, "stage": 1, "refuse": 2}
    for mode, integrity, contained in itertools.product(
        ("off", "gated", "autonomous"), ("owner", "external"), (False, True)
    ):
        order = [
            strict[
                decide(
                    risk, policy=Policy(cast(Mode, mode)), integrity=integrity, contained=contained
                ).verdict
            ]
            for risk in Risk
        ]
        assert order == sorted(order)


# ---- rules with conditions

ALLOWED = Policy("gated", (ruled("autonomous", action="world.append", until="2999-01-01"),))

OF_MAIN = Policy(
    "gated", (ruled("autonomous", action="world.append", agent="main", until="2999-01-01"),)
)


def call(**more: Any) -> Asked:
    said: dict[str, Any] = {
        "action": make(),
        "args": {},
        "folder": "/p",
        "to": lambda: None,
        "today": "2026-01-01",
    }
    return Asked(**said | more)


@table(
    [
        (Risk.LOW, ALLOWED, {}, "execute", "autonomous"),
        (Risk.MEDIUM, ALLOWED, {}, "execute", "autonomous"),
        (Risk.HIGH, ALLOWED, {}, "stage", "floor"),
        (Risk.MEDIUM, ALLOWED, {"integrity": "external"}, "stage", "external"),
        (Risk.MEDIUM, ALLOWED, {"integrity": "external", "contained": True}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"integrity": "damaged", "contained": True}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"floor": "gated"}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"forbidden": "no"}, "refuse", "forbidden"),
        (Risk.MEDIUM, Policy("off", ALLOWED.rules), {}, "refuse", "mode_off"),
        (
            Risk.MEDIUM,
            Policy("gated", (*ALLOWED.rules, ruled("off", integration="world"))),
            {},
            "refuse",
            "mode_off",
        ),
        (Risk.MEDIUM, ALLOWED, {"agent": "other"}, "execute", "autonomous"),
        (Risk.MEDIUM, OF_MAIN, {}, "execute", "autonomous"),
        (Risk.MEDIUM, OF_MAIN, {"agent": "other"}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"action": make("world.other")}, "stage", "gated"),
        (
            Risk.MEDIUM,
            Policy("gated", (ruled("gated", action="world.append"),)),
            {},
            "stage",
            "gated",
        ),
        (Risk.MEDIUM, ALLOWED, {"asked": None}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"asked": lambda: call(args={"x": 1})}, "stage", "gated"),
        (Risk.MEDIUM, ALLOWED, {"asked": lambda: call(today="2999-01-02")}, "stage", "gated"),
    ]
)
def test_a_rule_with_conditions_lifts_what_is_gated_and_nothing_else(
    risk: Risk, said: Policy, more: dict[str, Any], verdict: str, reason: str
) -> None:
    decision = decide(risk, policy=said, **{"asked": call} | more)
    assert (decision.verdict, decision.reason) == (verdict, reason), decision.explanation


@table([(True, "stage"), (False, "execute")])
def test_no_rule_with_conditions_lets_the_first_use_of_a_foreign_action_through(
    first: bool, verdict: str
) -> None:
    foreign = make(source="actions/x.py")
    decision = decide(
        Risk.MEDIUM, action=foreign, policy=ALLOWED, first_use=first, asked=lambda: call()
    )
    assert decision.verdict == verdict


def test_the_rule_that_lets_a_call_through_is_named_and_so_is_why_another_does_not() -> None:
    why = decide(Risk.MEDIUM, policy=ALLOWED, asked=call).explanation
    words = "every agent may call world.append without asking, until 2999-01-01."
    assert f"mode autonomous: {words}" in why
    why = decide(Risk.MEDIUM, policy=ALLOWED, asked=lambda: call(args={"x": 1})).explanation
    assert f"mode gated: {words} Not this: it says nothing of x" in why


@table(
    [
        ({"risk": Risk.MEDIUM}, "execute", "autonomous"),
        ({"risk": Risk.HIGH}, "stage", "floor"),
        ({"risk": Risk.MEDIUM, "policy": Policy("off")}, "refuse", "mode_off"),
        ({"risk": Risk.MEDIUM, "floor": "gated"}, "stage", "gated"),
        ({"risk": Risk.MEDIUM, "integrity": "external"}, "stage", "external"),
        ({"risk": Risk.MEDIUM, "integrity": "external", "contained": True}, "execute", "autonomous"),
        ({"risk": Risk.MEDIUM, "action": make(source="home")}, "stage", "gated"),
        ({"risk": Risk.MEDIUM, "action": make(source="home"), "first_use": False}, "execute", "autonomous"),
        ({"risk": Risk.MEDIUM, "dry_run": True}, "execute", "autonomous"),
    ]
)  # fmt: skip
def test_a_contract_lifts_gated_and_nothing_else(
    about: dict[str, Any], verdict: str, reason: str
) -> None:
    decision = decide(contract="the workflow w may do this by itself", **about)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert decision.skip == bool(about.get("dry_run"))
