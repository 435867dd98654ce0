"""What a run is told of its place among other agents: whom it can hand work to, and for whom it works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alfred.actions.grant import Grant
from alfred.agents import delegate, joining
from alfred.agents.registry import AgentRegistry
from alfred.runs import rows
from alfred.runs.workflow import StepContext

if TYPE_CHECKING:
    from alfred.config import Settings

_CHILD = """\
You are a sub-agent: another agent gave you the brief, and reads nothing of you but your final answer. What the brief takes for
granted is a claim to be looked at. Say what you found, how sure you are of it, what you ruled out, and what you could not do."""

_HEIR = """\
Another agent gave you its conversation with a person. You answer that person from now on, and what they say next is said to you.
The brief is that agent's word, and what it takes for granted is a claim to be looked at."""


def of(ctx: StepContext, settings: Settings) -> list[str]:
    """Paragraphs of the head; none for a run that has nobody above and nobody beside it."""
    run = ctx.run
    grant = Grant.decode(run.grants)
    told = []
    if run.parent_id is not None:
        told.append(_HEIR if run.takes_over else _CHILD)
        if (form := joining.form(ctx)) is not None:
            said = json.dumps(form, ensure_ascii=False)
            told.append(
                f"Your final answer is one JSON value and nothing else. It fits this schema: {said}"
            )
        if grant.scratch and grant.allows("scratch.write"):
            told.append(f"What you note with scratch.write is named {rows.notes_of(run.id)}NAME.")
    agents = AgentRegistry.from_settings(settings)
    told += _of_teams(ctx, agents)
    if any(grant.allows(action) for action in delegate.STARTS):
        told += _others(agents, run.agent)
    return told


def _of_teams(ctx: StepContext, agents: AgentRegistry) -> list[str]:
    """The teams that the run leads, or that its caller leads and it is a member of."""
    run, caller = ctx.run, None
    if run.parent_id is not None and agents.teams:
        with ctx.store.read() as look:
            above = rows.get(look, run.parent_id)
        caller = above.agent if above else None
    told = []
    for team in agents.teams:
        brief = f" {team.brief}" if team.brief else ""
        if run.agent == team.lead:
            told.append(f"You lead the team {team.name}: {', '.join(team.members)}.{brief}")
        elif caller == team.lead and run.agent in team.members:
            told.append(f"You work in the team {team.name}, which {team.lead} leads.{brief}")
    return told


def _others(agents: AgentRegistry, own: str) -> list[str]:
    others = [agents.get(id) for id in agents.ids() if id != own]
    if not others:
        return []
    lines = (f"- {one.id}" + (f": {one.description}" if one.description else "") for one in others)
    return ["\n".join(["Agents that you can name when you hand work on:", *lines])]
