"""alfred is killed with -9 at its points, started again, and comes to the end it would have come to.

Oracle: the log of the outside world (no keyed or checkable effect twice, none lost, blind ones as the person
said), the status of each run, every invariant of the ledger, the audit chain.

In every run of the tests: of the points that leave something else behind than the one before a seeded half of every story
on SQLite (a sixth of the two long ones, which are made of what the others tell), some of four on Postgres; and each
killed twice at random points.
`make crash` (ALFRED_CRASH_POINTS=all): every story at every statement on both, and killed twice at random.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.crash import scenarios
from tests.crash.lives import Life, Lives

ALL = os.environ.get("ALFRED_CRASH_POINTS") == "all"
SEED = int(os.environ.get("ALFRED_CRASH_SEED", "20261121"))
SLICES = 4 if ALL else 1
ON_POSTGRES = {"tools": 12, "tree": 12, "cancel": 12, "chats": 36}
SHARES = {"agents": 6, "chats": 6}
TWICE = 200 if ALL else 1

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(7200 if ALL else 600)]


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_killed_at_any_point_it_ends_as_if_nothing_had_been(
    scenario: str, part: int, fork_server: Lives
) -> None:
    home = fork_server.place()
    peaceful = fork_server.live(scenario, fork_server.sqlite(home), home)
    _ends_well(fork_server, peaceful, home, None)
    assert peaceful.points > 100 and len(peaceful.new) > 15, "the points are not counted"
    for point in _points(peaceful, SHARES.get(scenario, 2), scenario)[part::SLICES]:
        home = fork_server.place()
        url = fork_server.sqlite(home)
        first = fork_server.live(scenario, url, home, point)
        assert first.killed or point > peaceful.points * 0.9, (point, first)
        _ends_well(fork_server, fork_server.live(scenario, url, home), home, point)


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS if ALL else ON_POSTGRES)
def test_killed_at_any_point_on_postgres_it_ends_as_if_nothing_had_been(
    scenario: str, fork_server: Lives, postgres: Callable[[], str]
) -> None:
    home = fork_server.place()
    peaceful = fork_server.live(scenario, postgres(), home)
    _ends_well(fork_server, peaceful, home, None)
    for point in _points(peaceful, ON_POSTGRES.get(scenario, 1), scenario):
        home, url = fork_server.place(), postgres()
        first = fork_server.live(scenario, url, home, point)
        assert first.killed or point > peaceful.points * 0.9, (point, first)
        _ends_well(fork_server, fork_server.live(scenario, url, home), home, point)


def _points(life: Life, share: int, scenario: str) -> Sequence[int]:
    """All, or one of so many that leave something new."""
    if ALL:
        return range(1, life.points + 1)
    chance = random.Random(f"{SEED} {scenario}")
    return sorted(chance.sample(life.new, len(life.new) // share))


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_killed_again_while_it_recovers_it_ends_as_if_nothing_had_been(
    scenario: str, fork_server: Lives
) -> None:
    chance = random.Random(f"{SEED} twice {scenario}")
    for _ in range(TWICE):
        home = fork_server.place()
        url = fork_server.sqlite(home)
        first, second = chance.randint(1, 250), chance.randint(1, 200)
        fork_server.live(scenario, url, home, first)
        fork_server.live(scenario, url, home, second)
        _ends_well(fork_server, fork_server.live(scenario, url, home), home, (first, second))


def _ends_well(fork_server: Lives, life: Life, home: Path, point: object) -> None:
    assert not life.killed
    assert life.wrong == [], f"killed at point {point} in {home}:\n{fork_server.log()}"
