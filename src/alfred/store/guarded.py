"""A guarded statement with the rows that follow from it: one journey on Postgres, one after the other on SQLite.

Invariant: nothing behind the guard is written unless the guard found its row. On Postgres all of it is one statement,
whose parts see the database as it was when it began, and nothing of each other: what they read besides the guard's row
must be still under a lock that the transaction holds already. They stand in the order in which SQLite runs them.
"""

from __future__ import annotations

import re
from typing import Any

from alfred.store.statement import Sql
from alfred.store.tx import Tx

_HELD = re.compile(r"\bheld\.(\w+)")


class Guarded:
    """`Guarded(guard, part, ...)`: the guard ends with `returning` and plain column names, at most one row; each part
    names what it came to as `held.column`, and has `held` in its `from`. Called with the transaction and parameters."""

    __slots__ = ("_guard", "_parts", "_whole")

    def __init__(self, guard: str, *parts: str):
        self._guard = Sql(guard)
        self._parts: list[tuple[Sql, dict[str, str]]] = []
        for part in parts:
            used = sorted(set(_HELD.findall(part)))
            values = ",".join(f":held_{name}" for name in used)
            row = (
                f"with held({','.join(used)}) as (values({values})) "
                if used
                else "with held as (select 1) "
            )
            self._parts.append((Sql(row + part), {f"held_{name}": name for name in used}))
        behind = "".join(f",part{n} as ({part})" for n, part in enumerate(parts))
        self._whole = Sql(f"with held as ({guard}){behind} select * from held")

    def __call__(self, tx: Tx, /, **params: Any) -> Any | None:
        """The guard's row; None when it found none, and nothing was written."""
        if tx.pg:
            return tx(self._whole, **params).one_or_none()
        held = tx(self._guard, **params).one_or_none()
        if held is not None:
            for part, used in self._parts:
                tx(part, **params, **{key: getattr(held, name) for key, name in used.items()})
        return held
