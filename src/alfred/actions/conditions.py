"""Rules with conditions: what a person allows beforehand, of one kind of call and no more.

Invariants: a rule covers a call only when each of its arguments is one that the rule names, one that it leaves free, or
has its default, so that nothing which is added to a call makes it covered; what cannot be read exactly (a path with `..`,
a command that is more than one program with its words, a destination that is not said) is not covered. What such a rule
lifts is for `policy` to say: never more than that the mode is `gated`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from alfred import clock, config_text
from alfred.actions import canonical, card, shell, syntax, taint
from alfred.actions.declare import Action
from alfred.config_values import MADE
from alfred.runs import schedule
from alfred.trust import display

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext, Workspace


_NOTHING = object()


class Rule(Protocol):
    """A rule with conditions; see `config_schema.PolicyRule`."""

    @property
    def action(self) -> str | None: ...
    @property
    def agent(self) -> str | None: ...

    @property
    def folder(self) -> str | None: ...
    @property
    def args(self) -> Mapping[str, Any]: ...
    @property
    def free(self) -> Sequence[str]: ...
    @property
    def to(self) -> Sequence[str]: ...
    @property
    def until(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the conditions of a rule look at in a call."""

    action: Action
    args: Mapping[str, Any]
    """Checked, with its defaults."""
    folder: str
    """The workspace as it really is, or `made`."""
    to: Callable[[], Sequence[str] | None]
    """Where the call leads; None: its action never says."""
    today: str
    """The day where the tenant is."""


def asked(action: Action, args: Mapping[str, Any], ctx: ActionContext) -> Asked:
    """What the conditions of a rule look at in this call."""

    def to() -> list[str] | None:
        found = taint.destinations(action, args, ctx)
        return None if found is None else [one.text for one in found]

    return Asked(
        action=action,
        args=args,
        folder=folder_of(ctx.workspace),
        to=to,
        today=day(ctx.settings.timezone),
    )


def folder_of(place: Workspace) -> str:
    """A workspace as a rule names it."""
    return MADE if place.made else os.path.realpath(place.root)


def day(zone: str, *, later: int = 0) -> str:
    """The day it is in a zone so many days from now, as a rule writes it."""
    at = clock.now() + later * clock.DAY
    return datetime.fromtimestamp(at // clock.SECOND, schedule.zone_of(zone)).date().isoformat()


def uncovered(rule: Rule, call: Asked) -> str | None:
    """Why a rule does not cover a call; None: it does."""
    if rule.until is not None and rule.until < call.today:
        return f"it held until {rule.until}"
    if rule.folder is not None and rule.folder != call.folder:
        return "the folder is another one"
    for name, value in call.args.items():
        if name in rule.free:
            continue
        if name in rule.args:
            if not fits(rule.args[name], name, value):
                return f"{name} is something else"
        elif value != default(call.action, name):
            return f"it says nothing of {name}"
    if missing := [name for name in rule.args if name not in call.args]:
        return f"there is no {missing[0]}"
    to = call.to()
    elsewhere = bool(rule.to) if to is None else not to or not set(to) <= set(rule.to)
    return "it leads somewhere else" if elsewhere else None


def default(action: Action, name: str) -> Any:
    """What an argument is when nobody says it; for one that has to be said, something that no argument is."""
    return action.schema.get("properties", {}).get(name, {}).get("default", _NOTHING)


def text_of(value: Any) -> str | None:
    """An argument as a rule writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return config_text.as_text(value)
    return canonical.canonical_json(value)


def parts(path: Any) -> list[str] | None:
    """The names on a path from the workspace, or in a branch; None: it is none that can be read exactly."""
    if not isinstance(path, str) or path.startswith("/") or ":" in path:
        return None
    found = [part for part in path.split("/") if part != "."]
    return found if found and not {"", ".."} & set(found) else None


def words(command: Any) -> list[str] | None:
    """The words of a command that is one program; None: it is more than that, or not exactly to be read."""
    if not isinstance(command, str):
        return None
    script = shell.read(command, home=syntax.home())
    if script.unclear or len(script.commands) != 1:
        return None
    (one,) = script.commands
    found = [word.text for word in one.words if word.text is not None and not word.glob]
    whole = len(found) == len(one.words) and not one.redirects and not one.assignments
    # what is read out of a loop is no program that stands there itself
    plain = whole and command.lstrip().startswith(found[0]) if found else False
    return found if plain else None


def said(rule: Rule) -> str:
    """What a rule with conditions allows, in words."""
    where = f", in {_place(rule.folder)}" if rule.folder else ""
    limits = [f"{name} {_limit(value)}" for name, value in rule.args.items()]
    limits += [f"{name} may be anything" for name in rule.free]
    if rule.to:
        limits.append(f"it leads to {' or '.join(rule.to)}")
    only = f", where {' and '.join(limits)}" if limits else ""
    until = f", until {rule.until}" if rule.until else ""
    who = rule.agent or "every agent"
    return display.display(f"{who} may call {rule.action} without asking{where}{only}{until}.")


def _place(folder: str) -> str:
    return "folders that alfred makes" if folder == MADE else folder


def _limit(value: Any) -> str:
    if isinstance(value, Mapping):
        ((how, what),) = value.items()
        return f"is below {what}" if how == "below" else f"begins with {what}"
    return f"is {value}"


def fits(wanted: Any, name: str, value: Any) -> bool:
    """Whether an argument is what a rule says of it."""
    if not isinstance(wanted, Mapping):
        return wanted == text_of(value)
    # a command may look like a path, and of anything else nobody knows what its first words mean
    if "below" in wanted:
        return not card.is_command(name) and lies_below(wanted["below"], value)
    return card.is_command(name) and begins(wanted["begins"], value)


def lies_below(folder: str, value: Any) -> bool:
    """Whether a path (each path of a list) lies beneath a folder: by its names, as they are written."""
    values = value if isinstance(value, list) else [value]
    above = parts(folder)
    found = [parts(one) for one in values]
    return (
        above is not None
        and bool(found)
        and all(
            one is not None and len(one) > len(above) and one[: len(above)] == above
            for one in found
        )
    )


def begins(first: str, command: Any) -> bool:
    """Whether a command is one program with its words, and begins with these words."""
    wanted, found = words(first), words(command)
    return wanted is not None and found is not None and found[: len(wanted)] == wanted
