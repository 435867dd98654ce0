"""Commands that steer runs from outside: tell one something, end one, stop everything."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from alfred import app, errors, home
from alfred.cli import outcome, terminal
from alfred.cli.terminal import DEFAULT, Common

_BY_HAND = "Until then end what acts yourself: the processes `alfred worker`, `alfred serve` and `alfred run`."


def tell(run: str, text: str, /, *, common: Common = DEFAULT) -> int:
    """Say something to a run.

    Args:
        run: The run's id.
        text: What it should know or do.
    """
    with common.open() as base:
        told = base.desk.tell(run, text)
        terminal.without_secrets(text)
        note = base.desk.ensure_worker()
        if common.json:
            terminal.document(
                {
                    "id": told.id,
                    "run_id": told.run_id,
                    "consumed": told.consumed,
                    "waits_for": told.waits_for,
                    "follow_up": told.follow_up,
                }
            )
        else:
            if told.follow_up:
                there = terminal.short(told.follow_up)
                terminal.out(
                    f"It has handed its conversation over: run {there} has it."
                    if base.desk.run(told.run_id).live
                    else f"The run was over; run {there} follows it up."
                )
            if told.consumed:
                terminal.out("Taken as the answer to its question.")
            elif told.waits_for:
                terminal.out(f"It is read after the run has what it waits for: {told.waits_for}.")
            elif not told.follow_up:
                terminal.out("It is read at the next turn.")
        if note:
            terminal.say(note)
        return 0


def cancel(run: str, /, *, why: str | None = None, common: Common = DEFAULT) -> int:
    """End a run and everything below it.

    Args:
        run: The run's id.
        why: The reason, for the audit.
    """
    with common.open() as base:
        found = base.desk.cancel(run, why=why)
        # A holder that lives ends it; else somebody must, and a parent that waited for it goes on.
        note = outcome.unattended(base, found) if found.live else None
        note = note or (base.desk.ensure_worker() if found.parent_id else None)
        if common.json:
            terminal.document(outcome.of(base, found))
        else:
            terminal.out(
                f"Run {terminal.short(found.id)} is {'cancelled' if not found.live else 'being cancelled'}."
            )
            if note:
                terminal.say(note)
        return 0


def stop(
    *, all: Annotated[bool, Parameter(name="--all", negative="")] = False, common: Common = DEFAULT
) -> int:
    """Stop everything: no new effect from now on.

    Args:
        all: Yes, everything.
    """
    if not all:
        raise errors.UsageError(
            "`alfred stop` stops everything, so it wants to be told.",
            next="`alfred stop --all`, or `alfred runs cancel RUN`.",
        )
    try:
        with _ledger(common) as base:
            paused = base.desk.stop_all()
    except errors.AlfredError as problem:
        # Another home is no way out: stopping an empty ledger there would look like success.
        way = None if isinstance(problem, errors.HomeRefused) else problem.next
        problem.next = " ".join(filter(None, (way, _BY_HAND)))
        raise
    if common.json:
        terminal.document({"paused": paused})
    else:
        terminal.out(f"Stopped: {terminal.count(paused, 'run')} paused, nothing is started.")
        terminal.out("`alfred runs resume --all` lets it go on.")
    return 0


def _ledger(common: Common) -> app.Base:
    """The ledger, however the configuration stands: whoever wants to stop everything does not have to mend it first."""
    try:
        return common.open()
    except (errors.ConfigError, errors.HomeRefused) as problem:
        folder = common.folder()
        base, place = app.base_despite(problem, folder)
        said = terminal.shown(problem.detail.splitlines()[0], 300).rstrip(".:")
        terminal.say(f"alfred: {said}. It is stopped all the same; `alfred doctor` tells more.")
        named = (
            f"The ledger is the one that {place} names."
            if place
            else f"No database is named there: the ledger is taken to be {home.database_file(folder)}."
            " If it is another one: `ALFRED_DATABASE_URL=… alfred stop --all`."
        )
        terminal.say(f"  {named}")
        return base
