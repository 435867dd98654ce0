"""Procrastinate: one job a step, each deferring the next."""

from __future__ import annotations

import asyncio
import time

import procrastinate
from procrastinate.schema import SchemaManager

from bench.load import Load, main


def measure(url: str, load: Load) -> dict[str, float]:
    return asyncio.run(_measure(url, load))


async def _measure(url: str, load: Load) -> dict[str, float]:
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=url, min_size=2, max_size=12)
    )
    ended = 0
    over = asyncio.Event()

    @app.task(name="step")
    async def step(n: int, text: str) -> None:
        nonlocal ended
        if n < load.steps:
            await step.defer_async(n=n + 1, text=text)
            return
        ended += 1
        if ended == load.runs:
            over.set()

    async with app.open_async():
        await app.connector.execute_query_async(SchemaManager.get_schema().replace("%", "%%"))
        for _ in range(load.runs):
            await step.defer_async(n=1, text=load.text)
        started = time.perf_counter()
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=8,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=1.0,
            )
        )
        await over.wait()
        took = time.perf_counter() - started
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return {"steps_s": round(load.runs * load.steps / took, 1)}


if __name__ == "__main__":
    main(measure)
