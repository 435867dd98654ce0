"""What alfred remembers or derives about a repository is what git itself says of it, wherever that is written down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred.engines import git, refs
from tests import repositories


def _said(at: Path, *args: str) -> list[str]:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *args], cwd=at, env=env, check=True, capture_output=True)
    return done.stdout.decode().split("\0" if "-z" in args else "\n")[:-1]


def _alone(at: Path) -> Path:
    return at


def _included(at: Path) -> Path:
    (at / ".git" / "more").write_text('[filter "evil"]\n\tclean = x\n')
    _set(at, "include.path", "more")
    return at


def _of_the_work_tree(at: Path) -> Path:
    _set(at, "extensions.worktreeConfig", "true")
    _set(at, "--worktree", "filter.evil.clean", "x")
    return at


def _of_another_work_tree(at: Path) -> Path:
    other = at.with_name("other")
    _set(at, "filter.evil.clean", "x")
    _said(at, "worktree", "add", "-q", str(other))
    return other


def _shared(at: Path) -> Path:
    main = at.with_name("main")
    repositories.one_commit(main)
    _set(main, "filter.evil.clean", "x")
    (at / ".git" / "commondir").write_text(f"{main}/.git\n")
    return at


def _linked(at: Path) -> Path:
    _set(at, "filter.evil.clean", "x")
    (at / ".git").rename(at.with_name("kept"))
    (at / ".git").symlink_to(at.with_name("kept"))
    return at


def _set(at: Path, *args: str) -> None:
    _said(at, "config", *args)


@pytest.mark.parametrize(
    "laid", [_alone, _included, _of_the_work_tree, _of_another_work_tree, _shared, _linked]
)
def test_settings_and_folders_are_those_that_git_finds(
    tmp_path: Path, laid: Callable[[Path], Path]
) -> None:
    at = laid(repositories.one_commit(tmp_path / "repository"))
    here = git.find(at, upward=False)
    for _ in range(2):
        names = git.config_names(here)
        assert names == _said(at, "config", "--list", "--name-only", "-z")
        assert ("filter.evil.clean" in names) == (laid is not _alone)
        assert refs.git_dir(here).samefile(_said(at, "rev-parse", "--absolute-git-dir")[0])
        assert refs.common_dir(here).samefile(at / _said(at, "rev-parse", "--git-common-dir")[0])


def test_a_setting_that_is_made_later_is_seen_by_the_next_command(tmp_path: Path) -> None:
    at = repositories.one_commit(tmp_path / "repository")
    here = git.find(at, upward=False)
    before = git.config_names(here)
    _set(at, "filter.evil.clean", "x")
    assert git.config_names(here) == [*before, "filter.evil.clean"]
    _set(at, "--unset", "filter.evil.clean")
    assert git.config_names(here) == before
