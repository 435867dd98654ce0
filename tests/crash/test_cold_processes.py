"""The check of the method: true processes, started cold and killed from outside at random moments, tell the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import pytest

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
    process = begin(story, url, home, script)
    told, _ = process.communicate(timeout=120)
    assert json.loads(told.splitlines()[-1]) == []
