"""The owner is told of the end of the audit chain once a day, and of strangers seldom; once each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alfred import clock, errors, ids
from alfred.actions.notices import Tell, Told
from alfred.channels import owner
from alfred.runs import audit
from alfred.runs.audit import Kept
from alfred.store.connect import Store
from tests.ledger.core import Core

DAY = 25 * clock.HOUR


class Targets:
    """What takes the words."""

    def __init__(self, store: Store):
        self.core = Core(store)
        self.there = True
        self.answer: Callable[[str], Told] = lambda text: Told(sent=["json (1)"])
        self.heard: list[str] = []

    def way(self) -> Tell | None:
        def tell(text: str) -> Told:
            told = self.answer(text)
            if told.sent:
                self.heard.append(text)
            return told

        return tell if self.there else None

    def beat(self, *, quiet: bool = False) -> None:
        owner.beat(self.core.store, "main", way=self.way, quiet=quiet, id=ids.new())

    def seal(self) -> None:
        self.core.do(audit.append, "main", "said")

    def a_day_goes_by(self) -> None:
        self.core.write("update audit set at=at-:day", day=DAY)
        self.core.write(
            "update meta set v=cast(cast(v as bigint)-:day as text) where k like 'seldom:%'",
            day=DAY,
        )


@pytest.fixture
def targets(store: Store) -> Targets:
    return Targets(store)


def heads(targets: Targets) -> list[int]:
    """The rows of which people were told that the chain ends with them."""
    found = [Kept.parse(text.splitlines()[1]) for text in targets.heard]
    return [kept.n for kept in found if kept]


def test_the_end_of_the_chain_is_told_once_a_day_when_something_was_sealed(
    targets: Targets,
) -> None:
    targets.seal()
    targets.beat()
    assert targets.heard == [], "the chain is not a day old"
    targets.a_day_goes_by()
    targets.beat()
    targets.seal()
    targets.beat()
    assert heads(targets) == [1]
    targets.a_day_goes_by()
    targets.seal()
    targets.beat()
    assert heads(targets) == [1, 3]
    targets.a_day_goes_by()
    targets.beat()
    assert heads(targets) == [1, 3], "nothing was sealed since"


def test_what_was_told_shows_a_chain_that_was_written_anew(targets: Targets) -> None:
    targets.seal()
    targets.seal()
    targets.a_day_goes_by()
    core = targets.core
    core.write("delete from audit")
    core.write("delete from audit_heads")
    for _ in range(3):
        targets.seal()
    targets.core.write("update audit set at=at-:day where n=1", day=DAY)
    targets.beat()
    kept = Kept.parse(targets.heard[0].splitlines()[1])
    core.write("delete from audit")
    core.write("delete from audit_heads")
    for _ in range(4):
        targets.seal()
    with core.store.read() as look:
        assert audit.verify(look) == (4, None)
        rows, broken = audit.verify(look, kept)
    assert (rows, broken and broken.n) == (2, 3)


def test_at_night_the_chain_waits(targets: Targets) -> None:
    targets.seal()
    targets.a_day_goes_by()
    targets.beat(quiet=True)
    assert targets.heard == []
    targets.beat()
    assert heads(targets) == [1]


def test_without_anybody_to_tell_nothing_is_written_down(targets: Targets) -> None:
    targets.seal()
    targets.a_day_goes_by()
    targets.there = False
    targets.beat()
    assert targets.core.all("select 1 from outbox") == []


def test_of_two_processes_one_tells(targets: Targets) -> None:
    targets.seal()
    targets.a_day_goes_by()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: targets.beat(), range(8)))
    assert heads(targets) == [1]


def _refuses(text: str) -> Told:
    raise errors.CallFailed("channels.notify names the secret TOKEN, which is not there.")


@pytest.mark.parametrize(
    "answer", [_refuses, lambda text: Told(sent=(), failed=["json (1) did not take it"])]
)
def test_what_no_target_took_is_tried_again(targets: Targets, answer: Any) -> None:
    targets.seal()
    targets.a_day_goes_by()
    took, targets.answer = targets.answer, answer
    targets.beat()
    [(error,)] = targets.core.all("select error from outbox where sent_at is null")
    assert "json (1) did not take it" in error or "TOKEN" in error
    targets.answer = took
    targets.core.write("update outbox set next_at=0")
    targets.beat()
    assert heads(targets) == [1]


def test_of_strangers_there_is_one_word_in_ten_minutes(targets: Targets) -> None:
    def writes(user: str) -> bool:
        return targets.core.do(owner.stranger, "main", channel="local:bot", user=user, id=ids.new())

    assert [writes("66\u202e6"), writes("7"), writes("8")] == [True, False, False]
    targets.beat()
    assert "local:bot" in targets.heard[0] and "66" in targets.heard[0]
    assert "\u202e" not in targets.heard[0]
    targets.a_day_goes_by()
    assert writes("9")
    targets.beat()
    assert len(targets.heard) == 2


def test_a_word_that_was_said_while_the_clock_was_ahead_holds_back_none(targets: Targets) -> None:
    targets.core.do(owner.stranger, "main", channel="local:bot", user="1", id=ids.new())
    targets.core.write(
        "update meta set v=cast(cast(v as bigint)+:day as text) where k like 'seldom:%'", day=DAY
    )
    assert targets.core.do(owner.stranger, "main", channel="local:bot", user="2", id=ids.new())
