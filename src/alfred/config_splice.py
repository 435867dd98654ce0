"""A value written into the text of config.yaml: over the old one, as a new key at the end of what it belongs to, or as
one more item of a list; and a key taken out of it.

Invariant: everything that is not the value stays to the letter: comments, order, quoting, layout. Where there is
no simple place for it, nothing is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from alfred import config_text

_PLAIN = re.compile(
    r"[A-Za-z_][\w./+-]*(?::[\w./+-]+)*|[0-9]+(?:ms|[smhd])|[\w./+-]*/[\w./+-]*", re.A
)
_MEANT = frozenset(
    {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
)  # to one YAML or another
_LINE = re.compile(r"\r?\n")


def spliced(
    text: str, made: config_text.Document, path: tuple[str, ...], written: str
) -> str | None:
    """The text with the value in its place; None where there is no simple place for it."""
    line = "\r\n" if "\r\n" in text else "\n"
    node = config_text.compose(text, made)
    if node is None:
        end = "" if not text or text.endswith("\n") else line
        return f"{text}{end}{_nested(path, written)}{line}"
    for n, part in enumerate(path):
        if type(node).__name__ != "MappingNode":
            return None
        above, pair = node, next((p for p in node.value if p[0].value == part), None)
        if pair is None:
            return _added(text, above, _nested(path[n:], written), line)
        key, node = pair
        if node.start_mark.index < key.end_mark.index:
            return None  # an alias: what it stands for is written elsewhere, for others too
        rest = path[n + 1 :]
        if not rest:
            return _over(text, key, node, written)
        if _is_null(node):
            return _over(text, key, node, f"{{{_nested(rest, written)}}}")
    return None


def appended(text: str, made: config_text.Document, path: tuple[str, ...], item: str) -> str | None:
    """The text with one more item at the end of a list; None where there is no simple place for it."""
    node = config_text.compose(text, made)
    for part in path:
        pair = next((p for p in _pairs(node) if p[0].value == part), None)
        if pair is None:
            return spliced(text, made, path, f"[{item}]")
        key, node = pair
        if node.start_mark.index < key.end_mark.index:
            return None  # an alias: the list is written elsewhere, for others too
    if type(node).__name__ != "SequenceNode" or not node.value:
        return spliced(text, made, path, f"[{item}]")
    if node.flow_style:
        at = _end(text, node.value[-1])
        return f"{text[:at]}, {item}{text[at:]}"
    line = "\r\n" if "\r\n" in text else "\n"
    at = _line_end(text, _end(text, node))
    return f"{text[:at]}{line}{' ' * node.start_mark.column}- {item}{text[at:]}"


def removed(text: str, made: config_text.Document, path: tuple[str, ...]) -> str | None:
    """The text without a key and what stands below it; None where it is not in a simple place.

    The last key of a mapping leaves an empty one. The comment right above a key speaks of it, and goes with it; but what
    stands above the first one of several may speak of all, and stays, as does every other comment on a line of its own.
    """
    node, owner = config_text.compose(text, made), None
    for part in path[:-1]:
        owner = next((p for p in _pairs(node) if p[0].value == part), None)
        if owner is None or owner[1].start_mark.index < owner[0].end_mark.index:
            return None  # an alias: the mapping is written elsewhere, for others too
        node = owner[1]
    pairs = _pairs(node)
    at = next((n for n, p in enumerate(pairs) if p[0].value == path[-1]), None)
    if at is None or pairs[at][1].start_mark.index < pairs[at][0].end_mark.index:
        return None
    if len(pairs) == 1:
        return _over(text, *owner, "{}") if owner else None
    if node.flow_style:
        return _out_of_line(text, pairs, at)
    key, value = pairs[at]
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    if text[start : key.start_mark.index].strip():
        return None  # it shares its line: the first key of an item of a list, a `? key`
    if at:
        start = _above(text, start, f"{text[start : key.start_mark.index]}#")
    end = _line_end(text, _pair_end(text, key, value))
    end += len(text[end : end + 2]) if text[end : end + 2] == "\r\n" else len(text[end : end + 1])
    return text[:start] + text[end:]


def _out_of_line(text: str, pairs: Sequence[tuple[Any, Any]], at: int) -> str:
    """The text without one pair of a mapping in braces, and without the comma that it needs no more."""
    start, end = pairs[at][0].start_mark.index, _pair_end(text, *pairs[at])
    if at + 1 < len(pairs):
        following = pairs[at + 1][0].start_mark.index
        if "#" not in text[end:following]:
            return text[:start] + text[following:]
        return text[:start] + text[text.index(",", end) + 1 :]
    before = _pair_end(text, *pairs[at - 1])
    if "#" in text[before:start]:
        return text[:start] + text[end:]
    # a colon right before a brace is a letter of its key
    return (
        text[:before] + (" " if text[before - 1] == ":" and text[end] == "}" else "") + text[end:]
    )


def _above(text: str, start: int, begins: str) -> int:
    """Where the lines begin that stand right above this one, and begin so."""
    while start:
        line = text.rfind("\n", 0, start - 1) + 1
        if not text.startswith(begins, line):
            break
        start = line
    return start


def _pair_end(text: str, key: Any, value: Any) -> int:
    """Where the last word of a key's value ends."""
    return _after(text, key) if _is_unwritten(value) else _end(text, value)


def _pairs(node: Any) -> Sequence[tuple[Any, Any]]:
    return node.value if type(node).__name__ == "MappingNode" else ()


def _nested(path: Sequence[str], written: str) -> str:
    """`limits: {turns: 5}` of the path below which the value is to stand."""
    for part in reversed(path[1:]):
        written = f"{{{yaml_text(part)}: {written}}}"
    return f"{yaml_text(path[0])}: {written}"


def _in_lines(pair: str, line: str) -> str:
    """A pair in one line, or with a line for each of the mappings that it holds: agents and servers become many.

    Args:
        line: How a line begins that stands beside the pair.
    """
    ((key, value),) = config_text.compose(pair, config_text.Document("", {}, {})).value
    if not _pairs(value) or any(type(one).__name__ != "MappingNode" for _, one in value.value):
        return pair
    below = (pair[k.start_mark.index : v.end_mark.index] for k, v in value.value)
    return "".join([f"{pair[: key.end_mark.index]}:", *(f"{line}  {one}" for one in below)])


def _is_null(node: Any) -> bool:
    return type(node).__name__ == "ScalarNode" and str(node.tag).endswith(":null")


def _is_unwritten(node: Any) -> bool:
    """`key:` with nothing behind it: its mark may stand anywhere up to the next word."""
    return node.start_mark.index == node.end_mark.index


def _over(text: str, key: Any, node: Any, written: str) -> str:
    """The value written over the old one; what stood below its key comes to stand beside it."""
    if _is_unwritten(node):
        at = _after(text, key)
        return f"{text[:at]} {written}{text[at:]}"
    start, end = node.start_mark.index, _end(text, node)
    between = text[key.end_mark.index : start]
    if "\n" in between and "#" not in between:
        start = _after(text, key)
        written = f" {written}"
    return f"{text[:start]}{written}{text[end:]}"


def _added(text: str, node: Any, pair: str, line: str) -> str:
    """The pair as the last one of a mapping."""
    if not node.flow_style:
        at = _line_end(text, _end(text, node))
        indent = " " * node.start_mark.column
        return f"{text[:at]}{line}{indent}{_in_lines(pair, f'{line}{indent}')}{text[at:]}"
    if not node.value:
        at = node.start_mark.index + 1
        return f"{text[:at]}{pair}{text[at:]}"
    key, value = node.value[-1]
    at = key.end_mark.index if _is_unwritten(value) else _end(text, value)
    return f"{text[:at]}, {pair}{text[at:]}"


def _end(text: str, node: Any) -> int:
    """Where the last word of a node ends: the marks of blocks reach over the comments that follow."""
    start, end = node.start_mark.index, node.end_mark.index
    if type(node).__name__ == "ScalarNode" or node.flow_style:
        return start + len(text[start:end].rstrip())
    last = node.value[-1]
    if not isinstance(last, tuple):
        return _end(text, last)
    return _pair_end(text, *last)


def _after(text: str, key: Any) -> int:
    """Where the value of a key begins, at the earliest."""
    colon = text.find(":", key.end_mark.index)
    return colon + 1 if colon >= 0 else key.end_mark.index


def _line_end(text: str, at: int) -> int:
    found = _LINE.search(text, at)
    return found.start() if found else len(text)


def yaml_text(value: Any) -> str:
    """A value as YAML in one line, with quotes wherever some YAML could read something else."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{yaml_text(str(k))}: {yaml_text(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(yaml_text(v) for v in value) + "]"
    if isinstance(value, bool | int):
        return config_text.as_text(value)
    if isinstance(value, float | Decimal):
        return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _MEANT:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(character: str) -> str:
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
