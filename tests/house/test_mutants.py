"""Every mutant can be made: what it takes out stands in its file once, and the test that kills it is there."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from scripts import mutants

ROOT = Path(__file__).parents[2]


@functools.cache
def text(file: str) -> str:
    return (ROOT / file).read_text()


@functools.cache
def functions(file: str) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(text(file))) if isinstance(node, ast.FunctionDef)
    }


def test_what_a_mutant_takes_out_stands_in_its_file_once() -> None:
    every = mutants.read(ROOT / "tests/mutants.toml")
    assert len(every) > 600
    assert [m.name for m in every if text(m.file).count(m.old) != 1] == []


def test_the_test_that_kills_a_mutant_is_there() -> None:
    lost = []
    for mutant in mutants.read(ROOT / "tests/mutants.toml"):
        file, name = mutant.test.split("::", 1)
        if not (ROOT / file).exists() or name.split("::")[-1].split("[")[0] not in functions(file):
            lost.append(mutant.test)
    assert lost == []
