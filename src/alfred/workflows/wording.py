"""A contract as people read it: on the card that asks for it, and in the lists. Invariant: all of it is there, nothing is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alfred import clock
from alfred.runs import schedule, spoken
from alfred.trust import display

if TYPE_CHECKING:
    from alfred.config import Settings
    from alfred.workflows.contracts import Contract

FIRES = 3
"""How many of the next times are shown."""


def told(contract: Contract, settings: Settings, *, now: int | None = None) -> str:
    """The contract as people read it: all of it.

    Args:
        now: Microseconds; None: the clock's.
    """
    asks = {
        "gated": "gated: whatever changes something asks you first",
        "autonomous": "autonomous: it asks you before high risks, before a call that leads outside and not to its "
        "destinations, before any that leads outside once it has read strangers' words, and before the first use of a "
        "tool that did not come with alfred; else it does not ask",
    }[contract.autonomy]
    budget, limits = settings.budget, settings.limits
    lines = [
        f"workflow: {contract.workflow}, revision {contract.revision[:8]}",
        f"agent: {contract.agent}",
        f"starts: {when(contract, now=now)}",
        f"may call: {_tools(contract)}",
        *_without(contract),
        f"destinations: {_places(contract)}",
        f"autonomy: {asks}",
        f"inputs: {_inputs(contract)}",
        f"budget: {_usd(budget.per_run_usd)} and {limits.turns} turns a run, {_usd(budget.per_day_usd)} a day for all runs",
        "brief:",
        *(f"  {line}" for line in contract.brief.splitlines()),
    ]
    return "\n".join(display.display(line) for line in lines)


def when(contract: Contract, *, now: int | None = None) -> str:
    """What starts it, in words, with the next times."""
    if contract.schedule is None:
        return "when you say so"
    rule = schedule.parse(contract.schedule)
    after = clock.now() if now is None else now
    fires: list[str] = []
    while len(fires) < FIRES and (slot := rule.next_after(after, contract.timezone)) is not None:
        fires.append(_local(slot, contract.timezone))
        after = slot
    following = f"; next {', '.join(fires)}" if fires else "; its time is past"
    return f"{spoken.words(rule)} (`{contract.schedule}`, {contract.timezone}){following}, and when you say so"


def _local(us: int, zone: str) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(us // clock.SECOND, schedule.zone_of(zone)).strftime(
        "%a %Y-%m-%d %H:%M"
    )


def _tools(contract: Contract) -> str:
    if not contract.tools:
        return "nothing"
    return ", ".join(f"{id} ({risk})" for id, risk in contract.tools.items())


def _without(contract: Contract) -> list[str]:
    """What its file names and it does not get."""
    if not contract.left_out:
        return []
    return [f"  without {', '.join(contract.left_out)}: {contract.agent} may not call that"]


def _places(contract: Contract) -> str:
    if not contract.destinations:
        return "none; once it has read strangers' words, whatever leads outside is refused"
    named = [
        f"{one} (wherever it leads)" if one in contract.tools else one
        for one in contract.destinations
    ]
    return f"{', '.join(named)}; once it has read strangers' words, every other one is refused"


def _inputs(contract: Contract) -> str:
    if not contract.inputs:
        return "none"
    return ", ".join(
        name if default is None else f"{name} (else {default!r})"
        for name, default in contract.inputs.items()
    )


def _usd(usd: object) -> str:
    return "no limit of money" if usd is None else f"${usd}"
