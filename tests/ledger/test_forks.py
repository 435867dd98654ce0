"""Branches: what was said comes along with its labels, what was done does not, and a past that nobody knows is no past."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from alfred import errors, ids
from alfred.runs import forks
from alfred.runs.forks import Point
from alfred.runs.rows import Item, Lease
from tests.ledger.core import Core


def said(core: Core, lease: Lease, *items: Item, **more: Any) -> None:
    """A step that says this."""
    core.advance(lease, step=replace(core.step(**more), items=items))


def fork(core: Core, run_id: str, at: int, *, new_id: str | None = None, **more: Any) -> str:
    new_id = new_id or ids.new()

    def verb(tx: Any) -> None:
        point = forks.point(tx, run_id, at)
        fields: dict[str, Any] = {
            "step": point.next_step,
            "state": point.state,
            "items": (),
            "title": "",
            "model": "m",
        }
        forks.fork(tx, point, new_id=new_id, by="local:1", **(fields | more))

    core.do(verb)
    return new_id


def point(core: Core, run_id: str, at: int) -> Point:
    return core.do(forks.point, run_id, at)


EXTERNAL = Item(
    kind="result",
    item={"kind": "result", "text": "x"},
    integrity="external",
    confidentiality="secret",
)
NOTE = Item(kind="note", item={"kind": "note", "text": "\u0000 \ud800 é"})


def test_a_branch_says_what_was_said_by_then_with_its_labels(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE, EXTERNAL, external=True, state='{"n":1}', answers=1)
    said(core, lease, NOTE, state='{"n":2}', answers=1)
    run = core.run(fork(core, lease.run_id, 1, items=[NOTE]))
    rows = (
        "select n,seq,kind,integrity,confidentiality,at from transcript where run_id=:r order by n"
    )
    ours, theirs = core.all(rows, r=run.id), core.all(rows, r=lease.run_id)
    assert ours[:2] == theirs[:2]
    assert [row[:3] for row in ours[2:]] == [(3, 1, "note")]
    assert (run.status, run.seq, run.turn, run.answers, run.items) == ("queued", 1, 1, 1, 3)
    assert (run.external, run.state, run.step) == (1, '{"n": 1}', "next")
    assert (run.forked_from, run.forked_seq, run.root_id) == (lease.run_id, 1, run.id)
    assert (run.parent_id, run.session_id, run.singleton_key) == (None, run.id, None)


def test_what_joined_the_context_later_does_not_taint_the_branch(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE)
    said(core, lease, EXTERNAL, external=True)
    assert core.run(lease.run_id).external == 1
    assert core.run(fork(core, lease.run_id, 1)).external == 0
    assert core.run(fork(core, lease.run_id, 2)).external == 1


def test_a_branch_goes_on_like_any_run(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE)
    said(core, lease, NOTE)
    mine = core.take(fork(core, lease.run_id, 1))
    said(core, mine, NOTE)
    assert core.run(mine.run_id).seq == 2
    assert core.events(mine.run_id) == ["run.queued", "run.started", "step"]
    core.advance(lease)  # and the other one too
    again = core.take(fork(core, mine.run_id, 2))
    assert core.run(again.run_id).items == 2


def test_the_state_of_a_step_that_kept_it_is_that_of_the_one_before(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE, state='{"n":1}')
    said(core, lease, NOTE)
    said(core, lease, NOTE, state='{"n":3}')
    assert point(core, lease.run_id, 2).state == {"n": 1}
    assert point(core, lease.run_id, 3).state == {"n": 3}


def test_scratch_comes_along_as_it_was_by_then(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE)
    ended = core.one("select ended from run_steps where run_id=:r", r=lease.run_id)
    for path, at in (("old", ended), ("new", ended + 1)):
        core.write(
            "insert into scratch(run_id,path,value,author,integrity,confidentiality,at)"
            " values(:r,:p,'v','main','external','private',:at)",
            r=lease.run_id,
            p=path,
            at=at,
        )
    new = fork(core, lease.run_id, 1)
    assert core.all("select path,integrity from scratch where run_id=:r", r=new) == [
        ("old", "external")
    ]


def test_begun_twice_it_is_begun_once(core: Core) -> None:
    lease = core.held()
    said(core, lease, NOTE)
    new = ids.new()
    for _ in range(2):
        assert fork(core, lease.run_id, 1, new_id=new) == new
    assert core.one("select count(*) from transcript where run_id=:r", r=new) == 1
    forked = [json.loads(row) for (row,) in core.all("select row from audit")]
    assert [row["what"] for row in forked].count("run.fork") == 1


def test_there_is_no_branch_while_an_outcome_before_it_is_not_known(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    [call] = core.calls(lease.run_id)
    core.intend(lease, call.id)
    for status in ("executing", "unknown"):
        core.write("update calls set status=:s where id=:c", s=status, c=call.id)
        with pytest.raises(errors.UsageError, match="Nobody knows what became of"):
            point(core, lease.run_id, 1)
    core.write("update calls set turn=1 where id=:c", c=call.id)
    assert point(core, lease.run_id, 1).turn == 1, "what came later is not its past"
    core.write("update calls set status='skipped',turn=0 where id=:c", c=call.id)
    assert point(core, lease.run_id, 1).turn == 1


@pytest.mark.parametrize("at", [-1, 0, 2, 2**40])
def test_a_step_that_was_not_committed_is_no_place_to_begin(core: Core, at: int) -> None:
    lease = core.held()
    said(core, lease, NOTE)
    with pytest.raises(errors.UsageError, match="has the steps 1 to 1"):
        point(core, lease.run_id, at)


def test_a_dry_run_has_no_branches(core: Core) -> None:
    lease = core.held(dry_run=1)
    said(core, lease, NOTE)
    with pytest.raises(errors.UsageError, match="dry run"):
        point(core, lease.run_id, 1)


def test_a_branch_takes_no_call_card_message_or_money_along(core: Core) -> None:
    lease = core.held()
    core.staged(lease, parked=False)
    core.message(lease.run_id)
    new = fork(core, lease.run_id, 1)
    for table in ("calls", "approvals", "interjections", "leases", "reservations", "run_steps"):
        assert core.one(f"select count(*) from {table} where run_id=:r", r=new) == 0, table
