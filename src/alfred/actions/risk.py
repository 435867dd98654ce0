"""The risk of one call: the maximum of what was declared and of everything its arguments say.

Invariant: only maxima. Nothing that a model can write lowers a risk: not another argument, not another
command, not a hook that fails. What cannot be read is high. The judgement sorts what a person has to look
at; the boundary is the sandbox.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alfred import clock
from alfred.actions import commands, fileline, shell, starters, syntax
from alfred.actions.forbidden import forbidden
from alfred.actions.kinds import Risk
from alfred.actions.places import Place, names_secret

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext
    from alfred.actions.declare import Action

_FORCING = frozenset(
    "force forced force_with_lease hard mirror no_verify skip_checks skip_hooks bypass "
    "no_preserve_root allow_destructive purge production".split()
)
_DELETING = frozenset("delete remove overwrite prune destroy".split())
_COMMANDS = frozenset("command cmd script shell bash commands".split())

_DEPTH = 5
_FOLDERS = 16
_TO = frozenset({">", ">>", ">|", "&>", "&>>"})


MANY = 5
"""So many low calls of one action..."""
MANY_WITHIN = 10 * clock.MINUTE
"""...within so long, and the next one is not low any more."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The risk of one call, and where it comes from."""

    risk: Risk
    forbidden: str | None
    """Why the call is never carried out, even if approved; None when it may be."""
    explanation: tuple[str, ...]
    """Each part that was looked at, for `policy explain` and for the call's row."""


def assess(action: Action, args: Mapping[str, Any], ctx: ActionContext) -> Assessment:
    """The risk of calling `action` with these normalised arguments: the maximum of the declared risk, of
    what the arguments say by their names, and of the action's own `classify`. Never raises."""
    why = [f"declared {action.risk}"]
    risk = action.risk
    by_name = by_arguments(args)
    if by_name is not Risk.NONE:
        why.append(f"by arguments {by_name}")
    hook, said = _by_hook(action, args, ctx)
    if said:
        why.append(said)
    cwd = str(ctx.workspace.root)
    reason = next(filter(None, (forbidden(text, cwd=cwd) for text in _commands(args))), None)
    if reason is not None:
        why.append(f"never carried out: {reason}")
    found = Risk.HIGH if reason is not None else Risk.NONE
    return Assessment(max(risk, by_name, hook, found), reason, tuple(why))


def by_volume(found: Assessment, lows: Callable[[], int]) -> Assessment:
    """Many small things are no small thing: the sixth low call of an action within ten minutes is medium.

    Args:
        lows: How many there were before it; asked for a low one only.
    """
    if found.risk is not Risk.LOW or (before := lows()) < MANY:
        return found
    why = f"by volume medium: {before} low calls of it within {MANY_WITHIN // clock.MINUTE} minutes"
    return replace(found, risk=Risk.MEDIUM, explanation=(*found.explanation, why))


def by_arguments(args: Mapping[str, Any]) -> Risk:
    """What the names of arguments say that are set: forcing is high, deleting is medium, for any action."""
    risk = Risk.NONE
    for name, value in args.items():
        if not value or value in ("false", "no", "0"):
            continue
        if name in _FORCING:
            risk = Risk.HIGH
        elif name in _DELETING:
            risk = max(risk, Risk.MEDIUM)
    return risk


def classify_command(text: str, *, cwd: str | os.PathLike[str] | None = None) -> Risk:
    """The risk of shell text.

    A closed table of programs and options decides; whatever is not in it is high, and so is whatever
    only the shell could tell: substitutions, variables other than `$HOME`, functions, loops, input from
    here-documents, background work, writing outside of the workspace. Adding arguments, operators or
    commands never lowers the result (a longer verb, such as `git stash list` for `git stash`, is
    another command).

    Args:
        text: What would be given to `bash -c`.
        cwd: The workspace, where the command starts; links are followed then. Without it relative paths
            are taken as they are written, and every absolute path outside of temporary folders is foreign.
    """
    if not isinstance(text, str):
        return Risk.HIGH
    return _classify(text, Place.at(cwd, home=syntax.home()), 0)


def _classify(text: str, place: Place, depth: int) -> Risk:
    if depth > _DEPTH:
        return Risk.HIGH
    script = shell.read(text, home=place.home)
    if script.unclear:
        return Risk.HIGH
    risk = Risk.NONE
    for command in script.commands:
        here = place
        risk = max(risk, _command(command, here, depth))
        if command.words[0].text == "cd":
            target = command.words[1].text if len(command.words) == 2 else None
            if len(command.words) == 1:
                target = place.home
            if target is None or target.startswith("-") or command.words[-1].glob:
                return Risk.HIGH
            place = place.after_cd(target)
            if len(place.folders) > _FOLDERS:
                return Risk.HIGH  # each `cd` doubles them; nobody follows that many
    return risk


def _command(command: shell.Command, place: Place, depth: int) -> Risk:
    if not all(starters.harmless_variable(name, value) for name, value in command.assignments):
        return Risk.HIGH
    risk = max((_redirect(r, place) for r in command.redirects), default=Risk.NONE)
    if command.words[0].text == "cd":
        return Risk.HIGH if any(map(names_secret, command.words[1:])) else risk
    return max(
        risk,
        commands.judge(command.words, place, lambda text, there: _classify(text, there, depth + 1)),
    )


def _redirect(redirect: shell.Redirect, place: Place) -> Risk:
    target = redirect.target
    if target.text is None:
        return Risk.HIGH
    if redirect.operator in (">&", "<&") and (target.text == "-" or target.text.isdigit()):
        return Risk.NONE
    if redirect.operator in _TO or redirect.operator == ">&":
        return fileline.writes(target, place)
    if redirect.operator == "<":
        # bash opens connections for names in /dev/tcp and /dev/udp
        network = target.text.startswith(("/dev/tcp", "/dev/udp"))
        network = network or (target.glob and not re.match(r"[\w*.]", target.text))
        return Risk.HIGH if network or names_secret(target) else Risk.NONE
    return Risk.HIGH


def _by_hook(action: Action, args: Mapping[str, Any], ctx: ActionContext) -> tuple[Risk, str]:
    if action.classify is None:
        return Risk.NONE, ""
    try:
        risk = action.classify(dict(args), ctx)
    except Exception as e:
        return Risk.HIGH, f"its classify failed ({type(e).__name__}), so high"
    if not isinstance(risk, Risk):
        return Risk.HIGH, f"its classify answered a {type(risk).__name__} and no risk, so high"
    return risk, f"by its classify {risk}"


def _commands(args: Mapping[str, Any]) -> Iterator[str]:
    """The arguments that hold shell text, as text or as a list of words."""
    for name, value in args.items():
        if name not in _COMMANDS:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list) and all(isinstance(part, str) for part in value):
            yield from value
            yield " ".join(value)
