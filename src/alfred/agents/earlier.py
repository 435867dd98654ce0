"""The conversation so far: what a run is told of the runs before it in its session.

Invariant: whose words they were stays with them. What a person and the model said earlier are items of their own,
with the labels that they had, and never part of the new brief, which is only what the person says now. They are read
once, when the run begins, from a run that is over, and kept as its first items, so that every prompt of the run
begins with the same bytes. Calls and their results are left out: an answer tells what came of them.
"""

from __future__ import annotations

from dataclasses import replace

from alfred.actions import results
from alfred.agents import ledger
from alfred.runs.rows import Item, Run
from alfred.store.tx import Tx
from alfred.trust import labels, text

LONGEST = 60_000
"""Characters of what was said earlier; of more the oldest is left out. One item has at most `results.RESULT_LIMIT`."""


def exchange(tx: Tx, run: Run) -> list[Item]:
    """What was said in the session before this run, oldest first; nothing for its first run."""
    last = ledger.before(tx, run)
    return _bounded(_until(tx, last)) if last else []


def _until(tx: Tx, run: Run) -> list[Item]:
    """What was said up to the end of a run: by its own transcript, which begins with what it was told itself."""
    told: list[Item] = []
    said = ledger.said(tx, run.id)
    if not said:  # it ended before its first turn
        last = ledger.before(tx, run)
        told = _until(tx, last) if last else []
        brief = {"kind": "user", "text": text.sanitize(run.brief or "")[0]}
        told.append(Item.of("user", brief, labels.OWNER))
    for item in said:
        if item.kind == "user" or "earlier" in item.item:
            told.append(item)
        elif item.kind == "assistant" and not item.item["calls"]:
            told = _answered(told, item)
    if told[-1].kind == "user":
        told.append(_note(f"This ended without an answer: {run.status}.", 0))
    return told


def _answered(told: list[Item], answer: Item) -> list[Item]:
    """With one more answer. One that was cut at the output limit, and what it went on with, are one."""
    if told and told[-1].kind == "assistant":
        whole = told[-1].item["text"] + answer.item["text"]
        return [*told[:-1], replace(answer, item={**answer.item, "text": whole, "native": None})]
    return [*told, answer]


def _bounded(told: list[Item]) -> list[Item]:
    """As much of the end as there is room for, and a note about the rest."""
    left_out = sum(item.item.get("earlier", 0) for item in told)
    told = [_short(item) for item in told if not item.item.get("earlier")]
    room, first = LONGEST, len(told)
    while first and (room := room - len(told[first - 1].item["text"])) >= 0:
        first -= 1
    left_out += first
    kept = told[first:]
    if left_out:
        note = f"The oldest messages of this conversation are left out here: {left_out}."
        kept.insert(0, _note(note, left_out))
    return kept


def _short(item: Item) -> Item:
    said = results.shortened(item.item["text"])
    if said == item.item["text"]:
        return item
    native = {"native": None} if item.kind == "assistant" else {}
    return replace(item, item={**item.item, "text": said} | native)


def _note(words: str, left_out: int) -> Item:
    """alfred's own word about what was said; `earlier` says how many messages it stands for."""
    return Item.of("note", {"kind": "note", "text": words, "earlier": left_out}, labels.TRUSTED)
