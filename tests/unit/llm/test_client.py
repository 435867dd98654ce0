"""One request, one answer: through the real SDKs, against a provider on the loopback."""

from __future__ import annotations

import contextlib
import gc
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from types import AsyncGeneratorType
from typing import Any

import pytest

from alfred import errors
from alfred.llm import client, contract, wire
from tests.peers.llm_server import LlmServer, Reply
from tests.unit.llm.conftest import APIS, KEY, OTHER, TOOL, ask, result, user


def test_text_comes_whole_and_in_pieces(server: LlmServer, model: str) -> None:
    server.reply(Reply(text="Hello there, world. Ünïcödé 🎈."))
    heard: list[str] = []
    answer = ask(model, on_text=heard.append)
    assert answer.text == "Hello there, world. Ünïcödé 🎈."
    assert "".join(heard) == answer.text
    assert len(heard) > 2
    assert (answer.finish, answer.calls) == ("stop", ())


def test_on_text_runs_in_the_thread_of_the_caller(server: LlmServer) -> None:
    server.reply(Reply(text="Hello there, world"))
    threads: set[threading.Thread] = set()
    ask(APIS["anthropic"], on_text=lambda _: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_calls_come_with_their_ids_and_arguments(server: LlmServer, model: str) -> None:
    server.reply(Reply(calls=[("c1", "files__read", '{"path": "a"}'), ("c2", "aaa__first", "{}")]))
    answer = ask(model)
    assert [(c.id, c.tool, c.args, c.problem) for c in answer.calls] == [
        ("c1", "files__read", {"path": "a"}, None),
        ("c2", "aaa__first", {}, None),
    ]
    assert answer.finish == "calls"


def test_usage_is_what_the_provider_reported_and_priced(server: LlmServer) -> None:
    server.reply(Reply(text="ok", usage=(1_000, 100, 5_000, 2_000)))
    usage = ask(APIS["anthropic"]).usage
    assert (usage.input_tokens, usage.output_tokens) == (8_000, 100)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (5_000, 2_000)
    # Sonnet 5.5: 2 and 10 USD a million, 0.1 read from and 2.5 written to the cache.
    assert usage.cost_usd == Decimal("0.0085")
    assert usage.model_served == "claude-sonnet-5-5"
    assert (usage.estimated, usage.notional) == (False, False)


def test_an_unknown_price_is_none_and_never_zero(server: LlmServer) -> None:
    server.reply(Reply(text="ok", usage=(1_000, 100, 0, 0)))
    usage = ask("ollama:some-local-model").usage
    assert usage.input_tokens == 1_000
    assert usage.cost_usd is None


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("chat", None),
        ("responses", None),
        ("ollama", None),
        ("anthropic", (10**30, 10**30, 0, 0)),
        ("chat", (10**30, 10**30, 10**30, 0)),
    ],
)
def test_a_provider_that_reports_no_usage_is_estimated_so_that_token_caps_hold(
    server: LlmServer, api: str, said: Any
) -> None:
    server.reply(Reply(text="x" * 300, usage=said))
    usage = ask(APIS[api], [user("y" * 3_000)]).usage
    assert usage.estimated
    assert 1_000 < usage.input_tokens < 10_000
    assert 100 <= usage.output_tokens < 1_000
    assert (usage.cost_usd is None) == (api == "ollama")


def test_a_request_is_sent_exactly_once_even_when_it_fails(server: LlmServer, model: str) -> None:
    server.reply(Reply(status=529, body={"error": {"type": "overloaded_error", "message": "busy"}}))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.kind == "overloaded"
    assert len(server.seen) == 1


EFFORTS = {
    "anthropic": ("thinking", "output_config"),
    "responses": ("reasoning",),
    "chat": ("reasoning_effort",),
}


@pytest.mark.parametrize("api", list(EFFORTS))
def test_how_much_a_model_is_to_think_reaches_its_provider(server: LlmServer, api: str) -> None:
    server.reply(Reply("ok"))
    ask(APIS[api])
    ask(APIS[api], reasoning="high")
    plain, high = (request.json for request in server.seen)
    assert any(high.get(key) != plain.get(key) for key in EFFORTS[api]), high.keys()


# ---- the prompt -------------------------------------------------------------------------------------------


def _prompt(api: str, body: Any) -> tuple[bytes, list[bytes]]:
    """(everything before the conversation, the conversation's items), as bytes."""
    rest = {k: v for k, v in body.items() if k not in ("messages", "input")}
    items = body.get("messages") or body.get("input")
    return json.dumps(rest).encode(), [json.dumps(item).encode() for item in items]


@pytest.mark.parametrize("api", list(APIS))
def test_the_prefix_is_the_same_bytes_turn_after_turn(server: LlmServer, api: str) -> None:
    server.reply(
        Reply(
            text="First.",
            calls=[("call_0", "files__read", '{ "path":"a",  "x": 1.50 }')],
            thinking=("t", "sig-1"),
        ),
        Reply(
            calls=[("call_0", "files__read", '{"path": "b"}'), ("call_1", "aaa__first", "")],
            thinking=("u", "sig-2"),
        ),
        Reply(calls=[("call_0", "files__read", "not json")]),
        Reply(text="Third."),
        Reply(text="Last."),
    )
    items = [user("Read a, then b.")]
    for turn in range(5):
        # What the ledger gives back: the same values after a round through JSON, and the tools in any order.
        items = json.loads(json.dumps(items))
        tools = [TOOL, OTHER] if turn % 2 else [OTHER, TOOL]
        answer = ask(APIS[api], items, tools=tools, turn=turn)
        items.append(answer.item())
        items += [
            result(call.id, f"result of {call.id}", error=bool(call.problem))
            for call in answer.calls
        ]
        items.append({"kind": "note", "text": f"turn {turn} is over"})
    prompts = [_prompt(api, seen.json) for seen in server.seen]
    assert len(prompts) == 5
    for (head, before), (next_head, after) in itertools.pairwise(prompts):
        assert next_head == head
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_tools_are_sent_sorted_by_name_with_their_schema_untouched(server: LlmServer) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS["anthropic"])
    tools = server.seen[0].json["tools"]
    assert [tool["name"] for tool in tools] == ["aaa__first", "files__read"]
    assert tools[1]["input_schema"] == TOOL.schema


def test_thinking_and_its_signature_go_back_as_they_came(server: LlmServer) -> None:
    server.reply(
        Reply(calls=[("c1", "files__read", '{"path": "a"}')], thinking=("I think", "SIGNED")),
        Reply(text="ok"),
    )
    answer = ask(APIS["anthropic"])
    ask(
        APIS["anthropic"],
        json.loads(json.dumps([user("Read a."), answer.item(), result("c1", "A")])),
    )
    assistant = server.seen[1].json["messages"][1]["content"]
    assert assistant[0] == {"type": "thinking", "thinking": "I think", "signature": "SIGNED"}


def test_the_stable_part_is_marked_for_the_cache_and_a_single_question_is_not(
    server: LlmServer,
) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS["anthropic"])
    ask(APIS["anthropic"], purpose="compact")
    turn, single = (seen.json for seen in server.seen)
    assert turn["system"][-1]["cache_control"]["type"] == "ephemeral"
    assert turn["tools"][-1]["cache_control"]["type"] == "ephemeral"
    assert "cache_control" not in json.dumps(single)


def test_openai_is_asked_to_store_nothing(server: LlmServer) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS["responses"])
    assert server.seen[0].json["store"] is False


@pytest.mark.parametrize(
    ("api", "field"),
    [
        ("anthropic", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("chat", "max_tokens"),
        ("ollama", "max_tokens"),
    ],
)
def test_every_request_has_an_output_limit(server: LlmServer, api: str, field: str) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS[api])
    ask(APIS[api], max_output=77)
    assert [seen.json[field] > 1_000 for seen in server.seen] == [True, False]
    assert server.seen[1].json[field] == 77


def test_a_wrap_up_turn_offers_no_tools(server: LlmServer, model: str) -> None:
    server.reply(Reply(text="ok"))
    ask(model, tools=[])
    assert not server.seen[0].json.get("tools")


# ---- odd and hostile answers ------------------------------------------------------------------------------


def test_a_refusal_is_refused(server: LlmServer, model: str) -> None:
    if model.startswith("anthropic"):
        server.reply(Reply(text="I", stop="refusal"))
    else:
        server.reply(Reply(refusal="I will not do that."))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.kind == "refused"
    assert raised.value.usage is not None and raised.value.usage.output_tokens == 5


def test_a_content_filter_is_refused(server: LlmServer) -> None:
    server.reply(Reply(text="Well", stop="content_filter"))
    for api in ("chat", "responses"):
        with pytest.raises(client.ModelError) as raised:
            ask(APIS[api])
        assert raised.value.kind == "refused"


LENGTH = {
    "anthropic": "max_tokens",
    "responses": "max_output_tokens",
    "chat": "length",
    "ollama": "length",
}


@pytest.mark.parametrize("api", list(APIS))
def test_an_answer_at_the_output_limit_says_so(server: LlmServer, api: str) -> None:
    server.reply(Reply(text="Once upon a", stop=LENGTH[api]))
    answer = ask(APIS[api])
    assert (answer.finish, answer.text) == ("length", "Once upon a")


@pytest.mark.parametrize("args", ['{"path": "a', "", '{"path"', "{}"])
@pytest.mark.parametrize("api", list(APIS))
def test_a_call_that_the_output_limit_cut_is_never_executable(
    server: LlmServer, api: str, args: str
) -> None:
    server.reply(
        Reply(
            calls=[("c1", "files__read", '{"path": "a"}'), ("c2", "aaa__first", args)],
            stop=LENGTH[api],
        )
    )
    first, second = ask(APIS[api]).calls
    assert first.problem is None
    assert second.problem and "output limit" in second.problem


def test_an_empty_answer_is_empty_and_costs_what_it_cost(server: LlmServer, model: str) -> None:
    server.reply(Reply(usage=(70, 3, 0, 0)), Reply(text=" \n\t "))
    for _ in range(2):
        with pytest.raises(client.ModelError) as raised:
            ask(model)
        assert raised.value.kind == "empty"
        assert raised.value.usage is not None
    assert server.seen


def test_only_thinking_is_an_empty_answer(server: LlmServer) -> None:
    server.reply(Reply(thinking=("hm", "sig"), stop="max_tokens"))
    with pytest.raises(client.ModelError, match="used up by thinking") as raised:
        ask(APIS["anthropic"])
    assert raised.value.kind == "empty"


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5])
def test_a_stream_that_is_cut_is_a_network_failure_never_an_answer(
    server: LlmServer, model: str, cut: int
) -> None:
    server.reply(Reply(text="Hello there, world. This is long enough.", cut=cut))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.kind == "network", raised.value.detail


def test_a_cut_stream_costs_what_was_reported_until_then(server: LlmServer) -> None:
    server.reply(Reply(text="Hello there, world.", cut=4, usage=(900, 5, 0, 0)))
    with pytest.raises(client.ModelError) as raised:
        ask(APIS["anthropic"])
    usage = raised.value.usage
    assert usage is not None
    assert usage.input_tokens == 900
    assert usage.estimated and usage.output_tokens >= 2
    assert usage.cost_usd and usage.cost_usd >= Decimal("0.0018")


def test_what_was_said_before_the_stream_broke_is_paid_for(server: LlmServer, model: str) -> None:
    server.reply(Reply(text="Hello there, world. This is long enough.", cut=5))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    usage = raised.value.usage
    assert usage is not None and usage.estimated
    assert usage.input_tokens > 0 and usage.output_tokens >= 8


GARBAGE: list[bytes] = [
    b"<html>502 from a proxy</html>",
    b"data: {not json}\n\n",
    b'data: {"type": "message_start"}\n\n',
    b"event: message_start\ndata: {}\n\n",
    b'event: message_start\ndata: {"type": "message_start", "message": null}\n\n',
    b'data: {"choices": "no"}\n\n',
    b'data: {"choices": [{"delta": 7}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [null]}, "finish_reason": "stop"}]}\n\n',
    b'event: response.completed\ndata: {"type": "response.completed"}\n\n',
    b'event: response.completed\ndata: {"type": "response.completed", "response": {"output": 7}}\n\n',
    b"event: error\ndata: 7\n\n",
    b"data: []\n\n",
    b"data: null\n\n",
    b'data: "text"\n\n',
    b"\xff\xfe\x00\x01",
    b"data: \xff\xff\n\n",
    b"\x00" * 100,
    b"",
    b"data: [DONE]\n\n",
    b"data: " + b"[" * 100_000 + b"\n\n",
]


@pytest.mark.parametrize("raw", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_instead_of_an_answer_is_a_failure_that_the_caller_can_handle(
    server: LlmServer, model: str, raw: bytes
) -> None:
    server.reply(Reply(raw=raw))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.kind in ("malformed", "network", "empty"), raised.value.detail
    assert raised.value.__cause__ is None or isinstance(raised.value.__cause__, Exception)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("api", [*APIS.values(), "google:gemini-3.8-flash"])
def test_a_redirect_is_refused_and_neither_key_nor_prompt_goes_there(
    server: LlmServer, api: str, status: int
) -> None:
    with LlmServer() as elsewhere:
        elsewhere.reply(Reply(text="stolen"))
        there = elsewhere.url.replace("127.0.0.1", "localhost") + "/v1/chat/completions?key=secret"
        server.reply(Reply(status=status, body={}, headers={"location": there}))
        with pytest.raises(client.ModelError, match="a redirect to 'localhost'") as raised:
            ask(api)
        assert raised.value.kind == "refused"
        assert "secret" not in str(raised.value.problem())
        assert raised.value.next and "_BASE_URL to its address" in raised.value.next
        assert (len(server.seen), elsewhere.seen) == (1, [])


@pytest.mark.parametrize("location", [None, "", "/v1/other", "http://[", "x" * 9_000])
def test_a_redirect_to_nowhere_is_refused_as_well(server: LlmServer, location: str | None) -> None:
    headers = {} if location is None else {"location": location}
    server.reply(Reply(status=307, body={}, headers=headers))
    with pytest.raises(client.ModelError, match="a redirect to another address") as raised:
        ask(APIS["chat"])
    assert raised.value.kind == "refused"


@pytest.mark.parametrize(
    ("how", "api"),
    [("too long", api) for api in [*APIS.values(), "google:gemini-3.8-flash"]]
    + [(how, APIS["anthropic"]) for how in ("too many calls", "cancelled", "caller fails")],
)
def test_no_request_leaves_a_stream_for_the_collector_of_garbage(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, how: str, api: str
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 200_000)
    monkeypatch.setattr(contract, "MAX_CALLS", 3)
    calls = [(f"c{number}", "files__read", "{}") for number in range(10)]
    server.reply(Reply(calls=calls) if how == "too many calls" else Reply(text="Hello. " * 9_000))
    stop = threading.Event()

    def hear(_: str) -> None:
        stop.set()
        if how == "caller fails":
            raise KeyError

    def unread() -> set[int]:
        every = [one for one in gc.get_objects() if isinstance(one, AsyncGeneratorType)]
        return {id(one) for one in every if one.ag_frame is not None}

    gc.disable()
    try:
        before = unread()
        with contextlib.suppress(client.ModelError, KeyError):
            ask(api, on_text=hear, cancelled=stop if how == "cancelled" else None)
        until = time.monotonic() + 20
        while unread() - before and time.monotonic() < until:  # they end in the thread of requests
            time.sleep(0.02)
        assert not unread() - before
    finally:
        gc.enable()


@pytest.mark.parametrize("api", [*APIS.values(), "google:gemini-3.8-flash"])
def test_an_answer_that_does_not_end_is_cut_off_as_malformed(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 200_000)
    server.reply(Reply(text="Hello, there. " * 5_000))
    with pytest.raises(client.ModelError, match="sends more than 0 MB in one answer") as raised:
        ask(api)
    assert raised.value.kind == "malformed"
    assert raised.value.usage is not None and raised.value.usage.output_tokens > 10


@pytest.mark.parametrize(
    ("begun", "again"),
    [(b"", b": still here\n\n" * 1_000), (b"data: {", b"x" * 10_000), (b"", b"\x00" * 10_000)],
    ids=["comments", "one line", "zeros"],
)
def test_what_is_no_event_counts_too_and_the_connection_is_given_up(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, model: str, begun: bytes, again: bytes
) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 2_000_000)
    reply = Reply(raw=begun, flood=again)
    server.reply(reply)
    with pytest.raises(client.ModelError, match="sends more than 2 MB in one answer") as raised:
        ask(model)
    assert raised.value.kind == "malformed"
    assert reply.hung_up.wait(30)


def test_an_error_that_does_not_end_is_cut_off_too(server: LlmServer, model: str) -> None:
    server.reply(Reply(status=500, body=b"x" * 17_000_000))
    with pytest.raises(client.ModelError, match="sends more than 16 MB in one answer") as raised:
        ask(model)
    assert raised.value.kind == "malformed"


def test_an_answer_is_asked_for_plain_and_a_compressed_one_is_not_unpacked(
    server: LlmServer, model: str
) -> None:
    server.reply(Reply(raw=gzip.compress(b"\0" * 1_000_000), headers={"content-encoding": "gzip"}))
    with pytest.raises(client.ModelError, match="answers compressed") as raised:
        ask(model)
    assert raised.value.kind == "malformed"
    told = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert told["accept-encoding"] == "identity"


def test_of_too_many_calls_the_first_are_read_and_the_answer_says_that_it_was_cut(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(contract, "MAX_CALLS", 64)
    calls = [(f"c{n}", "files__read", json.dumps({"path": str(n)})) for n in range(100)]
    server.reply(Reply(calls=calls), Reply(text="ok"))
    answer = ask(model)
    assert [call.args for call in answer.calls] == [{"path": str(n)} for n in range(64)]
    assert not any(call.problem for call in answer.calls)
    assert answer.finish == "length"
    assert answer.usage.estimated
    assert answer.usage.output_tokens > 100
    if not model.startswith("ollama"):
        assert answer.usage.cost_usd
    results = [result(call.id, "r") for call in answer.calls]
    assert ask(model, [user("Go."), answer.item(), *results]).text == "ok"


def test_ten_thousand_malformed_calls_come_back_with_a_problem_each(server: LlmServer) -> None:
    server.reply(Reply(calls=[("same", f"no_tool_{n % 7}", "{") for n in range(10_000)]))
    answer = ask(APIS["anthropic"])
    assert len({call.id for call in answer.calls}) == 512
    assert all(call.problem for call in answer.calls)


def test_an_answer_with_malformed_calls_can_be_sent_back(server: LlmServer, model: str) -> None:
    server.reply(
        Reply(
            text="a\x00b",
            calls=[
                ("same", "files__read", '{"path": "a"}'),
                ("same", "files__read", '{"path": "b"}'),
                ("bad id !", "no such tool! <script>", '{"x": "\\ud800"}'),
                ("c4", "files__read", "[1, 2"),
                ("c5", "files__read", "[1, 2]"),
                ("c6", "x" * 500, '{"a": 1, "a": 2}'),
            ],
        ),
        Reply(text="ok"),
    )
    answer = ask(model)
    assert answer.text == "ab"
    assert [bool(call.problem) for call in answer.calls] == [False, True, True, True, True, True]
    results = [
        result(call.id, call.problem or "fine", error=bool(call.problem)) for call in answer.calls
    ]
    assert ask(model, [user("Go."), answer.item(), *results]).text == "ok"
    sent = server.seen[1].json
    if "messages" in sent and model.startswith("anthropic"):
        uses, returns = sent["messages"][1]["content"], sent["messages"][2]["content"]
        ids = [part["id"] for part in uses if part["type"] == "tool_use"]
        assert ids == [part["tool_use_id"] for part in returns]
    elif "messages" in sent:
        ids = [call["id"] for call in sent["messages"][2]["tool_calls"]]
        assert ids == [message["tool_call_id"] for message in sent["messages"][3:]]
    else:
        ids = [item["call_id"] for item in sent["input"] if item.get("type") == "function_call"]
        assert ids == [
            item["call_id"] for item in sent["input"] if item.get("type") == "function_call_output"
        ]
    assert len(ids) == len(set(ids)) == 6
    assert all(len(i) <= 64 and i.replace("-", "").replace("_", "").isalnum() for i in ids)


def _strict(_: str) -> None:
    raise AssertionError("a number that JSON does not have was sent")


@pytest.mark.parametrize("native", [True, False], ids=["as it came", "as text and calls"])
@pytest.mark.parametrize("args", ['{"path": NaN}', '{"path": [-Infinity]}', '{"path": 1e999}'])
@pytest.mark.parametrize("api", [*APIS, "gemini"])
def test_a_number_that_json_does_not_have_is_refused_and_the_run_goes_on(
    server: LlmServer, api: str, args: str, native: bool
) -> None:
    model = APIS.get(api) or GEMINI
    server.reply(Reply(calls=[("c1", "files__read", args)]), Reply(text="ok"))
    answer = ask(model)
    assert [(call.args, bool(call.problem)) for call in answer.calls] == [(None, True)]
    item = json.loads(json.dumps(answer.item(), allow_nan=False))
    if not native:
        item["native"] = None
    again = [user("Read a."), item, result("c1", str(answer.calls[0].problem), error=True)]
    assert ask(model, again).text == "ok"
    sent = json.loads(server.seen[1].body, parse_constant=_strict)
    assert "unreadable_arguments" in json.dumps(sent)


def test_surrogates_in_an_answer_reach_nobody(server: LlmServer, model: str) -> None:
    server.reply(
        Reply(text="ok \ud800 and \udfff", calls=[("c1", "files__read", '{"path": "\\udc00x"}')])
    )
    heard: list[str] = []
    answer = ask(model, on_text=heard.append)
    for shown in (answer.text, "".join(heard), json.dumps(answer.item(), ensure_ascii=False)):
        shown.encode()
    assert answer.calls[0].args == {"path": "x"}


def test_nul_and_surrogates_in_a_prompt_are_no_obstacle(server: LlmServer, model: str) -> None:
    server.reply(Reply(text="ok"))
    assert ask(model, [user("a\x00b\ud800c")], system="s\x00\ud800").text == "ok"
    assert "abc" in server.seen[0].body.decode()


# ---- cancelling -------------------------------------------------------------------------------------------


def test_a_cancelled_request_ends_although_the_provider_is_silent(
    server: LlmServer, model: str
) -> None:
    reply = Reply(text="Hello there, world", gate=threading.Event(), usage=(44, 5, 0, 0))
    server.reply(reply)
    cancelled = threading.Event()
    threading.Thread(target=lambda: (reply.started.wait(), cancelled.set())).start()
    with pytest.raises(client.ModelError) as raised:
        ask(model, cancelled=cancelled)
    assert raised.value.kind == "cancelled"
    assert not reply.gate.is_set()  # type: ignore[union-attr]


def test_a_request_that_was_cancelled_before_is_not_sent(server: LlmServer) -> None:
    server.reply(Reply(text="ok"))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(client.ModelError) as raised:
        ask(APIS["anthropic"], cancelled=cancelled)
    assert raised.value.kind == "cancelled"
    assert server.seen == []


def test_a_cancelled_request_leaves_the_others_alone(server: LlmServer) -> None:
    stuck = Reply(text="Hello there, world", gate=threading.Event())
    server.reply(stuck, Reply(text="fine"))
    cancelled = threading.Event()
    ended: list[BaseException] = []

    def first() -> None:
        try:
            ask(APIS["anthropic"], cancelled=cancelled)
        except client.ModelError as error:
            ended.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    stuck.started.wait()
    assert ask(APIS["chat"]).text == "fine"
    cancelled.set()
    thread.join()
    assert [error.kind for error in ended] == ["cancelled"]  # type: ignore[attr-defined]
    assert ask(APIS["anthropic"]).text == "fine"


def test_an_exception_of_on_text_is_the_callers_and_drops_the_request(server: LlmServer) -> None:
    server.reply(Reply(text="Hello there, world"), Reply(text="fine"))

    def broken(_: str) -> None:
        raise LookupError("no such row")

    with pytest.raises(LookupError, match="no such row"):
        ask(APIS["anthropic"], on_text=broken)
    assert ask(APIS["anthropic"]).text == "fine"


def test_many_threads_share_one_connection_thread(server: LlmServer) -> None:
    server.reply(Reply(text="fine"))
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(APIS["chat"]).text)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["fine"] * 16
    assert sum(thread.name == "alfred-models" for thread in threading.enumerate()) == 1


def test_a_forked_child_asks_with_a_thread_of_its_own(server: LlmServer) -> None:
    server.reply(Reply(text="fine"))
    ask(APIS["chat"])
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # a child that waits for the parent's thread waits for ever
        try:
            os._exit(0 if ask(APIS["chat"]).text == "fine" else 3)
        except BaseException:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(APIS["chat"]).text == "fine"


# ---- keys -------------------------------------------------------------------------------------------------


def test_the_key_goes_to_the_provider_and_a_new_key_is_used_at_once(server: LlmServer) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS["anthropic"], key="one")
    ask(APIS["anthropic"], key="two")
    sent = [
        {k.lower(): v for k, v in seen.headers.items()}["authorization"] for seen in server.seen
    ]
    assert sent == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    "name",
    [
        "anthropic:claude-sonnet-5-5",
        "openai:gpt-6.1-sol",
        "google:gemini-3.8-flash",
        "openrouter:x/y",
    ],
)
def test_a_missing_key_is_an_auth_failure_that_names_the_variable(
    allow_model_requests: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(client.ModelError, match="_API_KEY") as raised:
        ask(name, key=None)
    assert raised.value.kind == "auth"
    client.close()


@pytest.mark.parametrize("name", ["anthropic:claude-sonnet-5-5", "openai:gpt-6.1-sol", "google:x"])
def test_a_moved_endpoint_is_not_asked_with_a_key_that_is_none(
    server: LlmServer, name: str
) -> None:
    server.reply(Reply(text="ok"))
    with pytest.raises(client.ModelError, match="This process has no key") as raised:
        ask(name, key=None)
    assert (raised.value.kind, server.seen) == ("auth", [])
    assert raised.value.next and "`.env` of alfred's home" in raised.value.next


@pytest.mark.parametrize("around", [" {}", "{}\n", "{}\r\n", "\t{} "])
def test_white_space_around_a_key_is_not_sent(server: LlmServer, around: str) -> None:
    server.reply(Reply(text="ok"))
    ask(APIS["anthropic"], key=around.format(KEY))
    assert {k.lower(): v for k, v in server.seen[0].headers.items()}["authorization"] == (
        f"Bearer {KEY}"
    )


@pytest.mark.parametrize("key", [" \n", "sk-one\nsk-two", "sk-one two", "sk-ünïcode"])
def test_a_key_that_no_header_can_carry_is_an_auth_failure_and_not_repeated(
    server: LlmServer, key: str
) -> None:
    with pytest.raises(client.ModelError, match="ANTHROPIC_API_KEY") as raised:
        ask(APIS["anthropic"], key=key)
    assert (raised.value.kind, server.seen) == ("auth", [])
    assert not key.strip() or key not in str(raised.value.problem())


def test_a_key_of_the_environment_is_never_used_behind_the_callers_back(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-from-the-environment")
    for name in ("OPENAI_API_KEY", "OLLAMA_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    server.reply(Reply(text="ok"))
    for model in (APIS["chat"], APIS["ollama"]):
        ask(model, key=None)
    assert len(server.seen) == 2
    for model in (APIS["anthropic"], APIS["responses"], GEMINI):
        with pytest.raises(client.ModelError):
            ask(model, key=None)
        ask(model, key="x")
    assert "sk-from-the-environment" not in str([seen.headers for seen in server.seen])


def test_a_provider_that_quotes_the_key_does_not_get_it_into_the_error(
    server: LlmServer, model: str
) -> None:
    body = {
        "error": {"type": "authentication_error", "message": f"Incorrect API key provided: {KEY}."}
    }
    server.reply(Reply(status=401, body=body))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.kind == "auth"
    assert KEY not in json.dumps(raised.value.problem()) + str(raised.value)
    assert "[hidden]" in raised.value.detail


def test_a_base_url_that_is_none_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("ftp://x", "not a url", "http://", "http://user:secret@host/"):
        monkeypatch.setenv("ANTHROPIC_BASE_URL", wrong)
        with pytest.raises(errors.ConfigError, match="ANTHROPIC_BASE_URL") as raised:
            ask(APIS["anthropic"])
        assert "secret" not in raised.value.detail
    client.close()


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    heavy = [
        "pydantic_ai",
        "anthropic",
        "openai",
        "httpx2",
        "genai_prices",
        "ruamel",
        "asyncio.base_events.nothing",
    ]
    code = (
        "import sys; from alfred.llm import auto, client, catalog, scripted, contract, messages, failures, prices, wire; "
        "catalog.parse('anthropic:x'); client.close(); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# ---- Gemini and OpenRouter --------------------------------------------------------------------------------

GEMINI = "google:gemini-3.8-flash"


def test_gemini_speaks_and_its_calls_go_back(server: LlmServer) -> None:
    server.reply(
        Reply(text="Reading.", calls=[("c1", "files__read", '{"path": "a"}')]), Reply(text="ok")
    )
    heard: list[str] = []
    answer = ask(GEMINI, on_text=heard.append)
    assert ("".join(heard), answer.finish) == ("Reading.", "calls")
    assert [(call.id, call.args, call.problem) for call in answer.calls] == [
        ("c1", {"path": "a"}, None)
    ]
    items = json.loads(json.dumps([user("Read a."), answer.item(), result("c1", "A")]))
    assert ask(GEMINI, items).text == "ok"
    before, after = (seen.json["contents"] for seen in server.seen)
    assert after[: len(before)] == before
    assert [next(iter(part)) for part in after[1]["parts"]] == ["text", "functionCall"]
    assert after[2]["parts"][0]["functionResponse"]["id"] == "c1"


def test_what_is_asked_for_is_priced_when_what_answered_has_no_price(server: LlmServer) -> None:
    server.reply(Reply(text="ok", usage=(1_000_000, 0, 0, 0)))
    usage = ask(GEMINI).usage
    assert usage.model_served == "gemini-served"
    assert usage.cost_usd == Decimal("0.75")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(text="x", refusal="no"), "refused"),
        (Reply(text="Hello there", cut=1), "network"),
        (Reply(text="Hello there", cut=2), "network"),
        (Reply(text=""), "empty"),
        (Reply(text="x", stop="MALFORMED_FUNCTION_CALL"), None),
        (Reply(stop="MALFORMED_FUNCTION_CALL"), "malformed"),
        (
            Reply(
                status=400,
                body={"error": {"status": "INVALID_ARGUMENT", "code": 400, "message": "no"}},
            ),
            "refused",
        ),
        (
            Reply(
                status=400,
                body={
                    "error": {
                        "status": "INVALID_ARGUMENT",
                        "code": 400,
                        "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                    }
                },
            ),
            "context",
        ),
        (
            Reply(
                status=403,
                body={"error": {"status": "PERMISSION_DENIED", "code": 403, "message": "no"}},
            ),
            "auth",
        ),
        (
            Reply(
                status=429,
                body={"error": {"status": "RESOURCE_EXHAUSTED", "code": 429, "message": "x"}},
            ),
            "rate_limit",
        ),
        (
            Reply(
                status=503, body={"error": {"status": "UNAVAILABLE", "code": 503, "message": "x"}}
            ),
            "overloaded",
        ),
        (Reply(raw=b"garbage"), "network"),
        (Reply(raw=b"data: {broken\n\n"), "network"),
    ],
)
def test_geminis_failures_are_of_their_kind(
    server: LlmServer, reply: Reply, kind: str | None
) -> None:
    server.reply(reply)
    if kind is None:
        assert ask(GEMINI).text == "x"
        return
    with pytest.raises(client.ModelError) as raised:
        ask(GEMINI)
    assert raised.value.kind == kind, raised.value.detail
    assert len(server.seen) == 1


def test_openrouter_is_asked_in_its_own_way(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic_ai.providers.openrouter import OpenRouterProvider

    monkeypatch.setattr(OpenRouterProvider, "base_url", property(lambda _: server.url + "/api/v1"))
    server.reply(
        Reply(text="Reading.", calls=[("c1", "files__read", '{"path": "a"}')]),
        Reply(text="x", cut=2),
    )
    answer = ask("openrouter:anthropic/claude-sonnet-5.5")
    assert (answer.text, answer.calls[0].args) == ("Reading.", {"path": "a"})
    assert answer.usage.cost_usd == Decimal("0.000074")
    with pytest.raises(client.ModelError) as raised:
        ask("openrouter:anthropic/claude-sonnet-5.5")
    assert raised.value.kind == "network"
    assert server.seen[0].path == "/api/v1/chat/completions"
    client.close()  # this one's address is of this test alone
