"""What may be known about the place where the database lies before it is opened, how much room there is, and how much it takes.

SQLite's locks and its shared memory do not hold over a network: two machines on one file lose rows without an
error. So a database on such a file system is refused before anything touches it. Nothing here opens the
database's own files: closing any descriptor of them would drop SQLite's locks in this process.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from alfred import errors
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_TAKEN = Sql(
    "select {pg:pg_database_size(current_database())}"
    "{sqlite:page_count*page_size from pragma_page_count(),pragma_page_size()}"
)

NETWORK = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "afs", "ncpfs"),
        *("webdav", "davfs", "fuse.sshfs", "fuse.rclone", "fuse.davfs2"),
    )
)
"""File systems, by the name that the kernel gives them, that other machines write to at the same time."""


def check_place(path: Path) -> None:
    """Refuses a place where a SQLite database cannot or must not live.

    Raises:
        StoreUnavailable: the folder is missing or cannot be written, something that is no file has the name,
            or the file system is a network's.
    """
    folder = path.parent
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: the folder {folder} {what}.",
            next="Make the folder, or set ALFRED_HOME.",
        )
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as problem:
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: {problem.strerror}.",
            next="Give this account access to the folder, or set ALFRED_HOME.",
        ) from problem
    if not stat.S_ISREG(mode):
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: it is {_kind(mode)}, not a file.",
            next="Move it away, or set ALFRED_HOME.",
        )
    if not os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    ):
        raise errors.StoreUnavailable(
            f"The database {path} cannot be opened: the folder {folder} cannot be written.",
            next="Give this account the right to write there, or set ALFRED_HOME.",
        )
    found = file_system(path)
    if found in NETWORK:
        raise errors.StoreUnavailable(
            f"The database {path} lies on a network file system ({found}), where SQLite loses rows.",
            next="Put ALFRED_HOME on a disk of this machine, or use `database: postgresql://host/name`.",
        )


def file_system(path: Path) -> str:
    """The kernel's name of the file system that a path lies on, `''` when it is not known."""
    import psutil

    where = Path(os.path.realpath(path))
    found = ""
    longest = -1
    for mount in psutil.disk_partitions(all=True):
        # Later mounts hide earlier ones of the same place, so the last of the longest counts.
        length = len(mount.mountpoint)
        if length >= longest and where.is_relative_to(mount.mountpoint):
            found, longest = mount.fstype, length
    return found.lower()


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def taken(look: Tx) -> int:
    """Bytes that an open database takes; the whole one, also of Postgres."""
    return int(look(_TAKEN).scalar_one())
