"""Pushing a branch to a remote that is configured, and to nothing else.

The address is taken from the repository's config, judged, shown and then given to git as it is: what else
the repository says about remotes (rewritten addresses, helpers, proxies, programs of the other side) is
refused or overruled. What is pushed is the commit that the branch pointed to, by its hash.

A remote that is a folder of this machine runs its own hooks as any remote does, with the rights of this
user: that is why one inside the workspace is refused.
"""

from __future__ import annotations

import fnmatch
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import git, refs
from alfred.integrations import judged, repository, web
from alfred.trust import urls
from alfred.trust.redact import redact

PROTECTED = ("main", "master", "trunk", "release*", "releases/*", "production", "stable")
"""Branches whose push is high, besides the remote's default one."""

TIMEOUT_S = 300
_LOOK_S = 30  # for asking a remote what it has

_HARMLESS_HTTP = ("http.postbuffer", "http.version", "http.lowspeedlimit", "http.lowspeedtime")
_NEVER_SENT = re.compile(
    "could not read username|could not read password|authentication failed|permission denied"
    "|could not resolve|connection refused|host key verification failed|not found"
    "|does not appear to be a git repository|transport '.*' not allowed|src refspec|dubious"
    "|returned error: 40[134]",
    re.IGNORECASE,
)
"""What git says when it ended before it sent anything."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A configured remote whose address may be used."""

    name: str
    url: str
    """As git gets it."""
    path: Path | None
    """The folder, of one on this machine."""

    @property
    def shown(self) -> str:
        """The address without a password."""
        return re.sub(r"//[^/@]*@", "//", self.url)


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    here = repository.of(ctx)
    branch = args["branch"]
    if args["force"] or any(fnmatch.fnmatchcase(branch.lower(), one) for one in PROTECTED):
        return Risk.HIGH
    default = _default(here, configured(here, args["remote"]))
    return Risk.HIGH if default in (None, branch) else Risk.MEDIUM


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    here = repository.of(ctx)
    to = configured(here, args["remote"])
    return {
        "url": to.url,
        "sha": _local(here, args["branch"]),
        "known": _known(here, to, args["branch"]),
    }


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    here = repository.of(ctx)
    to = configured(here, args["remote"])
    sha, known = _local(here, args["branch"]), _known(here, to, args["branch"])
    verb = "FORCE-push" if args["force"] else "push"
    lines = [
        f"{verb} the branch {args['branch']} to {to.name}",
        f"address: {to.shown}",
        f"commit: {sha}",
        f"last known there: {known or 'nothing'}",
    ]
    if _default(here, to) is None:
        lines.append(
            "the default branch of this remote is not known here "
            f"(`git remote set-head {to.name} --auto`), so this counts as high"
        )
    if sha:
        span = [sha, "--not", known] if known else [sha]
        news = git.run(
            here, "log", "--max-count=30", "--format=%h %s", "--no-show-signature", *span
        )
        lines += ["", news.text.strip()]
        if known and args["force"]:
            lost = git.run(
                here,
                "log",
                "--max-count=30",
                "--format=%h %s",
                "--no-show-signature",
                known,
                "--not",
                sha,
            )
            lines += ["", "overwritten there:", lost.text.strip() or "nothing"]
    return redact("\n".join(lines))


def _pushed(*, key: str, ctx: ActionContext, remote: str, branch: str, force: bool) -> Probe:
    here = repository.of(ctx)
    before = judged.target(ctx)
    ours = {_local(here, branch)}
    if isinstance(before, dict):
        ours.add(before.get("sha"))
    to = configured(here, remote)
    there = _there(here, to, branch)
    if there is not None and there in ours:
        return Happened(_answer(to, branch, there))
    if there is None:
        return NotHappened()
    return NotHappened() if isinstance(before, dict) and there == before.get("known") else Unknown()


@action(
    "git.push",
    integration="git",
    risk=Risk.MEDIUM,
    effect=Effect.CHECKABLE,
    check=_pushed,
    preview=_preview,
    classify=_risk,
    target=_target,
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
    to = configured(here, remote)
    sha = _local(here, branch)
    if sha is None:
        raise errors.CallFailed(f"There is no branch {branch!r}.", next="`git.status` shows it.")
    _refuse_private(ctx, to)
    forced: list[str] = []
    if force:
        known = _known(here, to, branch)
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
        _failed(here, to, branch, sha, done)
    tracked = f"+refs/heads/*:refs/remotes/{to.name}/*"
    if git.config_values(here, f"remote.{to.name}.fetch") == [tracked]:
        git.run(here, "update-ref", f"refs/remotes/{to.name}/{branch}", sha)
    return _answer(to, branch, sha)


def _failed(here: git.Repository, to: Remote, branch: str, sha: str, done: git.Output) -> None:
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
    if _NEVER_SENT.search(done.err):
        raise errors.CallFailed(f"Nothing was pushed to {to.name}: {said}")
    try:
        there = _there(here, to, branch)
    except errors.CallFailed:
        raise errors.OutcomeUnknown(f"The push to {to.name} broke off: {said}") from None
    if there != sha:
        raise errors.CallFailed(f"Nothing was pushed to {to.name}: {said}")


# ---- remotes


def configured(here: git.Repository, name: str) -> Remote:
    """The configured remote of this name, when its address and nothing but it says where a push goes.

    Raises:
        CallFailed: there is none of this name, or it cannot be used; the message says why.
    """
    names = git.config_names(here)
    known = sorted(
        {n[7:].rpartition(".")[0] for n in names if n.startswith("remote.") and n.endswith("url")}
    )
    if name not in known:
        raise errors.CallFailed(
            f"There is no remote {name!r}.", next=f"There are: {', '.join(known) or 'none'}."
        )
    given = git.config_values(here, f"remote.{name}.pushurl")
    given = given or git.config_values(here, f"remote.{name}.url")
    if len(given) != 1:
        raise errors.CallFailed(f"The remote {name!r} has {len(given)} addresses to push to.")
    _refuse_detours(name, given[0], names)
    return _judged(here, name, given[0])


def _refuse_detours(name: str, url: str, names: list[str]) -> None:
    """Refuses what would lead a push elsewhere than to the address, or through something on the way."""
    for one in names:
        section, _, rest = one.partition(".")
        middle, _, last = rest.rpartition(".")
        detour = (
            (section == "url" and last in ("insteadof", "pushinsteadof"))
            or (section == "http" and one not in _HARMLESS_HTTP)
            or (section == "remote" and middle == name and last in ("vcs", "proxy"))
            or (section == "remote" and middle == url)
        )
        if detour:
            raise errors.CallFailed(
                f"The repository's own config sets {one!r}, which could lead a push elsewhere.",
                next="Remove it there; your global config is not concerned.",
            )


def _judged(here: git.Repository, name: str, url: str) -> Remote:
    bad = next((c for c in url if ord(c) < 33 or ord(c) == 127), None)
    if not url or url.startswith("-") or bad is not None:
        raise _refused(name, "it is empty, or has spaces or control characters")
    if re.match(r"[A-Za-z0-9+.-]*::", url):
        raise _refused(name, "it names a helper program")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if scheme:
        kind = scheme[1].lower()
        if kind not in git.TRANSPORTS:
            raise _refused(name, f"{kind!r} is not one of {', '.join(git.TRANSPORTS)}")
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise _refused(name, "it is malformed") from None
        if kind != "file":
            if not host or host.startswith("-") or (parts.username or "").startswith("-"):
                raise _refused(name, "its host or user is none")
            return Remote(name, url, None)
        if host not in ("", "localhost"):
            raise _refused(name, "it names a folder of another machine")
        return _folder(here, name, urllib.parse.unquote(parts.path))
    if re.match(r"[^/]*:", url):
        user, _, host = url.partition(":")[0].rpartition("@")
        if not host or host.startswith("-") or user.startswith("-"):
            raise _refused(name, "its host or user is none")
        return Remote(name, url, None)
    return _folder(here, name, url)


def _refuse_private(ctx: ActionContext, to: Remote) -> None:
    """The rules of the web hold for https remotes too. git looks the name up again by itself."""
    if not to.url.lower().startswith("https:"):
        return
    hosts, ports = web.opened(ctx)
    verdict = urls.check_url(to.shown, allow_private=hosts, ports=ports)
    if not verdict.allowed:
        raise _refused(to.name, verdict.reason)


def _folder(here: git.Repository, name: str, path: str) -> Remote:
    real = Path(os.path.realpath(here.top / path))
    if real == here.top or real.is_relative_to(here.top):
        raise _refused(name, "it lies in the workspace, whose files could be run as its hooks")
    return Remote(name, str(real), real)


def _refused(name: str, why: str) -> errors.CallFailed:
    return errors.CallFailed(f"The address of the remote {name!r} is refused: {why}.")


def _default(here: git.Repository, to: Remote) -> str | None:
    """The remote's default branch as far as it is known here; a remote on this machine is asked."""
    if to.path is not None:
        found = re.match(r"ref: refs/heads/(\S+)\tHEAD", _listed(here, to, "--symref", "HEAD"))
        return found[1] if found else ""
    local = git.run(
        here, "symbolic-ref", "--quiet", f"refs/remotes/{to.name}/HEAD", ok=(0, 1)
    ).text.strip()
    return local.removeprefix(f"refs/remotes/{to.name}/") or None


def _there(here: git.Repository, to: Remote, branch: str) -> str | None:
    """The commit that the remote's branch is at, None when it has none."""
    said = _listed(here, to, f"refs/heads/{branch}")
    return next(
        (
            line.split("\t")[0]
            for line in said.splitlines()
            if line.endswith(f"\trefs/heads/{branch}")
        ),
        None,
    )


def _listed(here: git.Repository, to: Remote, *args: str) -> str:
    options = [arg for arg in args if arg.startswith("--")]
    patterns = [arg for arg in args if not arg.startswith("--")]
    done = git.run(
        here,
        *("ls-remote", "--upload-pack=git-upload-pack", *options, to.url, *patterns),
        network=True,
        timeout=_LOOK_S,
    )
    return done.text


def _known(here: git.Repository, to: Remote, branch: str) -> str | None:
    """The commit that the remote's branch was last seen at; a remote on this machine is asked."""
    if to.path is not None:
        return _there(here, to, branch)
    return refs.sha(here, f"refs/remotes/{to.name}/{branch}")


def _local(here: git.Repository, branch: str) -> str | None:
    """The commit of our own branch."""
    return refs.sha(here, f"refs/heads/{refs.branch_name(here, branch)}")


def _answer(to: Remote, branch: str, sha: str) -> dict[str, Any]:
    return {"remote": to.name, "branch": branch, "sha": sha, "address": to.shown}
