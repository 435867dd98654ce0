"""The two ways to an MCP server: a program that speaks over its pipes, and an address that is asked over HTTP.

Invariants: a server says at most so much from one answer to the next (`Allowance`), or it is cut off. A program
has the environment that it was given and no more, and ends with alfred, with all that it started. An address is looked up
once, before the first byte, and the connection goes there; no redirect leads to another host.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred.engines import guard
from alfred.integrations.mcp_complaints import Complaints
from alfred.trust import urls

MOST_BYTES = 8_000_000
"""Bytes that a server may say from one answer to the next."""

MOST_MESSAGES = 2_000
"""Messages, in the same time."""

CHANGED = "notifications/tools/list_changed"

_CHUNK = 65_536
_GRACE = 1.0  # seconds that a program has to end by itself when its input is closed
_KILLED = 3.0

INHERITED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
)
"""What a program is given of alfred's own environment."""


AGAIN_S = 1.0
"""Seconds between two times that an address is asked to go on: how long to wait it may say itself, and be asked without end."""


class Flooded(Exception):
    """A server says more than it may."""


class Failed(Exception):
    """Something between here and a server broke down, and whether the server was asked nobody knows."""


@dataclass(slots=True)
class Allowance:
    """How much a server may still say, and why it was cut off."""

    bytes: int = MOST_BYTES
    messages: int = MOST_MESSAGES
    why: str | None = None
    status: int | None = None
    """That of HTTP, of the last request that was refused."""

    def renew(self) -> None:
        """It has answered."""
        self.bytes, self.messages, self.status = MOST_BYTES, MOST_MESSAGES, None

    def take(self, size: int, messages: int = 0) -> None:
        """It has said so much.

        Raises:
            Flooded: that is too much.
        """
        self.bytes -= size
        self.messages -= messages
        if self.bytes < 0 or self.messages < 0:
            much = (
                f"{MOST_BYTES // 1_000_000} MB" if self.bytes < 0 else f"{MOST_MESSAGES:,} messages"
            )
            self.why = f"it said more than {much} and did not answer"
            raise Flooded(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to start."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    """Beside what every program is given."""
    folder: Path
    complaints: Complaints

    @property
    def environment(self) -> dict[str, str]:
        """All that it finds in its environment."""
        own = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**own, **self.env}


@contextlib.asynccontextmanager
async def program(one: Program, allowance: Allowance) -> AsyncIterator[Any]:
    """Starts a program; the streams of messages from it and to it."""
    import anyio
    from mcp.shared.message import SessionMessage

    one.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    inner, lifeline = os.pipe()
    here = [sys.executable, "-I", "-S", str(guard.__file__), str(inner), "0", "0"]
    try:
        process = await anyio.open_process(
            [*here, one.command, *one.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=one.folder,
            env=one.environment,
            start_new_session=True,
            pass_fds=(inner,),
        )
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(inner)
    said, heard = anyio.create_memory_object_stream[Any](0)
    to_say, asked = anyio.create_memory_object_stream[Any](0)
    assert process.stdin and process.stdout and process.stderr
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr

    async def listen() -> None:
        rest = b""
        gone = (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)
        with contextlib.suppress(Flooded, anyio.EndOfStream, *gone):
            async with said:
                while True:
                    chunk = await stdout.receive(_CHUNK)
                    allowance.take(len(chunk), chunk.count(b"\n"))
                    *lines, rest = (
                        (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                    )
                    for line in filter(None, map(bytes.strip, lines)):
                        message = _message(line)
                        if message is not None:
                            await said.send(SessionMessage(message))

    async def speak() -> None:
        try:
            async with asked:
                async for message in asked:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await stdin.send(text.encode() + b"\n")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            await said.aclose()

    async def complain() -> None:
        gone = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)
        try:
            with contextlib.suppress(*gone):
                while True:
                    chunk = await stderr.receive(_CHUNK)
                    one.complaints.feed(chunk)
                    allowance.take(len(chunk))
        except Flooded:
            await said.aclose()
        finally:
            one.complaints.close()

    async def end() -> None:
        with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.BusyResourceError):
            await stdin.aclose()
        with anyio.move_on_after(0 if allowance.why else _GRACE):
            await process.wait()
        os.close(lifeline)  # whoever is still there is killed
        with anyio.move_on_after(_KILLED):
            await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        tasks.cancel_scope.cancel()
        with contextlib.suppress(OSError, anyio.BrokenResourceError), anyio.move_on_after(_KILLED):
            await process.aclose()
        for stream in (said, heard, to_say, asked):
            await stream.aclose()

    async with anyio.create_task_group() as tasks:
        for work in (listen, speak, complain):
            tasks.start_soon(work)
        try:
            yield heard, to_say
        finally:
            with anyio.CancelScope(shield=True):
                await end()


def _message(line: bytes) -> Any:
    """What a line says, when it is for us: what a program prints beside the protocol, and what it only tells, is not."""
    from mcp import types

    try:
        said = json.loads(line)
        only_told = isinstance(said, dict) and "id" not in said and said.get("method") != CHANGED
        return None if only_told else types.jsonrpc_message_adapter.validate_python(said)
    except (ValueError, RecursionError):
        return None


@contextlib.asynccontextmanager
async def address(
    target: urls.Target, headers: Mapping[str, str], allowance: Allowance
) -> AsyncIterator[Any]:
    """Opens a way to an address that was checked; the streams of messages from it and to it."""
    import anyio
    import httpx2
    from mcp.client import streamable_http

    from alfred.trust import pinned_streams

    transport = pinned_streams.Transport(
        tuple(map(str, target.addresses)),
        target.port,
        lambda data: allowance.take(len(data), data.count(b"data:")),
    )
    next_at = anyio.current_time()

    async def asked(request: httpx2.Request) -> None:
        nonlocal next_at
        if request.method == "GET":
            wait, next_at = (
                next_at - anyio.current_time(),
                max(next_at, anyio.current_time()) + AGAIN_S,
            )
            await anyio.sleep(max(0, wait))

    async def answered(response: httpx2.Response) -> None:
        if response.request.method != "POST" or response.status_code < 400:
            return
        allowance.status = response.status_code
        # the library takes it for a refusal, but a gateway says so when it waited in vain
        called = json.loads(response.request.content).get("method") == "tools/call"
        if called and response.status_code >= 500:
            allowance.why = f"it answered with the status {response.status_code} of HTTP"
            raise Failed(allowance.why)

    async with (
        httpx2.AsyncClient(
            transport=transport,
            event_hooks={"request": [asked], "response": [answered]},
            headers=dict(headers),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(
                30.0, read=None
            ),  # how long an answer may take, its caller knows
        ) as client,
        streamable_http.streamable_http_client(
            target.url, http_client=client, max_sse_event_size=MOST_BYTES
        ) as streams,
    ):
        yield streams
