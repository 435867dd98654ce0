"""One text for one JSON value, and the hash that binds an approval to exactly what was shown.

Invariant: two values have the same canonical text only when they are the same JSON value. Nothing is
repaired on the way: text is not normalised, keys are not made strings, NaN is refused, because a value
that quietly becomes another one would be executed under the approval of the first.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from alfred.actions.kinds import Risk

MAX_DEPTH = 64
"""How deep a value may nest: RFC 8259 leaves it open, and the HTTP surface refuses more as well."""


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: keys sorted by code point, no spaces, characters as they are.

    Numbers are written as Python writes them (`1` and `1.0` differ), tuples as lists.

    Raises:
        ValueError: NaN or an infinity, a key that is no string, a character that UTF-8 or a database
            cannot hold (a lone surrogate, NUL), more than `MAX_DEPTH` levels, an integer of more than
            4,300 digits, or something that is not JSON.
    """
    if not _plain(value, 0):
        _check(value, "", 0)
    try:
        return _ENCODER.encode(value)
    except TypeError as e:
        raise ValueError(str(e)) from e


def digest(value: Any) -> str:
    """SHA-256 of the canonical text, in hex.

    Raises:
        ValueError: as `canonical_json`.
    """
    return text_digest(canonical_json(value))


def text_digest(text: str) -> str:
    """SHA-256 of a text that is canonical already, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def args_hash(
    *,
    action: str,
    schema_hash: str,
    args: str,
    target: Any,
    tenant: str,
    run_id: str,
    risk: Risk,
) -> str:
    """What an approval is bound to. When any of these differs at execution, the approval does not count.

    Args:
        action: The id of the action.
        schema_hash: Of the schema that the arguments were checked against.
        args: The normalised arguments as their one text (`arguments.Valid.text`).
        target: What the call would touch as it is now (`Action.target`), null when the action names none.
        tenant: Whose run it is.
        run_id: The run that asks.
        risk: The effective risk that the card showed.

    Raises:
        ValueError: as `canonical_json`.
    """
    # the text of an object of all of them, around the one that is there already
    before, behind = {"action": action}, {"risk": str(risk), "run": run_id, "schema": schema_hash}
    behind |= {"target": target, "tenant": tenant}
    return text_digest(f'{canonical_json(before)[:-1]},"args":{args},{canonical_json(behind)[1:]}')


def _plain(value: Any, depth: int) -> bool:
    """Whether a value is one beyond doubt, as nearly all are; of others `_check` says what is wrong, if anything is."""
    kind = type(value)
    if kind is str:
        return value.isascii() and "\0" not in value
    if value is None or kind is int or kind is bool:
        return True
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        for key, inner in value.items():
            if type(key) is not str or not _plain(key, depth) or not _plain(inner, depth + 1):
                return False
        return True
    if kind is list:
        return all(_plain(inner, depth + 1) for inner in value)
    return False


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{where or 'the value'} is {value}, which JSON cannot hold")
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where or 'the value'} has the key {key!r}, which is no string")
            _check_text(key, where)
            _check(inner, f"{where}.{key}" if where else key, depth + 1)
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            _check(inner, f"{where}[{n}]", depth + 1)
    else:
        raise ValueError(f"{where or 'the value'} is a {type(value).__name__}, which is not JSON")


def _check_text(text: str, where: str) -> None:
    if "\0" in text:
        raise ValueError(f"{where or 'the value'} contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise ValueError(
            f"{where or 'the value'} contains half of a character ({e.reason})"
        ) from None
