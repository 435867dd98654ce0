"""Which model a run is given: `run`, `setup` and `doctor` say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


def test_money_that_cannot_be_counted_is_said(alfred: Alfred, folder: Path) -> None:
    run = ("run", "x", "--in", folder, "--model", "ollama:qwen3", "--detach")
    assert "--max-cost cannot be counted" in alfred(*run, "--max-cost", "1").err
    assert "--max-cost" not in alfred(*run).err
