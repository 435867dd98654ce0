"""alfred is killed with -9 at its points, started again, and comes to the end it would have come to.

Oracle: the log of the outside world (no keyed or checkable effect twice, none lost, blind ones as the person
said), the status of each run, every invariant of the ledger, the audit chain.

In every run of the tests: three stories at every point on SQLite, three at a seeded tenth on Postgres,
each killed twice at random points.
`make crash` (ALFRED_CRASH_POINTS=all): every story at every point on both, and killed twice at random.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash import scenarios
from tests.crash.lives import Life, Lives

ALL = os.environ.get("ALFRED_CRASH_POINTS") == "all"
SEED = int(os.environ.get("ALFRED_CRASH_SEED", "20261121"))
SLICES = 4
AT_EVERY_POINT = list(scenarios.SCENARIOS) if ALL else ["tools", "approval", "cancel"]
ON_POSTGRES = list(scenarios.SCENARIOS) if ALL else ["tools", "tree", "cancel"]
TWICE = 200 if ALL else 2

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(7200 if ALL else 600)]


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS)
def test_each_story_ends_well_undisturbed(scenario: str, fork_server: Lives) -> None:
    home = fork_server.place()
    life = fork_server.live(scenario, fork_server.sqlite(home), home)
    assert not life.killed
    assert life.wrong == [], fork_server.log()
    assert life.points > 100, "the points are not counted"


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("scenario", AT_EVERY_POINT)
def test_killed_at_any_statement_it_ends_as_if_nothing_had_been(
    scenario: str, part: int, fork_server: Lives
) -> None:
    point = part + 1
    while True:
        home = fork_server.place()
        url = fork_server.sqlite(home)
        first = fork_server.live(scenario, url, home, point)
        if not first.killed:
            break
        _ends_well(fork_server, fork_server.live(scenario, url, home), home, point)
        point += SLICES
    assert point > 100, "the story was too short to say anything"


@pytest.mark.parametrize("scenario", ON_POSTGRES)
def test_killed_at_some_statements_on_postgres_it_ends_as_if_nothing_had_been(
    scenario: str, fork_server: Lives, postgres: Callable[[], str]
) -> None:
    home = fork_server.place()
    peaceful = fork_server.live(scenario, postgres(), home)
    _ends_well(fork_server, peaceful, home, 0)
    for point in _points(scenario, peaceful.points):
        home, url = fork_server.place(), postgres()
        first = fork_server.live(scenario, url, home, point)
        assert first.killed or point > peaceful.points * 0.9, (point, first)
        _ends_well(fork_server, fork_server.live(scenario, url, home), home, point)


def _points(scenario: str, there: int) -> Iterator[int]:
    if ALL:
        yield from range(1, there + 1)
    else:
        yield from sorted(random.Random(f"{SEED} {scenario}").sample(range(1, there), there // 10))


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
