"""What holds for every table, so that a new one cannot forget it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from alfred.runs import commits
from alfred.store import migrate, schema
from alfred.store.invariants import INVARIANTS, UNDER_FIXED_CAPS
from tests.house.parsing import parsed
from tests.unit.store import full

SOURCES = Path(migrate.__file__).parents[1]

OF_A_RUN = {"run_id", "session_id", "approval_id", "trigger_id"}
"""A row that hangs on one of these belongs to the tenant of what it hangs on."""

OF_THE_MACHINE = {"meta", "workers"}
"""Rows that belong to no tenant."""


def test_every_row_has_a_tenant_or_hangs_on_one() -> None:
    for name, table in schema.METADATA.tables.items():
        if name in OF_THE_MACHINE:
            continue
        columns = set(table.c.keys())
        assert "tenant" in columns or columns & OF_A_RUN, name


def test_a_step_changes_no_column_of_an_index() -> None:
    """On Postgres a step's update stays on its page then, and leaves nothing behind in eleven indexes."""
    changed = set(re.findall(r"(\w+)=", commits._GUARD.split(" where ")[0]))
    assert {"seq", "state", "lease_until"} <= changed
    for index in schema.METADATA.tables["runs"].indexes:
        where = str(index.dialect_options["postgresql"]["where"])
        named = set(index.columns.keys()) | set(re.findall(r"\w+", where))
        assert not changed & named, index.name


def test_every_table_has_a_key() -> None:
    for name, table in schema.METADATA.tables.items():
        assert list(table.primary_key.columns), name


def test_times_and_money_do_not_run_over() -> None:
    """Microseconds and micro-dollars are beyond 32 bits."""
    wide = re.compile(r"(^|_)(at|until|beat|amount|actual|cap|cost|spent|reserved|us)$")
    for name, table in schema.METADATA.tables.items():
        for column in table.columns:
            if wide.search(column.name) and isinstance(column.type, sa.Integer):
                assert isinstance(column.type, sa.BigInteger), f"{name}.{column.name}"


def test_only_text_and_numbers_are_stored() -> None:
    """A dump is JSON lines, and both databases must give back what the other one held."""
    for name, table in schema.METADATA.tables.items():
        for column in table.columns:
            kind = column.type
            assert isinstance(kind, sa.Text | sa.Integer | schema.Xid), (
                f"{name}.{column.name}: {kind}"
            )


def test_every_table_is_in_the_ledger_that_backups_are_tested_with() -> None:
    filled = set(full.ROWS) | {"meta", "audit", "audit_heads"}
    assert set(schema.METADATA.tables) == filled, "tests/unit/store/full.py: give each table a row"


def test_every_rule_is_named_once() -> None:
    names = [rule.name for rule in (*INVARIANTS, *UNDER_FIXED_CAPS)]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_nothing_makes_tables_but_the_migrations() -> None:
    """`create_all` is what the migrations are compared with; no program may open a ledger by it."""
    for path in SOURCES.rglob("*.py"):
        if "schema" in path.parts or "versions" in path.parts:
            continue
        for node in ast.walk(parsed(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "create_all"), path
