"""How another model's answers compare with the recorded ones: pure, over what a replay has kept.

Invariant: two answers agree in what they do when they propose the same calls with the same arguments in the same order;
words alone change nothing in the world.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from alfred.actions import canonical
from alfred.agents import ledger as agent_ledger
from alfred.store.tx import Tx
from alfred.trust import redact

REPLAY = "replay"
"""The workflow whose runs compare."""

Same = Literal["all", "calls", "nothing"]
"""How far two answers agree: to the word; in what they call, with other words; not even in that."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its words, and the calls that it proposes."""

    text: str
    calls: tuple[tuple[str, str], ...]
    """(tool, arguments as canonical JSON)"""

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        calls = [{"tool": tool, "args": json.loads(args)} for tool, args in self.calls]
        return {"text": self.text, "calls": calls}


def turns(tx: Tx, run_id: str) -> list[dict[str, Any]]:
    """What a replay has found so far, a turn each, as `compare` says it."""
    return [i["replayed"] for i in agent_ledger.items(tx, run_id) if "replayed" in i]


def summary(found: list[dict[str, Any]]) -> str:
    """What a replay came to, in words."""
    lines = [line(turn, one) for turn, one in enumerate(found)]
    same = sum(one["same"] != "nothing" for one in found)
    return "\n".join([*lines, f"{same} of {len(found)} turns would go the same way."])


def said(item: dict[str, Any]) -> Said:
    """What an assistant's item says."""
    clean = redact.redact_data({"text": item.get("text") or "", "calls": item.get("calls") or ()})
    calls = tuple((c["tool"], canonical.canonical_json(c["args"])) for c in clean["calls"])
    return Said(clean["text"], calls)


def compare(recorded: Said, answered: Said) -> dict[str, Any]:
    """How far the other answer agrees with the recorded one: `{"same", "recorded", "answered"}`."""
    same: Same = (
        "all"
        if recorded == answered
        else "calls"
        if recorded.calls == answered.calls
        else "nothing"
    )
    return {"same": same, "recorded": recorded.shown(), "answered": answered.shown()}


def line(turn: int, found: dict[str, Any]) -> str:
    """One turn's comparison in words."""
    words = {"all": "the same answer", "calls": "the same calls, other words", "nothing": "differs"}
    if found["same"] != "nothing":
        return f"turn {turn + 1}: {words[found['same']]}"
    then, now = (_calls(found[side]) for side in ("recorded", "answered"))
    return f"turn {turn + 1}: {then} then, {now} now"


def _calls(side: dict[str, Any]) -> str:
    names = ", ".join(call["tool"].replace("__", ".") for call in side["calls"])
    return names or "an answer without calls"
