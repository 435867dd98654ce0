"""Commands that look: status, runs, tools, spend. They load neither model nor actions unless they must."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from alfred import app, clock, errors
from alfred.actions.ledger import notices
from alfred.cli import live, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import budget, outbox, stop, views

HASTY = 2.0
"""Seconds: a median below it for high risks says that cards are not read."""

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


def status(*, common: Common = DEFAULT) -> int:
    """What runs, what waits for you, what it costs."""
    with common.open() as base:
        note = base.desk.ensure_worker() if base.desk.expire() else None
        with base.store.read() as look:
            told = views.status(look, base.desk.tenant, base.settings.timezone)
            halted = stop.stopped(look, base.desk.tenant)
            open_cards = views.approvals(look, base.desk.tenant, limit=10)["approvals"]
        proposed = base.desk.proposals()
        told["proposals"] = [
            {"id": p.id, "words": p.words, "rule": p.rule, "times": p.times, "cards": list(p.cards)}
            for p in proposed
        ]
        with base.store.read() as look:
            after = base.settings.approvals.notify_after
            cards, why = notices.untold(look, base.desk.tenant, after_us=after)
            unsent = outbox.unsent(look, base.desk.tenant)
        told["untold"] = {"cards": cards, "why": why}
        told["unsent"] = asdict(unsent)
        if common.json:
            terminal.document(told)
            return 0
        counts = ", ".join(f"{n} {name}" for name, n in told["runs"].items() if n) or "none yet"
        if halted is not None:
            said = f"stopped at {clock.rfc3339(halted)}: `alfred runs resume --all` lets it go on"
            terminal.out(terminal.colour(said, "yellow"))
        terminal.out(f"runs: {counts}")
        terminal.out(f"workers: {told['workers'] or 'none'}")
        terminal.out(f"spent today: {terminal.money(told['spend_today'])}")
        asked = told["asked"]
        if asked["median_s"] is not None:
            terminal.out(
                f"asked: {asked['per_day']:g} times a day this week, decided in {asked['median_s']:g} s (median)"
            )
        if asked["median_high_s"] is not None and asked["median_high_s"] < HASTY:
            said = f"high risks were decided in {asked['median_high_s']:g} s: nobody reads a card that fast"
            terminal.out(terminal.colour(said, "yellow"))
        for block in told["blocks"]:
            terminal.out(f"blocked: {block['provider']} until {block['until']} ({block['reason']})")
        if unsent.waiting or unsent.dead:
            said = f"messages to chats: {unsent.waiting} not sent yet, {unsent.dead} given up"
            said += f" ({terminal.shown(unsent.why or '', 200)})"
            terminal.out(terminal.colour(said, "yellow"))
        for fire in told["next_fires"]:
            terminal.out(f"next: {terminal.shown(fire['name'])} at {fire['at']}")
        late = told["late"]
        if any(late.values()) and halted is None:
            said = ", ".join(terminal.count(n, name[:-1]) for name, n in late.items() if n)
            terminal.out(
                terminal.colour(
                    f"late, and nobody is there to do it: {said}. Start `alfred worker`.", "yellow"
                )
            )
        if open_cards:
            many = told["approvals_pending"]
            terminal.out(
                terminal.colour(f"{many} {'waits' if many == 1 else 'wait'} for you:", "yellow")
            )
            for card in open_cards:
                what = card["risk"] if card["kind"] == "action" else card["kind"]
                terminal.out(f"  {terminal.short(card['id'])}  [{what}] {card['title']}")
            if many > len(open_cards):
                terminal.out(f"  and {many - len(open_cards)} more")
            terminal.out("  alfred approvals list")
            if cards and base.settings.channels.get("notify"):
                said = f"  nobody was told of {terminal.count(cards, 'card')} yet"
                terminal.out(said + (f": {terminal.shown(why, 300)}" if why else ""))
        if proposed:
            many = terminal.count(proposed, "rule")
            terminal.out(
                f"{many} would have spared you cards: `alfred approvals list` shows what and why."
            )
        if note:
            terminal.say(note)
        return 0


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
                    terminal.shown(run["brief"], 70),
                )
                for run in found
            ],
        )
        if more:
            terminal.out(f"There are older ones: `alfred runs list --limit {views.MOST}`.")
        return 0


def runs_show(
    run: str | None = None,
    /,
    *,
    diff: tuple[str, str] | None = None,
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
        terminal.out(f"goes on with {live.wakes(run['wait'])}{until}")
        for held in run["waiting"]:
            if held["kind"] == "limit":
                terminal.out(terminal.shown(held["title"], 900))
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
    if whole["approvals"]:
        terminal.out("")
        terminal.out("cards")
        for card in whole["approvals"]:
            who = f" by {card['decided_by']}" if card["decided_by"] else ""
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
            f" {terminal.money(child.get('cost_usd'))}: {terminal.shown(child['brief'], 70)}"
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


def tools(*, agent: str | None = None, common: Common = DEFAULT) -> int:
    """What an agent may use, and how each call is decided.

    Args:
        agent: Whose tools.
    """
    from alfred.actions import availability, policy

    with common.open() as base:
        who = base.desk.agent(agent)
        registry, problems, servers = app.offered(base, who.id)
        rows: list[dict[str, Any]] = []
        lacking: list[str] = []
        for action in sorted(registry, key=lambda a: a.id):
            mode, rule = policy.resolve(action=action, agent=who.id, policy=base.settings.policy)
            given = who.policy.judge(action.id)
            if not given.allowed:
                rule = f"tools: {given.rule}"
            elif who.tool_policy is not None:
                rule = f"tools: {given.rule}; {rule}"
            if lacks := availability.missing(action, base.settings):
                rule = "not set up" if given.allowed else rule
                lacking.append(f"{action.id}: {lacks.detail} {lacks.next or ''}".rstrip())
            rows.append(
                {
                    "name": action.id,
                    "allowed": given.allowed and mode != "off" and lacks is None,
                    "rule": rule,
                    "risk": str(action.risk),
                    "effect": str(action.effect),
                    "integration": action.integration,
                    "source": action.source,
                }
            )
        for problem in problems:
            terminal.say(f"skipped: {problem}")
        if common.json:
            terminal.document(rows)
            return 0
        terminal.table(
            ("tool", "allowed", "least risk", "effect", "rule"),
            [
                (
                    row["name"],
                    "yes" if row["allowed"] else "no",
                    row["risk"],
                    row["effect"],
                    row["rule"],
                )
                for row in rows
            ],
        )
        for line in lacking:
            terminal.out(line)
        for one in servers.standings(base.desk.tenant, who.id):
            terminal.out(one.words)
        return 0


def spend(*, common: Common = DEFAULT) -> int:
    """What was spent."""
    with common.open() as base:
        with base.store.read() as look:
            told = budget.spend(look, base.desk.tenant, base.settings.timezone)
            unpriced = budget.unpriced_today(look, base.desk.tenant, base.settings.timezone)
            used = budget.tokens_today(look, base.desk.tenant, base.settings.timezone)
        if common.json:
            terminal.document(told)
            return 0
        today, cap = told["today_usd"], base.settings.budget.per_day_usd
        terminal.out(
            f"today: {'at least ' if unpriced else ''}{terminal.money(today)} of {terminal.money(cap)}"
        )
        if unpriced:
            requests = terminal.count(unpriced, "request")
            terminal.out(
                f"       (of {requests} the price is not known: tokens are counted, dollars not)"
            )
        if used["input_tokens"]:
            read, whole = used["cache_read_tokens"], used["input_tokens"]
            terminal.out(
                f"tokens: {whole:,} in, of these {read:,} ({100 * read // whole} %) read from the provider's cache"
                f" and {used['cache_write_tokens']:,} written to it; {used['output_tokens']:,} out"
            )
        for title, noun in (("by_agent", "agent"), ("by_model", "model")):
            if told[title]:
                terminal.out("")
                terminal.table(
                    (noun, "cost"),
                    [
                        (terminal.shown(name, 60), terminal.money(usd))
                        for name, usd in told[title].items()
                    ],
                )
        if told["runs"]:
            terminal.out("")
            terminal.table(
                ("run", "agent", "cost", "tokens in", "from cache", "out"),
                [
                    (
                        terminal.short(run["id"]),
                        run["agent"],
                        terminal.money(run["cost_usd"]),
                        f"{run['input_tokens']:,}",
                        f"{run['cache_read_tokens']:,}",
                        f"{run['output_tokens']:,}",
                    )
                    for run in told["runs"]
                ],
            )
        return 0
