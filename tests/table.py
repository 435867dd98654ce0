"""A test over a table: one test that looks at every row and names each that does not hold.

For many rows of a pure function, or of one that looks at a place and leaves it as it was: as tests of their own they
would cost pytest 2 ms each and their fixtures as much again, to be collected by every worker, set up, reported and
counted, where the function costs microseconds. What needs a fixture of its own for each row, or would hide the other
rows when it hangs, stays with `pytest.mark.parametrize`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest

SHOWN = 20
"""How many rows that do not hold are told in full; the others are counted."""


def table(rows: Sequence[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a test of one row into a test of all rows: `@table(ROWS)` above `def test_it(fixture, text, meant)`.

    A row that is a tuple is the last arguments, anything else is the last one; those before are fixtures, the same for
    every row. Every row is looked at; those that fail are raised together, each with its row as a note.
    """
    assert rows, "a table without rows proves nothing"
    columns = len(rows[0]) if isinstance(rows[0], tuple) else 1

    def over(test: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        fixtures = parameters[: len(parameters) - columns]

        @functools.wraps(test)
        def every_row(**given: Any) -> None:
            problems: list[Exception] = []
            for number, row in enumerate(rows):
                told = f"in row {number}: {row!a:.500}"
                try:
                    test(
                        *(given[one.name] for one in fixtures),
                        *(row if isinstance(row, tuple) else (row,)),
                    )
                except pytest.fail.Exception as problem:  # "DID NOT RAISE", which is no Exception
                    problems.append(AssertionError(f"{problem.msg} {told}"))
                except Exception as problem:
                    problem.add_note(told)
                    problems.append(problem)
            if problems:
                told = f"{test.__name__}: {len(problems)} of {len(rows)} rows do not hold"
                raise ExceptionGroup(told, problems[:SHOWN])

        # What pytest takes for fixtures: not the names of the columns.
        every_row.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
        return every_row

    return over
