"""Making a branch at the current commit, and deleting one."""

from __future__ import annotations

from typing import Any

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import git, refs
from alfred.integrations import judged, marks, places, repository


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    return Risk.MEDIUM if args["delete"] else places.risk(ctx)


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    here = repository.of(ctx)
    name = refs.branch_name(here, args["name"])
    return {"head": refs.sha(here, "HEAD"), "branch": refs.sha(here, f"refs/heads/{name}")}


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    here, name = repository.of(ctx), args["name"]
    found = _target(args, ctx)
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
    preview=_preview,
    classify=_risk,
    target=_target,
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
        git.forget_branch(here, name)
        return {"branch": name, "deleted": True, "was": there}
    if there is not None:
        raise errors.CallFailed(f"There is a branch {name!r} already.")
    marks.committed(ctx)  # the name is text of this context
    head = refs.sha(here, "HEAD")
    if head is not None:
        # made only if it is not there, whoever else is making it
        git.run(here, "update-ref", f"refs/heads/{name}", head, "0" * len(head))
    git.run(here, "symbolic-ref", "-m", f"alfred: to {name}", "HEAD", f"refs/heads/{name}")
    return {"branch": name, "sha": head}
