"""What appeared in a workspace while a command ran, and what the person did there at the same time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred.trust import planted

PLAIN = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of a plain user, whom modes hold back; root is none."""
    made = Path(tempfile.mkdtemp(prefix="alfred-planted-"))
    before = os.geteuid()
    if before == 0:
        os.chown(made, PLAIN, PLAIN)
        os.seteuid(PLAIN)
    (made / "work").mkdir()
    yield made
    os.seteuid(before)
    shutil.rmtree(made)


def test_what_a_command_shut_is_opened_looked_into_and_as_it_was(place: Path) -> None:
    work = place / "work"
    (work / "mine").mkdir()
    before = planted.seen(work, but=place / "home")
    for name in ("shut", "mine"):
        (work / name).mkdir(exist_ok=True)
        (work / name / ".env").touch()
    (work / "mine").chmod(0o500)
    (work / "shut").chmod(0)
    told = planted.take_away(work, before, place / "taken", but=place / "home")
    assert [line.split(" ")[0] for line in told] == ["'mine/.env'", "'shut/.env'"]
    assert all("made by the command and taken away" in line for line in told)
    assert [(work / name).stat().st_mode & 0o777 for name in ("mine", "shut")] == [0o500, 0]
    (work / "mine").chmod(0o700)
    (work / "shut").chmod(0o700)
    assert not list(work.rglob(".env"))


def test_a_folder_that_cannot_be_looked_into_is_told_unless_it_was_so_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = place / "work"
    (work / "old").mkdir()

    def refuse(folder: Path) -> Any:
        if folder.name in ("old", "new"):
            raise PermissionError(13, "Permission denied")
        return look(folder)

    look = planted._look
    monkeypatch.setattr(planted, "_look", refuse)
    before = planted.seen(work, but=place / "home")
    (work / "new").mkdir()
    told = planted.take_away(work, before, place / "taken", but=place / "home")
    assert told == [
        "'new' was closed by the command and COULD NOT be looked into: Permission denied"
    ]


def test_what_the_person_saves_meanwhile_in_the_same_folder_stays(place: Path) -> None:
    work = place / "work"
    (work / "sub").mkdir()
    (work / "sub" / "AGENTS.md").write_text("old")
    before = planted.seen(work, but=place / "home")
    (work / "sub" / "saved").write_text("new")
    (work / "sub" / "saved").rename(work / "sub" / "AGENTS.md")  # as editors do
    assert planted.take_away(work, before, place / "taken", but=place / "home") == []
    assert (work / "sub" / "AGENTS.md").read_text() == "new"


def test_alfreds_own_home_is_not_looked_into(place: Path) -> None:
    work = place / "work"
    home = work / "state"
    home.mkdir()
    before = planted.seen(work, but=home)
    (home / ".env").touch()
    assert planted.take_away(work, before, place / "taken", but=home) == []
    assert (home / ".env").exists()


def test_the_nearest_files_come_first_and_no_links(place: Path) -> None:
    work = place / "work"
    (work / "b" / "c").mkdir(parents=True)
    for name in ("b/c/.env", "b/.env", ".env"):
        (work / name).touch()
    (work / "a.link").symlink_to("b")
    (work / ".envrc").symlink_to("b")
    seen = planted.seen(work, but=place / "home")
    assert seen.files == [".env", "b/.env", "b/c/.env"]
    assert seen.marks[".envrc"].link == "b"


def test_what_packages_bring_is_theirs(place: Path) -> None:
    work = place / "work"
    before = planted.seen(work, but=place / "home")
    (work / "sub" / "node_modules" / "p").mkdir(parents=True)
    (work / "sub" / "node_modules" / "p" / ".npmrc").touch()
    assert planted.take_away(work, before, place / "taken", but=place / "home") == []
    (work / "sub" / "node_modules.old").mkdir()
    (work / "sub" / "node_modules.old" / ".npmrc").touch()
    assert len(planted.take_away(work, before, place / "taken", but=place / "home")) == 1
