"""Random verbs from several processes on one database: every invariant holds, and the outside world saw no double."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from alfred.runs import audit
from alfred.store import connect, invariants

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("ALFRED_TEST_FUZZ_S", "10"))
PROCESSES = int(os.environ.get("ALFRED_TEST_FUZZ_PROCESSES", "4"))


@pytest.mark.timeout(180)
def test_no_invariant_breaks_under_random_verbs_of_many_processes(
    store_url: str, tmp_path: Path
) -> None:
    world = tmp_path / "world.log"
    actors = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.fuzz.actor",
                store_url,
                str(seed),
                str(SECONDS),
                str(world),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(1, PROCESSES + 1)
    ]
    total: collections.Counter[str] = collections.Counter()
    for actor in actors:
        told, trouble = actor.communicate(timeout=SECONDS + 90)
        assert actor.returncode == 0, trouble[-3000:]
        total.update(json.loads(told))
    store = connect.open_store(store_url)
    try:
        broken = invariants.check(store)
        assert not broken, (broken, total)
        with store.read() as look:
            rows, chain = audit.verify(look)
            assert chain is None and rows > 0
            over = look(
                sa.text("select agent, count(*) n from runs where status='running' group by agent")
            ).all()
            assert all(row.n <= 4 for row in over)
            retries = collections.Counter(
                row.call_id
                for row in look(
                    sa.text(
                        "select call_id from approvals where kind='outcome' and decision='retry'"
                    )
                ).all()
            )
            # What a person allowed last is what was sent: an edit too, and a call that was asked about again.
            allowed = {
                row.call_id: row.args_hash
                for row in look(
                    sa.text(
                        "select call_id,args_hash from approvals where kind='action' and status in('approved','auto_approved')"
                        " order by decided_at"
                    )
                ).all()
            }
    finally:
        store.close()
    # The oracle is what the world received, not what the ledger believes.
    sent: collections.Counter[str] = collections.Counter()
    keys: dict[str, set[str]] = {}
    for line in world.read_text().splitlines():
        effect, call, key, content = line.split()
        if call in allowed:
            assert content == allowed[call], "something else was sent than a person had allowed"
        if effect == "blind":
            sent[call] += 1
        keys.setdefault(call, set()).add(key)
    assert all(n <= 1 + retries[call] for call, n in sent.items()), (
        "a blind effect was sent twice without a person"
    )
    assert all(len(used) == 1 for used in keys.values()), "a repeat carried another key"
    # The fuzz reached what it is for.
    for scary in (
        "claims",
        "decided",
        "cancelled",
        "abandoned",
        "zombies",
        "lost",
        "intents",
        "sweeps",
        "messages",
        "edited",
        "asked_again",
        "forked",
    ):
        assert total[scary] > 0, (scary, total)
