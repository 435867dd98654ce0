"""Searches files for a regular expression, in a process of its own.

A pattern can be made so that matching it takes longer than the universe has, and it holds Python's lock all
the while. Here it holds only this process, which its caller kills. The caller writes one JSON object
(`Request`) to stdin and reads one (`Answer`) from stdout.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from typing import Any, TypedDict

from alfred import errors
from alfred.trust import paths

MATCHES = 200
"""Matches that are told."""

PROCESSOR_S = 90
"""Seconds of the processor that a search may take: its caller ends it sooner, unless that was killed."""

TEXT = 300
"""Characters of a matching line that are told."""

AROUND = 4096
"""Characters on both sides of these, for whoever knows the secrets that may reach into them: `beside` of a match."""

VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
"""Folders that are not looked into."""

_FILES = 100_000
_LINE = 1_000_000  # bytes of a line that are looked at
_LARGE = 200_000_000  # bytes of a file that is not looked into


class Request(TypedDict):
    """What to search: `closed` are paths below the root that are passed over."""

    root: str
    path: str
    pattern: str
    closed: list[str]


def main() -> None:
    """Answers the request on stdin."""
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    request: Request = json.load(sys.stdin)
    try:
        pattern = re.compile(request["pattern"])
    except (re.error, RecursionError, OverflowError) as why:
        answer: dict[str, Any] = {"bad": str(why) or type(why).__name__}
    else:
        answer = _search(request, pattern)
    sys.stdout.write(json.dumps(answer))


def _search(request: Request, pattern: re.Pattern[str]) -> dict[str, Any]:
    root, closed = request["root"], set(request["closed"])
    found: list[dict[str, Any]] = []
    counts = {"files": 0, "binary": 0, "large": 0, "unreadable": 0}
    more = False
    for path in _files(root, request["path"], closed, counts):
        if counts["files"] >= _FILES or len(found) >= MATCHES:
            more = True
            break
        counts["files"] += 1
        try:
            with paths.open_beneath(root, path, "rb") as file:
                found += _in_file(file, path, pattern, MATCHES - len(found), counts)
        except (OSError, errors.PathRefused):
            counts["unreadable"] += 1
    return {"matches": found, "more": more or len(found) >= MATCHES, **counts}


def _files(root: str, start: str, closed: set[str], counts: dict[str, int]) -> Any:
    if paths.stat(root, start).kind != "folder":
        yield start
        return
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        try:
            entries = paths.listing(root, folder)
        except (OSError, errors.PathRefused):
            if folder == start:
                raise
            counts["unreadable"] += 1
            continue
        deeper = []
        for entry in entries:
            if entry.path in closed or entry.path.rpartition("/")[2] in VERSION_CONTROL:
                continue
            if entry.kind == "folder":
                deeper.append(entry.path)
            elif entry.kind == "file" and entry.size > _LARGE:
                counts["large"] += 1
            elif entry.kind == "file":
                yield entry.path
        waiting += reversed(deeper)


def _in_file(
    file: Any, path: str, pattern: re.Pattern[str], room: int, counts: dict[str, int]
) -> list[dict[str, Any]]:
    if b"\0" in file.read(8192):
        counts["binary"] += 1
        return []
    file.seek(0)
    found: list[dict[str, Any]] = []
    number = offset = 0
    while len(found) < room and (line := file.readline(_LINE)):
        number += 1
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        hit = pattern.search(text)
        if hit:
            begin = max(0, hit.start() - TEXT // 3)
            end = begin + TEXT
            beside = text[max(0, begin - AROUND) : begin], text[end : end + AROUND]
            told = {"path": path, "line": number, "offset": offset, "text": text[begin:end]}
            found.append(told | {"beside": beside})
        offset += len(line)
        while len(line) == _LINE and not line.endswith(b"\n"):
            line = file.readline(_LINE)  # the rest of a line that is no text for anybody
            offset += len(line)
    return found


if __name__ == "__main__":
    main()
