"""Why a binding wins, loses or does not fit, in words. It decides nothing: the router has decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from alfred.agents import ranks
from alfred.agents.bindings import KEYS, Binding
from alfred.agents.ranks import Message, Rank, Values


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one binding when a message was routed, and why."""

    binding: Binding
    outcome: Literal["wins", "loses", "does not fit"]
    why: str


def of(bindings: Sequence[Binding], winner: Binding | None, message: Message) -> Iterator[Verdict]:
    """What became of each binding, in their order.

    Args:
        winner: The one of them that the message was routed by; None: it reached the default agent.
    """
    has, around = ranks.said(message)
    first = next((n for n, binding in enumerate(bindings) if binding is winner), None)
    best = None if first is None else ranks.rank(first, bindings[first], has)
    for number, binding in enumerate(bindings):
        why = _differs(binding, message["platform"], has, around)
        if why is not None or best is None or winner is None:
            yield Verdict(binding, "does not fit", why or "")
        elif number == first:
            yield Verdict(binding, "wins", f"tier {best[0]}, {ranks.TIERS[best[0]]}")
        else:
            why = _behind(ranks.rank(number, binding, has), best, winner.number)
            yield Verdict(binding, "loses", why)


def _differs(binding: Binding, platform: str, has: Values, around: str | None) -> str | None:
    """Why a binding does not fit a message; None: it does."""
    if binding.platform != platform:
        return f"it is for {binding.platform}"
    for key, asks, there in zip(KEYS, ranks.asked(binding), has, strict=True):
        if asks is None or asks == there or (key == "chat_id" and asks == around):
            continue
        if key == "peer" and there is None:
            return "it asks for a peer, whom only a direct chat has"
        said = "which the message lacks" if there is None else f"and the message has {there}"
        return f"it asks for {key} {asks}, {said}"
    return None


def _behind(rank: Rank, best: Rank, winner: int) -> str:
    """Why a binding that fits loses against the one that wins."""
    if rank[0] != best[0]:
        return f"tier {rank[0]}, {ranks.TIERS[rank[0]]}, comes behind tier {best[0]}"
    if rank[1] != best[1]:
        return f"it names the chat around the thread, binding {winner} the thread itself"
    if rank[2] != best[2]:
        return f"binding {winner} of the same tier asks for more"
    return f"binding {winner} ranks alike and stands before it"
