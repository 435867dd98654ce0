"""Every mutant can be made: what it takes out stands in its file once, and the test that kills it is there."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from scripts import mutants
from tests.house.parsing import parsed

ROOT = Path(__file__).parents[2]


@functools.cache
def text(file: str) -> str:
    return (ROOT / file).read_text()


@functools.cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    tree = parsed(text(file))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def there(mutant: mutants.Mutant) -> bool:
    """Whether its test exists; a row of a `@table` is no test, so it cannot be named."""
    file, name = mutant.test.split("::", 1)
    name, row, _ = name.split("::")[-1].partition("[")
    if not (ROOT / file).exists() or name not in functions(file):
        return False
    decorators = [ast.unparse(one) for one in functions(file)[name].decorator_list]
    return not row or not any(one.startswith("table(") for one in decorators)


def test_what_a_mutant_takes_out_stands_in_its_file_once() -> None:
    every = mutants.read(ROOT / "tests/mutants.toml")
    assert len(every) > 600
    assert [m.name for m in every if text(m.file).count(m.old) != 1] == []


@pytest.mark.slow
def test_the_test_that_kills_a_mutant_is_there() -> None:
    every = mutants.read(ROOT / "tests/mutants.toml")
    assert [mutant.test for mutant in every if not there(mutant)] == []
