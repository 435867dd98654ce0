"""Who shall work here: an agent is written into config.yaml, or taken out of it.

Invariant: what is written passes every check of the whole configuration first, beside the agents that are in the file at
that moment; an agent that is named elsewhere, or has runs that are not over, is not taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import app, beats, config_edit, config_text, errors, home
from alfred.agents import bindings, entries, teams
from alfred.agents.entries import MAIN
from alfred.agents.registry import AgentRegistry
from alfred.agents.tools import TOOL_PROFILES
from alfred.cli import terminal
from alfred.cli.agents import id_of, read
from alfred.cli.terminal import DEFAULT, Common
from alfred.config import Settings
from alfred.runs import crons, revisions, views
from alfred.store.tx import Tx

_TRIES = 20
"""So often an agent is added anew because other agents came or went meanwhile."""


def agents_add(
    agent: str | None = None,
    /,
    *,
    description: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    tools: str | None = None,
    toolsets: str | None = None,
    workspace: Annotated[Path | None, Parameter(converter=terminal.typed_path)] = None,
    personality: str | None = None,
    reasoning: str | None = None,
    max_turns: int | None = None,
    default: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Write an agent into config.yaml, keeping what stands there. The first one leaves `main` the default. On a terminal,
    without any option, what it needs is asked.

    Args:
        agent: Its id.
        description: What it is for.
        model: Its own model, provider:model.
        provider: Whose its models are that do not say it themselves.
        tools: A profile, or tools as YAML in one line, as in [web_search, memory] or {deny: [shell]}.
        toolsets: Groups of tools that there are for it, as YAML in one line, as in [files, web].
        workspace: The folder that its runs work in.
        personality: How it speaks, or the path of a file that says so.
        reasoning: How much its model thinks first.
        max_turns: Turns of a run at most.
        default: It is meant when no agent is named.
    """
    folder = common.folder()
    home.ensure(folder)
    settings, _ = read(common)
    if agent is not None:
        _free(agent, settings)
    _in_file(settings, "Add")
    given: dict[str, Any] = {
        "default": default or None,
        "description": description,
        "model": model,
        "provider": provider,
        "tools": None if tools is None else _yaml("--tools", tools),
        "toolsets": None if toolsets is None else _yaml("--toolsets", toolsets),
        "workspace": None if workspace is None else str(home.expanded(workspace).absolute()),
        "personality": personality,
        "reasoning": reasoning,
        "max_turns": max_turns,
    }
    entry = {key: value for key, value in given.items() if value is not None}
    if not entry and terminal.interactive() and not common.json:
        agent, entry = _asked(agent, settings)
    if agent is None:
        raise errors.UsageError(
            "Nobody said what the agent is called.", next="alfred agents add NAME"
        )
    for _ in range(_TRIES):
        if written := _added(folder, settings, agent, entry, default=default):
            break
        settings, _ = read(common)  # somebody else has added one, or taken one out
        _free(agent, settings)
    else:
        raise errors.ConfigError(
            "config.yaml has other agents at each look.", next="Write the agent into it by hand."
        )
    where = written.place("agents", agent) or "config.yaml"
    if common.json:
        terminal.document({"id": agent, "place": where})
    else:
        terminal.out(f'{where}: {agent}. Try it: alfred run "…" --agent {agent}')
    return 0


class _Meanwhile(Exception):
    """There are other agents in the file than those that were read."""


def _added(
    folder: Path, settings: Settings, agent: str, entry: dict[str, Any], *, default: bool
) -> Settings | None:
    """Writes an agent beside those that were read; None, and nothing written, where others are there by now."""

    def first(tree: Mapping[str, Any]) -> None:
        if set(tree.get("agents") or ()) != set(settings.agents):
            raise _Meanwhile

    path, value = ("agents", agent), entry
    if not settings.agents:
        # whoever was there without a word about it stays there, and is meant as before
        main = {} if default else {"default": True}
        path, value = ("agents",), {MAIN: main, agent: entry} if agent != MAIN else {agent: entry}
    try:
        return config_edit.edit(folder, path, value, check=app.check, first=first)
    except _Meanwhile:
        return None


def agents_remove(agent: str, /, *, common: Common = DEFAULT) -> int:
    """Take an agent out of config.yaml with the comment right above it, keeping all else that stands there. Its folder and
    what it did stay.

    Args:
        agent: Its id.
    """
    folder = common.folder()
    settings, agents = read(common)
    agents.get(agent)
    _in_file(settings, "Take the agent out")
    entry = next((key for key, said in settings.agents.items() if id_of(key, said) == agent), None)
    if entry is None:
        raise errors.UsageError(
            f"{agent!r} is who there is without `agents` in config.yaml.",
            next="`alfred agents add NAME` writes another.",
        )
    with app.base(folder=folder) as base:
        tenant = base.desk.tenant
        with base.store.read() as look:
            runs = views.open_of(look, tenant, agent)
            fired = _fired(look, tenant, agent)
        if named := [*_named(settings, agent), *fired]:
            raise errors.ConfigError(
                f"{agent} is still named: {'; '.join(named)}.",
                next="Take that out first (`alfred workflows deactivate NAME`), or name another agent there."
                if any(one.startswith("workflow") for one in fired)
                else "Take that out first, or name another agent there.",
            )
        if runs:
            told = ", ".join(map(terminal.short, runs[:10])) + (" and more" if runs[10:] else "")
            raise errors.UsageError(
                f"{agent} has runs that are not over: {told}.",
                next="Let them end, or end them with `alfred runs cancel ID`.",
            )
        written = config_edit.remove(folder, ("agents", entry), check=app.check)
        beats.seal_rules(base.store, tenant, lambda whose: app.settings_of(folder, whose))
    left = AgentRegistry.from_settings(written).default.id
    own = home.of_agent(folder, agent)
    kept = str(own) if own != folder and own.is_dir() else None
    if common.json:
        terminal.document({"id": agent, "folder": kept, "default": left})
        return 0
    terminal.out(f"{agent} is out of config.yaml. What it did stays in the ledger.")
    if kept:
        terminal.out(f"Its folder stays: {terminal.shown(kept, 400)}")
    if agents.default.id == agent:
        terminal.out(f"The agent that is meant when none is named is now {left}.")
    return 0


def _free(id: str, settings: Settings) -> None:
    """Refuses the id of an agent that there is, and the key of another one's entry."""
    if not settings.agents:
        return
    ids = {key: id_of(key, said) for key, said in settings.agents.items()}
    if id in ids.values():
        key = next(key for key, one in ids.items() if one == id)
        raise errors.NameTaken(
            f"There is an agent {id!r} already.",
            next=f"`alfred agents show {id}`; `alfred config edit agents.{key}.KEY VALUE` changes it.",
        )
    if id in ids:
        raise errors.NameTaken(
            f"The entry of the agent {ids[id]!r} is called {id!r}.",
            next=f"Call the new agent otherwise; `alfred agents show {ids[id]}` says what is there.",
        )


def _in_file(settings: Settings, verb: str) -> None:
    """Refuses to change agents that are not written in the file."""
    place = settings.place("agents") or ""
    if place.startswith("env:"):
        raise errors.UsageError(
            f"The agents come from {place.removeprefix('env:')}, which wins over config.yaml.",
            next=f"{verb} there, or unset it.",
        )


def _named(settings: Settings, id: str) -> list[str]:
    """Where else the configuration names this agent, for people."""
    tree = settings.model_dump(mode="json")
    routed = [
        ("bindings", one.number - 1)
        for one in bindings.read(tree["bindings"])[0]
        if one.agent == id
    ]
    return [
        f"{config_text.dotted(path)} ({settings.place(*path) or 'config.yaml'})"
        for path in dict.fromkeys([*routed, *teams.naming(tree, id), *entries.naming(tree, id)])
    ]


def _fired(look: Tx, tenant: str, id: str) -> list[str]:
    """What starts runs of this agent: workflows that are active, and crons that are no job of a workflow."""
    from alfred.workflows.activation import seed_of
    from alfred.workflows.contracts import Contract

    active = [
        f"workflow {row.slug}"
        for row in revisions.of_tenant(look, tenant)
        if row.contract is not None and Contract.decode(row.contract).agent == id
    ]
    jobs = [one for one in crons.of_tenant(look, tenant) if one.seed != seed_of(one.workflow)]
    return [*active, *(f"cron {one.name}" for one in jobs if one.agent == id)]


def _asked(agent: str | None, settings: Settings) -> tuple[str, dict[str, Any]]:
    """What a person at the terminal says of a new agent: only what is right, or nothing."""
    entry: dict[str, Any] = {}

    def wrong(id: str, said: dict[str, Any]) -> str | None:
        found = app.check({"agents": {**settings.agents, id: {**entry, **said}}})
        return next((str(one) for one in found if one.path[:2] == ("agents", id)), None)

    def ask(question: str, problem: Callable[[str], str | None]) -> str:
        while True:
            said = terminal.line_or_end(question)
            if said is None:
                raise errors.UsageError("Nothing was added.")
            told = problem(said) if said else None
            if told is None:
                return said
            terminal.say(told)

    if agent is None:
        agent = ask("name:", lambda said: wrong(said, {}) or _taken(said, settings))
        if not agent:
            raise errors.UsageError("Nothing was added: it has no name.")
    id = agent
    questions = (
        ("description", "what it is for:", str),
        ("model", "model, provider:model [that of all]:", str),
        ("tools", f"tools: {', '.join(TOOL_PROFILES)}, or [a, b] [all]:", _tools_said),
    )
    for key, question, value in questions:
        if said := ask(question, lambda said, key=key, value=value: wrong(id, {key: value(said)})):
            entry[key] = value(said)
    return id, entry


def _taken(id: str, settings: Settings) -> str | None:
    try:
        return _free(id, settings)
    except errors.NameTaken as problem:
        return problem.detail


def _tools_said(said: str) -> Any:
    """What somebody typed for `tools`: what is no YAML is a name that no profile has."""
    try:
        return _yaml("tools", said)
    except errors.UsageError:
        return said


def _yaml(option: str, text: str) -> Any:
    """What an option says in one line of YAML.

    Raises:
        UsageError: it is none.
    """
    made = config_text.parse(f"value: {text}\n", option)
    if made.findings or made.tree.keys() != {"value"}:
        raise errors.UsageError(
            f"{option} is no YAML in one line: {config_text.shown(text)}.",
            next="Write one name or [a, b]; --tools takes {deny: [a]} too.",
        )
    return config_text.resolve(made.tree["value"])
