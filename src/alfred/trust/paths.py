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
import pathlib
import stat as stat_
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from alfred import errors, ids

StrPath = str | os.PathLike[str]

# linux/openat2.h; the number is the same on every architecture.
_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_RETRIES = 64  # the kernel answers EAGAIN when something was renamed while it looked

# linux/magic.h: file systems whose files are windows into the kernel or into other processes.
_KERNEL_FS = {
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x73636673: "securityfs",
    0xCAFE4A11: "bpf",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x6E736673: "nsfs",
    0x1CD1: "devpts",
}

_O_DIR = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_libc = ctypes.CDLL(None, use_errno=True)


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


def open_beneath(root: StrPath, path: StrPath, mode: str = "r") -> IO[Any]:
    """Opens a plain file beneath `root` as the built-in `open` would; text is UTF-8, newlines are kept.

    `path` is relative to `root`, or absolute and beneath it. Modes are those of `open`. Raises
    `PathRefused` for NUL, `..`, a path or link that leads out, a device, pipe, socket or file of the
    kernel, a symlink when writing, a file with several names when writing; OSError as `open` does.
    """
    flags = _flags(mode)
    writing = flags & os.O_ACCMODE != os.O_RDONLY
    parts = _parts(root, path)
    if not parts:
        raise _refused(path, "it names the root itself, not a file")
    with _rooted(root) as root_fd:
        # Truncated only after it was judged; O_NONBLOCK so that a pipe cannot hold us.
        fd = _open(
            root_fd,
            parts,
            (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_NOCTTY,
            path=path,
            follow=not writing,
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


def _judge(fd: int, path: StrPath, *, writing: bool) -> None:
    """Refuses what is open but no plain file of a real file system."""
    found = os.fstat(fd)
    if stat_.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat_.S_ISREG(found.st_mode):
        raise _refused(path, f"it is {_kind_name(found.st_mode)}, not a plain file")
    if kernel := _kernel_fs(fd):
        raise _refused(path, f"it is a file of the kernel ({kernel})")
    if writing and found.st_nlink > 1:
        raise _refused(
            path,
            f"it has {found.st_nlink} names (hard links): writing would change the others too",
            next="Replace the file instead of writing into it.",
        )


def _kind_name(mode: int) -> str:
    names = (
        (stat_.S_ISFIFO, "a pipe"),
        (stat_.S_ISSOCK, "a socket"),
        (stat_.S_ISCHR, "a device"),
        (stat_.S_ISBLK, "a device"),
        (stat_.S_ISLNK, "a symlink"),
        (stat_.S_ISDIR, "a folder"),
    )
    return next((name for test, name in names if test(mode)), "something special")


def _kernel_fs(fd: int) -> str | None:
    """The name of the kernel's own file system that this descriptor lies on, if it does."""
    if not sys.platform.startswith("linux"):
        return None
    found = (ctypes.c_long * 64)()  # struct statfs is smaller; its first word is f_type
    if _libc.fstatfs(fd, ctypes.byref(found)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return _KERNEL_FS.get(found[0] & 0xFFFFFFFF)


# ---- what file actions need


def stat(root: StrPath, path: StrPath) -> Entry:
    """What lies at `path`; a symlink as the last part is described, never followed."""
    parts = _parts(root, path)
    with _rooted(root) as root_fd:
        if not parts:
            return _entry(".", os.fstat(root_fd))
        with _opened(root_fd, parts[:-1], path=path) as parent:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            return _entry("/".join(parts), found)


def listing(root: StrPath, path: StrPath = ".") -> list[Entry]:
    """The names in a folder, sorted; links are listed as links. Paths are relative to the root."""
    parts = _parts(root, path)
    with _rooted(root) as root_fd:
        return _scan(root_fd, parts, path=path, follow=True)


def walk(root: StrPath, path: StrPath = ".") -> Iterator[Entry]:
    """Everything beneath a folder, parents first, names sorted, without following any link.

    A folder that cannot be read (permissions, vanished meanwhile) is yielded a second time, with its
    `problem`; the walk goes on.
    """
    start = _parts(root, path)
    with _rooted(root) as root_fd:
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


def make_parents(root: StrPath, path: StrPath) -> None:
    """Makes the folders above `path` that are missing; never through a symlink."""
    parts = _parts(root, path)
    with _rooted(root) as root_fd:
        fd = os.dup(root_fd)
        try:
            for part in parts[:-1]:
                with contextlib.suppress(FileExistsError):  # judged by the open that follows
                    os.mkdir(part, dir_fd=fd)
                below = _open(fd, (part,), _O_DIR, path=path, follow=False)
                os.close(fd)
                fd = below
        finally:
            os.close(fd)


def write(root: StrPath, path: StrPath, content: bytes) -> None:
    """Replaces or makes a file at once: whoever reads sees the old content or the new, never a half.

    Written to a new file beside it, synced, renamed over it, the folder synced. The permissions of an
    existing file stay (without setuid and setgid). The parent must exist (`make_parents`). A symlink or
    anything else that is no plain file is refused, not replaced.
    """
    parts = _parts(root, path)
    if not parts:
        raise _refused(path, "it names the root itself, not a file")
    name = parts[-1]
    with _rooted(root) as root_fd, _opened(root_fd, parts[:-1], path=path, follow=False) as parent:
        _refuse_kernel_fs(parent, path)
        old = _present(parent, name)
        if old and not stat_.S_ISREG(old.st_mode):
            raise _refused(path, f"it is {_kind_name(old.st_mode)}, not a plain file")
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


def rename(root: StrPath, path: StrPath, to: StrPath) -> None:
    """Moves a name within the root; a symlink is moved as the link that it is.

    Raises FileExistsError when `to` is taken. The kernel decides that where it can (renameat2); where it
    cannot (macOS, some network file systems), a name made in the same instant may be replaced.
    """
    source, target = _parts(root, path), _parts(root, to)
    if not source or not target:
        raise _refused(path if not source else to, "it names the root itself")
    with (
        _rooted(root) as root_fd,
        _opened(root_fd, source[:-1], path=path, follow=False) as source_fd,
        _opened(root_fd, target[:-1], path=to, follow=False) as target_fd,
    ):
        _refuse_kernel_fs(source_fd, path)
        _refuse_kernel_fs(target_fd, to)
        _rename_new(source_fd, source[-1], target_fd, target[-1])
        _sync(target_fd)
        _sync(source_fd)


def unlink(root: StrPath, path: StrPath) -> None:
    """Removes one name that is no folder; a symlink is removed itself, never what it points to."""
    parts = _parts(root, path)
    if not parts:
        raise _refused(path, "it names the root itself, not a file")
    with _rooted(root) as root_fd, _opened(root_fd, parts[:-1], path=path, follow=False) as parent:
        _refuse_kernel_fs(parent, path)
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


def _scan(root_fd: int, parts: tuple[str, ...], *, path: StrPath, follow: bool) -> list[Entry]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = _open(root_fd, parts or (".",), flags, path=path, follow=follow)
    try:
        _refuse_kernel_fs(fd, path)
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


def _present(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _rename_new(source_fd: int, source: str, target_fd: int, target: str) -> None:
    renameat2 = getattr(_libc, "renameat2", None)
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
    if _present(target_fd, target):
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


def _refuse_kernel_fs(fd: int, path: StrPath) -> None:
    if kernel := _kernel_fs(fd):
        raise _refused(path, f"it lies in a file system of the kernel ({kernel})")


# ---- resolving


def _parts(root: StrPath, path: StrPath) -> tuple[str, ...]:
    """The names from root to path, with nothing left that could lead elsewhere."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise _refused(repr(path), "it is not text")
    if "\0" in text:
        raise _refused(text, "it contains NUL")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise _refused(text, "it cannot be the name of a file") from None
    if not text:
        raise _refused(text, "it is empty")
    if text.startswith("/"):
        text = _inside(os.fspath(root), text)
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _refused(path, "it contains `..`", next="Give the path from the folder itself.")
    return parts


def _inside(root: str, text: str) -> str:
    """The part of an absolute path below the root, as the root is written or as it really is."""
    for start in {str(pathlib.Path(root).absolute()), os.path.realpath(root)}:
        prefix = start.rstrip("/") + "/"
        if (text.rstrip("/") + "/").startswith(prefix):
            return text[len(prefix) :] or "."
    raise _refused(text, f"it is absolute and not beneath {display_name(root)}")


@contextlib.contextmanager
def _rooted(root: StrPath) -> Iterator[int]:
    """A descriptor of the root: chosen by the program, so links on the way to it are followed."""
    fd = os.open(root, _O_DIR)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened(
    root_fd: int, parts: tuple[str, ...], *, path: StrPath, follow: bool = True
) -> Iterator[int]:
    fd = _open(root_fd, parts or (".",), _O_DIR, path=path, follow=follow)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root_fd: int, parts: tuple[str, ...], flags: int, *, path: StrPath, follow: bool) -> int:
    try:
        if _has_openat2():
            return _kernel_open(root_fd, "/".join(parts), flags, follow=follow)
        return _walk_open(root_fd, parts, flags)
    except OSError as problem:
        if problem.errno == errno.EXDEV:
            raise _refused(path, "it leads out of its folder") from None
        if problem.errno == errno.ELOOP:
            raise _refused(path, "there is a symlink on the way that may not be followed") from None
        if problem.errno == errno.EAGAIN:
            raise _refused(path, "it kept changing while it was opened") from None
        if problem.errno == errno.ENAMETOOLONG:
            raise _refused(path, "it is too long") from None
        if problem.errno in (errno.ENXIO, errno.ENODEV):
            raise _refused(path, "it is a pipe, a socket or a device, not a plain file") from None
        raise OSError(problem.errno, problem.strerror, os.fspath(path)) from None


class _How(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


def _kernel_open(root_fd: int, path: str, flags: int, *, follow: bool) -> int:
    resolve = _BENEATH | _NO_MAGICLINKS | (0 if follow else _NO_SYMLINKS)
    # The kernel takes a mode only together with O_CREAT, and nothing but these with O_PATH.
    how = _How(flags, 0o666 if flags & os.O_CREAT else 0, resolve)
    for _ in range(_RETRIES):
        fd = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root_fd),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def _walk_open(root_fd: int, parts: tuple[str, ...], flags: int) -> int:
    """Part by part from the open parent, no symlink followed anywhere."""
    fd = os.dup(root_fd)
    try:
        for part in parts[:-1]:
            below = _step(fd, part, _O_DIR)
            os.close(fd)
            fd = below
        return _step(fd, parts[-1], flags)
    finally:
        os.close(fd)


def _step(parent: int, part: str, flags: int) -> int:
    try:
        return os.open(part, flags | os.O_NOFOLLOW, 0o666, dir_fd=parent)
    except NotADirectoryError:
        # With O_DIRECTORY a symlink is reported as "not a directory": say what it is.
        found = _present(parent, part)
        if found and stat_.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


_kernel_resolves: bool | None = None


def _has_openat2() -> bool:
    """Whether the kernel resolves beneath a root (Linux 5.6, not forbidden by a seccomp filter)."""
    global _kernel_resolves
    if _kernel_resolves is None:
        _kernel_resolves = False
        if sys.platform.startswith("linux"):
            root_fd = os.open("/", _O_DIR)
            try:
                os.close(_kernel_open(root_fd, ".", _O_DIR, follow=False))
                _kernel_resolves = True
            except OSError as problem:
                if problem.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
                    raise
            finally:
                os.close(root_fd)
    return _kernel_resolves


def display_name(path: StrPath) -> str:
    """A path in a message: control and bidi characters visible, never longer than 200 characters."""
    from alfred.trust import display

    return repr(display.display(os.fspath(path), limit=200))


def _refused(path: StrPath, why: str, *, next: str | None = None) -> errors.PathRefused:
    return errors.PathRefused(f"The path {display_name(path)} is refused: {why}.", next=next)
