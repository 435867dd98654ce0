"""The settings of a process that runs for months: what its files say, however they are changed meanwhile."""

from __future__ import annotations

from pathlib import Path

from alfred import home as homes
from alfred.config_live import LiveSettings
from alfred.opening import settings_of


def test_a_file_that_breaks_or_goes_away_changes_nothing_until_it_says_something(
    home: Path,
) -> None:
    file = homes.config_file(homes.ensure(home))
    live = LiveSettings(home, settings_of)
    assert live.of("main").policy.mode == "gated"  # none yet: the defaults
    file.write_text("alfred: 1\npolicy: {mode: off}\n")
    assert live.of("main").policy.mode == "off"
    file.write_text("alfred: 1\npolicy: {mode: gated, mood: bad}\n")
    assert live.of("main").policy.mode == "off"
    for _ in range(2):
        file.unlink(missing_ok=True)
        assert live.of("main").policy.mode == "off"
    file.write_text("alfred: 1\npolicy: {mode: autonomous}\n")
    assert live.of("main").policy.mode == "autonomous"
