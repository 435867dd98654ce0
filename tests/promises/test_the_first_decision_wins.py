"""Of any number of decisions about a card one wins; all others are told which, and nothing happens twice."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger.core import Core

ROOT = Path(__file__).parents[2]
PROCESSES, EACH = 4, 250


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("expired", [False, True])
def test_of_a_thousand_decisions_of_four_processes_one_wins(
    core: Core, store_url: str, expired: bool
) -> None:
    lease = core.held()
    [card] = core.staged(lease, risk="low", auto_ok=True, counts_from_staging=True)
    core.write("update approvals set auto_approve_at=1")
    if expired:
        core.write("update approvals set expires_at=1")
    people = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.promises.deciders"),
                *(store_url, card, str(EACH), str(number)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for person in people:
        assert person.stdout is not None and person.stdout.readline() == "ready\n"
    for person in people:
        assert person.stdin is not None
        person.stdin.write("go\n")
        person.stdin.flush()
    told: collections.Counter[str] = collections.Counter()
    for person in people:
        said, _ = person.communicate(timeout=120)
        assert person.returncode == 0
        told.update(json.loads(said))
    assert sum(told.values()) == PROCESSES * EACH
    won = [what for what in told if what.startswith("won")]
    assert len(won) == 1 and told[won[0]] == 1, told
    winner = won[0].removeprefix("won, ")
    untimely = {what for what in told if what.startswith("out of time, ")}
    assert told[f"late, {winner}"] + sum(told[what] for what in untimely) == PROCESSES * EACH - 1, (
        told
    )
    # Before its end a card does not expire; behind it nothing but the expiry decides.
    assert winner.startswith("expire by") == expired
    assert all(what.endswith(", expire") != expired for what in untimely)

    card_now, call = core.approval(card), core.call_of(card)
    assert f"{card_now.decision} by {card_now.decided_by}" == winner
    allowed = card_now.status in ("approved", "auto_approved")
    assert call.status == ("approved" if allowed else "rejected")
    ended = card_now.decision == "reject_and_end"
    assert core.run(lease.run_id).status == ("cancelled" if ended else "queued")
    assert core.one("select count(*) from audit where row like '%\"decision\"%'") == 1
    if allowed:
        again = core.take(lease.run_id)
        core.intend(again, call.id)
