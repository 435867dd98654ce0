"""What is shown is what is stored: names, lists, one run with everything, counts; on both databases."""

from __future__ import annotations

import json
import os
import platform
import re
from typing import Any

import pytest
import sqlalchemy as sa

from alfred import clock, errors, ids
from alfred.memory import ledger as memory
from alfred.runs import (
    blocks,
    claims,
    crons,
    endings,
    events,
    leases,
    ledger,
    overview,
    rows,
    shapes,
    spending,
    tasks,
    views,
)
from alfred.runs.crons import NewTrigger
from alfred.runs.rows import Caps, Holder, Item, Lease, NewRun, Step
from alfred.runs.states import Status, Wait
from alfred.store import disk, schema
from alfred.store.connect import Store
from alfred.store.statement import Sql
from tests.table import table
from tests.unit.store import full

HOLDER = Holder(worker="W", boot=leases.boot(), lease_us=clock.MINUTE)
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def start(store: Store, run_id: str | None = None, **changes: Any) -> str:
    values: dict[str, Any] = {"id": run_id or ids.new(), "workflow": "agent", "step": "boss-turn"}
    new = NewRun(**values | {"brief": "say hello"} | changes)
    assert store.transact(ledger.start, new)
    return new.id


def claim(store: Store, run_id: str) -> Lease:
    caps = Caps(total=100, per_agent=100)
    held = store.transact(claims.claim, HOLDER, lambda tenant, agent: caps, hint=run_id)
    assert isinstance(held, tuple)
    return held[0]


def step(name: str = "boss-turn", *items: Item, answers: int = 0) -> Step:
    return Step(token=ids.new(), name=name, started=1_000_000, items=items, answers=answers)


def park(store: Store, run_id: str, wait: Wait, for_us: int = clock.HOUR) -> None:
    lease = claim(store, run_id)
    seq = get(store, run_id).seq
    store.transact(
        ledger.park,
        lease,
        seq,
        step(),
        to="boss-turn",
        wait=wait,
        for_us=for_us,
        lease_us=clock.MINUTE,
    )


def get(store: Store, run_id: str) -> rows.Run:
    with store.read() as look:
        found = rows.get(look, run_id)
    assert found is not None
    return found


def insert(store: Store, table: sa.Table, **values: Any) -> None:
    store.transact(lambda tx: tx(full.inserting(table.name, values), **values))


def card(store: Store, run_id: str, ordinal: int = 0, **changes: Any) -> tuple[str, str]:
    """A staged call with its pending card: (call, approval)."""
    call_id, approval_id = ids.new(), ids.new()
    insert(
        store,
        schema.calls,
        id=call_id,
        run_id=run_id,
        turn=0,
        ordinal=ordinal,
        action="world.append",
        effect="keyed",
        risk="medium",
        gated=1,
        args='{"line": "x"}',
        args_hash="h",
        status="staged",
    )
    values: dict[str, Any] = {
        "id": approval_id,
        "call_id": call_id,
        "version": 1,
        "run_id": run_id,
        "tenant": "main",
        "agent": "main",
        "action": "world.append",
        "args_hash": "h",
        "risk": "medium",
        "title": "Append a line",
        "preview": "x",
        "status": "pending",
        "expires_at": 7 * clock.DAY,
        "created_at": 1_500_000,
    }
    insert(store, schema.approvals, **values | changes)
    return call_id, approval_id


def used(store: Store, run_id: str, **changes: Any) -> None:
    values: dict[str, Any] = {
        "id": ids.new(),
        "run_id": run_id,
        "tenant": "main",
        "agent": "main",
        "turn": 0,
        "seq": 0,
        "attempt": 1,
        "purpose": "boss",
        "model": "scripted:x",
        "outcome": "ok",
    }
    store.transact(spending.record, **values | changes)


# ---- names ----


def resolve(store: Store, text: str, table: views.Table = "runs", tenant: str = "main") -> str:
    with store.read() as look:
        return views.resolve(look, table, tenant, text)


def test_a_run_is_named_by_its_whole_id_a_beginning_or_an_end(store: Store) -> None:
    first = start(store, "01AAAAAAAAAAAAAAAAAAAAAA7K")
    second = start(store, "01BBBBBBBBBBBBBBBBBBBBBBQ2")
    for text, wanted in (
        (first, first),
        ("01AA", first),
        ("AAA7K", first),
        ("aa7k", first),
        ("01bbb", second),
        (f"  {second.lower()} ", second),
    ):
        assert resolve(store, text) == wanted


def test_an_id_that_is_the_beginning_of_another_names_itself(store: Store) -> None:
    short, _long = start(store, "abcd"), start(store, "abcdef")
    assert resolve(store, "abcd") == short


def test_what_fits_several_is_refused_with_the_list(store: Store) -> None:
    made = [start(store, f"01AAAA{n}ZZZZ") for n in range(3)]
    for text in ("01AA", "ZZZZ", "zzzz"):
        with pytest.raises(errors.Ambiguous) as refused:
            resolve(store, text)
        assert sorted(refused.value.extra["ids"]) == made
        assert all(run_id in refused.value.detail for run_id in made)
    for n in range(20):
        start(store, f"01CCCC{n:02}XXXX")
    with pytest.raises(errors.Ambiguous, match="10 and more runs fit") as refused:
        resolve(store, "01CC")
    assert len(refused.value.extra["ids"]) == 10


@pytest.fixture
def one_run(store: Store) -> Store:
    start(store, "01AAAAAAAAAAAAAAAAAAAAAA7K")
    return store


@table(["", "7K", "A7K", "nothing", "%", "____", "01%%", "01A_", "%A7K", "x" * 500, "' or 1=1"])
def test_what_names_nothing_is_not_found(one_run: Store, text: str) -> None:
    with pytest.raises(errors.NotFound) as refused:
        resolve(one_run, text)
    assert refused.value.next is not None
    assert ("at least 4" in refused.value.detail) == (len(text) < 4)


def test_nothing_of_another_tenant_is_ever_named(store: Store) -> None:
    theirs = start(store, "01AAAAAAAAAAAAAAAAAAAAAA7K", tenant="other")
    for text in (theirs, "01AA", "AA7K"):
        with pytest.raises(errors.NotFound):
            resolve(store, text)
        assert resolve(store, text, tenant="other") == theirs


def test_cards_and_triggers_are_named_alike(store: Store) -> None:
    _, approval_id = card(store, start(store))
    assert resolve(store, approval_id[-6:].lower(), "approvals") == approval_id
    trigger = cron(store, "job")
    assert resolve(store, trigger[-6:], "triggers") == trigger
    store.transact(crons.remove, trigger)
    with pytest.raises(errors.NotFound):
        resolve(store, trigger, "triggers")


# ---- lists ----


def test_runs_are_listed_newest_first_in_the_fixed_shape(store: Store) -> None:
    old, new = start(store), start(store, agent="ops", brief=None)
    start(store, tenant="other")
    with store.read() as look:
        found, cursor = views.runs(look, "main")
    assert [line["id"] for line in found] == sorted([old, new], reverse=True)
    assert cursor is None
    line = next(line for line in found if line["id"] == old)
    assert RFC3339.fullmatch(line.pop("created_at"))
    assert line == {
        "id": old,
        "status": "queued",
        "wait": None,
        "agent": "main",
        "workflow": "agent",
        "brief": "say hello",
        "cost_usd": 0.0,
    }


def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    made = sorted((start(store) for _ in range(7)), reverse=True)
    seen: list[str] = []
    cursor: str | None = None
    with store.read() as look:
        for _ in range(9):
            found, cursor = views.runs(look, "main", limit=2, cursor=cursor)
            seen += [line["id"] for line in found]
            if cursor is None:
                break
        assert seen == made
        assert len(views.runs(look, "main", limit=10**9)[0]) == 7
        assert len(views.runs(look, "main", limit=-1)[0]) == 1
        assert views.runs(look, "main", limit=7)[1] is None


def test_runs_are_listed_by_status(store: Store) -> None:
    queued, cancelled = start(store), start(store)
    store.transact(endings.cancel, cancelled, by="test", token=ids.new())
    with store.read() as look:
        for status, wanted in (
            ("queued", [queued]),
            ("cancelled", [cancelled]),
            ("failed", []),
        ):
            assert [line["id"] for line in views.runs(look, "main", status=status)[0]] == wanted


def test_cost_is_known_zero_or_unknown(store: Store) -> None:
    idle, priced, unknown, mixed, notional, refused = (start(store) for _ in range(6))
    used(store, priced, cost=4000)
    used(store, priced, cost=500)
    used(store, unknown, cost=None, input_tokens=9)
    used(store, mixed, cost=None, input_tokens=9)
    used(store, mixed, cost=1)
    used(store, notional, cost=9999, notional=True, input_tokens=9)
    used(store, refused, cost=None, outcome="auth")
    with store.read() as look:
        cost = {line["id"]: line["cost_usd"] for line in views.runs(look, "main")[0]}
        spent = {
            line["id"]: line["cost_usd"] for line in spending.spend(look, "main", "UTC")["runs"]
        }
    assert cost == {
        idle: 0,
        priced: 0.0045,
        unknown: None,
        mixed: 0.000001,
        notional: 0,
        refused: 0,
    }
    assert spent == {run: usd for run, usd in cost.items() if run != idle}, "by the same rule"


# ---- one run ----


def test_a_run_is_shown_with_everything_in_the_fixed_shape(store: Store) -> None:
    run_id = start(store, model="scripted:x", title="Hello")
    lease = claim(store, run_id)
    said: dict[str, Any] = {"kind": "result", "call_id": "c1", "tool": "git__log", "text": "one"}
    items = (
        Item(kind="user", item={"kind": "user", "text": "say hello"}, integrity="owner"),
        Item(kind="assistant", item={"kind": "assistant", "text": "Looking.", "calls": []}),
        Item(kind="result", item=said, integrity="external", confidentiality="public"),
    )
    store.transact(
        ledger.advance,
        lease,
        0,
        step("boss-turn", *items, answers=1),
        to="dispatch-tools",
        lease_us=1,
    )
    used(store, run_id, cost=4000, input_tokens=900, output_tokens=80)
    call_id, approval_id = card(store, run_id)
    child = start(store, parent_id=run_id, parent_call="c", root_id=run_id, depth=1, brief="below")
    with store.read() as look:
        told = views.show(look, run_id)
    assert json.loads(json.dumps(told)) == told
    run = told["run"]
    assert {
        "id": run_id,
        "status": "running",
        "wait": None,
        "agent": "main",
        "workflow": "agent",
        "brief": "say hello",
        "title": "Hello",
        "model": "scripted:x",
        "result": None,
        "error": None,
        "cost_usd": 0.004,
        "usage": {"turns": 1, "input_tokens": 900, "output_tokens": 80, "cost_usd": 0.004},
        "waiting": [{"id": approval_id, "kind": "action", "title": "Append a line"}],
        "step": "dispatch-tools",
        "seq": 1,
        "attempt": 1,
        "worker": "W",
        "dry_run": False,
    }.items() <= run.items()
    (shown,) = told["steps"]
    assert RFC3339.fullmatch(shown.pop("ended_at"))
    assert shown == {
        "seq": 1,
        "attempt": 1,
        "name": "boss-turn",
        "outcome": "next",
        "worker": "W",
        "started_at": "1970-01-01T00:00:01.000Z",
    }
    for entry in told["transcript"]:
        assert RFC3339.fullmatch(entry.pop("at"))
    empty = {"call_id": None, "tool": None, "seq": 1}
    assert told["transcript"] == [
        {"n": 1, "kind": "user", "text": "say hello", "label": "owner/private"} | empty,
        {"n": 2, "kind": "assistant", "text": "Looking.", "label": "derived/private"} | empty,
        {
            "n": 3,
            "seq": 1,
            "kind": "result",
            "text": "one",
            "call_id": "c1",
            "tool": "git__log",
            "label": "external/public",
        },
    ]
    assert told["calls"] == [
        {
            "id": call_id,
            "turn": 0,
            "ordinal": 0,
            "action": "world.append",
            "risk": "medium",
            "effect": "keyed",
            "status": "staged",
            "args": {"line": "x"},
            "result": None,
            "error": None,
            "approval_id": approval_id,
            "started_at": None,
            "ended_at": None,
        }
    ]
    assert [a["id"] for a in told["approvals"]] == [approval_id]
    assert [(c["id"], c["brief"]) for c in told["children"]] == [(child, "below")]


def test_the_scratch_of_a_tree_is_shown_with_its_top_and_of_a_child_its_own(store: Store) -> None:
    top = start(store)
    child = start(store, parent_id=top, parent_call="c", root_id=top, depth=1)
    own = f"{rows.notes_of(child)}found"
    for path, more in (
        ("plan", {}),
        (own, {"integrity": "external"}),
        ("shared.found", {"origin": own, "reason": "both say so"}),
    ):
        said = {"value": "v", "author": "a", "integrity": "derived", "confidentiality": "private"}
        store.transact(memory.note, run_id=top, path=path, **said | more)
    with store.read() as look:
        told, below = views.show(look, top)["scratch"], views.show(look, child)["scratch"]
    assert [one["path"] for one in told] == ["plan", own, "shared.found"]
    assert below == [told[1]]
    assert {**told[2], "at": None} == {
        "path": "shared.found",
        "value": "v",
        "author": "a",
        "origin": own,
        "reason": "both say so",
        "label": "derived/private",
        "at": None,
    }


def test_how_a_run_ended_is_told_as_run_prints_it(store: Store) -> None:
    run_id = start(store)
    lease = claim(store, run_id)
    store.transact(
        ledger.finish,
        lease,
        0,
        step(),
        again="boss-turn",
        status=Status.FAILED,
        result="half",
        error={"code": "cap:usd", "detail": "too much"},
        lease_us=clock.MINUTE,
    )
    with store.read() as look:
        assert views.end(look, run_id) == {
            "id": run_id,
            "status": "failed",
            "wait": None,
            "result": "half",
            "usage": {"turns": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0},
            "waiting": [],
            "error": {"code": "cap:usd", "detail": "too much"},
        }
        assert views.show(look, run_id)["steps"][0]["outcome"] == "failed"


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with store.read() as look:
        for verb in (views.show, views.end, views.approval, tasks.get):
            with pytest.raises(errors.NotFound):
                verb(look, "nobody")


# ---- cards ----


def test_a_card_is_shown_in_the_fixed_shape(store: Store) -> None:
    run_id = start(store)
    _, approval_id = card(
        store, run_id, auto_ok=1, risk="low", auto_approve_at=2_000_000, claim="because"
    )
    with store.read() as look:
        assert views.approval(look, approval_id) == {
            "id": approval_id,
            "kind": "action",
            "run_id": run_id,
            "agent": "main",
            "risk": "low",
            "action": "world.append",
            "title": "Append a line",
            "preview": "x",
            "args": {"line": "x"},
            "args_hash": "h",
            "claim": "because",
            "provenance": None,
            "default": "auto_approve",
            "auto_approve_at": "1970-01-01T00:00:02.000Z",
            "expires_at": "1970-01-08T00:00:00.000Z",
            "status": "pending",
            "created_at": "1970-01-01T00:00:01.500Z",
            "decision": None,
            "decided_by": None,
            "decided_via": None,
            "decided_at": None,
            "reason": None,
            "edited_args": None,
            "supersedes": None,
        }


def test_cards_are_listed_by_status_and_run_newest_first(store: Store) -> None:
    first, second = start(store), start(store)
    _, a = card(store, first)
    _, b = card(store, second)
    decided = {
        "status": "approved",
        "decided_at": 1,
        "decided_by": "local:0",
        "decision": "approve",
    }
    _, c = card(store, first, ordinal=1, **decided)
    card(store, start(store, tenant="other"), tenant="other")
    with store.read() as look:

        def found(**query: Any) -> list[str]:
            return [told["id"] for told in views.approvals(look, "main", **query)["approvals"]]

        assert found() == sorted([a, b], reverse=True)
        assert found(status="all") == sorted([a, b, c], reverse=True)
        assert found(status="approved") == [c]
        assert found(status="all", run_id=first) == sorted([a, c], reverse=True)
        page = views.approvals(look, "main", status="all", limit=2)
        assert found(status="all", cursor=page["next"]) == [min(a, b, c)]
        told = views.approval(look, c)
    assert (told["default"], told["decided_by"], told["decision"]) == (
        "block",
        "local:0",
        "approve",
    )


# ---- tasks ----


def task_of(store: Store, wait: Wait | None = None, **changes: Any) -> str:
    run_id = start(store, **{"trigger_kind": "background"} | changes)
    if wait in (Wait.APPROVAL, Wait.QUESTION, Wait.OPERATOR):
        kind = {Wait.APPROVAL: "action", Wait.QUESTION: "question"}.get(wait, "outcome")
        card(store, run_id, kind=kind)
    if wait is not None:
        park(store, run_id, wait)
    return run_id


def listed(store: Store, status: str = "active", **query: Any) -> list[str]:
    with store.read() as look:
        return [task["id"] for task in tasks.listed(look, "main", status=status, **query)["tasks"]]


def test_tasks_are_what_was_delegated_in_the_words_of_tasks(store: Store) -> None:
    start(store)  # a run from the command line is no task
    task_of(store, tenant="other")
    made = {
        "queued": [task_of(store)],
        "running": [task_of(store, Wait.TIMER), task_of(store, Wait.EVENT)],
        "waiting_approval": [task_of(store, Wait.APPROVAL), task_of(store, Wait.OPERATOR)],
        "waiting_reply": [task_of(store, Wait.QUESTION, trigger_kind="walkaway")],
        "paused": [
            task_of(store, wait, trigger_kind="cron")
            for wait in (Wait.BUDGET, Wait.LIMIT, Wait.PAUSE)
        ],
    }
    over = task_of(store)
    store.transact(endings.cancel, over, by="test", token=ids.new())
    for status, wanted in made.items():
        assert sorted(listed(store, status)) == sorted(wanted), status
    live = sorted(run_id for group in made.values() for run_id in group)
    assert sorted(listed(store)) == live
    assert listed(store, "all") == sorted([*live, over], reverse=True)
    assert listed(store, "cancelled") == [over]
    assert listed(store, "done") == listed(store, "failed") == []
    for wrong in ("parked", "completed", "wating_reply", ""):
        with pytest.raises(errors.UsageError, match="No task is ever"):
            listed(store, wrong)


def test_pages_of_tasks_follow_each_other(store: Store) -> None:
    made = sorted((task_of(store) for _ in range(5)), reverse=True)
    with store.read() as look:
        first = tasks.listed(look, "main", limit=2)
        second = tasks.listed(look, "main", limit=2, cursor=first["next"])
        third = tasks.listed(look, "main", limit=2, cursor=second["next"])
    assert [t["id"] for page in (first, second, third) for t in page["tasks"]] == made
    assert third["next"] is None


def test_a_task_tells_its_progress_its_card_and_its_messages(store: Store) -> None:
    run_id = task_of(store, Wait.APPROVAL)
    used(store, run_id, cost=4000)
    message = ids.new()
    assert store.transact(
        ledger.message, run_id, message_id=message, body="hurry", author="local:0"
    )
    store.transact(
        lambda tx: events.emit(tx, tenant="main", run_id=run_id, kind="text", text="half way")
    )
    with store.read() as look:
        told = tasks.get(look, run_id)
        (waiting,) = views.waiting(look, run_id)
    assert json.loads(json.dumps(told)) == told
    assert told["approval_id"] == waiting["id"]
    assert (told["status"], told["wait"], told["mode"], told["cost_usd"]) == (
        "waiting_approval",
        "approval",
        "background",
        0.004,
    )
    assert told["progress"] == {
        "step": "boss-turn",
        "steps_done": 1,
        "note": "half way",
        "percent": None,
    }
    assert [log["text"] for log in told["logs"]] == [
        "queued",
        "started (attempt 1)",
        "boss-turn: parked",
        "waits for approval",
        "scripted:x: 0 tokens, 0.004000 USD",
        "half way",
    ]
    assert [log["kind"] for log in told["logs"]][-2:] == ["spend", "text"]
    assert told["updated_at"] == told["logs"][-1]["at"]
    (sent,) = told["interjections"]
    assert (sent["id"], sent["text"], sent["consumed_at"]) == (message, "hurry", None)


def test_a_task_shows_its_last_twenty_events(store: Store) -> None:
    run_id = task_of(store)
    for n in range(30):
        store.transact(
            lambda tx, n=n: events.emit(tx, tenant="main", run_id=run_id, kind="text", text=str(n))
        )
    with store.read() as look:
        logs = tasks.get(look, run_id)["logs"]
    assert [log["text"] for log in logs] == [str(n) for n in range(10, 30)]


@table(list(Wait))
def test_every_wait_has_a_word_for_tasks(wait: Wait) -> None:
    assert shapes.task_status("parked", wait) in (
        "running",
        "waiting_approval",
        "waiting_reply",
        "paused",
    )


# ---- counts ----


def cron(store: Store, name: str, **changes: Any) -> str:
    values: dict[str, Any] = {
        "id": ids.new(),
        "tenant": "main",
        "name": name,
        "spec": "@daily",
        "task": "x",
    }
    return store.transact(crons.create, NewTrigger(**values | changes), zone="UTC").id


def worker(store: Store, *, kind: str = "worker", **changes: Any) -> None:
    values: dict[str, Any] = {
        "id": ids.new(),
        "host": platform.node(),
        "boot": leases.boot(),
        "pidns": leases.pid_namespace(),
        "pid": os.getpid(),
        "pid_start": leases.started(os.getpid()),
        "kind": kind,
        "slots": 4,
        "beat": now(store),
    }
    insert(store, schema.workers, **values | changes)


def now(store: Store) -> int:
    with store.read() as look:
        return look(crons.NOW).scalar_one()


def status(store: Store, tenant: str = "main") -> dict[str, Any]:
    with store.read() as look:
        return overview.status(look, tenant, "UTC")


NOTHING = {
    "runs": {
        "queued": 0,
        "running": 0,
        "parked": 0,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
    },
    "waits": {},
    "approvals_pending": 0,
    "asked": {"per_day": 0.0, "median_s": None, "median_high_s": None},
    "workers": 0,
    "blocks": [],
    "spend_today": 0.0,
    "next_fires": [],
    "late": {"runs": 0, "cards": 0, "timers": 0, "crons": 0},
}


def test_an_empty_ledger_has_a_whole_status(store: Store) -> None:
    assert status(store) == NOTHING


def test_status_counts_what_is_there(store: Store) -> None:
    worker(store)
    start(store)
    card(store, start(store), expires_at=now(store) + clock.HOUR)
    over = start(store)
    store.transact(endings.cancel, over, by="test", token=ids.new())
    used(store, over, cost=2_500_000)
    store.transact(blocks.block, "main", "openai", clock.HOUR, "rate_limit")
    with store.read() as look:
        until = look(Sql("select until from blocks")).scalar_one()
    job = cron(store, "job")
    cron(store, "off", enabled=False)
    told = status(store)
    assert json.loads(json.dumps(told)) == told
    assert told["runs"] == NOTHING["runs"] | {"queued": 2, "cancelled": 1}
    assert told["approvals_pending"] == told["workers"] == 1
    assert told["blocks"] == [
        {"provider": "openai", "until": clock.rfc3339(until), "reason": "rate_limit"}
    ]
    assert told["spend_today"] == 2.5
    (fire,) = told["next_fires"]
    assert (fire["id"], fire["name"]) == (job, "job")
    assert RFC3339.fullmatch(fire["at"])
    assert told["late"] == {"runs": 0, "cards": 0, "timers": 0, "crons": 0}


def test_status_of_a_tenant_tells_nothing_of_another(store: Store) -> None:
    run_id = start(store)
    card(store, run_id)
    used(store, run_id, cost=1)
    cron(store, "job")
    store.transact(blocks.block, "main", "openai", clock.HOUR, "x")
    assert status(store, "other") == NOTHING


def test_without_a_worker_what_waits_is_counted(store: Store) -> None:
    for _ in range(3):
        start(store)
    start(store, driver="process")  # its own firing drives it
    park(store, start(store), Wait.TIMER, for_us=-clock.SECOND)
    park(store, start(store), Wait.TIMER, for_us=clock.HOUR)
    job = cron(store, "job")
    store.transact(lambda tx: tx(Sql("update triggers set next_fire_at=1 where id=:id"), id=job))
    assert status(store)["late"] == {"runs": 3, "cards": 0, "timers": 1, "crons": 1}
    worker(store)
    assert status(store)["late"] == {"runs": 0, "cards": 0, "timers": 0, "crons": 1}
    park(store, start(store), Wait.EVENT, for_us=-clock.HOUR)
    assert status(store)["late"]["timers"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "run"},  # drives one run of its own
        {"beat": 1},  # not heard of
        {"pid": 2**22 + 1},  # no such process
        {"pid_start": 1},  # the number was given to another program
    ],
)
def test_a_worker_that_would_not_take_a_run_is_not_counted(
    store: Store, changes: dict[str, Any]
) -> None:
    worker(store, **changes)
    assert status(store)["workers"] == 0


def test_a_run_whose_holder_died_waits_for_somebody(store: Store) -> None:
    gone, lapsed, driven = (start(store) for _ in range(3))
    alive = ids.new()
    worker(store, kind="run", id=alive)
    worker(store, id="dead", pid_start=1)
    for run, holder, lease in ((gone, "dead", 60), (lapsed, "far", -60), (driven, alive, 60)):
        change = Sql(
            "update runs set status='running',worker=:w,lease_boot=:b,lease_until=alfred_mono()+:l where id=:r"
        )
        held = {"w": holder, "b": leases.boot(), "l": lease * clock.SECOND, "r": run}
        store.transact(lambda tx, change=change, held=held: tx(change, **held))
    assert status(store)["late"]["runs"] == 2


def test_a_card_whose_time_is_over_waits_for_somebody(store: Store) -> None:
    card(store, start(store), expires_at=now(store) + clock.HOUR)
    assert status(store)["late"]["cards"] == 0
    store.transact(lambda tx: tx(Sql("update approvals set expires_at=1")))
    assert status(store)["late"]["cards"] == 1


def test_the_next_fires_are_the_soonest(store: Store) -> None:
    for hours in (9, 3, 7, 1, 5, 8):
        cron(store, f"every {hours}", spec=f"every {hours}h")
    with store.read() as look:
        names = [fire["name"] for fire in overview.next_fires(look, "main", limit=4)]
        fires = overview.next_fires(look, "main")
    assert len(fires) == 5
    assert fires == sorted(fires, key=lambda fire: fire["at"])
    assert names == [fire["name"] for fire in fires[:4]]


def test_a_job_that_was_tried_says_why_it_could_not_start_and_is_not_called_late(
    store: Store,
) -> None:
    cron(store, "job", spec="every 1h")
    store.transact(lambda tx: tx(Sql("update triggers set next_fire_at=1")))
    assert status(store)["late"]["crons"] == 1
    store.transact(lambda tx: tx(Sql("update triggers set problem='no folder'")))
    told = status(store)
    assert (told["late"]["crons"], told["next_fires"][0]["problem"]) == (0, "no folder")


# ---- shapes ----


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (None, None),
        ('{"a": 1}', {"a": 1}),
        ("plain words", "plain words"),
        ("", ""),
        ('"text"', "text"),
        ("{broken", "{broken"),
    ],
)
def test_stored_json_is_shown_as_json_and_words_as_words(stored: str | None, shown: Any) -> None:
    assert shapes.value(stored) == shown


@table(
    [
        ("run.queued", {}, "queued"),
        ("run.queued", {"why": "reclaimed"}, "queued (reclaimed)"),
        ("run.started", {"attempt": 2}, "started (attempt 2)"),
        ("run.parked", {"wait": "timer"}, "waits for timer"),
        ("run.terminal", {"status": "completed", "error": None}, "completed"),
        ("run.terminal", {"status": "failed", "error": {"code": "poison"}}, "failed: poison"),
        ("step", {"name": "boss-turn", "outcome": "ok"}, "boss-turn: next"),
        ("call", {"action": "git.log", "status": "done"}, "git.log: done"),
        ("approval", {"title": "Delete x", "status": "approved"}, "Delete x: approved"),
        ("spend", {"model": "m", "tokens": 9, "cost": None}, "m: 9 tokens, price unknown"),
        ("cron", {"name": "job", "status": "late"}, "job: late"),
        ("text", {"text": "hello"}, "hello"),
        ("text", {"note": "asking again"}, "asking again"),
        ("notice", {"unknown": ["world.append"]}, '{"unknown": ["world.append"]}'),
        ("step", {}, "None: None"),
    ]
)
def test_every_event_has_words(kind: str, body: dict[str, Any], words: str) -> None:
    assert shapes.said(kind, body) == words


def test_how_large_the_ledger_is_is_known(store: Store) -> None:
    with store.read() as look:
        before = disk.taken(look)
    start(store, brief="".join(map(str, range(60_000))))
    with store.read() as look:
        assert 100_000 < before < disk.taken(look) - 100_000
