"""DBOS: a workflow function with recorded steps."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

from bench.load import Load, main


def measure(url: str, load: Load) -> dict[str, float]:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
            "log_level": "ERROR",
        }
    )

    @DBOS.step()
    def step(_n: int) -> str:
        return load.text

    @DBOS.workflow()
    def work() -> str:
        for n in range(load.steps):
            step(n)
        return "done"

    DBOS.launch()
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: work(), range(load.runs)))
    took = time.perf_counter() - started
    DBOS.destroy()
    return {"steps_s": round(load.runs * load.steps / took, 1)}


if __name__ == "__main__":
    main(measure)
