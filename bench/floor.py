"""The floor: one durable commit of the payload a step, with nothing around it."""

from __future__ import annotations

import time

from bench.load import Load, main


def measure(url: str, load: Load) -> dict[str, float]:
    commits = load.runs * load.steps
    if url.startswith("sqlite"):
        from alfred.store import sqlite

        conn = sqlite.driver().connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for pragma in ("journal_mode=wal", "synchronous=full"):
            conn.execute(f"pragma {pragma}")
        conn.execute("create table steps(n integer primary key, text text)")
        started = time.perf_counter()
        for n in range(commits):
            conn.execute("insert into steps values(?, ?)", (n, load.text))
    else:
        import psycopg

        conn = psycopg.connect(url)
        conn.execute("create table steps(n integer primary key, text text)")
        conn.commit()
        started = time.perf_counter()
        for n in range(commits):
            conn.execute("insert into steps values(%s, %s)", (n, load.text))
            conn.commit()
    took = time.perf_counter() - started
    conn.close()
    return {"steps_s": round(commits / took, 1)}


if __name__ == "__main__":
    main(measure)
