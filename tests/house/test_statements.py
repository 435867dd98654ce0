"""SQL stands in `store`, in `runs`, and in each package's `ledger`: nobody else makes or sends a statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.parsing import parsed

SOURCES = Path(__file__).parents[2] / "src/alfred"


def room_of_sql(file: Path) -> bool:
    """Whether statements may stand in a file, named from the sources."""
    package, *rest = (*file.parts[:-1], file.stem)
    return package in ("store", "runs") or rest[:1] == ["ledger"]


def statements(tree: ast.AST) -> Iterator[int]:
    """The lines on which a statement is made, or a text is sent past `Sql`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            of = called.value if isinstance(called, ast.Attribute) else None
            past = (
                isinstance(of, ast.Attribute)
                and of.attr == "raw"
                and name in ("execute", "executemany", "cursor")
            )
            if name in ("Sql", "Guarded", "exec_driver_sql") or past:
                yield node.lineno


@pytest.mark.slow
def test_statements_stand_in_the_rooms_of_sql_alone() -> None:
    found = [
        f"{file.relative_to(SOURCES)}:{line}"
        for file in SOURCES.rglob("*.py")
        if not room_of_sql(file.relative_to(SOURCES))
        for line in statements(parsed(file.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("store/connect.py", True),
        ("runs/ledger.py", True),
        ("memory/ledger.py", True),
        ("actions/ledger/calls.py", True),
        ("actions/approvals.py", False),
        ("cli/work.py", False),
        ("desk.py", False),
        ("app.py", False),
        ("cli/store/listing.py", False),
        ("ledger.py", False),
    ],
)
def test_a_room_of_sql_is_a_ledger_the_store_or_the_core(file: str, allowed: bool) -> None:
    assert room_of_sql(Path(file)) is allowed


@pytest.mark.parametrize(
    "text",
    [
        'x = Sql("select 1")',
        'x = connect.Sql("select 1")',
        'x = Guarded("update a set b=1 returning c")',
        'def f(tx): tx.raw.execute("select 1")',
        'def f(tx): toolkit.connection(tx).exec_driver_sql("select 1")',
    ],
)
def test_a_statement_is_noticed_however_it_is_made(text: str) -> None:
    assert list(statements(parsed(text))) == [1]
