"""One turn of a program, in a scratch folder of its own that is gone afterwards.

Invariants: the program stands in an empty folder that is no workspace and holds nothing of one; it sees the environment that
its engine made and nothing else of ours; it and all that it started are dead when this returns, also when we are killed
(`process`); more than `MAX_OUTPUT` bytes are not taken in. What it says is kept as it comes and read when it has ended: a
single line of such a program may have 200 kB.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.engines import base, process

MAX_OUTPUT = 16_000_000
"""Bytes of one turn, as they are written; the answer itself is far smaller."""

MAX_SAID = 20_000  # bytes of stderr that are kept, the last ones
_PREFIX, _LOCK = "alfred-turn-", "lock"
POLL_S = 0.05  # how often it is looked whether the answer is still wanted


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folders of one turn: `cwd` is empty, `home` stands for the person's, `files` is for what is handed over."""

    cwd: Path
    home: Path
    files: Path

    def write(self, name: str, content: str) -> Path:
        """A file that only this user can read: what stands in the arguments of a process everybody can."""
        path = self.files / name
        path.write_text(content, "utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Heard:
    """What a program said: the JSON objects among its lines, the end of its stderr, its exit code."""

    events: tuple[dict[str, Any], ...]
    stderr: str
    code: int


@contextlib.contextmanager
def scratch() -> Iterator[Scratch]:
    """Folders that only this user can open, removed at the end; what a killed process left of its own goes first."""
    _sweep()
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    lock = os.open(made / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        (made / "new").rename(made / _LOCK)  # nobody finds it before it is held
        folders = Scratch(made / "cwd", made / "home", made / "files")
        for folder in (folders.cwd, folders.home, folders.files):
            folder.mkdir(mode=0o700)
        yield folders
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _sweep() -> None:
    """Removes the folders of turns whose process is gone: a killed one cannot, and a prompt lies in them."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if left.name.startswith(f"{_PREFIX}{os.getpid()}-"):
            continue  # ours: to open its lock and close it again would let it go
        try:
            if left.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # held: its process lives
        finally:
            os.close(lock)


def run(
    argv: Sequence[str],
    *,
    place: Scratch,
    env: Mapping[str, str],
    stdin: bytes,
    timeout: float,
    cancelled: base.Cancel | None,
) -> Heard:
    """Starts a program and returns when it has ended by itself.

    Raises:
        EngineError: It could not be started, took too long, said too much, or is not wanted any more.
    """
    program = Path(argv[0]).name
    out, err = bytearray(), bytearray()

    def complain(chunk: bytes) -> None:
        err.extend(chunk)
        del err[:-MAX_SAID]

    with _watching(cancelled) as on_cancel:
        try:
            ended = process.run(
                argv,
                cwd=place.cwd,
                env={**env, "TMPDIR": str(place.files)},
                timeout=timeout,
                out=out.extend,
                err=complain,
                stdin=stdin,
                piped=True,  # `claude` answers nothing at all to a file
                max_bytes=MAX_OUTPUT,
                on_cancel=on_cancel,
                guard=True,
            )
        except errors.CallFailed as problem:
            raise base.EngineError("auth", problem.detail, next=f"Install {program}.") from None
    match ended.why:
        case "cancelled":
            raise base.EngineError("cancelled", "The request was cancelled.")
        case "timeout":
            raise base.EngineError(
                "network", f"{program} gave no answer in {timeout:g} s and was ended."
            )
        case "too_much":
            raise base.EngineError(
                "malformed",
                f"{program} said more than {MAX_OUTPUT // 1_000_000} MB in one turn and was ended.",
            )
        case "exit":
            pass
    return Heard(tuple(_objects(bytes(out))), err.decode("utf-8", "replace"), ended.code)


def _objects(out: bytes) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects; a program may write others in between."""
    for line in out.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


@contextlib.contextmanager
def _watching(cancelled: base.Cancel | None) -> Iterator[Callable[[Callable[[], None]], None]]:
    """What registers how to end the program, and ends it as soon as `cancelled` is set."""
    over = threading.Event()
    watcher: list[threading.Thread] = []

    def on_cancel(kill: Callable[[], None]) -> None:
        if cancelled is None:
            return
        wished = cancelled

        def watch() -> None:
            while not over.wait(POLL_S):
                if wished.is_set():
                    kill()
                    return

        watcher.append(threading.Thread(target=watch, name="alfred-turn", daemon=True))
        watcher[0].start()

    try:
        yield on_cancel
    finally:
        over.set()
        for thread in watcher:
            thread.join()
