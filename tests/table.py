"""A test over a table: one test that looks at every row and names each that does not hold.

For hundreds of rows of a pure function: as tests of their own they would cost pytest 2 ms each, to be collected by every
worker, set up, reported and counted, where the function costs microseconds. What needs a fixture of its own for each
row, or would hide the other rows when it hangs, stays with `pytest.mark.parametrize`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

SHOWN = 20
"""How many rows that do not hold are told in full; the others are counted."""


def table(rows: Sequence[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Makes a test of one row into a test of all rows: `@table(ROWS)` above `def test_it(text, meant)`.

    A row that is a tuple is the arguments, anything else is the only one. Every row is looked at; those that fail are
    raised together, each with its row as a note.
    """
    assert rows, "a table without rows proves nothing"

    def over(test: Callable[..., None]) -> Callable[[], None]:
        @functools.wraps(test)
        def every_row() -> None:
            problems: list[Exception] = []
            for number, row in enumerate(rows):
                try:
                    test(*row) if isinstance(row, tuple) else test(row)
                except Exception as problem:
                    problem.add_note(f"in row {number}: {row!a:.500}")
                    problems.append(problem)
            if problems:
                told = f"{test.__name__}: {len(problems)} of {len(rows)} rows do not hold"
                raise ExceptionGroup(told, problems[:SHOWN])

        # What pytest takes for fixtures: not the names of the columns.
        every_row.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
        return every_row

    return over
