"""What alfred remembers or derives about a repository is what git itself says of it, wherever that is written down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.engines import git, git_config
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
        own, shared = git.folders(here)
        assert own.samefile(_said(at, "rev-parse", "--absolute-git-dir")[0])
        assert shared.samefile(at / _said(at, "rev-parse", "--git-common-dir")[0])


@pytest.mark.parametrize("laid", [_alone, _included, _of_the_work_tree, _of_another_work_tree])
def test_what_is_written_into_the_config_while_git_starts_runs_nothing(
    tmp_path: Path, laid: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = repositories.one_commit(tmp_path / "repository")
    at = laid(repository)
    here = git.find(at, upward=False)
    (at / ".gitattributes").write_text("* filter=late\n")
    os.utime(at / "a.txt", (1, 1))  # so that git has to look at what is in it
    trace = tmp_path / "trace"
    real = git.process.run

    def start(argv: list[str], **more: Any) -> Any:
        if "status" in argv:
            for name in ("config", "config.worktree", "more"):
                with (repository / ".git" / name).open("a") as file:
                    file.write(f'[filter "late"]\n\tclean = touch {trace}; cat\n')
        return real(argv, **more)

    monkeypatch.setattr(git.process, "run", start)
    for _ in range(2):  # the second one sees it, and switches it off
        assert git.run(here, "status", "--porcelain").text == "?? .gitattributes\n"
    assert not trace.exists()


def test_what_is_sent_goes_where_it_is_said_to_whatever_the_repository_says(tmp_path: Path) -> None:
    at = repositories.one_commit(tmp_path / "repository")
    here = git.find(at, upward=False)
    elsewhere = tmp_path / "elsewhere"
    _said(at, "init", "-q", "--bare", str(elsewhere))
    for folder in ("remotes", "branches"):
        (at / ".git" / folder).mkdir(exist_ok=True)
    (at / ".git" / "remotes" / "somewhere:a").write_text(f"URL: {elsewhere}\n")
    (at / ".git" / "branches" / "somewhere:b").write_text(f"{elsewhere}\n")
    _set(at, "remote.somewhere:c.url", str(elsewhere))
    _set(at, f"url.{elsewhere}.insteadOf", "somewhere:d")
    ssh = {"GIT_SSH_COMMAND": "false"}
    for name in "abcd":
        sent = ("push", f"somewhere:{name}", "HEAD:refs/heads/main")
        assert git.run(here, *sent, network=True, env=ssh, ok=(0, 128)).code == 128
    assert _said(elsewhere, "for-each-ref") == []


def test_settings_that_are_written_out_are_read_as_they_were() -> None:
    values = ("x", " a b ", "#;", '"', "\\", "\n", "\t", "", "\r", "caf\udce9", "\\n", None)
    names = ("core.k", "a.B c.k", 'a.we"ird\\.k', "a.b=c.k", "a.caf\udce9.k", "a.t]b.k")
    settings = tuple((name, value) for name in names for value in values)
    assert git_config._set_in(git_config.alone(settings)) == settings


def test_a_branch_that_is_deleted_takes_what_is_configured_of_it_along(tmp_path: Path) -> None:
    at = repositories.one_commit(tmp_path / "repository")
    here = git.find(at, upward=False)
    before = git.config_names(here)
    _said(at, "branch", "gone")
    _set(at, "branch.gone.remote", "origin")
    git.run(here, "branch", "-D", "gone")
    git.forget_branch(here, "gone")
    assert git.config_names(here) == before
    with pytest.raises(errors.CallFailed, match=f"checked out at '{at}/.git'"):
        git.run(here, "branch", "-D", "main")


def test_a_setting_that_is_made_later_is_seen_by_the_next_command(tmp_path: Path) -> None:
    at = repositories.one_commit(tmp_path / "repository")
    here = git.find(at, upward=False)
    before = git.config_names(here)
    _set(at, "filter.evil.clean", "x")
    assert git.config_names(here) == [*before, "filter.evil.clean"]
    _set(at, "--unset", "filter.evil.clean")
    assert git.config_names(here) == before
