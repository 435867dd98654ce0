"""Trees of agents of any shape, killed with -9 at random moments: nobody is lost, doubled, or over a limit.

A few in every run of the tests, on SQLite; 500 by `make crash`, a tenth of them on Postgres. And some with several workers at
each tree, of whom random ones are killed, on both.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from alfred.runs import rows
from tests.crash import trees
from tests.crash.lives import Lives

ALL = os.environ.get("ALFRED_CRASH_POINTS") == "all"
SEED = int(os.environ.get("ALFRED_CRASH_SEED", "20261121"))
TREES = int(os.environ.get("ALFRED_CRASH_TREES", "500" if ALL else "8"))
SLICES = 4 if ALL else 1
CROWDS = 40 if ALL else 2
COMMITS = 200
"""By this point of a life a step is committed, whatever was to be recovered before it."""

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(7200 if ALL else 300)]


@pytest.mark.parametrize("part", range(SLICES))
def test_a_tree_of_agents_that_is_killed_at_random_loses_and_doubles_nobody(
    part: int, fork_server: Lives, request: pytest.FixtureRequest
) -> None:
    killed = 0
    for number in range(TREES)[part::SLICES]:
        home = fork_server.place()
        (home / trees.SEED).write_text(str(number))
        chance = random.Random(f"{SEED} {number}")
        on_postgres = ALL and number % 10 == 0
        make: Callable[[], str] = (
            request.getfixturevalue("postgres")
            if on_postgres
            else lambda home=home: fork_server.sqlite(home)
        )
        url = make()
        size = len(list(trees.tree(number).all()))
        deaths = [chance.randint(1, 90 * size) for _ in range(chance.randint(1, 3))]
        if len(deaths) == rows.MAX_RECLAIMS:
            # as many in a row without a committed step would be poison
            deaths[-1] = chance.randint(COMMITS, COMMITS + 90 * size)
        for death in deaths:
            killed += fork_server.live("agents", url, home, death).killed
        last = fork_server.live("agents", url, home)
        assert not last.killed
        assert last.wrong == [], (
            f"tree {number}, killed at {deaths} in {home}:\n{fork_server.log()}"
        )
    assert killed >= TREES // SLICES // 2, "the kills hit nothing"


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_several_workers_at_one_tree_lose_and_double_nobody_when_random_ones_are_killed(
    database: str, fork_server: Lives, request: pytest.FixtureRequest
) -> None:
    killed = 0
    for number in range(CROWDS):
        home = fork_server.place()
        (home / trees.SEED).write_text(str(number))
        make: Callable[[], str] = (
            request.getfixturevalue("postgres")
            if database == "postgres"
            else lambda home=home: fork_server.sqlite(home)
        )
        kills = rows.MAX_RECLAIMS - 1  # one run may be hit by all of them
        last = fork_server.crowd("agents", make(), home, kills=kills, seed=number)
        killed += last.points
        assert last.wrong == [], f"tree {number} in {home}:\n{fork_server.log()}"
    assert killed, "the kills hit nothing"
