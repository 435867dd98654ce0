"""The steps of an agent's run: ask the model once, put its calls through the gate, ask again, until it is done.

Invariants: a boss turn asks the model once and is committed with everything it said; the model is asked again
only when every call of its last turn is settled; messages that came in between are read by the next turn; a
run that reaches a cap of its own gets one last turn without tools and ends with what it has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alfred import clock, errors, ids
from alfred import home as places
from alfred.actions import canonical, pipeline, results, surroundings
from alfred.actions.declare import Action
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger import labels as file_labels
from alfred.actions.ledger.calls import Call, NewCall
from alfred.actions.registry import Registry
from alfred.agents import caps, charter, compact, joining, lower, persona, prompt, registry
from alfred.agents import ledger as agent_ledger
from alfred.agents.metered import Meter
from alfred.agents.registry import EffectiveAgent
from alfred.agents.unanswered import Blocked, Crowded, Failed, Unpaid
from alfred.llm import sizes
from alfred.llm.contract import ModelAnswer, ModelRequest, ProposedCall
from alfred.memory import skills
from alfred.runs import budget, ledger, rows
from alfred.runs.rows import Item
from alfred.runs.workflow import Done, Fail, Next, Park, StepContext, Verdict
from alfred.trust import labels, redact, text
from alfred.trust.labels import Label

log = logging.getLogger(__name__)

STREAM_EVERY = 300_000
"""Microseconds between two pieces of streamed text in the feed."""

WRAP_UP_OUTPUT = 1_000
"""Output tokens of a last turn, when what is left of a cap does not hold more."""

_FINISH_SOON = "Two turns are left. Finish now: settle what is open and give the final answer."
_LAST = (
    "This is the last turn ({why}). No tools can be used any more. Give the final answer now: what was done, "
    "what was found, what is left."
)
_GO_ON = "Your answer was cut at the output limit. Go on exactly where it stopped."


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The steps, bound to what they need of the installation. Made in `app`."""

    gate: Dispatch
    actions: Registry
    meter: Meter
    settings: Callable[[str], Any]
    agent: Callable[[str, str], EffectiveAgent]
    home: Callable[[str], Any]
    cheap: Callable[[str, str], str]
    """(tenant, model of the run) -> the model that summarises."""
    lower: Callable[[str, str], Sequence[str]] = lambda tenant, model: ()
    """(tenant, model of the run) -> who answers, in this order, where the budget does not carry that one."""
    prepare: Callable[[str, str, Grant], None] = lambda tenant, agent, grant: None
    """Makes ready what a run of a tenant's agent may use, before it is told what there is."""
    recall: Callable[[StepContext], str | None] = lambda ctx: None
    """What the agent remembers, as one text, when a run begins."""

    # ---- boss-turn ----

    def boss_turn(self, ctx: StepContext) -> Verdict:
        """Assembles the prompt, asks the model once, keeps what it said."""
        run, state = ctx.run, ctx.state
        settings = self.settings(run.tenant)
        with ctx.store.read() as look:
            head = agent_ledger.stored_head(look, run.id)
            shown = agent_ledger.items(look, run.id)
            messages = ledger.messages(look, run.id)
            idle = agent_ledger.idle(look, run.id) if head is None and shown else 0
        model = run.model or ""
        if head is None and "compacted_at" not in state and compact.due_before(shown, idle, model):
            return Next("compact", state)
        if head is None:
            head, first = self._begin(ctx, self.agent(run.tenant, run.agent), follows=bool(shown))
            shown += first
        # the head of a run that an older version began does not hold it
        own = head.get("agent") or prompt.settled(self.agent(run.tenant, run.agent))
        if (heir := state.get("handed")) and not messages:
            with ctx.store.read() as look:
                answered = rows.get(look, heir)
            return Done(answered.result if answered else None)
        told = dict(state)  # a turn that is not asked for leaves it as it was
        if shown and shown[-1]["kind"] == "assistant":
            told.pop("cut", None)  # that answer was whole, and a message came with it
        for said, label in joining.late(ctx, told):
            ctx.joins(label)
            shown.append(self._keep(ctx, "note", {"kind": "note", "text": said}, label))
        for message_id, body, _author in messages:
            shown.append(self._keep(ctx, "user", {"kind": "user", "text": body}, labels.OWNER))
            ctx.writes.append(_consumed(message_id))
        if compact.due(state, model) and state.get("compacted_at") != run.answers:
            _forget(ctx)
            return Next("compact", state)

        turns = own["max_turns"] or settings.limits.turns
        why = state.get("last") or self._cap(ctx, settings, turns)
        if why is None and turns - run.answers == 2:
            soon = {"kind": "note", "text": _FINISH_SOON, "soon": True}
            shown.append(self._keep(ctx, "note", soon))
        if why is not None:
            note = {"kind": "note", "text": _LAST.format(why=why), "last": why}
            shown.append(self._keep(ctx, "note", note))
        if not shown or shown[-1]["kind"] == "assistant":
            # A brief of nothing, or a run that went on by itself: there must be something to answer.
            shown.append(self._keep(ctx, "note", {"kind": "note", "text": "Go on."}))

        request = ModelRequest(
            model=model,
            system=head["text"],
            items=shown,
            tools=[] if why else prompt.tools(head),
            max_output=WRAP_UP_OUTPUT if why and why != "turns" else None,
            turn=run.answers,
            brief=run.brief or "",
            run_id=run.id,
            reasoning=None if why else own["reasoning"],
        )
        stream = _Stream(ctx)
        outcome = self.meter.request(
            ctx, request, fallback=() if why else tuple(own["fallback_model"]), on_text=stream
        )
        tier = None
        if isinstance(outcome, Unpaid):
            outcome, tier = lower.ask(
                ctx,
                request,
                outcome,
                meter=self.meter,
                models=self.lower(run.tenant, model),
                last=state.get("tier"),
                on_text=stream,
            )
        stream.flush()
        match outcome:
            case ModelAnswer():
                return self._answered(ctx, outcome, {**told, "tier": tier}, why, settings)
            case Unpaid() if outcome.of_run:
                if why:
                    return Fail(
                        f"cap:{why}", caps.reached(why, outcome.amount), result=state.get("text")
                    )
                ctx.items.clear()
                ctx.writes.clear()
                cap = caps.of_run(outcome.scope, run, settings)
                return Next("boss-turn", {**state, "last": cap, "needs": outcome.amount})
            case Unpaid():
                _forget(ctx)
                return outcome.park(ctx, state, settings)
            case Blocked() | Crowded():
                _forget(ctx)
                return outcome.park(ctx, state)
            case Failed() if outcome.kind == "context" and state.get("compacted_at") != run.answers:
                _forget(ctx)
                return Next("compact", {**state, "forced": True})
            case Failed():
                code = (
                    outcome.kind
                    if outcome.kind == "scenario_exhausted"
                    else f"model:{outcome.kind}"
                )
                return Fail(code, redact.redact(outcome.detail), result=state.get("text"))
        raise TypeError(f"{outcome!r} is no outcome of a model call")

    def _begin(
        self, ctx: StepContext, agent: EffectiveAgent, *, follows: bool
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The head and the first items of a run. In a conversation what is remembered was said when it began."""
        run = ctx.run
        place = surroundings.workspace_of(run, self.home(run.tenant))
        home = self.home(run.tenant)
        try:
            places.ensure_agent(home, agent.id)
        except errors.HomeRefused as problem:  # what it would hold is left out, and nothing else
            log.warning("The folder of %s cannot be made: %s", agent.id, problem.detail)
        grant = Grant.decode(run.grants)
        self.prepare(run.tenant, run.agent, grant)
        with ctx.store.read() as look:

            def foreign(path: Path) -> bool:
                return bool(file_labels.external(look, run.tenant, file_labels.place(path)))

            workspace = registry.workspace(agent, home)
            speaks = persona.of(agent, workspace=workspace, home=home, foreign=foreign)
            found = skills.Found()
            if grant.allows(skills.VIEW):
                found = skills.of(home, agent.id, place, foreign=foreign)
        ctx.joins(found.label)
        head = prompt.head(
            agent,
            below=charter.of(ctx, self.settings(run.tenant)),
            personality=speaks.text if speaks else None,
            home=home,
            workspace=place.root.name,
            actions=self.actions.of(run.tenant, run.agent),
            grant=grant,
            settings=self.settings(run.tenant),
            skills=found.skills,
        )
        pinned = Item.of("system", head, labels.TRUSTED)
        tools = agent_ledger.ToolList.of(pinned.item["tools"])
        ctx.items.append(replace(pinned, item=pinned.item | {"tools": tools.digest}))
        ctx.writes.append(lambda tx, _seq: tools.keep(tx, run.tenant))
        with ctx.store.read() as look:
            caller = rows.get(look, run.parent_id) if run.parent_id else None
            asked = agent_ledger.begun_by(look, run)
        # to one like its caller nothing goes down but the brief
        remembers = agent.memory_enabled and (caller is None or caller.agent != run.agent)
        first: list[dict[str, Any]] = []
        remembered = self.recall(ctx) if remembers and not follows else None
        if caller is not None and run.takes_over:
            with ctx.store.read() as look:
                said = f"The conversation that you take over:\n{joining.conversation(look, caller)}"
            first.append(self._keep(ctx, "note", {"kind": "note", "text": said}, ctx.label))
        if remembered:
            note = {"kind": "note", "text": remembered}
            first.append(self._keep(ctx, "note", note, ctx.label))
        brief = text.sanitize(run.brief or "")[0]
        # the brief of a child is its caller's word, and never the owner's, also in a branch, which is nobody's child
        whose = labels.OWNER if asked.parent_id is None else ctx.label
        first.append(self._keep(ctx, "user", {"kind": "user", "text": brief}, whose))
        return pinned.item, first

    def _keep(
        self, ctx: StepContext, kind: str, item: dict[str, Any], label: Label = labels.TRUSTED
    ) -> dict[str, Any]:
        kept = Item.of(kind, text.sanitize(item)[0], label)
        ctx.items.append(kept)
        return kept.item

    def _cap(self, ctx: StepContext, settings: Any, turns: int) -> str | None:
        """Which cap of the run is reached, so that this turn is its last."""
        if ctx.run.answers >= turns - 1:
            return "turns"
        ran = ctx.run.ran_us + max(0, clock.monotonic() - ctx.began)
        if ran >= settings.limits.run_wall_clock:
            return "wall_clock"
        if ctx.run.parent_id is not None:
            with ctx.store.read() as look:
                steps = budget.steps_of_tree(look, ctx.run.root_id)
            if steps >= settings.limits.tree_steps:
                return "tree_steps"
        return None

    def _answered(
        self,
        ctx: StepContext,
        answer: ModelAnswer,
        state: dict[str, Any],
        why: str | None,
        settings: Any,
    ) -> Verdict:
        run = ctx.run
        item = text.sanitize(answer.item())[0]
        clean = redact.redact_data(item)
        if clean != item:
            # The provider's own form of the answer would not be taken back when something of it is missing.
            item = {**clean, "native": None}
        ctx.items.append(Item.of("assistant", item, ctx.label))
        ctx.answers = 1
        said = (state.get("text") or "") if state.get("cut") else ""
        said += item["text"]
        after = {
            "text": said or state.get("text"),
            "tokens": answer.usage.input_tokens + answer.usage.output_tokens,
            "compacted_at": state.get("compacted_at"),
            "tier": state["tier"],
            **{key: state[key] for key in ("out", "waits", "mends") if state.get(key)},
        }
        if why is not None:
            return Fail(
                f"cap:{why}",
                caps.reached(why, state.get("needs")),
                result=said or state.get("text"),
            )
        if answer.calls:
            proposed = self._proposals(ctx, answer, item, settings.limits.calls_per_turn)
            ctx.writes.append(lambda tx, _seq: calls_ledger.propose(tx, proposed))
            return Next("dispatch-tools", {**after, "turn": run.turn})
        if answer.finish == "length":
            self._keep(ctx, "note", {"kind": "note", "text": _GO_ON})
            return Next("boss-turn", {**after, "cut": True})
        return joining.wait(after) or joining.answer(ctx, said, after) or Done(said)

    def _proposals(
        self, ctx: StepContext, answer: ModelAnswer, item: dict[str, Any], most: int
    ) -> list[NewCall]:
        found, grant = [], Grant.decode(ctx.run.grants)
        actions = self.actions.of(ctx.run.tenant, ctx.run.agent)
        for ordinal, call in enumerate(answer.calls):
            action = actions.get(call.tool)
            args = canonical.canonical_json(call.args) if call.args is not None else "{}"
            found.append(
                NewCall(
                    id=ids.new(),
                    run_id=ctx.run.id,
                    turn=ctx.run.turn,
                    ordinal=ordinal,
                    tool_call_id=call.id,
                    action=action.id if action else call.tool,
                    args=args,
                    args_hash=canonical.text_digest(args),
                    claim=item["text"] or None,
                    **labels.halves(ctx.label),
                    refusal=_unread(call, ordinal, most, denied=_denied(action, grant)),
                )
            )
        return found

    # ---- dispatch-tools ----

    def dispatch_tools(self, ctx: StepContext) -> Verdict:
        """Puts the calls of the last turn through the gate; their results are the model's next reading."""
        state = ctx.state
        settled = self.gate.settle(ctx, state["turn"])
        actions = self.actions.of(ctx.run.tenant, ctx.run.agent)
        joined = joining.join(ctx, settled, state)
        if isinstance(joined, Park):
            return joined
        ctx.writes.append(lambda tx, _seq: calls_ledger.tell_unexecuted(tx, ctx.lease, settled))
        grown = 0
        for call in settled:
            said, bad = results.shown(call)
            action = actions.get(call.action)
            label = self.gate.label_of(call)
            if call.id in joined:
                said, theirs = joined[call.id]
                label = labels.join(label, theirs)
            ctx.joins(label)
            grown += len(said)
            ctx.items.append(
                Item.of(
                    "result",
                    {
                        "kind": "result",
                        "call_id": call.tool_call_id or call.id,
                        "tool": action.wire if action else call.action,
                        "text": said,
                        "error": bad,
                    },
                    label,
                )
            )
        if not ctx.run.dry_run and self.settings(ctx.run.tenant).policy.mode == "off":
            for call in settled:
                if _off(call):
                    detail = f"{call.action} was refused: the mode is off (policy.mode)."
                    return Fail("refused", detail, result=state.get("text"))
        if (heir := joining.taken_over(ctx, settled)) is not None:
            state["handed"] = heir.id
        return Next("boss-turn", {**state, "tokens": state.get("tokens", 0) + sizes.tokens(grown)})

    # ---- compact ----

    def compact(self, ctx: StepContext) -> Verdict:
        """A cheap model summarises the older part; the whole transcript stays where it is."""
        return compact.step(
            ctx, meter=self.meter, model=self.cheap(ctx.run.tenant, ctx.run.model or "")
        )


class _Stream:
    """Text as it comes, without secrets: word by word to who watches in this process, in pieces to the feed."""

    def __init__(self, ctx: StepContext):
        self.ctx = ctx
        self._redactor = redact.StreamRedactor()
        self._held = ""
        self._at = clock.monotonic()

    def __call__(self, piece: str) -> None:
        self._take(self._redactor.feed(text.sanitize(piece)[0]))
        if clock.monotonic() - self._at >= STREAM_EVERY:
            self._give()

    def flush(self) -> None:
        """The answer is there, or there will be none: what was held back comes out."""
        self._take(self._redactor.close())
        self._give()

    def _take(self, clean: str) -> None:
        if clean:
            self.ctx.watch("stream", {"text": clean, "turn": self.ctx.run.answers})
            self._held += clean

    def _give(self) -> None:
        if self._held:
            self.ctx.feed("text", text=self._held, turn=self.ctx.run.answers)
            self._held, self._at = "", clock.monotonic()


def _consumed(message_id: str) -> Callable[..., None]:
    return ledger.consume([message_id])


def _forget(ctx: StepContext) -> None:
    """The turn did not happen: what it would have added is added when it does."""
    ctx.items.clear()
    ctx.writes.clear()


def _off(call: Call) -> bool:
    """Whether a call was refused because the mode is off."""
    if call.status != "refused":
        return False
    said = json.loads(call.result or "{}")
    return said.get("error", {}).get("code") == "mode_off"


def _denied(action: Action | None, grant: Grant) -> bool:
    """Whether it is a tool that there is, and that the run has not: the gate says so, whatever else is wrong with it."""
    return action is not None and not grant.allows(action.id)


def _unread(call: ProposedCall, ordinal: int, most: int, *, denied: bool) -> str | None:
    if ordinal >= most:
        return pipeline.refusal(
            "too_many_calls",
            f"At most {most} calls are taken in one turn; this one was not looked at.",
        )
    if call.problem and not denied:
        return pipeline.refusal("malformed_call", call.problem)
    return None
