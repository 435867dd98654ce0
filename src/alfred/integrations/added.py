"""What commits add: their messages, and the lines that each of them brings into a file.

Invariant: the objects are read that a push would send (with `engines.git_start` no replacement and no graft stands for them),
every file as text whatever its attributes call it, and every commit by itself: a line that a later one takes out again is
sent as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from alfred import errors
from alfred.engines import git, git_start, refs

_WHOLE = (
    *("-p", "-c", "--root", "--text", "--unified=0", "--no-renames", "--no-relative"),
    *refs.NO_PROGRAMS,
)


def texts(here: git.Repository, *span: str) -> Iterator[tuple[str, str]]:
    """Each message and each file with what was added to it, over the commits of a span; (where, text).

    Raises:
        CallFailed: it is more than `git_start.OUTPUT` bytes, or git failed.
    """
    said = _log(here, "--format=%h%x00%an%x00%ae%x00%cn%x00%B%x01", *span)
    for entry in filter(None, (one.strip() for one in said.split("\x01"))):
        sha, _, rest = entry.partition("\0")
        yield f"the message of {sha}", rest.replace("\0", "\n")
    files: dict[str, list[str]] = defaultdict(list)
    path = ""
    for line in _log(here, "--format=", *_WHOLE, *span).split("\n"):
        if line.startswith("diff --"):
            path = line.rpartition(" b/")[2] if " b/" in line else line.split(" ", 2)[2]
        elif line.startswith("+"):
            files[path].append(line.lstrip("+"))
    for path, lines in files.items():
        yield path, "\n".join(lines)


def _log(here: git.Repository, *args: str) -> str:
    done = git.run(here, "log", "--no-show-signature", *args)
    if done.cut:
        raise errors.CallFailed(f"The commits hold more than {git_start.OUTPUT:,} bytes.")
    return done.text
