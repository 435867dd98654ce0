"""Git repositories for tests: each is a copy of one that git made once, and is what git would have made there.

`git init`, `git add` and `git commit` are a process each, and a test of what is done to a repository is not about them.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def one_commit(at: Path) -> Path:
    """In this folder a repository: on `main`, with the commit `first` by Pat, which has `a.txt` with `one`."""
    return shutil.copytree(_one_commit(), at, dirs_exist_ok=True)


def bare(at: Path) -> Path:
    """A repository without a work tree and without commits, whose branch will be `main`."""
    return shutil.copytree(_bare(), at)


@functools.cache
def _one_commit() -> Path:
    made = _made()
    (made / "a.txt").write_text("one\n")
    _git(made, "add", "a.txt")
    _git(made, "commit", "-q", "-m", "first")
    return made


@functools.cache
def _bare() -> Path:
    return _made("--bare")


def _made(*options: str) -> Path:
    folder = Path(tempfile.mkdtemp(dir=os.environ["ALFRED_TEST_SCRATCH"]))
    _git(folder, "init", "-q", "-b", "main", *options)
    for sample in folder.rglob("*.sample"):  # fourteen hooks that are off
        sample.unlink()
    return folder


def _git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=Pat", "-c", "user.email=pat@example.org")
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)
