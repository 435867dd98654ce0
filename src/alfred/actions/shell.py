"""Shell text read by a real parser: which programs it starts, with which words, and what goes where.

This file says what stands there and judges nothing. Invariant: a part that cannot be read exactly is
never left out silently: it is in `Script.unclear` (and the reader of a script treats that as the worst),
and a word whose text only the shell can know is marked so (`Word.text is None`).

Where tree-sitter and bash disagree the text is unclear: a line that continues after a backslash, control
characters, anything the grammar marks as an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alfred.actions.syntax import NOT_WORDS, PLAIN, Source, Word

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_TEXT = 8_000
"""Longer text is not read: a card shows half of it whole, and the parser takes seconds for 32,000."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]|\\\n"
)

_HALF = re.compile(r"[\ud800-\udfff]")

# what `read` takes apart and understands; every other kind of node makes the script unclear
_GROUPS = frozenset(
    {"program", "list", "pipeline", "subshell", "compound_statement", "negated_command", "comment"}
)
_PUNCTUATION = frozenset({"&&", "||", ";", "|", "|&", "(", ")", "{", "}", "!", "\n"})
_RESERVED = frozenset(
    "! { } [[ ]] ] if then else elif fi case esac for select while until do done in function coproc".split()
)
"""Words of the shell's own grammar: as the name of a program they are a mistake or something else."""


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
    plain = re.sub(r"\\.", "", source.of(node)) if node.type in PLAIN else ""
    return not re.search(r"[\s;&|<>()'\"`]", plain)


def _units(node: Node) -> Iterator[Node]:
    if node.type in _UNITS or not node.children:
        if node.end_byte > node.start_byte:
            yield node
        return
    for child in node.children:
        yield from _units(child)


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
        elif not child.is_named or child.type not in _UNITS | NOT_WORDS | {"command_name"}:
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
