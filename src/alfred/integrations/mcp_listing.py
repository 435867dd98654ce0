"""What a server says about its tools, as far as it may be offered: bounded, clean, and under names that mislead nobody.

Invariants: the digest is over everything that the server said about a tool that is offered, also over what is not shown of
it. What a model would read has no letter that nobody sees, and no text longer than `LONGEST`. Two tools whose names could
be taken for each other are both left out. Annotations count for the digest and for nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alfred.actions import canonical
from alfred.trust import text

LONGEST = 1_024
"""Characters of a description, of a tool as of an argument."""

MOST = 256
"""Tools of one server. One that has more is not used at all."""

SCHEMA = 32_000
"""Characters of a tool's schema."""

ALL = 400_000
"""Characters of everything that one server says about its tools."""

_NAME = re.compile(r"[A-Za-z0-9_.:/ -]{1,100}")
_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What providers take for the name of an argument: of a request with another one they take nothing."""
_LOOKS = str.maketrans({"I": "l", "1": "l", "0": "o", "O": "o", "-": "_"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Where the keys are names and no words of the language of schemas."""
_VALUES = frozenset({"enum", "const", "default", "examples", "required", "dependentRequired"})


class Unusable(Exception):
    """Why nothing of a list of tools can be used."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be offered.

    Attributes:
        name: Behind `mcp.<server>.`.
        called: As the server calls it.
        digest: SHA-256 of all that the server says about it.
    """

    name: str
    called: str
    description: str
    schema: dict[str, Any]
    digest: str

    @property
    def row(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "name": self.name,
            "called": self.called,
            "description": self.description,
            "schema": self.schema,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools that may be offered, and why others are not, by the name that the server gave."""

    tools: tuple[Tool, ...]
    left_out: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all the tools."""
        return canonical.digest([[tool.called, tool.digest] for tool in self.tools])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As they are kept."""
        return [tool.row for tool in self.tools]


def read(said: Sequence[Mapping[str, Any]]) -> Listing:
    """What may be offered of what a server said.

    Args:
        said: Its tools as they came over the wire.

    Raises:
        Unusable: there are too many, or too much is said about them.
    """
    if len(said) > MOST:
        raise Unusable(f"it lists more than {MOST} tools")
    left_out: dict[str, str] = {}
    found: dict[str, Tool] = {}
    like: dict[str, list[str]] = {}
    for raw in said:
        one = _clean(raw)
        called = str(one.get("name", ""))
        like.setdefault(_skeleton(_named(called)), []).append(called)
        try:
            found[called] = _tool(called, one)
        except Unusable as why:
            left_out[called[:100]] = str(why)
    for names in like.values():
        if len(names) > 1:
            for called in names:
                found.pop(called, None)
                others = ", ".join(sorted({*names} - {called})) or "itself"
                left_out[called[:100]] = f"its name can be taken for {others[:200]}"
    tools = tuple(found[name] for name in sorted(found))
    if sum(len(canonical.canonical_json(tool.row)) for tool in tools) > ALL:
        raise Unusable(f"it says more than {ALL:,} characters about its tools")
    usable = []
    for tool in tools:  # now that there are not too many, for each takes its time
        if problem := _unusable(tool.schema):
            left_out[tool.called[:100]] = problem
        else:
            usable.append(tool)
    return Listing(tuple(usable), left_out)


def _clean(raw: Mapping[str, Any]) -> dict[str, Any]:
    """As it came, without what no database keeps and no canonical text holds."""
    return text.sanitize(dict(raw))[0]


def _tool(called: str, said: Mapping[str, Any]) -> Tool:
    if not _NAME.fullmatch(called):
        raise Unusable("its name has other letters than a-z, A-Z, 0-9, _ and -, or too many")
    name = _named(called)
    if not name:
        raise Unusable("its name has no letter")
    try:
        digest = canonical.digest(said)
        schema = said.get("inputSchema")
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise Unusable("its schema describes no object")
        shown = _shown(dict(schema))
        size = len(canonical.canonical_json(schema))
    except (ValueError, RecursionError) as why:
        raise Unusable(f"what it says cannot be kept: {str(why)[:100]}") from None
    if size > SCHEMA:
        raise Unusable(f"its schema has {size:,} characters, more than {SCHEMA:,}")
    described = said.get("description") or said.get("title") or ""
    return Tool(name, called, visible(str(described)), shown, digest)


def _named(called: str) -> str:
    """What a tool is called behind `mcp.<server>.`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", called).strip("_-")


def _unusable(schema: dict[str, Any]) -> str | None:
    from alfred.actions import schemas

    if problem := schemas.unusable(schema):
        return f"its schema is none: {problem}"
    names = schema.get("properties") or {}
    if other := next((name for name in names if not _ARGUMENT.fullmatch(name)), None):
        return f"its argument {other[:100]!r} has a name that no provider takes"
    return None


def visible(said: str) -> str:
    """A text of the server without letters that nobody sees, and no longer than a description may be."""
    clean = "".join(char for char in said if char in "\n\t" or not _hidden(char))
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"


def _hidden(char: str) -> bool:
    # control, format (bidi, zero width, tags), private, unassigned, surrogates; selectors of variants
    return (
        unicodedata.category(char)[0] == "C" or "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0000"
    )


def _shown(schema: Any, *, names: bool = False) -> Any:
    """A schema as the model reads it: the texts in it are descriptions too, wherever they stand."""
    if isinstance(schema, Mapping):
        made: dict[str, Any] = {}
        for key, value in schema.items():
            if not names and key in _VALUES:
                # what the server compares with is left as it is, or refused
                if any(map(_hidden, canonical.canonical_json(value))):
                    raise Unusable(f"{key} in its schema has letters that nobody sees")
                made[key] = value
                continue
            if any(map(_hidden, key)):
                raise Unusable("a name in its schema has letters that nobody sees")
            made[key] = _shown(value, names=not names and key in _NAMED)
        return made
    if isinstance(schema, list | tuple):
        return [_shown(one) for one in schema]
    return visible(schema) if isinstance(schema, str) else schema


def _skeleton(name: str) -> str:
    """What names have in common that look alike, or that one provider takes for each other."""
    return re.sub(r"[^a-z0-9]+", "_", name.translate(_LOOKS).lower())
