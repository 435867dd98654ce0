"""Identifiers: ULIDs, 26 characters of Crockford base 32, sorted by the time they were made.

Invariant: the ids that one thread makes are in the order in which it made them, also within a millisecond, so that
what was written together (the cards of one turn) is listed as it was meant. The end of an id, which people type, is
chance alone.
"""

from __future__ import annotations

import hashlib
import os
import threading

from ulid import ULID

from alfred import clock


class _Made(threading.local):
    """The millisecond and the counter of the last id of this thread."""

    ms = -1
    count = 0


_made = _Made()


def new() -> str:
    """A new ULID: 48 bits of milliseconds, 16 bits that begin anywhere and count within them, 64 bits of chance."""
    ms, chance = clock.now() // 1000, os.urandom(10)
    start = int.from_bytes(chance[:2], "big") >> 1  # room to count up
    count = (_made.count + 1) & 0xFFFF if ms == _made.ms else start
    _made.ms, _made.count = ms, count
    return str(ULID(ms.to_bytes(6, "big") + count.to_bytes(2, "big") + chance[2:]))


def below(id: str, n: int) -> str:
    """The n-th id that follows from another one, from 0: always the same, of the same time, in the order of their numbers."""
    chance = hashlib.sha256(f"{id}.{n}".encode()).digest()[:8]
    return str(ULID(ULID.from_str(id).bytes[:6] + n.to_bytes(2, "big") + chance))


def secret(size: int = 32) -> bytes:
    """Random bytes for keys and tokens."""
    return os.urandom(size)
