"""A program on a real terminal, as a person has it: what is on the screen is read, keys are typed, windows close."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PATIENCE = 60.0
"""Seconds that a test waits for a text at most. A good run never waits that long; a bad one ends."""

_LAUNCH = "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execv(sys.argv[1],sys.argv[1:])"


class Terminal:
    """A process whose three streams and whose controlling terminal are a pty."""

    def __init__(self, *command: str, env: Mapping[str, str], cwd: Path):
        self._fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, sys.executable, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = ""
        self._read_to = 0
        self._open = True

    def expect(self, text: str) -> str:
        """Waits until a text is on the screen, after what was found before; what stands before it."""
        until = time.monotonic() + PATIENCE
        while True:
            at = self.screen.find(text, self._read_to)
            if at >= 0:
                before = self.screen[self._read_to : at]
                self._read_to = at + len(text)
                return before
            if not self._more(until - time.monotonic()):
                raise AssertionError(f"{text!r} did not come; the screen:\n{self.screen}")

    def type(self, keys: str) -> None:
        """Types, as a person does: a line ends with `\\r`, Ctrl-C is `\\x03`."""
        os.write(self._fd, keys.encode())

    def close_window(self) -> None:
        """Takes the terminal away: the kernel hangs up."""
        os.close(self._fd)
        self._open = False

    def code(self) -> int:
        """Reads to the end, and returns the exit code."""
        until = time.monotonic() + PATIENCE
        while self._open and self._more(until - time.monotonic()):
            pass
        return self.process.wait(PATIENCE)

    def _more(self, patience: float) -> bool:
        with selectors.DefaultSelector() as reads:
            reads.register(self._fd, selectors.EVENT_READ)
            if not reads.select(max(0.0, patience)):
                return False
        try:
            piece = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the last process has closed its end
            return False
        self.screen += piece.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(piece)

    def end(self) -> None:
        """Leaves nothing behind."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)
        if self._open:
            os.close(self._fd)
            self._open = False


@contextlib.contextmanager
def terminal(*command: str, env: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """A program on a terminal for the length of a block."""
    made = Terminal(*command, env=env, cwd=cwd)
    try:
        yield made
    finally:
        made.end()
