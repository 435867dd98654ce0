"""What a piece of asynchronous work began to read ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from alfred import generators


async def _reads(name: str, ended: list[str], inner: AsyncIterator[int] | None = None) -> Any:
    try:
        if inner is not None:
            async for number in inner:
                yield number
        yield 1
    finally:
        await asyncio.sleep(0)
        ended.append(name)


async def _left(ended: list[str], kept: list[Any]) -> str:
    kept.append(_reads("outer", ended, _reads("inner", ended)))
    async for _ in kept[0]:
        break
    return "read"


async def _failed(ended: list[str], kept: list[Any]) -> str:
    await _left(ended, kept)
    raise ValueError("broken off")


async def _in_a_task(ended: list[str], kept: list[Any]) -> str:
    return await asyncio.create_task(_left(ended, kept))


@pytest.mark.parametrize("work", [_left, _failed, _in_a_task])
def test_what_was_not_read_to_its_end_ends_with_the_work(work: Callable[..., Any]) -> None:
    ended: list[str] = []
    kept: list[Any] = []  # so that neither a count of references nor the collector ends it

    async def both() -> list[str]:
        with contextlib.suppress(ValueError):
            assert await generators.ended_with(work(ended, kept)) == "read"
        return list(ended)

    assert asyncio.run(both()) == ["outer", "inner"]


def test_work_beside_it_reads_on() -> None:
    ended: list[str] = []

    async def both() -> list[int]:
        mine = _reads("mine", ended)
        first = await anext(mine)
        await generators.ended_with(_left(ended, []))
        assert "mine" not in ended
        return [first, *[number async for number in mine]]

    assert asyncio.run(both()) == [1]
    assert ended == ["outer", "inner", "mine"]


def test_an_error_at_the_end_is_told_and_the_rest_ends_all_the_same() -> None:
    ended: list[str] = []
    told: list[Any] = []

    async def breaks() -> Any:
        try:
            yield 1
        finally:
            raise OSError("no longer there")

    async def work() -> str:
        first, second = breaks(), _reads("second", ended)
        await anext(first)
        await anext(second)
        return "done"

    async def both() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, why: told.append(why))
        return await generators.ended_with(work())

    assert asyncio.run(both()) == "done"
    assert ended == ["second"]
    assert [str(why["exception"]) for why in told] == ["no longer there"]


def test_work_that_lasts_keeps_nothing_that_has_ended() -> None:
    async def work() -> int:
        for _ in range(100):
            assert [number async for number in _reads("one", [])] == [1]
        gc.collect()
        return sum(
            isinstance(one, type(_reads("", []))) and one.__name__ == "_reads"
            for one in gc.get_objects()
        )

    assert asyncio.run(generators.ended_with(work())) <= 2
