"""Which model a run is given: `run`, `setup` and `doctor` say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import app, ids
from alfred.runs import crons
from alfred.store.statement import Sql
from tests.flows.conftest import Alfred

KEYS = ("ANTHROPIC", "OPENAI", "GEMINI", "GOOGLE", "OPENROUTER", "OLLAMA")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    # Nobody listens there: what is asked is refused, and a run that got so far is parked.
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:1/v1")


def _configure(alfred: Alfred, home: Path, text: str) -> None:
    alfred("setup")
    (home / "config.yaml").write_text("alfred: 1\n" + text)


def _found(alfred: Alfred) -> dict[str, Any]:
    said = alfred("doctor", "--json")
    return next(f for f in said.json["findings"] if f["name"] == "model")


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("ollama:qwen3", None),
        ("openai-chat:local", "http://127.0.0.1:1/v1"),
    ],
)
def test_a_server_of_ones_own_needs_no_key(
    alfred: Alfred,
    home: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    url: str | None,
) -> None:
    if url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    said = alfred("run", "x", "--in", folder, "--model", model, "--detach", "--json")
    assert (said.code, said.json["status"]) == (0, "queued"), said.err
    _configure(alfred, home, f"model: {model}\n")
    assert alfred("run", "x", "--in", folder, "--detach").code == 0
    assert (_found(alfred)["level"], _found(alfred)["text"]) == ("ok", model)
    assert alfred("setup", "--json").json["model"] == model


@pytest.mark.parametrize(
    "text", ["model: openai:gpt-5\n", "models: {boss: openai:gpt-5}\n", "model: openai-chat:x\n"]
)
def test_a_model_without_its_key_is_none_for_run_setup_and_doctor(
    alfred: Alfred, home: Path, folder: Path, text: str
) -> None:
    _configure(alfred, home, text)
    refused = alfred("run", "x", "--in", folder)
    assert (refused.code, "OPENAI_API_KEY" in refused.err) == (2, True)
    found = _found(alfred)
    assert found["level"] == "warning" and "OPENAI_API_KEY" in found["text"] + found["next"]
    assert alfred("setup", "--json").json["model"] is None
    assert "OPENAI_API_KEY" in alfred("setup").out


def test_the_default_agents_own_model_is_the_one_that_counts(
    alfred: Alfred, home: Path, script: Any
) -> None:
    own = script({"say": "Done."})
    _configure(
        alfred, home, f"model: openai:gpt-5\nagents: {{main: {{default: true, model: '{own}'}}}}\n"
    )
    assert (_found(alfred)["level"], _found(alfred)["text"]) == ("ok", own)
    assert alfred("setup", "--json").json["model"] == own


@pytest.mark.parametrize(
    ("text", "env", "chosen"),
    [
        ("model: ollama:plain\n", {}, "plain"),
        ("model: ollama:plain\nmodels: {boss: ollama:boss}\n", {}, "boss"),
        ("model: ollama:plain\nmodels: {boss: ollama:boss}\n", {"ALFRED_MODEL": "ollama:env"}, "env"),
        ("models: {boss: ollama:boss}\n", {"ALFRED_MODEL": "ollama:env"}, "env"),
        (
            "models: {boss: ollama:boss}\n",
            {"ALFRED_MODEL": "ollama:env", "ALFRED_MODELS__BOSS": "ollama:env-boss"},
            "env-boss",
        ),
        (
            "models: {boss: ollama:boss}\nagents: {main: {default: true, model: 'ollama:own'}}\n",
            {"ALFRED_MODEL": "ollama:env"},
            "own",
        ),
    ],
)  # fmt: skip
def test_the_environment_beats_the_file_and_the_agents_own_model_both(
    alfred: Alfred,
    home: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    env: dict[str, str],
    chosen: str,
) -> None:
    _configure(alfred, home, text)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert _found(alfred)["text"] == f"ollama:{chosen}"
    assert alfred("setup", "--json").json["model"] == f"ollama:{chosen}"
    told = alfred("run", "x", "--in", folder, "--detach", "--json").json
    assert alfred("runs", "show", told["id"], "--json").json["run"]["model"] == f"ollama:{chosen}"
    assert _of_a_cron() == (f"ollama:{chosen}", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No model can be used: no key is set"),
        ("model: openai:gpt-5\n", "openai:gpt-5 needs OPENAI_API_KEY, and there is none"),
    ],
)
def test_a_cron_whose_model_cannot_be_asked_starts_nothing_and_says_why(
    alfred: Alfred, home: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    _configure(alfred, home, text)
    model, problem = _of_a_cron()
    assert model is None and problem and problem.startswith(said)
    (home / ".env").write_text("OPENAI_API_KEY=sk-0123456789\n")
    (home / ".env").chmod(0o600)
    model, problem = _of_a_cron()
    assert model and model.startswith("openai:") and problem is None


def _of_a_cron() -> tuple[str | None, str | None]:
    """The model of the run that a cron started when it came due, and what its row says is wrong."""
    with app.base() as base:
        new = crons.NewTrigger(
            id=ids.new(), tenant="main", name=ids.new(), spec="every 1m", task="x"
        )
        base.store.transact(crons.create, new, zone="UTC")
        base.store.transact(
            lambda tx: tx(
                Sql("update triggers set next_fire_at=alfred_now()-60000000 where id=:id"),
                id=new.id,
            )
        )
        for beat in app.whole(base).worker().beats:
            beat(base.store)
        with base.store.read() as look:
            row = look(
                Sql(
                    "select r.model from trigger_fires f join runs r on r.id=f.run_id"
                    " where f.trigger_id=:id"
                ),
                id=new.id,
            ).one_or_none()
            return row and row.model, crons.get(look, new.id).problem


def test_money_that_cannot_be_counted_is_said(alfred: Alfred, folder: Path) -> None:
    run = ("run", "x", "--in", folder, "--model", "ollama:qwen3", "--detach")
    assert "--max-cost cannot be counted" in alfred(*run, "--max-cost", "1").err
    assert "--max-cost" not in alfred(*run).err
