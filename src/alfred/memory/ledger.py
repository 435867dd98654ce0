"""The rows of what an agent remembers, of what is to be done, and of what a run notes for itself.

Every row belongs to a tenant and an agent, or to one run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from alfred import clock
from alfred.runs import rows as run_rows
from alfred.store.accents import ACCENTED, BARE
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels, redact
from alfred.trust.labels import Label

PREFIX = 3
"""Letters of a word that the beginning of another may be."""

_REMEMBER = Sql(
    "insert into memories(id,tenant,agent,text,source_run,effect_key,integrity,confidentiality,at)"
    " values(:id,:tenant,:agent,:text,:source_run,:key,:integrity,:confidentiality,alfred_now())"
    " on conflict do nothing"
)
_MEMORY_OF = Sql("select id from memories where effect_key=:key")
_INSIDE = "integrity in('owner','trusted','derived')"
_RECENT = Sql(
    "select id,text,at,integrity,confidentiality from memories where tenant=:tenant and agent=:agent"
    f" and {_INSIDE} order by at desc, id desc limit :limit"
)
_OUTSIDE = Sql(
    f"select count(*) from memories where tenant=:tenant and agent=:agent and not {_INSIDE}"
)
_FOUND_SQLITE = Sql(
    "select m.id,m.text,m.at,m.integrity,m.confidentiality from memories_fts f join memories m on m.id=f.id"
    " where memories_fts match :query and m.tenant=:tenant and m.agent=:agent order by m.at desc, m.id desc limit :limit"
)
# The words of a memory as FTS5's `porter unicode61` sees them: no accents, nothing but letters and digits, stems.
# Stop words have no stem on Postgres; they are found as they are.
_PLAIN = "regexp_replace(translate(text, :accented, :bare), :gaps, ' ', 'g')"
_FOUND_PG = Sql(
    "select id,text,at,integrity,confidentiality from memories where tenant=:tenant and agent=:agent and"
    f" (to_tsvector('english', {_PLAIN}) @@ to_tsquery('english', :prefixes)"
    f" or to_tsvector('simple', {_PLAIN}) @@ to_tsquery('simple', :words)) order by at desc, id desc limit :limit"
)
_SAID = (
    "select t.run_id,r.session_id,t.kind,t.item,t.at,t.integrity,t.confidentiality from {found} join runs r on r.id=t.run_id"
    " where {fits} and r.tenant=:tenant and r.agent=:agent and r.id<>:but"
    f" and (r.depth=0 or r.parent_call like '%{run_rows.TAKES_OVER}')"
    " order by t.at desc,t.run_id desc,t.n desc limit :limit"
)
_SAID_SQLITE = Sql(
    _SAID.format(
        found="said_fts f join transcript t on t.run_id=f.run_id and t.n=f.n",
        fits="said_fts match :query",
    )
)
_SAID_PG = Sql(
    _SAID.format(
        found="transcript t",
        fits="t.kind in('user','assistant') and alfred_words(t.item) @@ to_tsquery('simple',:query)",
    )
)
_ADD = Sql(
    "insert into todos(id,tenant,agent,text,due,source_run,effect_key,at)"
    " values(:id,:tenant,:agent,:text,:due,:source_run,:key,alfred_now()) on conflict do nothing"
)
_TODO_OF = Sql("select id from todos where effect_key=:key")
_NOTE = Sql(
    "insert into scratch(run_id,path,value,author,origin,reason,form,integrity,confidentiality,at)"
    " values(:run_id,:path,:value,:author,:origin,:reason,:form,:integrity,:confidentiality,alfred_now())"
    " on conflict(run_id,path) do update set value=excluded.value,author=excluded.author,origin=excluded.origin,"
    "reason=excluded.reason,form=excluded.form,integrity=excluded.integrity,"
    "confidentiality=excluded.confidentiality,at=excluded.at"
)
_NOTE_COLUMNS = "path,value,author,origin,reason,form,at,integrity,confidentiality"
_NOTES = Sql(f"select {_NOTE_COLUMNS} from scratch where run_id=:run_id")
_NOTED = Sql(f"select {_NOTE_COLUMNS} from scratch where run_id=:run_id and path=:path")


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that an agent remembers."""

    id: str
    text: str
    at: int
    integrity: str
    confidentiality: str

    @property
    def label(self) -> Label:
        return labels.of_row(self.integrity, self.confidentiality)

    @property
    def when(self) -> str:
        return clock.rfc3339(self.at) or ""


@dataclass(frozen=True, slots=True)
class Uttered:
    """Something that a person or the agent said in a conversation."""

    run_id: str
    session_id: str
    kind: str
    text: str
    at: int
    label: Label


@dataclass(frozen=True, slots=True)
class Note:
    """One value of a run's scratch."""

    path: str
    value: str
    author: str
    """The agent that wrote it."""
    origin: str | None
    """The name that it was promoted from."""
    reason: str | None
    """Why it was."""
    form: str | None
    """JSON schema that it was asked to fit."""
    at: int
    integrity: str
    confidentiality: str

    @property
    def label(self) -> Label:
        return labels.of_row(self.integrity, self.confidentiality)


def remember(
    tx: Tx,
    *,
    id: str,
    tenant: str,
    agent: str,
    text: str,
    source_run: str,
    key: str,
    integrity: str,
    confidentiality: str,
) -> str:
    """Stores a memory, without secrets; the same key again is the same memory. Returns its id."""
    tx(
        _REMEMBER,
        id=id,
        tenant=tenant,
        agent=agent,
        text=redact.redact(text),
        source_run=source_run,
        key=key,
        integrity=integrity,
        confidentiality=confidentiality,
    )
    return tx(_MEMORY_OF, key=key).scalar_one()


def recent(tx: Tx, *, tenant: str, agent: str, limit: int) -> list[Memory]:
    """The newest memories in which nobody else has a word, newest first."""
    return [Memory(*row) for row in tx(_RECENT, tenant=tenant, agent=agent, limit=limit).all()]


def from_outside(tx: Tx, *, tenant: str, agent: str) -> int:
    """How many of the memories are, or may be, the words of others."""
    return tx(_OUTSIDE, tenant=tenant, agent=agent).scalar_one()


def search(tx: Tx, words: list[str], *, tenant: str, agent: str, limit: int) -> list[Memory]:
    """Memories that hold any of the words, in another form of it too, or begin a word with a longer one;
    newest first.

    Args:
        words: Letters and digits only, without accents; the caller took everything else out, so that no text
            is syntax.
    """
    if not words:
        return []
    if tx.pg:
        rows = tx(
            _FOUND_PG,
            prefixes=" | ".join(f"{word}:*" if len(word) >= PREFIX else word for word in words),
            words=" | ".join(words),
            accented=ACCENTED,
            bare=BARE,
            gaps=_GAPS,
            tenant=tenant,
            agent=agent,
            limit=limit,
        )
    else:
        query = " OR ".join(f'"{word}"*' if len(word) >= PREFIX else f'"{word}"' for word in words)
        rows = tx(_FOUND_SQLITE, query=query, tenant=tenant, agent=agent, limit=limit)
    return [Memory(*row) for row in rows.all()]


_GAPS = "[\u0001-/:-@\\[-`{-~\u00a0-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2000-\u206f\u3000-\u303f]+"
"""What lies between words, as an expression for Postgres."""


def uttered(
    tx: Tx, words: list[str], *, tenant: str, agent: str, but: str, limit: int
) -> list[Uttered]:
    """What was said in the agent's conversations that holds any of the words, or a word with the same beginning; newest
    first.

    Args:
        words: As for `search`.
        but: A run whose own words do not count.
    """
    if not words:
        return []
    whose = {"tenant": tenant, "agent": agent, "but": but, "limit": limit}
    if tx.pg:
        rows = tx(_SAID_PG, query=" | ".join(f"{_stem(word)}:*" for word in words), **whose)
    else:
        rows = tx(_SAID_SQLITE, query=" OR ".join(f'"{_stem(word)}"*' for word in words), **whose)
    return [
        Uttered(
            row.run_id,
            row.session_id,
            row.kind,
            str(json.loads(row.item).get("text") or ""),
            row.at,
            labels.of_row(row.integrity, row.confidentiality),
        )
        for row in rows.all()
    ]


def _stem(word: str) -> str:
    """What a word and its other forms begin with."""
    return word[: max(PREFIX, len(word) - PREFIX)]


def add_todo(
    tx: Tx,
    *,
    id: str,
    tenant: str,
    agent: str,
    text: str,
    due: str | None,
    source_run: str,
    key: str,
) -> str:
    """Stores a todo, without secrets; the same key again is the same todo. Returns its id."""
    said = redact.redact(text)
    tx(_ADD, id=id, tenant=tenant, agent=agent, text=said, due=due, source_run=source_run, key=key)
    return tx(_TODO_OF, key=key).scalar_one()


def note(
    tx: Tx,
    *,
    run_id: str,
    path: str,
    value: str,
    author: str,
    integrity: str,
    confidentiality: str,
    origin: str | None = None,
    reason: str | None = None,
    form: str | None = None,
) -> None:
    """Writes a value of a run's scratch, without secrets, over what was there."""
    tx(
        _NOTE,
        run_id=run_id,
        path=path,
        value=redact.redact(value),
        author=author,
        origin=origin,
        reason=None if reason is None else redact.redact(reason),
        form=form,
        integrity=integrity,
        confidentiality=confidentiality,
    )


def noted(tx: Tx, run_id: str, path: str) -> Note | None:
    """The value of this name, if there is one."""
    row = tx(_NOTED, run_id=run_id, path=path).one_or_none()
    return Note(*row) if row else None


def notes(tx: Tx, run_id: str) -> list[Note]:
    """All of a run's scratch, by name."""
    found = [Note(*row) for row in tx(_NOTES, run_id=run_id).all()]
    return sorted(found, key=lambda one: one.path)  # databases order text differently
