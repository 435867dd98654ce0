"""alfred: whether a commit costs more when the transcript behind it is long."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import sqlalchemy as sa

from alfred import clock, ids
from alfred.runs import claims, leases, ledger
from alfred.runs.rows import Caps, Item, NewRun, Step
from alfred.store import connect, migrate
from alfred.store.statement import Sql
from bench.load import Load, main


def measure(url: str, load: Load) -> dict[str, float]:
    store = connect.open_store(url)
    migrate.ensure_schema(store, backups=Path("backups"))
    holder = leases.new_holder()
    costs: dict[int, float] = {}
    for items in (50, 5_000):
        new = NewRun(id=ids.new(), workflow="bench", step="step")
        store.transact(ledger.start, new)
        store.transact(_fill, new.id, items, load.text)
        taken = store.transact(
            claims.claim, holder, lambda *_: Caps(total=99, per_agent=99), hint=new.id
        )
        assert isinstance(taken, tuple)
        lease, _run = taken
        times = []
        for seq in range(200):
            step = Step(
                token=ids.new(),
                name="step",
                started=clock.now(),
                items=[Item(kind="note", item={"kind": "note", "text": load.text})],
            )
            began = time.perf_counter()
            store.transact(ledger.advance, lease, seq, step, to="step", lease_us=holder.lease_us)
            times.append(time.perf_counter() - began)
        costs[items] = statistics.median(times)
    store.close()
    return {
        "commit_50_ms": round(costs[50] * 1e3, 3),
        "commit_5000_ms": round(costs[5_000] * 1e3, 3),
        "long_over_short": round(costs[5_000] / costs[50], 2),
    }


def _fill(tx: connect.Tx, run_id: str, items: int, text: str) -> None:
    tx.many(
        Sql(
            "insert into transcript(run_id,n,seq,kind,item,at) values(:run_id,:n,0,'note',:item,0)"
        ),
        [{"run_id": run_id, "n": n, "item": text} for n in range(1, items + 1)],
    )
    tx(sa.text("update runs set items=:items where id=:id"), items=items, id=run_id)


if __name__ == "__main__":
    main(measure)
