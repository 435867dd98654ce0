"""Shell text read by a real parser: which programs it starts, with which words, and what goes where.

This file says what stands there and judges nothing. Invariant: a part that cannot be read exactly is
never left out silently: it is in `Script.unclear` (and the reader of a script treats that as the worst),
and a word whose text only the shell can know is marked so (`Word.text is None`).

Where tree-sitter and bash disagree the text is unclear: a line that continues after a backslash, control
characters, anything the grammar marks as an error.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alfred.actions.accounted import GROUPS, UNITS, accounted
from alfred.actions.syntax import NOT_WORDS, Source, Word, compares_plainly

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_TEXT = 8_000
"""Longer text is not read: a card shows half of it whole, and the parser takes seconds for 32,000."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]|\\\n"
)

_HALF = re.compile(r"[\ud800-\udfff]")

_BODIES = frozenset({"subshell", "compound_statement", "do_group", "else_clause"})
_BRANCHES = frozenset({"if", "elif", "then", "fi"})
_PUNCTUATION = frozenset("&& || ; | |& ( ) { } ! \n if then elif else fi do done".split(" "))
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
    depth: int = 0
    """In how many substitutions it stands."""


_DEPTH = 5
_TURNS = 16
"""How many values of a loop are followed."""
_COMMANDS = 2_000
_LOOPING = re.compile(r"(?!.*_proxy)[a-z][a-z0-9_]*")
"""Variables of loops that change nothing about the commands: those have capitals."""


def read(
    text: str, *, home: str, known: Mapping[str, Word] | None = None, depth: int = 0
) -> Script:
    """Reads shell text. `home` is what `~` and `$HOME` stand for, `known` what variables do; `depth` tells in
    how many substitutions it stands."""
    script = Script(depth=depth)
    if depth > _DEPTH:
        script.unclear.append("substitutions nested too deep")
        return script
    if len(text) > MAX_TEXT:
        script.unclear.append(f"longer than {MAX_TEXT} characters")
        return script
    if _CONTROL.search(text):
        script.unclear.append("control characters or a continued line")
        return script
    if _HALF.search(text):
        script.unclear.append("half of a character")
        return script
    source = Source(text, home=home, known=known)
    try:
        if source.root.has_error or not accounted(source):
            script.unclear.append("cannot be parsed")
            return script
        _read(source.root, script, source, redirects=(), piped=False)
    except RecursionError:
        script.unclear.append("nested too deep")
    return script


def _read(
    node: Node, script: Script, source: Source, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    kind = node.type
    if kind == "command":
        _command(node, script, source, redirects=redirects, piped=piped)
    elif kind == "for_statement":
        _loop(node, script, source, redirects=redirects, piped=piped)
    elif kind == "test_command":
        _test(node, script, source, redirects=redirects)
    elif kind == "redirected_statement":
        inner = [c for c in node.children if not c.type.endswith("_redirect")]
        own = tuple(_redirects(node, script, source))
        if not inner and own:
            script.commands.append(Command((Word(":", ":"),), (), redirects + own))
        for child in inner:
            _read(child, script, source, redirects=redirects + own, piped=piped)
    elif kind in GROUPS:
        inner = [child for child in node.children if child.is_named and child.type != "comment"]
        if (kind in _BODIES and not inner) or _empty_branch(node):
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
        elif not child.is_named or child.type not in UNITS | NOT_WORDS | {"command_name"}:
            script.unclear.append(f"{child.type!r} in a command")
    own = tuple(_redirects(node, script, source))
    found = source.words(node)
    if not found:
        script.unclear.append("an assignment without a command")
        return
    if found[0].raw in _RESERVED:
        script.unclear.append(f"the word {found[0].raw!r}")
    # where it stands, so that a `cd` before it counts
    for text in source.substitutions(node):
        inner = read(text, home=source.home, known=source.known, depth=script.depth + 1)
        script.commands += inner.commands
        script.unclear += inner.unclear
    script.commands.append(Command(found, tuple(assignments), redirects + own, piped))


def _empty_branch(node: Node) -> bool:
    """Whether nothing stands behind an `if`, an `elif` or a `then`."""
    if node.type not in ("if_statement", "elif_clause"):
        return False
    said = [child for child in node.children if child.is_named or child.type in _BRANCHES]
    said = [child for child in said if child.type != "comment"]
    return any(
        left.type in _BRANCHES
        and (right.type in _BRANCHES or right.type in ("elif_clause", "else_clause"))
        for left, right in itertools.pairwise(said)
    ) or (bool(said) and said[-1].type == "then")


def _loop(
    node: Node, script: Script, source: Source, *, redirects: tuple[Redirect, ...], piped: bool
) -> None:
    """`for`: what is done is read with each value."""
    name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
    marks = [child.type for child in node.children if not child.is_named]
    values = [source.word(value) for value in node.children_by_field_name("value")]
    plain = (
        name is not None
        and body is not None
        and body.type == "do_group"
        and marks[:2] == ["for", "in"]
        and all(mark in (";", "\n") for mark in marks[2:])
        and _LOOPING.fullmatch(source.of(name))
        and 0 < len(values) <= _TURNS
        and all(value.text is not None for value in values)
        and len(script.commands) <= _COMMANDS
    )
    if not plain or name is None or body is None:
        script.unclear.append("a loop that is not plain")
        return
    before = dict(source.known)
    for value in values:
        source.known[source.of(name)] = value
        _read(body, script, source, redirects=redirects, piped=piped)
    source.known = before


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
    # one text may hold several comparisons
    said = re.findall(r"[^\s&|()]+", source.of(node))
    if not compares_plainly([text.strip("\"'") for text in said if text.strip("[]")]):
        script.unclear.append("a test of what would be calculated")
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
