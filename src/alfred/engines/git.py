"""A git that runs nothing of the repository's: no hook, filter, pager, editor, signer, transport or helper of its own.

Invariant: a repository is data. Everything in its configuration that names a program is overridden on each call;
of the operator's own global configuration exactly name, email, credential.helper and core.sshCommand are used,
and no other file is read. Workspace bytes therefore never decide what runs.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.engines import process

PROTOCOLS = "https:ssh:git:file"
"""Transports that git may use; `ext::` and helpers of unknown names start programs."""

LONGEST = 20_000_000
"""Bytes of output after which a command is killed."""

_FIXED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "core.gitProxy": "",
    "core.alternateRefsCommand": "",
    "sequence.editor": "false",
    "credential.helper": "",
    "credential.interactive": "false",
    "diff.external": "",
    "interactive.diffFilter": "",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "push.recurseSubmodules": "no",
    "status.submoduleSummary": "false",
    "diff.submodule": "short",
    "diff.ignoreSubmodules": "dirty",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "push.gpgSign": "false",
    "log.showSignature": "false",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "core.quotePath": "false",
    "advice.detachedHead": "false",
}

_OPERATOR = ("user.name", "user.email", "credential.helper", "core.sshCommand")

_NAMES_A_PROGRAM = re.compile(
    r"(?:filter\..+\.(?:clean|smudge|process)|diff\..+\.(?:textconv|command)|merge\..+\.driver"
    r"|remote\..+\.(?:uploadpack|receivepack|vcs|proxy)|credential\..+\.helper|gpg\..*program|ssh\.variant"
    r"|uploadpack\.packobjectshook|man\..+\.cmd|browser\..+\.cmd|trailer\..+\.(?:cmd|command)|http\..*(?:sslcert|sslkey|cookiefile))",
    re.IGNORECASE,
)
_REQUIRED = re.compile(r"filter\..+\.required", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """How a git command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    timeout: float = 60,
    stdin: bytes = b"",
    on_cancel: Callable[[Callable[[], None]], Any] | None = None,
    max_bytes: int = LONGEST,
    ok: Sequence[int] = (0,),
) -> Told:
    """Runs `git ARGUMENTS` in a repository.

    Raises:
        CallFailed: it ended with a code that is not in `ok`, took too long, or said too much.
    """
    settings = {**_FIXED, **_disarmed(cwd), **_operator()}
    told = _call(arguments, cwd, settings, timeout, stdin, on_cancel, max_bytes)
    if told.code not in ok:
        said = told.err.strip().splitlines() or [f"exit code {told.code}"]
        raise errors.CallFailed(f"git {arguments[0]}: {' '.join(said)[:500]}")
    return told


def _call(
    arguments: Sequence[str],
    cwd: Path,
    settings: Mapping[str, str],
    timeout: float,
    stdin: bytes,
    on_cancel: Callable[[Callable[[], None]], Any] | None,
    max_bytes: int,
) -> Told:
    out, err = bytearray(), bytearray()
    ended = process.run(
        ["git", "--no-pager", "--literal-pathspecs", *arguments],
        cwd=cwd,
        env=_environment(settings),
        timeout=timeout,
        out=out.extend,
        err=err.extend,
        stdin=stdin,
        max_bytes=max_bytes,
        on_cancel=on_cancel,
    )
    if ended.why == "timeout":
        raise errors.OutcomeUnknown(f"git {arguments[0]} did not end within {timeout:g} s.")
    if ended.why == "cancelled":
        raise errors.OutcomeUnknown(f"git {arguments[0]} was ended, because its run was.")
    if ended.why == "too_much":
        raise errors.CallFailed(f"git {arguments[0]} wrote more than {max_bytes} bytes.")
    return Told(ended.code, bytes(out), err.decode("utf-8", "replace"))


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    env = {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": str(Path.home()),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    if "SSH_AUTH_SOCK" in os.environ:
        env["SSH_AUTH_SOCK"] = os.environ["SSH_AUTH_SOCK"]
    for n, (key, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{n}"] = key
        env[f"GIT_CONFIG_VALUE_{n}"] = value
    return env


def _disarmed(cwd: Path) -> dict[str, str]:
    """Overrides for everything in the repository's own configuration that names a program. Reading it runs nothing."""
    told = _call(["config", "--list", "--name-only", "-z"], cwd, _FIXED, 20, b"", None, 2_000_000)
    found: dict[str, str] = {}
    for name in told.out.decode("utf-8", "surrogateescape").split("\0"):
        if _NAMES_A_PROGRAM.fullmatch(name):
            found[name] = ""
        elif _REQUIRED.fullmatch(name):
            found[name] = "false"
    return found


@functools.lru_cache(maxsize=1)
def _operator() -> dict[str, str]:
    """What the operator's own configuration says about who they are and how they log in."""
    found: dict[str, str] = {"core.sshCommand": "ssh -oBatchMode=yes"}
    for name in _OPERATOR:
        told = subprocess.run(
            ["git", "config", "--global", "--get", name],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if told.returncode == 0 and told.stdout.strip():
            found[name] = told.stdout.strip()
    return found
