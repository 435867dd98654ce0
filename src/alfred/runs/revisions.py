"""The rows of user-written workflows: their texts as runs began with them, and the contract that a person allowed.

Invariants: a revision's text is written once; of one workflow at most one revision is active; it becomes so by a person's yes
to exactly the contract that was kept when they were asked, and what is active stays as it is while another is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from alfred.runs import audit
from alfred.runs.rows import LIVE_SQL
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_HERE = "tenant=:tenant and slug=:slug"
_ACTIVE = "activated_at is not null and ended_at is null"


@dataclass(frozen=True, slots=True)
class Revision:
    """A row. `contract` is the one that was allowed last; it holds while the revision is active."""

    slug: str
    revision: str
    text: str
    at: int
    asked: str | None
    asked_contract: str | None
    contract: str | None
    activated_by: str | None
    activated_at: int | None
    ended_at: int | None

    @property
    def active(self) -> bool:
        """Whether runs of it may begin, as long as its file still means it."""
        return self.activated_at is not None and self.ended_at is None


_COLUMNS = ",".join(f.name for f in fields(Revision))
_GET = Sql(f"select {_COLUMNS} from workflow_revisions where {_HERE} and revision=:revision")
_HOLDS = Sql(f"select {_COLUMNS} from workflow_revisions where {_HERE} and {_ACTIVE}")
_ALL = Sql(
    f"select {_COLUMNS} from workflow_revisions where tenant=:tenant and {_ACTIVE} order by slug"
)
_KEEP = Sql(
    "insert into workflow_revisions(tenant,slug,revision,text,at)"
    " values(:tenant,:slug,:revision,:text,alfred_now()) on conflict do nothing"
)
_ASK = Sql(
    f"update workflow_revisions set asked=:asked,asked_contract=:contract where {_HERE} and revision=:revision"
)
_LOCK = Sql(f"select 1 from workflow_revisions where {_HERE} order by revision {{lock}}")
_END = Sql(
    f"update workflow_revisions set ended_at=alfred_now() where {_HERE} and {_ACTIVE}"
    " and exists(select 1 from workflow_revisions w where w.tenant=:tenant and w.slug=:slug"
    " and w.revision=:revision and w.asked=:asked)"
)
_ACTIVATE = Sql(
    "update workflow_revisions set contract=asked_contract,asked=null,asked_contract=null,activated_by=:by,"
    f"activated_at=alfred_now(),ended_at=null where {_HERE} and revision=:revision and asked=:asked"
)
_DEACTIVATE = Sql(
    f"update workflow_revisions set ended_at=alfred_now() where {_HERE} and {_ACTIVE} returning revision"
)
_ASKING = Sql(
    f"select id from runs where tenant=:tenant and singleton_key=:key and status in{LIVE_SQL}"
)


def get(look: Tx, tenant: str, slug: str, revision: str) -> Revision | None:
    """One revision; None: nobody has run it or asked about it."""
    row = look(_GET, tenant=tenant, slug=slug, revision=revision).one_or_none()
    return Revision(*row) if row else None


def active(look: Tx, tenant: str, slug: str) -> Revision | None:
    """The revision of a workflow that a person allowed; None: none is."""
    row = look(_HOLDS, tenant=tenant, slug=slug).one_or_none()
    return Revision(*row) if row else None


def of_tenant(look: Tx, tenant: str) -> list[Revision]:
    """Every active revision of a tenant, by slug."""
    return [Revision(*row) for row in look(_ALL, tenant=tenant).all()]


def keep(tx: Tx, tenant: str, slug: str, revision: str, text: str) -> None:
    """Keeps the text of a revision, without secrets; the first one that meant this."""
    tx(_KEEP, tenant=tenant, slug=slug, revision=revision, text=redact.redact(text))


def ask(tx: Tx, tenant: str, slug: str, revision: str, *, asked: str, contract: str) -> None:
    """Keeps what a person is asked about: the contract, and its hash. The text must be there."""
    tx(_ASK, tenant=tenant, slug=slug, revision=revision, asked=asked, contract=contract)


def key(slug: str, asked: str) -> str:
    """What there is one run of at a time: the one that asks about a contract, by its hash."""
    return f"workflow:{slug}:{asked}"


def asking(look: Tx, tenant: str, slug: str, asked: str) -> str | None:
    """The run that asks about a contract, while it lives."""
    return look(_ASKING, tenant=tenant, key=key(slug, asked)).scalar()


def activate(tx: Tx, tenant: str, slug: str, revision: str, *, asked: str, by: str) -> bool:
    """Makes a revision the active one, with the contract that was asked about. False when that is another one by now."""
    here = {"tenant": tenant, "slug": slug}
    tx(_LOCK, **here)
    tx(_END, **here, revision=revision, asked=asked)
    if not tx(_ACTIVATE, **here, revision=revision, asked=asked, by=by).rowcount:
        return False
    audit.append(
        tx, tenant, "workflow.activate", slug=slug, revision=revision, contract=asked, by=by
    )
    return True


def deactivate(tx: Tx, tenant: str, slug: str, *, by: str) -> bool:
    """Ends what is active, also what is just taking its place. False: nothing was."""
    tx(_LOCK, tenant=tenant, slug=slug)
    row = tx(_DEACTIVATE, tenant=tenant, slug=slug).one_or_none()
    if row is None:
        return False
    audit.append(tx, tenant, "workflow.deactivate", slug=slug, revision=row.revision, by=by)
    return True
