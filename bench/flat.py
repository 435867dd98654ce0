"""alfred: whether a commit costs more when the transcript behind it is long, and a claim when an agent that is full has many
runs in the queue."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from alfred import clock, ids
from alfred.runs import claims, leases, ledger
from alfred.runs.rows import Caps, Holder, Item, NewRun, Step
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
    claimed = [_beside_queue(store, holder, queued) for queued in (10, 10_000)]
    store.close()
    return {
        "claim_10_ms": round(claimed[0] * 1e3, 3),
        "claim_10000_ms": round(claimed[1] * 1e3, 3),
        "commit_50_ms": round(costs[50] * 1e3, 3),
        "commit_5000_ms": round(costs[5_000] * 1e3, 3),
        "long_over_short": round(costs[5_000] / costs[50], 2),
    }


def _beside_queue(store: connect.Store, holder: Holder, queued: int) -> float:
    """Seconds of claiming the one run of an agent, p50, beside so many of another that is full."""
    names = ("full", "free")
    news = [
        NewRun(id=ids.new(), workflow="bench", step="step", agent=names[0]) for _ in range(queued)
    ]
    for first in range(0, queued, 500):
        some = news[first : first + 500]
        store.transact(lambda tx, some=some: [ledger.start(tx, new) for new in some])
    store.transact(lambda tx: tx(Sql("analyze runs")))  # as autovacuum does within a minute
    times = []
    for _ in range(100):
        store.transact(
            ledger.start, NewRun(id=ids.new(), workflow="bench", step="step", agent=names[1])
        )
        began = time.perf_counter()
        taken = store.transact(
            claims.claim, holder, lambda *_: Caps(total=999, per_agent=999), full=["main/full"]
        )
        times.append(time.perf_counter() - began)
        assert isinstance(taken, tuple)
        assert taken[1].agent == "free"
    store.transact(
        lambda tx: tx(Sql("update runs set ready_at=ready_at+86400000000 where agent='full'"))
    )
    return statistics.median(times)


def _fill(tx: connect.Tx, run_id: str, items: int, text: str) -> None:
    tx.many(
        Sql(
            "insert into transcript(run_id,n,seq,kind,item,at) values(:run_id,:n,0,'note',:item,0)"
        ),
        [{"run_id": run_id, "n": n, "item": text} for n in range(1, items + 1)],
    )
    tx(Sql("update runs set items=:items where id=:id"), items=items, id=run_id)


if __name__ == "__main__":
    main(measure)
