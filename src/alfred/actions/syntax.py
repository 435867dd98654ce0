"""A text of shell with its syntax tree: each of its words as the shell takes it, once the quotes are gone.

Invariant: a word whose text only the shell can know is marked so (`Word.text is None`), never guessed.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Parser

_NAME = re.compile(r"\$(?:\{(?=\w+\}))?([A-Za-z_]\w*)\}?")
_TELLING_LITTLE = frozenset(
    "PWD OLDPWD USER LOGNAME HOME SHELL HOSTNAME LANG TERM COLUMNS LINES UID EUID PPID RANDOM SECONDS "
    "LINENO BASHPID BASH_VERSION OSTYPE HOSTTYPE SHLVL PATH".split()
)
"""Variables that may be shown."""
_TELLING_NUMBERS = frozenset({"$?", "$#", "$$", "$!", "${?}", "${#}"})

_FOREIGN = re.compile(r"[^\x00-\x7f]")

PLAIN = frozenset({"word", "number"})
"""Nodes whose text is a word, but for what a backslash takes away."""

NOT_WORDS = frozenset(
    {"variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect", "comment"}
)
"""What stands in a command beside its words."""

_Part = tuple[str | None, bool, bool]
"""A piece of a word: its text (None when unknown), whether it was quoted, whether it was escaped."""


_COMPARES = re.compile(r"-(eq|ne|lt|le|gt|ge)")
_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a command, after the shell took its quotes away."""

    raw: str
    text: str | None
    """None when only the shell could tell: substitutions, unknown variables, braces. `$HOME` and a
    leading `~` are known."""
    glob: bool = False
    """It has unquoted `*`, `?` or `[`: it may become any number of words."""
    computed: bool = False
    """Its text is not known, and is nothing but text, the output of commands that are read as well, and
    variables that tell nothing secret."""

    @property
    def option_like(self) -> bool:
        """Whether it is, or may turn out to be, an option."""
        return (
            self.text is None or self.text.startswith("-") or (self.glob and self.text[0] in "*?[")
        )


def compares_plainly(words: list[str]) -> bool:
    """Whether a test runs nothing: the index of a variable can, and so can a name where a number is compared, which
    stands for a variable whose text is calculated."""
    if any(text in ("-v", "-R") or "[" in text for text in words):
        return False
    return all(
        _NUMBER.fullmatch(side)
        for n, text in enumerate(words)
        if _COMPARES.fullmatch(text)
        for side in (*words[max(n - 1, 0) : n], *words[n + 1 : n + 2])
    )


def home() -> str:
    """What `~` stands for. An account without a home gets `/`: then `~` is the worst that it can be."""
    try:
        found = Path.home()
    except RuntimeError:
        return "/"
    return os.path.normpath(found) if found.is_absolute() else "/"


class Source:
    """A text of shell and its syntax tree. `home` is what `~` and `$HOME` stand for; `known` what the
    variables of loops do, in which it is read."""

    def __init__(self, text: str, *, home: str, known: Mapping[str, Word] | None = None) -> None:
        self.home = home
        self.known = dict(known or {})
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
            elif child.is_named and child.type not in NOT_WORDS:
                found.append(self.word(child))
        return tuple(found)

    def word(self, node: Node) -> Word:
        """The word that a node stands for."""
        raw = self.of(node)
        parts = self._parts(node)
        if any(text is None for text, _, _ in parts):
            return Word(raw, None, computed=self._computed(node))
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
        if kind in PLAIN and not node.children:
            return _escapes(self.of(node))
        if kind == "raw_string":
            return [(self.of(node)[1:-1], True, False)]
        if kind == "string":
            text, glob = self._double_quoted(node)
            return [(text, not glob, False)]
        if kind in ("simple_expansion", "expansion"):
            # what has spaces or stars would be taken apart again outside of quotes
            known = self._variable(node)
            plain = known is not None and re.fullmatch(r"[\w./-]+", known.text or "")
            return [(known.text if known and plain else None, False, True)]
        if kind == "concatenation":
            return [part for child in node.children for part in self._parts(child)]
        return [(None, False, False)]

    def _double_quoted(self, node: Node) -> tuple[str | None, bool]:
        """The text, and whether it stands for what a pattern found."""
        # taken from between the parts as well: the grammar leaves spaces out of its children
        text, at, glob = "", node.start_byte + 1, False
        for child in node.children[1:-1]:
            text += self._given[at : child.start_byte]
            at = child.end_byte
            if child.type == "string_content":
                text += re.sub(r"\\([$`\"\\])", r"\1", self.of(child))
            elif child.type in ("simple_expansion", "expansion"):
                known = self._variable(child)
                if known is None:
                    return None, False
                raw = self.of(child)  # the grammar may count blanks in front of it as its own
                text += raw[: raw.index("$")] + (known.text or "")
                glob = glob or known.glob
            else:
                return None, False
        return text + self._given[at : node.end_byte - 1], glob

    def _variable(self, node: Node) -> Word | None:
        name = _NAME.fullmatch(self.of(node).lstrip())
        if name is None:
            return None
        return Word(name[0], self.home) if name[1] == "HOME" else self.known.get(name[1])

    def _computed(self, node: Node) -> bool:
        raw = self.of(node).lstrip()
        if node.type in ("command_substitution", "process_substitution"):
            return raw.startswith(("$(", "<(")) and raw.endswith(")")
        if node.type in ("simple_expansion", "expansion"):
            name = _NAME.fullmatch(raw)
            return raw in _TELLING_NUMBERS or (
                name is not None and (name[1] in _TELLING_LITTLE or name[1] in self.known)
            )
        if node.type in ("string", "concatenation"):
            return all(self._computed(child) for child in node.children if child.is_named)
        return node.type in (*PLAIN, "raw_string", "string_content")

    def substitutions(self, node: Node) -> Iterator[str]:
        """The texts of the commands whose output a computed word holds."""
        if node.type in ("command_substitution", "process_substitution"):
            yield self.of(node).lstrip()[
                2:-1
            ]  # of backticks something else, but those are never computed
        else:
            for child in node.children:
                yield from self.substitutions(child)


def _unquoted(parts: list[_Part]) -> str:
    """The characters that the shell may still expand; quoted and escaped ones as a neutral letter."""
    return "".join("x" if quoted or escaped else (text or "") for text, quoted, escaped in parts)


def _escapes(raw: str) -> list[_Part]:
    pieces = re.findall(r"\\.|\\$|[^\\]+", raw, re.DOTALL)
    return [(p[1:], False, True) if p.startswith("\\") else (p, False, False) for p in pieces]


@functools.cache
def _language() -> Language:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def _parser() -> Parser:
    """One for each text: a parser may not be shared by threads."""
    import tree_sitter

    return tree_sitter.Parser(_language())
