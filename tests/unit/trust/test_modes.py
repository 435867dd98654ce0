"""Who else may read what is the owner's alone, on a real file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alfred import home as home_folder
from alfred.trust import modes


@pytest.fixture
def place(home: Path) -> Path:
    """A home as it should be, with a file of every kind in it and in that of another tenant."""
    home_folder.ensure(home)
    home_folder.ensure(home, tenant="other")
    for folder in (home, home / "tenants" / "other"):
        for name in (
            *(".env", "config.yaml", "alfred.db", "alfred.db-wal", "state/token"),
            *("logs/alfred.jsonl", "logs/run/out.log", "backups/a.db", "transcripts/r.jsonl"),
        ):
            file = folder / name
            file.parent.mkdir(mode=0o700, exist_ok=True)
            file.touch(mode=0o600)
    assert list(modes.of_home(home)) == []
    return home


def told(home: Path) -> dict[str, str | None]:
    """What is wrong, by its path from the home."""
    return {os.path.relpath(one.path, home): one.next for one in modes.of_home(home)}


FILES = [
    *(".env", "config.yaml", "alfred.db", "alfred.db-wal", "state/token", "logs/alfred.jsonl"),
    *("logs/run/out.log", "backups/a.db", "transcripts/r.jsonl"),
]


def test_every_private_file_is_the_owners_alone(place: Path) -> None:
    for name in (*FILES, *(f"tenants/other/{name}" for name in FILES)):
        for mode in (0o644, 0o640, 0o604, 0o660, 0o602, 0o611):
            (place / name).chmod(mode)
            assert told(place) == {name: f"chmod 600 {place / name}"}, (name, oct(mode))
        (place / name).chmod(0o400)
        assert told(place) == {}


@pytest.mark.parametrize("name", [".", "state", "logs", "backups", "tenants/other"])
def test_every_folder_of_it_as_well(place: Path, name: str) -> None:
    for mode in (0o755, 0o750, 0o701, 0o777):
        (place / name).chmod(mode)
        assert told(place) == {name: f"chmod 700 {place / name}"}
        assert f"mode {mode:o}" in next(iter(modes.of_home(place))).why


ABOVE: list[tuple[int, bool]] = [(0o755, True), (0o1777, True), (0o777, False), (0o703, False)]


@pytest.mark.parametrize(("mode", "right"), ABOVE)
def test_nobody_may_put_another_home_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, right: bool
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    home_folder.ensure(above / "home")
    above.chmod(mode)
    found = list(modes.of_home(above / "home"))
    assert [one.path for one in found] == ([] if right else [above])
    assert all(one.next is None for one in found), "whose folder that is nobody knows here"


def test_what_belongs_to_somebody_else_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = place.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: me + 1 if me else 4711)
    if me == 0:
        os.chown(place / ".env", 1234, -1)
    assert (
        "belongs to the user"
        in {os.path.relpath(one.path, place): one.why for one in modes.of_home(place)}[".env"]
    )


def test_a_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)

    def named(**env: str) -> list[modes.Open]:
        return list(modes.of_named(env))

    assert named(FORUM_TOKEN_FILE=str(file), NOTES_FILE="/etc/hostname") == []
    file.chmod(0o644)
    [found] = named(FORUM_TOKEN_FILE=str(file))
    assert (found.path, found.mend) == (file, 0o600)
    assert "FORUM_TOKEN_FILE names it" in found.why
    [gone] = named(FORUM_TOKEN_FILE=str(tmp_path / "none"))
    assert "cannot be looked at" in gone.why


def test_a_file_that_the_system_keeps_may_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.touch()
    file.chmod(0o444)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert list(modes.of_named({"FORUM_TOKEN_FILE": str(file)})) == []
    file.chmod(0o464)
    [found] = modes.of_named({"FORUM_TOKEN_FILE": str(file)})
    assert found.mend is None
