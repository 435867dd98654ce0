"""Declaring an action: what a signature becomes, and which declarations are not accepted."""

from __future__ import annotations

import enum
import math
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

import alfred.actions
from alfred import errors
from alfred.actions import Effect, Happened, Risk, Secret, action, declare
from tests.table import table

if TYPE_CHECKING:
    from alfred.actions import ActionContext


class Colour(enum.StrEnum):
    RED = "red"


@action("world.append", integration="world", risk=Risk.MEDIUM, effect=Effect.KEYED)
def append(
    line: str,
    times: int = 1,
    *,
    schema: str | None = None,
    key: str,
    ctx: ActionContext,
    token: Annotated[str, Secret("WORLD_TOKEN")],
) -> str:
    """Append one line to the world's log.

    It stays there.

    Args:
        line: The text to append, without a newline.
        times: How often.
    """
    return f"{line} {times} {schema} {key} {ctx} {token}"


def test_the_decorator_returns_the_plain_function() -> None:
    assert append("a", key="k", ctx=None, token="t") == "a 1 None k None t"  # type: ignore[arg-type]


def test_schema_and_descriptions_come_from_signature_and_docstring() -> None:
    built = declare.build(append)
    assert built.schema == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "line": {"type": "string", "description": "The text to append, without a newline."},
            "times": {"type": "integer", "default": 1, "description": "How often."},
            "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["line"],
    }
    assert built.description == "Append one line to the world's log.\n\nIt stays there."
    assert (built.risk, built.effect, built.timeout_s) == (Risk.MEDIUM, Effect.KEYED, 120.0)


def test_what_is_injected_is_not_in_the_schema() -> None:
    built = declare.build(append)
    assert built.injects == {"key", "ctx"}
    assert dict(built.secrets) == {"token": Secret("WORLD_TOKEN")}


def test_what_is_not_declared_is_high_and_blind() -> None:
    @action("a.b", integration="a")
    def fn() -> None: ...

    built = declare.build(fn)
    assert (built.risk, built.effect, built.label) == (Risk.HIGH, Effect.BLIND, "derived")


def test_async_functions_are_actions_too() -> None:
    @action("a.b", integration="a")
    async def fn() -> None: ...

    assert declare.build(fn).is_async
    assert not declare.build(append).is_async


def test_the_schema_hash_changes_with_what_the_model_is_told() -> None:
    def make(text: str, default: int) -> declare.Action:
        def fn(n: int = default) -> None: ...

        fn.__doc__ = f"Does.\n\nArgs:\n    n: {text}\n"
        return declare.build(action("a.b", integration="a")(fn))

    assert make("x", 1).schema_hash == make("x", 1).schema_hash
    assert len({make("x", 1).schema_hash, make("y", 1).schema_hash, make("x", 2).schema_hash}) == 3


@pytest.mark.parametrize(
    ("id", "wire"),
    [
        ("world.append", "world__append"),
        ("mcp.docs.get-page", "mcp__docs__get-page"),
        ("a" * 64, "a" * 64),
        ("a" * 31 + "." + "b" * 31, "a" * 31 + "__" + "b" * 31),
    ],
)
def test_the_wire_name_has_no_dots(id: str, wire: str) -> None:
    assert declare.wire_name(id) == wire


def test_a_long_wire_name_is_cut_with_its_hash() -> None:
    one, other = declare.wire_name("a." + "b" * 80), declare.wire_name("a." + "b" * 81)
    assert len(one) == len(other) == 64
    assert one != other
    assert one[:57] == other[:57]


def fresh(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function again, not declared yet."""
    assert isinstance(fn, types.FunctionType)
    again = types.FunctionType(
        fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__
    )
    again.__annotations__ = fn.__annotations__
    again.__kwdefaults__ = fn.__kwdefaults__
    return again


def refused(match: str, fn: Callable[..., Any], **more: Any) -> None:
    given: dict[str, Any] = {"id": "a.b", "integration": "a"} | more
    declared = action(**given)(fresh(fn))
    with pytest.raises(errors.ConfigError, match=match):
        declare.build(declared)


def plain() -> None: ...


def test_a_keyed_action_must_take_the_key() -> None:
    refused("takes no parameter `key`", plain, effect=Effect.KEYED)


def test_a_checkable_action_must_have_a_check() -> None:
    refused("no `check`", plain, effect=Effect.CHECKABLE)


def test_a_checkable_action_with_its_check_is_accepted() -> None:
    def fn(path: str) -> None: ...

    def check(*, key: str, ctx: object, path: str) -> Happened:
        return Happened(path)

    built = declare.build(action("a.b", integration="a", effect=Effect.CHECKABLE, check=check)(fn))
    assert built.check is check


@table(["", ".", "a.", ".a", "a..b", "a b", "a/b", "é", "a" * 201, "a\n", None, 3])
def test_an_id_must_be_well_formed(id: Any) -> None:
    refused("id is made of", plain, id=id)


@table(
    [
        ("integration", {"integration": "a b"}),
        ("risk", {"risk": "high"}),
        ("risk", {"risk": 3}),
        ("effect", {"effect": "pure"}),
        ("label", {"label": "owner"}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": -1}),
        ("timeout", {"timeout": "5"}),
        ("timeout", {"timeout": True}),
        ("timeout", {"timeout": math.inf}),
        ("timeout", {"timeout": math.nan}),
        ("`preview`", {"preview": "text"}),
        ("`preview`", {"preview": lambda: ""}),
        ("`classify`", {"classify": lambda args: Risk.NONE}),
        ("`target`", {"target": lambda: ""}),
        ("`redact`", {"redact": lambda args, ctx: args}),
        ("`check`", {"check": lambda key: None}),
        ("`check`", {"check": lambda *, key, ctx, other: None}),
    ]
)
def test_a_declaration_that_could_only_fail_is_refused(match: str, more: dict[str, Any]) -> None:
    refused(match, plain, **more)


def test_a_hook_that_must_be_plain_is_refused_when_async() -> None:
    async def classify(args: dict[str, Any], ctx: object) -> Risk:
        return Risk.NONE

    refused("`classify` must be a plain function", plain, classify=classify)


def _positional(a: int, /) -> None: ...
def _many(*a: int) -> None: ...
def _named(**a: int) -> None: ...
def _untyped(a) -> None: ...  # type: ignore[no-untyped-def]
def _unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _shapeless(a: Callable[[], None]) -> None: ...
def _wrong_default(a: int = "x") -> None: ...  # type: ignore[assignment]
def _nan(a: float = math.nan) -> None: ...
def _generator():  # type: ignore[no-untyped-def]
    yield 1


@table(
    [
        ("by name", _positional),
        ("by name", _many),
        ("by name", _named),
        ("has no type", _untyped),
        ("is not known", _unknown),
        ("JSON schema", _shapeless),
        ("default", _wrong_default),
        ("default", _nan),
        ("generator", _generator),
    ]
)
def test_a_signature_that_cannot_be_checked_is_refused(match: str, fn: Callable[..., Any]) -> None:
    refused(match, fn)


def test_a_refusal_says_where_the_function_stands() -> None:
    declared = action("a.b", integration="a")(fresh(_untyped))
    with pytest.raises(errors.ConfigError) as caught:
        declare.build(declared)
    assert caught.value.extra["line"] == _untyped.__code__.co_firstlineno


def test_a_function_that_was_not_declared_is_no_action() -> None:
    with pytest.raises(errors.ConfigError, match="not an action"):
        declare.build(plain)


def test_a_function_is_one_action_only() -> None:
    with pytest.raises(errors.ConfigError, match="another action already"):
        action("a.c", integration="a")(append)


def test_types_that_are_not_json_are_described_as_json() -> None:
    def fn(path: Path, colour: Colour = Colour.RED) -> None: ...

    schema = declare.build(action("a.b", integration="a")(fn)).schema
    assert schema["properties"]["path"]["type"] == "string"
    assert schema["properties"]["colour"]["default"] == "red"


def test_the_public_names_are_there() -> None:
    for name in alfred.actions.__all__:
        assert getattr(alfred.actions, name) is not None
    assert set(alfred.actions.__all__) <= set(dir(alfred.actions))
    with pytest.raises(AttributeError):
        _ = alfred.actions.nothing  # type: ignore[attr-defined]


def test_importing_the_package_and_declaring_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from alfred.actions import action, Risk, Effect, Happened, NotHappened, Unknown\n"
        "@action('a.b', integration='a')\n"
        "def f(x: int): ...\n"
        "print(*sorted({'pydantic', 'griffe', 'tree_sitter', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
