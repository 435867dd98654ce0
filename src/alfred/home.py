"""Where things lie under the home folder, and whose folder it is. Standard library only, cheap to import.

Invariants: the home is asked for at every call, never at import. Nothing is ever written into a folder that
belongs to something else: `ensure` takes an absent or empty folder, or one that is alfred's by its marker or
by `alfred: 1` in its config.yaml, and refuses every other. What `ensure` makes is private: folders 0700,
files 0600. The marker is written before anything else, so a folder with content and no marker is not ours.

Every function below `path` takes the home of a tenant, as `path` or `of_tenant` gave it, and only names the
place; nothing but `ensure` makes anything. The database is never opened here, only SQLite may do that.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alfred import errors

MAIN = "main"
"""The tenant whose home is the home itself, and the agent whose own folder is that of its tenant."""

MARKER = ".alfred-home"
FOLDERS = (
    "actions",
    "agents",
    "backups",
    "logs",
    "skills",
    "state",
    "transcripts",
    "workflows",
    "workspaces",
    "worktrees",
)

_TENANT = re.compile(r"[a-z0-9-]{1,40}")
_OURS = re.compile(rb"""^(?:\xef\xbb\xbf)?(['"]?)alfred\1[ \t]*:[ \t]*1[ \t]*(?:#.*)?\r?$""", re.M)
_ALL = os.R_OK | os.W_OK | os.X_OK
_EFFECTIVE = os.access in os.supports_effective_ids
_LOOK = 1_000_000  # bytes of a config.yaml that are searched for `alfred: 1`; `config` reads no longer file


def path() -> Path:
    """The home folder: `ALFRED_HOME`, else `HERMES_HOME`, else `~/.alfred`, made absolute.

    Raises:
        HomeRefused: `~` stands for nothing here.
    """
    named = os.environ.get("ALFRED_HOME") or os.environ.get("HERMES_HOME") or "~/.alfred"
    try:
        return Path(named).expanduser().absolute()
    except (RuntimeError, OSError) as why:
        raise _refused(Path(named), str(why).rstrip(".")) from None


def expanded(path: Path) -> Path:
    """A path that was written by a person, with the folder that its `~` stands for.

    Raises:
        UsageError: `~` stands for nobody's here.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        from alfred import errors

        raise errors.UsageError(
            f"The path {str(path)!r} cannot be used: its `~` stands for nobody here.",
            next="Write the whole path.",
        ) from None


def of_tenant(home: Path, name: str) -> Path:
    """The home of a tenant: of `main` the home itself, of any other `tenants/<name>`.

    Raises:
        UsageError: the name is not 1 to 40 of a-z, 0-9 and `-`.
    """
    if not _TENANT.fullmatch(name):
        from alfred import errors

        raise errors.UsageError(
            f"{name!r:.100} is no name for a tenant.",
            next="Use 1 to 40 of the letters a-z, the digits and `-`.",
        )
    return home if name == MAIN else tenants_folder(home) / name


def whole(home: Path) -> Path:
    """The home that the home of a tenant lies in; of `main` the home itself."""
    above = home.parent.parent
    return above if tenants_folder(above) == home.parent and _is_file(above / MARKER) else home


def tenants(home: Path) -> list[str]:
    """The names of the tenants that have a home, `main` first."""
    try:
        with os.scandir(tenants_folder(home)) as found:
            others = [e.name for e in found if e.is_dir() and _TENANT.fullmatch(e.name)]
    except FileNotFoundError:
        others = []
    return [MAIN, *sorted(name for name in others if name != MAIN)]


def config_file(home: Path) -> Path:
    """The settings that a person writes."""
    return home / "config.yaml"


def config_schema_file(home: Path) -> Path:
    """The JSON schema of config.yaml, for editors."""
    return home / "config.schema.json"


def env_file(home: Path) -> Path:
    """Secrets as `NAME=value` lines, 0600."""
    return home / ".env"


def database_file(home: Path) -> Path:
    """The ledger, where `database` is `sqlite`."""
    return home / "alfred.db"


def agents(home: Path) -> Path:
    """`<id>/` of every agent: SOUL.md, memory, skills, sessions."""
    return home / "agents"


def of_agent(home: Path, id: str) -> Path:
    """An agent's own folder, with its `memories/` and `skills/`. That of `main` is the home itself."""
    return home if id == MAIN else agents(home) / id


def skills(home: Path) -> Path:
    """Skills that all agents have."""
    return home / "skills"


def actions(home: Path) -> Path:
    """Python files with the user's own actions."""
    return home / "actions"


def workflows(home: Path) -> Path:
    """The user's own workflows."""
    return home / "workflows"


def workspaces(home: Path) -> Path:
    """`<run>/`: folders that alfred made for runs that brought none."""
    return home / "workspaces"


def worktrees(home: Path) -> Path:
    """Git worktrees of firings."""
    return home / "worktrees"


def tenants_folder(home: Path) -> Path:
    """`<tenant>/` of every tenant but `main`."""
    return home / "tenants"


def state(home: Path) -> Path:
    """Mirrors of state that a person greps. Files here that alfred did not make are left alone."""
    return home / "state"


def token_file(home: Path) -> Path:
    """The local token of the server, with all scopes, 0600."""
    return state(home) / "token"


def logs(home: Path) -> Path:
    """Log files."""
    return home / "logs"


def transcripts(home: Path) -> Path:
    """What runs and engines said, in full."""
    return home / "transcripts"


def backups(home: Path) -> Path:
    """Copies of the database."""
    return home / "backups"


def ensure(home: Path, *, tenant: str = MAIN) -> Path:
    """Makes the home, or the home of a tenant in it, with its folders, private; returns its path.

    Safe for any number of processes at once; an existing home only gets what is missing, and loses the
    rights of group and others on its folders. Files that are there are not touched.

    Raises:
        HomeRefused: it belongs to something or somebody else, is no folder, or cannot be written.
        UsageError: the tenant has no proper name.
    """
    below = of_tenant(home, tenant)
    _take(home)
    if below != home:
        _private(home, tenants_folder(home))
        _private(home, below)
    for name in FOLDERS:
        _private(home, below / name)
    return below


def ensure_agent(home: Path, id: str) -> Path:
    """Makes an agent's own folder in a home that is there, private; returns its path.

    Raises:
        HomeRefused: it cannot be made.
    """
    own = of_agent(home, id)
    for folder in (own, own / "memories", own / "skills"):
        _private(home, folder)
    return own


def check(home: Path) -> bool:
    """Whether the home is there and is alfred's. False: it is absent or empty and may be made. Changes nothing.

    Raises:
        HomeRefused: it belongs to something or somebody else, is no folder, or cannot be written.
    """
    try:
        found = home.stat()
    except FileNotFoundError:
        if home.is_symlink():
            raise _refused(home, "it is a link to a place that is not there") from None
        return False
    except (OSError, ValueError) as why:
        raise _refused(home, _said(why)) from None
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(home, "it is no folder")
    if found.st_uid != os.geteuid():
        raise _refused(
            home, f"it belongs to the user with the id {found.st_uid}, not to {os.geteuid()}"
        )
    if not os.access(home, _ALL, effective_ids=_EFFECTIVE):
        if os.statvfs(home).f_flag & os.ST_RDONLY:
            raise _refused(
                home,
                "it cannot be written, its disk is mounted read-only",
                way="Mount it for writing (`dmesg` may say why it is not), or set ALFRED_HOME.",
            )
        raise _refused(
            home,
            "it cannot be written",
            way="Give this account the right to write there, or set ALFRED_HOME to a folder of its own.",
        )
    try:
        if _is_file(home / MARKER) or _says_alfred(config_file(home)):
            return True
        with os.scandir(home) as content:
            other = next(content, None)
    except OSError as why:
        raise _refused(home, _said(why)) from None
    if other is None:
        return False
    if _is_file(
        home / MARKER
    ):  # somebody made it while we looked: the marker comes before the rest
        return True
    if os.path.lexists(config_file(home)):
        raise _refused(
            home, "its config.yaml lacks `alfred: 1` and alfred did not make it", mine=True
        )
    raise _refused(
        home, f"it holds other things ({other.name!r:.80}) and alfred did not make it", mine=True
    )


def _take(home: Path) -> None:
    try:
        if not check(home):
            home.parent.mkdir(parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
            check(home)
        _private(home, home)
        mark = os.open(
            home / MARKER, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        os.close(mark)
    except OSError as why:
        raise _refused(home, _said(why)) from None


def _private(home: Path, folder: Path) -> None:
    """Makes the folder if it is missing, and takes the rights of group and others away."""
    try:
        try:
            folder.mkdir(0o700)
        except FileExistsError:
            if not folder.is_dir():
                way = "Move it away: alfred makes the folder."
                raise _refused(home, f"{folder} is no folder", way=way) from None
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077 or mode & 0o700 != 0o700:
            folder.chmod(0o700)
    except OSError as why:
        raise _refused(home, f"{folder}: {_said(why)}") from None


def _is_file(place: Path) -> bool:
    try:
        return stat.S_ISREG(place.lstat().st_mode)
    except FileNotFoundError:
        return False


def _says_alfred(config: Path) -> bool:
    """Whether a line of the file is `alfred: 1`. Reads plain files only: anything else could block."""
    try:
        file = os.open(config, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return False
    with os.fdopen(file, "rb") as opened:
        return _OURS.search(opened.read(_LOOK)) is not None


def _said(why: OSError | ValueError) -> str:
    return (getattr(why, "strerror", None) or str(why)).lower()


def _refused(
    home: Path,
    why: str,
    *,
    mine: bool = False,
    way: str = "Set ALFRED_HOME to a folder of its own.",
) -> errors.HomeRefused:
    from alfred import errors  # here: the idle lane never refuses, and does not pay for it

    if mine:
        way += " If this one is meant for alfred, write `alfred: 1` into its config.yaml."
    return errors.HomeRefused(f"The home {str(home)!r} cannot be used: {why}.", next=way)
