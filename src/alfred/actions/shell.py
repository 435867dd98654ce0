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
    from tree_sitter import Language, Node, Parser

MAX_TEXT = 32_000
"""Longer text is not read. Nobody writes it by hand, and nobody reads it on a card."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]|\\\n"
)

_HALF = re.compile(r"[\ud800-\udfff]")
_FOREIGN = re.compile(r"[^\x00-\x7f]")

# what `read` takes apart and understands; every other kind of node makes the script unclear
_GROUPS = frozenset(
    {"program", "list", "pipeline", "subshell", "compound_statement", "negated_command", "comment"}
)
_PUNCTUATION = frozenset({"&&", "||", ";", "|", "|&", "(", ")", "{", "}", "!", "\n"})
_PLAIN = frozenset({"word", "number"})
_RESERVED = frozenset(
    "! { } [[ ]] ] if then else elif fi case esac for select while until do done in function coproc".split()
)
"""Words of the shell's own grammar: as the name of a program they are a mistake or something else."""


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
    if _HALF.search(text):
        script.unclear.append("half of a character")
        return script
    source = Source(text, home=home)
    if source.root.has_error or not _accounted(source):
        script.unclear.append("cannot be parsed")
        return script
    try:
        _read(source.root, script, source, redirects=(), piped=False)
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


class Source:
    """A text of shell and its syntax tree. `home` is what `~` and `$HOME` stand for."""

    def __init__(self, text: str, *, home: str) -> None:
        self.home = home
        self._given = text
        # The grammar's scanner hands every character to `isalpha` and its like, which C defines for one
        # byte: with others it reads outside of a table, and may take the process down. To the shell they
        # are all parts of words, so the grammar is shown a letter in place of each; and since every
        # character is one byte then, the grammar's offsets count characters.
        self.root = _parser().parse(_FOREIGN.sub("x", text).encode()).root_node

    def of(self, node: Node) -> str:
        """The text that a node covers."""
        return self._given[node.start_byte : node.end_byte]

    def between(self, start: int, end: int | None) -> str:
        """The text between two offsets of nodes."""
        return self._given[start:end]

    def words(self, node: Node) -> tuple[Word, ...]:
        """The name and the arguments of a `command` node."""
        found = []
        for child in node.children:
            if child.type == "command_name":
                found.append(self.word(child.children[0]))
            elif child.is_named and child.type not in _NOT_WORDS:
                found.append(self.word(child))
        return tuple(found)

    def word(self, node: Node) -> Word:
        """The word that a node stands for."""
        raw = self.of(node)
        parts = self._parts(node)
        if any(text is None for text, _, _ in parts):
            return Word(raw, None)
        unquoted = _unquoted(parts)
        behind_brace = unquoted.partition("{")[2]
        if "," in behind_brace or ".." in behind_brace or re.search(r"[=:]~", unquoted):
            return Word(raw, None)  # braces make several words of one; `a=~` has a home in it
        if parts and not (parts[0][1] or parts[0][2]) and (parts[0][0] or "").startswith("~"):
            first = parts[0][0] or ""
            # `~` alone or before a slash; `~other`, `~+` and `"x"` glued behind `~` are for the shell
            if not re.match(r"~(/|$)", first) or (first == "~" and len(parts) > 1):
                return Word(raw, None)
            parts[0] = (self.home + first[1:], False, parts[0][2])
        glob = re.search(r"[*?\[]", unquoted) is not None and raw not in ("[", "[[")
        return Word(raw, "".join(text or "" for text, _, _ in parts), glob)

    def _parts(self, node: Node) -> list[_Part]:
        kind = node.type
        if kind in _PLAIN and not node.children:
            return _escapes(self.of(node))
        if kind == "raw_string":
            return [(self.of(node)[1:-1], True, False)]
        if kind == "string":
            return [(self._double_quoted(node), True, False)]
        if kind in ("simple_expansion", "expansion"):
            # a home with spaces or stars would be taken apart again outside of quotes
            known = self._variable(node)
            return [(known if known and re.fullmatch(r"[\w./-]+", known) else None, False, True)]
        if kind == "concatenation":
            return [part for child in node.children for part in self._parts(child)]
        return [(None, False, False)]

    def _double_quoted(self, node: Node) -> str | None:
        # taken from between the parts as well: the grammar leaves spaces out of its children
        text, at = "", node.start_byte + 1
        for child in node.children[1:-1]:
            text += self._given[at : child.start_byte]
            at = child.end_byte
            if child.type == "string_content":
                text += re.sub(r"\\([$`\"\\])", r"\1", self.of(child))
            elif child.type in ("simple_expansion", "expansion"):
                known = self._variable(child)
                if known is None:
                    return None
                text += known
            else:
                return None
        return text + self._given[at : node.end_byte - 1]

    def _variable(self, node: Node) -> str | None:
        return self.home if self.of(node) in ("$HOME", "${HOME}") else None


_NOT_WORDS = frozenset(
    {"variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect", "comment"}
)


_UNITS = frozenset(
    "word number string raw_string concatenation simple_expansion expansion command_substitution "
    "process_substitution ansi_c_string translated_string comment variable_assignment regex "
    "extglob_pattern arithmetic_expansion brace_expression".split()
)
"""Nodes that stand for a word (or a comment) as a whole."""


def _accounted(source: Source) -> bool:
    """Whether the tree covers the whole text, with blanks between words. The grammar sometimes takes one
    word for two, or sees a comment where the shell sees none: then two of them touch."""
    at, after_word = 0, False
    for node in _units(source.root):
        gap = source.between(at, node.start_byte)
        is_word = node.type in _UNITS
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
        if node.type in _PLAIN and re.match(r"[0-9]+[<>]", source.between(node.start_byte, None)):
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
            node.type in _GROUPS
            and left.is_named
            and right.is_named
            and not newline
            and not comment
        ):
            return False
    return all(child.type in _UNITS or _separated(source, child) for child in node.children)


def _whole(source: Source, node: Node) -> bool:
    """Whether a word is one word: its parts touch, and nothing in them would have ended it."""
    if node.type == "concatenation":
        ends = [node.start_byte, *(child.end_byte for child in node.children)]
        touching = ends[:-1] == [child.start_byte for child in node.children]
        return touching and all(_whole(source, child) for child in node.children)
    plain = re.sub(r"\\.", "", source.of(node)) if node.type in _PLAIN else ""
    return not re.search(r"[\s;&|<>()'\"`]", plain)


def _units(node: Node) -> Iterator[Node]:
    if node.type in _UNITS or not node.children:
        if node.end_byte > node.start_byte:
            yield node
        return
    for child in node.children:
        yield from _units(child)


_Part = tuple[str | None, bool, bool]
"""A piece of a word: its text (None when unknown), whether it was quoted, whether it was escaped."""


def _unquoted(parts: list[_Part]) -> str:
    """The characters that the shell may still expand; quoted and escaped ones as a neutral letter."""
    return "".join("x" if quoted or escaped else (text or "") for text, quoted, escaped in parts)


def _escapes(raw: str) -> list[_Part]:
    pieces = re.findall(r"\\.|\\$|[^\\]+", raw, re.DOTALL)
    return [(p[1:], False, True) if p.startswith("\\") else (p, False, False) for p in pieces]


def _read(
    node: Node, script: Script, source: Source, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    kind = node.type
    if kind == "command":
        _command(node, script, source, redirects=redirects, piped=piped)
    elif kind == "test_command":
        _test(node, script, source, redirects=redirects)
    elif kind == "redirected_statement":
        inner = [c for c in node.children if not c.type.endswith("_redirect")]
        own = tuple(_redirects(node, script, source))
        if not inner and own:
            script.commands.append(Command((Word(":", ":"),), (), redirects + own))
        for child in inner:
            _read(child, script, source, redirects=redirects + own, piped=piped)
    elif kind in _GROUPS:
        inner = [child for child in node.children if child.is_named and child.type != "comment"]
        if kind in ("subshell", "compound_statement") and not inner:
            script.unclear.append(f"an empty {kind.replace('_', ' ')}")
        fed = piped
        for child in node.children:
            if child.is_named:
                _read(child, script, source, redirects=redirects, piped=fed)
            elif child.type in ("|", "|&"):
                fed = True
            elif child.type not in _PUNCTUATION:
                script.unclear.append(f"the operator {child.type!r}")
    else:
        script.unclear.append(kind.replace("_", " "))


def _command(
    node: Node, script: Script, source: Source, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    assignments = []
    for child in node.children:
        if child.type == "variable_assignment":
            named = child.child_by_field_name("name")
            value = child.child_by_field_name("value")
            if (
                named is None
                or named.type != "variable_name"
                or source.of(child)[len(source.of(named))] != "="
            ):
                script.unclear.append("an assignment that is not plain")
                continue
            assignments.append((source.of(named), source.word(value) if value else Word("", "")))
        elif not child.is_named or child.type not in _UNITS | _NOT_WORDS | {"command_name"}:
            script.unclear.append(f"{child.type!r} in a command")
    own = tuple(_redirects(node, script, source))
    found = source.words(node)
    if not found:
        script.unclear.append("an assignment without a command")
        return
    if found[0].raw in _RESERVED:
        script.unclear.append(f"the word {found[0].raw!r}")
    script.commands.append(Command(found, tuple(assignments), redirects + own, piped))


def _test(node: Node, script: Script, source: Source, *, redirects: tuple[Redirect, ...]) -> None:
    """`[ … ]` and `[[ … ]]`. Their operands can be arithmetic, which can run commands: only plain
    ones are understood."""
    if not re.fullmatch(r"\[\[?\s.*\s\]\]?", source.of(node), re.DOTALL):
        script.unclear.append("a test without blanks")
        return
    for leaf in _leaves(node):
        if not re.fullmatch(r"[\w./:=!<>~\"'-]+|\[\[?|\]\]?|&&|\|\||[()]", source.of(leaf)):
            script.unclear.append("a test that is not plain")
            return
    script.commands.append(Command((Word("[", "["),), (), redirects))


def _redirects(node: Node, script: Script, source: Source) -> Iterator[Redirect]:
    for child in node.children:
        if child.type == "file_redirect":
            operator = next((c.type for c in child.children if not c.is_named), "")
            targets = [c for c in child.children if c.is_named and c.type != "file_descriptor"]
            if len(targets) != 1:
                script.unclear.append("a redirection that is not plain")
                continue
            yield Redirect(operator, source.word(targets[0]))
        elif child.type.endswith("_redirect"):
            script.unclear.append(child.type.replace("_", " "))


def _leaves(node: Node) -> Iterator[Node]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves(child)


@functools.cache
def _language() -> Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def _parser() -> Parser:
    """One for each text: a parser may not be shared by threads."""
    import tree_sitter

    return tree_sitter.Parser(_language())
