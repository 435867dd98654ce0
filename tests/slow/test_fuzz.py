"""Random verbs from several processes on one database: every invariant holds, and the outside world saw no double."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from alfred.runs import audit, states
from alfred.runs.states import Status
from alfred.store import connect, invariants
from alfred.store.statement import Sql
from alfred.store.tx import Tx

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("ALFRED_TEST_FUZZ_S", "5"))
PROCESSES = int(os.environ.get("ALFRED_TEST_FUZZ_PROCESSES", "4"))
ROUNDS = 6
SCARY = (
    *("claims", "decided", "cancelled", "abandoned", "zombies", "lost"),
    *("intents", "sweeps", "messages", "edited", "asked_again", "forked"),
)
"""What it is for."""

_MOVES = Sql("create table moves(was text, came text)")
_WATCH = Sql(
    "create trigger watch after update of status on runs when old.status<>new.status"
    " begin insert into moves values(old.status,new.status); end"
)
_WATCHES = Sql(
    "create function watch() returns trigger language plpgsql as $$ begin"
    " insert into moves values(old.status,new.status); return null; end $$"
)
_WATCH_PG = Sql(
    "create trigger watch after update of status on runs for each row when (old.status<>new.status)"
    " execute function watch()"
)


def _watch(tx: Tx) -> None:
    """From here on every change of a run's status is written down."""
    for statement in (_MOVES, *((_WATCHES, _WATCH_PG) if tx.pg else (_WATCH,))):
        tx(statement)


def _play(store_url: str, world: Path, seeds: Sequence[int]) -> collections.Counter[str]:
    """Processes that do what comes to their minds, each by its seed; how often they did what."""
    command = [sys.executable, "-m", "tests.fuzz.actor", store_url]
    actors = [
        subprocess.Popen(
            [*command, str(seed), str(SECONDS), str(world)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in seeds
    ]
    total: collections.Counter[str] = collections.Counter()
    for actor in actors:
        told, trouble = actor.communicate(timeout=SECONDS + 90)
        assert actor.returncode == 0, trouble[-3000:]
        total.update(json.loads(told))
    return total


@pytest.mark.timeout(300)
def test_no_invariant_breaks_under_random_verbs_of_many_processes(
    store_url: str, tmp_path: Path
) -> None:
    world = tmp_path / "world.log"
    store = connect.open_store(store_url)
    store.transact(_watch)
    store.close()
    total: collections.Counter[str] = collections.Counter()
    for first in range(1, ROUNDS * PROCESSES, PROCESSES):  # on a busy machine one comes to little
        total += _play(store_url, world, range(first, first + PROCESSES))
        if all(total[scary] for scary in SCARY):
            break
    store = connect.open_store(store_url)
    try:
        broken = invariants.check(store)
        assert not broken, (broken, total)
        with store.read() as look:
            rows, chain = audit.verify(look)
            assert chain is None and rows > 0
            moves = look(Sql("select distinct was,came from moves")).all()
            strange = [
                move for move in moves if move.came not in states.TRANSITIONS[Status(move.was)]
            ]
            assert moves and not strange
            over = look(
                Sql("select agent, count(*) n from runs where status='running' group by agent")
            ).all()
            assert all(row.n <= 4 for row in over)
            retries = collections.Counter(
                row.call_id
                for row in look(
                    Sql("select call_id from approvals where kind='outcome' and decision='retry'")
                ).all()
            )
            # What a person allowed last is what was sent: an edit too, and a call that was asked about again.
            allowed = {
                row.call_id: row.args_hash
                for row in look(
                    Sql(
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
    assert all(total[scary] for scary in SCARY), f"the fuzz did not come to what it is for: {total}"
