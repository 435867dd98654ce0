"""Workers and their leases: who is alive, renewing what is held, taking back what nobody holds any more.

Invariants: only the (run, attempt) pairs that a worker's slots hold are renewed, so a dead slot's lease
lapses; a run is taken back one per transaction, by a statement that repeats the attempt and the lapse that
were seen, so a lease that was renewed meanwhile is never stolen. On SQLite the lease clock is the boot's
monotonic clock, so neither a laptop's sleep nor a clock jump steals anything; a lease of another boot is over.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alfred import clock, ids
from alfred.runs import endings, events, rows
from alfred.runs.rows import Holder, Lease, Run
from alfred.runs.states import Status
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.version import VERSION

LEASE = 30 * clock.SECOND
HEARTBEAT = 10 * clock.SECOND
ALIVE = 3 * HEARTBEAT
"""A worker whose beat is older than this is not counted as there."""

_REGISTER = Sql(
    "insert into workers(id,host,boot,pidns,pid,pid_start,kind,slots,beat,version)"
    " values(:id,:host,:boot,:pidns,:pid,:pid_start,:kind,:slots,alfred_now(),:version)"
    " on conflict(id) do update set beat=alfred_now()"
)
_BEAT = Sql("update workers set beat=alfred_now() where id=:id")
_LEAVE = Sql("delete from workers where id=:id")
_WORKERS = Sql(
    "select id,host,boot,pidns,pid,pid_start,kind,slots,beat,version,{sqlite:null}{pg:alfred_now()-beat} as silent"
    " from workers order by id"
)
_FORGET = Sql("delete from workers where beat<alfred_now()-:age")
_RENEW = Sql(
    "update runs set lease_until=alfred_mono()+:lease_us where id in("
    "select id from runs where worker=:worker and status='running' and id||':'||attempt in :held"
    " order by id {skip})"
    " and worker=:worker and status='running'"
)
_MINE = Sql("select id,attempt from runs where worker=:worker and status='running' and cancel=0")
_LAPSED = Sql(
    "select id,parent_id,attempt,cancel,reclaims from runs where status='running' and driver='worker' and"
    " ({sqlite:lease_boot<>:boot or} lease_until<alfred_mono()) order by lease_until limit :limit"
)
_CANCELLED = Sql(
    "select id from runs where status='running' and cancel=1 and"
    " ({sqlite:lease_boot<>:boot or} lease_until<alfred_mono()) limit :limit"
)
_HELD_BY = Sql(
    "select id,parent_id,attempt,cancel,reclaims from runs where status='running' and worker=:worker"
    " and driver='worker'"
)
_RECLAIM = Sql(
    "update runs set status='queued',worker=null,lease_until=null,asks=null,ready_at=alfred_now(),"
    f"reclaims=reclaims+:counts,{rows.RAN_SQL}"
    " where id=:id and status='running' and attempt=:seen and driver='worker' and cancel=0"
    " and (:gone=1 {sqlite:or lease_boot<>:boot} or lease_until<alfred_mono())"
)


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that executes runs, as it registered itself."""

    id: str
    host: str
    boot: str
    pidns: str
    pid: int
    pid_start: int
    kind: str
    slots: int
    beat: int
    version: str | None
    silent: int | None
    """Microseconds since its last beat; None where all that use the ledger are on one machine."""


@functools.cache
def boot() -> str:
    """What names this boot of this machine: another value means that every process of before is gone."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"boot-{int(psutil.boot_time())}"


def pid_namespace() -> str:
    """Process numbers only mean something inside their namespace."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def started(pid: int) -> int | None:
    """What tells a process of this namespace from a later one of the same number; None when it is gone.

    On Linux its start in clock ticks since the boot (field 22 of /proc/PID/stat), which no setting of the wall clock
    moves; elsewhere what the system says of its start, in microseconds.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _started_elsewhere(pid)
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before it may hold anything
    state, ticks = fields[0], int(fields[19])
    return None if state in (b"Z", b"X") else ticks


def _started_elsewhere(pid: int) -> int | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1_000_000)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def lease_us() -> int:
    """How long a lease lives: 30 s, or what ALFRED_TEST_LEASE_S says (5 to 30 seconds, for tests)."""
    text = os.environ.get("ALFRED_TEST_LEASE_S", "")
    try:
        return int(min(30.0, max(5.0, float(text))) * clock.SECOND) if text else LEASE
    except ValueError:
        return LEASE


def new_holder() -> Holder:
    """A holder for this process: a ULID per start, never host and pid, which repeat."""
    return Holder(worker=ids.new(), boot=boot(), lease_us=lease_us())


def register(tx: Tx, holder: Holder, *, kind: str, slots: int) -> None:
    """Makes the worker known. Running it again counts as a heartbeat."""
    tx(
        _REGISTER,
        id=holder.worker,
        host=platform.node(),
        boot=holder.boot,
        pidns=pid_namespace(),
        pid=os.getpid(),
        pid_start=started(os.getpid()) or 0,
        kind=kind,
        slots=slots,
        version=VERSION,
    )


def leave(tx: Tx, worker: str) -> None:
    """The worker has gone in order."""
    tx(_LEAVE, id=worker)


def workers(tx: Tx) -> list[Worker]:
    """Every worker that registered and did not leave, also dead ones."""
    return [Worker(*row) for row in tx(_WORKERS).all()]


def alive(worker: Worker, now: int) -> bool:
    """Whether a worker can be counted on: its beat is fresh, and on this machine its process is there."""
    if now - worker.beat > ALIVE:
        return False
    return gone(worker) is not True


def gone(worker: Worker) -> bool | None:
    """Whether a worker's process is provably gone. None: it cannot be told from here (another machine or namespace)."""
    if worker.host != platform.node():
        return None
    if worker.boot != boot():
        # It was of this machine before that was started again; but one that was heard of since is another's with its name, as
        # may be one that beats no oftener than this machine, which has just been started, has been there.
        since = worker.silent is not None and worker.silent < max(clock.monotonic(), ALIVE)
        return None if since else True
    if worker.pidns != pid_namespace():
        return None
    return started(worker.pid) != worker.pid_start


def renew(tx: Tx, holder: Holder, held: Sequence[tuple[str, int]]) -> bool:
    """The heartbeat: renews exactly these (run, attempt) pairs. A row locked right now is being committed, so renewed.

    False when the worker is no longer known: it was away so long that it was forgotten, and registers again.
    """
    known = tx(_BEAT, id=holder.worker).rowcount == 1
    if held:
        tx(
            _RENEW,
            worker=holder.worker,
            lease_us=holder.lease_us,
            held=[f"{run_id}:{attempt}" for run_id, attempt in held],
        )
    return known


def adopted(tx: Tx, holder: Holder, run_id: str) -> tuple[Lease, Run] | None:
    """A run that this worker holds without knowing: its claim was committed, and the answer was lost."""
    run = rows.get(tx, run_id)
    if run is None or run.worker != holder.worker or run.cancel:
        return None
    return rows.lease_of(run, holder), run


def still_mine(tx: Tx, worker: str) -> set[tuple[str, int]]:
    """The (run, attempt) pairs that the worker may go on with: not cancelled, not stopped, not taken over."""
    return {(row.id, row.attempt) for row in tx(_MINE, worker=worker).all()}


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A running run whose holder seems to be gone, as it was seen."""

    id: str
    parent_id: str | None
    attempt: int
    cancel: int
    reclaims: int


def lapsed(tx: Tx, *, limit: int = 100) -> list[Lapsed]:
    """Runs whose lease is over."""
    return [Lapsed(*row) for row in tx(_LAPSED, boot=boot(), limit=limit).all()]


def held_by(tx: Tx, worker: str) -> list[Lapsed]:
    """Runs that a worker holds."""
    return [Lapsed(*row) for row in tx(_HELD_BY, worker=worker).all()]


def reclaim(tx: Tx, seen: Lapsed, *, gone: bool = False, counts: bool = True) -> bool:
    """running -> queued, when the holder of just this attempt has lapsed (or is provably `gone`).

    The third time in a row that no step was committed the run is poison and fails: it may be what kills its
    workers. A restart of the whole machine does not count.
    """
    if seen.cancel:
        return endings.honour_cancel(tx, seen.id)
    poison = counts and seen.reclaims + 1 >= rows.MAX_RECLAIMS
    rows.lock(tx, seen.parent_id if poison else None, seen.id)
    taken = tx(
        _RECLAIM, id=seen.id, seen=seen.attempt, boot=boot(), counts=int(counts), gone=int(gone)
    )
    if taken.rowcount == 0:
        return False
    if poison:
        endings.terminal(
            tx,
            seen.id,
            Status.FAILED,
            error={
                "code": "poison",
                "detail": f"Its worker died {rows.MAX_RECLAIMS} times in a row without a committed step.",
            },
        )
        endings.cancel_children(tx, seen.id, by="parent")
        return True
    tx(rows.LEASE_ENDS, id=seen.id, why="gone" if gone else "lease")
    run = rows.get(tx, seen.id)
    assert run is not None
    events.emit(tx, tenant=run.tenant, run_id=run.id, kind="run.queued", why="reclaimed")
    tx.wakes.add(seen.id)
    return True


def cancelled(tx: Tx, *, limit: int = 100) -> list[str]:
    """Runs that were asked to end and whose holder is gone."""
    return [row.id for row in tx(_CANCELLED, boot=boot(), limit=limit).all()]


def forget(tx: Tx, *, age: int = clock.DAY) -> None:
    """Removes workers that were not heard of for so long (microseconds)."""
    tx(_FORGET, age=age)
