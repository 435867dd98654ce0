"""What a run was told and has read, as its rows and those of the turns before it in its session keep it: whose words
they are, and where they stand.

Reads only. The owner's words are those items of the transcript that are labelled as theirs; a result counts by its call's
row, which knows what was asked, and in a branch, which has no calls, by its item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alfred.runs import sessions
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Label

_WORDS = Sql(
    "select item from transcript where run_id in :runs and kind='user' and integrity='owner' order by run_id,n"
)
_UNREAD = Sql(
    # a turn that was over before its model was asked has no transcript
    "select brief as said,id as at from runs where id in :runs and brief is not null and parent_id is null"
    " and forked_from is null and not exists(select 1 from transcript where run_id=runs.id and kind='user')"
    " union all select body,id from interjections where run_id in :runs and consumed_seq is null order by at"
)
_NOTES = Sql(
    "select kind,item,integrity,confidentiality from transcript where run_id in :runs and (kind in('note','result')"
    " or kind='user' and integrity<>'owner'"  # the brief of a child
    # what the model says in this turn is no source of it; what it said before the person's last word is
    " or kind='assistant' and (run_id<>:run_id or"
    " n<(select max(n) from transcript where run_id=:run_id and kind='user'))) order by run_id,n"
)
_RESULTS = Sql(
    "select action,args,result,error,label,integrity,confidentiality from calls where run_id in :runs"
    " and status in('done','failed') order by run_id,turn,ordinal"
)
_DECIDED = Sql(
    "select reason from approvals where run_id in :runs and reason is not null and decided_by<>'timer'"
    " order by decided_at,id"
)
_LINKS = Sql(
    "select result from calls where run_id in :runs and integration='web' and effect='pure' and status='done'"
    " and result is not null order by run_id,turn,ordinal"
)


_ADDRESS = re.compile(r"\A.*<([^<>\s]+)>\Z", re.DOTALL)
"""A link as a page is told: what a person would click, and the address in angle brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A text that a run has read: a result of a call (then with its action and arguments), a note, an earlier answer, the
    brief of another agent, what a person said to a card of its."""

    kind: str
    action: str | None
    args: dict[str, Any]
    text: str
    label: Label


def words(tx: Tx, run_id: str) -> list[str]:
    """What the owner said to the run and to the turns before it, each message: what was read when it was said, oldest
    first, then what turns that are over left to be read by those behind them."""
    runs = _read(tx, run_id)
    found = [json.loads(row.item).get("text") for row in tx(_WORDS, runs=runs).all()]
    if earlier := runs[:-1]:
        found += [row.said for row in tx(_UNREAD, runs=earlier).all()]
    return [text for text in found if isinstance(text, str)]


def links(tx: Tx, run_id: str) -> frozenset[str]:
    """Every address that a page or a search which the run has read points to, as it stands there."""
    found: set[str] = set()
    for row in tx(_LINKS, runs=_read(tx, run_id)).all():
        page = json.loads(row.result)
        if not isinstance(page, dict):
            continue
        links, hits = page.get("links"), page.get("results")
        listed = links if isinstance(links, list) else []
        found.update(_ADDRESS.sub(r"\1", link) for link in listed if isinstance(link, str))
        listed = hits if isinstance(hits, list) else []
        found.update(
            hit["url"]
            for hit in listed
            if isinstance(hit, dict) and isinstance(hit.get("url"), str)
        )
    return frozenset(found)


def results(tx: Tx, run_id: str) -> list[Heard]:
    """What the calls of the run have come to, oldest first."""
    return [
        Heard(
            kind="result",
            action=row.action,
            args=json.loads(row.args),
            text="\n".join(_texts([json.loads(row.result or "null"), row.error])),
            label=labels.join(
                labels.decode(row.label), labels.of_row(row.integrity, row.confidentiality)
            ),
        )
        for row in tx(_RESULTS, runs=_read(tx, run_id)).all()
    ]


def heard(tx: Tx, run_id: str) -> list[Heard]:
    """What the run has read: what people said to its cards, then its calls' results, then the rest."""
    runs = _read(tx, run_id)
    found = [
        Heard(kind="decision", action=None, args={}, text=reason, label=labels.SAID)
        for reason in tx(_DECIDED, runs=runs).scalars()
    ]
    found += results(tx, run_id)
    for row in tx(_NOTES, runs=runs, run_id=run_id).all():
        item = json.loads(row.item)
        found.append(
            Heard(
                kind=row.kind,
                action=str(item["tool"]).replace("__", ".") if item.get("tool") else None,
                args={},
                text=str(item.get("text") or ""),
                label=labels.of_row(row.integrity, row.confidentiality),
            )
        )
    return found


def _read(tx: Tx, run_id: str) -> list[str]:
    """The run and the turns before it in its session: all that its model reads."""
    return [*sessions.before(tx, run_id), run_id]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inside in value.values():
            yield from _texts(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)
    elif value is not None:
        yield str(value)
