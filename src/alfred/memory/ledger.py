"""The rows of what an agent remembers and of what is to be done. Every row belongs to a tenant and an agent."""

from __future__ import annotations

from dataclasses import dataclass

from alfred import clock
from alfred.store.connect import Sql, Tx

_REMEMBER = Sql(
    "insert into memories(id,tenant,agent,text,source_run,effect_key,integrity,confidentiality,at)"
    " values(:id,:tenant,:agent,:text,:source_run,:key,:integrity,:confidentiality,alfred_now())"
    " on conflict do nothing"
)
_MEMORY_OF = Sql("select id from memories where effect_key=:key")
_RECENT = Sql(
    "select id,text,at,integrity from memories where tenant=:tenant and agent=:agent order by id desc limit :limit"
)
_FOUND_SQLITE = Sql(
    "select m.id,m.text,m.at,m.integrity from memories_fts f join memories m on m.id=f.id"
    " where memories_fts match :query and m.tenant=:tenant and m.agent=:agent order by f.rank, m.id desc limit :limit"
)
_FOUND_PG = Sql(
    "select id,text,at,integrity from memories, to_tsquery('simple', :query) q"
    " where tenant=:tenant and agent=:agent and to_tsvector('simple', text) @@ q"
    " order by ts_rank(to_tsvector('simple', text), q) desc, id desc limit :limit"
)
_ADD = Sql(
    "insert into todos(id,tenant,agent,text,due,source_run,effect_key,at)"
    " values(:id,:tenant,:agent,:text,:due,:source_run,:key,alfred_now()) on conflict do nothing"
)
_TODO_OF = Sql("select id from todos where effect_key=:key")


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing that an agent remembers."""

    id: str
    text: str
    at: int
    integrity: str

    @property
    def when(self) -> str:
        return clock.rfc3339(self.at) or ""


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
    confidentiality: str = "private",
) -> str:
    """Stores a memory; the same key again is the same memory. Returns its id."""
    tx(
        _REMEMBER,
        id=id,
        tenant=tenant,
        agent=agent,
        text=text,
        source_run=source_run,
        key=key,
        integrity=integrity,
        confidentiality=confidentiality,
    )
    return tx(_MEMORY_OF, key=key).scalar_one()


def recent(tx: Tx, *, tenant: str, agent: str, limit: int) -> list[Memory]:
    """The newest memories, newest first."""
    return [Memory(*row) for row in tx(_RECENT, tenant=tenant, agent=agent, limit=limit).all()]


def search(tx: Tx, words: list[str], *, tenant: str, agent: str, limit: int) -> list[Memory]:
    """Memories that hold any of the words (or begin a word with one), the best fit first.

    Args:
        words: Letters and digits only; the caller took everything else out, so that no text is syntax.
    """
    if not words:
        return []
    if tx.pg:
        query, statement = " | ".join(f"{word}:*" for word in words), _FOUND_PG
    else:
        query, statement = " OR ".join(f'"{word}"*' for word in words), _FOUND_SQLITE
    rows = tx(statement, query=query, tenant=tenant, agent=agent, limit=limit).all()
    return [Memory(*row) for row in rows]


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
    """Stores a todo; the same key again is the same todo. Returns its id."""
    tx(_ADD, id=id, tenant=tenant, agent=agent, text=text, due=due, source_run=source_run, key=key)
    return tx(_TODO_OF, key=key).scalar_one()
