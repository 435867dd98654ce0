"""A ledger arrives whole in another database, or the database stays as it was."""

from __future__ import annotations

import contextlib
import copy
import gzip
import itertools
import json
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from alfred import errors, ids
from alfred.runs import audit, events
from alfred.store import backup, connect, invariants, migrate, restore, sqlite
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.trouble import IntegrityError
from alfred.store.tx import Tx
from tests import pg
from tests.unit.store import full

BOTH = [(a, b) for a in ("sqlite", "postgres") for b in ("sqlite", "postgres")]


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """Where backups go."""
    return tmp_path / "backups"


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Opens an empty database of a kind."""
    numbers = itertools.count()
    opened: list[Store] = []
    urls: list[str] = []

    def made(kind: str) -> Store:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path / f'empty-{next(numbers)}.db'}"
        else:
            server: pg.Server = request.getfixturevalue("pg_server")
            url = server.create("template0")
            urls.append(url)
        opened.append(connect.open_store(url))
        return opened[-1]

    yield made
    for store in opened:
        store.close()
    for url in urls:
        request.getfixturevalue("pg_server").drop(url)


@pytest.fixture
def ledger(make: Callable[[str], Store], backups: Path) -> Callable[[str], Store]:
    """Opens a ledger of a kind with something in every table."""

    def made(kind: str) -> Store:
        store = make(kind)
        migrate.ensure_schema(store, backups=backups)
        full.fill(store)
        return store

    return made


@pytest.fixture
def lines(ledger: Callable[[str], Store]) -> list[Any]:
    """What a dump of that ledger says, line by line, to be spoiled."""
    said: list[Any] = []
    with backup.snapshot(ledger("sqlite")) as look:
        backup._write(look, lambda line: said.append(json.loads(json.dumps(line))))
    return said


def written(lines: list[Any], path: Path) -> Path:
    """A dump of these lines."""
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    return path


def meta(store: Store) -> dict[str, str]:
    with store.read() as look:
        return {row.k: row.v for row in look(Sql("select k, v from meta"))}


def nothing(_tx: Tx) -> None:
    """What the desk does about the runs is tested there."""


def feed(look: Tx) -> list[tuple[str, Any]]:
    """The feed of `main` in its order, whatever other transactions of the server hold it back from readers."""
    rows = look(Sql("select kind, body from events where tenant='main' order by xid, id"))
    return [(row.kind, json.loads(row.body)) for row in rows]


def works(store: Store) -> None:
    """The ledger takes new rows behind the old ones, and everything in it holds."""

    def write(tx: Tx) -> None:
        events.emit(tx, tenant="main", run_id=None, kind="text", line="new")
        audit.append(tx, "main", "new")

    store.transact(write)
    assert invariants.check(store) == []
    with store.read() as look:
        assert audit.verify(look)[1] is None
        assert [kind for kind, _ in feed(look)] == ["text", "run.terminal", "text"]
        assert feed(look)[-1] == ("text", {"line": "new"})
        if store.pg:
            deferred = "select conname from pg_constraint where condeferrable"
            assert look(Sql(deferred)).all() == [], "references are watched at once again"
        search = (
            "select id from memories where to_tsvector('simple', text) @@ to_tsquery('simple', 'heron')"
            if store.pg
            else "select id from memories_fts where memories_fts match 'heron'"
        )
        assert look(Sql(search)).scalars() == ["m1"]
    with pytest.raises(IntegrityError):
        store.transact(
            lambda tx: tx(
                Sql(
                    "insert into run_steps(run_id,seq,attempt,token,name,worker,outcome)"
                    " values('nobody',1,1,'t','n','w','next')"
                )
            )
        )


# ---- restore ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "into"), BOTH)
def test_either_backup_is_restored_into_either_database(
    of: str, into: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source, target = ledger(of), make(into)
    expected, said = full.everything(source), meta(source)
    counts = restore.restore(backup.backup(source, backups), target, after=nothing)
    assert full.everything(target) == expected
    assert counts["runs"] == 3 and counts["events"] == 3
    now = meta(target)
    assert now["installation_key"] == said["installation_key"], (
        "effect keys must stay what they were"
    )
    assert now["feed_epoch"] > said["feed_epoch"], "cursors from before point nowhere"
    assert now["schema"] == migrate.HEAD
    works(target)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_done_since_the_backup_is_gone(
    kind: str, ledger: Callable[[str], Store], backups: Path
) -> None:
    store = ledger(kind)
    expected = full.everything(store)
    made = backup.backup(store, backups)
    store.transact(lambda tx: tx(Sql("delete from todos")))
    store.transact(
        lambda tx: tx(Sql("insert into switches(tenant,name,at,by) values('x','y',1,'z')"))
    )
    restore.restore(made, store, after=nothing, force=True)
    assert full.everything(store) == expected
    works(store)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_with_rows_is_not_replaced_without_force(
    kind: str, ledger: Callable[[str], Store], backups: Path
) -> None:
    store = ledger(kind)
    made = backup.backup(store, backups)
    store.transact(lambda tx: tx(Sql("update todos set text='newer'")))
    before, said = full.everything(store), meta(store)
    with pytest.raises(errors.BackupRefused, match="not empty") as refused:
        restore.restore(made, store, after=nothing)
    assert "--force" in str(refused.value.next)
    with pytest.raises(errors.BackupRefused, match="cannot be read"):  # which force does not help
        restore.restore(backups / "gone.db", store, after=nothing)
    assert (full.everything(store), meta(store)) == (before, said)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_fresh_ledger_counts_as_empty_though_it_has_a_key_and_a_worker(
    kind: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    made = backup.backup(ledger(kind), backups)
    fresh = make(kind)
    migrate.ensure_schema(fresh, backups=backups)
    fresh.transact(
        lambda tx: tx(
            Sql("insert into workers(id,host,boot,pid,pid_start,beat) values('w2','h','b',1,1,1)")
        )
    )
    restore.restore(made, fresh, after=nothing)
    works(fresh)
    with fresh.read() as look:
        assert look(Sql("select count(*) from workers")).scalar() == 0, "processes are not carried"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_the_caller_does_about_the_runs_is_part_of_it(
    kind: str, ledger: Callable[[str], Store], backups: Path
) -> None:
    store = ledger(kind)
    made = backup.backup(store, backups)
    store.transact(lambda tx: tx(Sql("delete from todos")))
    before, said = full.everything(store), meta(store)

    def fails(tx: Tx) -> None:
        tx(Sql("update runs set status='parked', wait='pause', wake_at=1 where status='queued'"))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        restore.restore(made, store, after=fails, force=True)
    assert (full.everything(store), meta(store)) == (before, said)

    def parks(tx: Tx) -> None:
        tx(Sql("update runs set status='parked', wait='pause', wake_at=1 where status='queued'"))

    restore.restore(made, store, after=parks, force=True)
    with store.read() as look:
        assert look(Sql("select wait from runs where id=:i"), i=full.OTHER).scalar() == "pause"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_damaged_backup_changes_nothing(
    kind: str, ledger: Callable[[str], Store], backups: Path
) -> None:
    store = ledger(kind)
    made = backup.backup(store, backups)
    content = made.read_bytes()
    made.write_bytes(content[: len(content) - 30] if store.pg else content[: len(content) - 5000])
    before, said = full.everything(store), meta(store)
    with pytest.raises(errors.BackupRefused, match="damaged"):
        restore.restore(made, store, after=nothing, force=True)
    assert (full.everything(store), meta(store)) == (before, said)


WRONG: dict[str, Callable[[dict[str, Any], list[Any]], None]] = {
    "an unknown column": lambda head, row: head["columns"].__setitem__(2, "surplus"),
    "an unknown table": lambda head, row: head.__setitem__("table", "surplus"),
    "a name that breaks out": lambda head, row: head["columns"].__setitem__(2, 'x" --'),
    "an unknown status": lambda head, row: row.__setitem__(
        head["columns"].index("status"), "asleep"
    ),
    "a missing value": lambda head, row: row.__setitem__(head["columns"].index("text"), None),
    "text for a number": lambda head, row: row.__setitem__(head["columns"].index("id"), {"a": 1}),
}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_row_that_does_not_fit_changes_nothing(
    kind: str, lines: list[Any], make: Callable[[str], Store], tmp_path: Path
) -> None:
    target = make(kind)
    migrate.ensure_schema(target, backups=tmp_path)
    said = meta(target)
    for what, spoil in WRONG.items():
        bad = copy.deepcopy(lines)
        at = next(
            n
            for n, line in enumerate(bad)
            if isinstance(line, dict) and line.get("table") == "todos"
        )
        spoil(bad[at], bad[at + 1])
        if bad[at]["table"] != "todos":
            bad[-1]["end"]["surplus"] = bad[-1]["end"].pop("todos")
        with pytest.raises((errors.BackupRefused, errors.StoreUnavailable)):
            restore.restore(written(bad, tmp_path / "bad.gz"), target, after=nothing)
        assert meta(target) == said, what
    restore.restore(written(lines, tmp_path / "good.gz"), target, after=nothing)
    works(target)


def test_what_the_database_cannot_take_is_no_damage_of_the_backup(
    ledger: Callable[[str], Store],
    make: Callable[[str], Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = backup.backup(ledger("sqlite"), tmp_path / "kept")

    def fills_the_disk(tx: Tx, batch: backup.Batch) -> None:
        tx(Sql("pragma max_page_count=1"))  # as many as there are
        tx(Sql("create table more as select zeroblob(1000000)"))

    target = make("sqlite")
    with monkeypatch.context() as patched, pytest.raises(errors.StoreUnavailable, match="full"):
        patched.setattr(restore, "_insert", fills_the_disk)
        restore.restore(file, target, after=nothing)
    with target.read() as look:
        assert migrate.find(look) is None
    restore.restore(file, target, after=nothing)
    works(target)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_row_that_does_not_arrive_changes_nothing(
    kind: str,
    lines: list[Any],
    make: Callable[[str], Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert = restore._insert

    def loses_one(tx: Tx, batch: backup.Batch) -> None:
        rows = batch.rows[1:] if batch.table == "memories" else batch.rows
        insert(tx, backup.Batch(batch.table, batch.columns, rows))

    monkeypatch.setattr(restore, "_insert", loses_one)
    target = make(kind)
    with pytest.raises(errors.StoreUnavailable, match="1 of 2 rows of 'memories'"):
        restore.restore(written(lines, tmp_path / "b.gz"), target, after=nothing)
    with target.read() as look:
        assert migrate.find(look) is None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_row_whose_reference_is_missing_changes_nothing(
    kind: str, lines: list[Any], make: Callable[[str], Store], tmp_path: Path
) -> None:
    steps = next(
        n for n, line in enumerate(lines) if isinstance(line, list) and full.PARENT in line
    )
    lines[steps][lines[steps].index(full.PARENT)] = "nobody"
    target = make(kind)
    with pytest.raises(
        (errors.BackupRefused, errors.StoreUnavailable), match=r"not there|not present"
    ):
        restore.restore(written(lines, tmp_path / "bad.gz"), target, after=nothing)
    with target.read() as look:
        assert migrate.find(look) is None


def test_a_backup_of_a_newer_schema_is_refused(
    ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source = ledger("sqlite")
    source.transact(lambda tx: migrate.mark(tx, schema="0042"))
    made = backup.backup(source, backups)
    target = make("sqlite")
    with pytest.raises(errors.SchemaMismatch, match="0042"):
        restore.restore(made, target, after=nothing)


LATER = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    conn = op.get_bind()
    conn.exec_driver_sql("alter table todos add column colour text not null default 'blue'")
    conn.exec_driver_sql("create table later(id text primary key)")
    conn.exec_driver_sql("insert into later(id) select id from todos")
"""


@pytest.mark.parametrize(("of", "into"), BOTH)
def test_an_older_backup_is_migrated_on_its_way(
    of: str,
    into: str,
    ledger: Callable[[str], Store],
    make: Callable[[str], Store],
    backups: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = backup.backup(ledger(of), backups)
    later = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / "0002_later.py").write_text(LATER)
    monkeypatch.setattr(migrate, "SCRIPTS", later)
    monkeypatch.setattr(migrate, "HEAD", "0002")
    target = make(into)
    migrate.ensure_schema(target, backups=backups)
    restore.restore(made, target, after=nothing)
    assert meta(target)["schema"] == "0002"
    with target.read() as look:
        assert look(Sql("select colour from todos")).scalars() == ["blue"]
        assert look(Sql("select id from later")).scalars() == ["td1"]
    restore.restore(backup.backup(target, backups), target, after=nothing, force=True)
    works(target)


def test_the_database_itself_is_no_backup_of_itself(ledger: Callable[[str], Store]) -> None:
    store = ledger("sqlite")
    path = sqlite.path(store.url)
    before = full.everything(store)
    with pytest.raises(errors.BackupRefused, match="database itself"):
        restore.restore(path, store, after=nothing, force=True)
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(errors.BackupRefused, match="database itself"):
        restore.restore(link, store, after=nothing, force=True)
    assert full.everything(store) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_tables_of_others_are_never_replaced(
    kind: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    made = backup.backup(ledger("sqlite"), backups)
    shop = make(kind)
    shop.transact(lambda tx: tx(Sql("create table customers(id text)")))
    with pytest.raises(errors.ConfigError, match="customers"):
        restore.restore(made, shop, after=nothing, force=True)
    with shop.read() as look:
        assert backup.tables(look) == ["customers"]


def test_the_queue_is_made_where_there_was_nothing_and_left_where_it_was(
    ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    from alfred.runs import procrastinate

    made = backup.backup(ledger("sqlite"), backups)
    target = make("postgres")
    for force in (False, True):
        restore.restore(made, target, after=nothing, force=force, extras=procrastinate.install)
        with target.read() as look:
            assert look(Sql("select count(*) from procrastinate_jobs")).scalar() == 0
    works(target)


# ---- move -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "into"), BOTH)
def test_a_move_carries_every_row_and_closes_what_it_leaves(
    of: str, into: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source, target = ledger(of), make(into)
    expected, said = full.everything(source), meta(source)
    counts = restore.move(source, target)
    assert full.everything(target) == expected
    assert counts["transcript"] == 3
    now = meta(target)
    assert now["installation_key"] == said["installation_key"]
    assert now["feed_epoch"] != said["feed_epoch"]
    assert "moved" not in now
    works(target)
    migrate.ensure_schema(target, backups=backups)

    assert full.everything(source) == expected, "what is left is left as it was"
    with pytest.raises(errors.ConfigError, match="was moved to") as refused:
        migrate.ensure_schema(source, backups=backups)
    assert refused.value.exit_code == 2
    written = "to `sqlite`." if into == "sqlite" else "to it, with its user and password."
    assert str(refused.value.next).endswith(written), "what the setting takes"
    password = urlsplit(target.url).password
    assert not password or password not in str(refused.value)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_program_that_was_open_all_the_time_cannot_write_what_nobody_will_read(
    kind: str, ledger: Callable[[str], Store], make: Callable[[str], Store]
) -> None:
    source = ledger(kind)
    with contextlib.closing(connect.open_store(source.url)) as long_open:
        with long_open.read() as look:
            assert look(Sql("select count(*) from runs")).scalar() == 3
        restore.move(source, make("sqlite"))
        before = full.everything(source)
        for table in before:
            column = _column(source, table)
            for statement in (
                f"update {backup.quoted(table)} set {column}={column}",
                f"delete from {backup.quoted(table)}",
            ):
                with pytest.raises(errors.StoreUnavailable, match="moved"):
                    long_open.transact(lambda tx, sql=statement: tx(Sql(sql)))
        with pytest.raises(errors.StoreUnavailable, match="moved"):
            long_open.transact(
                lambda tx: events.emit(tx, tenant="main", run_id=None, kind="text", line="lost")
            )
    assert full.everything(source) == before


def _column(store: Store, table: str) -> str:
    with backup.snapshot(store) as look:
        columns = {batch.table: batch.columns for batch in backup.batches(look)}
    return backup.quoted([name for name in columns[table] if name != "id"][-1])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_that_is_worked_on_is_not_moved(
    kind: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source, target = ledger(kind), make("sqlite")
    source.transact(
        lambda tx: tx(
            Sql("update runs set status='running', worker='w', lease_until=1 where id=:i"),
            i=full.OTHER,
        )
    )
    with pytest.raises(errors.UsageError, match="1 run is being worked on") as refused:
        restore.move(source, target)
    assert "alfred stop --all" in str(refused.value.next)
    migrate.ensure_schema(source, backups=backups)
    with target.read() as look:
        assert migrate.find(look) is None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_move_that_fails_leaves_both_as_they_were(
    kind: str, ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source, target = ledger(kind), ledger("postgres" if kind == "sqlite" else "sqlite")
    before = full.everything(source)
    with pytest.raises(errors.BackupRefused, match="not empty"):
        restore.move(source, target)
    migrate.ensure_schema(source, backups=backups)
    works(source)
    works(target)
    assert full.everything(source)["todos"] == before["todos"]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_move_cut_between_the_two_commits_is_done_again(
    kind: str,
    ledger: Callable[[str], Store],
    make: Callable[[str], Store],
    backups: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = ledger(kind), make("sqlite")
    expected = full.everything(source)
    arrived = target.transact

    def cut(*args: Any, **options: Any) -> Any:
        arrived(*args, **options)
        raise errors.StoreUnavailable("The connection is cut.")

    monkeypatch.setattr(target, "transact", cut)
    with pytest.raises(errors.StoreUnavailable, match="cut"):
        restore.move(source, target)
    monkeypatch.undo()
    migrate.ensure_schema(source, backups=backups)  # still the one in use
    with pytest.raises(errors.BackupRefused, match="not empty"):
        restore.move(source, target)
    restore.move(source, target, force=True)
    assert full.everything(target) == expected
    works(target)


@pytest.mark.parametrize("away", ["source", "target"])
def test_a_move_whose_connection_is_cut_begins_anew(
    away: str,
    ledger: Callable[[str], Store],
    make: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = ledger("postgres"), make("postgres")
    expected, insert, batches = full.everything(source), restore._insert, backup.batches
    reads: list[Tx] = []

    def reading(tx: Tx) -> Generator[backup.Batch]:
        reads.append(tx)
        return batches(tx)

    def cuts(tx: Tx, batch: backup.Batch) -> None:
        if len(reads) == 1 and batch.rows:
            pid = (reads[0] if away == "source" else tx).raw.info.backend_pid
            with psycopg.connect(source.url, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s, 5000)", [pid])
        insert(tx, batch)

    monkeypatch.setattr(backup, "batches", reading)
    monkeypatch.setattr(restore, "_insert", cuts)
    restore.move(source, target)
    monkeypatch.undo()
    assert len(reads) == 2 and (reads[0] is reads[1]) == (away == "target")
    assert full.everything(target) == expected
    assert "moved" in meta(source)


def test_there_and_back_again(
    ledger: Callable[[str], Store], make: Callable[[str], Store], backups: Path
) -> None:
    source, target = ledger("sqlite"), make("postgres")
    expected = full.everything(source)
    restore.move(source, target)
    restore.move(target, source, force=True)
    migrate.ensure_schema(source, backups=backups)
    assert full.everything(source) == expected
    works(source)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_ledger_is_not_moved_onto_itself(
    ledger: Callable[[str], Store], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", Sql("set local lock_timeout='50ms'"))
    monkeypatch.setattr(connect, "RETRIES", 0)
    source = ledger(kind)
    # the same server by another of its names
    url = source.url.replace("@127.0.0.1:", "@localhost:")
    with (
        contextlib.closing(connect.open_store(url)) as again,
        pytest.raises(errors.UsageError, match="where it is"),
    ):
        restore.move(source, again, force=True)
    works(source)


def test_an_empty_database_is_not_moved(make: Callable[[str], Store]) -> None:
    with pytest.raises(errors.UsageError, match="empty"):
        restore.move(make("sqlite"), make("sqlite"))


def test_events_keep_the_order_of_the_feed(
    ledger: Callable[[str], Store], make: Callable[[str], Store]
) -> None:
    """On Postgres ids are not in the order of commits; the order that readers saw is the one that is carried."""
    source = ledger("postgres")

    def slow(tx: Tx) -> None:
        tx(Sql("select pg_current_xact_id()"))  # the earlier transaction ...
        with contextlib.closing(connect.open_store(source.url)) as other:
            other.transact(
                lambda mine: events.emit(mine, tenant="main", run_id=None, kind="text", line="2nd")
            )
        events.emit(tx, tenant="main", run_id=None, kind="text", line="1st")  # ... has the later id

    source.transact(slow)
    with source.read() as look:
        seen = feed(look)
    assert seen[-2:] == [("text", {"line": "1st"}), ("text", {"line": "2nd"})]
    for kind in ("sqlite", "postgres"):
        target = make(kind)
        restore.move(source, target, force=True)
        with target.read() as look:
            assert feed(look) == seen
        source = target


def test_many_rows_go_in_parts(
    ledger: Callable[[str], Store], make: Callable[[str], Store]
) -> None:
    source, target = ledger("postgres"), make("sqlite")
    count = 3 * backup.BATCH + 1
    source.transact(
        lambda tx: tx.many(
            Sql("insert into todos(id, tenant, agent, text) values(:id, 'main', 'main', 'x')"),
            [{"id": ids.new()} for _ in range(count)],
        )
    )
    assert restore.move(source, target)["todos"] == count + 1
    assert full.everything(target) == full.everything(source)
