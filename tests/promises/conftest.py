"""The same ledger as in tests/ledger, with what a race needs: two hands, and a moment at which both are in."""

from __future__ import annotations

from tests.ledger.conftest import core as core
