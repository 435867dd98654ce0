"""The configuration names no channel that does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred import errors
from tests import configured
from tests.table import table


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
        configured.settings(home, text)
    assert told in str(wrong.value.errors[0].message)


@table(["", "channels:", "channels: {}", "channels: {notify: ['ntfy://x']}"])
def test_what_is_served_or_said_of_nothing_is_taken(home: Path, text: str) -> None:
    configured.settings(home, text)
