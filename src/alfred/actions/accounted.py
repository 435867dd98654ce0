"""Whether a syntax tree accounts for every character of its text, as the shell would read it.

Invariant: the grammar makes a tree of everything and is lenient; a tree that skips something, glues two words
or two statements together, or takes one word for two, is told here, so that nobody judges it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from alfred.actions.syntax import PLAIN, Source

if TYPE_CHECKING:
    from tree_sitter import Node

GROUPS = frozenset(
    "program list pipeline subshell compound_statement negated_command comment if_statement elif_clause "
    "else_clause do_group".split()
)
"""Nodes that are statements one after the other."""

UNITS = frozenset(
    "word number string raw_string concatenation simple_expansion expansion command_substitution "
    "process_substitution ansi_c_string translated_string comment variable_assignment regex "
    "extglob_pattern arithmetic_expansion brace_expression".split()
)
"""Nodes that stand for a word (or a comment) as a whole."""


def accounted(source: Source) -> bool:
    """Whether the tree covers the whole text, with blanks between words. The grammar sometimes takes one
    word for two, or sees a comment where the shell sees none: then two of them touch."""
    at, after_word = 0, False
    for node in _units(source.root):
        gap = source.between(at, node.start_byte)
        is_word = node.type in UNITS
        if gap.strip(" \t\n") or (is_word and after_word and not gap):
            return False
        if not _whole(source, node):
            return False
        if (
            node.type == "comment"
            and source.between(max(at - 1, 0), at).strip(" \t\n;&|()")
            and not gap
        ):
            return False
        if node.type in PLAIN and re.match(r"[0-9]+[<>]", source.between(node.start_byte, None)):
            return False  # `>2>&1`: digits that touch a redirection belong to it
        at, after_word = node.end_byte, is_word
    return not source.between(at, None).strip(" \t\n") and _separated(source, source.root)


_ONE_LINE = frozenset({"command", "redirected_statement", "file_redirect", "variable_assignment"})


def _separated(source: Source, node: Node) -> bool:
    """Whether a command ends with its line, and something stands between one statement and the next."""
    for left, right in zip(node.children, node.children[1:], strict=False):
        newline = "\n" in source.between(left.end_byte, right.start_byte)
        if newline and node.type in _ONE_LINE:
            return False
        comment = "comment" in (left.type, right.type)
        if (
            node.type in GROUPS
            and left.is_named
            and right.is_named
            and right.type not in ("elif_clause", "else_clause")
            and not newline
            and not comment
        ):
            return False
    return all(child.type in UNITS or _separated(source, child) for child in node.children)


def _whole(source: Source, node: Node) -> bool:
    """Whether a word is one word: its parts touch, and nothing in them would have ended it."""
    if node.type == "concatenation":
        ends = [node.start_byte, *(child.end_byte for child in node.children)]
        touching = ends[:-1] == [child.start_byte for child in node.children]
        return touching and all(_whole(source, child) for child in node.children)
    plain = re.sub(r"\\.", "", source.of(node)) if node.type in PLAIN else ""
    return not re.search(r"[\s;&|<>()'\"`]", plain)


def _units(node: Node) -> Iterator[Node]:
    if node.type in UNITS or not node.children:
        if node.end_byte > node.start_byte:
            yield node
        return
    for child in node.children:
        yield from _units(child)
