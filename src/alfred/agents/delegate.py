"""Handing work on: `agents.delegate`, `agents.ask` and `agents.handoff` start children of the run that calls them.

Invariants: a child is started with the outcome of the call, once, under ids that follow from the call's; nothing goes down
but the brief, the folder and the inputs; a child has no tool that its caller has not, no lower label and no money of its own;
nobody is started deeper, or beside more living ones, than every agent above allows. Who gives its conversation away has nobody
out whose answer it would not read.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alfred import clock, errors, ids
from alfred import home as places
from alfred.actions import arguments, schemas
from alfred.actions.declare import action
from alfred.actions.grant import Grant
from alfred.actions.kinds import Effect, Risk
from alfred.agents import caps, folders, subagents
from alfred.agents import ledger as agent_ledger
from alfred.agents.registry import AgentRegistry, tiers
from alfred.agents.tools import ToolPolicy
from alfred.runs import budget, ledger, rows, sessions
from alfred.runs.rows import NewRun, Run
from alfred.trust import redact

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext
    from alfred.config import Settings
    from alfred.store.tx import Tx

BRIEF_LIMIT = 64_000
"""Bytes of a brief."""

LONGEST_WAIT = 7 * 24 * 60
"""Minutes."""

_MONEY = 1_000_000
"""USD that a child may at most be allowed to cost."""


def _shown(args: dict[str, Any], ctx: ActionContext) -> str:
    """What a person reads who decides about it."""
    told = args.get("briefs") or [args.get("brief") or args.get("question") or ""]
    to = args.get("agent") or ctx.agent
    more = {key: args[key] for key in ("model", "tools", "max_cost_usd") if args.get(key)}
    about = f" with {json.dumps(more, ensure_ascii=False)}" if more else ""
    return "\n".join([f"To {to}{about}:", *(f"- {brief}" for brief in told)])


def _lacks(settings: Settings) -> errors.CallRefused | None:
    """There is nobody to be named."""
    if len(settings.agents) > 1:
        return None
    return errors.CallRefused(
        "There is no other agent.", next="Name agents below `agents` of config.yaml."
    )


_declared = functools.partial(
    action, integration="agents", risk=Risk.NONE, effect=Effect.KEYED, preview=_shown, timeout=30
)


@_declared("agents.delegate")
def delegate(
    briefs: list[str],
    agent: str | None = None,
    model: str | None = None,
    tools: list[str] | None = None,
    max_cost_usd: float | None = None,
    result_schema: dict[str, Any] | None = None,
    within_minutes: int = 60,
    *,
    key: str,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Hand work on to sub-agents, one for each brief, and wait for what they answer. They work at the same time, in your folder.

    A sub-agent knows nothing but its brief: say in it what is wanted, what is known, and what the answer should hold.

    Args:
        briefs: What each of them is to do.
        agent: A named agent that does it; else one like you.
        model: Its model, provider:model, or helper or cheap.
        tools: The tools that it may use, of those that you have; all of them when none are named.
        max_cost_usd: What each of them may cost at most; it is your money.
        result_schema: A JSON schema that its answer must fit.
        within_minutes: After so long you are told what came of those that are done, and who is still out.
    """
    return _start(
        ctx,
        briefs,
        agent=agent,
        model=model,
        tools=tools,
        max_cost_usd=max_cost_usd,
        form=result_schema,
        within_minutes=within_minutes,
    )


@_declared("agents.ask", lacks=_lacks)
def ask(
    agent: str, question: str, within_minutes: int = 60, *, key: str, ctx: ActionContext
) -> dict[str, Any]:
    """Ask another agent one question, and wait for its answer. It knows nothing but the question.

    Args:
        agent: Who is asked.
        question: The question, with all that is needed to answer it.
        within_minutes: After so long you are told that it is still out.
    """
    return _start(ctx, [question], agent=agent, within_minutes=within_minutes)


@_declared("agents.handoff", lacks=_lacks)
def handoff(agent: str, brief: str, *, key: str, ctx: ActionContext) -> dict[str, Any]:
    """Give this conversation to another agent: it has read it, its answer is the answer, and what is said next is said to it.

    Args:
        agent: Who takes it over.
        brief: What it is to do now.
    """
    return _start(ctx, [brief], agent=agent, within_minutes=LONGEST_WAIT, takes_over=True)


ACTIONS = (delegate, ask, handoff)

STARTS = frozenset({"agents.delegate", "agents.ask", "agents.handoff"})
"""Actions whose calls start children."""


def _start(
    ctx: ActionContext,
    briefs: Sequence[str],
    *,
    agent: str | None,
    within_minutes: int,
    model: str | None = None,
    tools: list[str] | None = None,
    max_cost_usd: float | None = None,
    form: dict[str, Any] | None = None,
    takes_over: bool = False,
) -> dict[str, Any]:
    """Looks whether all of them may be started, and starts all of them with the outcome of the call.

    Raises:
        CallRefused: they may not; nobody is started.
        UnknownAgent, NoModel, ConfigError: there is no such agent or model.
    """
    said = [_brief(brief) for brief in briefs]
    if not 1 <= within_minutes <= LONGEST_WAIT:
        raise errors.CallRefused(
            f"within_minutes is {within_minutes}.", next=f"Give 1 to {LONGEST_WAIT}."
        )
    if form is not None:
        schemas.check(form)
    max_cost = _micro(max_cost_usd)
    with ctx.store.read() as look:
        chain = agent_ledger.chain(look, ctx.run_id)
        living = agent_ledger.living(look, ctx.run_id)
        has = sessions.heir(look, chain[-1])
        steps = budget.steps_of_tree(look, chain[0].id)
    run = chain[-1]
    if has.id != run.id:
        raise errors.CallRefused(
            f"{has.agent} has this conversation by now, so nobody else is given anything of it.",
            next="It goes on there.",
        )
    if takes_over and living:
        raise errors.CallRefused(
            f"{living} of your sub-agents are still out, and what they come to would be read by nobody.",
            next="Give an answer: it is held until they are done, and you are told of them. Then give the conversation away.",
        )
    agents = AgentRegistry.from_settings(ctx.settings)
    _within_limits(ctx.settings, agents, chain, living=living, wanted=len(said), steps=steps)
    target = agents.effective(agent or run.agent)
    _no_repeat(chain, target.id, said)
    grant = _grant(run, target.policy, tools)
    named = agent is not None and target.workspace is not None
    place = folders.place(target, ctx.settings, ctx.home) if named else _same(ctx)
    new = NewRun(
        id=run.id,
        tenant=run.tenant,
        agent=target.id,
        workflow="agent",
        step="boss-turn",
        trigger_kind="agent",
        model=_model(ctx, agents, run, argument=model, target=agent),
        workspace=place,
        inputs=run.inputs,
        external=int(ctx.external),
        private=int(ctx.private),
        dry_run=run.dry_run,
        parent_id=run.id,
        root_id=run.root_id,
        depth=run.depth + 1,
        # before what has not begun: its caller waits, with all that it has read
        priority=-(run.depth + 1),
        max_cost=max_cost,
    )
    children = []
    for n, brief in enumerate(said):
        id = ids.below(ctx.call_id, n)
        own = rows.notes_of(id) if grant.scratch is not None else None
        child = replace(
            new,
            id=id,
            brief=brief,
            # hidden before it is cut: half a secret is known to nobody
            title=redact.redact(brief).splitlines()[0][:80],
            grants=replace(grant, scratch=own).encode(),
            session_id=id,
            parent_call=f"{ctx.call_id}:{rows.TAKES_OVER if takes_over else n}",
        )
        talks = takes_over and all(one.takes_over for one in chain[1:])
        ctx.along.append(functools.partial(_begin, child=child, talks=talks))
        children.append(id)
    return {"agent": target.id, "children": children}


def _begin(tx: Tx, child: NewRun, *, talks: bool) -> None:
    """`talks`: what it takes over is the conversation with a person."""
    # not when its parent is over by now, or being cancelled
    if ledger.start(tx, child) and talks:
        sessions.take_over(tx, child)


def _same(ctx: ActionContext) -> str:
    """The folder of the caller, as the row of a run keeps it."""
    at = ctx.workspace
    return json.dumps({"root": str(at.root), "made": at.made, "trusted": at.trusted})


def _brief(brief: str) -> str:
    said = brief.strip()
    size = len(said.encode("utf-8", "surrogatepass"))
    if not said or size > BRIEF_LIMIT:
        raise errors.CallRefused(
            f"A brief has {size} bytes; it needs 1 to {BRIEF_LIMIT}.",
            next="Say in words what is wanted; note long material in a file and name it.",
        )
    return said


def _micro(usd: float | None) -> int | None:
    if usd is None:
        return None
    if not 0 < usd <= _MONEY:
        raise errors.CallRefused(
            f"max_cost_usd is {usd}.", next=f"Give more than 0 and at most {_MONEY} USD, as 0.50."
        )
    return caps.micro(usd)


def _within_limits(
    settings: Settings,
    agents: AgentRegistry,
    chain: Sequence[Run],
    *,
    living: int,
    wanted: int,
    steps: int,
) -> None:
    """Holds the children that are wanted against every limit.

    Raises:
        CallRefused: they would be too deep or too many; the text says what can be done.
    """
    run = chain[-1]
    policy = agents.get(run.agent).subagents
    if not wanted:
        raise errors.CallRefused("There is no brief.", next="Say in words what is wanted.")
    most, whose = min(
        (policy.max_children, f"subagents.max_children of {run.agent}"),
        (settings.limits.children_live, "limits.children_live"),
    )
    if most == 0:
        raise errors.CallRefused(
            f"Agent {run.agent} hands nothing on ({whose} is 0).", next="Do it yourself."
        )
    deep, by = min(
        *(
            (agents.get(one.agent).subagents.max_depth, f"subagents.max_depth of {one.agent}")
            for one in chain
        ),
        (settings.limits.depth, "limits.depth"),
    )
    if run.depth + 1 > deep:
        raise errors.CallRefused(
            f"This run is at depth {run.depth}, and nobody is started deeper than {deep} ({by}).",
            next="Do it yourself, or tell your caller in your answer what is left."
            if run.depth
            else "Do it yourself.",
        )
    if living + wanted > most:
        room = most - living
        raise errors.CallRefused(
            f"{wanted} children were asked for, {living} are alive, and {most} may be at a time ({whose}). None was started.",
            next=f"Hand on at most {room} now, the others when these are done."
            if room
            else "Wait for one of them, or do it yourself.",
        )
    if steps >= settings.limits.tree_steps:
        raise errors.CallRefused(
            f"This run and all below it have made {steps} steps (limits.tree_steps is {settings.limits.tree_steps}).",
            next="Finish with what there is.",
        )


def _no_repeat(chain: Sequence[Run], agent: str, briefs: Sequence[str]) -> None:
    """Whoever hands on the very thing that it was given does so for ever.

    Raises:
        CallRefused: somebody above has been given it.
    """
    given = {(run.agent, " ".join((run.brief or "").split())) for run in chain}
    for brief in briefs:
        if (agent, " ".join(brief.split())) in given:
            raise errors.CallRefused(
                f"{redact.redact(brief)[:80]!r} is what {agent} was asked in the first place.",
                next="Do it, or hand on a part of it.",
            )


def _grant(run: Run, policy: ToolPolicy, tools: list[str] | None) -> Grant:
    """What a child may do: what its caller may, its own policy allows and the call names.

    Raises:
        CallRefused: the call names tools, and its caller has none of them.
    """
    grant = Grant.decode(run.grants)
    # what a pattern stands for is not known here, so no policy can look at it
    known = tuple(sorted(name for name in grant.actions if "*" not in name))
    chosen = None if tools is None else ToolPolicy(allow=frozenset(tools))
    if tools and chosen and known and not any(chosen.judge(name).allowed for name in known):
        near = arguments.nearest(tools[0], known)
        raise errors.CallRefused(
            f"You have no tool {' or '.join(map(repr, tools))[:200]}.",
            next=f"Did you mean {near!r}?"
            if near
            else "Name tools of yours, or leave `tools` away.",
        )
    policies = [policy] if chosen is None else [policy, chosen]
    free = ToolPolicy()
    return grant.narrowed(
        name
        for name in grant.actions
        if all(p == free or ("*" not in name and p.judge(name).allowed) for p in policies)
    )


def _model(
    ctx: ActionContext, agents: AgentRegistry, run: Run, *, argument: str | None, target: str | None
) -> str | None:
    wanted = agents.subagent_model(run.agent, argument, run.model, target=target)
    if wanted is None or wanted == run.model:
        return run.model
    from alfred.agents import choice
    from alfred.llm import catalog

    configured = tiers(ctx.settings)
    for tier in subagents.TIERS:
        if wanted == tier:
            wanted = catalog.tier(
                tier,
                boss=run.model or "",
                configured=configured,
                secrets=ctx.secrets,
                env=os.environ,
            )
    found = choice.usable(
        wanted,
        provider=agents.provider(target or run.agent),
        secrets=ctx.secrets,
        env=os.environ,
        env_file=places.env_file(ctx.home),
    )
    return found.model


def within(arguments: dict[str, Any]) -> int:
    """After how many microseconds a caller is told who is still out."""
    return int(arguments.get("within_minutes", LONGEST_WAIT)) * clock.MINUTE
