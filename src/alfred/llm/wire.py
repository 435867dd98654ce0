"""The connection to a provider: what comes back has an end.

Invariant: no more than `MAX_ANSWER_BYTES` of an answer are read, however fast it comes and whatever is in it. Beyond
that a `ModelError` is raised under the SDK, which `failures.read` finds again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from alfred.llm import contract

if TYPE_CHECKING:
    import httpx2

MAX_ANSWER_BYTES = 16_000_000
"""Of one answer, as it comes over the wire: 16,000 tokens in an event of their own each are 6 MB."""


def client(provider: str) -> httpx2.AsyncClient:
    """A client for this provider's SDK; whoever makes it closes it.

    Its requests raise `ModelError`: `malformed` when the answer is too large or compressed though that was not asked
    for (its true size is then unknown until it is too late).
    """
    import httpx2
    from pydantic_ai import models

    made = models.create_async_httpx2_client()
    made.headers["Accept-Encoding"] = "identity"

    async def bound(response: httpx2.Response) -> None:
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise contract.ModelError(
                "malformed",
                f"{provider} answers compressed, which it was asked not to: nothing of it was read.",
                provider=provider,
                next="Look at what stands between here and the model (a proxy, a gateway): it compresses.",
            )
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _bounded(stream, provider)

    made.event_hooks["response"].append(bound)
    return made


def _bounded(stream: httpx2.AsyncByteStream, provider: str) -> httpx2.AsyncByteStream:
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for chunk in stream:
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    raise contract.ModelError(
                        "malformed",
                        f"{provider} sends more than {MAX_ANSWER_BYTES // 1_000_000} MB in one answer: "
                        "the rest was not read.",
                        provider=provider,
                    )
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()
