"""What an action is: the `@action` decorator, and the checked declaration that the gate works with.

Invariant: the decorator returns the plain function and registers nothing; `build` makes an `Action` only
when everything that the gate relies on is there, so an action that could not be repeated, checked or
shown as it promises never gets into a registry.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from alfred import errors
from alfred.actions import canonical, signature
from alfred.actions.kinds import Destination, Effect, Probe, Risk
from alfred.actions.signature import Secret
from alfred.trust import labels

if TYPE_CHECKING:
    import pydantic

    from alfred.actions.context import ActionContext
    from alfred.config import Settings

Label = Literal["external", "derived", "trusted"]
"""How far the result of an action may be believed, where that does not depend on the call."""

LabelOf = Callable[[dict[str, Any], "ActionContext"], labels.Label]
"""`label(args, ctx)`: the label of what this call reads, as it is now; an exception means external and secret."""

ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""A well-formed id. Longer than 200 characters is refused as well."""

WIRE_MAX = 64
"""The longest tool name that the OpenAI and Anthropic interfaces accept."""

MCP = "mcp"
"""The source of actions that are tools of MCP servers."""

_MARK = "__alfred_action__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Action:
    """A tool as the gate knows it. Made by `build`, kept in a `registry.Registry`."""

    id: str
    integration: str
    risk: Risk
    """The declared risk: the least that a call of it has."""
    effect: Effect
    fn: Callable[..., Any]
    check: Callable[..., Probe | typing.Awaitable[Probe]] | None
    """`check(*, key, ctx, **args)` tells whether the effect took place; an exception means unknown."""
    preview: Callable[[dict[str, Any], ActionContext], str] | None
    """`preview(args, ctx)`: what the card shows; an exception means a plain card."""
    classify: Callable[[dict[str, Any], ActionContext], Risk] | None
    """`classify(args, ctx)`: the risk of these arguments; an exception means high. It cannot lower."""
    redact: Callable[[dict[str, Any]], dict[str, Any]] | None
    """`redact(args)`: the arguments as cards, logs and lists may show them."""
    target: Callable[[dict[str, Any], ActionContext], Any] | None
    """`target(args, ctx)`: what the call would touch as it is now, as JSON (the hash of the file's
    content, the sha that a branch points to, the resolved address). It is part of the hash that an
    approval is bound to, so that a thing which changed after it was shown asks again."""
    touches: Callable[[dict[str, Any], ActionContext], Iterable[str]] | None
    """`touches(args, ctx)`: the paths, from the workspace, that the call looks at when it is judged and
    changes when it is carried out; `.` is all of it. A call is judged when no earlier call of its turn is
    still to change the same. Not given: everything when there is a `target` or a `classify`, else nothing;
    an exception means everything."""
    destinations: Callable[[dict[str, Any], ActionContext], Iterable[str | Destination]] | None
    """`destinations(args, ctx)`: where the call leads to, each as it stands in the arguments, or as a
    `Destination` that is the owner's. Not given, none, or an exception: somewhere new."""
    sends: Callable[[dict[str, Any], ActionContext], Iterable[tuple[str, str]]] | None
    """`sends(args, ctx)`: what leaves besides the arguments, as it is now, each text with where it stands (a file, a
    message). It is looked through for secrets; an exception means that nobody knows, which is high."""
    references: str | None
    """The argument whose texts may name secrets as `secret://NAME`, each for the hosts among the destinations; the
    function puts the value in when it sends. Not given: a reference in the arguments is only text."""
    lacks: Callable[[Settings], errors.CallRefused | None] | None
    """`lacks(settings)`: what the owner has to configure before there is anything to call, None when nothing. What lacks
    something is not offered to the model, and refused; an exception counts as that."""
    label: Label | LabelOf
    timeout_s: float
    """Seconds; enforced by the dispatcher."""
    schema: Mapping[str, Any]
    """JSON Schema of the arguments that the model may give."""
    schema_hash: str
    """SHA-256 of the canonical schema."""
    description: str
    """The docstring without its sections."""
    source: str
    """`alfred`, `actions/x.py` of the home, `<distribution>:<entry point>`, or `mcp`."""
    wire: str
    """The name that providers accept."""
    injects: frozenset[str]
    """Which of `key` and `ctx` the function takes."""
    secrets: Mapping[str, Secret]
    """Parameter -> the secret that fills it."""
    is_async: bool
    model: type[pydantic.BaseModel] | None = field(repr=False, compare=False)
    """Checks arguments; used by `arguments.validate`. None: the schema is somebody else's, and the function takes all of
    them as `arguments` (`schemas`)."""

    @property
    def built_in(self) -> bool:
        """Whether it came with alfred, so that its first use needs no person."""
        return self.source == "alfred"


@dataclass(frozen=True, slots=True)
class _Declaration:
    id: str
    integration: str
    risk: Risk
    effect: Effect
    check: Callable[..., Any] | None
    preview: Callable[..., Any] | None
    classify: Callable[..., Any] | None
    redact: Callable[..., Any] | None
    target: Callable[..., Any] | None
    touches: Callable[..., Any] | None
    destinations: Callable[..., Any] | None
    sends: Callable[..., Any] | None
    references: str | None
    lacks: Callable[..., Any] | None
    label: Label | LabelOf
    timeout: float


def action(
    id: str,
    *,
    integration: str,
    risk: Risk = Risk.HIGH,
    effect: Effect = Effect.BLIND,
    check: Callable[..., Any] | None = None,
    preview: Callable[..., Any] | None = None,
    classify: Callable[..., Any] | None = None,
    redact: Callable[..., Any] | None = None,
    target: Callable[..., Any] | None = None,
    touches: Callable[..., Any] | None = None,
    destinations: Callable[..., Any] | None = None,
    sends: Callable[..., Any] | None = None,
    references: str | None = None,
    lacks: Callable[..., Any] | None = None,
    label: Label | LabelOf = "derived",
    timeout: float = 120,
) -> Callable[[F], F]:
    """Declares a function as an action. The function stays as it is; a registry reads the declaration.

    Name, description and validation of the arguments come from signature and docstring (Google style).
    Parameters called `key` (the effect key: the same over every retry of one call) and `ctx`
    (`ActionContext`), and parameters annotated with `Secret`, are injected and never shown to the model.

    Args:
        id: `integration.verb`, unique.
        integration: What it belongs to in policies.
        risk: The least risk of any call. What is not declared is high.
        effect: What a lost outcome means. What is not declared is blind.
        check: `check(*, key, ctx, **args)` for a checkable effect.
        preview: `preview(args, ctx)`, the text of the card.
        classify: `classify(args, ctx)`, raises the risk by the arguments.
        redact: `redact(args)`, the arguments as they may be shown.
        target: `target(args, ctx)`, what the call would touch as it is now; bound into the approval.
        touches: `touches(args, ctx)`, the paths of the workspace that it is about, when there are a few.
        destinations: `destinations(args, ctx)`, where the call leads to; what says nothing leads somewhere new.
        sends: `sends(args, ctx)`, what leaves besides the arguments: (where it stands, text) each.
        references: The argument that may name secrets as `secret://NAME` (`alfred.trust.references`).
        lacks: `lacks(settings)`, a `CallRefused` that says what the owner has to configure first, or None.
        label: How far its result may be believed; or `label(args, ctx)`, the label of what this call reads.
        timeout: Seconds.
    """
    declared = _Declaration(
        id=id,
        integration=integration,
        risk=risk,
        effect=effect,
        check=check,
        preview=preview,
        classify=classify,
        redact=redact,
        target=target,
        touches=touches,
        destinations=destinations,
        sends=sends,
        references=references,
        lacks=lacks,
        label=label,
        timeout=timeout,
    )

    def mark(fn: F) -> F:
        if is_declared(fn):
            raise errors.ConfigError(
                f"The action {declared.id!r} cannot be used: its function is another action already.",
                next="Give each action a function of its own.",
            )
        setattr(fn, _MARK, declared)
        return fn

    return mark


def is_declared(thing: Any) -> bool:
    """Whether `thing` is a function that `@action` declared."""
    return inspect.isfunction(thing) and isinstance(getattr(thing, _MARK, None), _Declaration)


def wire_name(id: str) -> str:
    """The name for providers: `.` becomes `__`, and what is too long is cut with 6 hex of its hash."""
    wire = id.replace(".", "__")
    if len(wire) <= WIRE_MAX:
        return wire
    return f"{wire[: WIRE_MAX - 7]}_{hashlib.sha256(id.encode()).hexdigest()[:6]}"


def build(fn: Callable[..., Any], *, source: str = "alfred") -> Action:
    """The checked action that a decorated function declares.

    Raises:
        errors.ConfigError: something that the gate relies on is missing; the text says what.
    """
    if not is_declared(fn):
        raise errors.ConfigError(f"{fn!r} is not an action; decorate a function with @action(...)")
    try:
        return _build(fn, source)
    except errors.ConfigError as e:
        e.extra["line"] = fn.__code__.co_firstlineno
        raise


# reading a signature takes 3 ms, and a process reads its actions more than once
@functools.lru_cache(512)
def _build(fn: Callable[..., Any], source: str) -> Action:
    declared: _Declaration = getattr(fn, _MARK)
    _check_declaration(declared, fn)
    said = signature.read(declared.id, fn)
    if declared.effect is Effect.KEYED and "key" not in said.injects:
        raise signature.refuse(declared.id, "its effect is keyed, but it takes no parameter `key`")
    if declared.effect is Effect.CHECKABLE and declared.check is None:
        raise signature.refuse(declared.id, "its effect is checkable, but there is no `check`")
    if declared.references is not None and declared.references not in said.arguments:
        raise signature.refuse(declared.id, f"it takes no argument {declared.references!r}")
    _check_hooks(declared, said.arguments)
    return Action(
        id=declared.id,
        integration=declared.integration,
        risk=declared.risk,
        effect=declared.effect,
        fn=fn,
        check=declared.check,
        preview=declared.preview,
        classify=declared.classify,
        redact=declared.redact,
        target=declared.target,
        touches=declared.touches,
        destinations=declared.destinations,
        sends=declared.sends,
        references=declared.references,
        lacks=declared.lacks,
        label=declared.label,
        timeout_s=float(declared.timeout),
        schema=MappingProxyType(said.schema),
        schema_hash=canonical.digest(said.schema),
        description=said.description,
        source=source,
        wire=wire_name(declared.id),
        injects=said.injects,
        secrets=MappingProxyType(said.secrets),
        is_async=inspect.iscoroutinefunction(fn),
        model=said.model,
    )


def _check_declaration(declared: _Declaration, fn: Callable[..., Any]) -> None:
    if not isinstance(declared.id, str) or not ID.fullmatch(declared.id) or len(declared.id) > 200:
        raise signature.refuse(
            declared.id, "an id is made of letters, digits, `_`, `-` and dots between them"
        )
    if not isinstance(declared.integration, str) or not ID.fullmatch(declared.integration):
        raise signature.refuse(declared.id, f"the integration {declared.integration!r} is no name")
    if not isinstance(declared.risk, Risk):
        raise signature.refuse(declared.id, f"the risk {declared.risk!r} is none of Risk")
    if not isinstance(declared.effect, Effect):
        raise signature.refuse(declared.id, f"the effect {declared.effect!r} is none of Effect")
    if not callable(declared.label) and declared.label not in typing.get_args(Label):
        raise signature.refuse(
            declared.id,
            f"the label {declared.label!r} is none of {typing.get_args(Label)}, and no function",
        )
    seconds = declared.timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e6:
        raise signature.refuse(declared.id, f"the timeout {seconds!r} is no number of seconds")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise signature.refuse(declared.id, "a generator has no one result; return a value")


def _check_hooks(declared: _Declaration, given: Iterable[str]) -> None:
    """Refuses a hook that could only ever fail: its failure would be taken for `unknown` or `high`."""
    shapes: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "check": ((), {"key": "", "ctx": None} | dict.fromkeys(given)),
        "preview": (({}, None), {}),
        "classify": (({}, None), {}),
        "target": (({}, None), {}),
        "touches": (({}, None), {}),
        "destinations": (({}, None), {}),
        "sends": (({}, None), {}),
        "label": (({}, None), {}),
        "redact": (({},), {}),
        "lacks": ((None,), {}),
    }
    for name, (args, kwargs) in shapes.items():
        hook = getattr(declared, name)
        if hook is None or (name == "label" and isinstance(hook, str)):
            continue
        if not callable(hook):
            raise signature.refuse(declared.id, f"`{name}` is {hook!r}, not a function")
        if name != "check" and inspect.iscoroutinefunction(hook):
            raise signature.refuse(
                declared.id, f"`{name}` must be a plain function, not an async one"
            )
        try:
            inspect.signature(hook).bind(*args, **kwargs)
        except TypeError as e:
            wanted = (
                "(*, key, ctx, **args)"
                if name == "check"
                else "(settings)"
                if name == "lacks"
                else ("(args)", "(args, ctx)")[len(args) - 1]
            )
            raise signature.refuse(
                declared.id, f"`{name}` cannot be called as {name}{wanted}: {e}"
            ) from e
