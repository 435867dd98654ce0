"""The home: where things lie, and whose folder alfred takes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from alfred import errors
from alfred import home as places
from tests.table import table


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def nobody() -> Generator[None]:
    """As root, acts as a user without rights meanwhile: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that `nobody` can reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="alfred-home-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


# ---- where


def test_the_home_is_asked_for_at_every_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.delenv("ALFRED_HOME", raising=False)
    assert places.path() == tmp_path / "person/.alfred"
    monkeypatch.setenv("HERMES_HOME", str(tmp_path / "hermes"))
    assert places.path() == tmp_path / "hermes"
    monkeypatch.setenv("ALFRED_HOME", str(tmp_path / "alfred"))
    assert places.path() == tmp_path / "alfred"
    monkeypatch.setenv("ALFRED_HOME", "")
    assert places.path() == tmp_path / "hermes"
    monkeypatch.setenv("ALFRED_HOME", "~/x")
    assert places.path() == tmp_path / "person/x"


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALFRED_HOME", "here")
    assert places.path() == tmp_path / "here"


def test_a_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALFRED_HOME", "~nobody-of-this-name/x")
    with pytest.raises(errors.HomeRefused) as wrong:
        places.path()
    assert "ALFRED_HOME" in str(wrong.value.next)


def test_a_path_whose_tilde_stands_for_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.expanded(Path("~/x")) == tmp_path / "x"
    with pytest.raises(errors.UsageError, match="~nobody-of-this-name/x"):
        places.expanded(Path("~nobody-of-this-name/x"))


def test_importing_home_loads_the_standard_library_only_and_no_heavy_part_of_it():
    code = "import sys, alfred.home; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    foreign = loaded - set(sys.stdlib_module_names) - {"alfred", "__main__"}
    assert not {n for n in foreign if not n.startswith(("_", "sitecustomize"))}
    assert not loaded & {"dataclasses", "inspect", "asyncio", "json", "socket"}


# ---- making it


def test_everything_that_is_made_is_private(home: Path):
    before = os.umask(0)
    try:
        assert places.ensure(home) == home
    finally:
        os.umask(before)
    assert mode(home) == 0o700
    made = sorted(p.name for p in home.iterdir())
    assert made == sorted([*places.FOLDERS, places.MARKER])
    for name in places.FOLDERS:
        assert mode(home / name) == 0o700
    assert mode(home / places.MARKER) == 0o600


def test_a_strict_umask_does_not_lock_the_owner_out(home: Path):
    before = os.umask(0o777)
    try:
        places.ensure(home)
    finally:
        os.umask(before)
    assert mode(home) == 0o700
    assert mode(home / "state") == 0o700


def test_every_named_place_lies_in_the_home_and_its_folder_is_made(home: Path):
    places.ensure(home)
    named = [
        places.config_file(home),
        places.config_schema_file(home),
        places.env_file(home),
        places.database_file(home),
        places.token_file(home),
    ]
    assert [p.relative_to(home).as_posix() for p in named] == [
        "config.yaml",
        "config.schema.json",
        ".env",
        "alfred.db",
        "state/token",
    ]
    assert all(p.parent.is_dir() for p in named)
    folders = [
        places.actions,
        places.agents,
        places.backups,
        places.logs,
        places.skills,
        places.state,
        places.transcripts,
        places.workflows,
        places.workspaces,
        places.worktrees,
    ]
    assert sorted(place(home).relative_to(home).as_posix() for place in folders) == sorted(
        places.FOLDERS
    )


def test_an_empty_folder_is_taken_and_closed(tmp_path: Path):
    tmp_path.chmod(0o755)
    places.ensure(tmp_path)
    assert mode(tmp_path) == 0o700


def test_the_home_is_recognised_again_and_its_files_are_left_alone(home: Path):
    places.ensure(home)
    mine = home / "state" / "notes"
    mine.write_text("x")
    (home / "logs").chmod(0o755)
    mine.chmod(0o644)
    places.ensure(home)
    assert mine.read_text() == "x"
    assert mode(mine) == 0o644
    assert mode(home / "logs") == 0o700


def test_missing_folders_come_back(home: Path):
    places.ensure(home)
    (home / "backups").rmdir()
    places.ensure(home)
    assert (home / "backups").is_dir()


def test_a_link_to_a_folder_is_a_home(home: Path, tmp_path: Path):
    (tmp_path / "disk").mkdir()
    home.symlink_to(tmp_path / "disk")
    places.ensure(home)
    assert (tmp_path / "disk/state").is_dir()
    assert mode(tmp_path / "disk") == 0o700


def test_ten_at_once_make_one_home(home: Path):
    ready, failed = threading.Barrier(10), []

    def make() -> None:
        ready.wait()
        try:
            places.ensure(home)
        except errors.AlfredError as why:
            failed.append(why)

    threads = [threading.Thread(target=make) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert places.check(home)


# ---- whose it is

OURS = [
    b"alfred: 1\n",
    b"alfred: 1",
    b"model: auto\nalfred:\t1\n",
    b"alfred :  1   # ours\n",
    b"# head\r\nmodel: x\r\nalfred: 1\r\n",
    b"\xef\xbb\xbfalfred: 1\n",
    b'"alfred": 1\n',
    b"model: \xff\xfe\nalfred: 1\n",
]

FOREIGN = [
    b"",
    b"model: x\n",
    b"# alfred: 1\n",
    b"agent:\n  alfred: 1\n",
    b"alfred: 10\n",
    b"alfred: 2\n",
    b"alfred: true\n",
    b"alfred:\n  1x: y\n",
    b"xalfred: 1\n",
    b"'alfred\": 1\n",
    b"alfred: 1.5\n",
    b"alfred: 1 2\n",
    b"\x00" * 100,
    b"x" * 2_000_000 + b"\nalfred: 1\n",
]


@pytest.mark.parametrize("text", OURS)
def test_a_home_with_our_config_is_ours(home: Path, text: bytes):
    home.mkdir()
    (home / "config.yaml").write_bytes(text)
    (home / "other").write_text("kept")
    assert places.check(home)
    places.ensure(home)
    assert (home / "config.yaml").read_bytes() == text


@pytest.mark.parametrize("text", FOREIGN)
def test_a_config_of_another_product_is_refused_and_nothing_is_written(home: Path, text: bytes):
    home.mkdir()
    (home / "config.yaml").write_bytes(text)
    with pytest.raises(errors.HomeRefused) as wrong:
        places.ensure(home)
    assert wrong.value.exit_code == 2
    assert "ALFRED_HOME" in str(wrong.value.next)
    assert "`alfred: 1`" in wrong.value.detail
    assert [p.name for p in home.iterdir()] == ["config.yaml"]


def test_a_home_that_alfred_made_stays_ours_whatever_its_config_says(home: Path):
    places.ensure(home)
    (home / "config.yaml").write_text("model: x\n")
    assert places.check(home)


@pytest.mark.parametrize(
    "name", ["notes.txt", ".hidden", "alfred.db", "state", ".env", "alfred-home", ".alfred"]
)
def test_a_folder_with_other_things_is_refused_and_nothing_is_written(home: Path, name: str):
    home.mkdir()
    if "." in name:
        (home / name).write_text("x")
    else:
        (home / name).mkdir()
    with pytest.raises(errors.HomeRefused) as wrong:
        places.ensure(home)
    assert name in wrong.value.detail
    assert [p.name for p in home.iterdir()] == [name]


def test_a_marker_that_is_no_plain_file_marks_nothing(home: Path, tmp_path: Path):
    marker = home / places.MARKER
    marker.mkdir(parents=True)
    with pytest.raises(errors.HomeRefused):
        places.check(home)
    marker.rmdir()
    (tmp_path / "elsewhere").write_text("")
    marker.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.HomeRefused):
        places.check(home)
    with pytest.raises(errors.HomeRefused):
        places.ensure(home)


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_the_config_does_not_hang(home: Path):
    home.mkdir()
    os.mkfifo(home / "config.yaml")
    with pytest.raises(errors.HomeRefused):
        places.ensure(home)


def test_a_folder_in_place_of_the_config_marks_nothing(home: Path):
    (home / "config.yaml").mkdir(parents=True)
    with pytest.raises(errors.HomeRefused):
        places.ensure(home)


def test_a_file_in_place_of_the_home_is_refused(home: Path):
    home.write_text("x")
    with pytest.raises(errors.HomeRefused, match="no folder"):
        places.ensure(home)
    with pytest.raises(errors.HomeRefused):
        places.ensure(home / "below")
    assert home.read_text() == "x"


def test_a_link_to_nothing_is_refused(home: Path, tmp_path: Path):
    home.symlink_to(tmp_path / "gone")
    with pytest.raises(errors.HomeRefused, match="not there"):
        places.ensure(home)
    assert not (tmp_path / "gone").exists()


def test_a_link_to_itself_is_refused(home: Path):
    home.symlink_to(home)
    with pytest.raises(errors.HomeRefused):
        places.ensure(home)


@pytest.mark.parametrize("name", ["x" * 300, "\0", "a/" * 3000])
def test_a_name_that_no_file_system_takes_is_refused(tmp_path: Path, name: str):
    with pytest.raises(errors.HomeRefused):
        places.ensure(tmp_path / name)


def test_a_file_in_place_of_a_folder_of_the_home_is_refused(home: Path):
    places.ensure(home)
    (home / "logs").rmdir()
    (home / "logs").write_text("x")
    with pytest.raises(errors.HomeRefused, match="logs is no folder"):
        places.ensure(home)


def test_a_home_of_somebody_else_is_refused(open_folder: Path, monkeypatch: pytest.MonkeyPatch):
    theirs = open_folder / "home"
    places.ensure(theirs)
    theirs.chmod(0o777)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(errors.HomeRefused, match="belongs to the user"):
        places.ensure(theirs)
    assert mode(theirs) == 0o777


def test_a_home_that_cannot_be_written_is_refused(open_folder: Path):
    mine = open_folder / "home"
    with nobody_owns(open_folder):
        places.ensure(mine)
        mine.chmod(0o500)
        with pytest.raises(errors.HomeRefused, match="cannot be written") as refused:
            places.ensure(mine)
        assert "right to write" in str(refused.value.next)
        mine.chmod(0o700)


def test_a_home_on_a_disk_that_is_read_only_is_told_as_that(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = open_folder / "home"
    places.ensure(mine)
    mounted = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "access", lambda *_, **_more: False)
    monkeypatch.setattr(os, "statvfs", lambda _path: mounted)
    with pytest.raises(errors.HomeRefused, match="mounted read-only") as refused:
        places.ensure(mine)
    assert "Mount it" in str(refused.value.next)


def test_a_home_in_a_folder_that_cannot_be_written_is_refused(open_folder: Path):
    with nobody_owns(open_folder):
        open_folder.chmod(0o500)
        with pytest.raises(errors.HomeRefused, match="permission denied"):
            places.ensure(open_folder / "home")
        open_folder.chmod(0o700)


@contextmanager
def nobody_owns(folder: Path) -> Generator[None]:
    """As root: the folder is given to a user without rights, and so are we meanwhile."""
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    with nobody():
        yield


# ---- tenants

NO_TENANTS = [
    *("", " ", "A", "Ops", "a b", "a_b", "a.b", "..", ".", "/", "a/b", "../x", "a\n", "\n", "a\0"),
    *("x" * 41, "é", "a\u0301", "\u0430", "a\u200b", "０", "~", "*", "main/", "C:", "a\\b"),
]


@table(NO_TENANTS)
def test_no_other_name_is_a_tenant(home: Path, name: str):
    with pytest.raises(errors.UsageError) as wrong:
        places.of_tenant(home, name)
    assert wrong.value.exit_code == 2
    with pytest.raises(errors.UsageError):
        places.ensure(home, tenant=name)
    assert not home.exists()


def test_main_is_the_home_itself_and_others_lie_in_it(home: Path):
    assert places.of_tenant(home, "main") == home
    for name in ("a", "9", "-", "x" * 40, "ops-2"):
        assert places.of_tenant(home, name) == home / "tenants" / name


def test_a_tenant_has_folders_of_its_own(home: Path):
    below = places.ensure(home, tenant="ops")
    assert below == home / "tenants/ops"
    assert mode(home / "tenants") == mode(below) == 0o700
    assert {p.name for p in below.iterdir()} == set(places.FOLDERS)
    assert (home / places.MARKER).is_file()


def test_tenants_are_listed_main_first(home: Path):
    assert places.tenants(home) == ["main"]
    for name in ("ops", "a"):
        places.ensure(home, tenant=name)
    (home / "tenants/notes.txt").write_text("x")
    (home / "tenants/No Tenant").mkdir()
    (home / "tenants/main").mkdir()
    assert places.tenants(home) == ["main", "a", "ops"]
