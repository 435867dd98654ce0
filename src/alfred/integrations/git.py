"""Actions on the repository of the workspace: look, commit, branch, push.

Every call goes through `engines.git`, which runs nothing of the repository's. What changes something can be found
out afterwards: a commit carries its call's key as a trailer, a branch and a remote ref can be looked at.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any

from pydantic import Field

from alfred import errors
from alfred.actions import gitline
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Happened, NotHappened, Probe, Risk, Unknown
from alfred.engines import git
from alfred.integrations import excerpt, judged

TRAILER = "Alfred-Call"
"""The trailer by which a commit is found again."""

CHANGES = 500
"""Changed files that a status tells."""

NETWORK_S = 120
"""Seconds for a command that talks to a remote."""

_REF = re.compile(r"(?!-)[\w./@{}^~:+-]{1,200}")
_REMOTE = re.compile(r"(?!-)[\w.-]{1,100}")
_URL = re.compile(
    r"(?:https|ssh|git|file)://(?!-)[^\s]+|(?:[\w.-]+@)?(?!-)[\w.-]+:(?!:)[^\s]+|/[^\s]*|\.{1,2}/[^\s]*"
)
_FIELDS = "%H%x1f%an%x1f%aI%x1f%s"


# ---- looking


@action("git.status", integration="git", risk=Risk.NONE, effect=Effect.PURE)
def status(*, ctx: ActionContext) -> dict[str, Any]:
    """Tell the branch and what has changed in the working tree."""
    told = _git(ctx, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal").out
    found: dict[str, Any] = {"branch": None, "changes": []}
    entries = iter(told.decode("utf-8", "replace").split("\0"))
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            if name == "branch.head":
                found["branch"] = value
            elif name == "branch.upstream":
                found["upstream"] = value
            elif name == "branch.ab":
                ahead, behind = value.split()
                found |= {"ahead": int(ahead), "behind": -int(behind)}
        elif kind == "1":
            parts = rest.split(" ", 7)
            found["changes"].append(f"{parts[0]} {parts[7]}")
        elif kind == "2":
            parts = rest.split(" ", 8)
            found["changes"].append(f"{parts[0]} {parts[8]} (from {next(entries, '')})")
        elif kind == "u":
            found["changes"].append(f"unmerged {rest.split(' ', 9)[9]}")
        elif kind == "?":
            found["changes"].append(f"?? {rest}")
    if len(found["changes"]) > CHANGES:
        left = len(found["changes"]) - CHANGES
        found["changes"] = [*found["changes"][:CHANGES], f"… and {left} more"]
    return found


@action("git.log", integration="git", risk=Risk.NONE, effect=Effect.PURE)
def log(limit: Annotated[int, Field(ge=1, le=200)] = 20, *, ctx: ActionContext) -> list[str]:
    """Tell the latest commits: short hash, day, author, subject.

    Args:
        limit: How many.
    """
    told = _git(ctx, "log", "-z", f"--format={_FIELDS}", f"--max-count={limit}", ok=(0, 128))
    if told.code:
        if "does not have any commits" in told.err:
            return []
        raise errors.CallFailed(f"git log: {told.err.strip()[:500]}")
    lines = []
    for entry in told.text.split("\0"):
        if entry.strip():
            sha, author, at, subject = (entry.split("\x1f") + [""] * 4)[:4]
            lines.append(f"{sha[:12]} {at[:10]} {author}: {subject}")
    return lines


@action("git.diff", integration="git", risk=Risk.NONE, effect=Effect.PURE)
def diff(ref: str | None = None, *, ctx: ActionContext) -> str:
    """Show what is changed in the working tree, against the last commit or another.

    Args:
        ref: A commit, branch or tag to compare with; the last commit when left out.
    """
    against = _ref(ref) if ref else "HEAD"
    return _shown(ctx, "diff", "--no-ext-diff", "--no-textconv", "--no-color", against, "--")


@action("git.show", integration="git", risk=Risk.NONE, effect=Effect.PURE)
def show(ref: str, *, ctx: ActionContext) -> str:
    """Show one commit: who, when, why, and what it changed.

    Args:
        ref: The commit, branch or tag.
    """
    return _shown(
        ctx,
        "show",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--stat",
        "--patch",
        "--format=fuller",
        _ref(ref),
        "--",
    )


# ---- committing


def _commit_risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    return Risk.NONE if ctx.workspace.made else Risk.MEDIUM


def _commit_target(args: dict[str, Any], ctx: ActionContext) -> Any:
    paths = args.get("paths") or []
    digest = hashlib.sha256()
    digest.update(
        _git(ctx, "status", "--porcelain=v2", "-z", "--untracked-files=all", "--", *paths).out
    )
    digest.update(
        _git(
            ctx, "diff", "--no-ext-diff", "--no-textconv", "--binary", _base(ctx), "--", *paths
        ).out
    )
    for path in _untracked(ctx, paths):
        digest.update(_git(ctx, "hash-object", "--no-filters", "--", path).out)
    return {"head": _sha(ctx, "HEAD"), "content": digest.hexdigest()}


def _commit_preview(args: dict[str, Any], ctx: ActionContext) -> str:
    paths = args.get("paths") or []
    stat = _git(
        ctx,
        "diff",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--stat",
        _base(ctx),
        "--",
        *paths,
    ).text
    new = "".join(f" {path} (new)\n" for path in _untracked(ctx, paths))
    patch = _git(
        ctx, "diff", "--no-ext-diff", "--no-textconv", "--no-color", _base(ctx), "--", *paths
    ).text
    return f"{args['message']}\n\n{stat}{new}\n{patch}"


def _commit_check(
    *, key: str, ctx: ActionContext, message: str, paths: list[str] | None = None
) -> Probe:
    found = _committed(ctx, key)
    return Happened(found) if found else NotHappened()


@action(
    "git.commit",
    integration="git",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_commit_check,
    preview=_commit_preview,
    classify=_commit_risk,
    target=_commit_target,
)
def commit(
    message: str, paths: list[str] | None = None, *, key: str, ctx: ActionContext
) -> dict[str, str]:
    """Commit changes of the working tree, new files included.

    Args:
        message: What the commit says.
        paths: Only these files or folders; everything that changed when left out.
    """
    if not message.strip():
        raise errors.CallFailed("A commit needs a message.")
    _git(ctx, "add", "--all", "--", *(paths or ["."]))
    said = f"{message.strip()}\n\n{TRAILER}: {key[:16]}\n"
    told = _git(
        ctx,
        "commit",
        "--no-verify",
        "--no-gpg-sign",
        "--cleanup=verbatim",
        "--file=-",
        *(["--", *paths] if paths else []),
        stdin=said.encode(),
        ok=(0, 1, 128),
    )
    if told.code:
        reason = (told.err.strip() or told.text.strip())[:500]
        if "tell me who you are" in reason or "empty ident" in reason:
            raise errors.CallFailed(
                "git knows neither name nor email of the author.",
                next="The owner sets them: git config --global user.name and user.email.",
            )
        raise errors.CallFailed(f"git commit: {reason}")
    return _committed(ctx, key) or {"sha": _sha(ctx, "HEAD") or ""}


def _committed(ctx: ActionContext, key: str) -> dict[str, str] | None:
    told = _git(
        ctx,
        "log",
        "-z",
        f"--format=%H%x1f%(trailers:key={TRAILER},valueonly)%x1f%s",
        "--max-count=50",
        "HEAD",
        ok=(0, 128),
    )
    for entry in told.text.split("\0"):
        sha, _, rest = entry.partition("\x1f")
        value, _, subject = rest.partition("\x1f")
        if value.strip() == key[:16]:
            return {"sha": sha.strip(), "subject": subject.strip()}
    return None


# ---- branching


def _branch_risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    if args.get("delete"):
        return Risk.MEDIUM
    return Risk.NONE if ctx.workspace.made else Risk.MEDIUM


def _branch_target(args: dict[str, Any], ctx: ActionContext) -> Any:
    return {"branch": _sha(ctx, f"refs/heads/{args['name']}"), "head": _sha(ctx, "HEAD")}


def _branch_check(*, key: str, ctx: ActionContext, name: str, delete: bool = False) -> Probe:
    there = _sha(ctx, f"refs/heads/{name}")
    if delete:
        return NotHappened() if there else Happened({"deleted": name})
    if there is None:
        return NotHappened()
    before = judged.target(ctx) or {}
    return Unknown() if before.get("branch") else Happened({"branch": name, "sha": there})


@action(
    "git.branch",
    integration="git",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_branch_check,
    classify=_branch_risk,
    target=_branch_target,
)
def branch(name: str, delete: bool = False, *, ctx: ActionContext) -> dict[str, str]:
    """Create a branch at the present commit and switch to it, or delete one.

    Args:
        name: The branch.
        delete: Delete it instead, whether or not it is merged; the answer says at which commit it was.
    """
    if _git(ctx, "check-ref-format", "--branch", name, ok=(0, 128, 1)).code or name.startswith("-"):
        raise errors.CallFailed(f"{name!r} is no name for a branch.")
    there = _sha(ctx, f"refs/heads/{name}")
    if delete:
        if there is None:
            raise errors.CallFailed(f"There is no branch {name!r}.")
        _git(ctx, "branch", "-D", "--", name)
        return {"deleted": name, "was_at": there}
    if there is not None:
        raise errors.CallFailed(f"The branch {name!r} exists, at {there[:12]}.")
    _git(ctx, "switch", "--no-track", "--create", name)
    return {"branch": name, "sha": _sha(ctx, "HEAD") or ""}


# ---- pushing


def _push_risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    if args.get("force") or gitline.PROTECTED.fullmatch(args["branch"]):
        return Risk.HIGH
    head = _git(
        ctx,
        "symbolic-ref",
        "--quiet",
        f"refs/remotes/{_remote(args['remote'])}/HEAD",
        ok=(0, 1, 128),
    ).text.strip()
    return Risk.HIGH if head.endswith(f"/{args['branch']}") else Risk.MEDIUM


def _push_target(args: dict[str, Any], ctx: ActionContext) -> Any:
    return {
        "url": _push_url(ctx, args["remote"]),
        "local": _sha(ctx, f"refs/heads/{args['branch']}"),
        "remote": _remote_sha(ctx, args["remote"], args["branch"]),
    }


def _push_preview(args: dict[str, Any], ctx: ActionContext) -> str:
    url = _push_url(ctx, args["remote"])
    local, there = (
        _sha(ctx, f"refs/heads/{args['branch']}"),
        _remote_sha(ctx, args["remote"], args["branch"]),
    )
    lines = [
        f"to      {url}",
        f"branch  {args['branch']}",
        f"from    {there or '(new branch)'}",
        f"to      {local or '(no such branch here)'}",
        f"force   {'yes: what is there and not here is lost' if args.get('force') else 'no'}",
        "",
    ]
    if local:
        span = f"{there}..{local}" if there and _sha(ctx, there) else local
        lines.append(
            _git(ctx, "log", "--oneline", "--no-decorate", "--max-count=30", span, ok=(0, 128)).text
        )
    return "\n".join(lines)


def _push_check(
    *, key: str, ctx: ActionContext, remote: str, branch: str, force: bool = False
) -> Probe:
    wanted = (judged.target(ctx) or {}).get("local") or _sha(ctx, f"refs/heads/{branch}")
    there = _remote_sha(ctx, remote, branch)
    return (
        Happened({"remote": remote, "branch": branch, "sha": there})
        if wanted and there == wanted
        else NotHappened()
    )


@action(
    "git.push",
    integration="git",
    risk=Risk.MEDIUM,
    effect=Effect.CHECKABLE,
    check=_push_check,
    preview=_push_preview,
    classify=_push_risk,
    target=_push_target,
    timeout=NETWORK_S + 60,
)
def push(remote: str, branch: str, force: bool = False, *, ctx: ActionContext) -> dict[str, str]:
    """Push a branch to a configured remote.

    Args:
        remote: The remote's name, such as origin; an address is refused.
        branch: The branch, pushed under the same name.
        force: Overwrite what is there, as it was when this was approved.
    """
    _push_url(ctx, remote)
    local = _sha(ctx, f"refs/heads/{branch}")
    if local is None:
        raise errors.CallFailed(f"There is no branch {branch!r} here.")
    lease = []
    if force:
        seen = (judged.target(ctx) or {}).get("remote") or ""
        lease = [f"--force-with-lease=refs/heads/{branch}:{seen}"]
    told = _git(
        ctx,
        "push",
        "--porcelain",
        "--no-verify",
        "--no-signed",
        "--no-recurse-submodules",
        *lease,
        remote,
        f"refs/heads/{branch}:refs/heads/{branch}",
        timeout=NETWORK_S,
        ok=(0, 1, 128),
    )
    if told.code:
        refused = [line for line in told.text.splitlines() if line.startswith("!")]
        said = (refused or told.err.strip().splitlines() or ["no reason given"])[-1]
        raise errors.CallFailed(f"git push: {' '.join(said.split())[:500]}")
    return {"remote": remote, "branch": branch, "sha": local}


# ---- parts


def _git(
    ctx: ActionContext,
    *arguments: str,
    ok: tuple[int, ...] = (0,),
    stdin: bytes = b"",
    timeout: float = 60,
) -> git.Told:
    return git.run(
        arguments,
        cwd=ctx.workspace.root,
        ok=ok,
        stdin=stdin,
        timeout=timeout,
        on_cancel=ctx.on_cancel,
    )


def _shown(ctx: ActionContext, *arguments: str) -> str:
    return excerpt.Excerpt.of(_git(ctx, *arguments).text).shown() or "(nothing)"


def _ref(text: str) -> str:
    if not _REF.fullmatch(text):
        raise errors.CallFailed(
            f"{text!r} names no commit.", next="Give a hash, a branch or a tag."
        )
    return text


def _sha(ctx: ActionContext, ref: str) -> str | None:
    told = _git(
        ctx,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{ref}^{{commit}}",
        ok=(0, 1, 128),
    )
    return told.text.strip() or None if told.code == 0 else None


def _base(ctx: ActionContext) -> str:
    """The last commit; before the first one, the empty tree."""
    return _sha(ctx, "HEAD") or _git(ctx, "hash-object", "-t", "tree", "--stdin").text.strip()


def _untracked(ctx: ActionContext, paths: list[str]) -> list[str]:
    told = _git(ctx, "ls-files", "--others", "--exclude-standard", "-z", "--", *(paths or ["."]))
    return [path for path in told.out.decode("utf-8", "surrogateescape").split("\0") if path][
        :CHANGES
    ]


def _remote(name: str) -> str:
    if not _REMOTE.fullmatch(name):
        raise errors.CallFailed(
            f"{name!r} is no name of a remote.", next="Name one that is configured, such as origin."
        )
    return name


def _push_url(ctx: ActionContext, remote: str) -> str:
    told = _git(ctx, "remote", "get-url", "--push", "--all", "--", _remote(remote), ok=(0, 2, 128))
    urls = told.text.split()
    if told.code or not urls:
        raise errors.CallFailed(
            f"There is no remote {remote!r}.",
            next="The owner adds remotes; an address cannot be pushed to.",
        )
    for url in urls:
        if not _URL.fullmatch(url) or "::" in url:
            raise errors.CallFailed(f"The remote {remote!r} uses a transport that is not allowed.")
    return " ".join(urls)


def _remote_sha(ctx: ActionContext, remote: str, branch: str) -> str | None:
    _push_url(ctx, remote)
    told = _git(
        ctx,
        "ls-remote",
        "--heads",
        "--",
        _remote(remote),
        f"refs/heads/{branch}",
        timeout=NETWORK_S,
    )
    return told.text.split("\t")[0].strip() or None


ACTIONS = (status, log, diff, show, commit, branch, push)
