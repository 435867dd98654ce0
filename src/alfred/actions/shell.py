"""Shell text read by a real parser: which programs it starts, with which words, and what goes where.

This file says what stands there and judges nothing. Invariant: a part that cannot be read exactly is
never left out silently: it is in `Script.unclear` (and the reader of a script treats that as the worst),
and a word whose text only the shell can know is marked so (`Word.text is None`).

Where tree-sitter and bash disagree the text is unclear: a line that continues after a backslash, control
characters, anything the grammar marks as an error.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_TEXT = 32_000
"""Longer text is not read. Nobody writes it by hand, and nobody reads it on a card."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]|\\\n"
)

# what `read` takes apart and understands; every other kind of node makes the script unclear
_GROUPS = frozenset(
    {"program", "list", "pipeline", "subshell", "compound_statement", "negated_command", "comment"}
)
_PUNCTUATION = frozenset({"&&", "||", ";", "|", "|&", "(", ")", "{", "}", "!", "\n"})
_PLAIN = frozenset({"word", "number"})


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command, after the shell took its quotes away."""

    raw: str
    text: str | None
    """None when only the shell could tell: substitutions, unknown variables, braces. `$HOME` and a
    leading `~` are known."""
    glob: bool = False
    """It has unquoted `*`, `?` or `[`: it may become any number of words."""

    @property
    def option_like(self) -> bool:
        """Whether it is, or may turn out to be, an option."""
        return (
            self.text is None or self.text.startswith("-") or (self.glob and self.text[0] in "*?[")
        )


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a stream goes to or comes from."""

    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its words."""

    words: tuple[Word, ...]
    """At least one; the first is the name."""
    assignments: tuple[tuple[str, Word], ...] = ()
    redirects: tuple[Redirect, ...] = ()
    piped: bool = False
    """Its input is the output of another command."""


@dataclass(slots=True)
class Script:
    """What a text of shell does, in order."""

    commands: list[Command] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    """Why parts of it are not understood."""


def read(text: str, *, home: str) -> Script:
    """Reads shell text. `home` is what `~` and `$HOME` stand for."""
    script = Script()
    if len(text) > MAX_TEXT:
        script.unclear.append(f"longer than {MAX_TEXT} characters")
        return script
    if _CONTROL.search(text):
        script.unclear.append("control characters or a continued line")
        return script
    try:
        root = parse(text)
    except UnicodeEncodeError:
        script.unclear.append("half of a character")
        return script
    if root.has_error:
        script.unclear.append("cannot be parsed")
        return script
    try:
        _read(root, script, home, redirects=(), piped=False)
    except RecursionError:
        script.unclear.append("nested too deep")
    return script


def home() -> str:
    """What `~` stands for. An account without a home gets `/`: then `~` is the worst that it can be."""
    try:
        found = Path.home()
    except RuntimeError:
        return "/"
    return os.path.normpath(found) if found.is_absolute() else "/"


def parse(text: str) -> Node:
    """The syntax tree of the text.

    Raises:
        UnicodeEncodeError: the text has half of a character.
    """
    return _parser().parse(text.encode()).root_node


def words(node: Node, *, home: str) -> tuple[Word, ...]:
    """The name and the arguments of a `command` node."""
    found = []
    for child in node.children:
        if child.type == "command_name":
            found.append(word(child.children[0], home=home))
        elif child.is_named and child.type not in _NOT_WORDS:
            found.append(word(child, home=home))
    return tuple(found)


_NOT_WORDS = frozenset(
    {"variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect", "comment"}
)


def word(node: Node, *, home: str) -> Word:
    """The word that a node stands for."""
    raw = _text(node)
    parts = _parts(node, home)
    if any(text is None for text, _, _ in parts):
        return Word(raw, None)
    unquoted = "".join(text or "" for text, quoted, _ in parts if not quoted)
    if re.search(r"\{[^}]*(,|\.\.)", _unquoted(parts)):
        return Word(raw, None)  # braces make several words of one
    if parts and not (parts[0][1] or parts[0][2]) and (parts[0][0] or "").startswith("~"):
        first = parts[0][0] or ""
        # `~` alone or before a slash; `~other`, `~+` and `"x"` glued behind `~` are for the shell
        if not re.match(r"~(/|$)", first) or (first == "~" and len(parts) > 1):
            return Word(raw, None)
        parts[0] = (home + first[1:], False, parts[0][2])
    glob = bool(re.search(r"[*?\[]", _unquoted(parts))) and unquoted not in ("[", "[[")
    return Word(raw, "".join(text or "" for text, _, _ in parts), glob)


def literal(node: Node, *, home: str) -> str | None:
    """The exact text of a word node, or None."""
    found = word(node, home=home)
    return None if found.glob else found.text


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _unquoted(parts: list[tuple[str | None, bool, bool]]) -> str:
    """The characters that the shell may still expand; quoted and escaped ones as a neutral letter."""
    return "".join("x" if quoted or escaped else (text or "") for text, quoted, escaped in parts)


def _parts(node: Node, home: str) -> list[tuple[str | None, bool, bool]]:
    """A word in pieces: text (None when unknown), whether it was quoted, whether it was escaped."""
    kind = node.type
    if kind in _PLAIN and not node.children:
        return _escapes(_text(node))
    if kind == "raw_string":
        return [(_text(node)[1:-1], True, False)]
    if kind == "string":
        return [(_double_quoted(node, home), True, False)]
    if kind in ("simple_expansion", "expansion"):
        # a home with spaces or stars would be taken apart again outside of quotes
        known = _variable(node, home)
        return [(known if known and re.fullmatch(r"[\w./-]+", known) else None, False, True)]
    if kind == "concatenation":
        return [part for child in node.children for part in _parts(child, home)]
    return [(None, False, False)]


def _escapes(raw: str) -> list[tuple[str | None, bool, bool]]:
    parts: list[tuple[str | None, bool, bool]] = []
    for piece in re.findall(r"\\.|\\$|[^\\]+", raw, re.DOTALL):
        if piece.startswith("\\"):
            parts.append((piece[1:], False, True))
        else:
            parts.append((piece, False, False))
    return parts


def _double_quoted(node: Node, home: str) -> str | None:
    # taken from the bytes between the parts as well: the grammar leaves spaces out of its children
    whole, start = node.text or b"", node.start_byte
    text, at = "", 1
    for child in node.children[1:-1]:
        begin, end = child.start_byte - start, child.end_byte - start
        text += whole[at:begin].decode()
        at = end
        if child.type == "string_content":
            text += re.sub(r"\\([$`\"\\])", r"\1", whole[begin:end].decode())
        elif child.type in ("simple_expansion", "expansion"):
            known = _variable(child, home)
            if known is None:
                return None
            text += known
        else:
            return None
    return text + whole[at : len(whole) - 1].decode()


def _variable(node: Node, home: str) -> str | None:
    return home if _text(node) in ("$HOME", "${HOME}") else None


def _read(
    node: Node, script: Script, home: str, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    kind = node.type
    if kind == "command":
        _command(node, script, home, redirects=redirects, piped=piped)
    elif kind == "test_command":
        _test(node, script, home, redirects=redirects)
    elif kind == "redirected_statement":
        inner = [c for c in node.children if not c.type.endswith("_redirect")]
        own = tuple(_redirects(node, script, home))
        if not inner and own:
            script.commands.append(Command((Word(":", ":"),), (), redirects + own))
        for child in inner:
            _read(child, script, home, redirects=redirects + own, piped=piped)
    elif kind in _GROUPS:
        fed = piped
        for child in node.children:
            if child.is_named:
                _read(child, script, home, redirects=redirects, piped=fed)
            elif child.type in ("|", "|&"):
                fed = True
            elif child.type not in _PUNCTUATION:
                script.unclear.append(f"the operator {child.type!r}")
    else:
        script.unclear.append(kind.replace("_", " "))


def _command(
    node: Node, script: Script, home: str, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    assignments = []
    for child in node.children:
        if child.type == "variable_assignment":
            named = child.child_by_field_name("name")
            value = child.child_by_field_name("value")
            if (
                named is None
                or named.type != "variable_name"
                or _text(child)[len(_text(named))] != "="
            ):
                script.unclear.append("an assignment that is not plain")
                continue
            assignments.append((_text(named), word(value, home=home) if value else Word("", "")))
        elif not child.is_named:
            script.unclear.append(f"the operator {child.type!r}")
    own = tuple(_redirects(node, script, home))
    found = words(node, home=home)
    if not found:
        script.unclear.append("an assignment without a command")
        return
    script.commands.append(Command(found, tuple(assignments), redirects + own, piped))


def _test(node: Node, script: Script, home: str, *, redirects: tuple[Redirect, ...]) -> None:
    """`[ … ]` and `[[ … ]]`. Their operands can be arithmetic, which can run commands: only plain
    ones are understood."""
    for leaf in _leaves(node):
        if not re.fullmatch(r"[\w./:=!<>~\"'-]+|\[\[?|\]\]?|&&|\|\||[()]", _text(leaf)):
            script.unclear.append("a test that is not plain")
            return
    script.commands.append(Command((Word("[", "["),), (), redirects))


def _redirects(node: Node, script: Script, home: str) -> Iterator[Redirect]:
    for child in node.children:
        if child.type == "file_redirect":
            operator = next((c.type for c in child.children if not c.is_named), "")
            targets = [c for c in child.children if c.is_named and c.type != "file_descriptor"]
            if len(targets) != 1:
                script.unclear.append("a redirection that is not plain")
                continue
            yield Redirect(operator, word(targets[0], home=home))
        elif child.type.endswith("_redirect"):
            script.unclear.append(child.type.replace("_", " "))


def _leaves(node: Node) -> Iterator[Node]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves(child)


@functools.cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
