"""A small ledger with something in every table, in which every invariant holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alfred.runs import audit
from alfred.store import backup, schema
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

HOSTILE = "O'Hara said \"no\"; -- {x} %s :y\n\t\u202eevil\u202c 🜁 \\ '' %%"
"""Text that a dump, a statement or a JSON line could get wrong."""

AT = 1_795_255_200_000_000

PARENT, CHILD, OTHER = "run-z-parent", "run-a-child", "run-m-other"
"""The child sorts before its parent: rows come before those that they point to."""

TOOLS = "d" * 64
"""The digest of the tools that the child was offered."""

ROWS: dict[str, list[dict[str, Any]]] = {
    "runs": [
        {
            **{
                "id": CHILD,
                "session_id": CHILD,
                "tenant": "main",
                "agent": "main",
                "workflow": "agent",
                "root_id": PARENT,
            },
            **{"parent_id": PARENT, "parent_call": "call-1", "depth": 1, "status": "completed"},
            **{"step": "done", "seq": 1, "attempt": 1, "ended_at": AT, "result": HOSTILE},
        },
        {
            **{
                "id": PARENT,
                "session_id": PARENT,
                "tenant": "main",
                "agent": "main",
                "workflow": "agent",
                "root_id": PARENT,
            },
            **{
                "brief": HOSTILE,
                "status": "parked",
                "wait": "approval",
                "wake_at": AT,
                "step": "act",
            },
            **{"seq": 2, "attempt": 2, "max_cost": 2**53 + 1, "title": ""},
        },
        {
            **{
                "id": OTHER,
                "session_id": OTHER,
                "tenant": "acme",
                "agent": "a_b",
                "workflow": "agent",
                "root_id": OTHER,
            },
            **{"status": "queued", "step": "start", "state": "{}"},
        },
    ],
    "run_steps": [
        {
            "run_id": CHILD,
            "seq": 1,
            "attempt": 1,
            "token": "t1",
            "name": "a",
            "worker": "w",
            "outcome": "done",
        },
        {
            "run_id": PARENT,
            "seq": 1,
            "attempt": 1,
            "token": "t2",
            "name": "a",
            "worker": "w",
            "outcome": "next",
        },
        {
            "run_id": PARENT,
            "seq": 2,
            "attempt": 2,
            "token": "t3",
            "name": "a",
            "worker": "w",
            "outcome": "parked",
        },
    ],
    "leases": [
        {"run_id": CHILD, "attempt": 1, "worker": "w", "at": AT, "ended": "completed"},
        {"run_id": PARENT, "attempt": 1, "worker": "w", "at": AT, "ended": "lease"},
        {"run_id": PARENT, "attempt": 2, "worker": "w", "at": AT, "ended": "parked"},
    ],
    "transcript": [
        {"run_id": PARENT, "n": 1, "seq": 1, "kind": "user", "item": HOSTILE},
        {"run_id": PARENT, "n": 2, "seq": 1, "kind": "assistant", "item": "é" * 5000},
        {"run_id": CHILD, "n": 1, "seq": 1, "kind": "system", "item": f'{{"tools": "{TOOLS}"}}'},
    ],
    "interjections": [{"id": "i1", "run_id": PARENT, "body": HOSTILE, "at": AT}],
    "workers": [
        {"id": "w", "host": "h", "boot": "b", "pid": 1, "pid_start": 1, "beat": AT},
    ],
    "switches": [{"tenant": "acme", "name": "stop", "at": AT, "by": "somebody"}],
    "calls": [
        {
            **{"id": "call-1", "run_id": PARENT, "turn": 1, "ordinal": 1, "action": "files.write"},
            **{
                "effect": "keyed",
                "gated": 1,
                "args": HOSTILE,
                "args_hash": "h1",
                "run_args_hash": "h1",
            },
            **{
                "status": "done",
                "effect_key": "k1",
                "intent_at": AT,
                "outcome_at": AT,
                "intent_attempt": 1,
            },
        },
        {
            **{"id": "call-2", "run_id": PARENT, "turn": 2, "ordinal": 1, "action": "files.write"},
            **{"effect": "blind", "gated": 1, "args": "{}", "args_hash": "h2", "status": "staged"},
        },
    ],
    "approvals": [
        {
            **{
                "id": "card-1",
                "call_id": "call-1",
                "version": 1,
                "run_id": PARENT,
                "tenant": "main",
            },
            **{
                "args_hash": "h1",
                "risk": "low",
                "status": "approved",
                "expires_at": AT,
                "decided_at": AT,
            },
            **{"decided_by": "somebody", "decided_via": "terminal", "decision_token": "d1"},
        },
        {
            **{
                "id": "card-2",
                "call_id": "call-2",
                "version": 1,
                "run_id": PARENT,
                "tenant": "main",
            },
            **{
                "args_hash": "h2",
                "risk": "high",
                "status": "pending",
                "expires_at": AT,
                "preview": HOSTILE,
            },
        },
    ],
    "notices": [
        {"approval_id": "card-1", "channel": "telegram:1", "tenant": "main", "want": 2, "shown": 1},
        {"approval_id": "card-2", "channel": "telegram:1", "tenant": "main", "want": 1, "shown": 0},
    ],
    "triggers": [
        {"id": "tr1", "tenant": "main", "name": "daily", "spec": "0 9 * * 1", "enabled": 1}
    ],
    "trigger_fires": [
        {
            "trigger_id": "tr1",
            "fire_key": "s:1",
            "fire_at": AT,
            "run_id": OTHER,
            "outcome": "started",
        }
    ],
    "idem": [
        {"tenant": "main", "scope": "cli", "key": "k", "body_hash": "b", "ref": OTHER, "at": AT}
    ],
    "events": [
        {
            "tenant": "main",
            "run_id": PARENT,
            "kind": "text",
            "body": json.dumps({"line": HOSTILE}),
            "at": AT,
        },
        {"tenant": "main", "run_id": CHILD, "kind": "run.terminal", "body": "{}", "at": AT + 1},
        {"tenant": "acme", "run_id": OTHER, "kind": "run.queued", "body": "{}", "at": AT + 2},
    ],
    "budgets": [
        {
            "tenant": "main",
            "scope": "agent:a_b",
            "day": "2026-11-21",
            "cap": 10**12,
            "reserved": 700,
        },
        {"tenant": "main", "scope": "agent:axb", "day": "2026-11-21", "spent": 5},
    ],
    "reservations": [
        {
            **{
                "id": "res-1",
                "tenant": "main",
                "run_id": OTHER,
                "attempt": 1,
                "seq": 0,
                "day": "2026-11-21",
            },
            **{"scopes": "|day|agent:a_b|", "amount": 700, "status": "open", "expires_at": AT},
        },
    ],
    "usage": [
        {
            **{"id": "u1", "run_id": PARENT, "tenant": "main", "agent": "main", "purpose": "boss"},
            **{"model": "m", "outcome": "ok", "cost": None},
        },
    ],
    "blocks": [{"tenant": "main", "provider": "anthropic", "until": AT, "reason": HOSTILE}],
    "sessions": [{"id": "s1", "tenant": "main", "agent": "main", "title": HOSTILE}],
    "session_keys": [{"tenant": "main", "key": "agent:main:telegram:dm", "session_id": "s1"}],
    "session_turns": [{"session_id": "s1", "n": 1, "run_id": PARENT}],
    "file_labels": [
        {"tenant": "main", "path": f"/w/{HOSTILE}", "folded": HOSTILE, "run_id": PARENT, "at": AT},
    ],
    "memories": [
        {"id": "m1", "tenant": "main", "agent": "main", "text": "The heron nests in April."},
        {"id": "m2", "tenant": "main", "agent": "main", "text": HOSTILE},
    ],
    "todos": [{"id": "td1", "tenant": "main", "agent": "main", "text": HOSTILE}],
    "scratch": [
        {"run_id": PARENT, "path": "notes", "value": HOSTILE, "author": "main"},
        {
            "run_id": PARENT,
            "path": "shared.found",
            "value": "5",
            "author": "main",
            "origin": "scratch.0000000000.result",
            "reason": HOSTILE,
            "form": '{"type": "integer"}',
        },
    ],
    "proposals": [
        {
            "id": "pr1",
            "tenant": "main",
            "rule_hash": "h",
            "rule": HOSTILE,
            "words": HOSTILE,
            "cards": "[]",
            "status": "open",
        },
    ],
    "tool_lists": [{"tenant": "main", "digest": TOOLS, "body": HOSTILE, "at": AT}],
    "mcp_pins": [
        {
            **{"tenant": "main", "scope": "", "server": "files", "definition": "d", "digest": "x"},
            **{"tools": HOSTILE, "seen": "y", "seen_tools": HOSTILE, "by": "config", "at": AT},
        },
    ],
    "workflow_revisions": [
        {
            **{"tenant": "main", "slug": "weekly", "revision": "r", "text": HOSTILE, "at": AT},
            **{"asked": "d", "asked_contract": HOSTILE, "contract": HOSTILE},
            **{"activated_by": "run:r", "activated_at": AT, "ended_at": AT},
        },
    ],
    "listeners": [{"run_id": PARENT, "target": "local:bot:1", "channel": "local:bot", "at": AT}],
    "outbox": [
        {
            **{"id": "o1", "tenant": "main", "channel": "local:bot", "target": "local:bot:1"},
            **{"run_id": PARENT, "body": HOSTILE, "at": AT},
        },
    ],
}


def inserting(table: str, row: Mapping[str, Any]) -> Sql:
    """The statement that writes such a row."""
    values = ", ".join(f":{column}" for column in row)
    return Sql(f"insert into {table}({', '.join(row)}) values({values})")


def fill(store: Store) -> None:
    """Writes the rows; a fresh database with the schema, with or without rows in `meta`."""

    def write(tx: Tx) -> None:
        children = [row for row in ROWS["runs"] if row.get("parent_id")]
        for table in schema.METADATA.sorted_tables:
            rows = ROWS.get(table.name, [])
            if table.name == "runs":
                rows = [row for row in rows if row not in children] + children
            for row in rows:
                tx(inserting(table.name, row), **row)
        audit.append(tx, "main", "first", note=HOSTILE)
        audit.append(tx, "acme", "other")

    store.transact(write)
    store.transact(lambda tx: audit.append(tx, "main", "second"))


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, to be compared; without what a database or a restore gives anew."""
    with backup.snapshot(store) as look:
        found: dict[str, list[tuple[object, ...]]] = {}
        for batch in backup.batches(look):
            rows = found.setdefault(batch.table, [])
            rows += [tuple(row) for row in batch.rows]
    del found["meta"], found["workers"]
    return {
        table: rows if table == "events" else sorted(rows, key=repr)
        for table, rows in found.items()
    }
