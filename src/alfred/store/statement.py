"""One statement for both databases, rendered once at import.

Invariant: a `Sql` is a constant. What differs between the databases stands in its text, marked; everything that a
caller brings is a parameter.
"""

from __future__ import annotations

import json
import re
from typing import Any

_NAME = re.compile(r"(?<![:\w]):(\w+)")
_LIST = re.compile(r"(\bnot )?\bin :(\w+)")


class Sql:
    """A statement with named parameters (`:name`).

    `{lock}` becomes FOR NO KEY UPDATE on Postgres (never FOR UPDATE: it deadlocks with foreign keys) and
    nothing on SQLite, where the writer lock is held; `{skip}` adds SKIP LOCKED; `{pg:...}` and `{sqlite:...}`
    stand for text of one dialect only. A parameter behind `in` or `not in` is a list of texts, also an empty one.
    """

    __slots__ = ("lists", "pg", "shapes", "sqlite")

    def __init__(self, text: str):
        self.lists = frozenset(name for _, name in _LIST.findall(text))
        pg = _LIST.sub(_any, _of("pg", text)).replace("%", "%%")
        self.pg = _NAME.sub(r"%(\1)s", pg)
        self.shapes: dict[bool, type | None] = {}
        """What its rows are (None: it has none), by whether the database is Postgres; known from the first execution."""
        self.sqlite = _LIST.sub(r"\1in (select value from json_each(:\2))", _of("sqlite", text))

    def parameters(self, given: dict[str, Any], *, pg: bool) -> dict[str, Any]:
        """The parameters as the driver takes them: SQLite has no lists, but JSON."""
        if pg or not self.lists:
            return given
        return given | {name: json.dumps(given[name]) for name in self.lists if name in given}


def _any(found: re.Match[str]) -> str:
    return f"{'<> all' if found[1] else '= any'}(:{found[2]})"


def _of(dialect: str, text: str) -> str:
    other = "sqlite" if dialect == "pg" else "pg"
    text = text.replace("{lock}", "{pg:for no key update}")
    text = text.replace("{skip}", "{pg:for no key update skip locked}")
    text = re.sub(r"\{" + other + r":[^{}]*\}", "", text)
    return re.sub(r"\{" + dialect + r":([^{}]*)\}", r"\1", text)
