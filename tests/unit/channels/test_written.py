"""The configuration names no channel that does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred import app, errors
from tests.table import table


def _settings(home: Path, text: str) -> None:
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text(f"alfred: 1\n{text}\n")
    app.settings_of(home)


@table(
    [
        (
            "channels: {telegram: {bot_token: '1:x'}}",
            "is no channel that alfred has; there is notify",
        ),
        ("channels: {notfy: ['ntfy://x']}", "is no channel that alfred has, did you mean notify?"),
    ]
)
def test_a_channel_that_nobody_serves_is_wrong(home: Path, text: str, told: str) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        _settings(home, text)
    assert told in str(wrong.value.errors[0].message)


@table(["", "channels:", "channels: {}", "channels: {notify: ['ntfy://x']}"])
def test_what_is_served_or_said_of_nothing_is_taken(home: Path, text: str) -> None:
    _settings(home, text)
