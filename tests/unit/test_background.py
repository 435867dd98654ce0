"""The worker that a command starts: nobody waits for a process that is not there, nor for one that does not answer."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alfred import background
from alfred.store.connect import Store
from tests.conftest import FakeClock


def test_a_worker_that_does_not_answer_keeps_nobody_waiting(
    store: Store, home: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.delenv("ALFRED_NO_WORKER", raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: started.append(words))
    (home / "logs").mkdir(parents=True)
    hanging = os.open(home / "logs" / "worker.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(hanging, fcntl.LOCK_EX)
        told = background.ensure_worker(store, home, "main")
    finally:
        os.close(hanging)
    assert told == "The worker in the background does not answer: another one was started."
    assert [words[-2:] for words in started] == [["worker", "--until-idle"]]
