"""Commands that look at the whole: status, tools, spend. They load neither model nor actions unless they must."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from alfred import app, clock
from alfred.actions.ledger import notices
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import budget, outbox, overview, shapes, spending, stop, views

HASTY = 2.0
"""Seconds: a median below it for high risks says that cards are not read."""


def status(*, common: Common = DEFAULT) -> int:
    """What runs, what waits for you, what it costs."""
    with common.open() as base:
        note = base.desk.ensure_worker() if base.desk.expire() else None
        with base.store.read() as look:
            told = overview.status(look, base.desk.tenant, base.settings.timezone)
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
            unpriced = spending.unpriced_today(look, base.desk.tenant, base.settings.timezone)
        told["untold"] = {"cards": cards, "why": why}
        told["unsent"] = asdict(unsent)
        told["unpriced"] = unpriced
        told["stopped_at"] = None if halted is None else clock.rfc3339(halted)
        if common.json:
            terminal.document(told)
            return 0
        waits = ", ".join(f"{n:,} on {what}" for what, n in told["waits"].items())
        parts = {name: f"{n:,} {name}" for name, n in told["runs"].items() if n}
        if waits and "parked" in parts:
            parts["parked"] += f" ({waits})"
        if halted is not None:
            said = f"stopped at {clock.rfc3339(halted)}: `alfred runs resume --all` lets it go on"
            terminal.out(terminal.colour(said, "yellow"))
        terminal.out(f"runs: {', '.join(parts.values()) or 'none yet'}")
        terminal.out(f"workers: {told['workers'] or 'none'}")
        terminal.out(f"spent today: {_known(told['spend_today'], unpriced)}")
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
        if unsent.words:
            terminal.out(terminal.colour(f"messages to chats: {unsent.words}", "yellow"))
        for fire in told["next_fires"]:
            held = f", held up: {terminal.shown(fire['problem'], 300)}" if fire["problem"] else ""
            terminal.out(f"next: {terminal.shown(fire['name'])} at {fire['at']}{held}")
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


def tools(*, agent: str | None = None, common: Common = DEFAULT) -> int:
    """What an agent may use, and how each call is decided.

    Args:
        agent: Whose tools.
    """
    from alfred.actions import availability, policy
    from alfred.agents.tools import matches

    with common.open() as base:
        who = base.desk.agent(agent)
        registry, problems, servers = app.offered(base, who.id)
        rows: list[dict[str, Any]] = []
        lacking: list[str] = []
        for action in sorted(registry, key=lambda a: a.id):
            mode, rule = policy.resolve(action=action, agent=who.id, policy=base.settings.policy)
            given = who.policy.judge(action.id)
            if not who.memory_enabled and matches("memory", action.id):
                rule = "memory_enabled: false"  # nobody wrote that `tools` deny it
            elif not given.allowed:
                rule = f"tools: {given.rule}"
            elif who.tool_policy is not None or who.toolsets is not None:
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
            terminal.say(f"skipped: {terminal.shown(str(problem), 400)}")
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
            terminal.out(terminal.shown(line, 1_000))
        for one in servers.standings(base.desk.tenant, who.id):
            terminal.out(one.words)
        return 0


def _known(usd: float, unpriced: int) -> str:
    """Money that was spent, as far as the prices of the requests are known."""
    return f"{'at least ' if unpriced else ''}{terminal.money(usd)}"


def spend(*, common: Common = DEFAULT) -> int:
    """What was spent."""
    with common.open() as base:
        with base.store.read() as look:
            told = spending.spend(look, base.desk.tenant, base.settings.timezone)
            unpriced = spending.unpriced_today(look, base.desk.tenant, base.settings.timezone)
            used = spending.tokens_today(look, base.desk.tenant, base.settings.timezone)
            day = budget.day(base.settings.timezone)
            counted = shapes.usd(budget.held(look, base.desk.tenant, "day", day)) or 0
            runs = spending.runs_today(look, base.desk.tenant, base.settings.timezone)
        if common.json:
            terminal.document(told)
            return 0
        today, cap = told["today_usd"], base.settings.budget.per_day_usd
        terminal.out(f"today: {_known(today, unpriced)} of {terminal.money(cap)}")
        if unpriced:
            requests = terminal.count(unpriced, "request")
            terminal.out(
                f"       (of {requests} the price is not known: tokens are counted, dollars not)"
            )
        if cap is not None and counted > today:
            terminal.out(
                f"       ({terminal.money(counted)} count against the cap: with what is held for answers that are under way,"
                " and what those may have cost of whose end nobody heard)"
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
            if (more := runs - len(told["runs"])) > 0:
                terminal.out(f"and {terminal.count(more, 'run')} that cost less")
        return 0
