"""One ledger at a time, on SQLite and on Postgres, and what every test of it has to leave behind in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alfred.runs import audit
from alfred.store import connect, invariants
from tests.ledger.core import Core


@pytest.fixture
def core(store: connect.Store) -> Iterator[Core]:
    """Verbs over a fresh ledger; at the end every invariant holds."""
    made = Core(store)
    yield made
    broken = invariants.check(store)
    assert not broken, broken
    with store.read() as look:
        assert audit.verify(look)[1] is None
