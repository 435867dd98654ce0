"""The bindings of a configuration in their one form: an agent, a platform, and what a message there must have.

Invariants: a binding means what it says or is an error. A key that nobody knows, a second platform, a value that no
message can have, and an agent that nobody defined are all told, all at once: left in, such a rule never fits, and left
out, it fits too much. A value is a text from here on, exactly as it was written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from alfred import config_text, errors
from alfred.agents import platforms
from alfred.agents.entries import MAIN, UnknownAgent
from alfred.config_text import Finding, Where

KEYS = ("chat_id", "peer", "guild_id", "team_id", "chat_type", "user_id", "thread_id")
"""What a binding may ask of a message, besides its platform."""

_SHORT = {key.removesuffix("_id"): key for key in KEYS} | {"type": "chat_type"}
_LONG = _SHORT | {key: key for key in KEYS}
_AGENT = ("agent", "agent_id")
_EXAMPLE = "{agent: main, telegram: '*'}"
_SWITCHES = frozenset({"true", "false", "yes", "no", "on", "off"})


@dataclass(frozen=True, slots=True)
class Binding:
    """One rule: messages that have all of this go to that agent.

    Attributes:
        agent: The agent's id.
        match: `platform`, and for each of `KEYS` that is asked for its value as it was written.
        number: Which entry of `bindings` it comes from, counted from 1; a list of chats makes several of one entry.
    """

    agent: str
    match: Mapping[str, str] = field(hash=False)
    number: int

    @property
    def platform(self) -> str:
        """Where its messages come from."""
        return self.match["platform"]


def defined(tree: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The ids of the agents that a configuration as it is written defines; None where that cannot be known."""
    agents = tree.get("agents")
    if agents is not None and not isinstance(agents, Mapping):
        return None
    ids = (
        str(entry["id"]) if isinstance(entry, Mapping) and entry.get("id") else str(name)
        for name, entry in (agents or {}).items()
    )
    return tuple(ids) or (MAIN,)


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with the bindings of a configuration, by its key. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    entries = tree.get("bindings")
    if not isinstance(entries, list):
        return []  # which is told as such, where it is not nothing
    return read(entries, defined(tree))[1]


def read(
    entries: object, agents: Collection[str] | None = None
) -> tuple[tuple[Binding, ...], list[Finding]]:
    """The bindings that are right, in the order in which they are written, and what is wrong with the others.

    Args:
        entries: The value of the key `bindings`.
        agents: The ids that are defined; None: whichever a binding names.
    """
    if entries is None:
        return (), []
    if not isinstance(entries, list | tuple):
        told = f"must be a list, as in [{_EXAMPLE}]"
        return (), [Finding(("bindings",), told, config_text.shown(entries))]
    reader = _Reader(agents)
    return tuple(found for n, entry in enumerate(entries) for found in reader.entry(n, entry)), (
        reader.wrong
    )


class _Reader:
    """Reads entries, noting what is wrong."""

    def __init__(self, agents: Collection[str] | None):
        self.agents = agents
        self.wrong: list[Finding] = []

    def entry(self, n: int, entry: object) -> list[Binding]:
        here: Where = ("bindings", n)
        if not isinstance(entry, Mapping):
            self._tell(here, f"must be keys with values, as in {_EXAMPLE}", entry)
            return []
        before = len(self.wrong)
        agent = self._agent(here, entry)
        matches = self._matches(here, {str(k): v for k, v in entry.items() if k not in _AGENT})
        if len(self.wrong) > before:
            return []
        return [Binding(agent, match, n + 1) for match in matches]

    def _agent(self, here: Where, entry: Mapping[Any, Any]) -> str:
        named = [key for key in _AGENT if key in entry]
        if len(named) != 1:
            told = "is given twice, as agent_id too" if named else "is missing: who is to answer?"
            self._tell((*here, "agent"), told)
            return ""
        path = (*here, named[0])
        agent = self._text(path, entry[named[0]])
        if agent and self.agents is not None and agent not in self.agents:
            told = f"names no agent{config_text.meant(agent, self.agents, '')}"
            known = ", ".join(self.agents)
            self._tell(path, f"{told}; defined: {known}", agent, kind=UnknownAgent)
        return agent

    def _matches(self, here: Where, rest: dict[str, Any]) -> list[dict[str, str]]:
        """What the entry asks of messages, one mapping for each of the chats that it lists."""
        named = None
        for key in rest:
            if key in platforms.NAMES or key == "match":
                if named is not None:
                    told = f"stands beside {named}: a binding has one platform, write one for each"
                    self._tell((*here, key), told)
                    continue
                named = key
            elif key in _LONG:
                told = "belongs below its platform, as in {telegram: {type: dm}}"
                self._tell((*here, key), told)
            else:
                known = f"; known: {', '.join(platforms.NAMES)}"
                told = config_text.meant(key, (*platforms.NAMES, *_AGENT, "match"), known)
                self._tell((*here, key), f"is no platform{told}")
                named = named or ""  # it was meant to be one
        if named is None:
            self._tell(here, f"names no platform, as in {_EXAMPLE}")
        if not named:
            return []
        if named == "match":
            return self._spelt_out((*here, named), rest[named])
        return self._below((*here, named), named, rest[named])

    def _spelt_out(self, here: Where, value: object) -> list[dict[str, str]]:
        """Of `match: {platform: …, …}`."""
        if not isinstance(value, Mapping):
            self._tell(here, "must be keys with values, as in {platform: discord, type: dm}", value)
            return []
        if "platform" not in value:
            self._tell(here, "names no platform, as in {platform: discord, type: dm}")
            return []
        platform = self._text((*here, "platform"), value["platform"])
        if platform and platform not in platforms.NAMES:
            told = config_text.meant(platform, platforms.NAMES)
            self._tell((*here, "platform"), f"is no platform{told}", platform)
        keys = {key: below for key, below in value.items() if key != "platform"}
        return [self._constraints(here, platform, keys)]

    def _below(self, here: Where, platform: str, value: object) -> list[dict[str, str]]:
        """Of what stands below the name of a platform: a chat, `*`, keys, or a list of these."""
        if isinstance(value, list | tuple):
            if not value:
                self._tell(here, "lists no chat; write '*' for all")
            return [
                match
                for n, one in enumerate(value)
                for match in self._below((*here, n), platform, one)
            ]
        if isinstance(value, Mapping):
            return [self._constraints(here, platform, value)]
        if value is None:
            self._tell(here, "says nothing; write '*' for all chats")
        elif config_text.as_text(value) in _SWITCHES:
            told = "is no chat; write '*' for all, or {chat: …} where one is called so"
            self._tell(here, told, value)
        else:
            return [self._constraints(here, platform, {"chat_id": value}, shorthand=True)]
        return []

    def _constraints(
        self, here: Where, platform: str, given: Mapping[Any, Any], *, shorthand: bool = False
    ) -> dict[str, str]:
        match = {"platform": platform}
        for short, value in given.items():
            path = here if shorthand else (*here, str(short))
            key = _LONG.get(str(short))
            if key is None:
                told = config_text.meant(str(short), list(_LONG))
                self._tell(path, f"is nothing that a message has{told}")
            elif key in match:
                self._tell(path, f"is {key}, which is written twice")
            elif key == "chat_id" and value == "*":
                continue
            else:
                match[key] = self._value(path, platform, key, value)
        return match

    def _value(self, path: Where, platform: str, key: str, value: object) -> str:
        text = self._text(path, value)
        if "*" in text:
            told = (
                "is no pattern; write the whole id, '*' alone for all chats, or leave the key out"
            )
            self._tell(path, told, text)
        elif key == "chat_type" and text and text not in platforms.KINDS:
            ways = "; write dm, group, channel or thread"
            told = config_text.meant(text, platforms.KINDS, ways)
            self._tell(path, f"is no kind of chat{told}", text)
        elif platform == "telegram" and text.startswith("@"):
            told = "is a name, which can change hands; Telegram's ids are numbers, as in -1001234567890"
            self._tell(path, told, text)
        return text

    def _text(self, path: Where, value: object) -> str:
        """The value as a text; an empty one where it is none, which has been told then."""
        if isinstance(value, bool | float):
            self._tell(path, "must be a text: put it in quotes", value)
        elif not isinstance(value, str | int):
            self._tell(path, "must be one value, as in '-100123456'", value)
        else:
            text = str(value)
            if text and text == text.strip() and text.isprintable():
                return text
            self._tell(path, "must be one line with something in it, and no space around it", text)
        return ""

    def _tell(
        self,
        path: Where,
        message: str,
        *given: object,
        kind: type[errors.ConfigError] = errors.ConfigError,
    ) -> None:
        shown = config_text.shown(given[0]) if given else None
        self.wrong.append(Finding(path, message, shown, kind=kind))
