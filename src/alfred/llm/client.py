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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alfred import errors, generators
from alfred.llm import catalog, failures, messages, opening, scripted, wire
from alfred.llm.contract import (
    Cancel,
    ModelAnswer,
    ModelError,
    ModelRequest,
    ModelTool,
    ProposedCall,
    Usage,
)
from alfred.llm.stream import Stream, usage_of
from alfred.trust import text

if TYPE_CHECKING:
    import httpx2
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
    if name.provider in catalog.PROGRAMS:
        from alfred.llm import cli_models

        return cli_models.answer(
            request, name, secrets=secrets, on_text=on_text, cancelled=cancelled
        )
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
        stream = Stream(request, name, opened.model, history, heard if on_text else None)
        future = asyncio.run_coroutine_threadsafe(generators.ended_with(stream.run()), self._loop)
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
            response, request.tools, usage_of(response, request, name, whole=whole)
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
                model = self.call(opening.model(name, key, url, http).__aenter__())
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
