"""One model call that is paid for: reserved before, settled after, recorded whatever came of it.

Invariants: nothing is asked that the budgets do not hold at its worst price; what a request cost is recorded
under its own id, also when the run was cancelled or taken over meanwhile; every failed request is a row.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from alfred import clock, errors, ids
from alfred.actions.ledger import allowances
from alfred.agents import caps
from alfred.agents.caps import micro
from alfred.agents.unanswered import Blocked, Crowded, Failed, Unpaid
from alfred.llm import catalog, client, prices, stream
from alfred.llm.contract import ModelAnswer, ModelError, ModelRequest, Usage
from alfred.runs import blocks, budget, places, spending
from alfred.runs.budget import Scope
from alfred.runs.workflow import StepContext
from alfred.store.tx import Tx
from alfred.trust import redact

TRIES = 3
"""How often a model is asked before the next one of the fallback list, or the wait for the provider."""

MENDS = 2
"""How often a malformed or empty answer is asked for again."""

LONGEST_RETRY = 60.0
"""Seconds that a provider may ask us to wait before the run is parked instead."""

BLOCK = 15 * clock.MINUTE
"""How long a provider is left alone when it did not say itself."""

_PERHAPS_SERVED = ("ok", "network", "crash", "cancelled")
_RETRIED = ("rate_limit", "overloaded", "network")


@dataclass(frozen=True, slots=True)
class _Reserved:
    """The worst that a request may come to: micro-USD (0 where nobody knows a price before) and tokens."""

    cost: int
    tokens: int


Outcome = ModelAnswer | Unpaid | Blocked | Crowded | Failed
Ask = Callable[..., ModelAnswer]


class Heard(Protocol):
    """Who hears an answer as it comes."""

    def __call__(self, piece: str) -> None: ...

    def flush(self) -> None:
        """What was held back is all that comes: the next piece begins another answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What metering needs to know of the installation."""

    settings: Callable[[str], Any]
    secrets: Callable[[str, str], str | None]
    ask: Ask = client.ask

    def request(
        self,
        ctx: StepContext,
        request: ModelRequest,
        *,
        fallback: tuple[str, ...] = (),
        on_text: Heard | None = None,
    ) -> Outcome:
        """Asks `request.model`, then each of `fallback`, with the retries that its failures deserve."""
        held: list[Blocked] = []
        last: tuple[ModelError, str] | None = None
        failed: ModelError | None = None
        others = (self._here(ctx.run.tenant, model) for model in fallback)
        for model in (request.model, *others):
            provider = catalog.parse(model).provider
            with ctx.store.read() as look:
                left = blocks.left(look, ctx.run.tenant, provider)
            if left is not None:
                told = f"{provider} is blocked since another request: it is not to be asked before then."
                held.append(Blocked(left, told, "blocked", provider))
                continue
            if failed is not None:
                ctx.emit("text", note=f"{failed.kind}: asking {model} instead")
            outcome = self._model(ctx, _for(request, model), on_text)
            if isinstance(outcome, ModelError):
                failed = outcome
                last = outcome, outcome.provider or provider
                if (outcome.retry_after_s or 0) > LONGEST_RETRY:
                    # whoever asks before asks in vain, this run too
                    held.append(self._block(ctx, *last))
                    last = None
                continue
            if isinstance(outcome, Unpaid) and (held or last is not None):
                # A cap that a fallback does not fit under is no end: the model before it can be waited for.
                if not outcome.of_run:
                    held.append(self._unpaid(ctx, model, provider))
                continue
            if (
                isinstance(outcome, Failed)
                and outcome.kind == "auth"
                and (held or last is not None)
            ):
                # Nor is one that has no key here; but whoever named it should know.
                told = redact.redact(f"{model} cannot answer instead. {outcome.detail}")
                ctx.emit("text", note=told)
                continue
            return outcome
        if last is not None:
            held.append(self._block(ctx, *last))
        return min(held, key=lambda one: one.for_us)

    def _here(self, tenant: str, model: str) -> str:
        """A fallback, asked of whoever can be asked from here."""
        with contextlib.suppress(errors.ConfigError):  # told when it is asked
            secrets = functools.partial(self.secrets, tenant)
            return str(catalog.here(model, secrets, os.environ))
        return model

    def _unpaid(self, ctx: StepContext, model: str, provider: str) -> Blocked:
        """The next day has room for this fallback."""
        wait = budget.until_tomorrow(self.settings(ctx.run.tenant).timezone)
        return Blocked(wait, f"The budget has no room for {model} today.", "budget", provider)

    def _block(self, ctx: StepContext, problem: ModelError, provider: str) -> Blocked:
        """Nobody asks this provider before it said so, or for a while where it did not say."""
        wait = int((problem.retry_after_s or 0) * clock.SECOND) or BLOCK
        ctx.store.transact(blocks.block, ctx.run.tenant, provider, wait, problem.kind)
        told = " ".join(filter(None, (problem.detail, problem.next)))
        return Blocked(wait, told, problem.kind, provider)

    def _model(
        self, ctx: StepContext, request: ModelRequest, on_text: Heard | None
    ) -> Outcome | ModelError:
        tries, mends = 0, 0
        while True:
            outcome = self._once(ctx, request, on_text)
            if not isinstance(outcome, ModelError):
                return outcome
            if on_text is not None:
                on_text.flush()
            if outcome.kind == "cancelled":
                raise errors.LeaseLost(f"Run {ctx.run.id} was stopped while its model answered.")
            if outcome.kind in _RETRIED:
                tries += 1
                wait = (
                    outcome.retry_after_s if outcome.retry_after_s is not None else 0.5 * 2**tries
                )
                if tries >= TRIES or wait > LONGEST_RETRY:
                    return outcome
                ctx.emit("text", note=f"{outcome.kind}: asking again in {wait:g} s")
                if ctx.slot.stopped.wait(wait):
                    raise errors.LeaseLost(
                        f"Run {ctx.run.id} was stopped while it waited for its model."
                    )
            elif outcome.kind in ("malformed", "empty"):
                mends += 1
                if mends > MENDS:
                    return Failed.of(outcome)
                ctx.emit("text", note=f"{outcome.kind}: asking again")
                request = _noted(request, outcome)
            elif outcome.kind == "budget":
                return outcome
            else:
                return Failed.of(outcome)

    def _once(
        self, ctx: StepContext, request: ModelRequest, on_text: Heard | None
    ) -> ModelAnswer | Unpaid | Crowded | ModelError:
        """Asks once, at a place of its own where the provider has only so many."""
        provider = catalog.parse(request.model).provider
        limits = self.settings(ctx.run.tenant).limits
        most = limits.per_provider.get(provider, catalog.PROVIDERS[provider].at_once)
        if most is None:
            return self._paid(ctx, request, on_text)
        if not ctx.store.transact(places.take, ctx.lease, provider, most):
            return Crowded(provider, most)
        try:
            return self._paid(ctx, request, on_text)
        finally:
            # An answer that came is not lost with the database: the place ends with the hold on the run.
            with contextlib.suppress(errors.StoreUnavailable):
                ctx.store.transact(places.give_back, ctx.lease, provider)
                ctx.store.transact(places.hand_over, ctx.run.tenant, provider, most)

    def _paid(
        self, ctx: StepContext, request: ModelRequest, on_text: Heard | None
    ) -> ModelAnswer | Unpaid | ModelError:
        run = ctx.run
        request_id = ids.new()
        with ctx.store.read() as look:
            failed = spending.failed_requests(look, run.id, run.answers)
        request = replace(request, failed_requests=failed if request.purpose == "boss" else 0)
        settings = self.settings(run.tenant)
        size = request.prompt_bytes()
        cost = self._worst(request, size, settings)
        most = prices.tokens_bound(request.model, size, request.max_output)
        day = budget.day(settings.timezone)
        beyond: dict[str, int] = {}
        while True:
            try:
                ctx.store.transact(
                    self._reserve,
                    ctx,
                    request_id,
                    day,
                    cost,
                    most,
                    request.purpose,
                    settings,
                    beyond,
                )
                break
            except budget.BudgetFull as full:
                scope = full.scope.removeprefix(budget.beyond(run.id, ""))
                with ctx.store.read() as look:
                    more = allowances.allowed(look, run.id, scope, day)
                if more is None or scope in beyond:
                    return Unpaid(scope, full.amount, day)
                beyond[scope] = more
        ctx.slot.extend(int((stream.DEADLINE_S + 60) * clock.SECOND))
        settle = functools.partial(
            self._settle, ctx, request_id, request, reserved=_Reserved(cost, most)
        )
        try:
            answer = self.ask(
                request,
                secrets=lambda name: self.secrets(run.tenant, name),
                on_text=on_text,
                cancelled=ctx.slot.stopped,
            )
        except ModelError as problem:
            settle(problem.usage, problem.kind, problem.detail)
            return problem
        except BaseException:
            settle(None, "crash", "the request did not end")
            raise
        settle(answer.usage, "ok", None)
        return answer

    def _worst(self, request: ModelRequest, size: int, settings: Any) -> int:
        """Micro-USD that are reserved: what a subscription includes is no money unless the budget counts it. What is
        reserved as nothing, because nobody knows a price before, is booked when it is known afterwards."""
        program = catalog.parse(request.model).provider in catalog.PROGRAMS
        if program and not settings.budget.count_notional:
            return 0
        return prices.at_most(request, size) or 0

    def _reserve(
        self,
        tx: Tx,
        ctx: StepContext,
        request_id: str,
        day: str,
        cost: int,
        most: int,
        purpose: str,
        settings: Any,
        beyond: Mapping[str, int],
    ) -> None:
        """`beyond`: what people have allowed this run beyond caps that have no room, by their scopes."""
        run = ctx.run
        whose = {"agent": run.agent, "root": run.root_id, "day": day}
        max_cost, below = caps.of_chain(tx, run)
        money = caps.money(settings, **whose, max_cost=max_cost) + below
        tokens = caps.tokens(settings, **whose)
        turns = caps.turns(settings, agent=run.agent, day=day) if purpose == "boss" else []
        expires = int((stream.DEADLINE_S + 120) * clock.SECOND)
        for unit, amount, scopes in (
            ("usd", cost, money),
            ("tokens", most, tokens),
            ("turns", 1, turns),
        ):
            held = [
                Scope(budget.beyond(run.id, one.name), one.day, beyond[one.name])
                if one.name in beyond
                else one
                for one in scopes
            ]
            if held:
                budget.reserve(
                    tx,
                    id=f"{request_id}:{unit}",
                    tenant=run.tenant,
                    run_id=run.id,
                    attempt=ctx.lease.attempt,
                    seq=run.seq,
                    day=day,
                    amount=amount,
                    scopes=held,
                    expires_us=expires,
                )

    def _settle(
        self,
        ctx: StepContext,
        request_id: str,
        request: ModelRequest,
        usage: Usage | None,
        outcome: str,
        detail: str | None,
        *,
        reserved: _Reserved,
    ) -> None:
        """By the request's own id, never fenced by the run. What nobody told counts as reserved when the request may
        have been served, as nothing when it was turned away."""
        run = ctx.run
        perhaps = usage is not None or outcome in _PERHAPS_SERVED
        counts = usage is not None and (
            not usage.notional or self.settings(run.tenant).budget.count_notional
        )
        told = micro(usage.cost_usd) if usage is not None else None
        paid, used = (told if told is not None else reserved.cost, reserved.tokens)
        if not perhaps:
            paid, used = 0, 0
        if usage is not None:
            paid = paid if counts else 0
            used = usage.input_tokens + usage.output_tokens

        def write(tx: Tx) -> None:
            budget.settle(tx, f"{request_id}:usd", paid)
            budget.settle(tx, f"{request_id}:tokens", used)
            budget.settle(tx, f"{request_id}:turns", int(outcome == "ok"))
            spending.record(
                tx,
                id=request_id,
                run_id=run.id,
                tenant=run.tenant,
                agent=run.agent,
                turn=run.answers,
                seq=run.seq,
                attempt=ctx.lease.attempt,
                purpose=request.purpose,
                model=request.model,
                model_served=usage.model_served if usage else None,
                input_tokens=usage.input_tokens if usage else 0,
                output_tokens=usage.output_tokens if usage else 0,
                cache_read_tokens=usage.cache_read_tokens if usage else 0,
                cache_write_tokens=usage.cache_write_tokens if usage else 0,
                cost=micro(usage.cost_usd) if usage else None,
                notional=bool(usage and usage.notional),
                outcome=outcome,
                detail=detail,
            )

        ctx.store.record(write)


def _for(request: ModelRequest, model: str) -> ModelRequest:
    return request if model == request.model else replace(request, model=model)


def _noted(request: ModelRequest, problem: ModelError) -> ModelRequest:
    note = {
        "kind": "note",
        "text": f"Your last answer could not be used ({problem.kind}). Answer again, in words or with tool calls.",
    }
    return replace(request, items=[*request.items, note])
