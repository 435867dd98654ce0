"""The settings of a config.yaml that a test writes, checked as every command checks them."""

from __future__ import annotations

from pathlib import Path

from alfred import app, config


def settings(home: Path, text: str, **env: str) -> config.Settings:
    """What this text as the whole config.yaml of a home gives, with these variables of the environment."""
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text(f"{text}\n")
    return config.load(home, env, check=app.check)
