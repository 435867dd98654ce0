"""A database has the old schema or the new one, is made once, and is never touched when it is not ours to touch."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from procrastinate.schema import SchemaManager

from alfred import errors
from alfred.store import backup, connect, migrate, schema, toolkit
from alfred.store import tx as store_tx
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.trouble import IntegrityError
from alfred.store.tx import Tx
from tests import pg
from tests.unit.store import full

DUE = (
    "store/schema and the migrations differ. Until the first release: `.venv/bin/python scripts/baseline.py`;"
    " after it: a new migration and a new HEAD in store/migrate.py."
)

ROOT = Path(__file__).parents[2]

QUEUE = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"
"""The digest of what Procrastinate makes in a ledger."""

NEXT = """
from alembic import op

revision = "0002"
down_revision = "0001"

SQLITE = (
    "create table later(id text primary key, run_id text not null references runs(id))",
    "create table switches_new(tenant text not null, name text not null, at bigint not null, by text not null,"
    " why text not null default 'unknown', primary key(tenant, name))",
    "insert into switches_new(tenant, name, at, by) select tenant, name, at, by from switches",
    "drop table switches",
    "alter table switches_new rename to switches",
    # runs is pointed to by nearly everything: rebuilding it is what foreign keys would forbid
    "create table runs_new as select * from runs where {keep}",
    "drop table runs",
    "alter table runs_new rename to runs",
    "create unique index runs_id on runs(id)",
    "insert into later(id, run_id) select 'l' || id, id from runs",
)
POSTGRESQL = (
    "create table later(id text primary key, run_id text not null references runs(id))",
    "alter table switches add column why text not null default 'unknown'",
    "create index later_runs on later(run_id)",
    "insert into later(id, run_id) select 'l' || id, id from runs",
)


def upgrade():
    conn = op.get_bind()
    for statement in SQLITE if conn.dialect.name == "sqlite" else POSTGRESQL:
        conn.exec_driver_sql(statement)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def make_empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases and returns their URLs: the test runs once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        numbers = itertools.count()
        yield lambda: f"sqlite:///{tmp_path / f'empty-{next(numbers)}.db'}"
        return
    server: pg.Server = request.getfixturevalue("pg_server")
    made: list[str] = []

    def create() -> str:
        made.append(server.create("template0"))
        return made[-1]

    yield create
    for url in made:
        server.drop(url)


@pytest.fixture
def empty_url(make_empty: Callable[[], str]) -> str:
    """The URL of an empty database."""
    return make_empty()


@pytest.fixture
def store(empty_url: str) -> Iterator[Store]:
    """An open store on an empty database."""
    opened = connect.open_store(empty_url)
    yield opened
    opened.close()


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """Where backups go."""
    return tmp_path / "backups"


def install_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keep: str = "1=1", more: str = ""
) -> None:
    """The program of tomorrow, with one migration more."""
    later = tmp_path / "migrations"
    shutil.copytree(
        migrate.SCRIPTS, later, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    (later / "versions" / "0002_later.py").write_text(NEXT.replace("{keep}", keep) + more)
    monkeypatch.setattr(migrate, "SCRIPTS", later)
    monkeypatch.setattr(migrate, "HEAD", "0002")


def meta(store: Store) -> dict[str, str]:
    with store.read() as look:
        return {row.k: row.v for row in look(Sql("select k, v from meta"))}


def put(store: Store, **values: str) -> None:
    store.transact(lambda tx: migrate.mark(tx, **values))


# ---- what the schema is -----------------------------------------------------------------------------------


def structure(store: Store) -> dict[str, Any]:
    """Tables, columns, keys, checks, indexes, triggers and functions, however they came to be."""
    with store.read() as look:
        return _structure_pg(look) if store.pg else _structure_sqlite(look)


def _structure_pg(look: Tx) -> dict[str, Any]:
    return {
        name: sorted(tuple(map(str, row)) for row in look(Sql(query)))
        for name, query in {
            "columns": "select table_name, column_name, data_type, is_nullable, column_default, is_identity,"
            " identity_generation from information_schema.columns where table_schema='public'",
            "constraints": "select cast(conrelid as regclass), conname, contype, condeferrable,"
            " pg_get_constraintdef(oid) from pg_constraint where connamespace=cast('public' as regnamespace)",
            "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname='public'",
            "triggers": "select cast(tgrelid as regclass), tgname, pg_get_triggerdef(oid) from pg_trigger"
            " where not tgisinternal",
            "functions": "select pg_get_functiondef(oid) from pg_proc where pronamespace=cast('public' as regnamespace)",
        }.items()
    }


def _structure_sqlite(look: Tx) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rest": sorted(
            (row.type, row.name, _plain(row.sql))
            for row in look(Sql("select type, name, sql from sqlite_master"))
            if row.type in ("trigger", "view") or "virtual" in (row.sql or "").lower()
        )
    }
    with toolkit.connection(look) as connection:
        inspector = sa.inspect(connection)
        for table in backup.tables(look):
            created = look(
                Sql("select sql from sqlite_master where type='table' and name=:t"), t=table
            ).scalar_one()
            found[table] = {
                "columns": sorted(
                    tuple(row)[1:] for row in look(Sql(f'pragma table_xinfo("{table}")'))
                ),
                "foreign keys": sorted(
                    tuple(row)[2:] for row in look(Sql(f'pragma foreign_key_list("{table}")'))
                ),
                "checks": sorted(
                    _plain(check["sqltext"]) for check in inspector.get_check_constraints(table)
                ),
                "unique": sorted(
                    tuple(key["column_names"]) for key in inspector.get_unique_constraints(table)
                ),
                "indexes": sorted(
                    _plain(row.sql)
                    for row in look(
                        Sql("select sql from sqlite_master where type='index' and tbl_name=:t"),
                        t=table,
                    )
                    if row.sql
                ),
                "numbers": "autoincrement" in created.lower(),
            }
    return found


def _plain(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).strip().lower()


def test_from_empty_equals_create_all(
    store: Store, make_empty: Callable[[], str], backups: Path
) -> None:
    migrate.ensure_schema(store, backups=backups)
    made_at_once = connect.open_store(make_empty())
    try:
        schema.create_all(made_at_once)
        assert structure(store) == structure(made_at_once), DUE
    finally:
        made_at_once.close()


BROKEN = (
    "alter table switches add column surplus text",
    "drop index runs_ready",
    "drop table blocks",
)


def test_the_comparison_notices_each_change(store: Store, backups: Path) -> None:
    migrate.ensure_schema(store, backups=backups)
    for change in BROKEN:
        before = structure(store)
        store.transact(lambda tx, sql=change: tx(Sql(sql)))
        assert structure(store) != before, change


def test_the_comparison_notices_a_lost_check_and_another_trigger(
    store: Store, backups: Path
) -> None:
    migrate.ensure_schema(store, backups=backups)
    before = structure(store)
    if store.pg:
        store.transact(
            lambda tx: tx(Sql("alter table budgets drop constraint budgets_reserved_check"))
        )
        after = structure(store)
        assert after["constraints"] != before["constraints"]
        store.transact(lambda tx: tx(Sql("drop function alfred_mono")))
        assert structure(store)["functions"] != after["functions"]
        return

    def rebuild(tx: Tx) -> None:
        tx(Sql("drop table budgets"))
        tx(
            Sql(
                "create table budgets(tenant text not null, scope text not null, day text not null, cap bigint,"
                " reserved bigint not null default '0', spent bigint not null default '0',"
                " primary key(tenant, scope, day))"
            )
        )
        tx(Sql("drop trigger memories_ad"))

    store.transact(rebuild)
    after = structure(store)
    assert after["budgets"]["checks"] != before["budgets"]["checks"]
    assert after["rest"] != before["rest"]


def test_head_is_the_newest_migration_and_they_are_counted() -> None:
    steps = migrate.scripts()
    assert [step.revision for step in steps] == migrate.known()
    assert steps[-1].revision == migrate.HEAD
    assert [step.down_revision for step in steps] == [None, *migrate.known()[:-1]]


def test_a_migration_never_imports_what_moves_on() -> None:
    for path in (migrate.SCRIPTS / "versions").glob("*.py"):
        assert not re.search(r"^\s*(from|import) alfred", path.read_text(), re.M), path


# ---- an empty database ------------------------------------------------------------------------------------


def test_an_empty_database_is_made_with_all_that_the_core_reads(
    store: Store, backups: Path
) -> None:
    migrate.ensure_schema(store, backups=backups)
    said = meta(store)
    assert said["schema"] == migrate.HEAD
    assert len(bytes.fromhex(said["installation_key"])) == 32
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", said["feed_epoch"])
    full.fill(store)
    assert not backups.exists(), "there was nothing to back up"


def test_the_second_opening_changes_nothing(store: Store, backups: Path) -> None:
    migrate.ensure_schema(store, backups=backups)
    before = meta(store)
    migrate.ensure_schema(store, backups=backups)
    assert meta(store) == before


def test_two_ledgers_have_different_keys(tmp_path: Path, backups: Path) -> None:
    keys = set()
    for name in ("a.db", "b.db"):
        one = connect.open_store(f"sqlite:///{tmp_path / name}")
        migrate.ensure_schema(one, backups=backups)
        keys.add(meta(one)["installation_key"])
        one.close()
    assert len(keys) == 2


def test_alembic_is_not_imported_when_there_is_nothing_to_do(
    empty_url: str, tmp_path: Path
) -> None:
    look = (
        "import sys; from pathlib import Path; from alfred.store import connect, migrate;"
        f"migrate.ensure_schema(connect.open_store({empty_url!r}), backups=Path({str(tmp_path / 'b')!r}));"
        "print('alembic' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", look], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_the_tables_of_the_queue_change_only_with_a_migration() -> None:
    """They are made with ours, once: a newer library would ask a ledger of before for functions that it does not have."""
    made = hashlib.sha256(SchemaManager.get_schema().encode()).hexdigest()
    assert made == QUEUE, "A migration is due that brings the queue's tables to this version."
    (wanted,) = re.findall(
        r'"procrastinate>=([\d.]+),<([\d.]+)"', (ROOT / "pyproject.toml").read_text()
    )
    assert wanted == ("3.10", "3.11"), "The queue is of one minor version, which this test knows."


def test_what_else_is_made_is_made_with_the_tables_or_not_at_all(
    store: Store, backups: Path
) -> None:
    def fails(tx: Tx) -> None:
        tx(Sql("create table queue(id text)"))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        migrate.ensure_schema(store, backups=backups, extras=fails)
    with store.read() as look:
        assert migrate.find(look) is None
        assert backup.tables(look) == []
    calls = []
    for _ in range(2):
        migrate.ensure_schema(store, backups=backups, extras=calls.append)
    assert len(calls) == 1, "only an empty database gets it"


def test_tables_are_made_on_the_one_connection_that_a_role_may_have(
    store: Store, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise AssertionError("too many connections for role")

    with store.read():
        pass
    for pool in (store._writer, store._reader):
        monkeypatch.setattr(pool, "connect", refused)
    migrate.ensure_schema(store, backups=backups)
    with store.read() as look:
        assert migrate.find(look) is not None


def test_procrastinates_tables_come_with_ours(pg_server: pg.Server, backups: Path) -> None:
    from alfred.runs import procrastinate

    url = pg_server.create("template0")
    opened = connect.open_store(url)
    try:
        migrate.ensure_schema(opened, backups=backups, extras=procrastinate.install)
        with opened.read() as look:
            assert look(Sql("select count(*) from procrastinate_jobs")).scalar() == 0
            assert not [name for name in backup.tables(look) if "procrastinate" in name]
    finally:
        opened.close()
        pg_server.drop(url)


# ---- several processes ------------------------------------------------------------------------------------


def fork(body: Callable[[], None]) -> int:
    """Runs `body` in a child with everything imported; returns its process id. Exit 0: it came to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of threads that the child does not need
        pid = os.fork()
    if pid:
        return pid
    try:
        body()
    except BaseException as problem:
        os.write(2, f"{problem!r}\n".encode())
        os._exit(1)
    os._exit(0)


def together(count: int, body: Callable[[], None]) -> None:
    """Runs `body` in so many processes that start at the same moment; each must come to its end."""
    wait, go = os.pipe()

    def waits() -> None:
        os.close(go)
        os.read(wait, 1)
        body()

    children = [fork(waits) for _ in range(count)]
    os.close(wait)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * count


def test_ten_processes_at_once_make_it_once(empty_url: str, tmp_path: Path) -> None:
    migrate.scripts()  # imported here, once
    told = tmp_path / "told"
    told.touch()

    def opens() -> None:
        def tell(_tx: Tx) -> None:
            with told.open("a") as file:
                file.write("made\n")

        one = connect.open_store(empty_url)
        migrate.ensure_schema(one, backups=tmp_path / "backups", extras=tell)
        key = meta(one)["installation_key"]
        one.close()
        with (tmp_path / f"key-{os.getpid()}").open("w") as file:
            file.write(key)

    together(10, opens)
    assert told.read_text() == "made\n"
    assert len({path.read_text() for path in tmp_path.glob("key-*")}) == 1


def test_ten_processes_at_once_migrate_after_one_backup(
    tmp_path: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'alfred.db'}"
    one = connect.open_store(url)
    migrate.ensure_schema(one, backups=backups)
    full.fill(one)
    one.close()
    install_next(tmp_path, monkeypatch)
    migrate.scripts()

    def opens() -> None:
        mine = connect.open_store(url)
        migrate.ensure_schema(mine, backups=backups)
        assert meta(mine)["schema"] == "0002"
        mine.close()

    together(10, opens)
    assert len(list(backups.iterdir())) == 1


# ---- killed at any statement ------------------------------------------------------------------------------


def killed_at(n: int, empty_url: str, work: Callable[[Store], object]) -> bool:
    """Does the work in a process that is killed before its n-th statement or commit; False when it had fewer."""

    def body() -> None:
        mine = connect.open_store(empty_url)
        left = n

        def count(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sa.event.listen(sa.Engine, "before_cursor_execute", count)
        store_tx.trace = count
        work(mine)

    ended = os.waitstatus_to_exitcode(os.waitpid(fork(body), 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended == -signal.SIGKILL


def points(empty_url: str, some: int) -> Iterator[int]:
    """Every statement on SQLite; on Postgres, where a death costs a connection, some unless all are asked for."""
    every = empty_url.startswith("sqlite") or os.environ.get("ALFRED_CRASH_POINTS") == "all"
    yield from range(0, 10_000, 1 if every else some)


@pytest.mark.crash
def test_killed_at_any_statement_of_its_making_a_database_is_empty_or_whole(
    empty_url: str, backups: Path
) -> None:
    migrate.scripts()
    kills = 0
    for n in points(empty_url, 10):
        if not killed_at(n, empty_url, lambda mine: migrate.ensure_schema(mine, backups=backups)):
            break
        kills += 1
        left = connect.open_store(empty_url)
        with left.read() as look:
            assert migrate.find(look) is None, n
        left.close()
    assert kills > 5
    made = connect.open_store(empty_url)
    full.fill(made)
    assert meta(made)["schema"] == migrate.HEAD
    made.close()


@pytest.mark.crash
def test_killed_at_any_statement_of_a_migration_a_database_is_old_or_new(
    empty_url: str, backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = connect.open_store(empty_url)
    migrate.ensure_schema(first, backups=backups)
    full.fill(first)
    before, rows = structure(first), full.everything(first)
    first.close()
    install_next(tmp_path, monkeypatch)
    migrate.scripts()
    kills = 0
    for n in points(empty_url, 3):
        if not killed_at(n, empty_url, lambda mine: migrate.upgrade(mine, backups)):
            break
        kills += 1
        left = connect.open_store(empty_url)
        assert meta(left)["schema"] == "0001", n
        assert structure(left) == before, n
        left.close()
    assert kills > 3
    left = connect.open_store(empty_url)
    assert meta(left)["schema"] == "0002"
    migrated = full.everything(left)
    left.close()
    assert {table: len(found) for table, found in migrated.items()} == {
        table: len(found) for table, found in rows.items()
    } | {"later": 3}
    assert migrated["runs"] == rows["runs"]


# ---- another schema ---------------------------------------------------------------------------------------


def test_an_older_sqlite_is_backed_up_and_migrated(
    tmp_path: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = connect.open_store(f"sqlite:///{tmp_path / 'alfred.db'}")
    migrate.ensure_schema(old, backups=backups)
    full.fill(old)
    rows = full.everything(old)
    install_next(tmp_path, monkeypatch)
    migrate.ensure_schema(old, backups=backups)
    assert meta(old)["schema"] == "0002"
    (made,) = backups.iterdir()
    with backup.reading(made) as content:
        assert content.revision == "0001"
        found: dict[str, list[Any]] = {}
        for batch in content.batches:
            found.setdefault(batch.table, []).extend(batch.rows)
    assert sorted(found["runs"], key=repr) == rows["runs"]
    with old.read() as look:  # foreign keys are watched again
        assert look(Sql("pragma foreign_keys")).scalar() == 1
    with pytest.raises(IntegrityError):
        old.transact(lambda tx: tx(Sql("insert into later(id, run_id) values('x','nobody')")))
    old.close()


def test_a_backup_that_fails_stops_the_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = connect.open_store(f"sqlite:///{tmp_path / 'alfred.db'}")
    in_the_way = tmp_path / "backups"
    migrate.ensure_schema(old, backups=in_the_way)
    in_the_way.write_text("a file where the folder should be")
    install_next(tmp_path, monkeypatch)
    with pytest.raises(errors.StoreUnavailable, match="backup cannot be written"):
        migrate.ensure_schema(old, backups=in_the_way)
    assert meta(old)["schema"] == "0001"
    old.close()


def test_a_migration_that_loses_rows_others_point_to_changes_nothing(
    tmp_path: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = connect.open_store(f"sqlite:///{tmp_path / 'alfred.db'}")
    migrate.ensure_schema(old, backups=backups)
    full.fill(old)
    before = full.everything(old)
    install_next(tmp_path, monkeypatch, keep=f"id <> '{full.PARENT}'")
    with pytest.raises(errors.StoreUnavailable, match="point to rows that are not there"):
        migrate.ensure_schema(old, backups=backups)
    assert meta(old)["schema"] == "0001"
    assert full.everything(old) == before
    old.close()


def test_an_older_postgres_waits_for_the_command(
    pg_server: pg.Server, tmp_path: Path, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = pg_server.create("template0")
    old = connect.open_store(url)
    try:
        migrate.ensure_schema(old, backups=backups)
        full.fill(old)
        install_next(tmp_path, monkeypatch)
        with pytest.raises(errors.SchemaMismatch) as refused:
            migrate.ensure_schema(old, backups=backups)
        assert "alfred db upgrade" in str(refused.value.next)
        assert refused.value.exit_code == 2
        assert meta(old)["schema"] == "0001"
        assert not backups.exists()

        made = migrate.upgrade(old, backups)
        assert made is not None and made.parent == backups
        assert meta(old)["schema"] == "0002"
        migrate.ensure_schema(old, backups=backups)
        assert migrate.upgrade(old, backups) is None
    finally:
        old.close()
        pg_server.drop(url)


def test_a_newer_schema_is_refused_untouched(store: Store, backups: Path) -> None:
    migrate.ensure_schema(store, backups=backups)
    full.fill(store)
    before = full.everything(store)
    for revision in ("0002", "0999", "9", "", "abc", "0000", "0001 ", "-001"):
        put(store, schema=revision, made_by="7.8.9")
        for open_it in (
            lambda: migrate.ensure_schema(store, backups=backups),
            lambda: migrate.upgrade(store, backups),
        ):
            with pytest.raises(errors.SchemaMismatch) as refused:
                open_it()
            assert refused.value.exit_code == 2
            assert "7.8.9" in f"{refused.value} {refused.value.next}"
        assert full.everything(store) == before
        assert meta(store)["schema"] == revision
    assert not backups.exists()


def test_a_newer_schema_can_still_be_backed_up(store: Store, backups: Path) -> None:
    migrate.ensure_schema(store, backups=backups)
    store.transact(lambda tx: tx(Sql("create table tomorrow(id text)")))
    put(store, schema="0002")
    with backup.reading(backup.backup(store, backups)) as content:
        assert content.revision == "0002"
        assert "tomorrow" in {batch.table for batch in content.batches}


# ---- somebody else's tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs",
    [
        ["create table customers(id integer)"],
        ["create table customers(id integer)", "create table runs(id integer)"],
        ["create table meta(id integer)"],
        ["create table meta(k text, v text)"],
        ["create table meta(k text, v text)", "insert into meta values('version','3')"],
        ["create table meta(key text, value text)", "insert into meta values('schema','0001')"],
    ],
)
def test_tables_of_others_are_refused_untouched(
    store: Store, backups: Path, theirs: list[str]
) -> None:
    for statement in theirs:
        store.transact(lambda tx, sql=statement: tx(Sql(sql)))
    before = structure(store)
    for open_it in (
        lambda: migrate.ensure_schema(store, backups=backups),
        lambda: migrate.upgrade(store, backups),
    ):
        with pytest.raises(errors.ConfigError) as refused:
            open_it()
        assert refused.value.exit_code == 2
        assert "database" in str(refused.value.next)
    assert structure(store) == before
    assert not backups.exists()


def test_another_schema_of_the_same_postgres_is_no_concern_of_ours(
    pg_server: pg.Server, backups: Path
) -> None:
    url = pg_server.create("template0")
    opened = connect.open_store(url)
    try:
        opened.transact(lambda tx: tx(Sql("create schema shop")))
        opened.transact(lambda tx: tx(Sql("create table shop.meta(k text, v text)")))
        migrate.ensure_schema(opened, backups=backups)
        assert meta(opened)["schema"] == migrate.HEAD
    finally:
        opened.close()
        pg_server.drop(url)


def test_a_role_that_may_not_make_tables_is_told_what_it_needs(
    pg_server: pg.Server, backups: Path
) -> None:
    url = pg_server.create("template0")
    owner = connect.open_store(url)
    role = f"weak_{os.getpid()}"
    try:
        owner.transact(lambda tx: tx(Sql(f"create role {role} login password 'x'")))
        weak_url = sa.make_url(url).set(username=role, password="x")
        weak = connect.open_store(weak_url.render_as_string(hide_password=False))
        with pytest.raises(errors.ConfigError) as refused:
            migrate.ensure_schema(weak, backups=backups)
        assert "grant create" in str(refused.value.next)
        weak.close()
    finally:
        owner.transact(lambda tx: tx(Sql(f"drop role if exists {role}")))
        owner.close()
        pg_server.drop(url)
