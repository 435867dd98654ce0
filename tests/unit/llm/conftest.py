"""A provider on the loopback, and the client's thread ended after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alfred.llm import client
from tests.peers.llm_server import LlmServer

# One model for each way of speaking that the server knows.
APIS = {
    "anthropic": "anthropic:claude-sonnet-5-5",
    "responses": "openai:gpt-6.1-sol",
    "chat": "openai-chat:gpt-6-luna",
    "ollama": "ollama:qwen3:8b",
}

KEY = "sk-the-real-key-0123456789"

TOOL = client.ModelTool(
    "files__read",
    "Reads a file.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
OTHER = client.ModelTool("aaa__first", "Comes first.", {"type": "object", "properties": {}})


@pytest.fixture(scope="module")
def _started() -> Iterator[LlmServer]:
    with LlmServer() as started:
        yield started
        client.close()


@pytest.fixture
def server(
    _started: LlmServer, allow_model_requests: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LlmServer]:
    """The provider, as new; the SDKs are pointed at it. Connections stay open from test to test, as in a worker."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", _started.url)
    monkeypatch.setenv("OPENAI_BASE_URL", _started.url + "/v1")
    monkeypatch.setenv("OLLAMA_BASE_URL", _started.url + "/v1")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", _started.url)
    yield _started
    _started.forget()


@pytest.fixture(params=list(APIS))
def model(request: pytest.FixtureRequest) -> str:
    """A model of each API in turn."""
    return APIS[request.param]


def user(text: str) -> dict[str, Any]:
    return {"kind": "user", "text": text}


def result(
    call_id: str, text: str, *, error: bool = False, tool: str = "files__read"
) -> dict[str, Any]:
    return {"kind": "result", "call_id": call_id, "tool": tool, "text": text, "error": error}


def ask(
    model: str,
    items: list[dict[str, Any]] | None = None,
    *,
    on_text: Callable[[str], None] | None = None,
    cancelled: Any = None,
    key: str | None = KEY,
    **more: Any,
) -> client.ModelAnswer:
    told: dict[str, Any] = {"system": "You are careful.", "tools": [TOOL, OTHER]} | more
    request = client.ModelRequest(model=model, items=items or [user("Read a.")], **told)
    return client.ask(request, secrets=lambda _: key, on_text=on_text, cancelled=cancelled)
