"""How far an agent may hand work on: how deep, to how many at a time, and with which model.

Invariant: what cannot be understood is an error, never a wider policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from alfred import config_text, errors
from alfred.config_text import Finding, Where

TIERS = ("helper", "cheap")
"""What may stand for a model besides its name: the installation's tier of that name."""


class InvalidSubagentPolicy(errors.ConfigError):
    """This does not say how far an agent may hand work on."""

    code: ClassVar[str] = "invalid_subagent_policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubagentPolicy:
    """How far an agent may hand work on.

    Attributes:
        max_depth: How deep agents may start agents; the one that talks to a person is at 0.
        max_children: How many children of a run may live at the same time; 0: it hands on nothing.
        model: `provider:model` of its children, `helper` or `cheap`; None leaves it to `subagent.model`, else to its own.

    Raises:
        InvalidSubagentPolicy: a limit is no whole number of at least 0.
    """

    max_depth: int = 2
    max_children: int = 5
    model: str | None = None

    def __post_init__(self) -> None:
        for name in _LIMITS:
            if (wrong := _no_limit(getattr(self, name))) is not None:
                raise InvalidSubagentPolicy(f"subagents.{name} {wrong}.")


_LIMITS = ("max_depth", "max_children")
_KEYS = tuple(f.name for f in fields(SubagentPolicy))
_NO_MODEL = f"must be `provider:model` in one line, or one of {', '.join(TIERS)}"


def read(value: Any) -> tuple[SubagentPolicy | None, list[Finding]]:
    """The policy that `subagents` describes as far as it is right, and all that is wrong, by its key below it.

    `0` and `false` hand on nothing.
    """
    if value is None or isinstance(value, SubagentPolicy):
        return value, []
    if value is False or (value == 0 and not isinstance(value, bool | float)):
        return SubagentPolicy(max_children=0), []
    if not isinstance(value, Mapping):
        message = f"must be 0, false, or keys of {', '.join(_KEYS)}"
        return None, [_wrong((), message, config_text.shown(value))]
    found: list[Finding] = []
    given: dict[str, Any] = {}
    for key, entry in value.items():
        if key not in _KEYS:
            meant = config_text.meant(str(key), _KEYS)
            found.append(_wrong((str(key),), f"is no key of subagents{meant}"))
        elif entry is None:
            continue
        elif key == "model":
            given[key] = model((key,), entry, found)
        elif (wrong := _no_limit(entry)) is not None:
            found.append(_wrong((str(key),), wrong, config_text.shown(entry)))
        else:
            given[key] = entry
    return (None if found else SubagentPolicy(**given)), found


def everyones(tree: Mapping[str, Any]) -> tuple[str | None, list[Finding]]:
    """The model that `subagent` at the top gives all children, and what is wrong there."""
    section = tree.get("subagent")
    if section is None:
        return None, []
    if not isinstance(section, Mapping):
        return None, [_wrong(("subagent",), "must be keys with values, as in `{model: cheap}`")]
    found = [
        _wrong(("subagent", str(key)), "is no key of subagent; known: model")
        for key in section
        if key != "model"
    ]
    given = config_text.resolve(section.get("model"))
    return (None if given is None else model(("subagent", "model"), given, found)), found


def model(at: Where, entry: Any, found: list[Finding]) -> str | None:
    """The name of a model; None, and a finding more, for what can be none."""
    good = isinstance(entry, str) and entry and entry == entry.strip() and entry.isprintable()
    if good:
        return entry
    found.append(_wrong(at, _NO_MODEL, config_text.shown(entry)))
    return None


def _no_limit(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole and value >= 0 else "must be a whole number of at least 0"


def _wrong(path: Where, message: str, got: str | None = None) -> Finding:
    return Finding(path, message, got, kind=InvalidSubagentPolicy)
