"""Each rule notices the state that it forbids, and says nothing about a ledger in which all is well."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from alfred import errors
from alfred.store import connect, invariants, sqlite
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from tests.unit.store import full

FORBIDDEN: dict[str, list[str]] = {
    "a run has a holder exactly while it is running": [
        "update runs set worker='w' where id='{other}'",
        "update runs set status='running', worker='w' where id='{other}'",
        "update runs set status='running' where id='{other}'",
        "update runs set lease_until=1 where id='{other}'",
        "update runs set status='running', lease_until=1 where id='{other}'",
    ],
    "a parked run has a reason and a deadline": [
        "update runs set wait=null where id='{parent}'",
        "update runs set wake_at=null where id='{parent}'",
    ],
    "a run that waits for a person has a card to decide": [
        "update approvals set status='expired', decided_at=1 where id='card-2'",
        "update runs set status='parked', wait='question', wake_at=1 where id='{other}'",
        "update runs set status='parked', wait='operator', wake_at=1 where id='{other}'",
    ],
    "no card is pending of a run that is over or being cancelled": [
        "update runs set status='failed', wait=null, ended_at=1 where id='{parent}'",
        "update runs set cancel=1 where id='{parent}'",
    ],
    "a call has one pending card at most": [
        "update approvals set status='pending', call_id='call-2', version=2, decided_at=null"
        " where id='card-1'"
    ],
    "a gated call was sent with exactly one approval of what was sent": [
        "update approvals set args_hash='other' where id='card-1'",
        "update calls set run_args_hash='other' where id='call-1'",
        "update calls set run_args_hash=null, status='executing' where id='call-1'",
        "update approvals set status='superseded' where id='card-1'",
        "update calls set status='unknown', intent_at=1 where id='call-2'",
        "update approvals set call_id='call-1', version=2, status='auto_approved', args_hash='h1'"
        " where id='card-2'",
    ],
    "an approved call is approved": [
        "update calls set status='staged' where id='call-1'",
        "update calls set status='proposed' where id='call-1'",
        "update calls set status='rejected' where id='call-1'",
        "update calls set status='refused' where id='call-1'",
    ],
    "an outcome has an intent before it": [
        "update calls set intent_at=null where id='call-1'",
        "update calls set outcome_at=null where id='call-1'",
    ],
    "no effect is under way in a run that is over": [
        "update calls set status='executing', run_id='{child}' where id='call-1'"
    ],
    "an intent belongs to an attempt that there was": [
        "update calls set status='executing', intent_attempt=3 where id='call-1'"
    ],
    "the steps of a run have no gap": [
        "delete from run_steps where run_id='{parent}' and seq=1",
        "delete from run_steps where run_id='{parent}' and seq=2",
        "update runs set seq=3 where id='{parent}'",
        "update runs set seq=1 where id='{other}'",
    ],
    "no step was committed by an attempt before the last one's": [
        "update run_steps set attempt=3 where run_id='{parent}' and seq=1"
    ],
    "each attempt has a lease": [
        "delete from leases where run_id='{parent}' and attempt=1",
        "update runs set attempt=1 where id='{other}'",
    ],
    "a parent that waits for children has an open one": [
        "update runs set wait='children' where id='{parent}'"
    ],
    "no child is open when its parent is over": [
        "update runs set parent_id='{child}', parent_call='c' where id='{other}'"
    ],
    "a run that is over has one last event, no other has one": [
        "delete from events where kind='run.terminal'",
        "update events set run_id='{other}' where kind='run.terminal'",
    ],
    "a completed run has read its messages": [
        "update interjections set run_id='{child}'",
    ],
    "a transcript has no gap": [
        "delete from transcript where n=1",
        "update transcript set n=3 where n=2",
        "update transcript set n=n+5",
    ],
    "the tools that a run was offered are kept": [
        "delete from tool_lists",
        "update tool_lists set tenant='acme'",
        "update transcript set item='{{\"tools\": \"\"}}' where kind='system'",
    ],
    "what is reserved is the sum of the open reservations": [
        "update budgets set reserved=701 where scope='agent:a_b'",
        "update budgets set reserved=700 where scope='agent:axb'",
        "update reservations set amount=1",
        "update reservations set status='lapsed'",
        "update reservations set day='2026-11-22'",
    ],
    "the audit chain holds together": [
        "update audit set hash='x' where tenant='main' and n=1",
        "update audit set prev='x' where tenant='main' and n=2",
        "update audit set prev='x' where tenant='acme' and n=1",
        "delete from audit where tenant='main' and n=1",
    ],
    "the head of the audit chain is its last row": [
        "delete from audit where tenant='main' and n=2",
        "delete from audit where tenant='acme'",
        "update audit_heads set n=1 where tenant='main'",
        "update audit_heads set hash='x' where tenant='main'",
        "delete from audit_heads where tenant='acme'",
    ],
    "a fire that started has a run, and no run two fires": [
        "update trigger_fires set run_id=null",
        "insert into trigger_fires(trigger_id,fire_key,fire_at,run_id,outcome)"
        " values('tr1','s:2',1,'{other}','started')",
    ],
    "a keyed effect was sent with its key": [
        "update calls set effect_key=null where id='call-1'",
    ],
    "a decision has somebody who made it, and alfred decides low ones only": [
        "update approvals set decided_by=null where id='card-1'",
        "update approvals set status='rejected', decided_by=null where id='card-1'",
        "update approvals set status='auto_approved', decided_via='auto', auto_approve_at=null"
        " where id='card-1'",
        "update approvals set decided_via='auto', auto_approve_at=1, risk='medium' where id='card-1'",
    ],
    "a decided card is to be shown as decided": [
        "update notices set want=1 where approval_id='card-1'",
    ],
    "a run does not wait for an approval that is given": [
        "update calls set status='approved' where id='call-2'",
    ],
    "no budget is exceeded": [
        "update budgets set cap=699 where scope='agent:a_b'",
        "update budgets set cap=4 where scope='agent:axb'",
    ],
}
RULES = {rule.name: rule for rule in (*invariants.INVARIANTS, *invariants.UNDER_FIXED_CAPS)}


@pytest.fixture
def ledger(store: Store) -> Store:
    """A ledger in which all is well."""
    full.fill(store)
    return store


def unguarded(tx: Tx) -> None:
    """Takes the database's own guards away, which would refuse some of these states."""
    if not tx.pg:
        tx(Sql("pragma ignore_check_constraints=on"))
        tx(Sql("drop index approvals_one"))
        return
    tx(Sql("drop index approvals_one"))
    for row in tx(
        Sql(
            "select cast(cast(conrelid as regclass) as text) as owner, conname from pg_constraint"
            " where contype='c' and connamespace=cast('public' as regnamespace)"
        )
    ).all():
        tx(Sql(f'alter table {row.owner} drop constraint "{row.conname}"'))


def test_a_good_ledger_breaks_no_rule(ledger: Store) -> None:
    assert invariants.check(ledger) == []
    with ledger.read() as look:
        assert invariants.broken(look, list(RULES.values())) == []


def test_an_empty_ledger_breaks_no_rule(store: Store) -> None:
    assert invariants.check(store) == []


def test_each_rule_has_a_state_that_it_forbids() -> None:
    assert list(FORBIDDEN) == list(RULES)


def test_each_rule_notices_each_state_that_it_forbids(ledger: Store) -> None:
    """One transaction, rolled back to the good ledger after each state: a hundred databases would take minutes."""

    class Back(Exception):
        """Ends the transaction without a commit."""

    def look(tx: Tx) -> None:
        unguarded(tx)
        for name, states in FORBIDDEN.items():
            for state in states:
                tx(Sql("savepoint good"))
                tx(Sql(state.format(parent=full.PARENT, child=full.CHILD, other=full.OTHER)))
                found = invariants.broken(tx, [RULES[name]])
                assert found, (name, state)
                assert found[0].check == name
                assert found[0].count >= len(found[0].rows) > 0
                tx(Sql("rollback to savepoint good"))
                assert invariants.broken(tx, [RULES[name]]) == [], (name, state)
        raise Back

    with pytest.raises(Back):
        ledger.transact(look)


def test_a_finding_names_a_few_rows_and_counts_all(store: Store) -> None:
    store.transact(
        lambda tx: tx.many(
            Sql(
                "insert into audit_heads(tenant,n,hash) values(:t,7,'x')",
            ),
            [{"t": f"tenant-{n}"} for n in range(12)],
        )
    )
    (found,) = invariants.check(store)
    assert found.check == "the head of the audit chain is its last row"
    assert found.count == 12
    assert len(found.rows) == invariants.SHOWN


def test_damage_of_the_file_is_found(sqlite_url: str) -> None:
    store = connect.open_store(sqlite_url)
    full.fill(store)
    store.close()
    path = sqlite.path(sqlite_url)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    again = connect.open_store(sqlite_url)
    try:
        found: list[Any] = invariants.check(again)
    except errors.StoreUnavailable as problem:
        assert "malformed" in str(problem)
    else:
        assert found[0].check == "the file is whole"
    again.close()


def test_what_was_written_since_the_last_check_is_no_damage(sqlite_url: str) -> None:
    store = connect.open_store(sqlite_url)
    full.fill(store)
    said = Sql(
        "insert into transcript(run_id,n,seq,kind,item,at)"
        " select run_id,n+:more,seq,kind,item,at from transcript where kind='user' order by run_id,n limit 1"
    )
    for more in (100, 200):
        assert "the file is whole" not in [found.check for found in invariants.check(store)]
        store.transact(lambda tx, more=more: tx(said, more=more))
    assert "the file is whole" not in [found.check for found in invariants.check(store)]
    store.close()


def test_a_row_that_points_to_nothing_is_found(sqlite_url: str) -> None:
    store = connect.open_store(sqlite_url)
    full.fill(store)
    own = sqlite.driver().connect(str(sqlite.path(sqlite_url)))
    own.execute(
        "update scratch set run_id='nobody' where rowid=1"
    )  # a program that does not watch foreign keys
    own.commit()
    own.close()
    found = {finding.check: finding for finding in invariants.check(store)}
    assert found["what a row points to is there"].rows == ("scratch row 1 -> runs",)
    store.close()


def test_a_check_sees_one_moment(ledger: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed between two of its statements belongs to another moment."""
    real = invariants.broken

    def one_by_one(
        tx: Tx, rules: Sequence[invariants.Invariant] = invariants.INVARIANTS
    ) -> list[invariants.Finding]:
        found = real(tx, rules[:1])
        with contextlib.closing(connect.open_store(ledger.url)) as other:
            other.transact(lambda mine: mine(Sql("delete from events where kind='run.terminal'")))
        return found + real(tx, rules[1:])

    monkeypatch.setattr(invariants, "broken", one_by_one)
    assert invariants.check(ledger) == []
    monkeypatch.undo()
    assert [finding.check for finding in invariants.check(ledger)] == [
        "a run that is over has one last event, no other has one"
    ]
