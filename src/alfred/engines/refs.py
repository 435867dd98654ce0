"""What a repository has, by name: commits, branches, folders. Reads only; every name is checked first."""

from __future__ import annotations

import re

from alfred import errors
from alfred.engines import git

NO_PROGRAMS = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")
"""For every command that shows differences."""


def sha(here: git.Repository, ref: str) -> str | None:
    """The hash that a revision stands for, None when there is no such thing."""
    done = git.run(
        here, "rev-parse", "--verify", "--quiet", "--end-of-options", ref, ok=(0, 1, 128)
    )
    words = done.text.split()
    found = words[-1] if words else ""  # older versions repeat `--end-of-options`
    return found if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found) else None


def head(here: git.Repository) -> str | None:
    """The name of the current branch, None for a detached HEAD."""
    done = git.run(here, "symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1))
    return done.text.strip() or None


def empty_tree(here: git.Repository) -> str:
    """The hash of a tree without files."""
    return git.run(here, "hash-object", "-t", "tree", "--stdin").text.strip()


def branch_name(here: git.Repository, name: str) -> str:
    """The name of a branch as it may be used.

    Raises:
        CallFailed: git does not take it, or would take it for something else.
    """
    odd = not name or name.startswith(("-", "refs/")) or name == "HEAD" or "\0" in name
    if odd or git.run(here, "check-ref-format", f"refs/heads/{name}", ok=(0, 1)).code != 0:
        raise errors.CallFailed(
            f"{name!r} is no name for a branch.", next="Write a name such as fix/login."
        )
    return name


def revision(here: git.Repository, ref: str) -> str:
    """A revision, a range or `commit:path` that cannot be an option; git says whether it is there.

    Raises:
        CallFailed: it is none.
    """
    if not ref or ref.startswith("-") or "\0" in ref:
        raise errors.CallFailed(f"{ref!r} names no commit.")
    return ref


def commit(here: git.Repository, ref: str) -> str:
    """The hash of the commit that a revision stands for.

    Raises:
        CallFailed: there is none.
    """
    found = sha(here, f"{revision(here, ref)}^{{commit}}")
    if found is None:
        raise errors.CallFailed(f"There is no commit {ref!r}.", next="`git.log` shows commits.")
    return found
