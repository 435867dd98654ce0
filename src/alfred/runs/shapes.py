"""Rows as the JSON that every surface shows: one function a shape, pure, from a row's mapping.

Times are RFC 3339 UTC, money is USD, JSON that is stored as text is given as JSON. A run whose price is not known
costs null, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from alfred import clock
from alfred.runs.states import LIVE, Wait
from alfred.trust import labels

Row = Mapping[str, Any]
Json = dict[str, Any]

TASKS = ("background", "walkaway", "cron")
"""Runs that are tasks: what `delegate` started, with its mode as `trigger_kind`, and fires of crons."""

_STEP_OUTCOMES: dict[str | None, str] = {"ok": "next", "completed": "done"}

_TASK_WAITS = {
    Wait.APPROVAL: "waiting_approval",
    Wait.OPERATOR: "waiting_approval",
    Wait.QUESTION: "waiting_reply",
    Wait.PAUSE: "paused",
    Wait.BUDGET: "paused",
    Wait.LIMIT: "paused",
}


def usd(micro: int | None) -> float | None:
    """Micro-USD as USD; None, which is unknown, stays None."""
    return None if micro is None else int(micro) / 1_000_000


def value(text: str | None) -> Any:
    """What a column of JSON text holds; text that is no JSON as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def run_line(row: Row) -> Json:
    """A run in a list."""
    return {
        "id": row["id"],
        "status": row["status"],
        "wait": row["wait"],
        "agent": row["agent"],
        "workflow": row["workflow"],
        "brief": row["brief"],
        "created_at": clock.rfc3339(row["created_at"]),
        "cost_usd": usd(row["cost"]),
    }


def run_end(row: Row, waiting: Sequence[Json]) -> Json:
    """What `run` prints when it leaves: how the run stands and what it waits for."""
    return {
        "id": row["id"],
        "status": row["status"],
        "wait": row["wait"],
        "result": row["result"],
        "usage": {
            "turns": row["answers"],
            "input_tokens": int(row["input_tokens"]),
            "output_tokens": int(row["output_tokens"]),
            "cost_usd": usd(row["cost"]),
        },
        "waiting": list(waiting),
        "error": value(row["error"]),
    }


def run_whole(row: Row, waiting: Sequence[Json]) -> Json:
    """A run by itself: its line, its end, and where it is."""
    return (
        run_line(row)
        | run_end(row, waiting)
        | {
            "title": row["title"],
            "revision": row["revision"],
            "trigger": row["trigger_kind"],
            "model": row["model"],
            "workspace": value(row["workspace"]),
            "dry_run": bool(row["dry_run"]),
            "label": str(
                labels.of_context(external=bool(row["external"]), private=bool(row["private"]))
            ),
            "step": row["step"],
            "seq": row["seq"],
            "attempt": row["attempt"],
            "worker": row["worker"],
            "driver": row["driver"],
            "parent_id": row["parent_id"],
            "root_id": row["root_id"],
            "session_id": row["session_id"],
            "forked_from": row["forked_from"],
            "forked_seq": row["forked_seq"],
            "wakes_at": clock.rfc3339(row["wake_at"]),
            "ended_at": clock.rfc3339(row["ended_at"]),
        }
    )


def step(row: Row) -> Json:
    """A committed step."""
    return {
        "seq": row["seq"],
        "attempt": row["attempt"],
        "name": row["name"],
        "outcome": _STEP_OUTCOMES.get(row["outcome"], row["outcome"]),
        "worker": row["worker"],
        "started_at": clock.rfc3339(row["started"]),
        "ended_at": clock.rfc3339(row["ended"]),
    }


def item(row: Row) -> Json:
    """An item of the transcript."""
    said = value(row["item"])
    inside = said if isinstance(said, dict) else {"text": row["item"]}
    return {
        "n": row["n"],
        "seq": row["seq"],
        "at": clock.rfc3339(row["at"]),
        "kind": row["kind"],
        "text": inside.get("text"),
        "call_id": inside.get("call_id"),
        "tool": inside.get("tool"),
        "label": f"{row['integrity']}/{row['confidentiality']}",
    }


def note(row: Row) -> Json:
    """A value of the scratch; who wrote it, and where it was promoted from and why, where it was."""
    return {
        "path": row["path"],
        "value": row["value"],
        "author": row["author"],
        "origin": row["origin"],
        "reason": row["reason"],
        "label": f"{row['integrity']}/{row['confidentiality']}",
        "at": clock.rfc3339(row["at"]),
    }


def message(row: Row) -> Json:
    """What was said in a chat, and whether it arrived there."""
    unsent = "not sent yet" if row["dead_at"] is None else "given up"
    return {
        "to": row["target"],
        "status": unsent if row["sent_at"] is None else "sent",
        "why": row["error"],
        "at": clock.rfc3339(row["at"]),
        "sent_at": clock.rfc3339(row["sent_at"]),
    }


def call(row: Row) -> Json:
    """A call; `approval_id` is its newest card."""
    return {
        "id": row["id"],
        "turn": row["turn"],
        "ordinal": row["ordinal"],
        "action": row["action"],
        "risk": row["risk"],
        "effect": row["effect"],
        "status": row["status"],
        "args": value(row["args"]),
        "result": value(row["result"]),
        "error": value(row["error"]) or why(row),
        "approval_id": row["approval_id"],
        "started_at": clock.rfc3339(row["intent_at"]),
        "ended_at": clock.rfc3339(row["outcome_at"]),
    }


def why(row: Row) -> str | None:
    """Why a call came to nothing, in words: what it failed with, or what refused or rejected it."""
    if row["error"]:
        return row["error"]
    told = value(row["result"]) if row["status"] in ("failed", "refused", "rejected") else None
    problem = told.get("error") if isinstance(told, dict) else None
    if not isinstance(problem, dict):
        return None
    wrong = [f"`{one['field']}` {one['message']}" for one in problem.get("errors", ())]
    return " ".join([str(problem.get("detail", "")), *wrong]) or None


def approval(row: Row) -> Json:
    """A card, with the arguments of its call."""
    return {
        "id": row["id"],
        "kind": row["kind"],
        "run_id": row["run_id"],
        "agent": row["agent"],
        "risk": row["risk"],
        "action": row["action"],
        "title": row["title"],
        "preview": row["preview"],
        "args": value(row["args"]),
        "args_hash": row["args_hash"],
        "claim": row["claim"],
        "provenance": value(row["provenance"]),
        "default": "auto_approve" if row["auto_ok"] else "block",
        "auto_approve_at": clock.rfc3339(row["auto_approve_at"]),
        "expires_at": clock.rfc3339(row["expires_at"]),
        "status": row["status"],
        "created_at": clock.rfc3339(row["created_at"]),
        "decision": row["decision"],
        "decided_by": row["decided_by"],
        "decided_via": row["decided_via"],
        "decided_at": clock.rfc3339(row["decided_at"]),
        "reason": row["reason"],
        "edited_args": value(row["edited_args"]),
        "supersedes": row["supersedes"],
    }


def task_status(status: str, wait: str | None) -> str:
    """A run's status as a task shows it."""
    if wait is not None:
        return _TASK_WAITS.get(Wait(wait), "running")
    return "done" if status == "completed" else status


def task(row: Row, logs: Sequence[Json], approval_id: str | None) -> Json:
    """A run as a task. `logs` are its newest events, oldest first."""
    notes = [log["text"] for log in logs if log["kind"] in ("text", "notice")]
    last = logs[-1]["at"] if logs else clock.rfc3339(row["ended_at"] or row["created_at"])
    return {
        "id": row["id"],
        "task": row["brief"],
        "mode": row["trigger_kind"],
        "agent": row["agent"],
        "status": task_status(row["status"], row["wait"]),
        "wait": row["wait"],
        "progress": {
            "step": row["step"] if row["status"] in LIVE else None,
            "steps_done": row["seq"],
            "note": notes[-1] if notes else None,
            "percent": 100 if row["status"] == "completed" else None,
        },
        "approval_id": approval_id,
        "cost_usd": usd(row["cost"]),
        "logs": list(logs),
        "created_at": clock.rfc3339(row["created_at"]),
        "updated_at": last,
        "result": row["result"],
        "error": value(row["error"]),
    }


def log(row: Row) -> Json:
    """An event as one line: when, of what family (`run`, `step`, `call`, ...), in words."""
    body = value(row["body"])
    return {
        "at": clock.rfc3339(row["at"]),
        "kind": row["kind"].split(".")[0],
        "text": said(row["kind"], body if isinstance(body, dict) else {}),
    }


def said(kind: str, body: Json) -> str:
    """An event in words."""
    match kind:
        case "run.queued":
            return f"queued ({body['why']})" if body.get("why") else "queued"
        case "run.started":
            return f"started (attempt {body.get('attempt')})"
        case "run.parked":
            return f"waits for {body.get('wait')}"
        case "run.terminal":
            code = (body.get("error") or {}).get("code")
            return f"{body.get('status')}: {code}" if code else str(body.get("status"))
        case "step":
            outcome = body.get("outcome")
            return f"{body.get('name')}: {_STEP_OUTCOMES.get(outcome, outcome)}"
        case "call":
            said = f"{body.get('action')}: {body.get('status')}"
            return f"{said}: {body['why']}" if body.get("why") else said
        case "approval":
            return f"{body.get('title') or body.get('approval')}: {body.get('status')}"
        case "spend":
            cost = usd(body.get("cost"))
            price = "price unknown" if cost is None else f"{cost:.6f} USD"
            return f"{body.get('model')}: {body.get('tokens')} tokens, {price}"
        case "cron":
            return f"{body.get('name')}: {body.get('status')}"
    told = body.get("text") or body.get("note") or body.get("message")
    return str(told) if told else json.dumps(body, ensure_ascii=False)
