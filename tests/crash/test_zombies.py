"""A worker that is stopped between its intent and the effect, and comes back when another has finished: it sends nothing.

What no fence can close is a stop after the fence was read and before the first byte leaves; SECURITY.md says so.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alfred import clock
from tests.crash import parts, world
from tests.crash.lives import Lives

pytestmark = [pytest.mark.slow, pytest.mark.crash]

INTENTS = 4
"""Of the story `tools`: keyed, checkable, blind, keyed."""


@pytest.mark.parametrize("intent", range(1, INTENTS + 1))
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_zombie_sends_nothing(
    database: str, intent: int, fork_server: Lives, request: pytest.FixtureRequest
) -> None:
    home = fork_server.place()
    make: Callable[[], str] = (
        (lambda: fork_server.sqlite(home))
        if database == "sqlite"
        else request.getfixturevalue("postgres")
    )
    url = make()
    assert fork_server.stop("tools", url, home, intent)
    before = len(world.received(home))
    parts.later(url, home, clock.MINUTE)  # its lease is over, while its process is still there
    heir = fork_server.live("tools", url, home)
    assert heir.wrong == [] and not heir.killed, fork_server.log()
    sent = world.received(home)
    assert len(sent) > before
    zombie = fork_server.go_on()
    assert zombie.wrong == [] and not zombie.killed, fork_server.log()
    assert world.received(home) == sent
