"""Committing changes of the workspace's repository.

A commit is made from the content itself (a tree written from an index of our own, then the branch moved from
the commit that it was on), so that what a person approved is what is committed, and nothing that the repository
configured takes part.
"""

from __future__ import annotations

import os
from typing import Any

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import git, refs
from alfred.integrations import judged, marks, places, repository
from alfred.trust import beneath
from alfred.trust.redact import redact, redact_data

TRAILER = "Alfred-Call"
"""The line of a commit's message that tells which call made it."""

NAMED = 50
"""Files that a card names."""

LOOKED_BACK = 200
"""Commits among which the one of a call is looked for."""

_UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    held = repository.snapshot(ctx, args["paths"]).files  # what cannot be told is high
    return places.risk(ctx, *held)


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    made = repository.snapshot(ctx, args["paths"])
    return {"parent": made.parent, "tree": made.tree}


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    made = repository.snapshot(ctx, args["paths"], shown=True)
    many = len(made.files)
    head = f"commit {many} file{'s' * (many != 1)} on {refs.head(repository.of(ctx)) or 'a detached HEAD'}"
    # before the diff, of which a card may show head and tail only
    names = [f"  {beneath.display_name(path)}" for path in made.files[:NAMED]]
    left = [f"  … and {many - NAMED} more"] if many > NAMED else []
    said = args["message"].strip()
    return redact("\n".join([head, *names, *left, "", said, "", made.diff]))


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
            return Happened(_answer(here, sha))
    return NotHappened()


@action(
    "git.commit",
    integration="git",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_committed,
    preview=_preview,
    redact=redact_data,
    classify=_risk,
    target=_target,
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
    git_dir, _ = git.folders(here)
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
        marks.committed(ctx, [here.top / path for path in made.files])
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
    return _answer(here, sha)


def _refuse_more_risk(ctx: ActionContext, made: repository.Snapshot) -> None:
    """A call before this one may have put something into the commit that nobody was asked about."""
    judged_as = judged.risk(ctx)
    if judged_as is not None and places.risk(ctx, *made.files) > judged_as:
        delicate = next(path for path in made.files if places.delicate(ctx, path))
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


def _answer(here: git.Repository, sha: str) -> dict[str, Any]:
    done = git.run(
        here,
        *("show", "--no-patch", "--no-show-signature", "--format=tformat:%s"),
        *("--end-of-options", sha),
    )
    return {"sha": sha, "branch": refs.head(here), "subject": redact(done.text.strip())[:500]}
