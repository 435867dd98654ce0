"""The arguments of bubblewrap and of sandbox-exec.

In the sandbox there is: `/usr`, `/bin`, `/lib*`, `/etc` (without shadow, ssh and other keys), read-only; an
empty `/tmp` and HOME; its own `/proc` and `/dev`; the workspace under its own path, read-only or writable,
in which control files stay read-only. There is not: the network, the user's home, ALFRED_HOME (but for the
one workspace below it), other processes, the caller's environment, capabilities, the terminal. With bubblewrap no process
uses more memory than `memory.most` of its own, and what is written where no disk is, which is memory too, has an end.

Nothing of the workspace is interpreted here: a `.git` file that points elsewhere mounts nothing. Known
gap: in a writable workspace a control file that does not exist yet (no `.git`, no `.claude`) or is a symlink can be
made or replaced while a command runs, and a folder with one be moved (`planted` looks afterwards); what alfred itself
runs there must therefore not trust it.

A process is started by `available` alone; what the sandbox really holds back is tried in `probes`, and running
commands belongs to the shell action.
The profile for macOS is built by the same rules and has not been run by the tests.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from alfred import errors
from alfred.trust import memory, names, paths

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
HOME = "/home/sandbox"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Of /etc: what lets its reader in somewhere. A missing one needs no cover.
_ETC_CLOSED = (
    *("shadow", "shadow-", "gshadow", "gshadow-", "master.passwd", "sudoers", "sudoers.d"),
    *("ssh", "ssl/private", "pki/tls/private", "letsencrypt", "krb5.keytab", "security/opasswd"),
    *("wireguard", "openvpn", "ipsec.secrets", "ppp", "NetworkManager", "wpa_supplicant"),
    *("docker", "kubernetes", "rancher", "fstab", "netrc", "alfred"),
)

_BELOW_HOME = (
    "workspaces",
    "worktrees",
)  # what of ALFRED_HOME may be mounted, one folder at a time
# Never mounted, nor anything in them; and never as a whole.
_NEVER = (
    *("/proc", "/sys", "/dev", "/etc", "/boot", "/run", "/usr", "/bin", "/sbin", "/lib", "/lib64"),
    *("/private/etc", "/System", "/Library"),
)
_WHOLE = (
    *("/", "/var", "/home", "/tmp", "/opt", "/srv", "/mnt", "/media"),
    *("/Users", "/private", "/private/var", "/private/tmp"),
)
PROCESSES = 1024
"""Processes and threads that a command may have. In the namespace of bubblewrap the kernel counts those of the sandbox
alone, but never for root: there whoever runs the command has to count (`engines.guard`)."""

HELD = 300
"""Control files that are kept read-only in one workspace: each is a mount, and their cost grows with their square."""

COVER = 65_536
"""Bytes of a folder that only hides another one."""

TRIAL_S = 10
"""Seconds that a first try of the sandbox may take."""


@dataclass(frozen=True, slots=True)
class Available:
    """Which sandbox this machine has: `kind` bubblewrap, sandbox-exec or None, and why."""

    kind: str | None
    reason: str
    program: str = ""
    options: tuple[str, ...] = ()
    sized: bool = True
    """Whether a folder in memory can be given a size: bubblewrap from 0.6 on."""


@functools.lru_cache(maxsize=1)
def available() -> Available:
    """The sandbox that works here. The only truth is a trial (about 10 ms, once per process): user
    namespaces are forbidden on many machines where bubblewrap is installed."""
    if sys.platform == "darwin":
        program = shutil.which("sandbox-exec", path="/usr/bin")
        if program:
            return Available("sandbox-exec", "sandbox-exec is part of this system", program)
        return Available(None, "sandbox-exec is missing from /usr/bin")
    program = shutil.which("bwrap", path=PATH)
    if not program:
        return Available(None, "bubblewrap is not installed (the program bwrap)")
    said = ""
    userns = ("--unshare-user", "--disable-userns")  # new in 0.8
    for options, sized in ((userns, True), ((), True), ((), False)):
        tried = Available("bubblewrap", "bubblewrap works here", program, options, sized)
        inside = ["--ro-bind", "/", "/", *_in_memory(tried, "/tmp")]
        argv = [program, *_isolation(options), *inside, "--", "/bin/true"]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=TRIAL_S, env={}, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as why:
            return Available(None, f"bubblewrap cannot be started: {why}")
        if done.returncode == 0:
            return tried
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
    return Available(None, f"bubblewrap is installed and cannot make a sandbox: {said}")


def build(
    command: Iterable[str],
    *,
    workspace: Path,
    home: Path,
    writable: bool = False,
    readable: Iterable[Path] = (),
    held: Sequence[str] = (),
    cwd: str = ".",
) -> list[str]:
    """The argv that runs `command` in the sandbox of this machine.

    `home` is ALFRED_HOME; `readable` are files and folders that are mounted read-only under their own
    paths: in a writable workspace they stay what and where they are; `held` are control files further down in a
    writable workspace, which stay read-only as those at its top do; `cwd` is relative to the workspace.
    The caller starts it in a session of its own and kills the group. Raises PathRefused for a workspace
    that would open what must stay closed, ConfigError when there is no sandbox.
    """
    found = available()
    if found.kind is None:
        raise errors.ConfigError(
            f"There is no sandbox: {found.reason}.",
            next="Install bubblewrap, or write `sandbox: off` into the configuration.",
        )
    place = mountable(workspace, home=home)
    if not place.is_dir():
        raise _refused(workspace, "it is no folder")
    extra = [mountable(path, home=home) for path in readable if not _is_there(path)]
    if writable:
        extra = sorted({*extra, *_other_names(extra, place)})
    control = _control(place, held) if writable else []
    if found.kind == "bubblewrap":
        argv = _bubblewrap(
            found, place, home=home, writable=writable, readable=extra, control=control, cwd=cwd
        )
        return [*argv, "--", *_limited(), *command]
    text = profile(place, home=home, writable=writable, readable=extra, control=control)
    inner = ["/usr/bin/env", "-i", *(f"{k}={v}" for k, v in environment(HOME).items())]
    return [found.program, "-p", text, *inner, *command]


def environment(home: str = HOME) -> dict[str, str]:
    """Everything that a sandboxed process finds in its environment."""
    lang = os.environ.get("LANG", "C.UTF-8")
    term = os.environ.get("TERM", "dumb")
    return {"PATH": PATH, "HOME": home, "LANG": lang, "TERM": term}


def mountable(path: Path, *, home: Path) -> Path:
    """The real path of what shall be mounted, when that opens nothing that must stay closed.

    Refused: what is missing; `/` and system folders; the user's home or a folder above it; ALFRED_HOME
    and everything in it but single workspaces and worktrees; a folder in which ALFRED_HOME lies is
    taken (ALFRED_HOME is covered there).
    """
    real = Path(os.path.realpath(path))
    own = Path(os.path.realpath(home))
    user = Path(os.path.realpath(Path.home()))
    if not real.exists():
        raise _refused(path, "it does not exist")
    if str(real) in _WHOLE or any(real.is_relative_to(closed) for closed in _NEVER):
        raise _refused(path, "it is a folder of the system")
    if user.is_relative_to(real) and user != Path("/"):
        raise _refused(path, "your whole home lies in it")
    if real.is_relative_to(own) and not _is_workspace(real.relative_to(own).parts):
        raise _refused(path, "it lies in alfred's own home")
    return real


def _is_there(path: Path) -> bool:
    """Whether a file to be read is one of the system's, which are there anyway, or are covered."""
    return any(Path(os.path.realpath(path)).is_relative_to(place) for place in (*SYSTEM, "/etc"))


def _is_workspace(parts: tuple[str, ...]) -> bool:
    if parts[:1] == ("tenants",):
        parts = parts[2:]
    return len(parts) > 1 and parts[0] in _BELOW_HOME


def _refused(path: Path, why: str) -> errors.PathRefused:
    return errors.PathRefused(
        f"{str(path)!r} cannot be given to the sandbox: {why}.",
        next="Choose one project folder with --in.",
    )


# ---- bubblewrap


def _isolation(options: tuple[str, ...]) -> list[str]:
    """No network, no other processes, no terminal to type into; dies with the one who started it."""
    return [
        *("--unshare-all", *options, "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"),
    ]


def _bubblewrap(
    found: Available,
    workspace: Path,
    *,
    home: Path,
    writable: bool,
    readable: list[Path],
    control: list[Path],
    cwd: str,
) -> list[str]:
    # The environment of bwrap itself could be read within, in /proc/1/environ: it must be empty.
    argv = ["/usr/bin/env", "-i", found.program, *_isolation(found.options)]
    for name, value in environment().items():
        argv += ["--setenv", name, value]
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    argv += _etc(found)
    argv += ["--proc", "/proc", "--dev", "/dev"]
    for name in ("/dev/shm", "/tmp", HOME):
        argv += _in_memory(found, name)
    argv += ["--remount-ro", "/dev"]

    # What is mounted later covers what was there: the workspace anything around it, and what is only read
    # the workspace. ALFRED_HOME is covered where it lies in something mounted, before what of it is mounted.
    own = Path(os.path.realpath(home))
    within = [path for path in readable if path.is_relative_to(workspace)]
    mounts = [("--ro-bind", path) for path in readable if path not in within]
    mounts.append(("--bind" if writable else "--ro-bind", workspace))
    if writable:
        mounts += [("--bind", folder) for folder in _between(workspace, within, own=own)]
    mounts += [("--ro-bind", path) for path in within]
    mounts += [("--ro-bind", path) for path in control if path != own]
    outer = [mount for mount in mounts if not mount[1].is_relative_to(own)]
    for option, path in outer:
        argv += [option, str(path), str(path)]
    if own.is_dir() and any(own.is_relative_to(path) for _, path in outer):
        argv += _in_memory(found, str(own), COVER)
    for option, path in mounts:
        if path.is_relative_to(own):
            argv += [option, str(path), str(path)]
    inside = Path(os.path.normpath(workspace / cwd))
    if not inside.is_relative_to(workspace):
        raise _refused(inside, "it is not in the workspace")
    # What everything is mounted in is a folder in memory as well.
    return [*argv, "--remount-ro", "/", "--chdir", str(inside)]


def _in_memory(found: Available, folder: str, size: int | None = None) -> list[str]:
    """An empty folder that is held in memory; without a size it would take half of all that there is."""
    most = memory.files() if size is None else size
    return [*(("--size", str(most)) if found.sized else ()), "--tmpfs", folder]


def _limited() -> list[str]:
    """Lowers the limit of processes within the sandbox (outside it would count every process of the user), and of the
    memory that each of them may have for itself. What a program only reserves does not count: runtimes reserve a lot."""
    bash = shutil.which("bash", path=PATH)
    limits = f"ulimit -u {PROCESSES} 2>/dev/null; ulimit -d {memory.most() // 1024}"
    return [bash, "-c", f'{limits}; exec "$@"', "bash"] if bash else []


def _control(workspace: Path, held: Sequence[str]) -> list[Path]:
    """What steers other programs, or agents: read-only even where the workspace is writable."""
    top = [
        path for path in workspace.iterdir() if names.sensitive(path.name) and not path.is_symlink()
    ]
    found = sorted({*top, *(workspace / path for path in held)})
    if len(found) > HELD:
        raise _refused(
            workspace,
            f"{len(found)} files and folders in it steer programs or hold secrets, and at most {HELD} can be kept from"
            " a command that may write",
        )
    return found


def _between(workspace: Path, files: list[Path], *, own: Path) -> list[Path]:
    """The folders that lead to files in the workspace, outermost first. Mounted on themselves they cannot be
    renamed, and so nothing else be put in the place of the file: a rename takes a mount along.

    Those in ALFRED_HOME are empty there when the workspace lies around it, and mounting would open them.
    """
    folders = {folder for path in files for folder in path.parents}
    return sorted(
        folder
        for folder in folders
        if folder != workspace
        and folder.is_relative_to(workspace)
        and (workspace.is_relative_to(own) or not folder.is_relative_to(own))
    )


def _other_names(files: Iterable[Path], workspace: Path) -> list[Path]:
    """Hard links in the workspace to files that are only read: to write there would be to write into them.

    Raises PathRefused when a folder hides what lies in it.
    """
    shared = {paths.identity(p) for p in files if p.is_file() and p.stat().st_nlink > 1}
    return [
        path
        for folder, _, names in (os.walk(workspace, onerror=_hidden) if shared else ())
        for path in (Path(folder, name) for name in names)
        if paths.identity(path) in shared
    ]


def _hidden(problem: OSError) -> NoReturn:
    raise _refused(
        Path(os.fsdecode(problem.filename)),
        "it cannot be listed, and an input that has several names (hard links) may have one in it",
    )


def _etc(found: Available) -> list[str]:
    argv = ["--ro-bind", "/etc", "/etc"]
    for path in (Path("/etc", name) for name in _ETC_CLOSED):
        if path.is_symlink():
            path = path.resolve()
            if not path.is_relative_to("/etc"):
                continue  # it leads to what is not mounted, or to what everybody may read in /usr
        if path.is_dir():
            argv += _in_memory(found, str(path), COVER)
        elif path.exists():
            argv += ["--ro-bind", "/dev/null", str(path)]
    return argv


# ---- sandbox-exec


def profile(
    workspace: Path,
    *,
    home: Path,
    writable: bool = False,
    readable: Sequence[Path] = (),
    control: Sequence[Path] = (),
) -> str:
    """The profile for macOS's sandbox-exec: everything denied, then what bubblewrap would mount."""
    system = (
        "/usr",
        "/bin",
        "/sbin",
        "/System",
        "/Library/Developer",
        "/opt/homebrew",
        "/private/etc",
    )
    closed = tuple(f"/private/etc/{name}" for name in _ETC_CLOSED)
    own = os.path.realpath(home)
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork process-exec signal (target same-sandbox))",
        "(allow sysctl-read)",
        "(deny network*)",
        _rule("allow", "file-read*", system),
        _rule("deny", "file-read*", closed),
        '(allow file-read* (literal "/") (literal "/dev/null") (literal "/dev/urandom"))',
        '(allow file-write* (literal "/dev/null"))',
    ]
    # The last rule that matches wins: first ALFRED_HOME is closed, then the workspace opened, and
    # closed again where ALFRED_HOME lies within it.
    lines.append(_rule("deny", "file-read* file-write*", (own,)))
    lines.append(_rule("allow", "file-read*", (str(workspace), *map(str, readable))))
    if writable:
        lines.append(_rule("allow", "file-write*", (str(workspace),)))
        within = [path for path in readable if path.is_relative_to(workspace)]
        lines.append(_rule("deny", "file-write*", map(str, (*control, *within))))
        for folder in _between(workspace, [*within, *control], own=Path(own)):
            lines.append(f"(deny file-write-unlink (literal {_quoted(str(folder))}))")
    if Path(own).is_relative_to(workspace):
        lines.append(_rule("deny", "file-read* file-write*", (own,)))
    return "\n".join(lines) + "\n"


def _rule(verb: str, what: str, where: Iterable[str]) -> str:
    return f"({verb} {what} {' '.join(f'(subpath {_quoted(path)})' for path in where)})"


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
