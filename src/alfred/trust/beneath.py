"""A path taken apart and opened beneath an open root; what `paths` is made of.

Invariant: every name is resolved by the kernel beneath a descriptor of the root (openat2 with RESOLVE_BENEATH
and RESOLVE_NO_MAGICLINKS), or, where the kernel cannot or may not, part by part from the open parent with
O_NOFOLLOW. There is no moment between looking and opening in which a link could be swapped in.
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

from alfred import errors

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

O_DIR = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)


def parts_of(root: StrPath, path: StrPath) -> tuple[str, ...]:
    """The names from root to path, with nothing left that could lead elsewhere."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise refused(repr(path), "it is not text")
    if "\0" in text:
        raise refused(text, "it contains NUL")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise refused(text, "it cannot be the name of a file") from None
    if not text:
        raise refused(text, "it is empty")
    if text.startswith("/"):
        text = _inside(os.fspath(root), text)
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refused(path, "it contains `..`", next="Give the path from the folder itself.")
    return parts


def _inside(root: str, text: str) -> str:
    """The part of an absolute path below the root, as the root is written or as it really is."""
    for start in {str(pathlib.Path(root).absolute()), os.path.realpath(root)}:
        prefix = start.rstrip("/") + "/"
        if (text.rstrip("/") + "/").startswith(prefix):
            return text[len(prefix) :] or "."
    raise refused(text, f"it is absolute and not beneath {display_name(root)}")


@contextlib.contextmanager
def rooted(root: StrPath) -> Iterator[int]:
    """A descriptor of the root: chosen by the program, so links on the way to it are followed."""
    fd = os.open(root, O_DIR)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(
    root_fd: int, parts: tuple[str, ...], *, path: StrPath, follow: bool = True
) -> Iterator[int]:
    fd = open_fd(root_fd, parts or (".",), O_DIR, path=path, follow=follow)
    try:
        yield fd
    finally:
        os.close(fd)


def open_fd(
    root_fd: int, parts: tuple[str, ...], flags: int, *, path: StrPath, follow: bool
) -> int:
    try:
        if _has_openat2():
            return _kernel_open(root_fd, "/".join(parts), flags, follow=follow)
        return _walk_open(root_fd, parts, flags)
    except OSError as problem:
        if problem.errno == errno.EXDEV:
            raise refused(path, "it leads out of its folder") from None
        if problem.errno == errno.ELOOP:
            raise refused(path, "there is a symlink on the way that may not be followed") from None
        if problem.errno == errno.EAGAIN:
            raise refused(path, "it kept changing while it was opened") from None
        if problem.errno == errno.ENAMETOOLONG:
            raise refused(path, "it is too long") from None
        if problem.errno in (errno.ENXIO, errno.ENODEV):
            raise refused(path, "it is a pipe, a socket or a device, not a plain file") from None
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
        fd = libc.syscall(
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
            below = _step(fd, part, O_DIR)
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
        found = present(parent, part)
        if found and stat_.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        if found and stat_.S_ISDIR(found.st_mode):  # by now; when it was opened it was none
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raise


_kernel_resolves: bool | None = None


def _has_openat2() -> bool:
    """Whether the kernel resolves beneath a root (Linux 5.6, not forbidden by a seccomp filter)."""
    global _kernel_resolves
    if _kernel_resolves is None:
        _kernel_resolves = False
        if sys.platform.startswith("linux"):
            root_fd = os.open("/", O_DIR)
            try:
                os.close(_kernel_open(root_fd, ".", O_DIR, follow=False))
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


def refused(path: StrPath, why: str, *, next: str | None = None) -> errors.PathRefused:
    return errors.PathRefused(f"The path {display_name(path)} is refused: {why}.", next=next)


def kind_name(mode: int) -> str:
    names = (
        (stat_.S_ISFIFO, "a pipe"),
        (stat_.S_ISSOCK, "a socket"),
        (stat_.S_ISCHR, "a device"),
        (stat_.S_ISBLK, "a device"),
        (stat_.S_ISLNK, "a symlink"),
        (stat_.S_ISDIR, "a folder"),
    )
    return next((name for test, name in names if test(mode)), "something special")


def kernel_fs(fd: int) -> str | None:
    """The name of the kernel's own file system that this descriptor lies on, if it does."""
    if not sys.platform.startswith("linux"):
        return None
    found = (ctypes.c_long * 64)()  # struct statfs is smaller; its first word is f_type
    if libc.fstatfs(fd, ctypes.byref(found)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return _KERNEL_FS.get(found[0] & 0xFFFFFFFF)


def present(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def refuse_kernel_fs(fd: int, path: StrPath) -> None:
    if kernel := kernel_fs(fd):
        raise refused(path, f"it lies in a file system of the kernel ({kernel})")
