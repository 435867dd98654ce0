"""The ground that all tests stand on: no network beyond the loopback, and a clock that only the test moves."""

from __future__ import annotations

import socket
import threading

import pytest

from alfred import clock as clock_module
from tests import conftest


@pytest.mark.parametrize("name", ["example.com", b"example.com", "169.254.169.254.nip.io", ""])
def test_no_name_is_resolved(name: str | bytes) -> None:
    with pytest.raises(socket.gaierror, match="resolve no names"):
        socket.getaddrinfo(name, 443)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "10.0.0.1"])
def test_numbers_and_the_machine_itself_are_resolved(name: str) -> None:
    assert socket.getaddrinfo(name, 80)


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"])
def test_no_connection_leaves_the_machine(address: str) -> None:
    with pytest.raises(RuntimeError, match=address):
        socket.create_connection((address, 80), timeout=1)


def test_the_loopback_works() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection(door.getsockname()) as line,
    ):
        assert line.getpeername() == door.getsockname()


def test_the_clock_moves_only_when_it_is_moved(clock: conftest.FakeClock) -> None:
    wall, mono = clock_module.now(), clock_module.monotonic()
    assert clock_module.rfc3339(wall) == "2026-11-21T10:00:00.000Z"
    assert (clock_module.now(), clock_module.monotonic()) == (wall, mono)
    clock.advance(1.5)
    assert clock_module.now() == wall + 1_500_000
    assert clock_module.monotonic() == mono + 1_500_000
    clock.jump(-3600)
    assert clock_module.now() == wall + 1_500_000 - clock_module.HOUR
    assert clock_module.monotonic() == mono + 1_500_000
    clock_module.sleep(2)
    assert clock_module.monotonic() == mono + 3_500_000
    assert clock.slept == [2]


def test_threads_lose_no_time(clock: conftest.FakeClock) -> None:
    before = clock.monotonic()
    threads = [
        threading.Thread(target=lambda: [clock.advance(0.001) for _ in range(1000)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() - before == 8 * clock_module.SECOND
