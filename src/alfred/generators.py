"""Invariant: what a piece of asynchronous work began to read ends with it, in its own loop.

An async generator that nobody reads to its end (an answer that is cut off, a stream that was left) is otherwise ended by
the garbage collector, in whichever thread it happens to run, while its loop may be ending it too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import AsyncGeneratorType
from typing import Any, TypeVar

__all__ = ["ended_with"]

T = TypeVar("T")

_begun: ContextVar[list[AsyncGeneratorType[Any, Any]] | None] = ContextVar("begun", default=None)


async def ended_with(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, once every async generator that it or its tasks began has ended, the outer before the inner.

    An error while one ends is told to the loop's exception handler, as asyncio does.
    """
    loop = asyncio.get_running_loop()
    firstiter = sys.get_asyncgen_hooks().firstiter
    if not isinstance(firstiter, _Noting):  # once per loop: it forgets it when it stops
        sys.set_asyncgen_hooks(firstiter=_Noting(firstiter))
    begun: list[AsyncGeneratorType[Any, Any]] = []
    token = _begun.set(begun)
    try:
        return await work
    finally:
        _begun.reset(token)
        for one in begun:
            try:
                await one.aclose()
            except Exception as error:
                loop.call_exception_handler(
                    {
                        "message": f"{one!r} did not end as it should",
                        "exception": error,
                        "asyncgen": one,
                    }
                )


class _Noting:
    """The hook of a thread: a generator is noted with the work that began it, and its loop is told as before."""

    def __init__(self, before: Callable[[Any], object] | None):
        self._before = before

    def __call__(self, one: Any) -> None:
        begun = _begun.get()
        if begun is not None:
            # work that lasts for months reads many: those that have ended are let go
            begun[:] = [other for other in begun if other.ag_frame is not None] + [one]
        if self._before is not None:
            self._before(one)
