"""The rows of what MCP servers said about their tools when they were pinned, and of what they say that is different.

Invariants: the first answer of a server that the owner wrote into the configuration is pinned, and so is that of one that
he has written otherwise since; nothing else changes what is pinned but a person's yes to exactly what was seen. While
something different was seen nothing of the server may be used. One run of a server asks at a time, also when it says now this
and now that, and a no is an answer for good, also when the server said something else in between.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from alfred.runs import audit
from alfred.store.statement import Sql
from alfred.store.tx import Tx

ACCEPT = "servers.accept"
"""The call that a person says yes or no to."""

_COLUMNS = "tenant,scope,server,definition,digest,tools,seen,seen_tools,asked,by,at"

_PIN = Sql(
    "insert into mcp_pins(tenant,scope,server,definition,digest,tools,by,at)"
    " values(:tenant,:scope,:server,:definition,:digest,:tools,'config',alfred_now())"
    " on conflict(tenant,scope,server) do update set definition=excluded.definition,digest=excluded.digest,"
    "tools=excluded.tools,seen=null,seen_tools=null,asked=null,by=excluded.by,at=excluded.at"
    " where mcp_pins.definition<>excluded.definition returning server"
)
_SEEN = Sql(
    "update mcp_pins set seen=:seen,seen_tools=:tools where tenant=:tenant and scope=:scope"
    " and server=:server and definition=:definition and digest<>:seen and (seen is null or seen<>:seen) returning server"
)
_AGAIN = Sql(
    "update mcp_pins set seen=null,seen_tools=null where tenant=:tenant and scope=:scope"
    " and server=:server and definition=:definition and digest=:digest and seen is not null returning server"
)
_ASK = Sql(
    "update mcp_pins set asked=:asked where tenant=:tenant and scope=:scope and server=:server and seen=:seen"
    " and not exists(select 1 from runs where id=mcp_pins.asked and status in('queued','running','parked'))"
    " and not exists(select 1 from approvals a join runs r on r.id=a.run_id where a.tenant=:tenant"
    " and a.action=:action and a.status='rejected' and r.singleton_key=:question)"
    " returning server"
)
_ACCEPT = Sql(
    "update mcp_pins set digest=seen,tools=seen_tools,seen=null,seen_tools=null,asked=null,by=:by,at=alfred_now()"
    " where tenant=:tenant and scope=:scope and server=:server and seen=:seen returning server"
)
_GET = Sql(
    f"select {_COLUMNS} from mcp_pins where tenant=:tenant and scope=:scope and server=:server"
)
_OF = Sql(
    f"select {_COLUMNS} from mcp_pins where tenant=:tenant and scope in :scopes order by scope,server"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A server of a tenant: at the top of the configuration (`scope` is empty) or in the entry of an agent."""

    tenant: str
    scope: str
    server: str

    def __str__(self) -> str:
        return f"{self.server} of {self.scope}" if self.scope else self.server

    @property
    def row(self) -> dict[str, str]:
        """As parameters of a statement."""
        return {"tenant": self.tenant, "scope": self.scope, "server": self.server}


@dataclass(frozen=True, slots=True)
class Pin:
    """What is pinned of a server, and what was seen that is different."""

    tenant: str
    scope: str
    server: str
    definition: str
    digest: str
    tools: str
    seen: str | None
    seen_tools: str | None
    asked: str | None
    """The run that asks a person about the difference."""
    by: str
    at: int

    @property
    def place(self) -> Place:
        """Which server it is."""
        return Place(self.tenant, self.scope, self.server)

    @property
    def question(self) -> str:
        """What a person is asked: the key of the run that asks it."""
        return f"pin:{self.scope}:{self.server}:{self.seen}"

    @property
    def offered(self) -> list[dict[str, Any]]:
        """The tools as they were pinned."""
        return json.loads(self.tools)


def get(look: Tx, place: Place) -> Pin | None:
    """What is pinned of a server; None: it was never met."""
    row = look(_GET, **place.row).one_or_none()
    return Pin(*row) if row else None


def of(look: Tx, tenant: str, scopes: Sequence[str]) -> list[Pin]:
    """What is pinned of the servers at the top (the scope '') and of agents."""
    return [Pin(*row) for row in look(_OF, tenant=tenant, scopes=list(scopes)).all()]


def meet(
    tx: Tx, place: Place, *, definition: str, digest: str, tools: list[dict[str, Any]], run: str
) -> Pin:
    """What a server says about its tools now. It is pinned when it is the first word of this definition; what differs from
    the pinned is kept beside it, and what is the same again takes that away.

    Args:
        run: The run that asks a person, should this be the one who finds the difference: then `asked` is its id.
    """
    text = json.dumps(tools, ensure_ascii=False)
    said = {"definition": definition, "digest": digest, "tools": text}
    if tx(_PIN, **place.row, **said).one_or_none():
        _told(tx, "mcp.pinned", place, digest, by="config", tools=len(tools))
    elif tx(_AGAIN, **place.row, definition=definition, digest=digest).one_or_none():
        _told(tx, "mcp.unchanged", place, digest)
    elif tx(_SEEN, **place.row, definition=definition, seen=digest, tools=text).one_or_none():
        _told(tx, "mcp.changed", place, digest)
    found = get(tx, place)
    assert found is not None
    if found.seen is None or found.definition != definition:
        return found
    question = {"seen": found.seen, "question": found.question, "action": ACCEPT}
    asks = tx(_ASK, **place.row, **question, asked=run).one_or_none()
    return replace(found, asked=run) if asks else found


def accept(tx: Tx, place: Place, seen: str, *, by: str) -> bool:
    """Pins what was seen. False when that is not what is seen any more."""
    if not tx(_ACCEPT, **place.row, seen=seen, by=by).one_or_none():
        return False
    _told(tx, "mcp.pinned", place, seen, by=by)
    return True


def _told(tx: Tx, what: str, place: Place, digest: str, **more: Any) -> None:
    audit.append(
        tx, place.tenant, what, server=place.server, agent=place.scope, digest=digest, **more
    )
