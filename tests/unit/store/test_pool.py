"""Connections are lent to one user at a time, kept while they are good, and never more than so many."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import errors
from alfred.store import pool as pools
from alfred.store.pool import Pool


class Refused(Exception):
    """What the driver raises."""


@dataclass
class Line:
    """A connection, as far as a pool looks at it."""

    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Server:
    """Opens lines, unless it is away."""

    away: bool = False
    lines: list[Line] = field(default_factory=list)

    def connect(self) -> Line:
        if self.away:
            raise Refused
        self.lines.append(Line())
        return self.lines[-1]

    @property
    def open(self) -> int:
        return sum(not line.closed for line in self.lines)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pool(server: Server) -> Pool:
    driver: Any = SimpleNamespace(Error=Refused)
    return Pool(driver, server.connect, most=3, kept=2)


def test_the_one_that_rested_last_is_used_first_and_as_many_are_kept_as_it_says(
    pool: Pool, server: Server
) -> None:
    lines = [pool.take() for _ in range(3)]
    assert len({id(line) for line in lines}) == 3 and pool.numbers == (3, 0)
    for line in lines:
        pool.give_back(line)
    assert server.open == 2 and pool.numbers == (0, 2)
    assert pool.take() is lines[1]


def test_who_comes_when_all_are_in_use_waits_and_is_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [pool.take() for _ in range(3)]
    had: list[Line] = []
    waits = threading.Thread(target=lambda: had.append(pool.take()))
    waits.start()
    pool.give_back(lines[0])
    waits.join(10)
    assert had == [lines[0]]
    monkeypatch.setattr(pools, "WAIT", 0.01)
    with pytest.raises(errors.StoreUnavailable, match="All 3 connections"):
        pool.take()


def test_after_it_is_renewed_no_connection_from_before_is_used_again(
    pool: Pool, server: Server
) -> None:
    used, rests = pool.take(), pool.take()
    pool.give_back(rests)
    pool.renew()
    assert rests.closed and not used.closed
    pool.give_back(used)
    assert used.closed
    assert pool.take() is server.lines[2]


def test_one_that_is_dropped_is_closed_and_makes_room(pool: Pool, server: Server) -> None:
    for _ in range(5):
        pool.drop(pool.take())
    assert server.open == 0 and len(server.lines) == 5


def test_one_that_cannot_be_opened_takes_no_place(pool: Pool, server: Server) -> None:
    server.away = True
    for _ in range(4):
        with pytest.raises(Refused):
            pool.take()
    server.away = False
    assert [pool.take() for _ in range(3)] == server.lines
