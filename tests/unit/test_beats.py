"""What the sweep does besides the core's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alfred import beats, config
from alfred.store.connect import Store
from alfred.store.statement import Sql

_SEALED = Sql("select count(*) from audit")


def _of(settings: Callable[[], config.Settings]) -> Callable[[Store], None]:
    """What seals the rules, in a process that goes by these settings."""
    never: Any = None
    return beats.beats(
        never,
        never,
        quiet=never,
        settings=lambda tenant: settings(),
        tenants=lambda: ["main"],
        earned=never,
        told=never,
        crons=False,
    )[0]


def test_machines_with_other_rules_seal_theirs_once_each_and_every_change(store: Store) -> None:
    def rows() -> int:
        with store.read() as look:
            return look(_SEALED).scalar_one()

    here = [config.Settings()]
    there = config.Settings.model_validate({"alfred": 1, "policy": {"mode": "off"}})
    one, other = _of(lambda: here[-1]), _of(lambda: there)
    for _ in range(3):
        one(store)
        other(store)
    assert rows() == 2
    here.append(config.Settings.model_validate({"alfred": 1, "policy": {"mode": "autonomous"}}))
    for _ in range(3):
        one(store)
        other(store)
    assert rows() == 3
