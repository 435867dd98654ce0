"""Attempts to get out of the sandbox of this machine, for doctor: each must fail.

An attempt that could not be made does not count as one that failed.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alfred.trust import memory, sandbox


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt to get out: `held` says that it failed, as it must; `detail` what was seen."""

    name: str
    held: bool
    detail: str


def probe(home: Path) -> list[Probe]:
    """Tries to get out of a real sandbox, for doctor: each attempt must fail. About 0.1 s.

    Raises ConfigError when there is no sandbox. Makes folders with a canary in `home`, and takes them
    away again.
    """
    with (
        tempfile.TemporaryDirectory(prefix="probe-", dir=_folder(home / "workspaces")) as inside,
        tempfile.TemporaryDirectory(prefix="probe-", dir=_folder(home / "state")) as private,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        workspace, closed = Path(inside), Path(private)
        (closed / "canary").write_text("alfred-canary\n")
        (workspace / ".git").mkdir()
        return [
            _attempt(name, script, writable, workspace, closed / name.replace(" ", "-"), home)
            for name, script, writable in _attempts(closed, workspace, listener.getsockname()[1])
        ]


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


_CANARY = "alfred-probe-canary-7f3a"


def _attempts(closed: Path, workspace: Path, port: int) -> list[tuple[str, str, bool]]:
    """(what must not be possible, a script that exits with 0 when it was, writable workspace).

    `$MARK` is a file in ALFRED_HOME that the script may also leave as its proof.
    """
    canary = shlex.quote(str(closed / "canary"))
    try:
        pids = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: there the profile forbids to signal others
        pids = "none"
    seen = " || ".join(f"test -e {shlex.quote(str(path))}" for path in _own(workspace))
    same = f'test "$(readlink /proc/self/ns/pid)" = {shlex.quote(pids)}'
    tcp = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
    return [
        *_memory(),
        (
            "write outside of the workspace",
            "mkdir -p $(dirname $MARK); echo x > $MARK; false",
            True,
        ),
        ("write into a read-only workspace", "echo x > file", False),
        ("write into the repository's .git", "mkdir .git/hooks", True),
        ("write into the system", "echo x > /usr/alfred-probe && rm /usr/alfred-probe", True),
        ("read alfred's home", f"grep -q alfred-canary {canary}", True),
        ("read the user's home", seen or "false", True),
        ("read the passwords of the system", "grep -q : /etc/shadow", True),
        (
            "reach the network",
            f"bash -c {shlex.quote(tcp)} || test $(wc -l < /proc/net/route) -gt 1",
            True,
        ),
        ("see processes of the host", same, True),
        ("kill the parent", f"{same} && kill -0 {os.getpid()}", True),
        ("read another environment", f"grep -q -a -s {_CANARY[:-1]}[a] /proc/[0-9]*/environ", True),
        ("find secrets in the environment", f"env | grep -q {_CANARY[:-1]}[a]", True),
    ]


def _own(workspace: Path) -> list[Path]:
    """Some of what lies in the person's home. An account whose home is `/`, is missing or is not its own to read has
    nothing there."""
    user = Path.home()
    try:
        names = [] if user == Path("/") else list(user.iterdir())
    except OSError:
        names = []
    return [path for path in names if not workspace.is_relative_to(path)][:40]


def _memory() -> list[tuple[str, str, bool]]:
    """Where the sandbox holds it back: there is nothing of the kind on macOS, nor in an old bubblewrap for files."""
    found = sandbox.available()
    if found.kind != "bubblewrap":
        return []
    large = f'test $(($(stat -f -c "%b*%S" /dev/shm))) -gt {memory.files() + 4096}'
    return [
        ("use memory without end", 'test "$(ulimit -d)" = unlimited', False),
        *([("fill the memory with files", large, False)] if found.sized else []),
    ]


def _attempt(
    name: str, script: str, writable: bool, workspace: Path, mark: Path, home: Path
) -> Probe:
    script = f"MARK={shlex.quote(str(mark))}; {script}"
    argv = sandbox.build(
        ["/bin/sh", "-c", script], workspace=workspace, home=home, writable=writable
    )
    try:
        done = subprocess.run(
            argv,
            cwd=workspace,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=sandbox.TRIAL_S,
            env={**os.environ, "ALFRED_PROBE": _CANARY},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        return Probe(name, False, f"it could not be tried: {why}")
    if done.stderr.startswith("bwrap:"):
        return Probe(name, False, f"it could not be tried: {done.stderr.strip()[:200]}")
    held = done.returncode != 0 and not mark.exists()
    return Probe(name, held, "held" if held else "it was possible")
