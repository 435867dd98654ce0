"""Open beneath a root: a path that came from a model never leads out of the folder it was given.

Invariant: nothing is checked first and opened afterwards. The kernel resolves the path beneath an open
root (openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS), or, where it cannot, each part is opened
from its parent with O_NOFOLLOW; what was opened is then judged by its descriptor. A link that is swapped
in between changes nothing.

Links: reading follows a relative symlink that stays beneath the root, where the kernel resolves it; the
walk refuses every symlink. Writing refuses every symlink, and a file with a second name (a hard link
may be a file outside); `write` replaces such a file instead of writing into it.

Errors: `PathRefused` says which path and why. A file that is missing, taken or not permitted is the
ordinary `OSError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat as stat_
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from alfred import errors, ids
from alfred.trust import beneath


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder: `kind` is file, folder, link or other; size in bytes, mtime in seconds.

    `problem` says why a folder could not be read into (only in `walk`).
    """

    path: str
    kind: str
    size: int
    mtime: float
    problem: str | None = None


# ---- opening


def open_beneath(
    root: beneath.StrPath, path: beneath.StrPath, mode: str = "r", *, links: bool = True
) -> IO[Any]:
    """Opens a plain file beneath `root` as the built-in `open` would; text is UTF-8, newlines are kept.

    `path` is relative to `root`, or absolute and beneath it. Modes are those of `open`. Without `links` a symlink is
    refused for reading too. Raises
    `PathRefused` for NUL, `..`, a path or link that leads out, a device, pipe, socket or file of the
    kernel, a symlink when writing, a file with several names when writing; OSError as `open` does.
    """
    flags = _flags(mode)
    writing = flags & os.O_ACCMODE != os.O_RDONLY
    parts = beneath.parts_of(root, path)
    if not parts:
        raise beneath.refused(path, "it names the root itself, not a file")
    with beneath.rooted(root) as root_fd:
        # Truncated only after it was judged; O_NONBLOCK so that a pipe cannot hold us.
        fd = beneath.open_fd(
            root_fd,
            parts,
            (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_NOCTTY,
            path=path,
            follow=links and not writing,
        )
    try:
        _judge(fd, path, writing=writing)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
        os.set_blocking(fd, True)
        if "b" in mode:
            return os.fdopen(fd, mode)
        return os.fdopen(fd, mode, encoding="utf-8", newline="")
    except BaseException:
        os.close(fd)
        raise


def _flags(mode: str) -> int:
    letters = set(mode)
    kinds = letters & set("rwax")
    if (
        len(letters) != len(mode)
        or len(kinds) != 1
        or letters - set("rwaxbt+")
        or {"b", "t"} <= letters
    ):
        raise ValueError(f"{mode!r} is not a mode: one of r, w, a, x, with b or +")
    access = os.O_RDWR if "+" in mode else os.O_RDONLY if "r" in mode else os.O_WRONLY
    extra = {
        "r": 0,
        "w": os.O_CREAT | os.O_TRUNC,
        "a": os.O_CREAT | os.O_APPEND,
        "x": os.O_CREAT | os.O_EXCL,
    }
    return access | extra[kinds.pop()] | os.O_CLOEXEC


def _judge(fd: int, path: beneath.StrPath, *, writing: bool) -> None:
    """Refuses what is open but no plain file of a real file system."""
    found = os.fstat(fd)
    if stat_.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat_.S_ISREG(found.st_mode):
        raise beneath.refused(path, f"it is {beneath.kind_name(found.st_mode)}, not a plain file")
    if kernel := beneath.kernel_fs(fd):
        raise beneath.refused(path, f"it is a file of the kernel ({kernel})")
    if writing and found.st_nlink > 1:
        raise beneath.refused(
            path,
            f"it has {found.st_nlink} names (hard links): writing would change the others too",
            next="Replace the file instead of writing into it.",
        )


# ---- what file actions need


def identity(path: beneath.StrPath) -> tuple[int, int] | None:
    """Which file, folder or link this is, whatever it is called: equal for hard links of one file and for
    spellings that the file system takes for the same. None when nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def stat(root: beneath.StrPath, path: beneath.StrPath) -> Entry:
    """What lies at `path`; a symlink as the last part is described, never followed."""
    parts = beneath.parts_of(root, path)
    with beneath.rooted(root) as root_fd:
        if not parts:
            return _entry(".", os.fstat(root_fd))
        with beneath.opened(root_fd, parts[:-1], path=path) as parent:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            return _entry("/".join(parts), found)


def listing(root: beneath.StrPath, path: beneath.StrPath = ".") -> list[Entry]:
    """The names in a folder, sorted; links are listed as links. Paths are relative to the root."""
    parts = beneath.parts_of(root, path)
    with beneath.rooted(root) as root_fd:
        return _scan(root_fd, parts, path=path, follow=True)


def walk(root: beneath.StrPath, path: beneath.StrPath = ".") -> Iterator[Entry]:
    """Everything beneath a folder, parents first, names sorted, without following any link.

    A folder that cannot be read (permissions, vanished meanwhile) is yielded a second time, with its
    `problem`; the walk goes on.
    """
    start = beneath.parts_of(root, path)
    with beneath.rooted(root) as root_fd:
        waiting = [start]
        while waiting:
            parts = waiting.pop()
            try:
                entries = _scan(root_fd, parts, path="/".join(parts) or ".", follow=False)
            except (OSError, errors.PathRefused) as problem:
                if parts == start:
                    raise
                yield Entry("/".join(parts), "folder", 0, 0.0, str(problem))
                continue
            yield from entries
            deeper = [(*parts, e.path.rpartition("/")[2]) for e in entries if e.kind == "folder"]
            waiting.extend(reversed(deeper))


def make_parents(root: beneath.StrPath, path: beneath.StrPath) -> None:
    """Makes the folders above `path` that are missing; never through a symlink."""
    parts = beneath.parts_of(root, path)
    with beneath.rooted(root) as root_fd:
        fd = os.dup(root_fd)
        try:
            for part in parts[:-1]:
                with contextlib.suppress(FileExistsError):  # judged by the open that follows
                    os.mkdir(part, dir_fd=fd)
                below = beneath.open_fd(fd, (part,), beneath.O_DIR, path=path, follow=False)
                os.close(fd)
                fd = below
        finally:
            os.close(fd)


def write(root: beneath.StrPath, path: beneath.StrPath, content: bytes) -> None:
    """Replaces or makes a file at once: whoever reads sees the old content or the new, never a half.

    Written to a new file beside it, synced, renamed over it, the folder synced. The permissions of an
    existing file stay (without setuid and setgid). The parent must exist (`make_parents`). A symlink or
    anything else that is no plain file is refused, not replaced.
    """
    parts = beneath.parts_of(root, path)
    if not parts:
        raise beneath.refused(path, "it names the root itself, not a file")
    name = parts[-1]
    with (
        beneath.rooted(root) as root_fd,
        beneath.opened(root_fd, parts[:-1], path=path, follow=False) as parent,
    ):
        beneath.refuse_kernel_fs(parent, path)
        old = beneath.present(parent, name)
        if old and not stat_.S_ISREG(old.st_mode):
            raise beneath.refused(path, f"it is {beneath.kind_name(old.st_mode)}, not a plain file")
        temporary = f".{name[:40]}.{ids.secret(8).hex()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600 if old else 0o666, dir_fd=parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                if old:
                    os.fchmod(file.fileno(), stat_.S_IMODE(old.st_mode) & 0o777)
                os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)
            raise
        _sync(parent)


def refuse_links(root: beneath.StrPath, path: beneath.StrPath, *, last: bool) -> None:
    """Says before anything is changed what a change would say: there is a symlink on the way.

    Args:
        last: The last part may be none either.

    Raises:
        PathRefused: there is one.
    """
    parts = beneath.parts_of(root, path)
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        beneath.rooted(root) as root_fd,
        beneath.opened(root_fd, parts[:-1], path=path, follow=False) as parent,
    ):
        there = beneath.present(parent, parts[-1]) if last and parts else None
        if there and stat_.S_ISLNK(there.st_mode):
            raise beneath.refused(
                path, f"it is {beneath.kind_name(there.st_mode)}, not a plain file"
            )


def rename(root: beneath.StrPath, path: beneath.StrPath, to: beneath.StrPath) -> None:
    """Moves a name within the root; a symlink is moved as the link that it is.

    Raises FileExistsError when `to` is taken. The kernel decides that where it can (renameat2); where it
    cannot (macOS, some network file systems), a name made in the same instant may be replaced.
    """
    source, target = beneath.parts_of(root, path), beneath.parts_of(root, to)
    if not source or not target:
        raise beneath.refused(path if not source else to, "it names the root itself")
    with (
        beneath.rooted(root) as root_fd,
        beneath.opened(root_fd, source[:-1], path=path, follow=False) as source_fd,
        beneath.opened(root_fd, target[:-1], path=to, follow=False) as target_fd,
    ):
        beneath.refuse_kernel_fs(source_fd, path)
        beneath.refuse_kernel_fs(target_fd, to)
        _rename_new(source_fd, source[-1], target_fd, target[-1])
        _sync(target_fd)
        _sync(source_fd)


def unlink(root: beneath.StrPath, path: beneath.StrPath) -> None:
    """Removes one name that is no folder; a symlink is removed itself, never what it points to."""
    parts = beneath.parts_of(root, path)
    if not parts:
        raise beneath.refused(path, "it names the root itself, not a file")
    with (
        beneath.rooted(root) as root_fd,
        beneath.opened(root_fd, parts[:-1], path=path, follow=False) as parent,
    ):
        beneath.refuse_kernel_fs(parent, path)
        os.unlink(parts[-1], dir_fd=parent)
        _sync(parent)


def _entry(path: str, found: os.stat_result, problem: str | None = None) -> Entry:
    kind = (
        "file"
        if stat_.S_ISREG(found.st_mode)
        else "folder"
        if stat_.S_ISDIR(found.st_mode)
        else "link"
        if stat_.S_ISLNK(found.st_mode)
        else "other"
    )
    return Entry(path, kind, found.st_size, found.st_mtime, problem)


def _scan(
    root_fd: int, parts: tuple[str, ...], *, path: beneath.StrPath, follow: bool
) -> list[Entry]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = beneath.open_fd(root_fd, parts or (".",), flags, path=path, follow=follow)
    try:
        beneath.refuse_kernel_fs(fd, path)
        entries = []
        with os.scandir(fd) as found:
            for item in found:
                # A name that vanished meanwhile is simply not there any more.
                with contextlib.suppress(FileNotFoundError):
                    shown = "/".join((*parts, item.name))
                    entries.append(_entry(shown, item.stat(follow_symlinks=False)))
        return sorted(entries, key=lambda entry: entry.path)
    finally:
        os.close(fd)


def _rename_new(source_fd: int, source: str, target_fd: int, target: str) -> None:
    renameat2 = getattr(beneath.libc, "renameat2", None)
    if renameat2 is not None:
        no_replace = 1
        if (
            renameat2(source_fd, os.fsencode(source), target_fd, os.fsencode(target), no_replace)
            == 0
        ):
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), source, None, target)
    if beneath.present(target_fd, target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)


def _sync(folder: int) -> None:
    """Makes a change of names durable; an O_PATH descriptor must be opened again for it."""
    try:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except (
        PermissionError
    ):  # a folder that may be written but not listed: the change itself is done
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
