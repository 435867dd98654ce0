"""One model call: one request, one answer or one `ModelError`. Retrying, failing over and parking are the caller's,
because each failure is a row.

The caller is synchronous. Requests run on one event loop in one background thread of the process; text comes back
through a queue, so that `on_text` runs in the caller's own thread and may be slow. SDKs and their HTTP clients are
loaded at the first request that needs them and then kept; a scenario file never loads them.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.llm import catalog, failures, messages, scripted, wire
from alfred.llm.contract import (
    MAX_CALLS,
    Cancel,
    ModelAnswer,
    ModelError,
    ModelRequest,
    ModelTool,
    ProposedCall,
    Usage,
)
from alfred.trust import text

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai import messages as pai
    from pydantic_ai.models import Model

__all__ = [
    "ModelAnswer",
    "ModelError",
    "ModelRequest",
    "ModelTool",
    "ProposedCall",
    "Usage",
    "ask",
    "close",
]

DEADLINE_S = 900  # a request and its whole answer; a reservation has to outlive it
STALL_S = 300  # silence within an answer: thinking models say nothing for minutes
SHORTEST_KEY = (
    8  # characters; a placeholder like `x` is no secret, and hiding it would garble every message
)
POLL_S = 0.05  # how often the caller's thread looks whether it was cancelled

Secrets = Callable[[str], str | None]


def ask(
    request: ModelRequest,
    *,
    secrets: Secrets,
    on_text: Callable[[str], None] | None = None,
    cancelled: Cancel | None = None,
) -> ModelAnswer:
    """Asks once, and waits for the whole answer.

    Args:
        secrets: Gives the value of a secret by its name (`ANTHROPIC_API_KEY`), or None.
        on_text: Takes the pieces of the answer's text as they come, in the caller's thread.
        cancelled: When it is set the request is dropped within a tenth of a second; may be set from any thread.

    Raises:
        ModelError: Every failure of the model or its provider, and `cancelled`.
        errors.ConfigError: The model's name, its base URL or the scenario file is wrong.
        ValueError: The transcript is none (see `messages.build`).
    """
    name = catalog.parse(request.model)
    if cancelled is not None and cancelled.is_set():
        raise ModelError(
            "cancelled", "The request was cancelled before it was sent.", provider=name.provider
        )
    if name.provider == "scripted":
        return scripted.answer(request, name.model, on_text=on_text, cancelled=cancelled)
    return _thread().ask(request, name, secrets, on_text, cancelled)


def close() -> None:
    """Ends the background thread and closes its connections. The next `ask` starts anew."""
    global _running
    with _guard:
        if _running is not None and _running.pid == os.getpid():
            _running.stop()
        _running = None


@dataclass(frozen=True, slots=True)
class _Open:
    model: Model
    http: httpx2.AsyncClient
    hide: tuple[str, ...]  # secrets that it was made with


class _Thread:
    """The event loop, and the models that were opened on it: one per name, key and base URL."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._opening = threading.Lock()
        self._models: dict[tuple[str, str | None, str | None], _Open] = {}
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="alfred-models", daemon=True
        )
        self._thread.start()

    def ask(
        self,
        request: ModelRequest,
        name: catalog.Name,
        secrets: Secrets,
        on_text: Callable[[str], None] | None,
        cancelled: Cancel | None,
    ) -> ModelAnswer:
        opened = self._open(name, secrets)
        history = messages.build(request.items)
        heard: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        stream = _Stream(request, name, opened.model, history, heard if on_text else None)
        future = asyncio.run_coroutine_threadsafe(stream.run(), self._loop)
        future.add_done_callback(lambda _: heard.put(None))
        try:
            self._wait(future, heard, on_text, cancelled)
            response = future.result()
        except futures.CancelledError:
            gone = "The request was cancelled."
            raise ModelError(
                "cancelled", gone, provider=name.provider, usage=stream.usage()
            ) from None
        except Exception as raised:
            if not future.done() or future.exception() is not raised:
                raise  # the caller's own `on_text` failed
            read = failures.read(raised, provider=name.provider, hide=opened.hide)
            read.usage = stream.usage()
            raise read from raised
        finally:
            future.cancel()
        whole = (
            response.state == "complete"
            and response.finish_reason is not None
            and not stream.stopped
        )
        return messages.answer(
            response, request.tools, _usage(response, request, name, whole=whole)
        )

    def _wait(
        self,
        future: futures.Future[Any],
        heard: queue.SimpleQueue[str | None],
        on_text: Callable[[str], None] | None,
        cancelled: Cancel | None,
    ) -> None:
        while True:
            try:
                piece = heard.get(timeout=POLL_S if cancelled is not None else None)
            except queue.Empty:
                piece = ""
            if piece is None:
                return
            if cancelled is not None and cancelled.is_set():
                future.cancel()
                raise futures.CancelledError
            if piece and on_text is not None:
                on_text(text.sanitize(piece)[0])

    def _open(self, name: catalog.Name, secrets: Secrets) -> _Open:
        url = catalog.base_url(name.provider, os.environ)
        try:
            key = catalog.key(name, secrets)
        except errors.ConfigError as wrong:
            raise ModelError(
                "auth", wrong.detail, provider=name.provider, next=wrong.next
            ) from None
        if key is None and catalog.needs_key(name, os.environ):
            wanted = catalog.PROVIDERS[name.provider].keys
            raise ModelError(
                "auth",
                f"This process has no key for {name.provider}: {' or '.join(wanted)} is not set for it.",
                provider=name.provider,
                next=(
                    f"Put {wanted[0]}=… into `.env` of alfred's home (mode 0600), which every process reads: a "
                    "variable of a shell reaches only what was started in it. Then run it again."
                ),
            )
        with (
            self._opening
        ):  # the SDK is loaded in the caller's thread: other answers go on streaming meanwhile
            kept = self._models.get((str(name), key, url))
            if kept is None:
                http = wire.client(name.provider)
                model = self.call(_make(name, key, url, http).__aenter__())
                kept = self._models[(str(name), key, url)] = _Open(
                    model, http, (key,) if key and len(key) >= SHORTEST_KEY else ()
                )
            return kept

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        self.call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for opened in self._models.values():
            await opened.model.__aexit__(None, None, None)
            await opened.http.aclose()


_guard = threading.Lock()
_running: _Thread | None = None


def _thread() -> _Thread:
    """The process's own thread: a forked child starts one of its own, because threads do not survive a fork."""
    global _running
    with _guard:
        if _running is None or _running.pid != os.getpid():
            _running = _Thread()
        return _running


def _make(name: catalog.Name, key: str | None, url: str | None, http: httpx2.AsyncClient) -> Model:
    """Loads the SDK and opens the model. The Chat Completions servers of this world end a stream that was cut just
    as one that is complete, so a finish reason is required of them."""
    strict: Any = {
        "openai_chat_streaming_requires_finish_reason": True,
        # OpenAI wants the newer name of the output limit, everybody else knows the older one.
        "openai_chat_supports_max_completion_tokens": name.provider == "openai-chat"
        and url is None,
    }
    model: Model
    match name.provider:
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            served = AnthropicProvider(api_key=key or "none", base_url=url, http_client=http)
            model = AnthropicModel(name.model, provider=served)
        case "openai" | "openai-chat":
            from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
            from pydantic_ai.providers.openai import OpenAIProvider

            provider = OpenAIProvider(api_key=key or "none", base_url=url, http_client=http)
            if name.provider == "openai":
                model = OpenAIResponsesModel(name.model, provider=provider)
            else:
                model = OpenAIChatModel(name.model, provider=provider, profile=strict)
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            gemini = GoogleProvider(api_key=key or "none", base_url=url, http_client=http)
            model = GoogleModel(name.model, provider=gemini)
        case "openrouter":
            from pydantic_ai.models.openrouter import OpenRouterModel
            from pydantic_ai.providers.openrouter import OpenRouterProvider

            router = OpenRouterProvider(api_key=key or "none", http_client=http)
            model = OpenRouterModel(name.model, provider=router, profile=strict)
        case "ollama":
            from pydantic_ai.models.ollama import OllamaModel
            from pydantic_ai.providers.ollama import OllamaProvider

            local = OllamaProvider(
                base_url=url or catalog.OLLAMA_URL, api_key=key or "none", http_client=http
            )
            model = OllamaModel(name.model, provider=local, profile=strict)
        case other:
            raise AssertionError(f"catalog.parse let {other!r} through")
    return model


class _Stream:
    """One streamed request, and what has been reported of it so far."""

    def __init__(
        self,
        request: ModelRequest,
        name: catalog.Name,
        model: Model,
        history: list[pai.ModelMessage],
        heard: queue.SimpleQueue[str | None] | None,
    ):
        self._request, self._name, self._model, self._history = request, name, model, history
        self._heard = heard
        self._partial: Callable[[], pai.ModelResponse] | None = None
        self.stopped = False  # by us, after MAX_CALLS calls

    async def run(self) -> pai.ModelResponse:
        from pydantic_ai import direct
        from pydantic_ai import messages as pai

        async with direct.model_request_stream(
            self._model,
            self._history,
            model_settings=_settings(self._request, self._name),
            model_request_parameters=_parameters(self._request),
            instrument=False,
        ) as stream:
            self._partial = stream.get
            calls = 0
            async for event in stream:
                match event:
                    case pai.PartStartEvent(part=pai.TextPart(content=piece)):
                        self._hear(piece)
                    case pai.PartDeltaEvent(delta=pai.TextPartDelta(content_delta=piece)):
                        self._hear(piece)
                    case pai.PartStartEvent(part=pai.ToolCallPart()):
                        calls += 1
                if calls > MAX_CALLS:
                    self.stopped = True
                    break
            response = stream.get()
        if self.stopped:  # the last call is the one that is still being written
            return replace(
                response, parts=response.parts[:-1], state="complete", finish_reason="length"
            )
        return response

    def _hear(self, piece: str) -> None:
        if self._heard is not None:
            self._heard.put(piece)

    def usage(self) -> Usage | None:
        """What a request that failed on its way used, as far as it is known; None when no answer had begun."""
        if self._partial is None:
            return None
        return _usage(self._partial(), self._request, self._name, whole=False)


def _settings(request: ModelRequest, name: catalog.Name) -> Any:
    settings: dict[str, Any] = {
        "max_tokens": request.max_output or catalog.limits(request.model).max_output,
        "max_retries": 0,
        "timeout": STALL_S,
        "request_timeout": DEADLINE_S,
    }
    if request.purpose == "boss":
        # The prefix comes again with the next turn; that of a single question never does.
        settings["cache"] = True
    if name.provider == "openai":
        # Everything is in our transcript, theirs forgets it after a month; and diagnostics would name the
        # answer before, which is another one each turn.
        settings |= {"openai_store": False, "openai_prompt_cache_diagnostics": False}
    return settings


def _parameters(request: ModelRequest) -> Any:
    from pydantic_ai import messages as pai
    from pydantic_ai import models, tools

    offered = [
        tools.ToolDefinition(
            name=tool.name,
            description=text.sanitize(tool.description)[0],
            parameters_json_schema=text.sanitize(tool.schema)[0],
            strict=False,
        )
        for tool in sorted(request.tools, key=lambda tool: tool.name)
    ]
    system = text.sanitize(request.system)[0]
    pinned = [pai.InstructionPart(content=system)] if system.strip() else []
    return models.ModelRequestParameters(function_tools=offered, instruction_parts=pinned)


def _usage(
    response: pai.ModelResponse, request: ModelRequest, name: catalog.Name, *, whole: bool
) -> Usage:
    """The usage with its price. What a provider did not report (some never do; of an answer that was not read to its
    end nobody does) is estimated, so that caps hold all the same."""
    used = response.usage
    served = response.model_name or name.model
    if whole and not used.unmeasured_requests and (used.input_tokens or used.output_tokens):
        counted = {
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "cache_read_tokens": used.cache_read_tokens,
            "cache_write_tokens": used.cache_write_tokens,
        }
        try:
            cost: Decimal | None = response.cost().total_price
        except (LookupError, ValueError, AssertionError):
            cost = catalog.price(
                str(name), **counted
            )  # what was asked for, when what answered has no price
        return Usage(**counted, cost_usd=cost, model_served=served)
    said = sum(
        len(str(getattr(part, "content", None) or "")) + len(str(getattr(part, "args", None) or ""))
        for part in response.parts
    )
    counted = {
        "input_tokens": used.input_tokens or catalog.tokens(request.prompt_bytes()),
        "output_tokens": max(used.output_tokens, catalog.tokens(said)),
        "cache_read_tokens": used.cache_read_tokens,
        "cache_write_tokens": used.cache_write_tokens,
    }
    price = catalog.price(str(name), **counted)
    return Usage(**counted, cost_usd=price, model_served=served, estimated=True)
