"""A provider on the loopback: Anthropic Messages, OpenAI Responses and Chat Completions, Gemini (all as SSE), Ollama.

The real SDKs talk to it, so what is tested is the program together with what it will really use. A test enqueues
`Reply`s; each request takes the next one (the last is repeated), and every request is kept in `seen`, byte for byte.

    with LlmServer() as server:
        server.reply(Reply(text="Hi", calls=[("c1", "files__read", '{"path": "a"}')]))
        ... ANTHROPIC_BASE_URL=server.url, OPENAI_BASE_URL=server.url + "/v1", OLLAMA_BASE_URL=server.url + "/v1" ...
        server.seen[0].body, server.seen[0].json
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Events = Iterable[dict[str, Any]]


@dataclass
class Reply:
    """What one request is answered.

    Args:
        text: Said in pieces of 8 characters.
        calls: (id, tool, arguments as text).
        thinking: (text, signature) of a thinking block before everything else (Anthropic).
        stop: The provider's own stop reason; None for the one that fits.
        usage: (input, output, cache read, cache write) tokens; None reports nothing.
        status: An HTTP status with `body` instead of an answer.
        body: The JSON (or bytes) of an error.
        headers: More headers.
        cut: Close the connection after so many events.
        raw: Bytes sent in place of the events.
        flood: Bytes sent after that again and again, until the other side hangs up; `hung_up` is set then.
        gate: Waited for after the first half of the events; `started` is set before.
    """

    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    thinking: tuple[str, str] | None = None
    stop: str | None = None
    refusal: str | None = None
    usage: tuple[int, int, int, int] | None = (12, 5, 0, 0)
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    raw: bytes | None = None
    flood: bytes | None = None
    hung_up: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None
    started: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LlmServer:
    """The server; a context manager. `models` are what Ollama lists, `shown` what it says of each; with `moved_to`
    every GET is a redirect to that root."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.models: list[dict[str, Any]] = []
        self.shown: dict[str, dict[str, Any]] = {}
        self.moved_to: str | None = None
        self._replies: list[Reply] = []
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def reply(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    def forget(self) -> None:
        """As new, for the next test: nothing seen, nothing to say, nobody left waiting."""
        for reply in self._replies:
            if reply.gate:
                reply.gate.set()
        self.seen, self.models, self.shown, self._replies = [], [], {}, []
        self.moved_to = None

    def next(self) -> Reply:
        with self._lock:
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def __enter__(self) -> LlmServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many threads ask at once


def _handler(server: LlmServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            server.seen.append(Seen("GET", self.path, dict(self.headers), b""))
            if server.moved_to:
                return self._json(302, {}, {"location": server.moved_to + self.path})
            return (
                self._json(200, {"models": server.models})
                if self.path == "/api/tags"
                else self._json(404, {})
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            server.seen.append(Seen("POST", self.path, dict(self.headers), body))
            asked = json.loads(body)
            path = self.path.split("?")[0]
            if path == "/api/show":
                shown = server.shown.get(asked["model"])
                return (
                    self._json(200, shown)
                    if shown is not None
                    else self._json(404, {"error": "not found"})
                )
            speak = next((speak for end, speak in _SPEAK.items() if path.endswith(end)), None)
            if speak is None:
                return self._json(404, {"error": {"message": f"no route {path}"}})
            reply = server.next()
            if reply.status != 200:
                return self._json(reply.status, reply.body, reply.headers)
            return self._events(reply, speak(asked, reply))

        def _json(self, status: int, value: Any, more: dict[str, str] | None = None) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in ({"content-type": "application/json"} | (more or {})).items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the other side has read enough

        def _flood(self, reply: Reply, again: bytes) -> None:
            try:
                self.wfile.write(reply.raw or b"")
                for _ in range(1_000_000):
                    self.wfile.write(again)
            except OSError:
                reply.hung_up.set()

        def _events(self, reply: Reply, events: Events) -> None:
            self.close_connection = True
            self.send_response(200)
            for name, text in ({"content-type": "text/event-stream"} | reply.headers).items():
                self.send_header(name, text)
            self.send_header("connection", "close")
            self.end_headers()
            if reply.flood is not None:
                self._flood(reply, reply.flood)
                return
            if reply.raw is not None:
                self.wfile.write(reply.raw)
                return
            told = [_line(event) for event in events]
            half = len(told) // 2 if reply.gate else 0
            try:
                self.wfile.write(b"".join(told[:half][: reply.cut]))
                if reply.gate:
                    reply.started.set()
                    reply.gate.wait()
                self.wfile.write(b"".join(told[: reply.cut][half:]))
            except OSError:
                pass  # the other side hung up, which is what a cancelled request does

    return Handler


def _line(event: dict[str, Any]) -> bytes:
    name = f"event: {event['type']}\n" if "type" in event else ""
    data = event["done"] if "done" in event else json.dumps(event)
    return f"{name}data: {data}\n\n".encode()


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 8):
        yield text[start : start + 8]


def _anthropic(asked: dict[str, Any], reply: Reply) -> Events:
    used: dict[str, int] = {"input_tokens": 0, "output_tokens": 0}
    if reply.usage:
        used = {
            "input_tokens": reply.usage[0],
            "output_tokens": 1,
            "cache_read_input_tokens": reply.usage[2],
            "cache_creation_input_tokens": reply.usage[3],
        }
    message = {
        **{
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked["model"],
            "content": [],
        },
        **{"stop_reason": None, "stop_sequence": None, "usage": used},
    }
    yield {"type": "message_start", "message": message}
    index = 0

    def block(start: dict[str, Any], deltas: Events) -> Events:
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}

    if reply.thinking:
        thought, signature = reply.thinking
        deltas = [
            {"type": "thinking_delta", "thinking": thought},
            {"type": "signature_delta", "signature": signature},
        ]
        yield from block({"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index += 1
    if reply.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(reply.text)]
        yield from block({"type": "text", "text": ""}, deltas)
        index += 1
    for call_id, tool, args in reply.calls:
        deltas = [{"type": "input_json_delta", "partial_json": args}]
        yield from block({"type": "tool_use", "id": call_id, "name": tool, "input": {}}, deltas)
        index += 1
    stop = reply.stop or ("tool_use" if reply.calls else "end_turn")
    total = {**used, "output_tokens": reply.usage[1]} if reply.usage else used
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": total,
    }
    yield {"type": "message_stop"}


def _responses(asked: dict[str, Any], reply: Reply) -> Events:
    base = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": asked["model"],
        "output": [],
    }
    yield {"type": "response.created", "response": {**base, "status": "in_progress"}}
    output: list[dict[str, Any]] = []
    if reply.text or reply.refusal:
        kind = "refusal" if reply.refusal else "output_text"
        said = (
            {"type": kind, "refusal": reply.refusal}
            if reply.refusal
            else {"type": kind, "text": reply.text}
        )
        item = {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        where = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        if reply.refusal:
            yield {"type": "response.refusal.delta", **where, "delta": reply.refusal}
            yield {"type": "response.refusal.done", **where, "refusal": reply.refusal}
        for piece in _pieces(reply.text):
            yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
        done = {**item, "status": "completed", "content": [{**said, "annotations": []}]}
        yield {"type": "response.output_item.done", "output_index": 0, "item": done}
        output.append(done)
    for number, (call_id, tool, args) in enumerate(reply.calls, start=1):
        item = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": call_id,
            "name": tool,
            "arguments": "",
        }
        where = {"output_index": number, "item_id": f"fc_{number}"}
        yield {
            "type": "response.output_item.added",
            "output_index": number,
            "item": {**item, "status": "in_progress"},
        }
        yield {"type": "response.function_call_arguments.delta", **where, "delta": args}
        yield {"type": "response.function_call_arguments.done", **where, "arguments": args}
        done = {**item, "arguments": args, "status": "completed"}
        yield {"type": "response.output_item.done", "output_index": number, "item": done}
        output.append(done)
    used = None
    if reply.usage:
        used = {
            "input_tokens": reply.usage[0],
            "input_tokens_details": {"cached_tokens": reply.usage[2]},
            "output_tokens": reply.usage[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": reply.usage[0] + reply.usage[1],
        }
    end = {
        **base,
        "output": output,
        "usage": used,
        "status": "completed",
        "incomplete_details": None,
    }
    if reply.stop:
        end |= {"status": "incomplete", "incomplete_details": {"reason": reply.stop}}
        yield {"type": "response.incomplete", "response": end}
    else:
        yield {"type": "response.completed", "response": end}


def _chat(asked: dict[str, Any], reply: Reply) -> Events:
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": asked["model"],
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(reply.text):
        yield chunk({"content": piece})
    if reply.refusal:
        yield chunk({"refusal": reply.refusal})
    for index, (call_id, tool, args) in enumerate(reply.calls):
        head = {
            "index": index,
            "id": call_id,
            "type": "function",
            "function": {"name": tool, "arguments": ""},
        }
        yield chunk({"tool_calls": [head]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": args}}]})
    yield chunk({}, reply.stop or ("tool_calls" if reply.calls else "stop"))
    if reply.usage:
        used = {
            "prompt_tokens": reply.usage[0],
            "completion_tokens": reply.usage[1],
            "total_tokens": reply.usage[0] + reply.usage[1],
            "prompt_tokens_details": {"cached_tokens": reply.usage[2]},
        }
        yield {**base, "choices": [], "usage": used}
    yield {"done": "[DONE]"}


def _gemini(asked: dict[str, Any], reply: Reply) -> Events:
    def chunk(parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        told: dict[str, Any] = {
            "candidates": [candidate],
            "responseId": "r1",
            "modelVersion": "gemini-served",
        }
        if finish:
            candidate["finishReason"] = finish
            if reply.usage:
                told["usageMetadata"] = {
                    "promptTokenCount": reply.usage[0],
                    "candidatesTokenCount": reply.usage[1],
                    "cachedContentTokenCount": reply.usage[2],
                    "totalTokenCount": reply.usage[0] + reply.usage[1],
                }
        return told

    yield chunk([{"text": ""}])
    for piece in _pieces(reply.text):
        yield chunk([{"text": piece}])
    for call_id, tool, args in reply.calls:
        yield chunk(
            [{"functionCall": {"id": call_id, "name": tool, "args": json.loads(args or "{}")}}]
        )
    yield chunk([], "SAFETY" if reply.refusal else reply.stop or "STOP")


_SPEAK = {
    "/v1/messages": _anthropic,
    "/responses": _responses,
    "/chat/completions": _chat,
    ":streamGenerateContent": _gemini,
}
