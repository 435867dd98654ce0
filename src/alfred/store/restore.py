"""Puts a whole ledger into a database: from a backup, or from another database that it moves out of.

Invariants:
- All of it in one transaction of the target: tables, rows, counts, meta and what the caller does about the runs.
  Whatever fails leaves the target as it was.
- A target that holds anything is replaced only when told to.
- The feed's epoch is a new one, so that cursors from before are told that they point nowhere.
- A ledger that was moved takes no more writes where it was, not even from a process that had it open already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from alfred import clock, errors, ids
from alfred.store import backup, migrate, postgres, sqlite
from alfred.store.backup import Content, quoted
from alfred.store.connect import MOVED, Store
from alfred.store.statement import Sql
from alfred.store.trouble import DataError, IntegrityError, ProgrammingError
from alfred.store.tx import Tx
from alfred.version import VERSION

if TYPE_CHECKING:
    from alembic.script import Script

NOT_CARRIED = frozenset({"workers"})
"""Rows about processes, which stay where they are."""

_NOT_CONTENT = frozenset({"meta", "workers"})
"""Tables that do not make a ledger worth keeping."""

_RUNNING = Sql("select count(*) from runs where status='running'")
_WHICH = Sql("select pg_postmaster_start_time(), current_database()")
_NOT_MOVED = Sql("delete from meta where k='moved'")
_VIRTUAL = Sql(
    "select name from pragma_table_list where schema='main' and type in('virtual','table')"
    " and substr(name,1,7)<>'sqlite_' order by type desc, name"
)
_FUNCTIONS = Sql(
    "select cast(cast(p.oid as regprocedure) as text) from pg_proc p"
    " join pg_namespace n on n.oid=p.pronamespace"
    " where n.nspname=current_schema() and starts_with(p.proname,'alfred_')"
    " order by p.proname='alfred_now', 1"
)
_FOREIGN_KEYS = Sql(
    "select cast(cast(conrelid as regclass) as text) as owner, conname as name from pg_constraint"
    " where contype='f' and connamespace=(select oid from pg_namespace where nspname=current_schema())"
    " order by 1, 2"
)


def restore(
    path: Path,
    store: Store,
    *,
    after: Callable[[Tx], None],
    force: bool = False,
    extras: migrate.Extras | None = None,
) -> dict[str, int]:
    """Replaces the rows of a database by those of a backup, of either kind; returns the number of rows by table.

    An older backup is migrated on the way. `after` is run at the end of the same transaction: it must park what
    was live, because nobody knows what happened since the backup was made. `extras` is run when the database
    was empty.

    Raises:
        BackupRefused: the file is no good backup, or the database has rows and `force` is not given.
        SchemaMismatch: the backup is newer than this program.
        ConfigError: the database has tables that are not ours.
    """
    if not store.pg and _same_file(path, sqlite.path(store.url)):
        raise errors.BackupRefused(
            f"{path} is the database itself.", next="Name a file that `alfred db backup` wrote."
        )
    # Said first: a database with rows asks for `--force`, which helps no other file.
    backup.kind(path)
    return store.transact(
        _replace,
        lambda: backup.reading(path),
        steps=migrate.scripts(),
        epoch=ids.new(),
        after=after,
        force=force,
        extras=extras,
    )


def move(
    source: Store, target: Store, *, force: bool = False, extras: migrate.Extras | None = None
) -> dict[str, int]:
    """Carries all rows to another database and closes this one to writes; returns the number of rows by table.

    The rows stay here as they are; `meta.moved` says where the ledger is now, and every opening refuses this
    one. When this fails between the two commits (the connection is cut), run it again with `force`.

    Raises:
        UsageError: runs are being worked on, or both are one database.
        BackupRefused: the target has rows and `force` is not given.
    """
    if _one_database(source, target):
        raise errors.UsageError(
            "The ledger cannot be moved to where it is.", next="Name another database."
        )
    steps, epoch = migrate.scripts(), ids.new()

    def leave(here: Tx) -> dict[str, int]:
        migrate.alone(here)
        state = migrate.find(here)
        if state is None:
            raise errors.UsageError("The database to move is empty.", next="Name the one in use.")
        migrate.check(state)
        _close_to_writes(here, _place(target.url))

        @contextlib.contextmanager
        def rows() -> Iterator[Content]:
            with contextlib.closing(backup.batches(here)) as batches:  # before they are read again
                yield Content(state.revision, batches)

        return target.transact(
            _replace, rows, steps=steps, epoch=epoch, after=_nothing, force=force, extras=extras
        )

    return source.transact(leave)


def _replace(
    tx: Tx,
    read: Callable[[], AbstractContextManager[Content]],
    *,
    steps: list[Script],
    epoch: str,
    after: Callable[[Tx], None],
    force: bool,
    extras: migrate.Extras | None,
) -> dict[str, int]:
    migrate.alone(tx)
    state = migrate.find(tx)
    if state is not None:
        _refuse_rows(tx, force=force)
        _drop(tx)
    with read() as content:
        if content.revision not in migrate.known():
            raise errors.SchemaMismatch(
                f"The backup has the schema {content.revision}, this program knows up to {migrate.HEAD}.",
                next="Restore it with the version of alfred that made it, or a newer one.",
            )
        migrate.build(tx, steps, after=None, upto=content.revision)
        counts = _load(tx, content)
    if content.revision != migrate.HEAD:
        migrate.build(tx, steps, after=content.revision, upto=migrate.HEAD)
    migrate.verify(tx)
    tx(_NOT_MOVED)
    migrate.mark(
        tx,
        schema=migrate.HEAD,
        made_by=VERSION,
        feed_epoch=epoch,
        restored_at=clock.rfc3339(clock.now()) or "",
    )
    if state is None and extras:
        extras(tx)
    after(tx)
    return counts


def _load(tx: Tx, content: Content) -> dict[str, int]:
    """Writes the rows into fresh tables and counts them again there."""
    counts: dict[str, int] = {}
    with _references_later(tx):
        for batch in content.batches:
            counts.setdefault(batch.table, 0)
            if batch.table in NOT_CARRIED:
                continue
            counts[batch.table] += len(batch.rows)
            _insert(tx, batch)
    for table, count in counts.items():
        stored = tx(Sql(f"select count(*) from {quoted(table)}")).scalar_one()
        if stored != count:
            raise errors.StoreUnavailable(
                f"{stored} of {count} rows of {table!r} arrived; nothing was changed.",
                next="`alfred db check` says what is wrong with the database.",
            )
    return counts


def _insert(tx: Tx, batch: backup.Batch) -> None:
    names = ", ".join(map(quoted, batch.columns))
    values = ", ".join(f":c{n}" for n in range(len(batch.columns)))
    insert = Sql(f"insert into {quoted(batch.table)} ({names}) values ({values})")
    try:
        tx.many(insert, [{f"c{n}": value for n, value in enumerate(row)} for row in batch.rows])
    except (DataError, IntegrityError, ProgrammingError) as problem:
        raise errors.BackupRefused(
            f"A row of {batch.table!r} does not fit: {problem.said}.",
            next="Nothing was changed. `alfred db check` on the database it comes from says more.",
        ) from problem


@contextlib.contextmanager
def _references_later(tx: Tx) -> Iterator[None]:
    """Rows may come before those they point to. SQLite: see `migrate.alone`."""
    if not tx.pg:
        yield
        return
    keys = tx(_FOREIGN_KEYS).all()

    def alter(how: str) -> None:
        for key in keys:
            tx(Sql(f"alter table {key.owner} alter constraint {quoted(key.name)} {how}"))

    alter("deferrable initially deferred")
    yield
    try:
        tx(Sql("set constraints all immediate"))  # looks at every row that was written
    except IntegrityError as problem:
        raise errors.BackupRefused(
            f"A row points to one that is not there: {problem.said}.",
            next="Nothing was changed. Restore an older backup.",
        ) from problem
    alter("not deferrable")


def _refuse_rows(tx: Tx, *, force: bool) -> None:
    for table in backup.tables(tx):
        if force or table in _NOT_CONTENT:
            continue
        if tx(Sql(f"select 1 from {quoted(table)} limit 1")).first():
            raise errors.BackupRefused(
                f"The database is not empty: it has rows in {table!r}.",
                next="Name an empty one, or add `--force` to replace all of it (back it up first).",
            )


def _drop(tx: Tx) -> None:
    """Every table and function of ours, of whatever revision."""
    if tx.pg:
        owned = ", ".join(map(quoted, backup.tables(tx)))
        tx(Sql(f"drop table {owned}"))
        for signature in tx(_FUNCTIONS).scalars():
            tx(Sql(f"drop function {signature}"))
        return
    for table in tx(_VIRTUAL).scalars():
        tx(Sql(f"drop table {quoted(table)}"))


def _close_to_writes(tx: Tx, place: str) -> None:
    """Waits for the writes under way, then lets no more happen: a process may have been open for long."""
    owned = [table for table in backup.tables(tx) if table not in _NOT_CONTENT]
    if tx.pg:
        tx(Sql(f"lock table {', '.join(map(quoted, owned))} in share row exclusive mode"))
    running = tx(_RUNNING).scalar_one()
    if running:
        raise errors.UsageError(
            f"{running} run{'s are' if running > 1 else ' is'} being worked on.",
            next="Stop the workers, `alfred stop --all`, and move then.",
        )
    migrate.mark(tx, moved=place)
    if tx.pg:
        tx(
            Sql(
                "create function alfred_moved() returns trigger language plpgsql as"
                f" $$ begin raise exception '{MOVED}'; end $$"
            )
        )
    for table in owned:
        if tx.pg:
            tx(
                Sql(
                    f"create trigger moved before insert or update or delete on {quoted(table)}"
                    " for each statement execute function alfred_moved()"
                )
            )
            continue
        for verb in ("insert", "update", "delete"):
            tx(
                Sql(
                    f"create trigger {quoted(f'moved_{table}_{verb}')} before {verb} on"
                    f" {quoted(table)} begin select raise(abort,'{MOVED}'); end"
                )
            )


def _one_database(source: Store, target: Store) -> bool:
    """Whether both are one, whatever they are called: a server has many names, and what is moved into itself waits for
    itself."""
    if source.pg and target.pg:
        with source.read() as here, target.read() as there:
            return here(_WHICH).one() == there(_WHICH).one()
    return _place(source.url) == _place(target.url)


def _place(url: str) -> str:
    """Where a database is, without who may open it."""
    if url.startswith("sqlite"):
        return f"sqlite:///{sqlite.path(url).resolve()}"
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(postgres.conninfo(url))
    return f"postgresql://{said.get('host', '')}:{said.get('port', 5432)}/{said.get('dbname', '')}"


def _same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _nothing(_tx: Tx) -> None:
    """A move stops nothing: no run is being worked on."""
