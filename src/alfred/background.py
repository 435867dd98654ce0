"""The worker in the background: nobody waits for a process that is not there.

Invariant: of many commands that leave a run queued at once exactly one starts a worker, and each says what holds. Only
where the worker that was started does not answer any more (stopped, or hanging) may several start another one.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from alfred import clock
from alfred.runs import overview, stop
from alfred.store.connect import Store

WORKER_STARTS = 15 * clock.SECOND
"""How long a worker that another command started may take to register."""


def ensure_worker(store: Store, home: Path, tenant: str) -> str | None:
    """Starts `alfred worker --until-idle` in the background when nobody would take what is queued.

    The child holds a lock from before it registers until it is gone, so that of many commands at once one
    starts it; none is where everything was stopped. Returns what to tell the person, None when a worker is there.
    """
    with store.read() as look:
        halted = stop.stopped(look, tenant)
    if halted is not None:
        return f"Everything was stopped at {clock.rfc3339(halted)}: `alfred runs resume --all` lets it go on."
    if _there(store):
        return None
    if os.environ.get("ALFRED_NO_WORKER") == "1":
        return "No worker is running: start one with `alfred worker`."
    log = home / "logs" / "worker.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = {**os.environ, "ALFRED_HOME": str(home)}
    said = "No worker was running: one was started in the background, until everything is done."
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    lock = os.open(log.with_name("worker.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        until = clock.monotonic() + WORKER_STARTS
        while not _alone(lock):
            # Somebody has just started one, or one is about to end: it registers, or it is gone, in a moment.
            if _there(store):
                return None
            if clock.monotonic() > until:
                said = "The worker in the background does not answer: another one was started."
                break
            clock.sleep(0.05)
        if _there(store):
            return None
        subprocess.Popen(
            [sys.executable, "-m", "alfred", "worker", "--until-idle"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            env=env,
            cwd=home,
            pass_fds=(lock,),
        )
    finally:
        os.close(descriptor)
        os.close(lock)
    return said


def _there(store: Store) -> bool:
    """Whether a live worker would take what is queued."""
    with store.read() as look:
        return bool(overview.workers(look))


def _alone(lock: int) -> bool:
    """Takes the lock of the background worker, which its child inherits; False while another one holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
