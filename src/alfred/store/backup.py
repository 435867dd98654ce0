"""One file that holds the whole ledger: how it is written, proved good, and read again.

- On SQLite it is a database, made by VACUUM INTO. `alfred.db*` is never copied: the copy would miss what is in
  the log, and closing a descriptor of those files drops SQLite's locks in this process.
- On Postgres it is a gzip of JSON lines (the schema's revision, every row, the counts at the end), read in one
  REPEATABLE READ transaction. Either kind can be restored into either database.

A backup has its name only once it is whole, verified and on the disk; it is 0600, because everything that the
ledger knows is in it. Restoring lies in `store.restore`.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alfred import clock, errors
from alfred.store import sqlite
from alfred.store.connect import Store
from alfred.store.pool import Pool
from alfred.store.statement import Sql
from alfred.store.trouble import DatabaseError
from alfred.store.tx import Tx
from alfred.version import VERSION

BATCH = 500
"""Rows in the memory at a time."""

NUMBERED = {"events": ("id", "xid"), "outbox": ("n",)}
"""Columns that the database gives anew: an event's number and transaction say its place in the feed, a message's number
its turn, and rows are carried over in that order."""

_FORMAT = 1
_TABLES = Sql(
    "{sqlite:select name from pragma_table_list where schema='main' and type='table'"
    " and substr(name,1,7)<>'sqlite_' order by name}"
    "{pg:select c.relname as name from pg_class c where c.relkind in('r','p')"
    " and c.relnamespace=(select oid from pg_namespace where nspname=current_schema())"
    " and not starts_with(c.relname,'procrastinate_')"
    " and not exists(select 1 from pg_depend d where d.objid=c.oid and d.deptype='e')"
    " order by c.relname}"
)
_OURS = Sql(
    "{sqlite:select count(*)=2 from pragma_table_info('meta') where name in('k','v')}"
    "{pg:select count(*)=2 from pg_attribute where attname in('k','v')"
    " and attrelid=to_regclass(quote_ident(current_schema())||'.meta')}"
)
_REVISION = Sql("select v from meta where k='schema'")
_LONG = Sql("set local idle_in_transaction_session_timeout=0")
_LONGER = Sql("set local transaction_timeout=0")
_BEGIN = Sql("begin{pg: isolation level repeatable read read only}")
_MAY_WRITE = Sql("pragma query_only=off")
_VACUUM = Sql("vacuum into :path")
_WHOLE = Sql("pragma integrity_check(10)")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one table; each table has at least one batch, an empty one has an empty batch."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Content:
    """The rows of a ledger, to be read once, and the revision of the schema that they fit."""

    revision: str
    batches: Iterator[Batch]


def backup(store: Store, folder: Path) -> Path:
    """Writes a backup into the folder and returns its path.

    The name is `alfred-<time>-<revision>.db` on SQLite and `….jsonl.gz` on Postgres; nothing is overwritten.

    Raises:
        StoreUnavailable: the ledger cannot be read, or the folder cannot be written.
        BackupRefused: what was written is not what was read back.
        ConfigError: the database is empty, or somebody else's.
    """
    with store.read() as look:
        found = revision(look)
    if found is None:
        raise errors.ConfigError(
            "There is no ledger of alfred's in the database.",
            next="Check `database:` in config.yaml; `alfred setup` makes a new one.",
        )
    at = datetime.fromtimestamp(clock.now() / clock.SECOND, UTC)
    name = f"alfred-{at.strftime('%Y%m%dT%H%M%S')}{at.microsecond // 1000:03d}Z-{found}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _claimed(folder, name, ".jsonl.gz" if store.pg else ".db") as (partial, path):
            if store.pg:
                _dump(store, partial)
            else:
                _vacuum(store, partial)
            _flush(partial)
            partial.rename(path)
            _flush(folder)
    except OSError as problem:
        raise errors.StoreUnavailable(
            f"The backup cannot be written to {folder}: {problem.strerror or problem}.",
            next="Free some space there or give this account the right to write.",
        ) from problem
    return path


_SQLITE, _GZIP = b"SQLite format 3\0", b"\x1f\x8b"


def kind(path: Path) -> bytes:
    """How a backup begins, which says of which of the two kinds it is. Whether it is whole, `reading` finds out.

    Raises:
        BackupRefused: it is no file, none of alfred's backups, or a database in use.
    """
    # `.` and `/` have no name that `with_name` could change
    for beside in (path.parent / f"{path.name}-wal", path.parent / f"{path.name}-shm"):
        if beside.exists():
            raise errors.BackupRefused(
                f"{path} is a database that is or was in use ({beside.name} lies beside it), not a backup.",
                next="Restore a file that `alfred db backup` wrote.",
            )
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
    except OSError as problem:
        raise errors.BackupRefused(
            f"The backup {path} cannot be read: {problem.strerror}.",
            next="`ls` the folder `backups` in ALFRED_HOME.",
        ) from problem
    for known in (_SQLITE, _GZIP):
        if start.startswith(known):
            return known
    raise errors.BackupRefused(
        f"{path} is no backup of alfred's.", next="Restore a file that `alfred db backup` wrote."
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Content]:
    """Opens a backup of either kind. Damage is noticed before the last batch has been given.

    Raises:
        BackupRefused: it is no backup of a ledger, it is damaged, or it is a database in use.
    """
    if kind(path) == _SQLITE:
        with _reading_sqlite(path) as content:
            yield content
    else:
        with gzip.open(path, "rb") as lines:
            yield _content_of_dump(path, lines)


def ours(tx: Tx) -> bool:
    """Whether the database has our `meta`, which says more."""
    return bool(tx(_OURS).scalar())


def revision(tx: Tx) -> str | None:
    """The revision of the ledger's schema, None when there is no ledger."""
    return tx(_REVISION).scalar() if ours(tx) else None


def tables(tx: Tx) -> list[str]:
    """The names of the ledger's tables as the database has them, whatever its revision."""
    return tx(_TABLES).scalars()


def batches(tx: Tx) -> Generator[Batch]:
    """Every row of the ledger."""
    for table in tables(tx):
        skipped = NUMBERED.get(table, ())
        order = f" order by {', '.join(reversed(skipped))}" if skipped else ""
        named, parts = tx.stream(Sql(f"select * from {quoted(table)}{order}"), BATCH)
        kept = [n for n, name in enumerate(named) if name not in skipped]
        columns = tuple(named[n] for n in kept)
        empty = True
        for part in parts:
            empty = False
            yield Batch(table, columns, [tuple(row[n] for n in kept) for row in part])
        if empty:
            yield Batch(table, columns, [])


def quoted(name: str) -> str:
    """A name of the database's own catalogue as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def take_time(tx: Tx) -> None:
    """Postgres: this transaction may last longer than a verb's seconds, which bound only the work of runs."""
    if tx.pg:
        tx(_LONG)
        if tx.raw.info.server_version >= 170000:
            tx(_LONGER)


@contextlib.contextmanager
def snapshot(store: Store) -> Iterator[Tx]:
    """A connection for looking whose statements all see the same moment."""
    with store.read() as look:
        look(_BEGIN)
        try:
            take_time(look)
            yield look
        finally:
            look.rollback()


class _Looking(Tx):
    """A look at a backup: what fails on it is the backup's damage, and what fails elsewhere meanwhile is not."""

    __slots__ = ("_path",)

    def __init__(self, pool: Pool, raw: Any, path: Path):
        super().__init__(pool, raw, pg=False)
        self._path = path

    def trouble(self, raised: Exception, statement: str) -> Exception:
        return _damaged(self._path, str(raised))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Tx]:
    """A SQLite file that nothing else has open, for looking only.

    Raises:
        BackupRefused: it is damaged.
    """
    driver = sqlite.driver()
    where = f"{path.absolute().as_uri()}?mode=ro"
    pool = Pool(driver, lambda: driver.connect(where, uri=True), most=1, kept=0)
    try:
        raw = pool.take()
    except driver.Error as problem:
        raise _damaged(path, str(problem)) from problem
    try:
        yield _Looking(pool, raw, path)
    finally:
        pool.drop(raw)


# ---- SQLite -----------------------------------------------------------------------------------------------


def _vacuum(store: Store, path: Path) -> None:
    try:
        with store.read() as look:
            look.spoiled = True  # a reader no more: it is closed afterwards, not handed to the next
            look(_MAY_WRITE)
            look(_VACUUM, path=str(path))
    except errors.StoreUnavailable as problem:
        said = problem.__cause__
        if isinstance(said, DatabaseError) and said.sqlite_name == "SQLITE_FULL":
            # The ledger is only read here: it is the disk of the backup.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from problem
        raise
    with _reading_sqlite(path):
        pass


@contextlib.contextmanager
def _reading_sqlite(path: Path) -> Iterator[Content]:
    with opened(path) as look:
        found = look(_WHOLE).scalars()
        if found != ["ok"]:
            raise _damaged(path, "; ".join(map(str, found)))
        if (of := revision(look)) is None:
            raise errors.BackupRefused(
                f"{path} is a SQLite database, but not alfred's.",
                next="Restore a file that `alfred db backup` wrote.",
            )
        yield Content(of, batches(look))


# ---- Postgres ---------------------------------------------------------------------------------------------


def _dump(store: Store, path: Path) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=clock.now() // clock.SECOND) as file,
        snapshot(store) as look,
    ):
        _write(look, lambda line: file.write(json.dumps(line).encode() + b"\n"))
    with reading(path) as content:
        for _ in content.batches:  # to the end, where the counts are
            pass


def _write(look: Tx, say: Callable[[Any], object]) -> None:
    say(
        {
            "alfred": "backup",
            "format": _FORMAT,
            "schema": revision(look),
            "program": VERSION,
            "at": clock.rfc3339(clock.now()),
        }
    )
    counts: dict[str, int] = {}
    for batch in batches(look):
        if batch.table not in counts:
            say({"table": batch.table, "columns": batch.columns})
        counts[batch.table] = counts.get(batch.table, 0) + len(batch.rows)
        for row in batch.rows:
            say(row)
    say({"end": counts})


def _content_of_dump(path: Path, lines: Iterable[bytes]) -> Content:
    stream = _parsed(path, lines)
    head = next(stream, None)
    if not isinstance(head, dict) or head.get("alfred") != "backup":
        raise errors.BackupRefused(
            f"{path} is no backup of alfred's.",
            next="Restore a file that `alfred db backup` wrote.",
        )
    if head.get("format") != _FORMAT:
        raise errors.BackupRefused(
            f"The backup {path} has the format {head.get('format')!r}, this program reads {_FORMAT}.",
            next=f"Restore it with alfred {head.get('program')} or newer.",
        )
    return Content(str(head["schema"]), _batches_of_dump(path, stream))


def _parsed(path: Path, lines: Iterable[bytes]) -> Iterator[Any]:
    try:
        for line in lines:
            yield json.loads(line)
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        raise _damaged(path, str(problem)) from problem


def _batches_of_dump(path: Path, stream: Iterator[Any]) -> Iterator[Batch]:
    counts: dict[str, int] = {}
    table, columns, rows = "", (), []
    for line in stream:
        if isinstance(line, list) and table and len(line) == len(columns):
            rows.append(tuple(line))
            counts[table] += 1
            if len(rows) == BATCH:
                yield Batch(table, columns, rows)
                rows = []
            continue
        if table:
            yield Batch(table, columns, rows)
        if not isinstance(line, dict):
            raise _damaged(path, f"a row of {table!r} does not fit its columns")
        if "end" in line:
            if line["end"] != counts:
                raise _damaged(path, "it has not as many rows as it says")
            if next(stream, None) is not None:
                raise _damaged(path, "it goes on behind its end")
            return
        table, columns, rows = line["table"], tuple(line["columns"]), []
        counts[table] = 0
    raise _damaged(path, "its end is missing")


def _damaged(path: Path, why: str) -> errors.BackupRefused:
    return errors.BackupRefused(
        f"The backup {path} is damaged: {why}.", next="Restore an older one."
    )


# ---- files ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _claimed(folder: Path, name: str, suffix: str) -> Iterator[tuple[Path, Path]]:
    """A fresh 0600 file to write to, and the free name that it takes in the end; nothing is left on failure."""
    number = 1
    while True:
        path = folder / (f"{name}{suffix}" if number == 1 else f"{name}-{number}{suffix}")
        partial = path.with_name(path.name + ".partial")
        number += 1
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        try:
            if not path.exists():
                yield partial, path
                return
        finally:
            partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """The file, or the folder's list of names, is on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
