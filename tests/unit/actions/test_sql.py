"""SQL: only what certainly reads is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alfred.actions import Risk, classify_sql
from tests.table import table

READS = [
    "select 1",
    "SELECT * FROM users",
    "select id, name from users where name = 'drop table users' limit 10;",
    "select count(*), max(u.created) from users u join orders o on o.user_id = u.id group by u.id",
    "select 'it''s; fine' is not null",
    "with t as (select 1 as n) select n from t",
    "select * from (select id from a union all select id from b) x order by id desc",
    'select "my column", `other` from `t`',
    "select * from users where id = $1 and name = :name and age > ?",
    "select coalesce(sum(x), 0)::numeric from t",
    "select case when exists (select 1 from t) then 1 else 0 end",
    "select row_number() over (partition by a order by b) from t",
    "select 'Grüße'",
    "explain select * from t",
    "explain analyze select * from t",
    "explain query plan select * from t",
    "values (1, 'a'), (2, 'b')",
    "show tables",
    "describe users",
]

REST = [
    "",
    ";",
    "hello",
    "insert into t values (1)",
    "update t set a = 1",
    "update t set a = 1 where id = 1",
    "delete from t",
    "delete from t where 1=1",
    "drop table t",
    "DROP DATABASE production",
    "truncate t",
    "alter table t add column a int",
    "create table t (a int)",
    "grant all on t to bob",
    "select 1; drop table t",
    "select 1; select 2",
    "select 1 drop table t",
    "select 1 exec xp_cmdshell 'dir'",
    "select * into t2 from t",
    "select * from t into outfile '/tmp/x'",
    "select * from t for update",
    "select * from t for share",
    "with d as (delete from t returning *) select * from d",
    "with d as (insert into t values (1) returning *) select * from d",
    "explain analyze delete from t",
    "explain analyze execute s",
    "select pg_sleep(10)",
    "select pg_terminate_backend(1)",
    "select lo_import('/etc/passwd')",
    "select pg_read_file('/etc/passwd')",
    "select load_extension('x')",
    "select writefile('x', 'y')",
    "select nextval('s')",
    "select set_config('a', 'b', false)",
    "select dblink('x', 'drop table t')",
    'select "pg_terminate_backend"(1)',
    "select public.count(1)",
    "select x . lower ('a')",
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
    "copy t to '/tmp/x'",
    "copy (select 1) to program 'sh'",
    "call f()",
    "do $$ begin end $$",
    "vacuum",
    "set a = 1",
    "pragma writable_schema = 1",
    "attach 'x' as y",
    "show tables; drop table t",
    "show (select f())",
    "begin",
    "select\x00 1",
    "select '\x00'",
    "\ufeffselect 1",
    "select 1, " * 5_000 + "1",
]


@table(READS)
def test_what_certainly_reads_is_none(text: str) -> None:
    assert classify_sql(text) is Risk.NONE


@table(REST)
def test_everything_else_is_high(text: str) -> None:
    assert classify_sql(text) is Risk.HIGH


@given(
    st.sampled_from(REST[2:]),
    st.sampled_from([" ", ";", " union select 1", " where 1=1", " limit 1"]),
)
def test_adding_to_it_never_lowers_the_risk(text: str, more: str) -> None:
    assert classify_sql(text + more) is Risk.HIGH


@given(
    st.sampled_from(READS),
    st.sampled_from(["; drop table t", "; delete from t", " into x", "'", ")"]),
)
def test_adding_something_that_writes_raises_it(text: str, more: str) -> None:
    assert classify_sql(text.rstrip(";") + more) is Risk.HIGH


@given(
    st.text(max_size=200) | st.text("selct *'\"`();-/$[]\\", max_size=50).map("select {}".format)
)
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(classify_sql(text), Risk)
