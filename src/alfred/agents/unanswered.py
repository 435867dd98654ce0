"""Why a request has no answer, and what its run waits for then.

Invariant: a run that waits says for what: the state that it parks with has it for whoever looks, and for whoever wakes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alfred import clock
from alfred.agents import allowance
from alfred.llm.contract import ModelError
from alfred.runs import budget, events, places, views
from alfred.runs.states import Wait
from alfred.runs.workflow import Park, StepContext
from alfred.trust import redact


@dataclass(frozen=True, slots=True)
class Unpaid:
    """The budgets do not hold this request: `scope` says which ('run:<id>', 'day', 'agent:<id>', with ':tokens')
    and `amount` how much of its unit did not fit on this day."""

    scope: str
    amount: int
    day: str

    def park(self, ctx: StepContext, state: dict[str, Any], settings: Any) -> Park:
        """Waits for the next day, for what did not fit to fit (`caps.wake_what_fits`), or for a person's yes."""
        waits_for = {"scope": self.scope, "amount": self.amount}
        until = budget.until_tomorrow(settings.timezone)
        allowance.ask(
            ctx,
            scope=self.scope,
            amount=self.amount,
            day=self.day,
            settings=settings,
            for_us=until,
        )
        return Park(Wait.BUDGET, until, state={**state, budget.UNPAID: waits_for})

    @property
    def of_run(self) -> bool:
        """Whether it is a cap of the run, which ends with it."""
        return self.scope.startswith("run:")

    @property
    def of_money(self) -> bool:
        """Whether a cheaper model could be carried."""
        return budget.unit(self.scope) == "usd"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nobody can be asked now; `provider` is the first that can again, after `for_us`. `detail` has its own words."""

    for_us: int
    detail: str
    kind: str
    provider: str

    def park(self, ctx: StepContext, state: dict[str, Any]) -> Park:
        """Waits for the provider, and tells the feed and whoever looks at the run why, and until when."""
        why = {
            "provider": self.provider,
            "code": f"model:{self.kind}",
            "detail": redact.redact(self.detail),
            "until": clock.rfc3339(clock.now() + self.for_us),
        }
        ctx.watch("notice", why)
        run = ctx.run
        ctx.writes.append(
            lambda tx, _seq: events.emit(tx, tenant=run.tenant, run_id=run.id, kind="notice", **why)
        )
        return Park(Wait.LIMIT, self.for_us, state={**state, views.BLOCKED: why})


@dataclass(frozen=True, slots=True)
class Crowded:
    """As many runs as may ask this provider, do."""

    provider: str
    most: int

    def park(self, ctx: StepContext, state: dict[str, Any]) -> Park:
        """Waits for a place, and says so once."""
        run = ctx.run
        if state.get("waits_at") != self.provider:
            ctx.emit(
                "text",
                note=f"at most {self.most} at once ask {self.provider} (limits.per_provider): waiting for a place",
            )
        ctx.writes.append(lambda tx, _seq: places.wait(tx, run.id, self.provider))
        return Park(Wait.TIMER, places.LOOKS_AGAIN, state={**state, "waits_at": self.provider})


@dataclass(frozen=True, slots=True)
class Failed:
    """The request failed for good; `detail` ends with what to do about it, where that is known."""

    kind: str
    detail: str

    @classmethod
    def of(cls, problem: ModelError) -> Failed:
        return cls(problem.kind, " ".join(filter(None, (problem.detail, problem.next))))
