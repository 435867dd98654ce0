"""Identifiers: ULIDs, 26 characters of Crockford base 32, sorted by the time they were made."""

from __future__ import annotations

import os
from collections.abc import Callable

from ulid import ULID

from alfred import clock

_random: Callable[[int], bytes] = os.urandom


def install(source: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Replaces the source of randomness for this process and returns the one before."""
    global _random
    before, _random = _random, source
    return before


def new() -> str:
    """A new ULID: 48 bits of milliseconds, 80 bits of chance."""
    return str(ULID((clock.now() // 1000).to_bytes(6, "big") + _random(10)))


def secret(size: int = 32) -> bytes:
    """Random bytes for keys and tokens."""
    return _random(size)
