"""The connection to a provider: what is sent goes to the address that was named, what comes back has an end.

Invariants: a redirect is never followed, because the key and the whole conversation would go where nobody said they
may; no more than `MAX_ANSWER_BYTES` of an answer are read, however fast it comes and whatever is in it. Either is a
`ModelError` raised under the SDK, which `failures.read` finds again.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alfred.llm import catalog, contract
from alfred.trust import text

if TYPE_CHECKING:
    import httpx2

MAX_ANSWER_BYTES = 16_000_000
"""Of one answer, as it comes over the wire: 16,000 tokens in an event of their own each are 6 MB."""

MAX_HOST = 100  # characters of the host of a redirect that a message shows


def client(provider: str) -> httpx2.AsyncClient:
    """A client for this provider's SDK; whoever makes it closes it.

    Its requests raise `ModelError`: `refused` when the answer is a redirect, `malformed` when it is too large, or
    compressed though that was not asked for (its true size is then unknown until it is too late).
    """
    import httpx2
    from pydantic_ai import models

    made = models.create_async_httpx2_client()
    made.follow_redirects = False
    made.headers["Accept-Encoding"] = "identity"

    async def stay(response: httpx2.Response) -> None:
        if response.is_redirect:
            raise _redirected(response, provider)

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

    made.event_hooks = {**made.event_hooks, "response": [stay, bound]}
    return made


def _redirected(response: httpx2.Response, provider: str) -> contract.ModelError:
    try:
        there = urlsplit(response.headers.get("location", "")).hostname
    except ValueError:
        there = None
    where = repr(text.sanitize(there)[0])[:MAX_HOST] if there else "another address"
    variable = catalog.PROVIDERS[provider].url
    return contract.ModelError(
        "refused",
        f"{provider} at {response.url.host} answers {response.status_code}, a redirect to {where}. It was not followed: "
        "what was asked, and the key, would go there.",
        provider=provider,
        next=f"If that is where the model is, set {variable} to its address; else look at what answers at this one."
        if variable
        else "Look at what stands between here and the model: it answers in its place.",
    )


def _bounded(stream: httpx2.AsyncByteStream, provider: str) -> httpx2.AsyncByteStream:
    return _bounded_type()(stream, provider)


@functools.cache
def _bounded_type() -> Any:
    """The class, made when the library is there. It iterates by itself: a generator that nobody read to its end would be
    ended by whichever thread collects the garbage."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream, provider: str):
            self._stream = stream
            self._chunks: AsyncIterator[bytes] | None = None
            self._provider = provider
            self._read = 0

        def __aiter__(self) -> AsyncIterator[bytes]:  # type: ignore[override]
            self._chunks = self._stream.__aiter__()
            return self

        async def __anext__(self) -> bytes:
            assert self._chunks is not None
            chunk = await self._chunks.__anext__()
            self._read += len(chunk)
            if self._read > MAX_ANSWER_BYTES:
                raise contract.ModelError(
                    "malformed",
                    f"{self._provider} sends more than {MAX_ANSWER_BYTES // 1_000_000} MB in one answer: "
                    "the rest was not read.",
                    provider=self._provider,
                )
            return chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Bounded
