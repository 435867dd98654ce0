"""Actions on the git repository of the workspace: look, commit, make and delete branches; pushing is in `push`.

Commits are made from the content itself (a tree written from an index of our own, then the branch moved
from the commit that it was on), so that what a person approved is what is committed, and nothing that the
repository configured takes part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import git, refs
from alfred.integrations import excerpt, judged, places, repository
from alfred.integrations.push import push
from alfred.trust import names
from alfred.trust.redact import redact, redact_data

TRAILER = "Alfred-Call"
"""The line of a commit's message that tells which call made it."""

LOOKED_BACK = 200
"""Commits among which the one of a call is looked for."""

_FILES = 500  # files that a status tells
_UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


# ---- looking


@action("git.status", integration="git", risk=Risk.NONE, effect=Effect.PURE)
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


@action("git.log", integration="git", risk=Risk.NONE, effect=Effect.PURE)
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
            {"sha": sha, "author": author, "email": email, "date": date, "subject": subject[:500]}
        )
    return commits


@action("git.diff", integration="git", risk=Risk.NONE, effect=Effect.PURE)
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


@action("git.show", integration="git", risk=Risk.NONE, effect=Effect.PURE)
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


# ---- committing


def _commit_risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    held = repository.snapshot(ctx, args["paths"]).files  # what cannot be told is high
    return places.risk(ctx, *held)


def _commit_target(args: dict[str, Any], ctx: ActionContext) -> Any:
    made = repository.snapshot(ctx, args["paths"])
    return {"parent": made.parent, "tree": made.tree}


def _commit_preview(args: dict[str, Any], ctx: ActionContext) -> str:
    made = repository.snapshot(ctx, args["paths"], shown=True)
    head = f"commit {len(made.files)} files on {refs.head(repository.of(ctx)) or 'a detached HEAD'}"
    return redact(f"{head}\n\n{args['message'].strip()}\n\n{made.diff}")


def _committed(*, key: str, ctx: ActionContext, message: str, paths: list[str] | None) -> Probe:
    here = repository.of(ctx)
    if refs.sha(here, "HEAD") is None:
        return NotHappened()
    done = git.run(
        here,
        *("log", f"--max-count={LOOKED_BACK}", "-z", "--format=tformat:%H%x1f%B"),
        *("--no-show-signature", "--end-of-options", "HEAD", "--"),
    )
    line = f"{TRAILER}: {key[:16]}"
    for entry in filter(None, done.text.split("\0")):
        sha, _, body = entry.partition("\x1f")
        if line in body.splitlines():
            return Happened(_commit_answer(here, sha))
    return NotHappened()


@action(
    "git.commit",
    integration="git",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_committed,
    preview=_commit_preview,
    redact=redact_data,
    classify=_commit_risk,
    target=_commit_target,
)
def commit(
    message: str, paths: list[str] | None = None, *, key: str, ctx: ActionContext
) -> dict[str, Any]:
    """Commit changes of files to the current branch: all of them (new files too), or those of `paths`.

    No hook runs. What `.gitignore` names stays out.

    Args:
        message: The message: a short first line, then an empty one, then the why.
        paths: Files and folders, from the workspace.
    """
    said = message.strip()
    if not said or "\0" in said:
        raise errors.CallFailed("A commit needs a message.")
    here = repository.to_change(ctx)
    git_dir = refs.git_dir(here)
    for name in _UNFINISHED:
        if os.path.lexists(git_dir / name):
            raise errors.CallFailed(
                f"The repository is in the middle of something ({name}).", next="Finish it first."
            )
    with repository.index(ctx, here, paths, keep=True) as made:
        if not made.files:
            raise errors.CallFailed("There is nothing to commit.")
        _refuse_filters(here, made)
        _refuse_more_risk(ctx, made)
        body = f"{said}\n\n{TRAILER}: {key[:16]}\n".encode()
        parents = ["-p", made.parent] if made.parent else []
        sha = git.run(
            here, "commit-tree", made.tree, *parents, "-F", "-", stdin=body, operator=True
        ).text.strip()
        subject = said.splitlines()[0][:60]
        # moves only from the commit that this one was made on
        git.run(
            here,
            *("update-ref", "-m", f"commit: {subject}", "HEAD", sha, made.parent or "0" * len(sha)),
            operator=True,
        )
    # the person's own index follows for what was committed; other things staged in it stay staged
    git.run(
        here,
        *("reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"),
        stdin=b"".join(repository.from_folder(here, path) + b"\0" for path in made.files),
        env={"GIT_OPTIONAL_LOCKS": "1"},
    )
    return _commit_answer(here, sha)


# ---- branches


def _branch_risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    return Risk.MEDIUM if args["delete"] else places.risk(ctx)


def _branch_target(args: dict[str, Any], ctx: ActionContext) -> Any:
    here = repository.of(ctx)
    name = refs.branch_name(here, args["name"])
    return {"head": refs.sha(here, "HEAD"), "branch": refs.sha(here, f"refs/heads/{name}")}


def _branch_preview(args: dict[str, Any], ctx: ActionContext) -> str:
    here, name = repository.of(ctx), args["name"]
    found = _branch_target(args, ctx)
    if not args["delete"]:
        return f"make the branch {name} at {found['head']} and switch to it\nin {here.top}"
    if found["branch"] is None:
        return f"delete the branch {name}\nthere is none"
    only = git.run(
        here,
        *("rev-list", "--count", found["branch"], "--not"),
        *(f"--exclude=refs/heads/{name}", "--all"),
    ).text.strip()
    return (
        f"delete the branch {name}\nin {here.top}\nit is at {found['branch']}\n"
        f"commits that are on no other branch, remote or tag: {only}"
    )


def _branched(*, key: str, ctx: ActionContext, name: str, delete: bool) -> Probe:
    before = judged.target(ctx)
    here = repository.of(ctx)
    now = refs.sha(here, f"refs/heads/{name}")
    if not isinstance(before, dict) or "branch" not in before:
        return Unknown()
    if delete:
        if now is None and before["branch"]:
            return Happened({"branch": name, "deleted": True, "was": before["branch"]})
        return NotHappened() if now == before["branch"] else Unknown()
    if now is None:
        return NotHappened()
    switched = refs.head(here) == name
    if before["branch"] is None and now == before["head"] and switched:
        return Happened({"branch": name, "sha": now})
    return Unknown()


@action(
    "git.branch",
    integration="git",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_branched,
    preview=_branch_preview,
    classify=_branch_risk,
    target=_branch_target,
)
def branch(name: str, delete: bool = False, *, ctx: ActionContext) -> dict[str, Any]:
    """Make a branch at the current commit and switch to it (no file changes by that), or delete one.

    Args:
        name: Such as `fix/login`.
        delete: Delete it instead, merged or not. The current branch is never deleted.
    """
    here = repository.to_change(ctx)
    name = refs.branch_name(here, name)
    there = refs.sha(here, f"refs/heads/{name}")
    if delete:
        if there is None:
            raise errors.CallFailed(f"There is no branch {name!r}.")
        git.run(here, "branch", "-D", "--end-of-options", name)
        return {"branch": name, "deleted": True, "was": there}
    if there is not None:
        raise errors.CallFailed(f"There is a branch {name!r} already.")
    head = refs.sha(here, "HEAD")
    if head is not None:
        # made only if it is not there, whoever else is making it
        git.run(here, "update-ref", f"refs/heads/{name}", head, "0" * len(head))
    git.run(here, "symbolic-ref", "-m", f"alfred: to {name}", "HEAD", f"refs/heads/{name}")
    return {"branch": name, "sha": head}


ACTIONS = (status, log, diff, show, commit, branch, push)


# ---- what a commit must not hold, and what is told of it


def _refuse_more_risk(ctx: ActionContext, made: repository.Snapshot) -> None:
    """A call before this one may have put something into the commit that nobody was asked about."""
    judged_as = judged.risk(ctx)
    if judged_as is not None and places.risk(ctx, *made.files) > judged_as:
        delicate = next(path for path in made.files if names.sensitive(path))
        raise errors.CallFailed(
            f"The commit would now hold {delicate!r} as well, which it did not when it was judged.",
            next="Propose the commit again.",
        )


def _refuse_filters(here: git.Repository, made: repository.Snapshot) -> None:
    filters = git.filtered(here, [repository.from_folder(here, path) for path in made.files])
    if filters:
        path, name = filters[0]
        raise errors.CallFailed(
            f"{path!r} goes through the filter {name!r}, which alfred does not run.",
            next="Commit this file yourself.",
        )


def _commit_answer(here: git.Repository, sha: str) -> dict[str, Any]:
    done = git.run(
        here,
        *("show", "--no-patch", "--no-show-signature", "--format=tformat:%s"),
        *("--end-of-options", sha),
    )
    return {"sha": sha, "branch": refs.head(here), "subject": done.text.strip()[:500]}


# ---- what is told


def _told(name: str, done: git.Output) -> dict[str, Any]:
    made = excerpt.Excerpt.of(done.text)
    answer: dict[str, Any] = {name: made.shown(), "length": made.length}
    if done.cut:
        answer["note"] = f"Only the first {git.OUTPUT} bytes were read."
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
