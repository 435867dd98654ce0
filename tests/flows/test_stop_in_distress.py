"""`stop --all` is the panic button: no state of the configuration keeps it from working, and it says what it assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import app, config
from alfred.runs import stop
from alfred.store import connect
from tests.flows.conftest import Alfred

DONE = {"say": "Done."}

BROKEN = {
    "no proper YAML": "alfred: 1\nmodel: [auto\n  \t- x: {",
    "keys that mean nothing": "alfred: 1\nmodle: auto\nlimits: {turns: many}\n",
    "an agent that cannot be": "alfred: 1\nagents: {Main: {modle: x}}\n",
    "a database that cannot be read": "alfred: 1\ndatabase: mongodb://h/x\n",
    "bytes that are no text": b"alfred: 1\n\xff\xfe\x00\n",
    "too long": "alfred: 1\n# " + "x" * 2_000_000 + "\n",
    "nothing of alfred's": "theirs: true\n",
}


def _stopped(url: str) -> bool:
    store = connect.open_store(url)
    try:
        with store.read() as look:
            return stop.stopped(look, "main") is not None
    finally:
        store.close()


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_configuration_that_cannot_be_used_does_not_keep_anybody_from_stopping(
    alfred: Alfred, script: Any, folder: Path, home: Path, text: str | bytes
) -> None:
    told = alfred("run", "x", "--in", folder, "--model", script(DONE), "--detach", "--json").json
    (home / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert alfred("status").code == 2
    said = alfred("stop", "--all")
    assert said.code == 0, said.err
    assert "Stopped" in said.out
    assert str(home / "alfred.db") in said.err
    assert "Traceback" not in said.err
    (home / "config.yaml").write_text("alfred: 1\n")
    refused = alfred("runs", "resume", told["id"], "--json")
    assert "stopped" in refused.json["error"]["detail"]


def test_a_configuration_that_is_a_folder_does_not_keep_anybody_from_stopping(
    alfred: Alfred, home: Path
) -> None:
    alfred("status")
    (home / "config.yaml").mkdir()
    said = alfred("stop", "--all", "--json")
    assert (said.code, said.json) == (0, {"paused": []})
    assert _stopped(f"sqlite:///{home / 'alfred.db'}")


@pytest.mark.parametrize(
    "text",
    ["alfred: 1\nmodle: x\ndatabase: {url}\n", "alfred: 1\nx: [\ndatabase: '{url}'  # ours\n"],
    ids=["as YAML", "as a line"],
)
def test_the_ledger_that_a_broken_configuration_names_is_the_one_that_is_stopped(
    alfred: Alfred, home: Path, pg_url: str, text: str
) -> None:
    alfred("status")
    (home / "config.yaml").write_text(text.format(url=pg_url))
    said = alfred("stop", "--all")
    assert said.code == 0, said.err
    assert "config.yaml:3" in said.err
    assert _stopped(pg_url)
    assert not _stopped(f"sqlite:///{home / 'alfred.db'}")


def test_the_database_of_the_environment_wins_over_a_broken_file(
    alfred: Alfred, home: Path, pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alfred("status")
    (home / "config.yaml").write_text("alfred: 1\nmodle: x\ndatabase: sqlite\n")
    monkeypatch.setenv("ALFRED_DATABASE_URL", pg_url)
    said = alfred("stop", "--all")
    assert said.code == 0, said.err
    assert "ALFRED_DATABASE_URL" in said.err
    assert _stopped(pg_url)


def test_a_home_of_something_else_is_not_stopped_and_left_alone(alfred: Alfred, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("theirs: true\n")
    said = alfred("stop", "--all", "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "home_refused")
    assert "alfred worker" in said.json["error"]["next"]
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_a_database_that_cannot_be_reached_is_told_with_what_can_be_done(
    alfred: Alfred, home: Path
) -> None:
    alfred("status")
    (home / "config.yaml").write_text(
        "alfred: 1\nmodle: x\ndatabase: postgresql://u:s3cretw0rd@127.0.0.1:1/none\n"
    )
    said = alfred("stop", "--all", "--json")
    assert (said.code, said.json["error"]["code"]) == (1, "store_unavailable")
    assert "alfred worker" in said.json["error"]["next"]
    assert "s3cretw0rd" not in said.out + said.err


def test_only_stopping_goes_on_without_the_configuration(alfred: Alfred, home: Path) -> None:
    alfred("status")
    (home / "config.yaml").write_text("alfred: 1\nmodle: x\n")
    assert config.database_despite(home, {}) == ("sqlite", None)
    for command in (["runs", "list"], ["runs", "resume", "--all"], ["approvals", "list"]):
        assert alfred(*command).code == 2
    with pytest.raises(app.errors.ConfigError):
        app.base(folder=home)
