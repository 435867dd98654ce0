"""A unified diff, applied to one text exactly or not at all.

Invariant: every line that the diff says is there must be there, byte for byte. A hunk whose lines stand at
another place than its header says is taken there only when they stand at exactly one place behind the hunk
before; there is no fuzz. Whatever does not fit is told with the line of the diff and of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from alfred import errors
from alfred.trust import redact

_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Hunk:
    """One stretch of a diff: lines with their ends, `\\n` left out only where the text ends without one."""

    at: int
    """The line of the diff that its header stands on, from 1."""
    start: int
    """The line of the old text that it starts at, from 1; of no lines, the line that it goes behind."""
    new_start: int
    """The same in the new text."""
    old: tuple[str, ...]
    new: tuple[str, ...]
    numbers: tuple[int, ...]
    """For each old line, its line in the diff."""


@dataclass(frozen=True, slots=True)
class Diff:
    """A diff of one file."""

    hunks: tuple[Hunk, ...]
    creates: bool = False
    """Its old side is /dev/null."""
    deletes: bool = False
    """Its new side is /dev/null."""

    def reversed(self) -> Diff:
        """The diff that takes this one back."""
        back = tuple(
            replace(
                h,
                start=h.new_start,
                new_start=h.start,
                old=h.new,
                new=h.old,
                numbers=(h.at,) * len(h.new),
            )
            for h in self.hunks
        )
        return Diff(back, creates=self.deletes, deletes=self.creates)


def parse(text: str) -> Diff:
    """Reads a unified diff of one file; lines before the first hunk that are no `---`/`+++` are ignored.

    Raises:
        CallFailed: it is none, or not well formed; the message names the line.
    """
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    hunks: list[Hunk] = []
    creates = deletes = False
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("@@"):
            hunk, at = _hunk(lines, at)
            hunks.append(hunk)
            continue
        if hunks and (line.startswith(("--- ", "diff --git "))):
            raise _bad(at, "a second file begins here; give one diff per file and call")
        if hunks and line.strip():
            raise _bad(at, f"there is no hunk that {_shown(line)} could belong to")
        creates = creates or line.rstrip() == "--- /dev/null"
        deletes = deletes or line.rstrip() == "+++ /dev/null"
        at += 1
    if not hunks:
        raise errors.CallFailed(
            "The diff has no hunk.",
            next="Write a unified diff: lines `@@ -start,count +start,count @@`, then ` `, `-`, `+` lines.",
        )
    return Diff(tuple(hunks), creates, deletes)


def apply(diff: Diff, text: str) -> str:
    """The text with the diff applied.

    Raises:
        CallFailed: a hunk does not fit; the message names its line, and what stands there instead.
    """
    windows = "\r\n" in text and not re.search(r"(?<!\r)\n", text)
    if windows and not any("\r" in line for hunk in diff.hunks for line in hunk.old + hunk.new):
        return apply(diff, text.replace("\r\n", "\n")).replace("\n", "\r\n")
    lines = _lines(text)
    result: list[str] = []
    done = 0
    for number, hunk in enumerate(diff.hunks, start=1):
        place = _place(lines, hunk, done, number)
        result += lines[done:place]
        result += hunk.new
        done = place + len(hunk.old)
    result += lines[done:]
    for at, line in enumerate(result[:-1], start=1):
        if not line.endswith("\n"):
            raise errors.CallFailed(
                f"Line {at} would have no newline at its end, but more follows it."
            )
    return "".join(result)


def _hunk(lines: list[str], at: int) -> tuple[Hunk, int]:
    header = _HEADER.fullmatch(lines[at])
    if not header:
        raise _bad(at, f"{_shown(lines[at])} is no hunk header `@@ -start,count +start,count @@`")
    wants_old = int(header[2]) if header[2] is not None else 1
    wants_new = int(header[4]) if header[4] is not None else 1
    old: list[str] = []
    new: list[str] = []
    numbers: list[int] = []
    first, at = at, at + 1
    last: str = ""
    while at < len(lines):
        line = lines[at]
        kind = line[:1] or " "  # a context line that is empty is often written without its space
        if kind == "\\":
            if not last:
                raise _bad(at, "there is no line before it that could end without a newline")
            if last in " -":
                old[-1] = old[-1].removesuffix("\n")
            if last in " +":
                new[-1] = new[-1].removesuffix("\n")
            at += 1
            continue
        if kind not in " +-" or (len(old) >= wants_old and len(new) >= wants_new):
            break
        if kind in " -":
            old.append(line[1:] + "\n")
            numbers.append(at + 1)
        if kind in " +":
            new.append(line[1:] + "\n")
        last = kind
        at += 1
    if (len(old), len(new)) != (wants_old, wants_new):
        raise _bad(
            first,
            f"the header announces {wants_old} old and {wants_new} new lines, but {len(old)} and {len(new)} follow",
        )
    start, new_start = int(header[1]), int(header[3])
    return Hunk(first + 1, start, new_start, tuple(old), tuple(new), tuple(numbers)), at


def _place(lines: list[str], hunk: Hunk, done: int, number: int) -> int:
    """Where in `lines` the old side of the hunk stands (index of its first line)."""
    if not hunk.old:
        # an insertion says behind which line it goes
        if not done <= hunk.start <= len(lines):
            raise errors.CallFailed(
                f"Hunk {number} (line {hunk.at} of the diff) inserts behind line {hunk.start}, "
                f"but the file has {len(lines)} lines. Give it a line of context."
            )
        return hunk.start
    stated = hunk.start - 1
    if stated >= done and tuple(lines[stated : stated + len(hunk.old)]) == hunk.old:
        return stated
    found = [
        at
        for at in range(done, len(lines) - len(hunk.old) + 1)
        if lines[at] == hunk.old[0] and tuple(lines[at : at + len(hunk.old)]) == hunk.old
    ]
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(str(at + 1) for at in found[:5])
        raise errors.CallFailed(
            f"Hunk {number} (line {hunk.at} of the diff) fits at {len(found)} places (lines {where} of the "
            f"file), and none of them is line {hunk.start}. Give the right line or more context."
        )
    raise errors.CallFailed(_difference(lines, hunk, number), next="Read the file again.")


def _difference(lines: list[str], hunk: Hunk, number: int) -> str:
    """Why a hunk does not fit at the place that it names."""
    start = max(0, hunk.start - 1)
    for offset, (wanted, at) in enumerate(zip(hunk.old, hunk.numbers, strict=True)):
        there = lines[start + offset] if start + offset < len(lines) else None
        if there == wanted:
            continue
        instead = f"it has {_shown(there)}" if there is not None else f"it ends at {len(lines)}"
        return (
            f"Hunk {number} does not fit: line {at} of the diff expects {_shown(wanted)} "
            f"in line {start + offset + 1} of the file, but {instead}."
        )
    return f"Hunk {number} (line {hunk.at} of the diff) overlaps the hunk before it."


def _lines(text: str) -> list[str]:
    """Lines with their ends; only `\\n` ends a line, as in every diff."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines


def _shown(line: str) -> str:
    line = redact.redact(line)  # before it is cut: half a secret is known to nobody
    cut = line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
    return repr(cut.encode("utf-8", "backslashreplace").decode())


def _bad(at: int, why: str) -> errors.CallFailed:
    return errors.CallFailed(f"Line {at + 1} of the diff: {why}.")
