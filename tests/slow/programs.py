"""What the tests of the logged-in programs share: the tools that are offered to them, and how a cancelled turn ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psutil

from alfred.llm import client, contract
from tests.peers.llm_server import LlmServer, Reply

READ = contract.ModelTool(
    "files__read",
    "Reads a file.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
RUN = contract.ModelTool("shell__run", "Runs a command.", {"type": "object", "properties": {}})


def user(text: str) -> dict[str, Any]:
    return {"kind": "user", "text": text}


def cancelled_ends_with_all_it_started(
    ask: Callable[..., Any], server: LlmServer, *, least: int
) -> None:
    """A turn is cancelled while its answer is on the way: none of its processes, at least so many, is left."""
    reply = Reply(text="x" * 400, gate=threading.Event())
    server.reply(reply)
    cancelled = threading.Event()
    raised: list[client.ModelError] = []
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    def work() -> None:
        try:
            ask(cancelled=cancelled)
        except client.ModelError as problem:
            raised.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    reply.started.wait()
    started = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert len(started) >= least
    cancelled.set()
    thread.join()
    assert [problem.kind for problem in raised] == ["cancelled"]
    assert not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in started)
