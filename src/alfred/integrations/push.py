"""Pushing a branch to a remote that is configured (`remotes`), and to nothing else.

What is pushed is the commit that the branch pointed to, by its hash, to the address that was shown.

A remote that is a folder of this machine runs its own hooks as any remote does, with the rights of this
user: that is why one inside the workspace is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from alfred import errors
from alfred.actions import (
    Destination,
    Effect,
    Happened,
    NotHappened,
    Risk,
    Unknown,
    action,
    gitline,
)
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import git, git_start, refs
from alfred.integrations import added, judged, remotes, repository
from alfred.trust.redact import redact

COMMITS = 30
"""Commits that a card names, of each kind."""

TIMEOUT_S = 300

_NEVER_SENT = re.compile(
    "could not read username|could not read password|authentication failed|permission denied"
    "|could not resolve|connection refused|host key verification failed|not found"
    "|does not appear to be a git repository|transport '.*' not allowed|src refspec|dubious"
    "|returned error: 40[134]",
    re.IGNORECASE,
)
"""What git says when it ended before it sent anything, and nobody can be asked either."""


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    here = repository.of(ctx)
    branch = args["branch"]
    if args["force"] or gitline.PROTECTED.fullmatch(branch):
        return Risk.HIGH
    default = remotes.default(ctx, here, remotes.configured(ctx, here, args["remote"]))
    return Risk.HIGH if default in (None, branch) else Risk.MEDIUM


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    here = repository.of(ctx)
    to = remotes.configured(ctx, here, args["remote"])
    return to.bound | {
        "sha": _local(here, args["branch"]),
        "known": remotes.known(ctx, here, to, args["branch"]),
    }


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    here = repository.of(ctx)
    to = remotes.configured(ctx, here, args["remote"])
    sha, known = _local(here, args["branch"]), remotes.known(ctx, here, to, args["branch"])
    verb = "FORCE-push" if args["force"] else "push"
    lines = [
        f"{verb} the branch {args['branch']} to {to.name}",
        f"address: {to.shown}",
        f"commit: {sha}",
        f"last known there: {known or 'nothing'}",
    ]
    if remotes.default(ctx, here, to) is None:
        lines.append(
            "the default branch of this remote is not known here "
            f"(`git remote set-head {to.name} --auto`), so this counts as high"
        )
    if sha:
        lines += ["", _commits(here, sha, "--not", *_there(here, to, known)) or "no new commit"]
        if known and args["force"]:
            lost = _commits(here, known, "--not", sha)
            lines += ["", "overwritten there:", lost or "nothing"]
    return redact("\n".join(lines))


def _commits(here: git.Repository, *span: str) -> str:
    """The newest commits of a span, a line each, and how many there are besides."""
    told = git.run(
        here, "log", f"--max-count={COMMITS}", "--format=%h %s", "--no-show-signature", *span
    ).text.strip()
    more = int(git.run(here, "rev-list", "--count", *span).text) - COMMITS
    return f"{told}\n… and {more} older ones" if more > 0 else told


def _there(here: git.Repository, to: remotes.Remote, known: str | None) -> list[str]:
    """What the remote is known to have: the branch as it was last seen there, else every branch of it."""
    seen = known is not None and refs.sha(here, f"{known}^{{commit}}")
    return [known] if known and seen else [f"--remotes={to.name}"]


def _pushed(*, key: str, ctx: ActionContext, remote: str, branch: str, force: bool) -> Probe:
    here = repository.of(ctx)
    before = judged.target(ctx)
    ours = {_local(here, branch)}
    if isinstance(before, dict):
        ours.add(before.get("sha"))
    to = remotes.configured(ctx, here, remote)
    there = remotes.tip(ctx, here, to, branch)
    if there is not None and there in ours:
        return Happened(_answer(to, branch, there))
    if there is None:
        return NotHappened()
    return NotHappened() if isinstance(before, dict) and there == before.get("known") else Unknown()


def _destinations(args: dict[str, Any], ctx: ActionContext) -> list[Destination]:
    """The remote. In a folder that alfred made, whatever ran there may have written its address."""
    to = remotes.configured(ctx, repository.of(ctx), args["remote"])
    return [Destination(to.shown, owners=not ctx.workspace.made)]


def _sends(args: dict[str, Any], ctx: ActionContext) -> Iterator[tuple[str, str]]:
    """The commits that the remote is not known to have, messages and added lines."""
    here = repository.of(ctx)
    to = remotes.configured(ctx, here, args["remote"])
    sha = _local(here, args["branch"])
    if sha is None:
        return
    known = remotes.known(ctx, here, to, args["branch"])
    yield from added.texts(here, sha, "--not", *_there(here, to, known))


@action(
    "git.push",
    integration="git",
    risk=Risk.MEDIUM,
    effect=Effect.CHECKABLE,
    check=_pushed,
    preview=_preview,
    classify=_risk,
    target=_target,
    destinations=_destinations,
    sends=_sends,
    timeout=TIMEOUT_S + 60,
)
def push(remote: str, branch: str, force: bool = False, *, ctx: ActionContext) -> dict[str, Any]:
    """Push a branch to the branch of the same name of a configured remote.

    Args:
        remote: The name of the remote, such as `origin`; an address is refused.
        branch: The branch.
        force: Overwrite what is there, if it is still what was known when this was proposed.
    """
    here = repository.to_change(ctx)
    to = remotes.configured(ctx, here, remote)
    sha = _local(here, branch)
    if sha is None:
        raise errors.CallFailed(f"There is no branch {branch!r}.", next="`git.status` shows it.")
    remotes.refuse_private(ctx, to)
    forced: list[str] = []
    if force:
        known = remotes.known(ctx, here, to, branch)
        forced = [f"--force-with-lease=refs/heads/{branch}:{known}"] if known else ["--force"]
    try:
        done = git.run(
            here,
            *("push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags"),
            *("--recurse-submodules=no", "--receive-pack=git-receive-pack"),
            *forced,
            *(to.url, f"{sha}:refs/heads/{branch}"),
            network=True,
            ok=range(256),
            timeout=TIMEOUT_S,
            on_cancel=ctx.on_cancel,
        )
    except errors.CallFailed as why:
        if why.extra.get("ended"):
            raise errors.OutcomeUnknown(f"The push to {to.name} was cut off: {why.detail}") from why
        raise
    if done.code != 0:
        _failed(ctx, here, to, branch, sha, done)
    tracked = f"+refs/heads/*:refs/remotes/{to.name}/*"
    if git.config_values(here, f"remote.{to.name}.fetch") == [tracked]:
        git.run(here, "update-ref", f"refs/remotes/{to.name}/{branch}", sha)
    return _answer(to, branch, sha)


def _failed(
    ctx: ActionContext,
    here: git.Repository,
    to: remotes.Remote,
    branch: str,
    sha: str,
    done: git_start.Output,
) -> None:
    """Says what a push that failed has come to; returns when it did arrive after all."""
    refused = re.search(r"^!\t[^\t]*\t(.*)$", done.text, re.MULTILINE)
    said = redact(done.err.strip())[-800:]
    if refused:
        more = "\n".join(line for line in said.splitlines() if line.startswith("remote:"))
        raise errors.CallFailed(
            f"{to.name} did not take {branch}: {refused[1]}. {more}".strip(),
            next="The remote has commits that are not here."
            if "fetch first" in refused[1] or "non-fast-forward" in refused[1]
            else None,
        )
    try:
        # asked first: what git prints holds the words of the other side's hooks as well
        there = remotes.tip(ctx, here, to, branch)
    except errors.CallFailed:
        if not _NEVER_SENT.search(done.err):
            raise errors.OutcomeUnknown(f"The push to {to.name} broke off: {said}") from None
        there = None
    if there != sha:
        raise errors.CallFailed(f"Nothing was pushed to {to.name}: {said}")


def _local(here: git.Repository, branch: str) -> str | None:
    """The commit of our own branch."""
    return refs.sha(here, f"refs/heads/{refs.branch_name(here, branch)}")


def _answer(to: remotes.Remote, branch: str, sha: str) -> dict[str, Any]:
    return {"remote": to.name, "branch": branch, "sha": sha, "address": to.shown}
