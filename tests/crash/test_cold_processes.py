"""The check of the method: true processes, started cold and killed from outside at random moments, tell the same."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time

import pytest

from alfred.store import connect
from alfred.store.statement import Sql
from tests.crash.lives import ROOT, Lives
from tests.crash.test_crash_points import ALL, SEED

pytestmark = [pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(600)]

STORIES = ["tools", "approval", "tree", "cancel", "shutdown"] if ALL else ["tools"]
KILLS = 8 if ALL else 3


def begin(story: str, url: str, home: object, script: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.cold", story, url, str(home), str(script)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begins\n"
    return process


@pytest.mark.parametrize("story", STORIES)
def test_a_cold_process_killed_from_outside_leaves_nothing_undone(
    story: str, fork_server: Lives
) -> None:
    chance = random.Random(f"{SEED} cold {story}")
    home = fork_server.place()
    url, script = fork_server.sqlite(home), fork_server.script
    for _ in range(KILLS):
        process = begin(story, url, home, script)
        time.sleep(chance.uniform(0, 0.15))  # the moment of the kill is meant to be anybody's guess
        process.kill()
        process.communicate()
        _forgive(url)
    process = begin(story, url, home, script)
    told, _ = process.communicate(timeout=120)
    assert json.loads(told.splitlines()[-1]) == []


def _forgive(url: str) -> None:
    """A slow machine may commit no step between three kills, and a run that kills its workers is poison: rightly so, and
    not what is asked here."""
    with contextlib.closing(connect.open_store(url)) as store:
        store.transact(lambda tx: tx(Sql("update runs set reclaims=0")))
