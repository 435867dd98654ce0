"""What a provider's cache lives on: in every workflow each request begins with the bytes of the one before."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alfred import app
from alfred.llm import client, prices
from tests.flows.conftest import Alfred
from tests.peers.llm_server import LlmServer, Reply, Seen

KEY = "sk-loopback-0123456789"
MODELS = {
    "anthropic": "anthropic:claude-sonnet-5-5",
    "responses": "openai:gpt-6.1-sol",
    "chat": "openai-chat:gpt-6-luna",
}
TALK = {"anthropic": "messages", "responses": "input", "chat": "messages"}
"""The key of a request's body that has the conversation, item by item."""

HUGE = (2_000_000, 5, 0, 0)
"""What a request reports to have used, so that the run is summarised before the next one."""


@pytest.fixture
def provider(
    alfred: Alfred, allow_model_requests: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LlmServer]:
    """Speaks all three; nothing that it charges is too much."""
    with LlmServer() as server:
        for name in ("ANTHROPIC", "OPENAI"):
            monkeypatch.setenv(f"{name}_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        for cap in ("per_run_usd", "per_day_usd", "per_run_tokens"):
            alfred("config", "edit", f"budget.{cap}", "null")
        yield server
        client.close()


def part(body: bytes, key: str) -> bytes:
    """The value of a key at the top of a request's body, as it was sent."""
    text = body.decode()
    decoder = json.JSONDecoder()
    at = 1
    while True:
        name, end = decoder.raw_decode(text, at)
        start = end + len(text[end:]) - len(text[end:].lstrip(": "))
        _, stop = decoder.raw_decode(text, start)
        if name == key:
            return text[start:stop].encode()
        at = stop + len(text[stop:]) - len(text[stop:].lstrip(", "))


def asked(server: LlmServer, api: str) -> list[Seen]:
    """The turns, without single questions: those are not marked, have no tools, and come once."""
    return [seen for seen in server.seen if seen.json.get("tools")]


def assert_prefixes(api: str, turns: list[Seen], *, anew: int | None = None) -> None:
    """Each turn begins as the one before was; with number `anew` the conversation was summarised."""
    first = turns[0].json
    moving = {TALK[api]}
    for n, (before, after) in enumerate(itertools.pairwise(turns), start=1):
        assert list(after.json) == list(first)
        for key in first.keys() - moving:  # tools, system prompt, and all that a cache is kept for
            assert part(after.body, key) == part(turns[0].body, key), key
        said, more = (part(seen.body, TALK[api]) for seen in (before, after))
        if n != anew:
            assert more.startswith(said.removesuffix(b"]") + b","), f"turn {n + 1}"
    assert len({seen.body for seen in turns}) == len(turns)


def assert_marks(turns: list[Seen]) -> None:
    """Anthropic keeps what ends at a mark: the tools, the system prompt, and the whole, for the next turn to begin with."""
    mark = {"type": "ephemeral", "ttl": "5m"}
    for seen in turns:
        body = seen.json
        assert body["cache_control"] == mark, "the last block of the conversation, by itself"
        for listed in (body["tools"], body["system"]):
            assert listed[-1]["cache_control"] == mark
            assert not any("cache_control" in block for block in listed[:-1])
        assert "cache_control" not in json.dumps(body["messages"])
        assert seen.body.count(b'"cache_control"') == 3, "of four that there may be"


@pytest.mark.parametrize("api", MODELS)
def test_each_turn_of_every_workflow_begins_with_the_bytes_of_the_one_before(
    alfred: Alfred, provider: LlmServer, folder: Path, api: str
) -> None:
    provider.reply(
        Reply(
            text="I look at both.",
            calls=[("a", "files__read", '{"path": "notes.txt"}'), ("b", "files__list", "{}")],
            thinking=("Two at once.", "SIGNED") if api == "anthropic" else None,
        ),
        Reply(calls=[("c", "files__read", '{"path": "not there"}'), ("d", "no__such", "[1]")]),
        Reply(text="May I?", calls=[("e", "files__write", '{"path": "r.md", "content": "ü 🎈"}')]),
        Reply(text="This is cut he", stop={"anthropic": "max_tokens", "responses": "max_output_tokens", "chat": "length"}[api]),
        Reply(text="re.", calls=[("f", "todo__add", '{"text": "ü"}')]),
        Reply(text="Done."),
    )  # fmt: skip
    parked = alfred("run", "write a report", "--in", folder, "--model", MODELS[api], "--json").json
    assert parked["wait"] == "approval", parked
    alfred("tell", parked["id"], "and a word from me")
    alfred("approve", parked["waiting"][0]["id"])
    ended = alfred("runs", "resume", parked["id"], "--json").json
    assert ended["status"] == "completed", ended
    turns = asked(provider, api)
    assert len(turns) == 6
    assert_prefixes(api, turns)
    if api == "anthropic":
        assert_marks(turns)

    provider.forget()
    provider.reply(Reply(text="Otherwise."))
    replayed = alfred("runs", "replay", parked["id"], "--model", MODELS[api], "--json").json
    assert replayed["status"] == "completed", replayed
    again = asked(provider, api)
    assert_prefixes(api, again)
    assert [seen.body for seen in again] == [seen.body for seen in turns], "as it was recorded"

    with app.base() as base:
        no_model = {"ask", "smoke"}
        workflows = set(app.whole(base).runtime.workflows) - no_model
        assert workflows == {"agent", "replay"}, "each is asked above"


@pytest.mark.parametrize(
    ("api", "usage", "told", "usd"),
    [
        # Sonnet 5.5: 2 and 10 USD a million, a tenth for what is read from the cache, 2.5 for what is written to it
        ("anthropic", (1_000, 100, 5_000, 2_000), (8_000, 5_000, 2_000), 0.0085),
        # reported within the input; a tenth as well
        ("responses", (8_000, 100, 5_000, 0), (8_000, 5_000, 0), None),
    ],
)
def test_what_came_from_the_cache_is_seen_in_spend_and_has_its_own_price(
    alfred: Alfred,
    provider: LlmServer,
    folder: Path,
    api: str,
    usage: tuple[int, int, int, int],
    told: tuple[int, int, int],
    usd: float | None,
) -> None:
    provider.reply(Reply(text="Done.", usage=usage))
    alfred("run", "x", "--in", folder, "--model", MODELS[api], "--json")
    [run] = alfred("spend", "--json").json["runs"]
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    assert tuple(run[name] for name in names) == told
    plain = prices.price(MODELS[api], input_tokens=told[0], output_tokens=100)
    assert run["cost_usd"] == usd if usd else run["cost_usd"] < float(plain or 0)
    said = alfred("spend").out
    assert f"{told[0]:,} in, of these {told[1]:,} (62 %) read from the provider's cache" in said


@pytest.mark.parametrize("api", MODELS)
def test_after_a_summary_the_prefix_grows_anew(
    alfred: Alfred, provider: LlmServer, folder: Path, api: str
) -> None:
    look = [Reply(calls=[(f"c{n}", "files__list", "{}")]) for n in range(5)]
    look[3].usage = HUGE
    provider.reply(*look[:4], Reply(text="The summary."), look[4], Reply(text="Done."))
    ended = alfred("run", "look", "--in", folder, "--model", MODELS[api], "--json").json
    assert ended["status"] == "completed", ended
    turns = asked(provider, api)
    assert (len(turns), len(provider.seen)) == (6, 7)
    assert_prefixes(api, turns, anew=4)
    [single] = [seen for seen in provider.seen if seen not in turns]
    assert b"cache_control" not in single.body, "what is asked once is not written to the cache"
