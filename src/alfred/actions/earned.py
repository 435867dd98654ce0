"""Earned autonomy: the narrowest rules that would have covered what people allow again and again, unchanged.

Invariants: only what people allowed counts, low or medium, unchanged, in runs without foreign text that work for no agent
which asks about it itself; what one yes allowed together counts once; nothing is proposed that would have covered a call
which somebody refused or changed, or that a rule covers already. A rule is as narrow as its calls have it in common, and
only a folder is ever wider than one of them. A person decides: this only finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from alfred import errors, ids
from alfred.actions import (
    arguments,
    canonical,
    conditions,
    judging,
    policy,
    rulemaking,
    surroundings,
    taint,
)
from alfred.actions.conditions import Asked
from alfred.actions.context import Workspace
from alfred.actions.declare import Action
from alfred.actions.ledger import calls, proposals
from alfred.actions.ledger.proposals import Decided, Found
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import PolicyRule
from alfred.runs import rows
from alfred.store.connect import Store

log = structlog.get_logger()

ENOUGH = 5
"""After so many times that people allowed a kind of call unchanged, a rule for it is proposed."""

_WHERE = frozenset({"path", "paths", "branch"})
"""Arguments whose folder may stand for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a person said about one call."""

    card: str
    agent: str
    asked: Asked
    time: tuple[str, int]
    """The run and its turn: what was asked together."""
    yes: bool
    """Allowed as it was; else refused, or changed first."""


class Earned:
    """Looks for rules when somebody has decided something since. One `beat` for each tenant."""

    def __init__(self, actions: Registry, around: Surroundings):
        self.actions = actions
        self.around = around
        self._seen: dict[str, Any] = {}

    def beat(self, store: Store, tenant: str) -> None:
        """Writes down the rules that are to be proposed to a tenant now."""
        held = self.around.settings(tenant).policy
        with store.read() as look:
            newest = proposals.newest(look, tenant)
        state = (newest, held)
        if self._seen.get(tenant) == state:
            return
        with store.read() as look:
            decided = proposals.decided(look, tenant)
        said = [one for row in decided if (one := self._said(store, tenant, row))]
        found = list(propose(said, held))
        store.transact(proposals.found, tenant, found)
        self._seen[tenant] = state

    def _said(self, store: Store, tenant: str, row: Decided) -> Said | None:
        """What a decision is an argument for or against; None: for nothing."""
        yes = row.status == "approved" and not row.changed
        if yes and (row.risk not in ("low", "medium") or row.external):
            return None
        action = self.actions.of(tenant, row.agent).get(row.action)
        checked = arguments.validate(action, json.loads(row.args)) if action else None
        if action is None or not isinstance(checked, arguments.Valid):
            return None
        if yes and row.parent_id and self._asks_for_another(store, tenant, row, action):
            return None
        place = surroundings.workspace(row.run_id, row.workspace, self.around.home(tenant))
        asked = Asked(
            action=action,
            args=checked.args,
            folder=conditions.folder_of(place),
            to=lambda: self._leads(store, row, action, checked.args, place),
            today=conditions.day(self.around.settings(tenant).timezone),
        )
        return Said(card=row.id, agent=row.agent, asked=asked, time=(row.run_id, row.turn), yes=yes)

    def _asks_for_another(self, store: Store, tenant: str, row: Decided, action: Action) -> bool:
        """Whether a call was asked about because of whom its run works for, which no rule for its agent changes."""
        with store.read() as look:
            run = rows.get(look, row.run_id)
            above = judging.above(look, run) if run else ()
        held = self.around.settings(tenant).policy
        return policy.asks_itself(action, row.agent, above, held) is not None

    def _leads(
        self, store: Store, row: Decided, action: Action, args: dict[str, Any], place: Workspace
    ) -> list[str] | None:
        """Where a call leads, looked up now; nowhere when its folder is gone."""
        if action.destinations is None:
            return None
        with store.read() as look:
            call, run = calls.get(look, row.call_id), rows.get(look, row.run_id)
        if call is None or run is None or not place.root.is_dir():
            return []
        beside = self.around.beside(store, run, call)
        return [one.text for one in taint.destinations(action, args, beside) or ()]


def propose(said: Sequence[Said], held: policy.Policy) -> Iterator[Found]:
    """The rules to propose, the narrowest first.

    Args:
        said: What people said, newest first.
        held: The rules that there are.
    """
    left = [one for one in said if one.yes and not _covered(one, held)]
    no = [one for one in said if not one.yes]
    for level in _LEVELS:
        kinds: dict[str, list[Said]] = {}
        for one in left:
            kinds.setdefault(_kind(one, level), []).append(one)
        for kind in kinds.values():
            if len({one.time for one in kind}) < ENOUGH:
                continue
            if (found := _found(kind, no)) is not None:
                yield found
                left = [one for one in left if one not in kind]


def _found(kind: Sequence[Said], no: Sequence[Said]) -> Found | None:
    """The narrowest rule that covers these calls; None when there is none, or when it covers what somebody refused."""
    first = kind[0]
    asked = [one.asked for one in kind]
    tree = _common(asked, first.agent)
    if tree is None:
        return None
    try:
        made = rulemaking.checked(tree, asked)
    except errors.UsageError as problem:
        log.debug("proposal.none", why=problem.detail)
        return None
    rule = PolicyRule.model_validate(tree)
    if any(_same(one, first) and conditions.uncovered(rule, one.asked) is None for one in no):
        return None
    return Found(
        id=ids.new(),
        rule_hash=canonical.digest(tree),
        rule=dict(made.tree),
        words=made.words,
        times=len({one.time for one in kind}),
        cards=sorted(one.card for one in kind),
    )


def _common(asked: Sequence[Asked], agent: str) -> dict[str, Any] | None:
    """What calls of one kind have in common, as a rule; None when they have too little."""
    action = asked[0].action
    free = rulemaking.free_of(asked[0])
    args: dict[str, Any] = {}
    for name, value in asked[0].args.items():
        values = [one.args[name] for one in asked]
        if name in free:
            continue
        if all(one == value for one in values):
            if value != conditions.default(action, name):
                args[name] = rulemaking.written(value)
        elif name in _WHERE and (folder := _folder(values)):
            args[name] = {"below": folder}
        else:
            return None
    to = sorted({text for one in asked for text in one.to() or ()})
    return rulemaking.tree(
        action=action.id, agent=agent, folder=asked[0].folder, args=args, free=free, to=to
    )


def _folder(values: Sequence[Any]) -> str | None:
    """The deepest folder that all of these paths lie below."""
    paths = [
        conditions.parts(one)
        for value in values
        for one in (value if isinstance(value, list) else [value])
    ]
    common: list[str] | None = None
    for path in paths:
        if path is None:
            return None
        above = path[:-1]
        if common is None:
            common = above
        while above[: len(common)] != common:
            common = common[:-1]
    return "/".join(common or ()) or None


def _covered(one: Said, held: policy.Policy) -> bool:
    """Whether a rule covers a call already, or the mode for it is another one than `gated` in any case."""
    mode, _ = policy.resolve(action=one.asked.action, agent=one.agent, policy=held)
    return mode != "gated" or any(
        rule.conditional
        and rule.action == one.asked.action.id
        and rule.agent in (None, one.agent)
        and conditions.uncovered(rule, one.asked) is None
        for rule in held.rules
    )


def _same(one: Said, other: Said) -> bool:
    return (one.agent, one.asked.action.id) == (other.agent, other.asked.action.id)


def _exact(path: list[str]) -> list[str]:
    return path


def _beside(path: list[str]) -> list[str]:
    return path[:-1]


def _top(path: list[str]) -> list[str]:
    return path[:-1][:1]


_LEVELS: tuple[Callable[[list[str]], list[str]], ...] = (_exact, _beside, _top)
"""How much of a path makes a kind: all of it, its folder, the uppermost one."""


def _kind(one: Said, level: Callable[[list[str]], list[str]]) -> str:
    """What the calls of one kind have in common, as a text."""
    free = rulemaking.free_of(one.asked)
    seen: dict[str, Any] = {}
    for name, value in one.asked.args.items():
        if name in free:
            continue
        values = value if isinstance(value, list) else [value]
        paths = [conditions.parts(path) for path in values] if name in _WHERE else [None]
        if all(path is not None and len(path) > 1 for path in paths):
            seen[name] = sorted({"/".join(level(path or [])) for path in paths})
        else:
            seen[name] = value
    about = [one.agent, one.asked.action.id, one.asked.folder, seen]
    return canonical.canonical_json(about)
