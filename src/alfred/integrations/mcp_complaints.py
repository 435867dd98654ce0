"""What a program of an MCP server complains about: into its log, and its last words for a person.

Invariants: no secret that is known gets into the log or the words. The log holds `MOST` bytes at most, also when several
processes write it; one that cannot be written costs the program nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from alfred.trust.redact import ByteRedactor

MOST = 1_000_000
"""Bytes of a log; then it begins anew."""

LAST = 2_000
"""Characters of the last words."""


class Complaints:
    """Of one program, while it runs. Nothing is opened before it says something."""

    def __init__(self, log: Path) -> None:
        self._path = log
        self._file: int | None = None
        self._redactor = ByteRedactor()
        self._last = ""

    @property
    def last(self) -> str:
        """Its last words."""
        return self._last

    def feed(self, chunk: bytes) -> None:
        """The next bytes."""
        self._take(self._redactor.feed(chunk))

    def close(self) -> None:
        """There are no more."""
        self._take(self._redactor.close())
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, text: str) -> None:
        self._last = (self._last + text)[-LAST:]
        if text:
            try:
                self._write(text.encode("utf-8", "replace"))
            except OSError:
                return  # the disk is full, or somebody put something else there: the words are still told

    def _write(self, raw: bytes) -> None:
        if self._file is None:
            # appended: where two write, none leaves a hole
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        if os.fstat(self._file).st_size + len(raw) > MOST:
            os.ftruncate(self._file, 0)
        os.write(self._file, raw)
