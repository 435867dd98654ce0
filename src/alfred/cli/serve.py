"""Commands that execute whatever is queued, until they are told to end."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alfred import app, errors, logs
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common

if TYPE_CHECKING:
    from alfred.runs.worker import Worker


GRACE = 5.0
"""Seconds that a worker which is told to end gives its steps: less than the 10 s after which containers are killed."""


def worker(
    *,
    until_idle: Annotated[bool, Parameter(negative="")] = False,
    slots: int | None = None,
    common: Common = DEFAULT,
) -> int:
    """Execute runs in this process.

    Args:
        until_idle: End when no run is queued or running; parked ones do not hold it.
        slots: How many runs at once, instead of limits.concurrent_runs.
    """
    return _serve(common, kind="worker", until_idle=until_idle, slots=slots)


def serve(*, common: Common = DEFAULT) -> int:
    """Worker, timers and sweep in one process. Opens no port yet."""
    return _serve(common, kind="serve", until_idle=False, slots=None)


def _serve(common: Common, *, kind: str, until_idle: bool, slots: int | None) -> int:
    base = common.open()
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        logs.configure(base.home)
        whole = app.whole(base)
        for problem in whole.load_errors:
            terminal.say(f"alfred: skipped {problem}")
        options: dict[str, Any] = {"kind": kind}
        if slots is not None:
            if slots < 1:
                raise errors.UsageError(f"--slots must be at least 1, not {slots}.")
            options["slots"] = slots
        made = _serving(whole, options)
        what = "worker, timers and sweep; no port is opened" if kind == "serve" else "worker"
        terminal.say(
            f"alfred {what}: {terminal.count(made.slots, 'slot')}, home {terminal.shown(str(base.home))}"
        )
        while until_idle and not ended.is_set() and not base.store.broken:
            if made.idle():
                # Gone from the list of workers first, then one more look: whoever queued a run meanwhile either
                # saw this worker, and its run is seen here, or starts another one.
                made.stop()
                if made.idle():
                    return 0
                made = _serving(whole, options)
            ended.wait(0.1)
        while not ended.wait(1) and not base.store.broken:
            pass
        terminal.say("alfred: ends; what runs is handed back")
        made.stop(grace=GRACE)
        if base.store.broken:
            raise errors.StoreUnavailable(
                f"The database can no longer be written from this process: {base.store.broken}.",
                next="Look at the disk, then start it again: nothing that was committed is lost.",
            )
        return 0
    finally:
        base.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _serving(whole: app.Whole, options: dict[str, Any]) -> Worker:
    made = whole.worker(**options)
    made.start()
    return made
