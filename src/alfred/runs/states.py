"""The words of a run's life and which transitions exist. `ledger` is the only writer of these columns."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a run is."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker holds its lease
    PARKED = "parked"  # waits for something named in `wait`; holds no process
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wait(StrEnum):
    """What a parked run waits for."""

    APPROVAL = "approval"  # a person decides about a call
    QUESTION = "question"  # a person answers
    OPERATOR = "operator"  # a person says what became of a call whose outcome is unknown
    TIMER = "timer"
    CHILDREN = "children"
    EVENT = "event"
    BUDGET = "budget"  # a cap of the day, the agent or the tenant
    LIMIT = "limit"  # the provider's block
    PAUSE = "pause"  # somebody stopped it


LIVE = (Status.QUEUED, Status.RUNNING, Status.PARKED)
OVER = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
ON_A_PERSON = (Wait.APPROVAL, Wait.QUESTION, Wait.OPERATOR)

TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    Status.QUEUED: (Status.RUNNING, Status.CANCELLED, Status.FAILED),
    Status.RUNNING: (
        Status.RUNNING,  # a step committed, the lease kept; or a firing taken over by its own trigger
        Status.QUEUED,
        Status.PARKED,
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
    ),
    Status.PARKED: (Status.QUEUED, Status.CANCELLED, Status.FAILED),
    Status.COMPLETED: (),
    Status.FAILED: (),
    Status.CANCELLED: (),
}
"""Drawn in docs/state_machine.md; the fuzz watches that no other transition is ever seen."""
