"""How runs end: once, with everything that hangs on them, and the parent told."""

from __future__ import annotations

import pytest

from alfred import clock
from alfred.runs import endings, ledger
from alfred.runs.states import Status, Wait
from tests.ledger.core import Core


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_an_end_frees_the_run_and_says_so_once(core: Core, status: Status) -> None:
    lease = core.held()
    core.finish(
        lease,
        status,
        result="r",
        error={"code": "c", "detail": "d"} if status is Status.FAILED else None,
    )
    run = core.run(lease.run_id)
    assert (run.status, run.result, run.worker, run.lease_until) == (status, "r", None, None)
    assert run.ended_at is not None
    assert core.events(lease.run_id).count("run.terminal") == 1
    assert core.one("select ended from leases where run_id=:r", r=lease.run_id) == status


def test_a_run_with_open_children_waits_for_them_instead_of_completing(core: Core) -> None:
    lease = core.held()
    child = core.child(lease.run_id)
    done = core.finish(lease, dead_man_us=clock.MINUTE)
    assert (done.status, done.wait) == (Status.PARKED, Wait.CHILDREN)
    assert core.run(lease.run_id).step == "again"
    core.cancel(child)
    assert core.run(lease.run_id).status == "queued"


def test_a_run_with_an_unread_message_goes_on_instead_of_completing(core: Core) -> None:
    lease = core.held()
    core.message(lease.run_id)
    done = core.finish(lease)
    assert done.status is Status.RUNNING
    assert (core.run(lease.run_id).step, core.run(lease.run_id).seq) == ("again", 1)


def test_a_failed_run_takes_its_children_with_it(core: Core) -> None:
    lease = core.held()
    waiting, working = core.child(lease.run_id), core.child(lease.run_id)
    core.take(working)
    core.finish(lease, Status.FAILED, error={"code": "c", "detail": "d"})
    assert core.run(waiting).status == "cancelled"
    assert core.run(working).cancel == 1


def test_the_end_settles_everything_that_was_open(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("none", "action", "none"), parked=False)
    begun = core.calls(lease.run_id)[0].id
    core.intend(lease, begun)
    core.finish(lease, Status.FAILED, error={"code": "c", "detail": "d"})
    assert [c.status for c in core.calls(lease.run_id)] == ["unknown", "skipped", "skipped"]
    assert core.one("select status from approvals") == "cancelled"
    assert "notice" in core.events(lease.run_id), (
        "nobody is told of the effect whose outcome is not known"
    )
    assert core.outcome(lease, begun), "what became of it is not recorded after the end"
    assert core.call(begun).status == "done"


# ---- children and parents ----


def test_the_last_child_wakes_its_parent_and_no_other_does(core: Core) -> None:
    lease = core.held()
    children = [core.child(lease.run_id) for _ in range(3)]
    core.park(lease, Wait.CHILDREN)
    for child, then in zip(children, ["parked", "parked", "queued"], strict=True):
        core.finish(core.take(child))
        assert core.run(lease.run_id).status == then


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.BUDGET])
def test_a_child_does_not_wake_a_parent_that_waits_for_something_else(
    core: Core, wait: Wait
) -> None:
    lease = core.held()
    child = core.child(lease.run_id)
    core.park(lease, wait)
    core.finish(core.take(child))
    assert core.run(lease.run_id).status == "parked"


# ---- cancelling ----


def test_cancel_ends_what_waits_and_tells_what_works(core: Core) -> None:
    queued, parked, running = core.start(), core.held(), core.held()
    core.staged(parked)
    for run_id in (queued, parked.run_id, running.run_id):
        assert core.cancel(run_id)
    assert core.run(queued).status == core.run(parked.run_id).status == "cancelled"
    assert core.run(running.run_id).status == "running" and core.run(running.run_id).cancel == 1
    assert core.one("select status from approvals") == "cancelled"
    assert core.do(endings.honour_cancel, running.run_id)
    assert core.run(running.run_id).status == "cancelled"
    assert not core.do(endings.honour_cancel, running.run_id)


def test_cancel_reaches_every_level_of_a_tree(core: Core) -> None:
    root = core.held()
    child = core.child(root.run_id)
    grandchild = core.child(child)
    held = core.take(grandchild)
    core.park(root, Wait.CHILDREN)
    assert core.cancel(root.run_id)
    assert [core.run(r).status for r in (root.run_id, child)] == ["cancelled", "cancelled"]
    assert core.run(grandchild).cancel == 1
    assert core.do(endings.honour_cancel, held.run_id)


def test_cancel_of_a_child_leaves_its_siblings_and_wakes_the_parent_last(core: Core) -> None:
    root = core.held()
    first, second = core.child(root.run_id), core.child(root.run_id)
    core.park(root, Wait.CHILDREN)
    core.cancel(first)
    assert core.run(second).status == "queued" and core.run(root.run_id).status == "parked"
    core.cancel(second)
    assert core.run(root.run_id).status == "queued"


def test_what_is_over_is_not_cancelled(core: Core) -> None:
    lease = core.held()
    core.finish(lease)
    assert not core.cancel(lease.run_id)
    assert not core.cancel("01NOSUCHRUN")
    assert core.run(lease.run_id).status == "completed"


def test_an_end_is_for_good(core: Core) -> None:
    lease = core.held()
    core.finish(lease, result="r")
    for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        assert not core.do(lambda tx, status=status: endings.terminal(tx, lease.run_id, status))
    assert (core.run(lease.run_id).status, core.run(lease.run_id).result) == ("completed", "r")


def test_cancelling_twice_is_cancelling_once(core: Core) -> None:
    run_id = core.start()
    assert core.cancel(run_id)
    assert not core.cancel(run_id)
    assert core.events(run_id).count("run.terminal") == 1


def test_a_run_that_is_being_cancelled_ends_as_nothing_else(core: Core) -> None:
    lease = core.held()
    core.cancel(lease.run_id)
    assert not core.do(lambda tx: endings.terminal(tx, lease.run_id, Status.COMPLETED))
    assert not core.do(endings.fail, lease.run_id, code="c", detail="d")
    core.do(endings.honour_cancel, lease.run_id)


def test_honouring_a_cancel_that_nobody_asked_for_does_nothing(core: Core) -> None:
    lease = core.held()
    assert not core.do(endings.honour_cancel, lease.run_id)
    assert core.run(lease.run_id).status == "running"


def test_a_failure_from_outside_says_why_and_ends_the_children(core: Core) -> None:
    lease = core.held()
    child = core.child(lease.run_id)
    assert not core.do(endings.fail, lease.run_id, code="c", detail="d", attempt=7)
    assert core.do(endings.fail, lease.run_id, code="c", detail="d", attempt=1)
    assert core.run(lease.run_id).error == '{"code": "c", "detail": "d"}'
    assert core.run(child).status == "cancelled"


def test_a_cancel_is_in_the_audit_chain(core: Core) -> None:
    core.cancel(core.start())
    assert '"run.cancel"' in core.one("select row from audit")


def test_a_message_that_nobody_read_is_told_of_when_its_run_fails(core: Core) -> None:
    lease = core.held()
    core.do(ledger.message, lease.run_id, message_id="m", body="and this", author="me")
    core.do(endings.fail, lease.run_id, code="x", detail="y")
    assert core.events(lease.run_id)[-2:] == ["run.terminal", "notice"]
