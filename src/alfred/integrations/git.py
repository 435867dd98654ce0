"""Actions on the git repository of the workspace: looking at it. Changing it is in `commit`, `branch` and `push`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from alfred.actions import Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.engines import git, git_start, refs
from alfred.integrations import excerpt, marks, repository
from alfred.integrations.branch import branch
from alfred.integrations.commit import commit
from alfred.integrations.push import push
from alfred.trust.redact import redact

_FILES = 500  # files that a status tells


@action(
    "git.status", integration="git", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_repository
)
def status(*, ctx: ActionContext) -> dict[str, Any]:
    """Show the branch, how it stands to its upstream, and which files are changed or new.

    A file has `index` and `worktree` with the letters of git (M, A, D, R, ?; `.` for unchanged).
    """
    here = repository.of(ctx)
    done = git.run(
        here,
        *("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all"),
        *("--ignore-submodules=all", "--", "."),
        on_cancel=ctx.on_cancel,
    )
    answer: dict[str, Any] = {
        "branch": None,
        "head": None,
        "upstream": None,
        "ahead": None,
        "behind": None,
    }
    found: list[dict[str, Any]] = []
    entries = iter(done.text.split("\0"))
    for entry in entries:
        if entry.startswith("# "):
            _header(entry, answer)
        elif entry:
            found.append(_changed(entry, entries))
    for file in found:
        for name in ("path", "from"):
            if name in file:  # git tells it from the top of the repository
                file[name] = os.path.relpath(here.top / file[name], here.folder)
    answer["clean"] = not found
    answer["files"] = found[:_FILES]
    answer["left_out"] = len(found) - len(answer["files"])
    if done.cut:
        answer["note"] = "There are more changes than were looked at."
    return answer


@action("git.log", integration="git", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_repository)
def log(
    limit: Annotated[int, Field(ge=1, le=200)] = 20, *, ctx: ActionContext
) -> list[dict[str, Any]]:
    """Show the newest commits of the current branch, newest first.

    Args:
        limit: How many.
    """
    here = repository.of(ctx)
    if refs.sha(here, "HEAD") is None:
        return []
    shown = ("%H", "%an", "%ae", "%aI", "%s")
    done = git.run(
        here,
        *("log", f"--max-count={limit}", "-z", f"--format=tformat:{'%x1f'.join(shown)}"),
        "--no-show-signature",
        *("--end-of-options", "HEAD", "--"),
        on_cancel=ctx.on_cancel,
    )
    commits = []
    for entry in filter(None, done.text.split("\0")):
        sha, author, email, date, subject = entry.split("\x1f", 4)
        commits.append(
            {
                "sha": sha,
                "author": author,
                "email": email,
                "date": date,
                "subject": redact(subject)[:500],
            }
        )
    return commits


@action(
    "git.diff", integration="git", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_repository
)
def diff(ref: str | None = None, *, ctx: ActionContext) -> dict[str, Any]:
    """Show how the files differ from the last commit, or from another one.

    Args:
        ref: A commit, branch or tag; `a..b` compares two of them.
    """
    here = repository.of(ctx)
    if ref is None:
        against = [refs.sha(here, "HEAD") or refs.empty_tree(here)]
    else:
        against = [(refs.revision if ".." in ref else refs.commit)(here, ref)]
    done = git.run(
        here,
        *("diff", *refs.NO_PROGRAMS, "--end-of-options", *against, "--", "."),
        on_cancel=ctx.on_cancel,
    )
    return {"ref": ref} | _told("diff", done)


@action(
    "git.show", integration="git", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_repository
)
def show(ref: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Show a commit with its changes, or with `commit:path` a file as it was.

    Args:
        ref: A commit, branch or tag, or `commit:path`.
    """
    here = repository.of(ctx)
    done = git.run(
        here,
        *("show", *refs.NO_PROGRAMS, "--no-show-signature", "--format=fuller"),
        *("--end-of-options", refs.revision(here, ref)),
        on_cancel=ctx.on_cancel,
    )
    if b"\0" in done.out[:8192]:
        return {"ref": ref, "type": "binary", "size": len(done.out), "text": None}
    return {"ref": ref} | _told("text", done)


ACTIONS = (status, log, diff, show, commit, branch, push)


def _told(name: str, done: git_start.Output) -> dict[str, Any]:
    made = excerpt.Excerpt.of(done.text)
    answer: dict[str, Any] = {name: made.shown(), "length": made.length}
    if done.cut:
        answer["note"] = f"Only the first {git_start.OUTPUT} bytes were read."
    return answer


def _header(entry: str, answer: dict[str, Any]) -> None:
    _, name, value = entry.split(" ", 2)
    if name == "branch.oid":
        answer["head"] = None if value == "(initial)" else value
    elif name == "branch.head":
        answer["branch"] = None if value == "(detached)" else value
    elif name == "branch.upstream":
        answer["upstream"] = value
    elif name == "branch.ab":
        ahead, behind = value.split()
        answer |= {"ahead": int(ahead), "behind": -int(behind)}


def _changed(entry: str, entries: Iterator[str]) -> dict[str, Any]:
    """One file of `--porcelain=v2 -z`."""
    kind = entry[0]
    if kind in "?!":
        return {"path": entry[2:], "index": kind, "worktree": kind}
    fields = entry.split(" ", {"1": 8, "2": 9, "u": 10}[kind])
    shown: dict[str, Any] = {"path": fields[-1], "index": fields[1][0], "worktree": fields[1][1]}
    if kind == "2":
        shown["from"] = next(entries)
    return shown
