"""What an action is: the `@action` decorator, and the checked declaration that the gate works with.

Invariant: the decorator returns the plain function and registers nothing; `build` makes an `Action` only
when everything that the gate relies on is there, so an action that could not be repeated, checked or
shown as it promises never gets into a registry.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from alfred import errors
from alfred.actions import canonical
from alfred.actions.kinds import Effect, Probe, Risk

if TYPE_CHECKING:
    import pydantic

    from alfred.actions.context import ActionContext

Label = Literal["external", "derived", "trusted"]
"""How far the result of an action may be believed."""

ID = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""A well-formed id. Longer than 200 characters is refused as well."""

WIRE_MAX = 64
"""The longest tool name that the OpenAI and Anthropic interfaces accept."""

INJECTED = frozenset({"key", "ctx"})

_MARK = "__alfred_action__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a parameter that the dispatcher fills from the owner's secrets; the model never sees it.

    >>> def post(text: str, *, token: Annotated[str, Secret("FORUM_TOKEN")]) -> None: ...

    With `required=False` the parameter gets None when there is no such secret; otherwise the call is
    refused before anything is sent.
    """

    name: str
    required: bool = True


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
    label: Label
    timeout_s: float
    """Seconds; enforced by the dispatcher."""
    schema: Mapping[str, Any]
    """JSON Schema of the arguments that the model may give."""
    schema_hash: str
    """SHA-256 of the canonical schema."""
    description: str
    """The docstring without its sections."""
    source: str
    """`alfred`, `actions/x.py` of the home, or `<distribution>:<entry point>`."""
    wire: str
    """The name that providers accept."""
    injects: frozenset[str]
    """Which of `key` and `ctx` the function takes."""
    secrets: Mapping[str, Secret]
    """Parameter -> the secret that fills it."""
    is_async: bool
    model: type[pydantic.BaseModel] = field(repr=False, compare=False)
    """Checks arguments; used by `arguments.validate`."""

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
    label: Label
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
    label: Label = "derived",
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
        label: How far its result may be believed.
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
    declared: _Declaration = getattr(fn, _MARK)
    try:
        return _build(fn, declared, source)
    except errors.ConfigError as e:
        e.extra["line"] = fn.__code__.co_firstlineno
        raise


def _build(fn: Callable[..., Any], declared: _Declaration, source: str) -> Action:
    signature = inspect.signature(fn)
    _check_declaration(declared, fn)
    given, secrets = _parameters(declared, fn, signature)
    description, told = _docstring(fn)
    model = _model(declared, given, told)
    schema = _schema(declared, model)
    if declared.effect is Effect.KEYED and "key" not in signature.parameters:
        raise _refuse(declared, "its effect is keyed, but it takes no parameter `key`")
    if declared.effect is Effect.CHECKABLE and declared.check is None:
        raise _refuse(declared, "its effect is checkable, but there is no `check`")
    _check_hooks(declared, given)
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
        label=declared.label,
        timeout_s=float(declared.timeout),
        schema=MappingProxyType(schema),
        schema_hash=canonical.digest(schema),
        description=description,
        source=source,
        wire=wire_name(declared.id),
        injects=INJECTED & signature.parameters.keys(),
        secrets=MappingProxyType(secrets),
        is_async=inspect.iscoroutinefunction(fn),
        model=model,
    )


def _refuse(declared: _Declaration, why: str) -> errors.ConfigError:
    return errors.ConfigError(f"The action {declared.id!r} cannot be used: {why}.")


def _check_declaration(declared: _Declaration, fn: Callable[..., Any]) -> None:
    if not isinstance(declared.id, str) or not ID.fullmatch(declared.id) or len(declared.id) > 200:
        raise _refuse(declared, "an id is made of letters, digits, `_`, `-` and dots between them")
    if not isinstance(declared.integration, str) or not ID.fullmatch(declared.integration):
        raise _refuse(declared, f"the integration {declared.integration!r} is no name")
    if not isinstance(declared.risk, Risk):
        raise _refuse(declared, f"the risk {declared.risk!r} is none of Risk")
    if not isinstance(declared.effect, Effect):
        raise _refuse(declared, f"the effect {declared.effect!r} is none of Effect")
    if declared.label not in typing.get_args(Label):
        raise _refuse(declared, f"the label {declared.label!r} is none of {typing.get_args(Label)}")
    seconds = declared.timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e6:
        raise _refuse(declared, f"the timeout {seconds!r} is no number of seconds")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise _refuse(declared, "a generator has no one result; return a value")


def _parameters(
    declared: _Declaration, fn: Callable[..., Any], signature: inspect.Signature
) -> tuple[dict[str, tuple[Any, Any]], dict[str, Secret]]:
    """Splits the signature: argument -> (type, default), and parameter -> secret."""
    given: dict[str, tuple[Any, Any]] = {}
    secrets: dict[str, Secret] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _refuse(declared, f"the parameter {name!r} cannot be given by name")
        if name in INJECTED:
            continue
        if parameter.annotation is parameter.empty:
            raise _refuse(declared, f"the parameter {name!r} has no type")
        annotation = _resolve(declared, fn, name, parameter.annotation)
        secret = next((m for m in getattr(annotation, "__metadata__", ()) if _is_secret(m)), None)
        if secret is not None:
            secrets[name] = secret
        else:
            given[name] = (annotation, parameter.default)
    return given, secrets


def _is_secret(metadata: Any) -> bool:
    return isinstance(metadata, Secret)


def _resolve(declared: _Declaration, fn: Any, name: str, annotation: Any) -> Any:
    # one by one: `ctx: ActionContext` is often imported for type checkers only, and must not matter
    def holder() -> None: ...

    holder.__annotations__ = {name: annotation}
    try:
        return typing.get_type_hints(holder, globalns=fn.__globals__, include_extras=True)[name]
    except Exception as e:
        raise _refuse(declared, f"the type of {name!r} is not known here: {e}") from e


def _docstring(fn: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The prose of the docstring, and what it says about each parameter."""
    text = inspect.getdoc(fn)
    if not text:
        return "", {}
    import griffe

    prose: list[str] = []
    told: dict[str, str] = {}
    for section in griffe.Docstring(text).parse("google", warnings=False):
        if section.kind is griffe.DocstringSectionKind.text:
            prose.append(section.value)
        elif section.kind is griffe.DocstringSectionKind.parameters:
            told.update({p.name: p.description for p in section.value})
    return "\n\n".join(prose).strip(), told


def _model(
    declared: _Declaration, given: dict[str, tuple[Any, Any]], told: dict[str, str]
) -> type[pydantic.BaseModel]:
    import pydantic

    fields: dict[str, Any] = {}
    for n, (name, (annotation, default)) in enumerate(given.items()):
        about = told.get(name)
        # fields get neutral names, arguments their own as alias: an argument may be called `schema`
        if default is inspect.Parameter.empty:
            fields[f"arg_{n}"] = (annotation, pydantic.Field(alias=name, description=about))
            continue
        try:
            adapter = pydantic.TypeAdapter(annotation)
            default = adapter.validate_python(default)
            canonical.canonical_json(adapter.dump_python(default, mode="json"))
        except Exception as e:
            raise _refuse(declared, f"the default {default!r} of {name!r} does not fit: {e}") from e
        fields[f"arg_{n}"] = (
            annotation,
            pydantic.Field(default=default, alias=name, description=about),
        )
    try:
        return pydantic.create_model(
            declared.id,
            __config__=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False),
            **fields,
        )
    except Exception as e:
        raise _refuse(declared, f"its arguments cannot be checked: {e}") from e


def _schema(declared: _Declaration, model: type[pydantic.BaseModel]) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        """Titles that only repeat the name cost tokens and tell nothing."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    try:
        schema = model.model_json_schema(by_alias=True, schema_generator=Untitled)
    except Exception as e:
        raise _refuse(declared, f"its arguments have no JSON schema: {e}") from e
    schema.pop("title", None)
    return schema


def _check_hooks(declared: _Declaration, given: dict[str, Any]) -> None:
    """Refuses a hook that could only ever fail: its failure would be taken for `unknown` or `high`."""
    shapes: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "check": ((), {"key": "", "ctx": None} | dict.fromkeys(given)),
        "preview": (({}, None), {}),
        "classify": (({}, None), {}),
        "target": (({}, None), {}),
        "touches": (({}, None), {}),
        "redact": (({},), {}),
    }
    for name, (args, kwargs) in shapes.items():
        hook = getattr(declared, name)
        if hook is None:
            continue
        if not callable(hook):
            raise _refuse(declared, f"`{name}` is {hook!r}, not a function")
        if name != "check" and inspect.iscoroutinefunction(hook):
            raise _refuse(declared, f"`{name}` must be a plain function, not an async one")
        try:
            inspect.signature(hook).bind(*args, **kwargs)
        except TypeError as e:
            wanted = (
                "(*, key, ctx, **args)"
                if name == "check"
                else ("(args)", "(args, ctx)")[len(args) - 1]
            )
            raise _refuse(declared, f"`{name}` cannot be called as {name}{wanted}: {e}") from e
