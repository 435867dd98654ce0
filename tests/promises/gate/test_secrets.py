"""Secrets at the gate: a reference is what is stored and asked about, and goes where the owner bound it, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.config_schema import Settings
from tests.promises.gate.conftest import Bench, code

VALUE = "value-of-the-key-4711"
sent: list[Any] = []


def _host(args: dict[str, Any], ctx: ActionContext) -> list[str]:
    if args["host"] == "nowhere":
        raise ValueError("no host")
    return [args["host"]]


@action(
    "t.get",
    integration="t",
    risk=Risk.NONE,
    effect=Effect.PURE,
    destinations=_host,
    references="headers",
)
def get(host: str, headers: dict[str, str] | None = None, *, ctx: ActionContext) -> str:
    """Asks a host.

    Args:
        host: Which.
        headers: Credentials, by reference.
    """
    sent.append((host, headers, ctx.secrets("FORUM_KEY")))
    return "welcome"


@action(
    "t.post",
    integration="t",
    risk=Risk.MEDIUM,
    effect=Effect.BLIND,
    destinations=_host,
    references="headers",
)
def post(host: str, headers: dict[str, str] | None = None) -> str:
    """Tells a host something.

    Args:
        host: Which.
        headers: Credentials, by reference.
    """
    sent.append((host, headers))
    return "ok"


@action("t.say", integration="t", risk=Risk.NONE, effect=Effect.BLIND)
def say(text: str) -> str:
    """Says something to the world.

    Args:
        text: What.
    """
    sent.append(text)
    return "ok"


@action("shell.run", integration="shell", risk=Risk.NONE, effect=Effect.BLIND)
def inside(text: str) -> str:
    """Stays in the workspace.

    Args:
        text: What.
    """
    sent.append(text)
    return "ok"


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    sent.clear()
    made = new_bench(get, post, say, inside)
    made.settings = Settings.model_validate(
        {"timezone": "UTC", "secrets": {"FORUM_KEY": ["forum.example"], "EMPTY": ["forum.example"]}}
    )
    made.secrets["FORUM_KEY"] = VALUE
    return made


KEY = {"Authorization": "secret://FORUM_KEY"}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("t.get", {"host": "evil.example", "headers": KEY}, "may go to forum.example, not to"),
    ("t.post", {"host": "evil.example", "headers": KEY}, "may go to forum.example, not to"),
    ("t.get", {"host": "nowhere", "headers": KEY}, "cannot be told"),
    (
        "t.get",
        {"host": "forum.example", "headers": {"A": "secret://FORUM_KEX"}},
        "Did you mean secret://FORUM_KEY?",
    ),
    (
        "t.get",
        {"host": "forum.example", "headers": {"A": "secret://EMPTY"}},
        "has no value",
    ),
    ("t.get", {"host": "secret://FORUM_KEY", "headers": None}, "host of t.get is no place"),
    ("t.say", {"text": "my key is secret://FORUM_KEY"}, "text of t.say is no place"),
]


def test_a_reference_that_may_not_go_there_is_refused_before_anybody_is_asked(bench: Bench) -> None:
    calls = bench.does(*((name, args) for name, args, _ in REFUSED))
    assert {code(call) for call in calls} == {"secret_refused"}
    for call, (_, _, why) in zip(calls, REFUSED, strict=True):
        assert why in json.loads(call.result or "")["error"]["detail"]
    assert sent == []
    assert bench.cards() == []


def test_the_reference_is_what_is_stored_hashed_and_asked_about(bench: Bench) -> None:
    (call,) = bench.does(("t.post", {"host": "forum.example", "headers": KEY}))
    assert "secret://FORUM_KEY" in bench.card().preview
    bench.decide("approve", args_hash=bench.card().args_hash)
    bench.secrets["FORUM_KEY"] = (
        "another-value-since"  # rotated: what was approved is the reference
    )
    bench.go()
    (call,) = bench.calls(call.run_id)
    assert (call.status, call.arguments["headers"]) == ("done", KEY)
    assert sent == [("forum.example", KEY)]
    rows = [bench.all(f"select * from {table}") for table in ("calls", "approvals", "events")]
    assert VALUE not in json.dumps([[list(row) for row in some] for some in rows], default=str)


def test_text_about_references_is_only_text(bench: Bench) -> None:
    about = "write secret://NAME, or secret://FORUM_KEY"
    calls = bench.does(("t.say", {"text": "write secret://NAME"}), ("shell.run", {"text": about}))
    assert [call.status for call in calls] == ["done", "done"]
