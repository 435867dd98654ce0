"""Where calls of the first actions lead, and that a context raises what leaves for somewhere new."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from alfred.actions import Destination, Risk, taint
from alfred.actions.taint import Sink
from alfred.integrations import code, files, git, notify, shell, web
from alfred.integrations import search as web_search
from alfred.memory import search, todos
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.built import built
from tests.unit.integrations.conftest import Bench

BOTH = Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)
PRIVATE = Label(Integrity.DERIVED, Confidentiality.PRIVATE)
EXTERNAL = Label(Integrity.EXTERNAL, Confidentiality.INTERNAL)


def raised(
    bench: Bench,
    function: Callable[..., Any],
    words: Sequence[str] = (),
    links: Collection[str] = (),
    **args: Any,
) -> Risk:
    return taint.assess(
        built(function), args, bench.ctx, context=BOTH, words=lambda: words, links=lambda: links
    ).risk


def test_the_first_actions_lead_where_they_say() -> None:
    sinks = {
        fn.__name__: taint.sink(built(fn))
        for fn in (*files.ACTIONS, *git.ACTIONS, *shell.ACTIONS, *web.ACTIONS, *notify.ACTIONS)
    }
    assert taint.sink(built(code.run)) is Sink.CONTAINED
    looks = ("read", "list_", "search", "status", "log", "diff", "show")
    stays = ("write", "patch_", "move", "delete", "commit", "branch", "run")
    assert sinks == {
        **dict.fromkeys(looks, Sink.LOOK),
        **dict.fromkeys(stays, Sink.CONTAINED),
        **{"fetch": Sink.ASKING, "push": Sink.OUTWARD, "send": Sink.OUTWARD},
    }
    own = [taint.sink(built(fn)) for fn in (*search.ACTIONS, *todos.ACTIONS)]
    assert own == [Sink.ITSELF, Sink.LOOK, Sink.CONTAINED]


def test_fetching_is_sending_to_a_host(bench: Bench) -> None:
    url = "https://Docs.Example.org:443/a?secret=b"
    assert taint.destinations(built(web.fetch), {"url": url}, bench.ctx) == [
        Destination("docs.example.org")
    ]
    assert raised(bench, web.fetch, url=url) is Risk.MEDIUM
    assert raised(bench, web.fetch, url="https://docs.example.org@evil.example/") is Risk.MEDIUM
    for said in ("Look at docs.example.org.", "Look at https://docs.example.org/other, please"):
        assert raised(bench, web.fetch, words=[said], url=url) is Risk.NONE
    for said in ("docs.example.org.evil.example", "https://docs.example.org@evil.example/", "docs"):
        assert raised(bench, web.fetch, words=[said], url=url) is Risk.MEDIUM
    assert raised(bench, web.fetch, links=[url], url=url) is Risk.NONE
    assert raised(bench, web.fetch, links=[url], url=f"{url}c") is Risk.MEDIUM


def test_a_query_that_is_not_the_owners_asks_where_the_run_knows_private_things(
    new_bench: Callable[..., Bench],
) -> None:
    """By the search itself, and by the address of its service, which stands in the configuration."""
    service = {"provider": "searxng", "url": "http://searx.example:8888/"}
    bench = new_bench(integrations={"web": {"search": service}})
    said = ["Find out about the WAL reset bug, please."]
    at = "http://searx.example:8888/search?q="
    rows = [
        ("WAL reset bug", Risk.NONE),
        ("the WAL reset bug", Risk.NONE),
        ("WAL reset bug 4711", Risk.MEDIUM),
        ("bug reset WAL", Risk.MEDIUM),
        ("WAL res", Risk.MEDIUM),
        ("WAL reset bug\u200b", Risk.MEDIUM),
        ("account 4711", Risk.MEDIUM),
    ]
    for query, risk in rows:
        assert raised(bench, web_search.search, words=said, query=query, count=3) is risk, query
        assert raised(bench, web.fetch, words=said, url=at + query.replace(" ", "+")) is Risk.MEDIUM
    assert raised(bench, web.fetch, words=[f"Read {at}wal"], url=f"{at}wal") is Risk.NONE
    assert raised(bench, web.fetch, url="http://searx.example/other?x") is Risk.NONE
    action = built(web_search.search)
    for context in (PRIVATE, EXTERNAL):
        told = taint.assess(
            action, {"query": "account 4711"}, bench.ctx, context=context, words=tuple, links=tuple
        )
        assert told.risk is Risk.NONE


def test_a_host_in_the_configuration_is_the_owners(new_bench: Callable[..., Bench]) -> None:
    wanted = {"web": {"allow_private": ["wiki.intern.example"]}}
    bench = new_bench(integrations=wanted)
    assert raised(bench, web.fetch, url="https://wiki.intern.example/x?y=z") is Risk.NONE
    assert raised(bench, web.fetch, url="https://intern.example/x?y=z") is Risk.MEDIUM


def test_a_notice_goes_to_its_owner_and_never_by_itself(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(channels={"notify": ["ntfy://topic"]})
    assert raised(bench, notify.send, text="hello") is Risk.LOW
    assert raised(new_bench(), notify.send, text="hello") is Risk.HIGH, "nobody knows where it goes"


def test_a_remote_is_the_owners_where_nobody_else_could_write_its_address(
    bench: Bench, brought: Bench
) -> None:
    for one, risk in ((brought, Risk.LOW), (bench, Risk.HIGH)):
        root = one.ctx.workspace.root
        subprocess.run(["git", "init", "-q", root], check=True)
        address = "https://git.example.org/me/project.git"
        subprocess.run(["git", "-C", root, "remote", "add", "origin", address], check=True)
        pushed: dict[str, Any] = {"remote": "origin", "branch": "b", "force": False}
        assert raised(one, git.push, **pushed) is risk
        assert raised(one, git.push, **pushed | {"remote": "other"}) is Risk.HIGH
    mine = [f"push it to {address} then"]
    assert raised(bench, git.push, words=mine, **pushed) is Risk.LOW
    ctx = replace(bench.ctx, external=True)
    assert taint.destinations(built(git.push), pushed, ctx) == [Destination(address)]
