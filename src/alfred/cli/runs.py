"""Runs as people look at them: a list, and one or several with all that they did. Neither model nor actions are loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from alfred import errors
from alfred.cli import live, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import views

_BY_ITSELF = ("timer", "budget", "limit")
"""Waits whose end is a time that says something; others have a deadline only."""

_LABELS = {"external": ": it has read what strangers wrote, so whatever reaches out waits for you"}
"""What the integrity of a run's context means for whoever looks at it."""

_TONE = {
    "completed": "green",
    "failed": "red",
    "cancelled": "grey",
    "running": "blue",
    "parked": "yellow",
}


def runs_list(
    *,
    status: Literal[
        "all", "queued", "running", "parked", "completed", "failed", "cancelled"
    ] = "all",
    limit: int = 20,
    common: Common = DEFAULT,
) -> int:
    """Runs, newest first.

    Args:
        status: Only those in this state.
        limit: How many, at most 200.
    """
    terminal.check_limit(limit)
    with common.open() as base:
        with base.store.read() as look:
            found, more = views.runs(look, base.desk.tenant, status=status, limit=limit)
        if common.json:
            terminal.document(found)
            return 0
        if not found:
            terminal.out('No runs yet. Try: alfred run "…"')
            return 0
        terminal.table(
            ("run", "status", "agent", "begun (UTC)", "cost", "brief"),
            [
                (
                    terminal.short(run["id"]),
                    run["status"] + (f":{run['wait']}" if run["wait"] else ""),
                    run["agent"],
                    run["created_at"][:16].replace("T", " "),
                    terminal.money(run["cost_usd"]),
                    terminal.beginning(run["brief"]),
                )
                for run in found
            ],
        )
        if more:
            way = f": `alfred runs list --limit {views.MOST}`" if limit < views.MOST else ""
            terminal.out(f"There are older ones{way}.")
        return 0


def runs_show(
    run: str | None = None,
    /,
    *,
    diff: Annotated[tuple[str, str] | None, Parameter(negative="")] = None,
    common: Common = DEFAULT,
) -> int:
    """One run: its steps, what was said, its calls and cards; or where two of them part.

    Args:
        run: The run's id, or a file that `alfred runs export` wrote.
        diff: Two runs, each an id or a file: where they part, and what each did then.
    """
    if (run is None) == (diff is None):
        raise errors.UsageError(
            "One run is shown, or two are compared.",
            next="`alfred runs show RUN`, or `alfred runs show --diff A B`.",
        )
    named = [run] if run is not None else list(diff or ())
    from alfred.cli.exported import printable

    found = _found([name or "" for name in named], common)
    if diff is not None:
        from alfred.cli import difference

        told = difference.between(*found)
        if common.json:
            terminal.document(told)
        else:
            difference.tell(printable(told))
    elif common.json:
        terminal.document(found[0])
    else:
        _whole(printable(found[0]))
    return 0


def _found(named: Sequence[str], common: Common) -> list[dict[str, Any]]:
    """Runs, by id or file (an id has neither a dot nor a slash). The ledger is opened when one is named by its id."""
    files: dict[str, dict[str, Any]] = {}
    for name in named:
        if "/" in name or "." in name:
            from alfred.cli import exported

            files[name] = exported.read(Path(name))
    if len(files) == len(set(named)):
        return [files[name] for name in named]
    with common.open() as base, base.store.read() as look:
        tenant = base.desk.tenant
        return [
            files.get(name) or views.show(look, views.resolve(look, "runs", tenant, name))
            for name in named
        ]


def _whole(whole: dict[str, Any]) -> None:
    run = whole["run"]
    state = run["status"] + (f" on {run['wait']}" if run["wait"] else "")
    terminal.out(f"{run['id']}  {terminal.colour(state, _TONE.get(run['status'], 'bold'))}")
    terminal.out(terminal.shown(run["brief"], 200))
    terminal.out(
        f"agent {run['agent']}, model {terminal.shown(run['model'], 200)}, begun {run['created_at']},"
        f" attempt {run['attempt']}, {terminal.count(run['seq'], 'step')}"
    )
    terminal.out(terminal.usage(run["usage"]))
    if label := run.get("label"):
        terminal.out(f"label {label}{_LABELS.get(label.partition('/')[0], '')}")
    if run["wait"]:
        until = f", at {run['wakes_at']}" if run["wait"] in _BY_ITSELF else ""
        terminal.out(f"goes on with {live.wakes(run['wait'], run['id'])}{until}")
        for held in run["waiting"]:
            if held["kind"] == "limit":
                terminal.out(terminal.shown(held["title"], 900))
    for said in run.get("messages", ()):
        if said["status"] != "sent":
            why = f": {said['why']}" if said["why"] else ""
            terminal.out(terminal.shown(f"{said['status']} to {said['to']}{why}", 300))
    terminal.out("")
    terminal.out("steps")
    for step in whole["steps"]:
        terminal.out(
            f"  {step['seq']:>3}  {step['name']:<16} {step['outcome']:<10} attempt {step['attempt']}  {step['ended_at']}"
        )
    terminal.out("")
    terminal.out("transcript")
    for item in whole["transcript"]:
        if item["kind"] == "system":
            continue
        tool = terminal.shown(item["tool"]).replace("__", ".") if item["tool"] else ""
        said = item["kind"] + (f" of {tool}" if tool else "")
        lines = _lines(item["text"] or "")
        if item["tool"]:
            terminal.out(f"  {said}")
            said = ""
        for n, line in enumerate(lines):
            terminal.out(f"  {said if n == 0 else '':<9} {line}")
    if whole["calls"]:
        terminal.out("")
        terminal.out("calls")
        turns = list(dict.fromkeys(c["turn"] for c in whole["calls"] if c["turn"] >= 0))
        for call in whole["calls"]:
            own = call["turn"] < 0  # alfred's, whether the run goes on
            place = "" if own else f"{turns.index(call['turn']) + 1}.{call['ordinal'] + 1}"
            terminal.out(
                f"  {place:<5} {call['status']:<9} {terminal.shown(call['action'])} [{call['risk'] or '-'}]"
                f" {terminal.shown(json.dumps(call['args'], ensure_ascii=False), 100)}"
            )
            if call["error"]:
                terminal.out(f"        {terminal.shown(str(call['error']), 300)}")
    if whole["approvals"]:
        terminal.out("")
        terminal.out("cards")
        for card in whole["approvals"]:
            # of one that something came after, `decided_by` is who decided before that
            told = card["decided_by"] and card["status"] != "superseded"
            who = f" by {card['decided_by']}" if told else ""
            terminal.out(
                f"  {terminal.short(card['id'])}  {card['status'].replace('_', ' ')}{who}: {card['title']}"
            )
            for one in card.get("provenance") or ():
                terminal.out(f"          {one['field']} {one['value']}: {one['from']}")
    if whole["children"]:
        terminal.out("")
        terminal.out("children")
    for child in whole["children"]:
        terminal.out(
            f"  {terminal.short(child['id'])}  {child['status']:<9} {terminal.shown(child.get('agent'))},"
            f" {terminal.money(child.get('cost_usd'))}: {terminal.beginning(child['brief'])}"
        )
        failed = (child.get("error") or {}).get("detail")
        if said := failed or child.get("result"):
            terminal.out(f"          {'error: ' if failed else ''}{terminal.shown(said, 160)}")
    if whole.get("scratch"):
        terminal.out("")
        terminal.out("scratch")
    for note in whole.get("scratch", ()):
        why = f", from {note['origin']}: {note['reason']}" if note["origin"] else ""
        terminal.out(
            f"  {note['path']}  [{note['label']}] by {note['author']}{terminal.shown(why, 200)}"
        )
        terminal.out(f"          {terminal.shown(note['value'], 160)}")
    if run["error"]:
        terminal.out("")
        terminal.out(
            f"error {run['error']['code']}: {terminal.shown(run['error']['detail'], 1_000)}"
        )
    if run["result"]:
        terminal.out("")
        terminal.out(terminal.display.display(run["result"], multiline=True))


def _lines(text: str, most: int = 12) -> list[str]:
    lines = terminal.display.display(text, multiline=True).splitlines() or [""]
    return (
        lines
        if len(lines) <= most
        else [*lines[:most], f"… {len(lines) - most} lines more: --json"]
    )
