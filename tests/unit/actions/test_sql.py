"""SQL and the tier that it must get: what reads, what changes rows that it names, and all the rest."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.actions import Risk, classify_sql, sql
from tests.table import table

READS = [
    "select 1",
    "SELECT * FROM users",
    "select id, name from users where name = 'drop table users' limit 10;",
    "select count(*), max(u.created) from users u join orders o on o.user_id = u.id group by u.id",
    "select 'it''s; fine' is not null",
    "with t as (select 1 as n) select n from t",
    "with recursive t (n) as (select 1 union all select n + 1 from t where n < 9) select n from t",
    "select * from (select id from a union all select id from b) x order by id desc",
    'select "my column", `other` from `t`',
    "select * from users where id = $1 and name = :name and age > ?",
    "select coalesce(sum(x), 0)::numeric from t",
    "select case when exists (select 1 from t) then 1 else 0 end",
    "select row_number() over (partition by a order by b) from t",
    "select distinct date_trunc('day', at), to_char(at, 'YYYY') from t where at is not null",
    "select replace(name, 'a', 'b') from t where lower(name) like '%x%' and n not in (1, 2)",
    "select data -> 'a' ->> 'b' from t where at between '2024-01-01' and '2025-01-01'",
    "select 'Grüße'",
    "select 1; select 2",
    "explain select * from t",
    "select * from t order by random() limit 5",
    "select lpad(a, 5), reverse(a), regexp_replace(a, 'x', 'y') from t",
    "select pg_size_pretty(pg_total_relation_size('t'))",
    "select a is distinct from b, jsonb_array_length(c) from t fetch first 5 rows only",
    "select pid, query from pg_stat_activity where state = 'active'",
    "explain analyze select * from t",
    "explain query plan select * from t",
    "values (1, 'a'), (2, 'b')",
    "show tables",
    "show create table users",
    "describe users",
]

CHANGES = [
    "insert into t values (1)",
    "insert into t (a, b) values (1, 2), (3, 4)",
    "insert into t (a) values (1) on conflict (a) do update set a = excluded.a returning id",
    "insert into t (a) values (1) on duplicate key update a = 2",
    "insert or replace into t values (1)",
    "insert into t select * from u",
    "update t set a = 1 where id = 1",
    "update t set a = 1, b = lower(b) where id = 1 and b > 2",
    "update t set a = 1 where id = $1",
    "delete from t where id = 1",
    "delete from t where id = -1 or id = 2",
    "delete from t where (id in (1, 2))",
    "delete from t where name like 'old%'",
    "delete from t where gone is null",
    "delete from t where at < '2020-01-01'",
    "delete from t where at between '2020-01-01' and '2020-02-01 10:00'",
    "delete from t where at < now() - interval '30 days'",
    "update t set a = u.b from u where t.id = u.id and t.id = 3",
    "delete from t as x using u where x.id = 1 and u.id = 2",
    "create table t (a int)",
    "create table if not exists t (id serial primary key, a varchar(9) not null default 'x', b int references u(id))",
    "create temp table t as select * from u",
    "create unique index i on t (a)",
    "create view v as select a from t",
    "alter table t add column a int default 3",
    "alter table t add constraint c unique (a)",
    "begin",
    "commit",
    "START TRANSACTION",
    "begin; update t set a = 1 where id = 1; commit",
    "explain update t set a = 1 where id = 1",
]

REST = [
    "",
    ";",
    "hello",
    # every row, or nobody knows which
    "update t set a = 1",
    "update t set a = 1 where true",
    "update t set a = 1 where 1 = 1",
    "update t set a = 1 where id = id",
    "update t set a = 1 where 'a' = 'a'",
    "update t set a = 1 where id = 1 or 1 = 1",
    "update t set a = 1 where id = 1 or id <> 1",
    "delete from t",
    "DELETE FROM users;",
    "delete from t where 1=1",
    "delete from t where id > 0",
    "delete from t where id <> 0",
    "delete from t where not id = 1",
    "delete from t where id is not null",
    "delete from t where id not in (1)",
    "delete from t where name not like 'x%'",
    "delete from t where name like '%'",
    "delete from t where id in (select id from t)",
    "delete from t where id in (1, id)",
    "delete from t where id < 999999999",
    "delete from t where name < 'zzz'",
    "delete from t where at < now() + interval '1 day'",
    "delete from t where exists (select 1)",
    "delete from t where at < '2099-01-01'",
    "delete from t where at <= '2099-12-31 10:00'",
    "update t set a = 1 where at between '1970-01-01' and '2099-01-01'",
    # what the database keeps of itself, and what one logs in with
    "update pg_authid set rolsuper = true where rolname = 'x'",
    "insert into pg_catalog.pg_class values (1)",
    "delete from pg_catalog.pg_class where oid = 1",
    "update mysql.user set x = 1 where user = 'root'",
    "update sqlite_master set sql = 'x' where name = 't'",
    "select rolpassword from pg_authid",
    'select * from "pg_shadow"',
    "select * from pg_catalog.pg_shadow",
    "select a from t where b in (select passwd from pg_shadow)",
    "with x as (select * from pg_authid) select * from x",
    "select authentication_string from mysql.user",
    "select * from mysql.global_priv",
    "select Password from mysql.servers",
    "select subconninfo from pg_subscription",
    "insert into msdb.dbo.sysjobsteps values (1)",
    "update msdb.dbo.sysjobsteps set command = 'x' where id = 1",
    "delete from t using u where t.id = u.id",
    # a row of another table, which every row of this one is joined with
    "update t set a = 1 from u where u.id = 1",
    "update t set a = 1 from u where id = 1",
    "update t set a = 1 from u where u.id = 1 or t.id = 1",
    "update t as x set a = 1 from u where u.id = 1",
    "update t, u set t.a = 1 where u.id = 1",
    "update t join u on 1 = 1 set t.a = 1 where u.id = 1",
    "update s.t, r.t set s.t.a = 1 where r.t.id = 1",
    "delete from t using u where u.id = 1",
    "delete t from t join u on 1 = 1 where u.id = 1",
    "delete t from t",
    "explain delete from t",
    # what is gone, and what code and people may do
    "drop table t",
    "DROP DATABASE production",
    "drop index i",
    "drop view v",
    "truncate t",
    "truncate table a, b",
    "alter table t drop column a",
    "alter table t rename to u",
    "alter table t disable row level security",
    "alter user bob with password 'x'",
    "create or replace table t (a int)",
    "create or replace view v as select 1",
    "create user bob",
    "create database x",
    "create extension x",
    "create function f() returns int as 'x'",
    "create trigger x after insert on t execute function f()",
    "create table t (a int default pg_sleep(1))",
    "insert overwrite table t select 1",
    "insert into t select pg_read_file('/etc/passwd')",
    "replace into t values (1)",
    "merge into t using s on t.a = s.a when matched then delete",
    "grant all on t to bob",
    "revoke all on t from bob",
    # a second statement in disguise
    "select 1; drop table t",
    "select 1;;drop/**/table t",
    "select 1 drop table t",
    "select 1 commit",
    "select 1 as shutdown",
    "select 1 exec xp_cmdshell 'dir'",
    "select * into t2 from t",
    "select * from t into outfile '/tmp/x'",
    "select * from t for update",
    "select * from t for share",
    "with d as (delete from t returning *) select * from d",
    "with d as (delete from t where id = 1 returning *) select * from d",
    "with d as (insert into t values (1) returning *) select * from d",
    "with d as (delete from t returning *) insert into u select * from d",
    "with d as (delete from t returning *) update u set a = 1 where id = 1",
    "insert into t values (1); delete from t",
    "explain analyze delete from t",
    "explain analyze execute s",
    # functions that do more than calculate
    "select pg_sleep(10)",
    "select pg_terminate_backend(1)",
    "select lo_import('/etc/passwd')",
    "select pg_read_file('/etc/passwd')",
    "select load_extension('x')",
    "select writefile('x', 'y')",
    "select nextval('s')",
    "select next value for s",
    "select set_config('a', 'b', false)",
    "select dblink('x', 'drop table t')",
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    'select * from "secrets.csv"',
    'select "pg_terminate_backend"(1)',
    "select public.count(1)",
    "select x . lower ('a')",
    # what databases read differently
    "select 1 -- drop table t",
    "select 1 /* x */",
    "select 1 /*! drop table t */",
    "select 1 # x",
    "select 'a\\'; drop table t; #'",
    "select $$ ' $$",
    "select $tag$ ' $tag$",
    "select [a'] ; drop table t; --']",
    "select `'` ; drop table t",
    'select "a;b" from t',
    "select 'unclosed",
    "select (1",
    "select 1)",
    "select @x := 1",
    "select é from t",
    "ｄｒｏｐ table t",
    "dr\u043ep table t",
    # and everything else
    "copy t to '/tmp/x'",
    "copy (select 1) to program 'sh'",
    "call f()",
    "do $$ begin end $$",
    "vacuum",
    "set a = 1",
    "set role postgres",
    "lock table t",
    "reindex database x",
    "pragma writable_schema = 1",
    "attach 'x' as y",
    "show tables; drop table t",
    "show tables drop table t",
    "show (select f())",
    "kill 1",
    "shutdown",
    "\\! id",
    ".shell id",
    "select\x00 1",
    "select '\x00'",
    "\ufeffselect 1",
    "select " + "(" * 60 + "1" + ")" * 60,
    "select 1, " * 5_000 + "1",
]

EXPECTED = [
    *((text, Risk.NONE) for text in READS),
    *((text, Risk.MEDIUM) for text in CHANGES),
    *((text, Risk.HIGH) for text in REST),
]


@table(EXPECTED)
def test_each_statement_gets_its_tier(text: str, tier: Risk) -> None:
    assert classify_sql(text) is tier


UNFINISHED = {"select 'unclosed", "select (1"}
"""What is added to these becomes part of a quote, or completes them."""
WHOLE = [row for row in EXPECTED if 1 < len(row[0]) < 200 and row[0] not in UNFINISHED]
TEXTS = st.lists(
    st.sampled_from(
        [*"(),=;ta1", "'a'", *sorted(sql.PARSED), "from", "where", "set", "as", "or", "in"]
    ),
    max_size=20,
).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(WHOLE), st.sampled_from(WHOLE))
def test_another_statement_never_lowers_the_risk(
    one: tuple[str, Risk], two: tuple[str, Risk]
) -> None:
    assert classify_sql(f"{one[0]}; {two[0]}") >= max(one[1], two[1])


@given(
    st.sampled_from(READS),
    st.sampled_from(["; drop table t", "; delete from t", " into x", "'", ")"]),
)
def test_adding_something_that_writes_raises_it(text: str, more: str) -> None:
    assert classify_sql(text.rstrip(";") + more) is Risk.HIGH


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=200)
    | st.text("selct *'\"`();-/$[]\\", max_size=50).map("select {}".format)
    | TEXTS
)
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(classify_sql(text), Risk)


@pytest.mark.parametrize("text", ["call f()", "create user bob", "show x y", "vacuum"])
def test_what_the_parser_does_not_know_is_said_by_the_tier_and_nowhere_else(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        classify_sql(text)
    assert not caplog.records
