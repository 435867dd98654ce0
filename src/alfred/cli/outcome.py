"""How a run stands when a command leaves it: one document for programs, a few lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alfred import app
from alfred.actions.ledger import calls as calls_ledger
from alfred.agents.branch import Branch
from alfred.cli import live, terminal
from alfred.runs import leases, rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status

_KINDS = {"action": "card", "question": "question", "outcome": "outcome"}
_WOULD = {"execute": "would do", "stage": "would ask", "refuse": "would refuse"}


def of(base: app.Base, run: Run) -> dict[str, Any]:
    with base.store.read() as look:
        told = views.end(look, run.id)
        if run.dry_run:
            told["proposed"] = [_would(call) for call in calls_ledger.skipped(look, run.id)]
    return told


def _would(call: calls_ledger.Call) -> dict[str, Any]:
    decision = json.loads(call.decision) if call.decision else {}
    return {
        "action": call.action,
        "args": call.arguments,
        "risk": call.risk,
        "decision": decision.get("verdict"),
        "preview": call.preview,
    }


def started(
    base: app.Base,
    run_id: str,
    note: str | None,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> int:
    with base.store.read() as look:
        found = rows.get(look, run_id)
    assert found is not None
    if as_json:
        terminal.document(of(base, found) | dict(more or {}))
    else:
        terminal.out(
            f"run {terminal.short(run_id)} is queued; `alfred runs watch {terminal.short(run_id)}`."
        )
    if note:
        terminal.say(note)
    return 0


def branched(of: Run, made: Branch) -> dict[str, Any]:
    """Says where a branch begins, and what of the other run's doing is still in the world; the same for programs."""
    begun = f"run {terminal.short(made.id)}: from {terminal.short(of.id)} behind step {made.at}"
    if made.closed:
        tools = ", ".join(terminal.shown(tool.replace("__", ".")) for tool in made.closed)
        begun += f", without {tools}"
    terminal.say(begun)
    for call in made.standing:
        what = terminal.shown(json.dumps(call.arguments, ensure_ascii=False), 100)
        how = "still there" if call.status == "done" else "perhaps there"
        terminal.say(f"  {how}: {terminal.shown(call.action)} {what}")
    return {
        "forked_from": of.id,
        "at": made.at,
        "not_executed": [tool.replace("__", ".") for tool in made.closed],
        "still_there": [
            {"action": call.action, "args": call.arguments, "status": call.status}
            for call in made.standing
        ],
    }


def ended(
    base: app.Base,
    view: live.View,
    run: Run,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> int:
    code = live.exit_code(run)
    summary = of(base, run) | dict(more or {})
    if as_json:
        terminal.document(summary)
        return code
    if run.result:
        if not view.repeats(run.result):
            terminal.out(terminal.display.display(run.result, multiline=True))
    elif run.status == Status.COMPLETED:
        terminal.out("(no words)")
    used = summary["usage"]
    terminal.say(
        f"{terminal.short(run.id)}: {run.status}"
        + (f" on {run.wait}" if run.wait else "")
        + f", {terminal.usage(used)}"
    )
    if summary["error"]:
        terminal.say(
            f"  {summary['error']['code']}: {terminal.shown(summary['error']['detail'], 1_000)}"
        )
    if run.status == Status.PARKED:
        terminal.say(f"  It goes on with {live.wakes(run.wait, run.id)}.")
        for card in summary["waiting"]:
            if card["kind"] == "limit":
                terminal.say(f"  {terminal.shown(card['title'], 900)}")
                continue
            terminal.say(f"  {_KINDS[card['kind']]} {terminal.short(card['id'])}: {card['title']}")
    for call in summary.get("proposed") or ():
        would = _WOULD.get(call["decision"], call["decision"])
        terminal.out(f"{would}: {terminal.shown(call['action'])} [{call['risk'] or '-'}]")
        terminal.out("  " + "\n  ".join((call["preview"] or "").splitlines()))
    return code


def unattended(base: app.Base, run: Run) -> str | None:
    """Starts a worker for a run that nobody drives or would take; what to say about it."""
    with base.store.read() as look:
        held = [w for w in leases.workers(look) if w.id == run.worker and not leases.gone(w)]
    return None if held else base.desk.ensure_worker()
