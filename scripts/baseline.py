"""Writes the first migration from src/alfred/store/schema: `.venv/bin/python scripts/baseline.py`.

Only until the first release. After it 0001 is frozen, and a change of store/schema needs a migration of its own;
tests/ledger/test_migrations.py says when one of the two is due.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from alfred.store import schema

TARGET = (
    Path(__file__).resolve().parent.parent / "src/alfred/store/migrations/versions/0001_baseline.py"
)

HEADER = '''"""Every table of the first release, written out: it does not change when store/schema does.

Until that release `scripts/baseline.py` writes this file; then it is frozen.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

'''

FOOTER = '''
def upgrade() -> None:
    """An empty database -> every table, index, trigger and function."""
    conn = op.get_bind()
    for statement in SQLITE if conn.dialect.name == "sqlite" else POSTGRESQL:
        conn.exec_driver_sql(statement)
'''


def statements(dialect: Dialect) -> list[str]:
    """What makes every table, index, trigger and function in an empty database of one dialect."""
    made = []
    for table in schema.METADATA.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            made.append(str(CreateIndex(index).compile(dialect=dialect)))
    made += schema.EXTRAS[dialect.name]
    return [_tidy(statement) for statement in made]


def _tidy(statement: str) -> str:
    lines = [line.rstrip().replace("\t", "    ") for line in statement.strip().splitlines()]
    return "\n".join(line for line in lines if line.strip())


def _literal(statement: str) -> str:
    quotes = '"""' if "\n" in statement or '"' in statement else '"'
    assert '"""' not in statement and not statement.endswith('"')
    escaped = statement.replace("\\", "\\\\")
    return f"    {quotes}{escaped}{quotes},\n"


def main() -> None:
    text = HEADER
    for name, dialect in (("SQLITE", sqlite.dialect()), ("POSTGRESQL", postgresql.dialect())):
        text += f"{name} = (\n{''.join(map(_literal, statements(dialect)))})\n\n"
    TARGET.write_text(re.sub(r"\n{3,}", "\n\n\n", text.rstrip() + "\n\n" + FOOTER))
    print(
        f"wrote {TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET}"
    )


if __name__ == "__main__":
    main()
