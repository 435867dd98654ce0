"""What a configuration says about agents, entry by entry, and everything that is wrong with it.

Invariant: nothing that a configuration says about agents is passed over. A mistyped key is wrong, and so is the name of
an agent that nobody has: a policy that is quietly not applied is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from alfred import config_servers, config_text, errors
from alfred.agents import subagents, tools
from alfred.agents.sessions import DmScope
from alfred.agents.subagents import SubagentPolicy
from alfred.agents.tools import ToolPolicy
from alfred.config_servers import Servers
from alfred.config_text import Finding, Where

MAIN = "main"


class UnknownAgent(errors.ConfigError):
    """No agent has this name."""

    code: ClassVar[str] = "unknown_agent"


class InvalidAgentId(errors.ConfigError):
    """No agent can be called so."""

    code: ClassVar[str] = "invalid_agent_id"


class DuplicateAgentId(errors.ConfigError):
    """Two agents have the same id."""

    code: ClassVar[str] = "duplicate_agent_id"


class MultipleDefaults(errors.ConfigError):
    """More than one agent is the default."""

    code: ClassVar[str] = "multiple_defaults"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """One agent, as its entry says it.

    Attributes:
        id: Its name in commands, rows and paths.
        description: What it is for, for people and for agents that look for help.
        default: Whether it is meant when no agent is named.
        model: As it is written, None for the installation's.
        provider: Whose its models are that do not say it themselves, a name of `llm.catalog.PROVIDERS`.
        fallback_model: Models that are tried in this order when its own is limited or away; None for the installation's.
        personality: How it speaks: the text, or the path of a file with it.
        workspace: The folder that its runs work in where none is named; None for that of whoever starts them.
        reasoning: A name of `REASONING`; None leaves it to the model.
        max_turns: Boss turns of a run at most, None for `limits.turns`.
        memory_enabled: Whether it has memories: in its prompt, and as tools.
        toolsets: Groups of tools that there are for its runs; None for all.
        tool_policy: Which tools its runs have, of those that there are; None for all. Written `tools`.
        sandbox: Whether programs of its runs get one, where there is one; without it each is a high risk.
        subagents: How far its runs may hand work on.
        mcp_servers: MCP servers of its own by name, over those at the top; one that is None it has not got.
        dm_scope: What one conversation with it is in direct chats, a name of `sessions.DmScope`; None: the platform says,
            by how many people it lets in.

    Raises:
        InvalidAgentId: nobody can be called so.
    """

    id: str
    description: str = ""
    default: bool = False
    model: str | None = None
    provider: str | None = None
    fallback_model: tuple[str, ...] | None = None
    personality: str | None = None
    workspace: Path | None = None
    reasoning: str | None = None
    max_turns: int | None = None
    memory_enabled: bool = True
    toolsets: tuple[str, ...] | None = None
    tool_policy: ToolPolicy | None = None
    sandbox: Literal["auto", "off"] = "auto"
    subagents: SubagentPolicy = field(default_factory=SubagentPolicy)
    mcp_servers: Servers | None = None
    dm_scope: DmScope | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise InvalidAgentId(f"{config_text.shown(self.id)} {_NO_ID}.")


REASONING = ("off", "on", "minimal", "low", "medium", "high", "xhigh", "max")
"""How much a model thinks before it answers: not, as it likes, or with an effort."""

INHERITED = (
    "model",
    "provider",
    "fallback_model",
    "personality",
    "reasoning",
    "max_turns",
    "memory_enabled",
    "tools",
    "sandbox",
)
"""What an agent takes from the top of the configuration where its entry says nothing."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # it becomes the name of a folder

ATTRIBUTES = {"tools": "tool_policy"}
"""Where a key of the configuration is called otherwise than the attribute that it gives."""

_KEYS = (*(f.name for f in fields(AgentConfig)), *ATTRIBUTES)

Given = dict[str, Any]
"""The values that an entry gives, by the name of their attribute."""


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with what a configuration says about agents, by its key. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    return read(tree)[1]


def read(tree: Mapping[str, Any]) -> tuple[dict[str, Given], list[Finding]]:
    """What each entry gives, by the id of its agent, as far as it is right, and everything that is wrong."""
    found = [one for one in top(tree)[1] if one.path[0] in _RAW]
    found += subagents.everyones(tree)[1]
    models = tree.get("models")
    listed = isinstance(models, Mapping) and models.get("fallback")
    if listed and tree.get("fallback_model") is not None:
        message = "models.fallback says it too, take one of them out"
        found.append(Finding(("fallback_model",), message))
    entries = tree.get("agents") or {}
    if not isinstance(entries, Mapping):
        return {}, found  # which is told as such, and who there is cannot be known
    agents: dict[str, Given] = {}
    there = {*_of_the_fleet(tree)}
    shared = tree.get(config_servers.KEY)
    above = list(map(str, shared)) if isinstance(shared, Mapping) else []
    marked: list[str] = []
    for name, entry in entries.items():
        here: Where = ("agents", str(name))
        given, wrong = _entry(str(name), entry, above)
        id = given["id"]
        there.add(id)
        if not _ID.fullmatch(id):  # of its key: one that its entry gives is told there
            if "id" not in (entry if isinstance(entry, Mapping) else ()):
                found.append(Finding(here, _NO_ID, kind=InvalidAgentId))
        elif id in agents:
            at = (*here, "id") if id != str(name) else here
            message = f"another agent has the id {id} already"
            found.append(Finding(at, message, kind=DuplicateAgentId))
        else:
            agents[id] = given
        found += wrong
        if given.get("default"):
            marked.append(id)
            if len(marked) > 1:
                message = f"only one agent can be the default, and {marked[0]} is"
                found.append(Finding((*here, "default"), message, kind=MultipleDefaults))
    known = list(agents) or [MAIN]
    for path, name in _named(tree):
        if name not in there and name not in known:
            message = f"names no agent{config_text.meant(name, known)}"
            found.append(Finding(path, message, config_text.shown(name), kind=UnknownAgent))
    return agents, found


def top(tree: Mapping[str, Any]) -> tuple[Given, list[Finding]]:
    """What agents inherit, as far as it is right, and what is wrong with it."""
    found: list[Finding] = []
    given = {
        ATTRIBUTES.get(key, key): _taken((key,), key, tree[key], found)
        for key in INHERITED
        if tree.get(key) is not None
    }
    models = tree.get("models")
    if isinstance(models, Mapping):
        if models.get("boss") is not None:
            given["model"] = _taken(("models", "boss"), "model", models["boss"], found)
        if models.get("fallback"):
            at = ("models", "fallback")
            given.setdefault("fallback_model", _taken(at, "fallback_model", models[at[1]], found))
    return {key: value for key, value in given.items() if value is not None}, found


def _entry(name: str, entry: Any, above: Sequence[str]) -> tuple[Given, list[Finding]]:
    """What an entry gives, and what is wrong with it. `above`: the MCP servers at the top."""
    here: Where = ("agents", name)
    given: Given = {"id": name}
    if entry is None:
        return given, []
    if not isinstance(entry, Mapping):
        message = "must be keys with values, as in `{model: auto}`"
        return given, [Finding(here, message, config_text.shown(entry))]
    found: list[Finding] = []
    for key, value in entry.items():
        path = (*here, str(key))
        if key not in _KEYS:
            # the value is not shown: it may be a secret in the wrong place
            message = f"is no setting of an agent{config_text.meant(str(key), _KEYS)}"
            found.append(Finding(path, message))
        elif key == config_servers.KEY:
            given[key], wrong = config_servers.read(path, value, above=above)
            found += wrong
        elif value is not None:
            taken = _taken(path, str(key), value, found)
            if taken is not None:
                given[ATTRIBUTES.get(str(key), str(key))] = taken
    if entry.get("tools") is not None and entry.get("tool_policy") is not None:
        message = "tools says it too, take one of them out"
        found.append(Finding((*here, "tool_policy"), message, kind=tools.InvalidToolConfig))
    return given, found


_NO_ID = "is no name for an agent: 1 to 64 of a-z, 0-9, _ and -, with a letter or digit first"
_RAW = ("fallback_model", "reasoning", "tools")
"""Keys of the top that the settings keep as they are written."""


def _taken(path: Where, key: str, value: Any, found: list[Finding]) -> Any:
    """What a value means; None, and a finding more, for one that means nothing."""
    if key == "fallback_model":
        return _models(path, value, found)
    if (reads := _READ_BELOW.get(key)) is not None:
        means, problems = reads(config_text.resolve(value))
        found += [replace(one, path=(*path, *one.path)) for one in problems]
        return means
    wrong: str | None = None
    taken: Any = None
    if isinstance(value, Mapping | list | tuple):
        wrong = "must be one value"
    else:
        taken, wrong = _READ.get(key, _text)(config_text.as_text(value))
    if wrong:
        kind = InvalidAgentId if key == "id" else errors.ConfigError
        found.append(Finding(path, wrong, config_text.shown(value), kind=kind))
        return None
    return taken


def _models(path: Where, value: Any, found: list[Finding]) -> tuple[str, ...] | None:
    """Models to fall back on: one, several, or `{model: …}`."""
    if isinstance(value, Mapping):
        if set(value) != {"model"}:
            found.append(Finding(path, "must be a model, a list of them, or {model: …}"))
            return None
        path, value = (*path, "model"), value["model"]
    several = isinstance(value, list | tuple)
    models: list[str] = []
    for number, one in enumerate(value if several else [value]):
        text = "" if isinstance(one, Mapping | list | tuple | None) else config_text.as_text(one)
        if _model(text)[1]:
            at = (*path, number) if several else path
            found.append(Finding(at, _NO_MODEL, config_text.shown(one)))
            return None
        models.append(text)
    return tuple(models)


Read = tuple[Any, str | None]
_NO_MODEL = "must be `provider:model` in one line"


def _text(text: str) -> Read:
    return text or None, None


def _identity(text: str) -> Read:
    return (text, None) if _ID.fullmatch(text) else (None, _NO_ID)


def _flag(text: str) -> Read:
    good = text in ("true", "false")
    return (text == "true", None) if good else (None, "must be true or false")


def _turns(text: str) -> Read:
    good = text.isascii() and text.isdigit() and 1 <= len(text) <= 9 and int(text) >= 1
    return (int(text), None) if good else (None, "must be a whole number of at least 1")


def _model(text: str) -> Read:
    good = text and text == text.strip() and text.isprintable()
    return (text, None) if good else (None, _NO_MODEL)


def _folder(text: str) -> Read:
    good = text.startswith(("/", "~/")) and text.isprintable()
    return (Path(text), None) if good else (None, "must be a whole path, from / or ~/")


def _one_of(names: Sequence[str]) -> Callable[[str], Read]:
    def read(text: str) -> Read:
        if text in names:
            return text, None
        return None, f"must be one of {', '.join(names)}{config_text.meant(text, names, '')}"

    return read


_READ_BELOW: dict[str, Callable[[Any], tuple[Any, list[Finding]]]] = {
    "tools": tools.read,
    "tool_policy": tools.read,
    "toolsets": tools.read_toolsets,
    "subagents": subagents.read,
}
"""What is more than one word."""

_READ: dict[str, Callable[[str], Read]] = {
    "id": _identity,
    "default": _flag,
    "memory_enabled": _flag,
    "max_turns": _turns,
    "model": _model,
    "workspace": _folder,
    "reasoning": _one_of(REASONING),
    "sandbox": _one_of(("auto", "off")),
    "dm_scope": _one_of(get_args(DmScope)),
}


def naming(tree: Mapping[str, Any], id: str) -> list[Where]:
    """Where the configuration names this agent, besides its entry and what routes messages to it."""
    return [path for path, name in _named(tree) if name == id]


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """Where the configuration names an agent; patterns of rules name nobody in particular."""
    budget, policy = tree.get("budget"), tree.get("policy")
    caps = budget.get("per_agent") if isinstance(budget, Mapping) else None
    for name in caps if isinstance(caps, Mapping) else ():
        yield ("budget", "per_agent", str(name)), str(name)
    rules = policy.get("rules") if isinstance(policy, Mapping) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        name = rule.get("agent") if isinstance(rule, Mapping) else None
        if isinstance(name, str) and not set("*?[") & set(name):
            yield ("policy", "rules", number, "agent"), name


def _of_the_fleet(tree: Mapping[str, Any]) -> Iterator[str]:
    """Agents that exist by their place in the fleet, which is read elsewhere."""
    fleet = tree.get("fleet")
    agents = fleet.get("agents") if isinstance(fleet, Mapping) else None
    for name, entry in agents.items() if isinstance(agents, Mapping) else ():
        yield str(name)
        if isinstance(entry, Mapping) and entry.get("agent"):
            yield str(entry["agent"])
