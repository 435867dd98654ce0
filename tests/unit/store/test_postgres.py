"""A URL of Postgres is read as people write it, and what cannot be read is told without its password."""

from __future__ import annotations

import contextlib
import secrets

import pytest
from psycopg.conninfo import conninfo_to_dict

from alfred import errors
from alfred.store import connect, postgres
from alfred.store.statement import Sql
from alfred.store.trouble import DataError
from alfred.store.tx import Tx
from tests.table import table

READ = [
    ("postgresql://h/d", {"host": "h", "dbname": "d"}),
    ("postgres://u:p%40s%2Fs@h:1/d", {"user": "u", "password": "p@s/s", "port": "1"}),
    ("postgresql+psycopg://u:50%off@h/d", {"password": "50%off", "host": "h"}),
    ("postgresql://u:a/b#c?d:e%25@h/d", {"password": "a/b#c?d:e%", "host": "h", "dbname": "d"}),
    ("postgresql://u:é@h/d", {"password": "é"}),
    ("postgresql://h:5432/d?application_name=a@b", {"port": "5432", "application_name": "a@b"}),
    ("postgresql://h/d?options=-csearch_path=mine", {"options": "-csearch_path=mine"}),
    ("postgresql://h/d?options=-c+a%3Db%20-c%20c=d", {"options": "-c a=b -c c=d"}),
    ("postgresql:///d?host=/run/x&user=u", {"host": "/run/x", "user": "u", "dbname": "d"}),
    ("postgresql://u@%2Frun%2Fx/d", {"host": "/run/x", "user": "u"}),
    ("postgresql://u:p@[::1]:7/d", {"host": "::1", "port": "7", "password": "p"}),
    ("postgresql://a:1,b:2/d", {"host": "a,b", "port": "1,2"}),
    ("postgresql://h/d", {"tcp_user_timeout": "30000", "keepalives_idle": "10"}),
    ("postgresql://h/d?keepalives_idle=5", {"keepalives_idle": "5", "keepalives_count": "2"}),
]


@table(READ)
def test_a_url_means_what_it_says(url: str, means: dict[str, str]) -> None:
    read = conninfo_to_dict(postgres.conninfo(url))
    assert {key: read.get(key) for key in means} == means


UNREADABLE = [
    "postgresql://u:hidden%00@h/d",
    "postgresql://u:hidden@[::1/d",
    "postgresql://u:x@hidden@h/d",
    "postgresql://u:hidden@h/d?colour=red",
]


@table(UNREADABLE)
def test_a_url_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="The database URL cannot be read") as told:
        connect.open_store(url)
    assert "hidden" not in f"{told.value} {told.value.next}"
    assert told.value.__cause__ is None and told.value.__context__ is None


def test_a_server_that_may_forget_is_refused_and_left(
    pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Tx] = []
    check = postgres.check
    monkeypatch.setattr(postgres, "check", lambda look: (looks.append(look), check(look)))
    mark = "&" if "?" in pg_url else "?"
    with pytest.raises(errors.ConfigError, match="may forget"):
        connect.open_store(f"{pg_url}{mark}options=-csynchronous_commit=off")
    assert looks[0].raw.closed


def test_a_value_that_no_index_has_room_for_is_not_told_as_a_database_that_is_away(
    pg_url: str,
) -> None:
    store = connect.open_store(pg_url)
    tried = []

    def verb(tx: Tx) -> None:
        tried.append(tx)
        tx(Sql("create temp table long(path text primary key) on commit drop"))
        tx(Sql("insert into long values(:path)"), path=secrets.token_hex(4_000))

    with contextlib.closing(store), pytest.raises(DataError, match="index row size"):
        store.transact(verb)
    assert len(tried) == 1
