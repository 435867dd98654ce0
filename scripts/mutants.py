"""Proves that each guard has a test that notices its absence: mutants from tests/mutants.toml.

    [[mutant]]
    name = "a late wake wakes a later park"
    file = "src/alfred/runs/ledger.py"
    old = " and park_no = :park_no"         # stands in the file exactly once
    new = ""
    test = "tests/promises/test_wakes.py::test_a_late_wake_is_dropped"

First all named tests must pass on the code as it is. Then, for each mutant, a copy of src with that one
replacement is put before the real one, and its test must fail: not error, not hang, not be skipped. Exit 1
when a mutant survives, cannot be made, or breaks more than the promise. An argument picks mutants whose name,
file or test contains it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARALLEL = 2
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard taken out, and the test that must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, tree: Path) -> None:
        """Replaces the one place in a copy of the sources.

        Raises:
            ValueError: the snippet does not stand there exactly once, or the replacement changes nothing.
        """
        path = tree / self.file
        text = path.read_text() if path.is_file() else ""
        found = text.count(self.old) if self.old else 0
        if found != 1 or self.old == self.new:
            raise ValueError(f"`old` stands {found} times in {self.file}, not once")
        path.write_text(text.replace(self.old, self.new))


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Takes each guard out and expects its test to fail."
    )
    parser.add_argument("only", nargs="?", default="", help="part of a name, file or test")
    only = parser.parse_args().only
    mutants = [
        m for m in read(ROOT / "tests/mutants.toml") if only in f"{m.name}\n{m.file}\n{m.test}"
    ]
    if not mutants:
        print(f"No mutant contains {only!r}.")
        return 1
    with postgres():
        return judge(mutants)


def read(path: Path) -> list[Mutant]:
    """The mutants of the file; a missing or unknown key is an error of the reader's."""
    return [Mutant(**entry) for entry in tomllib.loads(path.read_text())["mutant"]]


@contextlib.contextmanager
def postgres() -> Iterator[None]:
    """One server for all the test runs, instead of one start for each."""
    sys.path.insert(0, str(ROOT))
    from tests import pg

    if "ALFRED_TEST_POSTGRES" in os.environ:
        yield
        return
    server = pg.join(uuid.uuid4().hex)
    os.environ["ALFRED_TEST_POSTGRES"] = server.url
    try:
        yield
    finally:
        server.close()


def judge(mutants: Sequence[Mutant]) -> int:
    """0 when the tests pass as the code is and every mutant dies."""
    tests = sorted({mutant.test for mutant in mutants})
    print(f"{len(tests)} tests on the code as it is ...", flush=True)
    code, output = run_tests(tests, None, "-n", str(PARALLEL))
    if code:
        print(output)
        print("The tests must pass on the code as it is before a mutant can say anything.")
        return 1
    with ThreadPoolExecutor(PARALLEL) as pool:
        bad = 0
        for mutant, problem in zip(mutants, pool.map(outlives, mutants), strict=True):
            bad += problem is not None
            said = "killed" if problem is None else f"SURVIVED: {problem}"
            print(f"{said:8}  {mutant.name}  ({mutant.file}, {mutant.test})", flush=True)
    print(f"{len(mutants) - bad} of {len(mutants)} mutants killed.")
    return 1 if bad else 0


def outlives(mutant: Mutant) -> str | None:
    """None when the mutant dies, else what happened instead."""
    try:
        code, output = run_tests([mutant.test], mutant)
    except ValueError as problem:
        return f"cannot be made: {problem}"
    except subprocess.TimeoutExpired:
        return f"its test does not end within {SECONDS} s"
    last = output.rstrip().splitlines()[-1]
    if code == 0 and "passed" not in last:
        return f"its test says nothing here: {last}"
    if code == 0:
        return "its test passes without the guard"
    if code != 1 or not re.search(r"^\d+ failed", last):
        return f"its test breaks instead of failing:\n{output[-3000:]}"
    return None


def run_tests(tests: Sequence[str], mutant: Mutant | None, *options: str) -> tuple[int, str]:
    """pytest's exit code and output, with alfred taken from a copy of src, changed by the mutant."""
    with tempfile.TemporaryDirectory(prefix="alfred-mutant-") as folder:
        tree = Path(folder)
        shutil.copytree(
            ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
        if mutant:
            mutant.apply(tree)
        environment = os.environ | {
            "PYTHONPATH": str(tree / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ALFRED_TEST_SOURCE": str(tree / "src"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / "hypothesis"),
            "PYTEST_DEBUG_TEMPROOT": folder,  # others would clean up what this one is still writing
        }
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-rN", "--tb=short", "-x"),
                *("-p", "no:randomly", "-p", "no:cacheprovider", *options, *tests),
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS if mutant else None,
            check=False,
        )
        return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
