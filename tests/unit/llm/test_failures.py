"""What providers answer when they do not answer, through the real SDKs: which kind of failure each one is."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from alfred.llm import client, failures
from tests.peers.llm_server import LlmServer, Reply
from tests.unit.llm.conftest import APIS, ask

OPENAI = ("responses", "chat", "ollama")
ALL = ("anthropic", *OPENAI)


def _a(kind: str, message: str) -> Any:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def _o(code: str | None, message: str, kind: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# (APIs, status, body, kind)
CASES: list[tuple[tuple[str, ...], int, Any, str]] = [
    (("anthropic",), 400, _a("invalid_request_error", "Your credit balance is too low to access the API."), "budget"),
    (("anthropic",), 400, _a("invalid_request_error", "You have reached your specified API usage limits."), "budget"),
    (("anthropic",), 400, _a("invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"), "context"),
    (("anthropic",), 400, _a("invalid_request_error", "messages.1: tool_use ids must be unique"), "refused"),
    (("anthropic",), 401, _a("authentication_error", "invalid x-api-key"), "auth"),
    (("anthropic",), 402, _a("billing_error", "Check your payment."), "budget"),
    (("anthropic",), 403, _a("permission_error", "Your key may not use this."), "auth"),
    (("anthropic",), 404, _a("not_found_error", "model: claude-nothing"), "refused"),
    (("anthropic",), 413, _a("request_too_large", "Request exceeds the maximum size"), "context"),
    (("anthropic",), 429, _a("rate_limit_error", "This request would exceed your rate limit"), "rate_limit"),
    (("anthropic",), 500, _a("api_error", "Internal server error"), "overloaded"),
    (("anthropic",), 529, _a("overloaded_error", "Overloaded"), "overloaded"),
    (OPENAI, 400, _o("context_length_exceeded", "This model's maximum context length is 8192 tokens."), "context"),
    (OPENAI, 400, _o(None, "Input tokens exceed the configured limit"), "refused"),
    (OPENAI, 400, _o("invalid_prompt", "Your prompt was flagged."), "refused"),
    (OPENAI, 401, _o("invalid_api_key", "Incorrect API key provided"), "auth"),
    (OPENAI, 403, _o("unsupported_country", "Country not supported"), "auth"),
    (OPENAI, 404, _o("model_not_found", "The model `x` does not exist"), "refused"),
    (OPENAI, 429, _o("rate_limit_exceeded", "Rate limit reached for requests"), "rate_limit"),
    (OPENAI, 429, _o("insufficient_quota", "You exceeded your current quota", "insufficient_quota"), "budget"),
    (OPENAI, 429, _o("billing_not_active", "Your account is not active"), "budget"),
    (OPENAI, 429, _o("billing_hard_limit_reached", "Hard limit"), "budget"),
    (OPENAI, 402, _o(None, "Insufficient credits"), "budget"),
    (OPENAI, 503, _o(None, "The engine is currently overloaded"), "overloaded"),
    # llama.cpp, vLLM, Ollama, gateways
    (OPENAI, 400, {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}}, "context"),
    (OPENAI, 400, {"object": "error", "message": "This model's maximum context length is 4096", "code": 400}, "context"),
    (OPENAI, 404, {"error": {"message": "model 'x' not found, try pulling it first"}}, "refused"),
    (OPENAI, 500, {"error": {"message": "the request exceeds the available context size"}}, "context"),
    (OPENAI, 500, {"error": "model runner has unexpectedly stopped"}, "overloaded"),
    # every API, without a body that says anything
    *((ALL, status, b"", kind) for status, kind in {
        400: "refused", 401: "auth", 402: "budget", 403: "auth", 404: "refused", 405: "refused", 408: "network",
        409: "network", 413: "context", 418: "refused", 422: "refused", 425: "network", 429: "rate_limit",
        500: "overloaded", 502: "overloaded", 503: "overloaded", 504: "overloaded", 520: "overloaded", 529: "overloaded",
    }.items()),
    (ALL, 502, b"<html><body>Bad gateway</body></html>", "overloaded"),
    (ALL, 401, b"\xff\xfe\x00", "auth"),
    (ALL, 400, [], "refused"),
    (ALL, 400, {"error": None}, "refused"),
    (ALL, 400, {"error": {"message": 7, "type": []}}, "refused"),
]  # fmt: skip
EACH = [(api, *case[1:]) for case in CASES for api in case[0]]


@pytest.mark.parametrize(
    ("api", "status", "body", "kind"), EACH, ids=[f"{c[0]}-{c[1]}-{n}" for n, c in enumerate(EACH)]
)
def test_each_failure_is_of_its_kind_and_says_what_the_provider_said(
    server: LlmServer, api: str, status: int, body: Any, kind: str
) -> None:
    server.reply(Reply(status=status, body=body))
    with pytest.raises(client.ModelError) as raised:
        ask(APIS[api])
    error = raised.value
    assert error.kind == kind, error.detail
    assert str(status) in error.detail and "status_code" not in error.detail
    assert error.provider == APIS[api].partition(":")[0]
    assert error.usage is None  # nothing had begun
    message = body.get("error", {}) if isinstance(body, dict) else {}
    message = message.get("message") if isinstance(message, dict) else message
    if isinstance(message, str):
        assert message in error.detail
    assert len(server.seen) == 1
    json.dumps(error.problem())


@pytest.mark.parametrize(
    ("quota", "kind"),
    [("RequestsPerMinutePerProject", "rate_limit"), ("RequestsPerDayPerProject", "budget")],
)
def test_geminis_minute_is_a_rate_limit_and_its_day_a_budget(quota: str, kind: str) -> None:
    from pydantic_ai import _model_errors, exceptions

    message = "You exceeded your current quota, please check your plan and billing details."
    violation = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": quota}],
    }
    body = {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": message,
            "details": [violation],
        }
    }
    category = _model_errors.google_status_category("RESOURCE_EXHAUSTED", message, body)
    raised = exceptions.ModelHTTPError.for_category(
        category, status_code=429, model_name="gemini", body=body
    )
    assert failures.read(raised, provider="google", hide=()).kind == kind


@pytest.mark.parametrize("given", ["retry-after", "Retry-After"])
def test_retry_after_is_the_providers_wish(server: LlmServer, model: str, given: str) -> None:
    server.reply(Reply(status=429, body=_a("rate_limit_error", "slow down"), headers={given: "17"}))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert (raised.value.kind, raised.value.retry_after_s) == ("rate_limit", 17)


@pytest.mark.parametrize("wish", ["-5", "NaN", "inf", "soon", "", "1e999"])
def test_a_retry_after_that_is_no_time_is_none(server: LlmServer, model: str, wish: str) -> None:
    server.reply(Reply(status=429, body=_a("rate_limit_error", "x"), headers={"retry-after": wish}))
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert raised.value.retry_after_s is None or 0 <= raised.value.retry_after_s < 10**6


def test_an_error_inside_an_open_stream_is_of_its_kind(server: LlmServer) -> None:
    told = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server.reply(Reply(raw=f"event: error\ndata: {json.dumps(told)}\n\n".encode()))
    with pytest.raises(client.ModelError) as raised:
        ask(APIS["anthropic"])
    assert raised.value.kind == "overloaded"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("rate_limit_exceeded", "rate_limit"), ("insufficient_quota", "budget"), ("server_error", "overloaded"),
     ("context_length_exceeded", "context"), (None, "network")],
)  # fmt: skip
def test_an_error_inside_an_open_chat_stream_is_of_its_kind(
    server: LlmServer, code: str | None, kind: str
) -> None:
    server.reply(Reply(raw=f"data: {json.dumps(_o(code, 'it broke', 'error'))}\n\n".encode()))
    with pytest.raises(client.ModelError, match="it broke") as raised:
        ask(APIS["chat"])
    assert raised.value.kind == kind


def test_a_provider_that_is_not_there_is_a_network_failure(
    allow_model_requests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed again: nobody listens
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OLLAMA_BASE_URL", f"http://127.0.0.1:{port}/v1")
    for model in APIS.values():
        with pytest.raises(client.ModelError) as raised:
            ask(model)
        assert raised.value.kind == "network"
    client.close()


def test_a_long_error_is_cut_and_has_no_control_characters(server: LlmServer, model: str) -> None:
    server.reply(
        Reply(status=500, body={"error": {"message": "x\x00\n" * 100_000, "type": "api_error"}})
    )
    with pytest.raises(client.ModelError) as raised:
        ask(model)
    assert len(raised.value.detail) < 1_000
    assert "\x00" not in raised.value.detail and "\n" not in raised.value.detail
