"""What the prompt of a run is made of, read from its rows.

Invariant: the same rows give the same items in the same order; a summary replaces what it stands for only in
what is shown, never in what is stored.
"""

from __future__ import annotations

import json
from typing import Any

from alfred.runs import rows
from alfred.runs.rows import Item, Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_ITEMS = Sql(
    "select n,kind,item from transcript where run_id=:run_id and n>:after and n<:before order by n"
)
_SUMMARY = Sql(
    "select item from transcript where run_id=:run_id and n<:before and kind='note'"
    " and item like '%\"summary_of\"%' order by n desc limit 1"
)
_ANSWERS = Sql(
    # the last one of its step: before it a first step may have kept what was said earlier in the session
    "select n,item from transcript where run_id=:run_id and n in("
    "select max(n) from transcript where run_id=:run_id and kind='assistant' group by seq)"
    " order by n limit 1 offset :turn"
)
_BRIEF = Sql("select brief from runs where id=:run_id")
_SAID = Sql(
    "select kind,item,integrity,confidentiality from transcript"
    " where run_id=:run_id and kind in('user','assistant','note') order by n"
)
_BEFORE = Sql(
    "select id from runs where tenant=:tenant and session_id=:session_id and id<:id"
    " and status in('completed','failed','cancelled') order by id desc limit 1"
)
_HEAD = Sql("select item from transcript where run_id=:run_id and kind='system' order by n limit 1")


EVERY = 2**31 - 1
"""Behind every item of a transcript."""


def stored_head(tx: Tx, run_id: str) -> dict[str, Any] | None:
    """The head that the run began with, None before its first turn."""
    found = tx(_HEAD, run_id=run_id).scalar()
    return json.loads(found) if found else None


def before(tx: Tx, run: Run) -> Run | None:
    """The newest run of the same session that was over when this one began."""
    if run.session_id is None or run.session_id == run.id:
        return None
    about = {"tenant": run.tenant, "session_id": run.session_id, "id": run.id}
    found = tx(_BEFORE, **about).scalar()
    return rows.get(tx, found) if found else None


def said(tx: Tx, run_id: str) -> list[Item]:
    """What was said in a run, by people, by the model and by alfred itself, each with its labels."""
    return [
        Item(
            kind=row.kind,
            item=json.loads(row.item),
            integrity=row.integrity,
            confidentiality=row.confidentiality,
        )
        for row in tx(_SAID, run_id=run_id).all()
    ]


def answer(tx: Tx, run_id: str, turn: int) -> tuple[int, dict[str, Any] | None]:
    """The model's answer of a turn, counted from 0, with its number in the transcript; (0, None) when there is none."""
    found = tx(_ANSWERS, run_id=run_id, turn=turn).one_or_none()
    return (found.n, json.loads(found.item)) if found else (0, None)


def brief(tx: Tx, run_id: str) -> str:
    """What the run was asked."""
    return tx(_BRIEF, run_id=run_id).scalar() or ""


def items(tx: Tx, run_id: str, *, before: int = EVERY) -> list[dict[str, Any]]:
    """What the model is shown behind the head: everything, or the brief, the newest summary and what came after it.

    Args:
        before: The number of an item: what was shown to make it.
    """
    return [item for _, item in numbered(tx, run_id, before=before)]


def numbered(tx: Tx, run_id: str, *, before: int = EVERY) -> list[tuple[int, dict[str, Any]]]:
    """What `items` says, each with its number in the transcript; the brief before a summary, and the summary, have 0.

    A summary that a newer one replaced is not shown: the newer one was made of it.
    """
    summary = tx(_SUMMARY, run_id=run_id, before=before).scalar()
    note = json.loads(summary) if summary else {"summary_of": 0}
    rest = [
        (row.n, json.loads(row.item))
        for row in tx(_ITEMS, run_id=run_id, after=note["summary_of"], before=before).all()
        if row.kind != "system"
    ]
    shown = [(n, item) for n, item in rest if "summary_of" not in item]
    if not summary:
        return shown
    brief = {"kind": "user", "text": note["brief"]}
    return [(0, brief), (0, {"kind": "note", "text": note["text"]}), *shown]
