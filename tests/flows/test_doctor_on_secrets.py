"""What `doctor` says about secrets: who may read them, where they do not belong, which are missing; and what it mends."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Alfred

TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4


@pytest.fixture
def home_of(alfred: Alfred, home: Path) -> Path:
    alfred("status")
    (home / ".env").touch(mode=0o600)
    (home / "config.yaml").write_text("alfred: 1\n")
    (home / "config.yaml").chmod(0o600)
    return home


def said(alfred: Alfred, *more: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and what was found, by name."""
    told = alfred("doctor", *more, "--json")
    found: dict[str, list[dict[str, Any]]] = {}
    for one in told.json["findings"]:
        found.setdefault(one["name"], []).append(one)
    return told.code, found


def test_a_home_as_it_should_be(alfred: Alfred, home_of: Path) -> None:
    code, found = said(alfred)
    assert [one["level"] for one in found["modes"]] == ["ok"]
    assert not {"git", "secrets"} & {n for n, all in found.items() if all[0]["level"] != "ok"}
    assert code == 0 or {n for n, all in found.items() if all[0]["level"] == "error"} <= {"git"}


def test_modes_are_told_one_by_one_and_mended_together(alfred: Alfred, home_of: Path) -> None:
    wrong = [home_of / name for name in (".env", "config.yaml", "state/token", "backups/a.db")]
    for number, path in enumerate(wrong):
        path.touch()
        path.chmod(0o644 | number)
    code, found = said(alfred)
    assert code == 1
    assert {(one["level"], one["next"]) for one in found["modes"]} == {
        ("error", f"chmod 600 {path}") for path in wrong
    }
    code, found = said(alfred, "--fix")
    assert [one["level"] for one in found["modes"]] == ["ok"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in wrong)


def test_many_are_counted(alfred: Alfred, home_of: Path) -> None:
    for number in range(30):
        (home_of / "logs" / f"{number}.log").touch(mode=0o666)
        (home_of / "logs" / f"{number}.log").chmod(0o666)
    found = said(alfred)[1]["modes"]
    assert len(found) == 21
    assert found[-1]["text"] == "And 10 more files and folders."


def test_what_a_repository_around_it_takes_along(alfred: Alfred, home_of: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=home_of.parent, check=True)
    assert "git" not in {n for n, all in said(alfred)[1].items() if all[0]["level"] == "error"}
    subprocess.run(["git", "add", "-f", home_of], cwd=home_of.parent, check=True)
    code, found = said(alfred)
    tracked = [one["text"] for one in found["git"] if one["level"] == "error"]
    assert code == 1
    assert [text.split()[0] for text in tracked] == [".env", "alfred.db"]


def test_secrets_where_they_do_not_belong_and_those_that_are_missing(
    alfred: Alfred, home_of: Path
) -> None:
    (home_of / "config.yaml").write_text(
        f"alfred: 1\nsecrets: {{FORUM: [x.org], THERE: [x.org]}}\npersonality: say {TOKEN}\n"
    )
    (home_of / ".env").write_text("THERE=a-value-of-it\n")
    found = said(alfred)[1]["secrets"]
    assert [one["text"].split(":")[0] for one in found] == ["config.yaml", "FORUM has no value"]
    assert found[0]["text"] == "config.yaml:3 holds a secret (github-token)."


@pytest.mark.parametrize("how", ["written wrongly", "a link to nowhere", "open to others"])
def test_a_file_of_secrets_that_cannot_be_used_is_told_once(
    alfred: Alfred, home_of: Path, how: str
) -> None:
    (home_of / "config.yaml").write_text("alfred: 1\nmodel: scripted:none.yaml\n")
    file = home_of / ".env"
    match how:
        case "written wrongly":
            file.write_text("no value\n")
        case "a link to nowhere":
            file.unlink()
            file.symlink_to(home_of / "gone")
        case _:
            file.chmod(0o644)
    code, found = said(alfred)
    told = [one for name in ("secrets", "modes") for one in found.get(name, ())]
    [told] = [one for one in told if one["level"] == "error"]
    assert (code, ".env" in told["text"], bool(told["next"])) == (1, True, True)
