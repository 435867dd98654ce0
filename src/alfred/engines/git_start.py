"""How git is started: by its own path, with an environment that is made here, and with an end.

Invariant: nothing of the process's environment reaches git that is not named here, system and global config are not
read, and without `network` no transport is allowed at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alfred import errors
from alfred.engines import process

TRANSPORTS = ("file", "git", "https", "ssh")
"""What may carry a push; everything else (ext, fd, http, helpers) is refused by git itself."""

OUTPUT = 8_000_000
"""Bytes of output that are taken; a command that says more is ended."""

TIMEOUT_S = 60

_NETWORK_ENV = (
    *("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("DBUS_SESSION_BUS_ADDRESS", "GH_TOKEN", "GH_HOST", "GITHUB_TOKEN"),
)
"""What ssh and the operator's own credential helpers need. Nothing of the repository's sees it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said."""

    code: int
    out: bytes
    err: str
    cut: bool = False
    """It said more than was taken."""

    @property
    def text(self) -> str:
        """Its output as text; what is no UTF-8 is replaced."""
        return self.out.decode("utf-8", "replace")


def environment(*, network: bool) -> dict[str, str]:
    """What git sees of the environment; with `network` what ssh and the operator's credential helpers need as well."""
    made = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_PROXY_COMMAND": "",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        # What is shown is what a push sends: neither replaced objects nor other parents.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": "/dev/null",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS) if network else "none",
    }
    if network:
        made |= {name: os.environ[name] for name in _NETWORK_ENV if name in os.environ}
    return made


def start(
    args: Sequence[str],
    *,
    cwd: Path,
    env: dict[str, str],
    stdin: bytes = b"",
    timeout: float = TIMEOUT_S,
    on_cancel: process.OnCancel | None = None,
    guard: bool = False,
) -> Output:
    """Starts git with these words, and takes what it says.

    Args:
        timeout: Seconds.
        guard: Nothing of it outlives this process, whatever ends that.

    Raises:
        CallFailed: git is missing, took too long, or was cancelled.
    """
    program = shutil.which("git", path=env["PATH"])
    if program is None:
        raise errors.CallFailed("git is not installed.", next="Install git.")
    out, err = bytearray(), bytearray()
    ended = process.run(
        [program, *args],
        cwd=cwd,
        env=env,
        timeout=timeout,
        out=out.extend,
        err=lambda chunk: err.extend(chunk) if len(err) < 100_000 else None,
        stdin=stdin,
        max_bytes=OUTPUT,
        on_cancel=on_cancel,
        guard=guard,
    )
    said = err.decode("utf-8", "replace")
    if ended.why == "too_much":
        return Output(0, bytes(out), said, cut=True)
    if ended.why == "timeout":
        raise errors.CallFailed(f"git did not end within {timeout:g} s.", ended="timeout")
    if ended.why == "cancelled":
        raise errors.CallFailed("git was cancelled.", ended="cancelled")
    return Output(ended.code, bytes(out), said)


def last_words(done: Output) -> str:
    """The end of what git said: its reason stands there."""
    lines = [line for line in done.err.strip().splitlines() if not line.startswith("hint:")]
    return " ".join(lines[-4:])[-600:] or f"exit code {done.code}."
