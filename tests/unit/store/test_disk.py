"""Where a SQLite database may live: what is wrong is said before anything is opened."""

from __future__ import annotations

import os
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from alfred import errors
from alfred.store import connect, disk, invariants, migrate
from tests.unit.store import full

Mount = namedtuple("Mount", "device mountpoint fstype opts")


def mounts(monkeypatch: pytest.MonkeyPatch, *found: tuple[Path | str, str]) -> None:
    """The machine has these mounts, in this order."""
    parts = [Mount("none", str(place), kind, "rw") for place, kind in found]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: parts)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everybody may enter; the test runs without root's rights, which go past permissions."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


# ---- network file systems ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(disk.NETWORK))
def test_a_database_on_a_network_file_system_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(monkeypatch, ("/", "ext4"), (tmp_path, kind))
    with pytest.raises(errors.StoreUnavailable, match="network") as refused:
        connect.open_store(f"sqlite:///{tmp_path / 'alfred.db'}")
    assert "ALFRED_HOME" in str(refused.value.next)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "apfs", ""])
def test_a_disk_of_the_machine_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts(monkeypatch, ("/", "nfs4"), (tmp_path, kind))
    connect.open_store(f"sqlite:///{tmp_path / 'alfred.db'}").close()


def test_the_deepest_mount_counts_and_the_last_of_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "inner-too").mkdir()
    mounts(monkeypatch, (inner, "autofs"), (inner, "NFS4"), ("/", "ext4"), (tmp_path, "xfs"))
    assert disk.file_system(inner / "alfred.db") == "nfs4"
    assert disk.file_system(tmp_path / "inner-too" / "alfred.db") == "xfs"
    assert disk.file_system(Path("/alfred.db")) == "ext4"


def test_a_link_to_a_network_share_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "home").symlink_to(share)
    mounts(monkeypatch, ("/", "ext4"), (share, "cifs"))
    assert disk.file_system(tmp_path / "home" / "alfred.db") == "cifs"


def test_this_machines_own_disk_has_a_name(tmp_path: Path) -> None:
    assert disk.file_system(tmp_path / "alfred.db") not in {"", *disk.NETWORK}


# ---- what lies in the way ---------------------------------------------------------------------------------


def refused(path: Path, words: str) -> errors.StoreUnavailable:
    with pytest.raises(errors.StoreUnavailable, match=words) as caught:
        store = connect.open_store(f"sqlite:///{path}")
        migrate.ensure_schema(store, backups=path.parent / "backups")
    assert str(path) in str(caught.value) or "cannot be used" in str(caught.value)
    assert caught.value.next
    return caught.value


def test_a_folder_at_the_databases_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alfred.db"
    path.mkdir()
    refused(path, "it is a folder, not a file")


def test_a_pipe_at_the_databases_path_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "alfred.db"
    os.mkfifo(path)
    refused(path, "it is a pipe, not a file")


def test_a_device_at_the_databases_path_is_refused() -> None:
    refused(Path("/dev/null"), "not a file")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "gone" / "alfred.db", "gone does not exist")


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    refused(tmp_path / "home" / "alfred.db", "home is no folder")


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary, this is no database. " * 40,
        b"\x00" * 4096,
        os.urandom(5000),
        b"SQLite format 3\x00",
        b"SQLite format 3\x00" + b"\xff" * 5000,
        b"\x1f\x8b" + b"x" * 3000,
    ],
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "alfred.db"
    path.write_bytes(content)
    problem = refused(path, "cannot be opened")
    assert "alfred db restore" in str(problem.next)
    assert path.read_bytes() == content


def test_a_file_of_no_bytes_is_an_empty_database(tmp_path: Path) -> None:
    """SQLite itself leaves one when it is killed at the first opening."""
    path = tmp_path / "alfred.db"
    path.touch()
    store = connect.open_store(f"sqlite:///{path}")
    migrate.ensure_schema(store, backups=tmp_path / "backups")
    full.fill(store)
    store.close()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_database_is_an_error_and_never_an_empty_one(
    tmp_path: Path, kept: float
) -> None:
    path = tmp_path / "alfred.db"
    store = connect.open_store(f"sqlite:///{path}")
    migrate.ensure_schema(store, backups=tmp_path / "backups")
    full.fill(store)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    try:
        again = connect.open_store(f"sqlite:///{path}")
        found: Any = invariants.check(again)
        assert found, "the damage is seen"
        migrate.ensure_schema(again, backups=tmp_path / "backups")
    except errors.StoreUnavailable as problem:
        assert "malformed" in str(problem) or "not a database" in str(problem)
        assert "alfred db restore" in str(problem.next)


def test_a_folder_that_cannot_be_written_is_named(unprivileged: Path) -> None:
    unprivileged.chmod(0o555) if os.geteuid() == unprivileged.stat().st_uid else None
    refused(unprivileged / "alfred.db", "cannot be written")
    assert list(unprivileged.iterdir()) == []


def test_a_folder_that_cannot_be_entered_is_named(tmp_path: Path, unprivileged: Path) -> None:
    locked = unprivileged / "locked"
    before = os.geteuid()
    os.seteuid(os.getuid())
    locked.mkdir(mode=0o000 if before == os.getuid() else 0o700)
    os.seteuid(before)
    refused(locked / "alfred.db", "cannot be opened")
