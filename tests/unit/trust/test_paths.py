"""Hostile paths on a real file system, with the kernel's resolution and with the walk that replaces it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.trust import beneath, paths
from tests.table import table

SECRET = "the secret outside"


@pytest.fixture(params=["kernel", "walk"], autouse=True)
def resolution(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds for openat2 and, where the kernel has none, for the walk."""
    if request.param == "walk":
        monkeypatch.setattr(beneath, "_kernel_resolves", False)
    elif not beneath._has_openat2():
        pytest.skip("this kernel has no openat2 (Linux 5.6)")
    return request.param


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root full of traps; outside of it lies what must never be read or changed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (outside / "folder").mkdir()
    (outside / "folder" / "secret").write_text(SECRET)
    (tmp_path / "rooted-twin").mkdir()  # shares the root's name as a prefix
    (tmp_path / "rooted-twin" / "secret").write_text(SECRET)

    root = tmp_path / "rooted"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "plain.txt").write_text("plain")
    (root / "sub" / "inner.txt").write_text("inner")
    (root / "sub" / "deep" / "leaf").write_text("leaf")
    (root / "wéird name\n").write_text("odd")
    (root / "..dots").write_text("dots")
    (root / "...").write_text("three")
    (root / "~").write_text("tilde")
    (root / "back\\slash").write_text("backslash")
    (root / "private").write_text("mine")
    (root / "private").chmod(0o600)

    links = {
        "to-secret": "../outside/secret",
        "to-secret-absolute": str(outside / "secret"),
        "to-folder": "../outside/folder",
        "to-folder-absolute": str(outside / "folder"),
        "to-root-of-all": "/",
        "to-parent": "..",
        "to-etc-passwd": "/etc/passwd",
        "to-proc-self": "/proc/self",
        "to-proc-root": "/proc/self/root",
        "to-proc-cwd": "/proc/self/cwd",
        "to-proc-fd": "/proc/self/fd",
        "to-environ": "/proc/self/environ",
        "to-dev-zero": "/dev/zero",
        "to-stdin": "/dev/stdin",
        "loop": "loop",
        "loop-a": "loop-b",
        "loop-b": "loop-a",
        "dangling-out": "../outside/new",
        "dangling-absolute": str(outside / "new"),
        "chain-1": "chain-2",
        "chain-2": "to-secret",
        "sub/up": "../../outside/secret",
        "sub/up-folder": "../../outside",
        "sub/out-and-in": "../../rooted/plain.txt",
        "sub/deep/far": "../../../outside/secret",
        "many-ups": "../" * 40 + "etc/passwd",
        "twin": "../rooted-twin/secret",
        "good-link": "sub/inner.txt",
        "good-folder": "sub",
        "sub/good-up": "../plain.txt",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.link(outside / "secret", root / "hard")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket has at most 107 characters
        try:
            sock.bind("socket")
        finally:
            os.chdir(here)
    return root


def _everything_outside(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree.parent)): path.read_bytes() if path.is_file() else b""
        for folder in (tree.parent / "outside", tree.parent / "rooted-twin")
        for path in sorted(folder.rglob("*"))
    }


# Each leads out of the root, or to what is no plain file, or is no path at all.
HOSTILE = [
    "..",
    "../",
    "../outside/secret",
    "../outside/../outside/secret",
    "./../outside/secret",
    "sub/../../outside/secret",
    "sub/./../../outside/secret",
    "sub/deep/../../../outside/secret",
    "sub//..//..//outside//secret",
    "plain.txt/../../outside/secret",
    "missing/../../outside/secret",
    "../" * 60 + "etc/passwd",
    "sub/..",
    "sub/../plain.txt",
    "../rooted/plain.txt",
    "../rooted-twin/secret",
    "/etc/passwd",
    "/",
    "//",
    "//etc/passwd",
    "/./etc/passwd",
    "/proc/self/environ",
    "/proc/1/environ",
    "/proc/self/mem",
    "/proc/self/maps",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd/../outside/secret",
    "/dev/null",
    "/dev/stdin",
    "/dev/fd/0",
    "{root}/../outside/secret",
    "{root}/sub/../../outside/secret",
    "{root}-twin/secret",
    "{parent}/outside/secret",
    "{parent}",
    "to-secret",
    "to-secret-absolute",
    "to-folder/secret",
    "to-folder-absolute/secret",
    "to-root-of-all/etc/passwd",
    "to-parent/outside/secret",
    "to-parent/rooted/plain.txt",
    "to-etc-passwd",
    "to-proc-self/environ",
    "to-proc-self/mem",
    "to-proc-root/etc/passwd",
    "to-proc-cwd/plain.txt",
    "to-proc-fd/0",
    "to-environ",
    "to-dev-zero",
    "to-stdin",
    "loop",
    "loop/x",
    "loop-a",
    "dangling-out",
    "dangling-absolute",
    "chain-1",
    "chain-2",
    "sub/up",
    "sub/up-folder/secret",
    "sub/out-and-in",
    "sub/deep/far",
    "many-ups",
    "twin",
    "good-folder/up",
    "./to-secret",
    "sub/../to-secret",
    "pipe",
    "socket",
    "",
    ".",
    "./",
    "././.",
    "\0",
    "plain.txt\0",
    "plain.txt\0.png",
    "sub/\0/inner.txt",
    "\0/../../outside/secret",
    "\ud800",
    "sub/\udfff\ud800",
    "x" * 300,
    "sub/" + "y" * 256,
    "a/" * 3000 + "b",
]
assert len(HOSTILE) >= 60


def _filled(path: str, root: Path) -> str:
    return path.replace("{root}", str(root)).replace("{parent}", str(root.parent))


@pytest.mark.parametrize("mode", ["r", "rb", "r+", "w", "wb", "a", "x", "w+"])
def test_a_hostile_path_is_refused_and_touches_nothing_outside(tree: Path, mode: str) -> None:
    before = _everything_outside(tree)
    passed = []
    for path in HOSTILE:
        try:
            with paths.open_beneath(tree, _filled(path, tree), mode) as file:
                passed.append((path, file.name))
        except errors.PathRefused:
            pass
        except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as why:
            # Nothing was opened; only these ends are as harmless as a refusal.
            assert mode == "x" or path.startswith(("missing", "a/")) or "folder" in str(why), path
    assert passed == []
    assert _everything_outside(tree) == before


def test_the_error_says_which_path_and_why(tree: Path) -> None:
    with pytest.raises(errors.PathRefused, match=r"'\.\./outside/secret' is refused: .*`\.\.`"):
        paths.open_beneath(tree, "../outside/secret", "r")
    with pytest.raises(errors.PathRefused, match="'pipe' is refused: it is a pipe"):
        paths.open_beneath(tree, "pipe", "r")
    with pytest.raises(errors.PathRefused, match=r"NUL") as caught:
        paths.open_beneath(tree, "a\0\x1b[2J\u202eb", "r")
    assert "\x1b" not in caught.value.detail
    assert "\u202e" not in caught.value.detail


@table(
    [
        ("plain.txt", "plain"),
        ("./plain.txt", "plain"),
        (".//plain.txt", "plain"),
        ("sub/inner.txt", "inner"),
        ("sub//deep///leaf", "leaf"),
        ("{root}/plain.txt", "plain"),
        ("{root}/sub/deep/leaf", "leaf"),
        ("{root}//plain.txt", "plain"),
        ("wéird name\n", "odd"),
        ("..dots", "dots"),
        ("...", "three"),
        ("~", "tilde"),
        ("back\\slash", "backslash"),
        ("private", "mine"),
        ("hard", SECRET),  # a second name of a file cannot be told from the first
    ]
)
def test_an_honest_path_is_opened(tree: Path, path: str, content: str) -> None:
    with paths.open_beneath(tree, _filled(path, tree), "r") as file:
        assert file.read() == content


@pytest.mark.parametrize(
    ("path", "content"),
    [("good-link", "inner"), ("good-folder/inner.txt", "inner"), ("sub/good-up", "plain")],
)
def test_a_link_that_stays_beneath_is_read_by_the_kernel_and_refused_by_the_walk(
    tree: Path, resolution: str, path: str, content: str
) -> None:
    if resolution == "kernel":
        with paths.open_beneath(tree, path, "r") as file:
            assert file.read() == content
    else:
        with pytest.raises(errors.PathRefused, match="symlink"):
            paths.open_beneath(tree, path, "r")


@pytest.mark.parametrize("mode", ["w", "a", "r+", "w+"])
@pytest.mark.parametrize("path", ["good-link", "good-folder/inner.txt", "sub/good-up"])
def test_nothing_is_written_through_a_link_even_one_that_stays(
    tree: Path, path: str, mode: str
) -> None:
    with pytest.raises(errors.PathRefused, match="symlink"):
        paths.open_beneath(tree, path, mode)
    assert (tree / "sub" / "inner.txt").read_text() == "inner"
    assert (tree / "plain.txt").read_text() == "plain"


@table(["w", "wb", "a", "r+"])
def test_a_file_with_a_second_name_is_not_written_into(tree: Path, mode: str) -> None:
    with pytest.raises(errors.PathRefused, match="hard links"):
        paths.open_beneath(tree, "hard", mode)
    assert (tree.parent / "outside" / "secret").read_text() == SECRET


def test_a_root_that_is_itself_reached_by_a_link_is_used(tree: Path) -> None:
    alias = tree.parent / "alias"
    alias.symlink_to(tree)
    with paths.open_beneath(alias, "plain.txt", "r") as file:
        assert file.read() == "plain"
    for start in (alias, tree):
        with paths.open_beneath(alias, start / "sub" / "inner.txt", "r") as file:
            assert file.read() == "inner"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
@table(
    [
        ("/", "proc/self/environ"),
        ("/", "proc/self/maps"),
        ("/", "proc/self/mem"),
        ("/", "/proc/1/environ"),
        ("/proc", "self/environ"),
        ("/proc", "1/environ"),
        ("/proc", "version"),
        ("/proc/self", "environ"),
        ("/", "dev/null"),
        ("/dev", "zero"),
        ("/dev", "null"),
        ("/sys", "kernel/mm/transparent_hugepage/enabled"),
    ]
)
def test_a_file_of_the_kernel_is_refused_even_beneath_its_own_root(root: str, path: str) -> None:
    # What belongs to another user may be forbidden before it is judged; opened it never is.
    with pytest.raises((errors.PathRefused, FileNotFoundError, PermissionError)) as caught:
        paths.open_beneath(root, path, "rb")
    if Path(root) == Path("/proc") and path == "version":
        assert isinstance(caught.value, errors.PathRefused)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
def test_the_environment_of_a_process_is_never_opened(resolution: str) -> None:
    own = f"{os.getpid()}/environ"
    assert Path("/proc", own).exists()
    with pytest.raises(errors.PathRefused, match="kernel"):
        paths.open_beneath("/proc", own, "rb")
    with pytest.raises(errors.PathRefused, match="kernel"):
        paths.listing("/proc", str(os.getpid()))


@table(["", "rw", "q", "r+w", "bt", "rbt", "rr", "U", "r\0"])
def test_a_mode_that_is_none_is_refused(tree: Path, mode: str) -> None:
    with pytest.raises(ValueError, match="is not a mode"):
        paths.open_beneath(tree, "plain.txt", mode)


def test_the_modes_do_what_they_do_elsewhere(tree: Path) -> None:
    with paths.open_beneath(tree, "new", "x") as file:
        file.write("a\r\nb")
    with pytest.raises(FileExistsError):
        paths.open_beneath(tree, "new", "x")
    with paths.open_beneath(tree, "new", "a") as file:
        file.write("c\n")
    with paths.open_beneath(tree, "new", "rb") as file:
        assert file.read() == b"a\r\nbc\n"  # newlines are kept
    with paths.open_beneath(tree, "new", "r+b") as file:
        file.write(b"A")
    with paths.open_beneath(tree, "new", "r") as file:
        assert file.read() == "A\r\nbc\n"
    with paths.open_beneath(tree, "new", "w") as file:
        file.write("ü")
    assert (tree / "new").read_bytes() == "ü".encode()
    with pytest.raises(FileNotFoundError):
        paths.open_beneath(tree, "missing", "r")
    with pytest.raises(FileNotFoundError):
        paths.open_beneath(tree, "missing/file", "w")
    with pytest.raises(IsADirectoryError):
        paths.open_beneath(tree, "sub", "r")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
def test_no_descriptor_is_left_open(tree: Path) -> None:
    def held() -> list[Path]:
        # Of the tree alone: what other tests of this process left open is closed whenever it is collected.
        found = []
        for number in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # what this list was read with
                found.append(number.readlink())
        return [target for target in found if target.is_relative_to(tree.parent)]

    assert held() == []
    with paths.open_beneath(tree, "plain.txt", "r"):
        assert held() == [tree / "plain.txt"]
    for path in [*HOSTILE, "plain.txt", "sub/inner.txt"]:
        for mode in ("r", "w"):
            try:
                paths.open_beneath(tree, _filled(path, tree), mode).close()
            except (errors.PathRefused, OSError):
                continue
    assert held() == []


# ---- what file actions need


def test_listing_and_stat_describe_links_and_follow_none(tree: Path) -> None:
    kinds = {entry.path: entry.kind for entry in paths.listing(tree)}
    assert kinds["plain.txt"] == "file"
    assert kinds["sub"] == "folder"
    assert kinds["to-secret"] == "link"
    assert kinds["pipe"] == kinds["socket"] == "other"
    assert list(kinds) == sorted(kinds)
    assert paths.stat(tree, "to-secret").kind == "link"
    assert paths.stat(tree, "sub/deep").kind == "folder"
    assert paths.stat(tree, "plain.txt").size == 5
    assert paths.stat(tree, ".").kind == "folder"
    assert [entry.path for entry in paths.listing(tree, "sub/deep")] == [
        "sub/deep/far",
        "sub/deep/leaf",
    ]


FOLDERS_OUT = [
    "..", "../outside", "to-folder", "to-folder-absolute", "to-root-of-all", "to-parent", "sub/up-folder",
    "to-proc-self", "/etc", "{parent}", "\0", "loop", "sub/../..",
]  # fmt: skip


@table(FOLDERS_OUT)
def test_no_operation_leads_out_through_a_folder(tree: Path, path: str) -> None:
    before = _everything_outside(tree)
    path = _filled(path, tree)
    refused = [
        lambda: paths.listing(tree, path),
        lambda: list(paths.walk(tree, path)),
        lambda: paths.stat(tree, f"{path}/secret"),
        lambda: paths.make_parents(tree, f"{path}/made/file"),
        lambda: paths.write(tree, f"{path}/secret", b"changed"),
        lambda: paths.write(tree, f"{path}/new", b"new"),
        lambda: paths.unlink(tree, f"{path}/secret"),
        lambda: paths.rename(tree, f"{path}/secret", "stolen"),
        lambda: paths.rename(tree, "plain.txt", f"{path}/moved"),
    ]
    for operation in refused:
        with pytest.raises(errors.PathRefused):
            operation()
    assert _everything_outside(tree) == before
    assert (tree / "plain.txt").read_text() == "plain"
    assert not (tree / "stolen").exists()


def test_the_root_itself_cannot_be_replaced_moved_or_removed(tree: Path) -> None:
    for operation in (
        lambda: paths.write(tree, ".", b""),
        lambda: paths.unlink(tree, str(tree)),
        lambda: paths.rename(tree, ".", "sub/x"),
        lambda: paths.rename(tree, "sub", "./"),
    ):
        with pytest.raises(errors.PathRefused, match="root itself"):
            operation()


def test_walk_yields_everything_once_and_follows_no_link(tree: Path) -> None:
    found = [entry.path for entry in paths.walk(tree)]
    expected = {
        str(Path(folder, name).relative_to(tree))
        for folder, folders, files in os.walk(tree, followlinks=False)
        for name in folders + files
    }
    assert set(found) == expected
    assert len(found) == len(expected)
    assert not any(path.startswith(("to-", "good-folder/")) and "/" in path for path in found)
    assert found.index("sub") < found.index("sub/deep") < found.index("sub/deep/leaf")


def test_walk_goes_on_past_a_folder_that_became_a_link_and_says_so(tree: Path) -> None:
    entries: list[paths.Entry] = []
    walking = paths.walk(tree)
    for entry in walking:
        entries.append(entry)
        if entry.path == "sub" and not entry.problem:
            (tree / "sub").rename(tree.parent / "elsewhere")
            (tree / "sub").symlink_to(tree.parent / "outside")
    problems = [entry for entry in entries if entry.problem]
    assert [entry.path for entry in problems] == ["sub"]
    assert "symlink" in str(problems[0].problem)
    assert not any("secret" in entry.path and entry.path.startswith("sub/") for entry in entries)


def test_walk_reaches_depths_that_recursion_would_not(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(sum(1 for _ in traceback.walk_stack(None)) + 150)
    try:
        assert sum(1 for _ in paths.walk(root)) == 300
    finally:
        sys.setrecursionlimit(limit)


def test_make_parents_makes_only_what_is_missing_beneath(tree: Path) -> None:
    paths.make_parents(tree, "sub/a/b/file")
    paths.make_parents(tree, "sub/a/b/file")
    assert (tree / "sub/a/b").is_dir()
    assert not (tree / "sub/a/b/file").exists()
    paths.make_parents(tree, "file-at-the-root")
    with pytest.raises(NotADirectoryError):
        paths.make_parents(tree, "plain.txt/x/y")


def test_write_replaces_at_once_and_keeps_the_permissions(tree: Path) -> None:
    (tree / "script").write_text("old")
    (tree / "script").chmod(0o4750)
    paths.write(tree, "script", b"new")
    assert (tree / "script").read_bytes() == b"new"
    assert stat.S_IMODE((tree / "script").stat().st_mode) == 0o750  # without setuid
    paths.write(tree, "private", b"still mine")
    assert stat.S_IMODE((tree / "private").stat().st_mode) == 0o600
    paths.write(tree, "sub/made", b"\0\xff")
    assert (tree / "sub/made").read_bytes() == b"\0\xff"
    assert not [entry for entry in paths.walk(tree) if entry.path.endswith(".tmp")]


def test_write_cuts_a_hard_link_instead_of_changing_the_other_name(tree: Path) -> None:
    paths.write(tree, "hard", b"mine now")
    assert (tree / "hard").read_bytes() == b"mine now"
    assert (tree.parent / "outside" / "secret").read_text() == SECRET


@table(["to-secret", "good-link", "dangling-out", "pipe", "socket", "sub"])
def test_write_replaces_nothing_but_a_plain_file(tree: Path, path: str) -> None:
    before = _everything_outside(tree)
    with pytest.raises((errors.PathRefused, IsADirectoryError)):
        paths.write(tree, path, b"x")
    assert _everything_outside(tree) == before
    assert paths.stat(tree, path).kind != "file"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        paths.write(tree, "plain.txt", b"half")
    assert (tree / "plain.txt").read_text() == "plain"
    assert not list(tree.glob(".*.tmp"))


def test_rename_takes_no_name_that_is_taken_and_moves_a_link_as_a_link(tree: Path) -> None:
    with pytest.raises(FileExistsError):
        paths.rename(tree, "plain.txt", "sub/inner.txt")
    assert (tree / "sub/inner.txt").read_text() == "inner"
    paths.rename(tree, "plain.txt", "sub/moved.txt")
    assert (tree / "sub/moved.txt").read_text() == "plain"
    paths.rename(tree, "to-secret", "sub/link")
    assert (tree / "sub/link").is_symlink()
    with pytest.raises(FileNotFoundError):
        paths.rename(tree, "missing", "x")


def test_rename_takes_no_taken_name_where_the_kernel_cannot_say_so(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> int:
        ctypes.set_errno(22)
        return -1

    monkeypatch.setattr(beneath, "libc", type("Libc", (), {"renameat2": staticmethod(cannot)}))
    monkeypatch.setattr(beneath, "kernel_fs", lambda fd: None)
    monkeypatch.setattr(beneath, "_kernel_resolves", False)
    with pytest.raises(FileExistsError):
        paths.rename(tree, "plain.txt", "sub/inner.txt")
    paths.rename(tree, "plain.txt", "free")
    assert (tree / "free").read_text() == "plain"


def test_unlink_removes_the_link_and_never_its_target(tree: Path) -> None:
    paths.unlink(tree, "to-secret-absolute")
    assert not (tree / "to-secret-absolute").is_symlink()
    assert (tree.parent / "outside/secret").read_text() == SECRET
    paths.unlink(tree, "plain.txt")
    assert not (tree / "plain.txt").exists()
    with pytest.raises(OSError, match=r"directory|permitted"):
        paths.unlink(tree, "sub")


# ---- races


@pytest.fixture
def flipping(tmp_path: Path) -> Iterator[Path]:
    """A root in which `place` is a folder at one moment and a link to the outside at the next."""
    root = tmp_path / "race"
    (root / "real").mkdir(parents=True)
    (root / "real" / "file").write_text("inside")
    outside = tmp_path / "beyond"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    (root / "place").symlink_to(outside)
    stop = threading.Event()
    exchange = 2  # RENAME_EXCHANGE: both names swap at once, `place` never is missing
    libc = ctypes.CDLL(None)
    at = -100  # AT_FDCWD
    one, two = os.fsencode(root / "real"), os.fsencode(root / "place")

    def flip() -> None:
        while not stop.is_set():
            if libc.renameat2(at, one, at, two, exchange) != 0:
                raise AssertionError("the file system cannot exchange names")

    thread = threading.Thread(target=flip)
    thread.start()
    yield root
    stop.set()
    thread.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
@pytest.mark.slow
def test_a_folder_swapped_for_a_link_while_it_is_opened_never_leads_out(flipping: Path) -> None:
    seen = {"inside": 0, "refused": 0}
    for _ in range(4000):
        try:
            with paths.open_beneath(flipping, "place/file", "r") as file:
                content = file.read()
            assert content == "inside"
            seen["inside"] += 1
        except errors.PathRefused:
            seen["refused"] += 1
    assert all(seen.values()), f"the race was not run: {seen}"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_a_folder_swapped_for_a_link_while_it_is_written_never_leads_out(flipping: Path) -> None:
    beyond = flipping.parent / "beyond"
    seen = {"done": 0, "refused": 0}
    operations = (
        lambda: paths.open_beneath(flipping, "place/new", "w").close(),
        lambda: paths.write(flipping, "place/atomic", b"x"),
        lambda: paths.make_parents(flipping, "place/made/x"),
        lambda: paths.rename(flipping, "place/atomic", "place/moved"),
        lambda: paths.unlink(flipping, "place/moved"),
        lambda: paths.listing(flipping, "place"),
    )
    for turn in range(3000):
        try:
            operations[turn % len(operations)]()
            seen["done"] += 1
        except errors.PathRefused:
            seen["refused"] += 1
        except FileNotFoundError:  # its forerunner in the row was refused
            seen["done"] += 1
        except FileExistsError:
            seen["done"] += 1
    assert [path.name for path in beyond.iterdir()] == ["file"]
    assert (beyond / "file").read_text() == SECRET
    assert all(seen.values()), f"the race was not run: {seen}"


# ---- properties


@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "sub", "to-parent", "to-folder", "outside", "secret", "~", "x", "\0"]
        ),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
def test_no_combination_of_parts_reads_the_secret(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], absolute: bool
) -> None:
    base = tmp_path_factory.getbasetemp() / "combined"
    root = base / "root"
    if not root.exists():
        (root / "sub").mkdir(parents=True)
        (base / "outside").mkdir()
        (base / "outside" / "secret").write_text(SECRET)
        (base / "secret").write_text(SECRET)
        (root / "to-parent").symlink_to("..")
        (root / "to-folder").symlink_to("../outside")
        (root / "sub" / "secret").write_text("inside")
    path = ("/" if absolute else "") + "/".join(parts)
    try:
        with paths.open_beneath(root, path, "r") as file:
            assert file.read() != SECRET
    except (errors.PathRefused, OSError):
        pass
