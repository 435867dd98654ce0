"""Imports go down. import-linter says so for the code as it is, and notices each kind of import that goes up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
}


def lint(folder: Path) -> tuple[int, str]:
    """import-linter's exit code and words about `folder/src`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_no_import_goes_up() -> None:
    code, said = lint(ROOT)
    assert code == 0, said
    assert all(f"{name} KEPT" in said for name in CONTRACTS.values()), said


WRONG = {
    "floors": ("trust/wrong.py", "from alfred.store import schema"),
    "toolkit": ("runs/wrong_sql.py", "import sqlalchemy"),
    "integrations": ("workflows/wrong.py", "from alfred.integrations import wrong"),
    "channels": ("channels/wrong.py", "from alfred.agents import turn"),
    "procrastinate": ("store/wrong.py", "import procrastinate"),
    "models": ("agents/wrong_too.py", "import pydantic_ai.direct"),
    "mcp": ("agents/wrong_server.py", "import mcp"),
    "alembic": ("runs/wrong.py", "import alembic.command"),
    "siblings": ("runs/first.py", "from alfred.runs import second"),
}
HELPERS = {
    "integrations/wrong.py": "",
    "runs/second.py": "from alfred.runs import first",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the sources with one wrong import for each contract."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    for file, text in (*WRONG.values(), *HELPERS.items()):
        (folder / "src/alfred" / file).write_text(text + "\n")
    code, said = lint(folder)
    assert code == 1, said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("contract", CONTRACTS)
def test_each_contract_notices_its_wrong_import(contract: str, broken: str) -> None:
    assert f"{CONTRACTS[contract]} BROKEN" in broken
    module = Path(WRONG[contract][0]).stem
    assert f".{module}" in broken.split(f"\n{CONTRACTS[contract]}\n")[1].split("\n---")[0]


@pytest.mark.slow
def test_a_module_without_a_floor_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "src/alfred/utils.py").touch()
    code, said = lint(tmp_path)
    assert code == 1
    assert "alfred.utils" in said
