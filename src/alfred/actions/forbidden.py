"""What is never done, even if a person approves it: destroying the machine, and the ways to write that.

Deleting `/`, home or system folders; making a file system on a device or writing over one; fork bombs;
shutting the host down, or ending all its processes. The text is looked at from several sides: every
command anywhere in the parsed tree (also in functions, loops and substitutions), every word behind a
wrapper (`sudo`, `ssh`, `xargs` …), text that is handed to another shell or interpreter, and, where the
text cannot be parsed, its bare words.

This is a net for accidents and for the obvious, and it is not complete: what is downloaded, decoded or
computed first cannot be seen here (it is high, and a person decides). The boundary is the sandbox.
Mentioning is not doing: `grep "rm -rf /" notes` is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alfred.actions import deadly, syntax
from alfred.actions.syntax import Source, Word

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_TEXT = 32_000
_DEPTH = 5
_LONG = 2_000
"""A word that only the shell knows and that is longer than this is not worked out."""
_AGAIN = 64_000
"""How many characters of loops are read again, all together."""
_TURN = 1_000
"""So many a turn counts at least."""
_WORDS = 64
"""How many words of one command are tried as the start of another."""

_WRAPPERS = frozenset(
    "sudo doas su env nice ionice timeout time nohup setsid stdbuf xargs command exec builtin eval ssh "
    "chroot busybox toybox watch parallel strace ltrace unshare nsenter flock docker podman kubectl "
    "systemd-run runuser pkexec caffeinate chrt taskset unbuffer script trap at batch coproc if then do else done fi ! { }".split()
)
_SHELLS = frozenset("bash sh dash zsh ksh ash fish mksh csh tcsh".split())
_FED = _SHELLS | {"at", "batch", "ssh", "source", "."}
"""Programs that run what they read."""
_INTERPRETER = re.compile(
    r"([gm]?awk|python|pypy|perl|ruby|node|deno|bun|php|lua|tclsh|osascript)[\d.]*"
)

_STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'")
_ERASING_CALL = re.compile(
    r"(rmtree|rm_rf|rm_r|rmSync|rmdirSync|removeSync|rimraf|remove_tree|rmdir)\W*$"
)
_STARTING = re.compile(r"system|popen|exec|spawn|subprocess|\brun\b|call|output|\bsh\b|qx|`", re.I)
_BARE_BOMB = re.compile(
    r"(?<![\w:.])([\w:.]{1,40})\s{0,9}\(\s{0,9}\)\s{0,9}\{[^}]{0,200}\1\s{0,9}(\|\s{0,9}\1|&)"
)
_CODE_BOMB = re.compile(
    r"while\b[^\n]{0,40}\bfork\b|\bfork\b\s*(\(\s*\))?\s*while\b|\bloop\b[^\n]{0,20}\bfork\b"
)


def forbidden(text: str, *, cwd: str | os.PathLike[str] | None = None) -> str | None:
    """Why this shell text is never run, even if approved; None when it may be. Never raises.

    Args:
        text: What would be given to `bash -c`.
        cwd: Where it starts, so that relative paths can be resolved.
    """
    if not isinstance(text, str):
        return None
    # what is too long to be parsed is looked at by its ends: nothing here may take for ever
    long = len(text) > _MAX_TEXT
    parts = (text[:_MAX_TEXT], text[-_MAX_TEXT:]) if long else (text,)
    return next(filter(None, (_Look(cwd).at(part, 0) for part in parts)), None)


class _Look:
    """One look at a text and at the texts inside of it. Gathers what the text itself makes known:
    where `cd` went, what variables were set to."""

    def __init__(self, cwd: str | os.PathLike[str] | None) -> None:
        self.home = syntax.home()
        self.ground = deadly.Ground(self.home, None if cwd is None else str(Path(cwd).absolute()))
        self.known = {"HOME": self.home, "IFS": " ", "PWD": "."}
        self.given: list[str | None] = []  # what `$@` stands for
        self.again = _AGAIN

    def at(self, text: str, depth: int) -> str | None:
        if depth > _DEPTH:
            return None
        text = text.replace("\\\n", "").replace("\0", "")
        source = Source(text, home=self.home)
        return self._tree(source, depth) or (self._bare(text) if source.root.has_error else None)

    def _tree(self, source: Source, depth: int) -> str | None:
        printed: list[str] = []  # literal text that something else may be given to read
        names: set[str] = set()
        for node in _walk(source.root):
            reason = None
            if node.type == "command":
                words = self._words(source, node)
                if words:
                    names.update(base for word in words if (base := deadly.base(word)))
                    reason = self._command(words, depth)
                    printed += self._printed(words, printed)
            elif node.type == "variable_assignment":
                self._assign(source, node)
            elif node.type == "function_definition":
                reason = _bomb(source, node)
            elif node.type == "for_statement":
                reason = self._loop(source, node, depth)
            elif node.type in ("heredoc_body", "herestring_redirect"):
                printed.append(source.of(node).removeprefix("<<<").strip().strip("'\""))
            elif node.type == "file_redirect":
                reason = self._written(source, node)
            if reason is not None:
                return reason
        if names & {"$0", "${0}"} and re.search(r"\$\{?0\}?\s*[|&]", source.of(source.root)):
            return "a fork bomb"
        for text in printed:
            reason = self.at(text, depth + 1) if names & _FED or text.startswith("xargs ") else None
            if reason is None and any(_INTERPRETER.fullmatch(name) for name in names):
                reason = self._code(text, depth)
            if reason is not None:
                return reason
        return None

    def _words(self, source: Source, node: Node) -> list[str | None]:
        """The words as text; None where only the shell knows."""
        found: list[str | None] = []
        for word in source.words(node):
            found += self._expand(word)
        return found

    def _expand(self, word: Word) -> list[str | None]:
        """What a word becomes, as far as its own text tells: set variables, defaults, literal
        substitutions, braces."""
        if word.text is not None:
            return [word.text]
        if len(word.raw) > _LONG:
            return [None]
        if re.fullmatch(r"\"?\$\{?[@*]\}?\"?", word.raw):
            return self.given or [None]
        raw = re.sub(r"\$\(\s*pwd\s*\)|`pwd`|^~\+", ".", word.raw)
        raw = re.sub(
            r"\$\(\s*(?:echo|printf)\s+([^()$`]*?)\s*\)|`\s*(?:echo|printf)\s+([^`$]*?)\s*`",
            r"\1\2",
            raw,
        )
        raw = re.sub(r"\$'([^'\\]*)'", r"\1", raw)
        raw = re.sub(r"\$\{(\w+):?[-=]([^{}$]*)\}", lambda m: self.known.get(m[1], m[2]), raw)
        raw = re.sub(r"\$\{?(\w+)\}?", lambda m: self.known.get(m[1], m[0]), raw)
        if re.search(r"[$`]", raw):
            return [raw if re.fullmatch(r"\$\{?0\}?", raw) else None]
        raw = re.sub(r"[\"']", "", raw)
        braces = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", raw)
        if braces is not None:
            parts = braces[2].split(",")[:_WORDS]
            return [self._at_home(braces[1] + part + braces[3]) for part in parts]
        return [self._at_home(raw)]

    def _at_home(self, word: str) -> str:
        other = re.match(r"~([a-z_][\w-]*)(?=/|$)", word)  # the home of somebody
        if other is not None:
            return ("/root" if other[1] == "root" else f"/home/{other[1]}") + word[other.end() :]
        return self.home + word[1:] if re.match(r"~(/|$)", word) else word

    def _assign(self, source: Source, node: Node) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and value is not None:
            text = self._expand(source.word(value))[0]
            if text is not None:
                self.known[source.of(name)] = text

    def _loop(self, source: Source, node: Node, depth: int) -> str | None:
        """What is done with each value, as far as these are told."""
        name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if name is None or body is None or not body.named_children:
            return None
        inside = body.named_children
        text = source.between(inside[0].start_byte, inside[-1].end_byte)
        before = dict(self.known)
        told = [self._expand(source.word(n)) for n in node.children_by_field_name("value")[:_WORDS]]
        for values in told or [self.given]:
            for value in values:
                if value is not None and (turn := max(len(text), _TURN)) <= self.again:
                    self.again -= turn
                    self.known[source.of(name)] = value
                    if (reason := self.at(text, depth + 1)) is not None:
                        return reason
        self.known = before
        return None

    def _command(self, words: list[str | None], depth: int) -> str | None:
        name = deadly.base(words[0])
        if name in ("cd", "pushd") and len(words) > 1 and words[1] is not None:
            self.ground.enter(words[1])
        first = words[0] or ""
        if re.search(r"\s", first.strip()):  # `rm${IFS}-rf${IFS}/`
            return self.at(" ".join(word or "''" for word in words), depth + 1)
        if name == "find":
            return self._found(words, depth)
        told = next((n for n, w in enumerate(words) if re.fullmatch(r"-[a-z]*c", w or "")), None)
        if name in _SHELLS and told is not None:
            self._give(words[told + 3 :])
            if (zero := next(iter(words[told + 2 :]), None)) is not None:
                self.known["0"] = zero
        elif name == "set" and "--" in words:
            self._give(words[words.index("--") + 1 :])
        wraps = name in _WRAPPERS or name in _SHELLS
        for n in range(min(len(words), _WORDS) if wraps else 1):
            reason = self.ground.program(words[n:])
            if reason is not None:
                return reason
            if _INTERPRETER.fullmatch(deadly.base(words[n]) or ""):
                reason = next(
                    filter(None, (self._code(w, depth) for w in words[n + 1 :] if w)), None
                )
                if reason is not None:
                    return reason
        if not wraps and name != "alias":
            return None
        texts = [
            word for word in words[1:] if word is not None and re.search(r"[\s;|&]", word.strip())
        ]
        if name == "alias":
            texts = [text.partition("=")[2] for text in texts]
        if name == "eval":
            texts.append(" ".join(word for word in words[1:] if word is not None))
        return next(filter(None, (self.at(text, depth + 1) for text in texts)), None)

    def _give(self, words: list[str | None]) -> None:
        """What `$1` and so on stand for from here on."""
        self.given = words[:_WORDS]
        self.known |= {str(n): word for n, word in enumerate(words, 1) if word is not None}

    def _found(self, words: list[str | None], depth: int) -> str | None:
        """A `find`, and what it starts."""
        reason, n = self.ground.program(words), 0
        while reason is None and n < len(words) and depth <= _DEPTH:
            if words[n] in ("-exec", "-execdir", "-ok", "-okdir"):
                end = next((m for m in range(n, len(words)) if words[m] in (";", "+")), len(words))
                reason = self._command(words[n + 1 : end], depth + 1) if end > n + 1 else None
                n = end
            n += 1
        return reason

    def _printed(self, words: list[str | None], before: list[str]) -> list[str]:
        """The literal text that a command gives to the next one in its pipe."""
        name, known = deadly.base(words[0]), [word for word in words[1:] if word is not None]
        if name in ("echo", "printf"):
            return [" ".join(word for word in known if word[:1] != "-")]
        if name == "find" and not deadly.chooses(known):
            return [" ".join(deadly.starts(known))]
        if name == "xargs":
            return [f"xargs {' '.join(known)} {text}" for text in before]
        return []

    def _written(self, source: Source, node: Node) -> str | None:
        """A redirection onto a device."""
        if any(child.type in ("<", "<&") for child in node.children):
            return None
        for child in node.children:
            if not child.is_named or child.type == "file_descriptor":
                continue
            for target in self._expand(source.word(child)):
                if target is not None and deadly.device(target):
                    return f"writing over the device {target}"
                if target is not None and os.path.normpath(target) == "/proc/sysrq-trigger":
                    return "shutting the host down through sysrq"
        return None

    def _code(self, code: str, depth: int) -> str | None:
        """Text of another language: calls that erase folders, and commands among its strings."""
        if _CODE_BOMB.search(code):
            return "a fork bomb"
        strings, starts = [], bool(_STARTING.search(code))
        for match in _STRING.finditer(code):
            string = match[1] if match[1] is not None else match[2] or ""
            strings.append(string)
            before = code[max(0, match.start() - 80) : match.start()]
            # `rmtree(`, and `rmtree(Path(`
            if any(
                _ERASING_CALL.search(text) for text in (before, re.sub(r"[\w.]*\($", "", before))
            ):
                what = self.ground.protected(None, self._at_home(string), recursive=True)
                if what is not None:
                    return f"deleting {what}"
            if starts and (re.search(r"\s", string.strip()) or string in deadly.SHUTDOWN):
                reason = self.at(string, depth + 1)
                if reason is not None:
                    return reason
        # `["rm", "-rf", "/"]`
        for n in range(min(len(strings), _WORDS) if starts else 0):
            reason = self.ground.program([*strings[n : n + _WORDS]])
            if reason is not None:
                return reason
        return None

    def _bare(self, text: str) -> str | None:
        """Text that cannot be parsed: its words between separators, without quotes."""
        if _BARE_BOMB.search(text):
            return "a fork bomb"
        for part in re.split(r"[;&|\n(){}`]+", text):
            plain = re.sub(r"\$\{?HOME\}?", "~", re.sub(r"[\\\"']", "", part))
            words: list[str | None] = [self._at_home(word) for word in plain.split()]
            for n in range(min(len(words), _WORDS)):
                reason = self.ground.program(words[n : n + _WORDS])
                if reason is not None:
                    return reason
        return None


def _bomb(source: Source, node: Node) -> str | None:
    """A function that starts itself more than once, or itself in the background."""
    name = next((source.of(c) for c in node.children if c.type == "word"), None)
    calls = [n for n in _walk(node) if n.type == "command_name" and source.of(n) == name]
    forks = any(n.type in ("&", "|", "|&") for n in _walk(node))
    return "a fork bomb" if calls and forks else None


def _walk(root: Node) -> Iterator[Node]:
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(node.children))
