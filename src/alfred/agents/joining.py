"""What comes back from children: their answers as the results of the calls that started them.

Invariants: a run goes on when all children of its turn are over, or at the latest at the deadline of the call that started
them, and then it is told who is still out; whoever was out is told of when it is over, once; what a child says carries the
label of all that it has read. A child that was asked for a form answers in it, or has failed. While a child has the
conversation its caller says nothing; when it fails, its caller has read what was said to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alfred import clock
from alfred.actions import results, schemas
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call
from alfred.agents import delegate
from alfred.agents import ledger as agent_ledger
from alfred.memory import ledger as memory
from alfred.memory import scratch
from alfred.runs import rows
from alfred.runs.rows import Run
from alfred.runs.states import Status, Wait
from alfred.runs.workflow import Fail, Next, Park, StepContext
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Label

LONGEST = 24_000
"""Characters of one child's answer that its caller is told; several share what a result may have."""

LEAST = 1_000
"""Characters that each of several has at least."""

MENDS = 2
"""So often a child may give an answer in the wrong form again."""

AGAIN = clock.HOUR
"""How long a run that has nothing else to do waits for who is still out, before it is asked what to do; twice as long each
time, for each time is an answer that is paid, and one of those that it has."""

LONGEST_PAUSE = 2 * clock.DAY
"""It is asked again after so long at the latest."""

Joined = dict[str, tuple[str, Label]]
"""What the calls that started children have come to, by the calls' ids: text and label."""


def join(ctx: StepContext, settled: Sequence[Call], state: dict[str, Any]) -> Park | Joined:
    """Waits for the children of a turn, or tells what came of them. Who is still out is in `state["out"]` then."""
    starts = [call for call in settled if call.action in delegate.STARTS and call.status == "done"]
    until = state.pop("until", None)
    if not starts:
        return {}
    with ctx.store.read() as look:
        children = agent_ledger.children(look, ctx.run.id)
    out = [child.id for call in starts for child in children.get(call.id, ()) if child.live]
    heirs = [child for call in starts for child in children.get(call.id, ()) if child.takes_over]
    if out:
        now = clock.now()
        until = until or now + min(delegate.within(call.arguments) for call in starts)
        if any(child.live for child in heirs):
            until = max(until, now + AGAIN)
        if until > now:
            return Park(Wait.CHILDREN, until - now, state={**state, "until": until}, children=out)
        state["out"] = [*state.get("out", ()), *out]
    told = {call.id: _told(children.get(call.id, [])) for call in starts}
    for child in heirs:
        if child.status in (Status.FAILED, Status.CANCELLED):
            call_id = (child.parent_call or "").partition(":")[0]
            said, label = told[call_id]
            with ctx.store.read() as look:
                words = conversation(look, child)
            told[call_id] = f"{said}\nWhat was said meanwhile:\n{words}", label
    return told


def conversation(tx: Tx, caller: Run) -> str:
    """The words of a conversation up to this run, as one text: nothing that its agent has read besides."""
    lines = [
        f"{'person' if item['kind'] == 'user' else 'agent'}: {item['text']}"
        for item in agent_ledger.spoken(tx, caller.id)
        if item.get("text")
    ]
    return results.shortened("\n".join(lines), 2 * LONGEST)


def taken_over(ctx: StepContext, settled: Sequence[Call]) -> Run | None:
    """The child that has taken the conversation over and has answered: its answer is the run's."""
    if not any(call.action == "agents.handoff" and call.status == "done" for call in settled):
        return None
    with ctx.store.read() as look:
        children = agent_ledger.children(look, ctx.run.id)
    for call in settled:
        for child in children.get(call.id, ()):
            if call.action == "agents.handoff" and child.status == Status.COMPLETED:
                return child
    return None


def late(ctx: StepContext, state: dict[str, Any]) -> list[tuple[str, Label]]:
    """What came of those that were still out, for the next turn; who is out yet stays in `state["out"]`."""
    waited = state.pop("out", None)
    if not waited:
        return []
    with ctx.store.read() as look:
        found = [rows.get(look, id) for id in waited]
    own = [child for child in found if child is not None and child.parent_id == ctx.run.id]
    over = [child for child in own if not child.live]
    if out := [child.id for child in own if child.live]:
        state["out"] = out
    if over:
        state.pop("waits", None)
        said, label = _told(over)
        return [(f"Sub-agents that were still out have ended:\n{said}", label)]
    if out and state.pop("waited", None):
        return [
            (
                f"Still out: {', '.join(id[-6:].lower() for id in out)}. Go on without, or wait.",
                labels.DERIVED,
            )
        ]
    return []


def wait(state: dict[str, Any]) -> Park | None:
    """What a run does that has given its answer while somebody is out: the answer is not its last word yet."""
    if not state.get("out"):
        return None
    waits = state.get("waits", 0)
    so_long = min(LONGEST_PAUSE, AGAIN * 2 ** min(waits, 10))
    after = {**state, "waited": True, "waits": waits + 1}
    return Park(Wait.CHILDREN, so_long, "boss-turn", after, state["out"], hears=True)


def _told(children: Sequence[Run]) -> tuple[str, Label]:
    room = max(LEAST, min(LONGEST, results.RESULT_LIMIT // max(1, len(children)) - 200))
    label = labels.join_all(
        [labels.DERIVED, *(child.label for child in children if not child.live)]
    )
    said = [_line(child, room) for child in children]
    counts = {word: sum(one["status"] == word for one in said) for word in _WORDS}
    told = {word: n for word, n in counts.items() if n}
    return json.dumps({**told, "agents": said}, ensure_ascii=False), label


_WORDS = ("completed", "failed", "cancelled", "still out")


def _line(child: Run, room: int) -> dict[str, Any]:
    """How one child stands, in a form that a model reads."""
    line: dict[str, Any] = {
        "id": child.id[-6:].lower(),
        "agent": child.agent,
        "brief": child.title,
        "status": "still out" if child.live else child.status,
    }
    if child.live:
        return line | {"waits_for": child.wait} if child.wait else line
    if child.error:
        line["error"] = json.loads(child.error)["detail"]
    if child.result:
        line["answer"] = results.shortened(child.result, room)
    return line | {"notes": rows.notes_of(child.id)}


# ---- the child's side ----


def form(ctx: StepContext) -> dict[str, Any] | None:
    """The JSON schema that the answer of this run was asked to fit."""
    run = ctx.run
    if run.parent_id is None or not run.parent_call:
        return None
    with ctx.store.read() as look:
        call = calls_ledger.get(look, run.parent_call.partition(":")[0])
    wanted = call.arguments.get("result_schema") if call else None
    return wanted if isinstance(wanted, dict) else None


def answer(ctx: StepContext, said: str, state: dict[str, Any]) -> Next | Fail | None:
    """A child's last word: held against the form, and kept where its boss can promote it. None: it is well."""
    run = ctx.run
    if run.parent_id is None:
        return None
    wanted = form(ctx)
    if wanted is not None:
        try:
            wrong = schemas.problems(wanted, schemas.parse(said))
        except ValueError as problem:
            wrong = [str(problem)]
        if wrong:
            told = f"The answer does not fit the JSON schema: {'; '.join(wrong)}."
            if state.get("mends", 0) >= MENDS:
                return Fail("result", told, result=said)
            note = {"kind": "note", "text": f"{told} Give it again: one JSON value, nothing else."}
            ctx.items.append(rows.Item.of("note", note, ctx.label))
            return Next("boss-turn", {**state, "mends": state.get("mends", 0) + 1})
    if len(json.dumps(said, ensure_ascii=False)) - 2 <= scratch.LONGEST:
        halves = labels.halves(ctx.label)
        written = json.dumps(wanted, ensure_ascii=False) if wanted is not None else None

        def keep(tx: Tx, _seq: int) -> None:
            path = rows.notes_of(run.id) + scratch.RESULT
            own = {"path": path, "value": said, "author": run.agent, "form": written}
            memory.note(tx, run_id=run.root_id, **own, **halves)

        ctx.writes.append(keep)
    return None
