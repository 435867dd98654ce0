"""Which schema a database has, and how it comes to the one of this program.

Invariants:
- `meta.schema` names the revision; it changes only in the transaction that changes the tables, so that a kill
  at any statement leaves the old schema or the new one.
- A database is made once, however many processes find it empty at the same time: they look again under the
  writer lock (SQLite) or an advisory lock (Postgres).
- Nothing is done to tables that are not ours, to a schema newer than this program, or to a ledger that was
  moved elsewhere.

Alembic is imported only when something is to be done: importing it takes longer than a whole command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alfred import clock, errors, ids
from alfred.store import backup, sqlite
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.trouble import ProgrammingError
from alfred.store.tx import Tx
from alfred.store.writer import WriterLock
from alfred.version import VERSION

if TYPE_CHECKING:
    from alembic.script import Script

HEAD = "0001"
"""The revision that this program works with: the newest of `migrations/versions` (tested)."""

SCRIPTS = Path(__file__).with_name("migrations")

Extras = Callable[[Tx], None]
"""What else is made with the tables of an empty database, in the same transaction: the queue's, on Postgres."""

_META = Sql("select k, v from meta where k in('schema','made_by','moved')")
_EPOCH = Sql("select v from meta where k='feed_epoch'")
_SET = Sql("insert into meta(k,v) values(:k,:v) on conflict(k) do update set v=excluded.v")
_LOCK_TIMEOUT = Sql("set local lock_timeout='60s'")
_LOCK = Sql("select pg_advisory_xact_lock(hashtextextended('alfred:schema',0))")
_UNWATCHED = (Sql("rollback"), Sql("pragma foreign_keys=off"), Sql("begin immediate"))
_BROKEN = Sql("pragma foreign_key_check")


@dataclass(frozen=True, slots=True)
class State:
    """What an opened database says about itself."""

    revision: str
    program: str
    """The version of alfred that brought the schema to this revision."""
    moved: str | None
    """Where the ledger went, without a password; None when it is here."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a new ledger is given; made before the transaction, which may run twice."""

    feed_epoch: str
    installation_key: str

    @classmethod
    def new(cls) -> Identity:
        return cls(ids.new(), ids.secret().hex())


def ensure_schema(store: Store, *, backups: Path, extras: Extras | None = None) -> None:
    """Brings a database to this program's schema, or refuses it. Every opening calls this once.

    Empty: the tables are made. Older: SQLite is backed up into the folder `backups` and migrated;
    Postgres, which others may be using, waits for `alfred db upgrade`.

    Raises:
        SchemaMismatch: the schema is newer, or is older on Postgres.
        ConfigError: the tables are somebody else's, or the ledger was moved elsewhere.
        StoreUnavailable: the database cannot be read or written.
    """
    with store.read() as look:
        state = find(look)
    if state is None:
        _create(store, extras)
        return
    check(state)
    if state.revision == HEAD:
        return
    if store.pg:
        raise errors.SchemaMismatch(
            f"The database has the schema {state.revision}, this program needs {HEAD}.",
            next="Stop the other programs that use it, then run `alfred db upgrade`.",
        )
    upgrade(store, backups)


def upgrade(store: Store, backups: Path, *, extras: Extras | None = None) -> Path | None:
    """Migrates an older database after a backup, or makes an empty one; returns the backup, None when none was due.

    Raises:
        SchemaMismatch: the schema is newer than this program.
        ConfigError: the tables are somebody else's, or the ledger was moved elsewhere.
    """
    with _one_at_a_time(store):
        with store.read() as look:
            state = find(look)
        if state is None:
            _create(store, extras)
            return None
        check(state)
        if state.revision == HEAD:
            return None
        before = backup.backup(store, backups)
        steps = scripts()
        while store.transact(_climb_one, steps):
            pass
        return before


def find(tx: Tx) -> State | None:
    """What the database says about itself, None when it is empty.

    Raises:
        ConfigError: it has tables that are not ours.
    """
    if backup.ours(tx):
        meta = {row.k: row.v for row in tx(_META)}
        if "schema" in meta:
            return State(meta["schema"], meta.get("made_by", ""), meta.get("moved"))
    elif not (others := backup.tables(tx)):
        return None
    else:
        raise errors.ConfigError(
            f"The database has tables that are not alfred's: {', '.join(others[:5])}"
            + (f" and {len(others) - 5} more." if others[5:] else "."),
            next="Give alfred a database of its own (`database:` in config.yaml), or one empty schema.",
        )
    raise errors.ConfigError(
        "The database has a table `meta` that does not say which schema it is.",
        next="Give alfred a database of its own (`database:` in config.yaml).",
    )


def check(state: State) -> None:
    """Refuses a ledger that this program must not work on.

    Raises:
        SchemaMismatch: it is newer than this program.
        ConfigError: it was moved elsewhere.
    """
    if state.moved:
        what = "`sqlite`" if state.moved.startswith("sqlite") else "it, with its user and password"
        raise errors.ConfigError(
            f"This ledger was moved to {state.moved}; what is here is the copy that stayed behind.",
            next=f"Set `database:` in config.yaml, or ALFRED_DATABASE_URL, to {what}.",
        )
    if state.revision not in known():
        raise errors.SchemaMismatch(
            f"The database has the schema {state.revision}, made by alfred {state.program};"
            f" this is alfred {VERSION}, which knows up to {HEAD}.",
            next=f"Install alfred {state.program} or newer, or restore a backup from before the upgrade.",
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """What a ledger was when a process opened it."""

    epoch: str

    @classmethod
    def now(cls, look: Tx) -> Opened:
        return cls(look(_EPOCH).scalar() or "")

    def still(self, look: Tx) -> None:
        """Looks whether the ledger is still the one that was opened.

        Raises:
            SchemaMismatch: it was migrated for another program.
            ConfigError: it was moved elsewhere, or a backup was put in its place.
        """
        state = find(look)
        if state is not None:
            check(state)
        if state is None or state.revision != HEAD:
            raise errors.SchemaMismatch(
                f"The database was brought to the schema {state.revision if state else None} meanwhile.",
                next="Start this program again, in its new version.",
            )
        if Opened.now(look) != self:
            raise errors.ConfigError(
                "A backup was restored into the ledger of this process.", next="Start it again."
            )


def known() -> list[str]:
    """The revisions up to this program's, oldest first: they are counted."""
    return [f"{n:04d}" for n in range(1, int(HEAD) + 1)]


def scripts() -> list[Script]:
    """The migrations, oldest first. Imports Alembic: call it before a transaction, which must not wait for that."""
    import alembic.operations
    import alembic.runtime.migration  # noqa: F401
    from alembic.script import ScriptDirectory

    found = list(ScriptDirectory(str(SCRIPTS)).walk_revisions())
    found.reverse()
    return found


def alone(tx: Tx) -> None:
    """Makes a write transaction, as its first act, one that may change the schema and take its time.

    Postgres: it is the only such one, and is not cut after a verb's seconds. SQLite, where the writer lock does
    that: foreign keys are not watched, because a table that is rebuilt is dropped in between; `verify` checks
    them at the end. The connection is closed afterwards, not used again.
    """
    if tx.pg:
        tx(_LOCK_TIMEOUT)
        backup.take_time(tx)
        tx(_LOCK)
        return
    tx.spoiled = True
    # this pragma does nothing inside a transaction; the writer lock stays held
    for statement in _UNWATCHED:
        tx(statement)


def verify(tx: Tx) -> None:
    """SQLite: refuses to commit what `alone` left unwatched.

    Raises:
        StoreUnavailable: a row points to one that is not there.
    """
    if tx.pg:
        return
    broken = tx(_BROKEN).all()
    if broken:
        raise errors.StoreUnavailable(
            f"{len(broken)} rows point to rows that are not there, first in {broken[0].table!r} to {broken[0].parent!r}.",
            next="Nothing was changed; `alfred db check` lists them.",
        )


def build(tx: Tx, steps: list[Script], *, after: str | None, upto: str) -> None:
    """Runs the migrations behind revision `after` (None: from empty) up to and with `upto`."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    from alfred.store import toolkit

    names = [step.revision for step in steps]
    chosen = steps[0 if after is None else names.index(after) + 1 : names.index(upto) + 1]
    with (
        toolkit.connection(tx) as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        for step in chosen:
            step.module.upgrade()


def mark(tx: Tx, **values: str) -> None:
    """Sets rows of `meta`."""
    for k, v in sorted(values.items()):
        tx(_SET, k=k, v=v)


def _create(store: Store, extras: Extras | None) -> None:
    with _rights():
        store.transact(_make, scripts(), Identity.new(), extras)


def _make(tx: Tx, steps: list[Script], identity: Identity, extras: Extras | None) -> None:
    alone(tx)
    if find(tx) is not None:
        return  # another process was faster
    build(tx, steps, after=None, upto=HEAD)
    mark(
        tx,
        schema=HEAD,
        made_by=VERSION,
        made_at=clock.rfc3339(clock.now()) or "",
        feed_epoch=identity.feed_epoch,
        installation_key=identity.installation_key,
    )
    if extras:
        extras(tx)


def _climb_one(tx: Tx, steps: list[Script]) -> bool:
    """One migration, in this transaction; False when there is none left."""
    alone(tx)
    state = find(tx)
    if state is None or state.revision == HEAD:
        return False
    check(state)
    revisions = known()
    following = revisions[revisions.index(state.revision) + 1]
    build(tx, steps, after=state.revision, upto=following)
    verify(tx)
    mark(tx, schema=following, made_by=VERSION)
    return following != HEAD


@contextlib.contextmanager
def _rights() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as problem:
        if problem.sqlstate not in ("42501", "3F000"):
            raise
        raise errors.ConfigError(
            f"The role may not make tables in the database: {problem.said}.",
            next="As its owner: `grant create on schema public to <role>`, or give alfred a database of its own.",
        ) from problem


def _one_at_a_time(store: Store) -> contextlib.AbstractContextManager[None]:
    """SQLite: one process makes the backup and migrates, the others wait and find it done."""
    if store.pg:
        return contextlib.nullcontext()
    path = sqlite.path(store.url)
    return WriterLock.of(path.with_name(path.name + ".upgrade.lock"))
