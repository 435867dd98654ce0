"""A program run to its end, with everything that it started, and with whatever it says taken in chunks.

Invariant: when `run` returns or raises, the process group of the program is dead. What leaves the group
(setsid) is reached too by `guard`, and so is everything when we are killed ourselves.
Output is never kept here: it goes to the caller piece by piece, so that its size costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alfred import clock, errors

CHUNK = 65_536
"""Bytes that are read at once."""

_BEAT = 0.05  # seconds between two looks at what no descriptor tells
_GRACE = 3 * clock.SECOND  # for the guard to kill, and for pipes to close, before we stop waiting

OnCancel = Callable[[Callable[[], None]], Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (negative: the signal that killed it), and who ended it."""

    code: int
    why: Literal["exit", "timeout", "cancelled", "too_much"]


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    out: Callable[[bytes], None],
    err: Callable[[bytes], None] | None = None,
    stdin: bytes = b"",
    piped: bool = False,
    max_bytes: int | None = None,
    on_cancel: OnCancel | None = None,
    guard: bool = False,
    processes: int = 0,
    memory: int = 0,
) -> Ended:
    """Runs a program in a session of its own and returns when it and its group have ended.

    Args:
        argv: The program and its arguments.
        cwd: Where it runs.
        env: Its whole environment.
        timeout: Seconds, then it is killed.
        out: Is given what it writes, in this thread.
        err: Is given what it writes to stderr; None: that goes to `out` as well, in its order.
        stdin: What it may read.
        piped: It reads that from a pipe and not from a file, for programs that tell the two apart.
        max_bytes: It is killed when it has written more.
        on_cancel: Registers the function that kills it from another thread.
        guard: Keep it, and all that it starts, under `guard.py`.
        processes: The guard kills it when it has more processes and threads than this; 0: it may have any number.
        memory: The guard kills it when it uses more bytes of memory, with all that it started; 0: it may use any.

    Raises:
        CallFailed: it cannot be started.
    """
    with contextlib.ExitStack() as open_until_end:
        given: Any = subprocess.PIPE
        if not piped:
            given = open_until_end.enter_context(tempfile.TemporaryFile())
            given.write(stdin)
            given.seek(0)
        lifeline: int | None = None
        passed: tuple[int, ...] = ()
        if guard:
            inner, lifeline = os.pipe()
            passed = (inner,)
            here = str(Path(__file__).with_name("guard.py"))
            argv = [
                sys.executable,
                "-I",
                "-S",
                here,
                str(inner),
                str(processes),
                str(memory),
                *argv,
            ]
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if err else subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                pass_fds=passed,
                bufsize=0,
            )
        except (OSError, ValueError) as why:
            if lifeline is not None:
                os.close(lifeline)
            said = why.strerror if isinstance(why, OSError) else str(why)
            raise errors.CallFailed(f"{argv[0]} cannot be started in {cwd}: {said}.") from why
        finally:
            for fd in passed:
                os.close(fd)
        one = _Running(process, lifeline)
        try:
            if on_cancel:
                on_cancel(lambda: one.kill("cancelled"))
            one.drive(out, err, timeout, max_bytes, stdin)
        finally:
            one.finish()
        return Ended(process.returncode, one.why)


class _Running:
    def __init__(self, process: subprocess.Popen[bytes], lifeline: int | None) -> None:
        self.process = process
        self.lifeline = lifeline
        self.why: Literal["exit", "timeout", "cancelled", "too_much"] = "exit"
        self._lock = threading.Lock()
        self._over = False
        self._killed_at: int | None = None

    def kill(self, why: Literal["timeout", "cancelled", "too_much"]) -> None:
        """Ends it; safe from any thread, and after its end."""
        with self._lock:
            if self._over or self._killed_at is not None:
                return
            self.why = why
            self._killed_at = clock.monotonic()
            if self.lifeline is None:
                self._kill_group()
            else:
                self._cut()

    def _cut(self) -> None:
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def exited(self) -> bool:
        """Whether the program itself has ended. It stays unreaped, so that its number is nobody else's."""
        found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def drive(
        self,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None] | None,
        timeout: float,
        max_bytes: int | None,
        stdin: bytes,
    ) -> None:
        deadline = clock.monotonic() + int(timeout * clock.SECOND)
        written, closing = 0, None
        with selectors.DefaultSelector() as pipes, _ending(self.process.pid) as ending:
            if ending is not None:
                pipes.register(ending, selectors.EVENT_READ)
            pipes.register(self.process.stdout, selectors.EVENT_READ, out)  # type: ignore[arg-type]
            if err:
                pipes.register(self.process.stderr, selectors.EVENT_READ, err)  # type: ignore[arg-type]
            open_pipes = 2 if err else 1
            unread, reader = memoryview(stdin), self.process.stdin
            if reader:
                os.set_blocking(reader.fileno(), False)
                pipes.register(reader, selectors.EVENT_WRITE, _nothing)
            while True:
                ready = [key for key, _ in pipes.select(_BEAT if open_pipes else _BEAT / 10)]
                for key in ready:
                    if key.data is None:
                        pipes.unregister(key.fileobj)  # it has ended, which stays true
                        continue
                    if reader and key.fileobj is reader:
                        unread = _fed(key.fd, unread)
                        if not unread:
                            pipes.unregister(reader)
                            reader.close()
                        continue
                    chunk = os.read(key.fd, CHUNK)
                    if not chunk:
                        pipes.unregister(key.fileobj)
                        open_pipes -= 1
                        continue
                    written += len(chunk)
                    if max_bytes is not None and written > max_bytes:
                        self.kill("too_much")
                    if self.why != "too_much":
                        key.data(chunk)
                now = clock.monotonic()
                if self.exited():
                    if not open_pipes:
                        return
                    if closing is None:
                        closing = now + _GRACE  # what it left behind holds the pipes open
                        self._kill_group()
                    if not ready and now > closing:
                        return
                    continue
                if now >= deadline:
                    self.kill("timeout")
                if self._killed_at is not None and now > self._killed_at + _GRACE:
                    self._kill_group()  # the guard itself was stopped or killed

    def finish(self) -> None:
        """Nothing of it lives behind this."""
        with self._lock:
            self._over = True
            guarded = self.lifeline is not None
            self._cut()
            if not guarded:
                self._kill_group()
            until = clock.monotonic() + _GRACE
            while not self.exited() and clock.monotonic() < until:
                select.select([], [], [], _BEAT / 10)  # a guard kills first, then goes
            self._kill_group()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        self.process.wait()


def _nothing(_: bytes) -> None:
    """What is registered for a pipe that nothing is read from."""


def _fed(fd: int, unread: memoryview) -> memoryview:
    """Writes what the pipe takes now, and gives what is left: nothing when the other end does not read any more."""
    try:
        return unread[os.write(fd, unread[:CHUNK]) :]
    except BlockingIOError:
        return unread
    except BrokenPipeError:
        return memoryview(b"")


@contextlib.contextmanager
def _ending(pid: int) -> Iterator[int | None]:
    """A descriptor that becomes readable when the process ends, where the system has such a thing."""
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
