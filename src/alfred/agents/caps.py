"""Which caps a model request counts against, and which runs may go on because theirs has room now.

Invariant: a run that waits for a cap is woken only when what it could not pay fits under that very cap as the
settings have it now, beside what those need that are woken before it, so one that still does not fit is not woken, and none
is woken for nothing again and again: each time a person would be asked anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from alfred import errors
from alfred.runs import budget
from alfred.runs.budget import Scope
from alfred.runs.rows import Run
from alfred.store.connect import Store
from alfred.store.tx import Tx

Settings = Callable[[str], Any]
"""The settings of a tenant as they are now."""

AT_ONCE = 200
"""So many runs a beat wakes for a cap that has room again."""


def of_chain(tx: Tx, run: Run) -> tuple[int | None, list[Scope]]:
    """What the run at the top may cost at most, and the caps of those below it on the way to this one: a child spends
    its parents' money, and no more of it than it was given."""
    if run.parent_id is None:
        return run.max_cost, []
    caps = budget.caps_of_chain(tx, run.id)
    top = caps.pop(run.root_id, None)
    return top, [Scope(f"run:{id}", "", cap) for id, cap in caps.items() if cap is not None]


def money(settings: Any, *, agent: str, root: str, max_cost: int | None, day: str) -> list[Scope]:
    """The caps in micro-USD. `root` is the run at the top, `max_cost` what it may cost at most."""
    caps, own = settings.budget, settings.budget.per_agent.get(agent)
    found = [
        Scope("day", day, micro(caps.per_day_usd)),
        Scope(f"run:{root}", "", _least(micro(caps.per_run_usd), max_cost)),
    ]
    if own is not None and own.per_day_usd is not None:
        found.append(Scope(f"agent:{agent}", day, micro(own.per_day_usd)))
    return found


def tokens(settings: Any, *, agent: str, root: str, day: str) -> list[Scope]:
    """The caps in tokens."""
    caps, own = settings.budget, settings.budget.per_agent.get(agent)
    found = [
        Scope("day:tokens", day, caps.per_day_tokens),
        Scope(f"run:{root}:tokens", "", caps.per_run_tokens),
    ]
    if own is not None and own.per_day_tokens is not None:
        found.append(Scope(f"agent:{agent}:tokens", day, own.per_day_tokens))
    return found


def turns(settings: Any, *, agent: str, day: str) -> list[Scope]:
    """The cap in turns, when the agent has one."""
    own = settings.budget.per_agent.get(agent)
    if own is None or own.turns_per_day is None:
        return []
    return [Scope(f"agent:{agent}:turns", day, own.turns_per_day)]


def every(settings: Any, *, agent: str, root: str, max_cost: int | None, day: str) -> list[Scope]:
    """All caps that hold a request."""
    return [
        *money(settings, agent=agent, root=root, max_cost=max_cost, day=day),
        *tokens(settings, agent=agent, root=root, day=day),
        *turns(settings, agent=agent, day=day),
    ]


def cap(scope: str, settings: Any, **whose: Any) -> int | None:
    """The cap that this scope has now, micro-USD, tokens or turns; None for none. `whose` is as for `every`."""
    return next((one.cap for one in every(settings, **whose) if one.name == scope), None)


def of_run(scope: str, run: Run, settings: Any) -> str:
    """Which cap of the run this scope has: `tokens`, `usd`, or the run's own `max_cost` where that is the smaller one;
    `tree` is the money of those above it."""
    if budget.unit(scope) == "tokens":
        return "tokens"
    if run.parent_id is not None:
        return "max_cost" if scope == f"run:{run.id}" else "tree"
    every = micro(settings.budget.per_run_usd)
    own = run.max_cost is not None and (every is None or run.max_cost <= every)
    return "max_cost" if own else "usd"


def reached(cap: str, needs: int | None = None) -> str:
    """That a run came to this cap of its own, in words.

    Args:
        needs: What the request that did not fit may have come to, in the unit of its cap.
    """
    dearest = dollars(needs or 0)
    return {
        "turns": "The run used all its turns.",
        "wall_clock": "The run used all its time.",
        "usd": f"What is left of the run's money does not carry another answer, which may cost {dearest} (budget.per_run_usd).",
        "max_cost": f"What is left of --max-cost does not carry another answer, which may cost {dearest}.",
        "tokens": f"What is left of the run's tokens does not carry another answer, which may take {needs or 0:,} (budget.per_run_tokens).",
        "tree": "The run above has no money left, and it is the same.",
        "tree_steps": "The run above and all below it used all their steps (limits.tree_steps).",
    }[cap]


def setting(scope: str, run: Run, settings: Any) -> str:
    """What a person changes to raise the cap of this scope: the key of a setting, or `--max-cost`."""
    whose, unit = scope.partition(":")[0], budget.unit(scope)
    if whose == "run":
        cap = of_run(scope, run, settings)
        return "--max-cost" if cap in ("max_cost", "tree") else f"budget.per_run_{cap}"
    if whose == "day":
        return f"budget.per_day_{unit}"
    name = "turns_per_day" if unit == "turns" else f"per_day_{unit}"
    return f"budget.per_agent.{run.agent}.{name}"


def wake_what_fits(store: Store, settings: Settings) -> None:
    """Wakes the runs that wait for a cap which has been raised, or has room again: a beat of the sweep. Some at each beat:
    a cap may hold thousands, and those that are woken soon are at work or wait for a place."""
    with store.read() as look:
        fitting = list(itertools.islice(_fitting(look, settings), AT_ONCE))
    for run in fitting:
        store.transact(budget.wake_unpaid, run)


def _fitting(look: Tx, settings: Settings) -> Iterator[budget.Waiting]:
    """The runs that their caps have room for, beside those before them and those that were woken at earlier beats."""
    waiting = budget.unpaid(look)
    ahead = budget.woken(look) if waiting else {}
    known: dict[str, Any] = {}
    taken: dict[tuple[str, str], int] = {}
    for run in waiting:
        if run.tenant not in known:
            try:
                known[run.tenant] = settings(run.tenant)
            except errors.ConfigError:
                known[run.tenant] = None  # nobody knows its caps now; the next day wakes its runs
        now, of = known[run.tenant], (run.tenant, run.scope)
        if now is None:
            continue
        day = budget.day(now.timezone)
        most = cap(run.scope, now, agent=run.agent, root=run.root, max_cost=run.max_cost, day=day)
        if of not in taken:
            taken[of] = budget.held(look, run.tenant, run.scope, day) + ahead.get(of, 0)
        if most is None or taken[of] + run.amount <= most:
            taken[of] += run.amount
            yield run


def micro(usd: Decimal | float | int | None) -> int | None:
    """USD as whole micro-USD, rounded up; None stays None (no cap, no known price)."""
    if usd is None:
        return None
    exact = Decimal(str(usd)) * 1_000_000
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def dollars(micro_usd: int) -> str:
    """Micro-USD for people, to the last digit: what one answer may cost is often less than a cent's hundredth."""
    return f"${(Decimal(micro_usd) / 1_000_000).normalize():f}"


def _least(*caps: int | None) -> int | None:
    known = [cap for cap in caps if cap is not None]
    return min(known) if known else None
