"""Which tools an agent has: a filter over the tools that there are, in four stages, behind the groups that are loaded.

    toolsets  ->  profile  ->  also_allow  ->  allow  ->  deny

Invariants: a policy chooses among tools and never makes one; nothing brings back what is not loaded; deny wins over
everything; an `allow` that is given narrows, an empty one to nothing, as an empty `toolsets` does; whether a tool stays depends on nothing but its name; a child has at most what its parent has.
What cannot be understood is an error, never a wider policy.

A tool is named by its id (`shell.run`), or as other assistants call it (`terminal`). A name means the tool and all below it:
`shell` is every `shell.…`. In patterns `*` stands for any letters and `?` for one; a pattern means what it matches under
any of its names. In tools of MCP servers `.` and `_` are the same: `mcp.github.*` is `mcp_github_*`. Only with dots a name says
where that of the server ends: `mcp_git_*` means the tools of a server `git_admin` too, `mcp.git.*` does not.

A group of tools is the first part of their ids (`shell`), and `mcp` or `mcp.SERVER` for those of servers.
"""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from alfred import config_text, errors
from alfred.config_text import Finding


class UnknownProfile(errors.ConfigError):
    """No tool profile has this name."""

    code: ClassVar[str] = "unknown_profile"


class InvalidToolConfig(errors.ConfigError):
    """This does not say which tools an agent has."""

    code: ClassVar[str] = "invalid_tool_config"


TOOL_ALIASES: Mapping[str, str] = {
    "terminal": "shell.run",
    "process": "shell.process",
    "read_file": "files.read",
    "write_file": "files.write",
    "patch": "files.patch",
    "search_files": "files.search",
    "web_search": "web.search",
    "web_extract": "web.fetch",
    "clarify": "ask.user",
    "session_search": "sessions.search",
    "delegate_task": "agents.delegate",
    "send_message": "channels.send",
    "execute_code": "code.run",
    "vision_analyze": "media.vision_analyze",
    "image_generate": "media.image_generate",
    "text_to_speech": "media.text_to_speech",
}
"""Other names of tools. `memory` and `todo` need none: as any name, they mean all below them."""

_MINIMAL = frozenset({"clarify", "memory", "todo", "session_search"})

TOOL_PROFILES: Mapping[str, frozenset[str]] = {
    "minimal": _MINIMAL,
    "coding": _MINIMAL
    | {"terminal", "process", "read_file", "write_file", "patch", "search_files"}
    | {"web_search", "web_extract", "delegate_task", "execute_code", "vision_analyze"},
    "messaging": _MINIMAL
    | {"web_search", "web_extract", "send_message", "text_to_speech", "image_generate"},
    "full": frozenset({"*"}),
}
"""Names and patterns of the tools of each profile."""

_KEYS = ("profile", "also_allow", "allow", "deny")
_NAME = re.compile(r"[^\s\[\]\x00-\x1f\x7f]{1,200}")
_SERVER = re.compile(r"mcp\.[^.*?]+")
_NO_GROUP = "is no group of tools, as files, web, mcp or mcp.SERVER"
_UNNAMED = "\0"
"""A member of every family, which nothing names: no tool has such a letter in its name."""


class Ruling(NamedTuple):
    """Whether a tool is allowed, and by which rule."""

    allowed: bool
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """The tools of an agent, chosen among those that there are.

    Attributes:
        toolsets: Groups of tools that are loaded, before all else; None for all of them.
        profile: A name of `TOOL_PROFILES` to begin with; None begins with every tool.
        also_allow: Added to the profile.
        allow: When it is given, everything else is taken away; empty, everything is.
        deny: Taken away, whatever the others say.

    Raises:
        UnknownProfile: there is no such profile.
        InvalidToolConfig: one of `toolsets` is no group.
    """

    toolsets: frozenset[str] | None = None
    profile: str | None = None
    also_allow: frozenset[str] = frozenset()
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.profile is not None and self.profile not in TOOL_PROFILES:
            raise UnknownProfile(f"{_no_profile(self.profile)}.")
        for key in ("toolsets", "also_allow", "allow", "deny"):
            given: Any = getattr(self, key)
            if given is not None:  # a text is one name, not its letters
                names = frozenset([given] if isinstance(given, str) else given)
                object.__setattr__(self, key, names)
        for name in self.toolsets or ():
            if (wrong := _no_group(name)) is not None:
                raise InvalidToolConfig(f"{config_text.shown(name)} {wrong}.")

    def apply(
        self, tools: Iterable[str], parent: ToolPolicy | Collection[str] | None = None
    ) -> list[str]:
        """Those of these tools that are allowed, as they were named and in their order.

        The name of a family stays when any member is allowed.

        Args:
            parent: What the caller of the agent has, as its policy or as the tools themselves: it can only narrow.
        """
        policies: list[ToolPolicy] = [self]
        if isinstance(parent, ToolPolicy):
            policies.append(parent)
        elif parent is not None:
            policies.append(ToolPolicy(allow=frozenset(parent)))
        return [
            tool
            for tool in tools
            if any(all(p.judge(one).allowed for p in policies) for one in _members(tool, policies))
        ]

    def judge(self, tool: str) -> Ruling:
        """Whether one tool is allowed, and by which rule."""
        group = self._group(tool)
        if group is None:
            return Ruling(False, "not in toolsets")
        if (entry := _named(tool, self.deny)) is not None:
            return Ruling(False, f"deny {entry}")
        allowed = None if self.allow is None else _named(tool, self.allow)
        if self.allow is not None and allowed is None:
            return Ruling(False, "not in allow")
        also = _named(tool, self.also_allow)
        rule = f"toolset {group}" if group else "no restriction"
        if self.profile is not None:
            rule = f"profile {self.profile}"
            if _named(tool, TOOL_PROFILES[self.profile]) is None:
                if also is None:
                    return Ruling(False, f"not in profile {self.profile}")
                rule = f"also_allow {also}"
        return Ruling(True, rule if allowed is None else f"allow {allowed}")

    def may_have(self, server: str) -> bool:
        """Whether some tool of an MCP server may be allowed, whatever it is called."""
        if self._group(f"mcp.{server}.{_UNNAMED}") is None:
            return False
        if self.judge(f"mcp.{server}.{_UNNAMED}").allowed:
            return True
        own = f"mcp_{server}_"
        for entry in (*self.also_allow, *(self.allow or ())):
            plain = entry.replace(".", "_")
            begins = re.split(r"[*?]", plain)[0]
            if begins.startswith(own) or (begins != plain and own.startswith(begins)):
                return True
        return False

    def _group(self, tool: str) -> str | None:
        """The group by which a tool is loaded, empty where all are; None: it is not."""
        if self.toolsets is None:
            return ""
        loaded = (g for g in self.toolsets if matches(f"{g}.*" if "." in g else g, tool))
        return min(loaded, default=None)

    def names(self) -> frozenset[str]:
        """Every name and pattern that was written of single tools."""
        return self.also_allow | (self.allow or frozenset()) | self.deny


def normalize_tool_config(value: Any) -> ToolPolicy | None:
    """The policy that `tools` describes; None, which restricts nothing, for None.

    A text is a profile, a list is what is allowed (none of them: no tools), a mapping has the keys of a policy.

    Raises:
        UnknownProfile, InvalidToolConfig: it describes none. ConfigErrors for several reasons.
    """
    policy, found = read(value)
    if found:
        raise config_text.raised(found)
    return policy


def read(value: Any) -> tuple[ToolPolicy | None, list[Finding]]:
    """The policy as far as it is right, and all that is wrong, by its key below `tools`."""
    if value is None or isinstance(value, ToolPolicy):
        return value, []
    short = not isinstance(value, Mapping)
    if isinstance(value, str):
        value = {"profile": value}
    elif isinstance(value, list | tuple | set | frozenset):
        value = {"allow": list(value)}
    if not isinstance(value, Mapping):
        message = "must be a profile, a list of tools, or keys of " + ", ".join(_KEYS)
        return None, [_wrong((), message, config_text.shown(value))]
    found: list[Finding] = []
    given: dict[str, Any] = {}
    for key, entry in value.items():
        at = () if short else (str(key),)
        if key not in _KEYS:
            meant = config_text.meant(str(key), _KEYS)
            found.append(_wrong(at, f"is no key of tools{meant}"))
        elif key == "profile":
            if entry is None or (isinstance(entry, str) and entry in TOOL_PROFILES):
                given[key] = entry
            elif isinstance(entry, str):
                found.append(Finding(at, _no_profile(entry), kind=UnknownProfile))
            else:
                found.append(_wrong(at, "must be one name", config_text.shown(entry)))
        elif entry is None and key == "allow":
            found.append(_wrong(at, "is empty: write [] for no tools, or take it out"))
        elif entry is not None:
            given[key], wrong = _names_of(at, entry)
            found += wrong
    return (None if found else ToolPolicy(**given)), found


def read_toolsets(value: Any) -> tuple[tuple[str, ...] | None, list[Finding]]:
    """The groups that `toolsets` names as far as it is right, and all that is wrong, by its key below it. A text is one."""
    if value is None:
        return None, []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        told = "must be groups of tools, as in [files, web]"
        return None, [_wrong((), told, config_text.shown(value))]
    found = []
    for number, name in enumerate(names):
        told = _no_group(name) if isinstance(name, str) else _NO_GROUP
        if told is not None:
            at = () if isinstance(value, str) else (number,)
            found.append(_wrong(at, told, config_text.shown(name)))
    return (None if found else tuple(dict.fromkeys(names))), found


def _no_group(name: str) -> str | None:
    """Why this is no group of tools; None: it is one, whether or not there are tools of it."""
    if not _NAME.fullmatch(name):
        return _NO_GROUP
    pattern = bool({*"*?"} & {*name})
    if _SERVER.fullmatch(name) or (
        not pattern and "." not in name and name not in TOOL_ALIASES and not name.startswith("mcp_")
    ):
        return None
    parts = _canonical(name).split(".")
    whole = list(itertools.takewhile(lambda part: not {*"*?"} & {*part}, parts))
    group = ".".join(whole[: 2 if whole[:1] == ["mcp"] else 1])
    if not _SERVER.fullmatch(group) and not re.fullmatch(r"(?!mcp_)[^.*?]+", group):
        return f"{_NO_GROUP}; `tools` chooses single ones"
    what = "a pattern" if pattern else "one tool"
    return f"is {what}: its group is {group}, and `tools` chooses single ones"


def matches(entry: str, tool: str) -> bool:
    """Whether a name or a pattern means this tool."""
    tool = _canonical(tool)
    if tool.startswith(("mcp.", "mcp_")):
        if _server(entry) not in (None, _server(tool) or _server(entry)):
            return False
        entry, tool = entry.replace(".", "_"), tool.replace(".", "_")
        if entry == "mcp":
            return True
    if "*" in entry or "?" in entry:
        pattern = _pattern(entry)
        return any(pattern.fullmatch(one) for one in _spellings(tool))
    entry = _canonical(entry)
    return tool == entry or tool.startswith(f"{entry}.")


def _server(name: str) -> str | None:
    """The server that the name of a tool, or a pattern of them, says with dots; None: it says none, or several."""
    parts = name.split(".", 2)
    return (
        parts[1]
        if len(parts) == 3 and parts[0] == "mcp" and not set("*?") & set(parts[1])
        else None
    )


def _names_of(at: config_text.Where, entry: Any) -> tuple[frozenset[str], list[Finding]]:
    names = [entry] if isinstance(entry, str) else entry
    if not isinstance(names, list | tuple | set | frozenset):
        return frozenset(), [_wrong(at, "must be a list of tools", config_text.shown(entry))]
    found = []
    for number, name in enumerate(names):
        here = at if isinstance(entry, str) else (*at, number)
        shown = config_text.shown(name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            found.append(_wrong(here, "is no name of a tool, and no pattern with * or ?", shown))
        elif _SERVER.fullmatch(name):
            found.append(_wrong(here, f"names a server, its tools are {name}.*", shown))
    return frozenset() if found else frozenset(names), found


def _wrong(path: config_text.Where, message: str, got: str | None = None) -> Finding:
    return Finding(path, message, got, kind=InvalidToolConfig)


def _no_profile(name: str) -> str:
    meant = config_text.meant(name, TOOL_PROFILES)
    return f"{config_text.shown(name)} is no tool profile{meant}"


def _canonical(name: str) -> str:
    return TOOL_ALIASES.get(name, name)


def _named(tool: str, entries: Iterable[str]) -> str | None:
    """The first of these names and patterns, in their order as texts, that means the tool."""
    return min((entry for entry in entries if matches(entry, tool)), default=None)


@functools.lru_cache(maxsize=512)
def _pattern(entry: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(entry.replace("[", "[[]")))


def _spellings(tool: str) -> list[str]:
    """Every name under which a pattern finds a tool: its own, those above it, and the aliases of all these."""
    parts = tool.split(".")
    own = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return own + [alias for alias, name in TOOL_ALIASES.items() if name in own]


def _members(tool: str, policies: Iterable[ToolPolicy]) -> list[str]:
    """The tool itself; for the name of a family one member that nobody names, and those that a policy names."""
    tool = _canonical(tool)
    if "." in tool or tool.startswith("mcp_"):
        return [tool]
    found = [f"{tool}.{_UNNAMED}"]
    for policy in policies:
        loaded = (f"{group}.{_UNNAMED}" for group in policy.toolsets or ())
        for entry in (*policy.also_allow, *(policy.allow or ()), *loaded):
            for name in (_canonical(entry), entry.replace("*", tool, 1)):
                member = name.replace("*", "").replace("?", _UNNAMED)
                if member.startswith(f"{tool}."):
                    found.append(member)
    return found
