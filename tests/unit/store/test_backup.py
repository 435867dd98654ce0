"""A backup is whole, private, proved good, and never in the way of the work."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.store import backup, connect, migrate, sqlite
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.trouble import DatabaseError
from alfred.store.tx import Tx
from tests.unit.store import full


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """Where backups go."""
    return tmp_path / "backups"


@pytest.fixture
def ledger(store: Store, backups: Path) -> Store:
    """A ledger with something in every table."""
    made_at_once(store)
    full.fill(store)
    return store


def made_at_once(store: Store) -> None:
    """A database of the fixtures says which schema it has, also when `create_all` made it."""
    store.transact(
        lambda tx: migrate.mark(
            tx, schema=migrate.HEAD, made_by="0", feed_epoch="before", installation_key="00ff"
        )
    )


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    with backup.reading(path) as content:
        for batch in content.batches:
            found.setdefault(batch.table, []).extend(batch.rows)
    return found


def test_a_backup_has_every_row(ledger: Store, backups: Path) -> None:
    found = rows_of(backup.backup(ledger, backups))
    expected = full.everything(ledger)
    assert set(expected) | {"meta", "workers"} == set(found)
    for table, rows in expected.items():
        assert rows, f"full.py has no row for {table}"
        assert sorted(found[table], key=repr) == sorted(rows, key=repr)


def test_it_is_private_and_named_for_its_moment(
    sqlite_url: str, tmp_path: Path, clock: Any
) -> None:
    store = connect.open_store(sqlite_url)
    made_at_once(store)
    before = os.umask(0)
    try:
        folder = tmp_path / "a" / "backups"
        names = [backup.backup(store, folder).name for _ in range(3)]
        assert names == [
            f"alfred-20261121T100000000Z-{migrate.HEAD}{n}.db" for n in ("", "-2", "-3")
        ]
        clock.advance(1.25)
        assert backup.backup(store, folder).name.startswith("alfred-20261121T100001250Z-")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    finally:
        os.umask(before)
        store.close()


def test_a_postgres_backup_is_private(pg_url: str, backups: Path) -> None:
    store = connect.open_store(pg_url)
    made_at_once(store)
    before = os.umask(0)
    try:
        made = backup.backup(store, backups)
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        assert made.name.endswith(f"-{migrate.HEAD}.jsonl.gz")
    finally:
        os.umask(before)
        store.close()


def test_nothing_that_is_there_is_overwritten(ledger: Store, backups: Path, clock: Any) -> None:
    first = backup.backup(ledger, backups)
    content = first.read_bytes()
    second = backup.backup(ledger, backups)
    assert first != second
    assert first.read_bytes() == content


def test_a_database_in_use_is_backed_up_at_one_moment(ledger: Store, backups: Path) -> None:
    """Two rows are always written together; a backup in between would have one of them only."""
    stop = threading.Event()
    written = threading.Event()

    def pair(tx: Tx, n: int) -> None:
        for table in ("blocks", "budgets"):
            column = "provider" if table == "blocks" else "scope"
            other = ", until" if table == "blocks" else ", day"
            value = ", 1" if table == "blocks" else ", ''"
            tx(
                Sql(f"insert into {table}(tenant, {column}{other}) values('pair', :n{value})"),
                n=f"n{n}",
            )

    def write() -> None:
        n = 0
        while not stop.is_set():
            ledger.transact(pair, n)
            n += 1
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        written.wait()
        for _ in range(5):
            found = rows_of(backup.backup(ledger, backups))
            pairs = [
                sum(row[0] == "pair" for row in found[table]) for table in ("blocks", "budgets")
            ]
            assert pairs[0] == pairs[1] > 0
    finally:
        stop.set()
        writer.join()


def test_the_writer_lock_is_not_lost_by_a_backup(sqlite_url: str, backups: Path) -> None:
    """Closing a descriptor of the database's own files would let another process write in between."""
    store = connect.open_store(sqlite_url)
    made_at_once(store)

    def both(tx: Tx) -> int:
        tx(Sql("insert into blocks(tenant, provider, until) values('main','x',1)"))
        backup.backup(store, backups)
        child = os.fork()
        if child == 0:
            code = 7
            try:
                own = sqlite.driver().connect(
                    str(sqlite.path(sqlite_url)), timeout=0, isolation_level=None
                )
                own.execute("begin immediate")
            except sqlite.driver().OperationalError:
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert store.transact(both) == 0
    store.close()


def test_the_reader_that_made_it_writes_no_more_than_before(sqlite_url: str, backups: Path) -> None:
    store = connect.open_store(sqlite_url)
    made_at_once(store)
    backup.backup(store, backups)
    for _ in range(3):
        with store.read() as look, pytest.raises(DatabaseError, match="readonly"):
            look(Sql("delete from meta"))
    store.close()


# ---- what goes wrong --------------------------------------------------------------------------------------


def test_what_fails_leaves_nothing_behind(
    ledger: Store, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_flush", full_disk)
    with pytest.raises(errors.StoreUnavailable, match="No space left") as refused:
        backup.backup(ledger, backups)
    assert "Free some space" in str(refused.value.next)
    assert list(backups.iterdir()) == []


def test_a_disk_that_has_no_room_for_it_is_the_backups_not_the_ledgers(
    sqlite_url: str, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect.open_store(sqlite_url)
    made_at_once(store)
    call, full_disk = Tx.__call__, sqlite.driver().OperationalError("database or disk is full")
    full_disk.sqlite_errorname = "SQLITE_FULL"

    def without_room(tx: Tx, statement: Sql, **values: Any) -> Any:
        if statement is backup._VACUUM:
            raise DatabaseError(full_disk, "vacuum")
        return call(tx, statement, **values)

    monkeypatch.setattr(Tx, "__call__", without_room)
    try:
        with pytest.raises(errors.StoreUnavailable, match=f"written to {backups}: No space"):
            backup.backup(store, backups)
    finally:
        store.close()
    assert list(backups.iterdir()) == []


def test_what_was_written_wrongly_is_no_backup(
    ledger: Store, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk lies: what is read back is not what was written."""
    read = backup.reading if ledger.pg else backup._reading_sqlite

    def damaged(path: Path) -> Any:
        content = bytearray(path.read_bytes())
        # of a page of SQLite's the beginning says what is in it; what is unused of it may be anything
        at = len(content) // 2 if ledger.pg else len(content) // 2 // 4096 * 4096
        content[at : at + 2000] = b"\x5a" * 2000
        path.write_bytes(content)
        return read(path)

    monkeypatch.setattr(backup, "reading" if ledger.pg else "_reading_sqlite", damaged)
    with pytest.raises(errors.BackupRefused, match="damaged"):
        backup.backup(ledger, backups)
    assert list(backups.iterdir()) == []


@pytest.mark.parametrize(
    "theirs", [None, "create table meta(id text)", "create table shop(id text)"]
)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_no_ledger_is_not_backed_up(
    kind: str, theirs: str | None, request: pytest.FixtureRequest, tmp_path: Path, backups: Path
) -> None:
    server = request.getfixturevalue("pg_server") if kind == "postgres" else None
    url = server.create("template0") if server else f"sqlite:///{tmp_path / 'empty.db'}"
    store = connect.open_store(url)
    if theirs:
        store.transact(lambda tx: tx(Sql(theirs)))
    with pytest.raises(errors.ConfigError, match="no ledger"):
        backup.backup(store, backups)
    assert not backups.exists()
    store.close()
    if server:
        server.drop(url)


def test_a_folder_that_is_a_file_is_named(ledger: Store, backups: Path) -> None:
    backups.write_text("x")
    with pytest.raises(errors.StoreUnavailable, match="cannot be written") as refused:
        backup.backup(ledger, backups)
    assert str(backups) in str(refused.value)


# ---- reading what is no backup ----------------------------------------------------------------------------

LINE = json.dumps({"alfred": "backup", "format": 1, "schema": "0001", "program": "0", "at": "x"})
TABLE = json.dumps({"table": "blocks", "columns": ["tenant", "provider"]})

DAMAGED: dict[str, list[str]] = {
    "nothing": [],
    "no head": [TABLE],
    "a list": ["[]"],
    "another product": ['{"alfred": "photos"}'],
    "a later format": [LINE.replace('"format": 1', '"format": 2')],
    "no end": [LINE, TABLE, '["a","b"]'],
    "no table": [LINE, '["a","b"]', '{"end": {}}'],
    "too short a row": [LINE, TABLE, '["a"]', '{"end": {"blocks": 1}}'],
    "too long a row": [LINE, TABLE, '["a","b","c"]', '{"end": {"blocks": 1}}'],
    "a row too few": [LINE, TABLE, '["a","b"]', '{"end": {"blocks": 2}}'],
    "a row too many": [LINE, TABLE, '["a","b"]', '["c","d"]', '{"end": {"blocks": 1}}'],
    "a table too few": [LINE, TABLE, '{"end": {"blocks": 0, "runs": 3}}'],
    "more behind the end": [LINE, TABLE, '{"end": {"blocks": 0}}', '["a","b"]'],
    "half a line": [LINE, TABLE, '["a",'],
    "a number": [LINE, "7", '{"end": {}}'],
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_dump_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "b.jsonl.gz"
    path.write_bytes(gzip.compress("".join(line + "\n" for line in DAMAGED[what]).encode()))
    with pytest.raises(errors.BackupRefused) as refused:
        rows_of(path)
    assert refused.value.exit_code == 2
    assert str(path) in str(refused.value)


def test_a_dump_cut_at_any_place_is_refused(pg_url: str, tmp_path: Path) -> None:
    store = connect.open_store(pg_url)
    made_at_once(store)
    full.fill(store)
    whole = backup.backup(store, tmp_path / "b")
    store.close()
    content = whole.read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    for length in (*range(0, 40), *range(40, len(content), 97), len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(errors.BackupRefused):
            rows_of(cut)


@pytest.mark.parametrize("at", [0.02, 0.3, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("kind", ["cut", "overwritten"])
def test_a_damaged_sqlite_backup_is_refused(
    sqlite_url: str, tmp_path: Path, at: float, kind: str
) -> None:
    store = connect.open_store(sqlite_url)
    made_at_once(store)
    full.fill(store)
    path = backup.backup(store, tmp_path / "b")
    store.close()
    content = bytearray(path.read_bytes())
    place = int(len(content) * at)
    if kind == "cut":
        del content[place:]
    else:
        content[place : place + 9000] = b"\xa5" * len(content[place : place + 9000])
    path.write_bytes(content)
    with pytest.raises(errors.BackupRefused, match="damaged"):
        rows_of(path)


def test_a_sqlite_backup_is_refused_for_damage_that_reading_its_rows_would_not_meet(
    sqlite_url: str, tmp_path: Path
) -> None:
    with contextlib.closing(connect.open_store(sqlite_url)) as store:
        made_at_once(store)
        full.fill(store)
        path = backup.backup(store, tmp_path / "b")
    with contextlib.closing(sqlite.driver().connect(str(path))) as own:
        query = "select rootpage from sqlite_master where name='runs_listed'"
        ((page,),) = own.execute(query).fetchall()
        ((size,),) = own.execute("pragma page_size").fetchall()
    content = bytearray(path.read_bytes())
    content[page * size - 4 : page * size] = b"zzzz"  # the end of an entry of an index
    path.write_bytes(content)
    with pytest.raises(errors.BackupRefused, match="damaged"):
        rows_of(path)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite", b"-- a dump in SQL\n" * 100])
def test_another_file_is_no_backup(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(errors.BackupRefused, match="no backup"):
        rows_of(path)


def test_a_database_of_others_is_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    own = sqlite.driver().connect(str(path))
    own.execute("create table meta(id text)")
    own.execute("create table customers(id text)")
    own.commit()
    own.close()
    with pytest.raises(errors.BackupRefused):
        rows_of(path)


def test_a_missing_backup_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.db", tmp_path):
        with pytest.raises(errors.BackupRefused, match="cannot be read"):
            rows_of(path)


def test_a_database_in_use_is_no_backup(sqlite_url: str, tmp_path: Path) -> None:
    """Its last rows are in the log beside it: what is read without the log is not the ledger."""
    store = connect.open_store(sqlite_url)
    made_at_once(store)
    path = sqlite.path(sqlite_url)
    opened: Callable[..., Any] = Path.open
    Path.open = _never(opened, path)  # type: ignore[method-assign]
    try:
        with pytest.raises(errors.BackupRefused, match="in use"):
            rows_of(path)
    finally:
        Path.open = opened  # type: ignore[method-assign]
        store.close()
    copied = tmp_path / "copied.db"
    shutil.copyfile(path, copied)
    assert rows_of(copied)["meta"], "closed and without a log it is one"


def _never(opened: Callable[..., Any], path: Path) -> Callable[..., Any]:
    def guarded(self: Path, *args: Any, **options: Any) -> Any:
        assert self != path, "closing it would drop SQLite's locks"
        return opened(self, *args, **options)

    return guarded
