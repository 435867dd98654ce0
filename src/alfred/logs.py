"""The log of processes that run unattended: one line of JSON a record, in the home, without secrets."""

from __future__ import annotations

import hashlib
import logging
import logging.handlers
import os
import sys
import threading
from collections.abc import MutableMapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import structlog

from alfred import clock
from alfred.trust import redact

Record = MutableMapping[str, Any]

SIZE = 10_000_000
"""Bytes of one log file."""

KEPT = 5
"""How many old ones are kept."""

FIELD = 8_000
"""Characters of one text."""


def configure(home: Path) -> None:
    """Sends structlog and the standard library's logging to `logs/alfred.jsonl`, rotated and redacted."""
    # first: else it prints to the terminal, with the variables of each frame, where the file cannot be written
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            _stamped,
            structlog.processors.ExceptionRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    folder = home / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "alfred.jsonl"
    handler = _File(path, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8")
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(
                    # Without the variables of each frame: they are cut, and half a secret is known to nobody.
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                ),
                _bounded,
                structlog.processors.JSONRenderer(ensure_ascii=True, default=str),
            ],
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _stamped,
            ],
        )
    )
    root = logging.getLogger()
    for before in root.handlers[:]:
        root.removeHandler(before)
        if isinstance(before, logging.handlers.RotatingFileHandler):
            before.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _lost
    for noisy in ("procrastinate", "httpx", "httpx2", "httpcore", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _lost(died: threading.ExceptHookArgs) -> None:
    """What ends a thread goes to the log: Python would print it as it is, with whatever secret its words hold."""
    if died.exc_value is not None:
        why = (died.exc_type, died.exc_value, died.exc_traceback)
        logging.getLogger(__name__).error("thread.failed", exc_info=why)


class _File(logging.handlers.RotatingFileHandler):
    """A log that cannot be written (the disk is full) is said once; the program that logs goes on."""

    _told = False

    def _open(self) -> TextIOWrapper:
        """A new one is private from its first moment."""
        Path(self.baseFilename).touch(mode=0o600)
        return super()._open()

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Before each record: a file that another process has rotated, or that somebody moved away or deleted, is not written on."""
        if self.stream and not self._there(self.stream):
            fresh = self._open()
            self.stream.close()
            self.stream = fresh
        return bool(super().shouldRollover(record))

    def _there(self, stream: TextIOWrapper) -> bool:
        try:
            found = Path(self.baseFilename).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(stream.fileno()))

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            why = sys.exc_info()[1]
            sys.stderr.write(f"alfred: the log {self.baseFilename} cannot be written: {why}\n")


def _stamped(_logger: Any, _name: str, record: Record) -> Record:
    record["at"] = clock.rfc3339(clock.now())
    return record


def _bounded(_logger: Any, _name: str, record: Record) -> Record:
    return {key: _cut(value) for key, value in redact.redact_data(dict(record)).items()}


def _cut(value: Any) -> Any:
    """Every text in it at most `FIELD` long, and of a longer one how long it was, and its hash."""
    if isinstance(value, dict):
        return {key: _cut(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value]
    if not isinstance(value, str) or len(value) <= FIELD:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{value[:FIELD]} … [cut: {len(value)} characters, sha256 {digest}]"
