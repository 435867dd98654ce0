"""What is wrong with the models and providers that a configuration names, before anybody asks one of them.

A model is judged with the provider of whoever uses it, by the function that names it for a run (`llm.catalog.whole`). A
command that only looks at rows reads the configuration too: what knows the names is loaded when there are some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from alfred import config_text, errors
from alfred.agents import subagents
from alfred.config_text import Finding, Where

_OF_CHILDREN = (("subagents", "model"), ("subagent", "model"))
"""Where a tier may stand for a model."""


@dataclass(frozen=True, slots=True)
class _Said:
    """The provider that a model is used with.

    Attributes:
        provider: None: nobody says one.
        beside: See `llm.catalog.whole`.
        at: Where it is written.
    """

    provider: str | None
    beside: bool = True
    at: Where = ("provider",)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that is named, and with which providers.

    Attributes:
        auto: Whether `auto` may stand there.
    """

    at: Where
    text: str
    auto: bool
    uses: tuple[_Said, ...]


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Each name that none can have, with the nearest that one has. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    users = _Users(tree)
    models = [
        one
        for one in _models(tree, users)
        if not (one.at[-2:] in _OF_CHILDREN and one.text in subagents.TIERS)
        and not (one.auto and one.text == "auto" and all(use.provider is None for use in one.uses))
    ]
    limits = tree.get("limits")
    places = limits.get("per_provider") if isinstance(limits, Mapping) else None
    providers = {("limits", "per_provider", str(name)): str(name) for name in places or ()}
    providers |= {use.at: use.provider for use in users.all if use.provider is not None}
    if not models and not providers:
        return []
    from alfred.llm import catalog

    found: dict[Where, Finding] = {}
    for at, name in providers.items():
        if name not in catalog.PROVIDERS:
            meant = config_text.meant(name, list(catalog.PROVIDERS))
            found[at] = Finding(at, f"names no provider{meant}", config_text.shown(name))
    for one in models:
        for use in one.uses:
            if use.at not in found and (wrong := _wrong(one, use)) is not None:
                found.setdefault(wrong.path, wrong)
    return list(found.values())


def _wrong(one: _Model, use: _Said) -> Finding | None:
    from alfred.llm import catalog

    if one.auto and one.text == "auto":
        if use.provider is None or use.provider in catalog.FOUND:
            return None
        return Finding(use.at, "has no model that auto finds: write `model`", use.provider)
    name = catalog.whole(one.text, use.provider, beside=use.beside)
    try:
        catalog.parse(name)
    except errors.ConfigError:
        bare = use.provider is None and one.text != "auto" and not {*":/ "} & {*one.text}
        near = catalog.nearest(name)
        ways = f"write provider:model with {', '.join(catalog.PROVIDERS)}"
        ways += ", or name its `provider`" if bare else ""
        ways += ", or auto alone" if one.auto else ""
        meant = f", did you mean {near}?" if near else f": {ways}"
        if near and bare and near.endswith(f":{one.text}"):
            meant = f", did you mean {near}, or `provider: {catalog.parse(near).provider}`?"
        return Finding(one.at, f"names no model{meant}", config_text.shown(one.text))
    return None


class _Users:
    """Who uses the models of a configuration, and with which provider."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.top = _Said(_text(tree.get("provider")))
        agents = tree.get("agents")
        self.entries: dict[Where, Mapping[str, Any]] = {
            ("agents", str(name)): entry if isinstance(entry, Mapping) else {}
            for name, entry in (agents.items() if isinstance(agents, Mapping) else ())
        }
        self._own = {here: _text(entry.get("provider")) for here, entry in self.entries.items()}
        self.all = [self.top, *(self.of(here) for here in self.entries)]

    def of(self, here: Where) -> _Said:
        """For a model that the entry of an agent names."""
        own = self._own[here]
        if own is None:
            return _Said(self.top.provider, beside=False)
        return _Said(own, at=(*here, "provider"))

    def beside(self, here: Where) -> _Said:
        """For the other models of an entry that names one: whose that is where nothing says more."""
        use, model = self.of(here), _text(self.entries[here].get("model"))
        if model is None or self._own[here] is not None:
            return use
        from alfred.llm import catalog

        return replace(use, provider=catalog.whose(model, use.provider))

    def inheriting(self, *path: str) -> tuple[_Said, ...]:
        """For a model of the top that agents have whose entries say nothing there."""
        uses: dict[Where, _Said] = {}
        for here, entry in self.entries.items():
            said: Any = entry
            for part in path:
                said = said.get(part) if isinstance(said, Mapping) else None
            if said is None:
                use = self.of(here) if self._own[here] is not None else self.top
                uses[use.at] = use
        return tuple(uses.values()) or (self.top,)


def _models(tree: Mapping[str, Any], users: _Users) -> Iterator[_Model]:
    """Where a model is named, and as what; what is no word at all is told elsewhere. `auto` is meant where nothing is."""
    tiers, everyones = tree.get("models"), tree.get("subagent")
    tiers = tiers if isinstance(tiers, Mapping) else {}
    model, boss = tree.get("model"), tiers.get("boss")
    have = users.inheriting("model")
    named: list[tuple[Where, Any, bool, tuple[_Said, ...]]] = [
        (("model",), "auto" if model is None and boss is None else model, True, have),
        (("models", "boss"), boss, True, have),
        (("models", "helper"), tiers.get("helper"), False, (users.top,)),
        (("models", "cheap"), tiers.get("cheap"), False, (users.top,)),
    ]
    if isinstance(everyones, Mapping):
        of = users.inheriting("subagents", "model")
        named.append((("subagent", "model"), everyones.get("model"), False, of))
    have = users.inheriting("fallback_model")
    others = tiers.get("fallback")
    for number, name in enumerate(others if isinstance(others, list) else ()):
        named.append((("models", "fallback", number), name, False, have))
    for at, name in _fallbacks(("fallback_model",), tree.get("fallback_model")):
        named.append((at, name, False, have))
    for here, entry in users.entries.items():
        named.append(((*here, "model"), entry.get("model"), True, (users.of(here),)))
        own = (users.beside(here),)
        children = entry.get("subagents")
        if isinstance(children, Mapping):
            named.append(((*here, "subagents", "model"), children.get("model"), False, own))
        for at, name in _fallbacks((*here, "fallback_model"), entry.get("fallback_model")):
            named.append((at, name, False, own))
    for at, name, auto, uses in named:
        text = _text(name)
        if text and text == text.strip() and text.isprintable():
            yield _Model(at, text, auto, uses)


def _text(value: Any) -> str | None:
    """A value that is one word; None for nothing, and for what is more."""
    return (
        None if value is None or isinstance(value, Mapping | list) else config_text.as_text(value)
    )


def _fallbacks(path: Where, given: Any) -> list[tuple[Where, Any]]:
    """One model, several, or `{model: …}`."""
    if isinstance(given, Mapping):
        path, given = (*path, "model"), given.get("model")
    if isinstance(given, list):
        return [((*path, number), name) for number, name in enumerate(given)]
    return [(path, given)]
