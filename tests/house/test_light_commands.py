"""Commands that only look or decide load neither model nor adapters; the version loads next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "pydantic_ai", "openai", "anthropic", "google", "mcp", "fastapi", "starlette", "uvicorn", "structlog", "apprise",
    "prompt_toolkit", "tree_sitter", "sqlglot", "selectolax", "httpx2", "griffe", "alembic", "sqlalchemy", "psycopg", "procrastinate", "keyring", "genai_prices",
}  # fmt: skip
ADAPTERS = (
    "alfred.integrations",
    "alfred.llm",
    "alfred.workflows",
    "alfred.agents.turn",
    "alfred.runs.worker",
)


def loaded(home: Path, *command: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    argv = ["alfred", *command]
    probe = (
        f"import sys; sys.argv={argv!r}\n"
        "from alfred.__main__ import main\n"
        "code = main()\n"
        "sys.stderr.write('\\nMODULES ' + ' '.join(sys.modules) + '\\n')\n"
        "sys.exit(code)"
    )
    env = {**os.environ, "ALFRED_HOME": str(home), "ALFRED_NO_WORKER": "1"}
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, env=env, timeout=60
    )
    line = next(row for row in done.stderr.splitlines() if row.startswith("MODULES "))
    return set(line.split()[1:])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a command was: the first of all makes the tables, with the migrations' library."""
    home = tmp_path_factory.mktemp("made") / "home"
    loaded(home, "status")
    return home


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("runs", "list"),
        ("approvals", "list"),
        ("agents", "list"),
        ("agents", "show"),
        ("approve", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("reject", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("spend",),
        ("audit", "verify"),
        ("config", "show"),
        ("route", "--platform", "telegram", "--explain"),
    ],
)
def test_looking_and_deciding_load_no_model_and_no_adapter(
    made: Path, command: tuple[str, ...]
) -> None:
    modules = loaded(made, *command)
    assert not {name.split(".")[0] for name in modules} & HEAVY
    assert not [name for name in modules if name.startswith(ADAPTERS)]


def test_the_version_loads_two_modules_of_ours_and_nothing_of_others(home: Path) -> None:
    ours = {name for name in loaded(home, "--version") if name.startswith("alfred")}
    assert ours == {"alfred", "alfred.__main__", "alfred.version"}
    assert not {"sqlalchemy", "pydantic", "cyclopts", "asyncio", "json"} & loaded(home, "--version")
