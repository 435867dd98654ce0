from tests.unit.integrations.conftest import _ledger, bench, new_bench  # noqa: F401
