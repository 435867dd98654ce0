"""Ids: in order, and told apart by their ends."""

from __future__ import annotations

from typing import Any

from alfred import ids


def test_ids_of_one_millisecond_are_in_the_order_they_were_made(clock: Any) -> None:
    made = [ids.new() for _ in range(1_000)]
    assert made == sorted(made)
    assert len(set(made)) == 1_000
    assert len({identifier[:10] for identifier in made}) == 1


def test_a_later_millisecond_is_a_later_id(clock: Any) -> None:
    made = []
    for _ in range(50):
        made.append(ids.new())
        clock.advance(0.001)
    assert made == sorted(made)


def test_the_ends_that_people_type_are_chance(clock: Any) -> None:
    ends = [ids.new()[-6:] for _ in range(200)]
    assert len(set(ends)) == 200
    assert ends != sorted(ends)
