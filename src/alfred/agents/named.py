"""What is wrong with the models and providers that a configuration names, before anybody asks one of them.

A command that only looks at rows reads the configuration too: what knows the names is loaded when there are some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alfred import config_text, errors
from alfred.agents import subagents
from alfred.config_text import Finding, Where

_OF_CHILDREN = (("subagents", "model"), ("subagent", "model"))
"""Where a tier may stand for a model."""


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Each name that none can have, with the nearest that one has. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    models = [
        (path, text, auto)
        for path, text, auto in _models(tree)
        if not (
            (auto and text == "auto") or (path[-2:] in _OF_CHILDREN and text in subagents.TIERS)
        )
    ]
    limits = tree.get("limits")
    places = limits.get("per_provider") if isinstance(limits, Mapping) else None
    providers = list(places) if isinstance(places, Mapping) else []
    if not models and not providers:
        return []
    from alfred.llm import catalog

    known = ", ".join(catalog.PROVIDERS)
    found = []
    for path, text, auto in models:
        try:
            catalog.parse(text)
        except errors.ConfigError:
            near = catalog.nearest(text)
            any_of = f": write provider:model with {known}{', or auto alone' if auto else ''}"
            meant = f", did you mean {near}?" if near else any_of
            found.append(Finding(path, f"names no model{meant}", config_text.shown(text)))
    for name in providers:
        if name not in catalog.PROVIDERS:
            meant = config_text.meant(str(name), list(catalog.PROVIDERS))
            path = ("limits", "per_provider", str(name))
            found.append(Finding(path, f"names no provider{meant}", config_text.shown(name)))
    return found


def _models(tree: Mapping[str, Any]) -> Iterator[tuple[Where, str, bool]]:
    """Where a model is named, as what, and whether `auto` may stand there; what is no word at all is told elsewhere."""
    tiers, agents = tree.get("models"), tree.get("agents")
    tiers = tiers if isinstance(tiers, Mapping) else {}
    named: list[tuple[Where, Any, bool]] = [
        (("model",), tree.get("model"), True),
        (("models", "boss"), tiers.get("boss"), True),
        (("models", "helper"), tiers.get("helper"), False),
        (("models", "cheap"), tiers.get("cheap"), False),
    ]
    everyones = tree.get("subagent")
    if isinstance(everyones, Mapping):
        named.append((("subagent", "model"), everyones.get("model"), False))
    others = tiers.get("fallback")
    for number, name in enumerate(others if isinstance(others, list) else ()):
        named.append((("models", "fallback", number), name, False))
    named += _fallbacks(("fallback_model",), tree.get("fallback_model"))
    for agent, entry in agents.items() if isinstance(agents, Mapping) else ():
        if isinstance(entry, Mapping):
            here = ("agents", str(agent))
            named.append(((*here, "model"), entry.get("model"), True))
            children = entry.get("subagents")
            if isinstance(children, Mapping):
                named.append(((*here, "subagents", "model"), children.get("model"), False))
            named += _fallbacks((*here, "fallback_model"), entry.get("fallback_model"))
    for path, name, auto in named:
        if name is None or isinstance(name, Mapping | list):
            continue
        text = config_text.as_text(name)
        if text and text == text.strip() and text.isprintable():
            yield path, text, auto


def _fallbacks(path: Where, given: Any) -> list[tuple[Where, Any, bool]]:
    """One model, several, or `{model: …}`."""
    if isinstance(given, Mapping):
        path, given = (*path, "model"), given.get("model")
    if isinstance(given, list):
        return [((*path, number), name, False) for number, name in enumerate(given)]
    return [(path, given, False)]
