"""The command that says which agent a message would reach. It reads config.yaml and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alfred import app, config, config_text, errors
from alfred.agents import platforms, ranks
from alfred.agents.router import BindingRouter
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common

if TYPE_CHECKING:
    from alfred.agents.bindings import Binding
    from alfred.agents.ranks import Message


def route(
    *,
    platform: str,
    chat: Annotated[str | None, Parameter(alias="--chat-id")] = None,
    parent: Annotated[str | None, Parameter(alias="--parent-chat-id")] = None,
    peer: str | None = None,
    user: Annotated[str | None, Parameter(alias="--user-id")] = None,
    guild: Annotated[str | None, Parameter(alias="--guild-id")] = None,
    team: Annotated[str | None, Parameter(alias="--team-id")] = None,
    type: Annotated[str | None, Parameter(alias="--chat-type")] = None,
    thread: Annotated[str | None, Parameter(alias="--thread-id")] = None,
    explain: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Say which agent a message would reach, and by which binding.

    Args:
        platform: Where it comes from, as in telegram.
        chat: The chat that it is in.
        parent: The chat around a thread that is a chat of its own, as on Discord.
        peer: Who a direct chat is with; without it, the user of a chat of type dm.
        user: Who wrote it.
        guild: The guild, space or domain.
        team: The team or workspace.
        type: dm, group, channel or thread, or the platform's own word for it.
        thread: The thread or topic in the chat.
        explain: Say of every other binding why it is not the one.
    """
    _check("platform", platform, platforms.NAMES)
    if type is not None:
        _check("kind of chat", type, platforms.KINDS)
    settings = app.settings_of(common.folder())
    router = BindingRouter.from_settings(settings)
    message: Message = {
        "platform": platform,
        "chat_id": chat,
        "parent_chat_id": parent,
        "peer": peer,
        "user_id": user,
        "guild_id": guild,
        "team_id": team,
        "chat_type": type,
        "thread_id": thread,
    }
    found = router.resolve(**message)
    verdicts = router.explain(**message) if explain else ()
    never = {id(one): by.number for one, by in router.shadowed()} if explain else {}
    if common.json:
        terminal.document(
            {
                "agent": found.agent,
                "tier": found.tier,
                "binding": found.binding and _told(found.binding, settings),
                "explain": [
                    {
                        **_told(one.binding, settings),
                        "outcome": one.outcome,
                        "why": one.why,
                        "shadowed_by": never.get(id(one.binding)),
                    }
                    for one in verdicts
                ],
            }
        )
        return 0
    terminal.out(f"agent: {found.agent}")
    by = "no binding fits" if found.binding is None else _line(found.binding, settings)
    terminal.out(f"tier {found.tier}, {ranks.TIERS[found.tier]}: {by}")
    for one in verdicts:
        if one.binding is found.binding:
            continue
        terminal.out(
            f"  {one.outcome}: {_line(one.binding, settings)}: {terminal.shown(one.why, 300)}"
        )
        if by_number := never.get(id(one.binding)):
            terminal.out(
                terminal.colour(f"    it never wins: binding {by_number} beats it", "yellow")
            )
    return 0


def _check(noun: str, name: str, names: Collection[str]) -> None:
    """Refuses a name that nothing has."""
    if name not in names:
        raise errors.UsageError(
            f"No {noun} is called {config_text.shown(name)}.",
            next=config_text.advice(name, names),
        )


def _told(binding: Binding, settings: config.Settings) -> dict[str, Any]:
    return {
        "number": binding.number,
        "place": settings.place("bindings", binding.number - 1),
        "agent": binding.agent,
        "match": dict(binding.match),
        "tier": ranks.tier(binding.match),
    }


def _line(binding: Binding, settings: config.Settings) -> str:
    """One binding as people read it."""
    asks = " ".join(
        f"{key} {terminal.shown(value)}"
        for key, value in binding.match.items()
        if key != "platform"
    )
    place = settings.place("bindings", binding.number - 1)
    said = f"binding {binding.number} ({place}), {binding.agent} for {binding.platform}"
    return f"{said} {asks or 'as a whole'}"
