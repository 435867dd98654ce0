"""Commands that execute whatever is queued, until they are told to end."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alfred import app, errors, logs
from alfred.cli import terminal
from alfred.cli.leaving import Left, Signals
from alfred.cli.terminal import DEFAULT, Common

if TYPE_CHECKING:
    from alfred.runs.worker import Worker


GRACE = 5.0
"""Seconds that a worker which is told to end gives its steps: less than the 10 s after which containers are killed."""


def worker(
    *,
    until_idle: Annotated[bool, Parameter(negative="")] = False,
    until_eof: Annotated[bool, Parameter(negative="")] = False,
    slots: int | None = None,
    common: Common = DEFAULT,
) -> int:
    """Execute runs in this process.

    Args:
        until_idle: End when no run is queued or running; parked ones do not hold it.
        until_eof: End when standard input does: a pipe of whoever started it, whose end closes with them, kill -9 too.
        slots: How many runs at once, instead of limits.concurrent_runs.
    """
    return _serve(common, kind="worker", until_idle=until_idle, until_eof=until_eof, slots=slots)


def serve(*, common: Common = DEFAULT) -> int:
    """Worker, timers and sweep in one process. Opens no port yet."""
    return _serve(common, kind="serve", until_idle=False, until_eof=False, slots=None)


def _serve(
    common: Common, *, kind: str, until_idle: bool, until_eof: bool, slots: int | None
) -> int:
    if slots is not None and slots < 1:
        raise errors.UsageError(
            f"--slots is {slots}.", next="Give 1 or more: how many runs at once."
        )
    with Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals, common.open() as base:
        logs.configure(base.home)
        whole = app.whole(base)
        for problem in whole.load_errors:
            terminal.say(f"alfred: skipped {terminal.shown(str(problem), 400)}")
        made = _started(whole, kind, slots)
        what = "worker, timers and sweep; no port is opened" if kind == "serve" else "worker"
        terminal.say(
            f"alfred {what}: {terminal.count(made.slots, 'slot')}, home {terminal.shown(str(base.home))}"
        )
        try:
            while not base.store.broken and not (until_eof and _at_eof()):
                if until_idle and made.idle():
                    # Gone from the list of workers first, then one more look: whoever queued a run meanwhile
                    # either saw this worker, and its run is seen here, or starts another one.
                    made.stop()
                    whole.propose()
                    if made.idle():
                        return _ended(common, kind, made, "idle")
                    made = _started(whole, kind, slots)
                signals.wait(0.1 if until_idle or until_eof else 1)
        except Left:
            pass
        if base.store.broken:
            made.stop(grace=GRACE)
            raise errors.StoreUnavailable(
                f"The database can no longer be written from this process: {base.store.broken}.",
                next="Start it again: nothing that was committed is lost.",
            )
        terminal.say("alfred: ends; what runs is handed back")
        made.stop(grace=GRACE)
        return _ended(common, kind, made, "eof" if until_eof and _at_eof() else "signal")


def _at_eof() -> bool:
    """Whether standard input is over; what stands in it is read and means nothing."""
    try:
        while select.select([0], [], [], 0)[0]:
            if not os.read(0, 65_536):
                return True
    except OSError:
        return True  # closed, or gone with the terminal
    return False


def _started(whole: app.Whole, kind: str, slots: int | None) -> Worker:
    options = {"slots": slots} if slots is not None else {}
    made = whole.worker(kind=kind, **options)
    made.start()
    return made


def _ended(common: Common, kind: str, made: Worker, why: str) -> int:
    if common.json:
        terminal.document({"kind": kind, "worker": made.holder.worker, "ended": why})
    return 0
