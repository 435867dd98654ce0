"""What a run's row says, and the values that its verbs take: plain, frozen, no SQL but reading and locking."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from alfred import clock, errors
from alfred.runs.states import OVER
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels, redact
from alfred.trust.labels import Label

FOREVER = 3650 * clock.DAY
"""The deadline of a wait that only a person ends: every park has one."""

MAX_RECLAIMS = 3
"""So many times in a row may a holder die before a step commits; then the run is poison."""


class Run(NamedTuple):
    """A run's row, as it was when it was read. A tuple, because each step makes one anew."""

    id: str
    tenant: str
    agent: str
    workflow: str
    revision: str | None
    title: str
    brief: str | None
    trigger_kind: str
    model: str | None
    grants: str | None
    workspace: str | None
    inputs: str | None
    state: str | None
    external: int
    private: int
    dry_run: int
    parent_id: str | None
    parent_call: str | None
    root_id: str
    depth: int
    session_id: str
    singleton_key: str | None
    forked_from: str | None
    forked_seq: int | None
    status: str
    wait: str | None
    wake_at: int | None
    park_no: int
    driver: str
    step: str
    seq: int
    turn: int
    answers: int
    items: int
    attempt: int
    reclaims: int
    worker: str | None
    lease_until: int | None
    ran_us: int
    cancel: int
    max_cost: int | None
    error: str | None
    result: str | None
    created_at: int
    ended_at: int | None

    @property
    def live(self) -> bool:
        return self.status not in OVER

    @property
    def takes_over(self) -> bool:
        """Whether it is a child to which its caller has handed the conversation."""
        return (self.parent_call or "").endswith(f":{TAKES_OVER}")

    @property
    def label(self) -> Label:
        """The label of its context: the worst of all that has joined it, by the last step that was committed."""
        return labels.of_context(external=bool(self.external), private=bool(self.private))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a run starts with. `id` is made by the caller, so that starting it twice starts it once."""

    id: str
    workflow: str
    step: str
    tenant: str = "main"
    agent: str = "main"
    revision: str | None = None
    """Of the user-written workflow that it runs, as `slug@hash`."""
    brief: str | None = None
    title: str = ""
    trigger_kind: str = "cli"
    model: str | None = None
    grants: str | None = None
    workspace: str | None = None
    inputs: str | None = None
    state: str | None = None
    external: int = 0
    private: int = 0
    dry_run: int = 0
    parent_id: str | None = None
    parent_call: str | None = None
    root_id: str | None = None
    depth: int = 0
    session_id: str | None = None
    """None: of its own, with its id."""
    singleton_key: str | None = None
    driver: str = "worker"
    priority: int = 0
    max_cost: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker's hold on a run. `attempt` and `worker` fence everything that is done under it: after a restore an
    attempt may be counted a second time, a worker's id never is."""

    run_id: str
    parent_id: str | None
    tenant: str
    agent: str
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who claims: the worker's id, its boot, how long its leases live (microseconds)."""

    worker: str
    boot: str
    lease_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many runs may be running at once: of a tenant, and of one of its agents."""

    total: int
    per_agent: int


@dataclass(frozen=True, slots=True)
class Full:
    """A claim was refused because a cap is full: nothing of the agent (None: of the tenant) need be tried now."""

    tenant: str
    agent: str | None = None

    def __str__(self) -> str:
        return f"{self.tenant}/{self.agent}" if self.agent else self.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of the transcript: plain JSON with the label of what it says."""

    kind: str
    item: dict[str, Any]
    integrity: str = "derived"
    confidentiality: str = "private"

    @classmethod
    def of(cls, kind: str, item: dict[str, Any], label: Label) -> Item:
        """An item with its label in one, and without secrets: what is in the transcript is in every prompt after it."""
        return cls(kind=kind, item=redact.redact_data(item), **labels.halves(label))

    @property
    def label(self) -> Label:
        return labels.of_row(self.integrity, self.confidentiality)

    def row(self) -> tuple[str, str, str, str]:
        """Its columns, as the statements take several of them: in one JSON parameter."""
        text = json.dumps(self.item, ensure_ascii=False)
        return self.kind, text, self.integrity, self.confidentiality


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the commit of one step writes, besides the verdict."""

    token: str
    name: str
    started: int
    items: Sequence[Item] = ()
    state: str | None = None  # None keeps what is there
    answers: int = 0
    external: bool = False
    private: bool = False
    writes: Sequence[Callable[[Tx, int], None]] = ()
    """Rows of other floors that belong to this step: called with the step's seq, in its transaction."""


RUN_COLUMNS = ",".join(Run._fields)

TAKES_OVER = "handoff"
"""What stands behind the call in the `parent_call` of a child that takes the conversation over."""

ITEMS = "{pg:json_array_elements(cast(:said as json)) with ordinality as i(value,n)}{sqlite:json_each(:said) as i}"
"""Several items as the rows `i` of one JSON parameter, which `said` makes: their number is no limit."""
ITEM_NUMBER = "{pg:i.n}{sqlite:i.key+1}"
"""Counted from 1."""
ITEM_COLUMNS = "i.value->>0,i.value->>1,i.value->>2,i.value->>3"
"""kind, item, integrity, confidentiality"""

LIVE_SQL = "('queued','running','parked')"
RAN_SQL = (
    "ran_us=ran_us+case when running_since is not null and alfred_mono()>running_since"
    " then alfred_mono()-running_since else 0 end,running_since=null"
)
"""Part of every update that takes a run out of `running`: adds the stretch to the time it has run."""

_LEASE_ENDS = "update leases set ended=:why"
LEASE_ENDS = Sql(f"{_LEASE_ENDS} where run_id=:id and ended is null")
WITH_LEASE = f"{_LEASE_ENDS} from held where run_id=:id and ended is null"
"""The same behind a guard."""
OPEN_MESSAGES = Sql(
    "select count(*) from interjections where run_id=:id and consumed_seq is null"
    " and not exists(select 1 from runs where id=:id and asks like '?%')"
)
"""Messages that the run would read now: one that waits for a place at a provider reads none before it has one."""
OPEN_CHILDREN = Sql(f"select count(*) from runs where parent_id=:id and status in{LIVE_SQL}")
OPEN_OF_CALL = Sql(
    f"select count(*) from runs where parent_id=:id and coalesce(parent_call,'') like :of and status in{LIVE_SQL}"
)
"""Children of one call: `of` is what their `parent_call` is like."""
OPEN_OF = Sql(f"select count(*) from runs where id in :ids and status in{LIVE_SQL}")

_LOCK = Sql("select 1 from runs where id=:id {lock}")

_GET = Sql(f"select {RUN_COLUMNS} from runs where id=:id")

_FENCE = Sql(
    "select 1 from runs where id=:id and attempt=:attempt and worker=:worker and status='running' and cancel=0"
)


def notes_of(run_id: str) -> str:
    """What the names of a child's notes begin with, in the scratch that a tree of runs has together."""
    return f"scratch.{run_id[-10:].lower()}."


def said(items: Sequence[Item]) -> str:
    """Items as the parameter of `ITEMS`."""
    return json.dumps([item.row() for item in items], ensure_ascii=False)


def get(tx: Tx, run_id: str) -> Run | None:
    """The run's row as it is now."""
    row = tx(_GET, id=run_id).one_or_none()
    return Run(*row) if row else None


def lease_of(run: Run, holder: Holder) -> Lease:
    """The hold on a run that a worker has just now."""
    return Lease(
        run_id=run.id,
        parent_id=run.parent_id,
        tenant=run.tenant,
        agent=run.agent,
        attempt=run.attempt,
        worker=holder.worker,
    )


def fence(tx: Tx, lease: Lease) -> bool:
    """Whether the lease still holds and nobody asked to cancel."""
    return (
        tx(_FENCE, id=lease.run_id, attempt=lease.attempt, worker=lease.worker).scalar() is not None
    )


def hold(tx: Tx, lease: Lease) -> None:
    """Locks the run, and makes sure that it is still this holder's.

    Raises:
        LeaseLost: it is not, or is being cancelled.
    """
    lock(tx, lease.run_id)
    if not fence(tx, lease):
        raise errors.LeaseLost(f"Run {lease.run_id} is no longer held by attempt {lease.attempt}.")


def lock(tx: Tx, *run_ids: str | None) -> None:
    """Locks run rows in the order given, which must be root to leaf. Nothing on SQLite: the writer lock is held."""
    if tx.pg:
        for run_id in run_ids:
            if run_id:
                tx(_LOCK, id=run_id)
