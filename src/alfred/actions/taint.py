"""What a run's context adds to the risk of a call: one table, and how a call stands to the owner's own words.

Invariants: a context only raises; what cannot be told (no hook, a hook that fails, a destination that is none) is a new
destination. A destination is known when the owner's configuration or the action says that it is the owner's, or when it
stands whole in the owner's own words or configuration: nothing that a model or a stranger writes makes it known, and
adding to the arguments never does.

The table is that of the gate's design. `low` in an external context never approves itself, and no mode executes what
reaches out (`policy`).
"""

from __future__ import annotations

import contextlib
import enum
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from alfred.actions.declare import Action
from alfred.actions.kinds import Destination, Effect, Risk
from alfred.trust import display, urls
from alfred.trust.labels import Label

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

log = structlog.get_logger()

SHORTEST = 6
"""Characters that a text must have to be found in somebody's words: a shorter one stands there by chance."""

PASTED = 2_000
"""Characters of one message: a longer one may be pasted, and is nobody's own words for certain."""

CONTAINED = frozenset(
    [
        *("files.write", "files.patch", "files.move", "files.delete"),
        *("shell.run", "code.run", "git.commit", "git.branch", "todo.add"),
        *("scratch.write", "scratch.promote"),
        *("agents.delegate", "agents.ask", "agents.handoff"),  # whoever is asked bears the label
        "ask.user",  # goes to the owner, on a card that quotes it
    ]
)
"""Effects that reach no further than the run's workspace, its own records and its owner's cards."""

OF_ITSELF = frozenset(["memory", "skills", "config", "cron", "permissions", "workflows"])
"""Integrations whose effects change what alfred itself will do later."""


class Sink(enum.Enum):
    """Where a call leads."""

    LOOK = "it only looks"
    CONTAINED = "it stays in the workspace and the run's own records"
    ASKING = "it asks somebody else, who reads the question"
    OUTWARD = "it reaches out"
    ITSELF = "it changes what alfred will do later"


class Standing(enum.Enum):
    """How the destinations of a call stand to its owner."""

    OWNERS = "the owner's"
    NAMED = "in the owner's own words or configuration"
    LINKED = "a link of a page that was read, as it stands there"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Raise:
    """What the context adds to a call."""

    risk: Risk
    explanation: str


def floor(context: Label, sink: Sink, standing: Standing) -> Risk:
    """The least risk of a call in a context. The table."""
    if not context.external:
        return Risk.NONE
    match sink:
        case Sink.LOOK | Sink.CONTAINED:
            return Risk.NONE
        case Sink.ASKING:
            return Risk.MEDIUM if context.private and standing is Standing.NEW else Risk.NONE
        case Sink.OUTWARD if standing is not Standing.NEW:
            return Risk.LOW
        case Sink.OUTWARD:
            return Risk.HIGH if context.private else Risk.MEDIUM
    return Risk.HIGH


def assess(
    action: Action,
    args: Mapping[str, Any],
    ctx: ActionContext,
    *,
    context: Label,
    words: Callable[[], Sequence[str]],
    links: Callable[[], Collection[str]],
) -> Raise:
    """What a run's context adds to the risk of a call. Never raises.

    Args:
        context: The label of the context.
        words: What the owner said to this run, each message.
        links: Addresses that pages which this run has read point to.
    """
    if not context.external:
        return Raise(Risk.NONE, "by context none: no foreign text")
    where = sink(action)
    if where in (Sink.LOOK, Sink.CONTAINED):
        return Raise(Risk.NONE, f"by context none: {where.value}")
    how = standing(action, args, ctx, words=words, links=links)
    found = floor(context, where, how)
    what = "foreign text" + (" and private data" if context.private else "")
    to = "" if where is Sink.ITSELF else f", the destination is {how.value}"
    return Raise(found, f"by context {found}: it holds {what}; {where.value}{to}")


def sink(action: Action) -> Sink:
    """Where the calls of an action lead."""
    if action.effect is Effect.PURE:
        # what reads the words of others has asked them for it
        asks = action.destinations is not None or action.label == "external"
        return Sink.ASKING if asks else Sink.LOOK
    if action.integration in OF_ITSELF:
        return Sink.ITSELF
    return Sink.CONTAINED if action.id in CONTAINED else Sink.OUTWARD


def standing(
    action: Action,
    args: Mapping[str, Any],
    ctx: ActionContext,
    *,
    words: Callable[[], Sequence[str]],
    links: Callable[[], Collection[str]],
) -> Standing:
    """How the destinations of a call stand to its owner; all of them must be known for it to be."""
    where = destinations(action, args, ctx)
    if where is not None and where and all(one.owners for one in where):
        return Standing.OWNERS
    unknown = (
        [one.text for one in where if not one.owners] if where is not None else list(scalars(args))
    )
    if named(unknown, ctx, words()):
        return Standing.NAMED
    if sink(action) is Sink.ASKING:
        said = list(scalars(args))
        found = links()
        if said and all(isinstance(text, str) and text in found for text in said):
            return Standing.LINKED
    return Standing.NEW


def named(values: Sequence[Any], ctx: ActionContext, words: Sequence[str]) -> bool:
    """Whether each of these stands in the owner's own words or configuration, or is the host of an address there."""
    known = (*own(words), *configured(ctx))
    known = (*known, *hosts(known))
    return bool(values) and all(verbatim(value, known) for value in values)


def destinations(
    action: Action, args: Mapping[str, Any], ctx: ActionContext
) -> list[Destination] | None:
    """Where a call leads, as its action says; None when it does not say. One that fails leads somewhere new."""
    if action.destinations is None:
        return None
    try:
        found = list(action.destinations(dict(args), ctx))
    except Exception:
        log.warning("destinations.failed", action=action.id, exc_info=True)
        return []
    return [one if isinstance(one, Destination) else Destination(str(one)) for one in found]


def scalars(value: Any) -> Iterator[Any]:
    """Every single value in the arguments of a call."""
    if isinstance(value, Mapping):
        for inside in value.values():
            yield from scalars(inside)
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from scalars(inside)
    elif value is not None:
        yield value


# ---- the owner's words

_RULES = {"policy", "approvals", "budget", "limits", "sandbox"}
"""Sections of the configuration that say what may happen, and name no place."""

_LEFT = r"(?:^|(?<=[\s\"'`()\[\]{}<>,;|“”‘’«»]))"
_RIGHT = r"(?=[.,;:!?]*(?:$|[\s\"'`()\[\]{}<>,;|“”‘’«»]))"
_URL = re.compile(r"https?://[^\s\"'`()\[\]{}<>|“”‘’«»]+", re.IGNORECASE)


def verbatim(value: Any, words: Sequence[str]) -> bool:
    """Whether a value stands in one of these texts as it is: whole, long enough, and like nothing else."""
    if not isinstance(value, str):
        return False
    text = unicodedata.normalize("NFKC", value)
    if len(text) < SHORTEST or text != text.strip() or display.warnings(value):
        return False
    return stands(text, words)


def stands(text: str, words: Sequence[str]) -> bool:
    """Whether a text stands in one of these as a whole word or phrase."""
    text = unicodedata.normalize("NFKC", text)
    plain = [one if one.isascii() else unicodedata.normalize("NFKC", one) for one in words]
    if not any(text in one for one in plain):
        return False
    whole = re.compile(_LEFT + re.escape(text) + _RIGHT)
    return any(whole.search(one) for one in plain)


def own(words: Sequence[str]) -> list[str]:
    """Of what the owner said, what is theirs for certain: nothing that is quoted, or as long as something pasted."""
    return [
        "\n".join(line for line in said.splitlines() if not line.lstrip().startswith(">"))
        for said in words
        if len(said) <= PASTED
    ]


def configured(ctx: ActionContext) -> list[str]:
    """The texts that the owner wrote into the configuration: no default, and no word of a rule."""
    tree = ctx.settings.model_dump(mode="json", exclude_unset=True, exclude=_RULES)
    return [text for text in scalars(tree) if isinstance(text, str)]


def hosts(words: Sequence[str]) -> list[str]:
    """The hosts of the addresses in these texts."""
    found = []
    for url in (url for said in words for url in _URL.findall(said)):
        with contextlib.suppress(urls.Refused):
            found.append(urls.host_of(url.rstrip(".,;:!?")))
    return found
