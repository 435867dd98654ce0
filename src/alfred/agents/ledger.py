"""What the prompt of a run is made of, read from its rows.

Invariant: the same rows give the same items in the same order; a summary replaces what it stands for only in
what is shown, never in what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alfred.store.connect import Sql, Tx

_ITEMS = Sql("select n,kind,item from transcript where run_id=:run_id and n>:after order by n")
_SUMMARY = Sql(
    "select n,item from transcript where run_id=:run_id and kind='note' and item like '%\"summary_of\"%'"
    " order by n desc limit 1"
)
_HEAD = Sql("select item from transcript where run_id=:run_id and kind='system' order by n limit 1")


def stored_head(tx: Tx, run_id: str) -> dict[str, Any] | None:
    """The head that the run began with, None before its first turn."""
    found = tx(_HEAD, run_id=run_id).scalar()
    return json.loads(found) if found else None


def items(tx: Tx, run_id: str) -> list[dict[str, Any]]:
    """What the model is shown behind the head: everything, or the brief, the newest summary and what came after it."""
    summary = tx(_SUMMARY, run_id=run_id).one_or_none()
    if summary is None:
        return [
            json.loads(row.item)
            for row in tx(_ITEMS, run_id=run_id, after=0).all()
            if row.kind != "system"
        ]
    note = json.loads(summary.item)
    rest = tx(_ITEMS, run_id=run_id, after=note["summary_of"]).all()
    shown = [json.loads(row.item) for row in rest if row.kind != "system" and row.n != summary.n]
    return [{"kind": "user", "text": note["brief"]}, {"kind": "note", "text": note["text"]}, *shown]


def numbered(tx: Tx, run_id: str, after: int = 0) -> Sequence[tuple[int, dict[str, Any]]]:
    """Every item behind `after` with its number, the head left out."""
    return [
        (row.n, json.loads(row.item))
        for row in tx(_ITEMS, run_id=run_id, after=after).all()
        if row.kind != "system"
    ]
