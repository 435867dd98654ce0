"""The one place where time is asked for, so that a test can own it.

Wall time is microseconds since the epoch, UTC; it decides deadlines and is shown to people. Monotonic
time is microseconds of CLOCK_MONOTONIC: shared by all processes of one boot, it stands still while the
machine sleeps and never jumps; it decides leases on SQLite. On Postgres the server's clock decides both.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """A source of time. Tests install their own with `install`."""

    def now(self) -> int:
        """Wall time in microseconds since the epoch."""
        ...

    def monotonic(self) -> int:
        """Microseconds of a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


_clock: Clock = SystemClock()


def install(clock: Clock) -> Clock:
    """Replaces the source of time for this process and returns the one before, for a test to put back."""
    global _clock
    before, _clock = _clock, clock
    return before


def now() -> int:
    """Wall time in microseconds since the epoch, UTC."""
    return _clock.now()


def monotonic() -> int:
    """Monotonic time in microseconds; only differences mean something."""
    return _clock.monotonic()


def sleep(seconds: float) -> None:
    """Waits for so many seconds of the installed clock."""
    _clock.sleep(seconds)


def rfc3339(us: int | None) -> str | None:
    """Microseconds as RFC 3339 UTC with milliseconds and Z: `2026-11-21T10:12:00.000Z`."""
    if us is None:
        return None
    at = datetime.fromtimestamp(us // 1000 / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{us // 1000 % 1000:03d}Z"
