"""`make mutants` lets no mutant pass that its test does not notice, and counts nothing else as noticing."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import mutants

PROMISE = "tests/house/test_version.py::test_the_constant_is_the_version_of_the_package"


def mutant(**changes: str) -> mutants.Mutant:
    return mutants.Mutant(
        **{
            "name": "another version",
            "file": "src/alfred/version.py",
            "old": 'VERSION = "',
            "new": 'VERSION = "1',
            "test": PROMISE,
        }
        | changes
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"new": '# it says the same\nVERSION = "'}, "passes without the guard"),
        ({"new": "this is no Python"}, "breaks instead of failing"),
        ({"test": PROMISE + "_no_more"}, "breaks instead of failing"),
    ],
)
def test_only_a_test_that_fails_kills(changes: dict[str, str], problem: str | None) -> None:
    said = mutants.outlives(mutant(**changes))
    assert said is None if problem is None else problem in str(said)


def no_run(*_: object) -> tuple[int, str]:
    raise AssertionError("no test may run")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"old": "no such text"}, "stands 0 times"),
        ({"old": "e", "new": "x"}, "times in src/alfred/version.py, not once"),
        ({"old": ""}, "stands 0 times"),
        ({"file": "src/alfred/nowhere.py"}, "stands 0 times"),
        ({"new": 'VERSION = "'}, "not once"),
    ],
)
def test_a_mutant_that_cannot_be_made_has_not_been_killed(
    changes: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants.subprocess, "run", no_run)
    said = mutants.outlives(mutant(**changes))
    assert said is not None
    assert problem in said


def test_one_survivor_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_tests(tests: object, changed: mutants.Mutant | None, *_: str) -> tuple[int, str]:
        return (1, "1 failed in 0.1s") if changed and changed.name != "weak" else (0, "1 passed")

    monkeypatch.setattr(mutants, "run_tests", run_tests)
    assert mutants.judge([mutant()]) == 0
    assert mutants.judge([mutant(), mutant(name="weak"), mutant()]) == 1
    assert "2 of 3 mutants killed." in capsys.readouterr().out


@pytest.mark.parametrize("code", [1, 2, 4, 5])
def test_tests_that_do_not_pass_anyway_prove_nothing(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "run_tests", lambda *_: (code, "1 failed in 0.1s"))
    assert mutants.judge([mutant()]) == 1
    assert "must pass on the code as it is" in capsys.readouterr().out


def test_a_key_that_is_mistyped_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "mutants.toml"
    file.write_text('[[mutant]]\nname="a"\nfile="b"\nold="c"\nneu="d"\ntest="e"\n')
    with pytest.raises(TypeError, match="neu"):
        mutants.read(file)
