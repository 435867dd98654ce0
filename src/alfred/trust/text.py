"""The one place where text is made storable: the same value on SQLite, on Postgres and as UTF-8.

Postgres refuses NUL and lone surrogates, SQLite takes them and C programs cut there; NaN and the
infinities are no JSON. What passed through `sanitize` is the same everywhere, and whoever called
learns that something was taken out.
"""

from __future__ import annotations

import math
import re
from typing import Any

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_DIRTY = re.compile("[\x00\ud800-\udfff]")


def sanitize(value: Any) -> tuple[Any, bool]:
    """Takes NUL and lone surrogates out of every text of a nested JSON value, keys included.

    Returns the clean value and whether it differs from what was given. Two keys that become one are
    both kept, the later with ` (2)`; NaN and the infinities become their names as text; two halves of
    a surrogate pair become the character they stand for. An unchanged value is returned as it is.
    """
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return ("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"), True
    if isinstance(value, dict):
        return _clean_dict(value)
    if isinstance(value, list | tuple):
        items = [sanitize(item) for item in value]
        if not any(changed for _, changed in items):
            return value, False
        return [item for item, _ in items], True
    return value, False


def _clean(text: str) -> tuple[str, bool]:
    if not _DIRTY.search(text):
        return text, False
    joined = _PAIR.sub(lambda m: m[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return _DIRTY.sub("", joined), True


def _clean_dict(value: dict[Any, Any]) -> tuple[dict[Any, Any], bool]:
    changed = False
    cleaned: dict[Any, Any] = {}
    dirty: list[tuple[str, Any]] = []
    for key, item in value.items():
        new_item, item_changed = sanitize(item)
        new_key, key_changed = _clean(key) if isinstance(key, str) else (key, False)
        changed = changed or item_changed or key_changed
        if key_changed:
            dirty.append((new_key, new_item))
        else:
            cleaned[key] = new_item
    for key, item in dirty:  # clean keys keep their names, whatever order they came in
        cleaned[free_key(cleaned, key)] = item
    return (cleaned, True) if changed else (value, False)


def free_key(taken: dict[Any, Any], key: str) -> str:
    """The key itself, or the first of `key (2)`, `key (3)`, … that is not taken: nothing is lost."""
    if key not in taken:
        return key
    number = 2
    while f"{key} ({number})" in taken:
        number += 1
    return f"{key} ({number})"
