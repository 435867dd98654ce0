"""What the function of an action says by its signature and docstring: its arguments, and how they are checked.

Invariant: whatever the model may give is in the schema, and nothing else is: what is injected (the key, the
context, secrets) is neither shown nor taken.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.actions import canonical

if TYPE_CHECKING:
    import pydantic

INJECTED = frozenset({"key", "ctx"})


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
class Signature:
    """What was read."""

    arguments: tuple[str, ...]
    injects: frozenset[str]
    secrets: dict[str, Secret]
    description: str
    schema: dict[str, Any]
    model: type[pydantic.BaseModel] = field(repr=False)


def read(id: str, fn: Callable[..., Any]) -> Signature:
    """Reads the function of the action `id`.

    Raises:
        errors.ConfigError: a parameter cannot be given by name, or has no type that JSON can carry.
    """
    parameters = inspect.signature(fn).parameters
    given, secrets = _parameters(id, fn, parameters)
    description, told = _docstring(fn)
    model = _model(id, given, told)
    return Signature(
        arguments=tuple(given),
        injects=INJECTED & parameters.keys(),
        secrets=secrets,
        description=description,
        schema=_schema(id, model),
        model=model,
    )


def refuse(id: str, why: str) -> errors.ConfigError:
    """The error of a declaration that the gate could not rely on."""
    return errors.ConfigError(f"The action {id!r} cannot be used: {why}.")


def _parameters(
    id: str, fn: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> tuple[dict[str, tuple[Any, Any]], dict[str, Secret]]:
    """Splits the signature: argument -> (type, default), and parameter -> secret."""
    given: dict[str, tuple[Any, Any]] = {}
    secrets: dict[str, Secret] = {}
    for name, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise refuse(id, f"the parameter {name!r} cannot be given by name")
        if name in INJECTED:
            continue
        if parameter.annotation is parameter.empty:
            raise refuse(id, f"the parameter {name!r} has no type")
        annotation = _resolve(id, fn, name, parameter.annotation)
        secret = next((m for m in getattr(annotation, "__metadata__", ()) if _is_secret(m)), None)
        if secret is not None:
            secrets[name] = secret
        else:
            given[name] = (annotation, parameter.default)
    return given, secrets


def _is_secret(metadata: Any) -> bool:
    return isinstance(metadata, Secret)


def _resolve(id: str, fn: Any, name: str, annotation: Any) -> Any:
    # one by one: `ctx: ActionContext` is often imported for type checkers only, and must not matter
    def holder() -> None: ...

    holder.__annotations__ = {name: annotation}
    try:
        return typing.get_type_hints(holder, globalns=fn.__globals__, include_extras=True)[name]
    except Exception as e:
        raise refuse(id, f"the type of {name!r} is not known here: {e}") from e


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
    id: str, given: dict[str, tuple[Any, Any]], told: dict[str, str]
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
            raise refuse(id, f"the default {default!r} of {name!r} does not fit: {e}") from e
        fields[f"arg_{n}"] = (
            annotation,
            pydantic.Field(default=default, alias=name, description=about),
        )
    try:
        return pydantic.create_model(
            id,
            __config__=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False),
            **fields,
        )
    except Exception as e:
        raise refuse(id, f"its arguments cannot be checked: {e}") from e


def _schema(id: str, model: type[pydantic.BaseModel]) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        """Titles that only repeat the name cost tokens and tell nothing."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    try:
        schema = model.model_json_schema(by_alias=True, schema_generator=Untitled)
    except Exception as e:
        raise refuse(id, f"its arguments have no JSON schema: {e}") from e
    schema.pop("title", None)
    return schema
