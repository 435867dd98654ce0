"""The config of a repository as it is judged: what it sets, which of that names programs, and what git is given to read.

Invariant: what was judged and what git then reads are the same bytes. A config that stands alone is read once, and git is
asked about these bytes; one that leads to others is written down anew, without the ways there.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from alfred import errors
from alfred.engines import git_start

_CONFIG = 100_000
"""Bytes of a config whose names are remembered."""

HARMLESS_HTTP = ("http.postbuffer", "http.version", "http.lowspeedlimit", "http.lowspeedtime")
"""What a repository may say about how it is carried over http."""

_OPERATORS = r"^(user\.name|user\.email|core\.sshcommand|credential\.(.+\.)?helper)$"

Setting = tuple[str, str | None]
"""The name of a setting and its value; None: it is named, and given none."""


def settings(top: Path, shared: Path) -> tuple[bytes, tuple[Setting, ...]]:
    """The config of a repository as one text, of this moment and without includes, and what that sets.

    Args:
        top: The folder that holds `.git`.
        shared: Where the repository keeps what all of its work trees share.

    Raises:
        CallFailed: it cannot be read.
    """
    whole = _whole_config(shared)
    if whole is not None:
        return whole, _set_in(whole)
    where = f"--git-dir={top / '.git'}"
    found = _listed(top, where, "config", "--list", "-z")
    return alone([one for one in found if not leads_on(one[0])]), found


def leads_on(name: str) -> bool:
    """Whether a setting makes git read another config."""
    return name.startswith(("include.", "includeif.")) or name == "extensions.worktreeconfig"


def of_network(name: str) -> bool:
    """Whether a setting of the repository holds for what is sent as well: of which kind it is, and harmless ones."""
    kind = name == "core.repositoryformatversion" or name.startswith("extensions.")
    return (kind and not leads_on(name)) or name in HARMLESS_HTTP


def _whole_config(shared: Path) -> bytes | None:
    """The bytes of a repository's config, where they and nothing else say what is set: no file is included, and the work tree
    has none of its own."""
    try:
        opened = os.open(shared / "config", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None  # git says what is wrong with it
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        content = file.read(_CONFIG + 1)
    names = content.lower()
    alone = b"include" not in names and b"worktreeconfig" not in names
    return content if alone and len(content) <= _CONFIG else None


@functools.lru_cache(maxsize=64)
def _set_in(config: bytes) -> tuple[Setting, ...]:
    """What a config sets that stands alone: git is asked about these bytes, whatever the file says meanwhile, and
    once, as every command needs them."""
    return _listed(Path("/"), "config", "--file", "-", "--list", "-z", stdin=config)


def _listed(cwd: Path, *args: str, stdin: bytes = b"") -> tuple[Setting, ...]:
    done = git_start.start(args, cwd=cwd, env=git_start.environment(network=False), stdin=stdin)
    if done.code != 0 or done.cut:
        raise errors.CallFailed(
            f"The config of the repository cannot be read: {git_start.last_words(done)}"
        )
    # byte for byte: a name that was decoded with losses would switch off another filter than it names
    entries = [os.fsdecode(entry) for entry in done.out.split(b"\0") if entry]
    split = (entry.partition("\n") for entry in entries)
    return tuple((name, value if equals else None) for name, equals, value in split)


def alone(settings: Sequence[Setting]) -> bytes:
    """Settings as the text of a config."""
    lines = []
    for name, value in settings:
        section, _, rest = name.partition(".")
        middle, _, last = rest.rpartition(".")
        below = f' "{_escaped(middle)}"' if middle else ""
        given = "" if value is None else f' = "{_escaped(value)}"'
        lines.append(f"[{section}{below}]\n\t{last}{given}\n")
    return os.fsencode("".join(lines))


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return plain.replace("\n", "\\n").replace("\t", "\\t")


def switched_off(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """The settings of the repository that name programs under names of its own, each with nothing.

    Raises:
        CallFailed: one has a name that cannot be given on a command line.
    """
    off: list[tuple[str, str]] = []
    for name, _ in settings:
        section, _, rest = name.partition(".")
        middle, _, last = rest.rpartition(".")
        harmful = (
            (section == "filter" and last in ("clean", "smudge", "process", "required"))
            or (section == "diff" and middle and last in ("command", "textconv"))
            or (section == "merge" and middle and last == "driver")
            or (section == "credential" and middle and last == "helper")
            or (section == "gpg" and middle and last in ("program", "defaultkeycommand"))
        )
        if not harmful:
            continue
        if "=" in middle or "\n" in middle:
            # on the command line such a name would be taken for another one
            raise errors.CallFailed(
                f"The repository's config has {section} sections with `=` or a newline in their name, "
                "which cannot be switched off.",
                next="Remove them from .git/config.",
            )
        off.append((name, "false" if last == "required" else ""))
    return off


def of_operator(cwd: Path) -> list[tuple[str, str]]:
    """Name, mail address, credential helpers and ssh command of whoever runs alfred, in their order."""
    names = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL")
    own = {name: os.environ[name] for name in names if name in os.environ}
    done = git_start.start(
        ["config", "--global", "--includes", "-z", "--get-regexp", _OPERATORS],
        cwd=cwd,
        env={"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1"} | own,
    )
    if done.code not in (0, 1):
        raise errors.CallFailed(
            f"Your global git config cannot be read: {git_start.last_words(done)}"
        )
    found = [entry.partition("\n")[::2] for entry in done.text.split("\0") if entry]
    return [(name, value) for name, value in found if "=" not in name]
