"""Rules that a person makes of what they were asked: the narrowest one that covers it, in words and as it is written.

Invariants: a rule covers the calls that it is made of, by the same judgement as the gate's (`conditions`), and of what they
have in common nothing less; none is made of a high risk, which asks under every rule, nor of a call of a run that has
read what strangers wrote, whose arguments may be theirs, nor of one that asks because of whom its run works for; no
secret, and no text that can be taken for another one, is written into a rule. Nothing is written here: the owner's yes comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alfred import config_splice, config_text, errors
from alfred.actions import arguments, conditions, judging, policy
from alfred.actions.conditions import Asked
from alfred.actions.ledger import allowances, calls
from alfred.actions.ledger.approvals import Approval
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import PolicyRule
from alfred.runs import rows
from alfred.store.connect import Store
from alfred.trust import display, redact

DAYS = 30
"""So long a rule holds that was made from cards."""

LONGEST = 500
"""Characters of a value that a rule names: a longer one nobody reads."""

FREE = frozenset({"content", "diff", "message", "text"})
"""Arguments of alfred's own actions that say what is written, and not what is done to whom."""

_HOW = {"below": "lies below", "begins": "is one program that begins with"}
_ALLOWED = ("pending", "approved", "auto_approved")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRule:
    """A rule that nobody has said yes to yet."""

    tree: Mapping[str, Any]
    """As it will be an item of `policy.rules`."""
    words: str

    @property
    def text(self) -> str:
        """The line of config.yaml."""
        return config_splice.yaml_text(dict(self.tree))

    @property
    def hash(self) -> str:
        """What a yes to it is bound to: its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rulemaking:
    """The making of rules, bound to the actions that there are and to what an installation gives them."""

    store: Store
    actions: Registry
    around: Surroundings

    def of_card(
        self, card: Approval, *, below: str | None = None, begins: str | None = None
    ) -> NewRule:
        """The rule that covers exactly the kind of call that a card shows.

        Args:
            below: A folder (or the beginning of a branch): what lies beneath it, instead of the one path of the card.
            begins: The first words of its command: what begins so, instead of the one command.

        Raises:
            UsageError: no rule can be made of this card; the text says why.
        """
        if card.kind != "action" or card.status not in _ALLOWED:
            what = "no call" if card.kind != "action" else card.status.replace("_", " ")
            raise _refused(
                f"this card is {what}", "Make it from a card that waits or was approved."
            )
        with self.store.read() as look:
            call, run = calls.get(look, card.call_id), rows.get(look, card.run_id)
            above = judging.above(look, run) if run else ()
        assert call is not None and run is not None
        if call.turn == allowances.TURN:
            raise _refused(
                "it asks whether one run goes on, on one day",
                "Raise the cap in config.yaml, under `budget`.",
            )
        if card.risk == "high" or call.risk == "high":
            raise _refused(
                "a high risk asks each time, whatever the rules say", "Approve the card."
            )
        if run.external:
            raise _refused(
                "its run has read what strangers wrote, and what it asks for may be theirs",
                "Approve the card alone, or write the rule into config.yaml yourself.",
            )
        action = self.actions.for_run(run, call.action)
        checked = arguments.validate(action, call.arguments) if action else None
        if action is None or not isinstance(checked, arguments.Valid):
            raise _refused(f"{call.action} is not there any more, or takes other arguments", None)
        ctx = self.around.beside(self.store, run, call)
        if who := policy.asks_itself(action, run.agent, above, ctx.settings.policy):
            raise _refused(
                f"its run works for {who}, and what {who} may not do by itself nobody does for it",
                f"Approve the card alone, or let {who} call {action.id} by itself, in config.yaml under `policy.rules`.",
            )
        asked = conditions.asked(action, checked.args, ctx)
        until = conditions.day(ctx.settings.timezone, later=DAYS)
        wider = {"below": below, "begins": begins}
        made = _rule(
            asked, agent=run.agent, until=until, wider={k: v for k, v in wider.items() if v}
        )
        for rule in ctx.settings.policy.rules:
            if rule.conditional and not _other(rule, made.tree, asked):
                raise errors.UsageError(
                    f"There is a rule that covers this already: {conditions.said(rule)}",
                    next="`alfred config show` says in which line of config.yaml it stands.",
                )
        return made


def _rule(asked: Asked, *, agent: str, until: str, wider: Mapping[str, str]) -> NewRule:
    """The narrowest rule that covers a call; with what is `below` a folder or `begins` with words, where that is said."""
    free = free_of(asked)
    named = {
        name: value
        for name, value in asked.args.items()
        if name not in free and value != conditions.default(asked.action, name)
    }
    args: dict[str, Any] = {name: written(value) for name, value in named.items()}
    for how, what in wider.items():
        fit = [n for n, value in named.items() if conditions.fits({how: what}, n, value)]
        if not fit:
            raise _refused(f"nothing that it names {_HOW[how]} {what!r}", "Name less of it.")
        args |= {name: {how: what} for name in fit}
    about = {"action": asked.action.id, "agent": agent, "folder": asked.folder}
    said = tree(**about, args=args, free=free, to=list(asked.to() or ()))
    return checked(until_day(said, until), [asked])


def tree(*, args: dict[str, Any], free: list[str], to: list[str], **about: str) -> dict[str, Any]:
    """A rule as it stands in the configuration, but for its last day."""
    whole = {**about, "args": args, "free": free, "to": to, "mode": "autonomous"}
    return {key: value for key, value in whole.items() if value}


def until_day(rule: Mapping[str, Any], day: str) -> dict[str, Any]:
    """A rule with its last day."""
    return {**{k: v for k, v in rule.items() if k != "mode"}, "until": day, "mode": rule["mode"]}


def free_of(asked: Asked) -> list[str]:
    """The arguments of a call that a rule leaves free."""
    return [name for name in asked.args if asked.action.built_in and name in FREE]


def checked(tree: dict[str, Any], covers: list[Asked]) -> NewRule:
    """A rule that can be read, holds no secret and nothing that deceives, and covers the calls it was made of.

    Raises:
        UsageError: it does not.
    """
    if redact.redact_data(tree) != tree:
        raise _refused("it would hold a secret", "Write it yourself, without the secret.")
    for text in _texts(tree):
        if len(text) > LONGEST:
            raise _refused(f"it would name a text of {len(text)} characters", "Approve the cards.")
        if odd := display.warnings(text):
            raise _refused(f"{display.display(text, limit=80)!r} {odd[0]}", "Approve the cards.")
    read = config_text.parse(f"rule: {config_splice.yaml_text(tree)}\n", "rule")
    rule = PolicyRule.model_validate(read.tree.get("rule"))
    for asked in covers:
        if why_not := conditions.uncovered(rule, asked):
            raise _refused(why_not, "Approve the cards.")
    return NewRule(tree=tree, words=conditions.said(rule))


def _other(rule: PolicyRule, tree: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a rule does not cover what a new one would be made for."""
    same = rule.action == tree["action"] and rule.agent in (None, tree["agent"])
    return not same or conditions.uncovered(rule, asked) is not None


def written(value: Any) -> Any:
    """An argument as it stands in a rule: a truth value or a whole number as such."""
    plain = isinstance(value, bool | int)
    return value if plain else conditions.text_of(value)


def _texts(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    inside = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list) else ()
    return [text for value in inside for text in _texts(value)]


def _refused(why: str, next: str | None) -> errors.UsageError:
    return errors.UsageError(f"No rule can be made of this: {why}.", next=next)
