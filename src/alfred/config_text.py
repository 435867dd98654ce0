"""YAML as written: a text becomes a tree of texts in which every key and item knows its line.

Owns the reading of the file and what can be wrong with it as a text; what the settings mean is in
`config_schema`. Invariants: a scalar is the text that stands there (`on`, `no`, `0123`, `1e3`), only a
plain `null`, `~` or nothing at all is None; nothing in a file makes this module run code, loop or fail with
anything but `ConfigError`; no message repeats a line of the file, because a line may hold a secret.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alfred import config_mistake, errors

MAX_BYTES = 1_000_000
MAX_NODES = 50_000  # after aliases are written out; a file of MAX_BYTES without aliases stays below
MAX_SHOWN = 80  # characters of a value in a message

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _TAG + t for t in ("str", "null", "bool", "int", "float", "timestamp", "value", "merge")
)
_INT = re.compile(r"-?[1-9][0-9]{0,17}|0")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_USER = re.compile(r"(?<=://)(?:[^\s/]*@|.*@(?=[^@]*$))", re.S)
_PASSWORD = re.compile(r"(?i)(passw(?:or)?d=)[^&\s]*")

Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the key, what is wrong, what was given, and where it was given."""

    path: Where
    message: str
    got: str | None = None
    """Fit to be shown: made by `shown`."""
    place: str = ""
    """`config.yaml:7` or `ALFRED_MODEL`."""
    kind: type[errors.ConfigError] = errors.ConfigError
    """What is raised when it is the only thing that is wrong."""

    def __str__(self) -> str:
        text = ": ".join(filter(None, (self.place, dotted(self.path), self.message)))
        return f"{text} (given: {self.got})" if self.got is not None else text


@dataclass(slots=True)
class Document:
    """A parsed file: `tree` has dicts, lists, texts and None; `lines` the line of each path, from 1."""

    name: str
    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, path: Where) -> str:
        """Where the path, or what it lies in, is written: `config.yaml:7`."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}" if path else self.name


def read(file: Path) -> str | None:
    """The text of a file; None when there is none.

    Raises:
        ConfigError: it is no plain file, too large, no UTF-8, or cannot be read.
    """
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if file.is_symlink():  # what it says is somewhere, and not the defaults
            raise _refusal(file, "it is a link to a place that is not there") from None
        return None
    except OSError as why:
        raise _refusal(file, f"it cannot be read: {str(why.strerror).lower()}") from None
    about = os.fstat(opened)
    if not stat.S_ISREG(about.st_mode):
        os.close(opened)
        raise _refusal(file, "it is no file")
    try:
        with os.fdopen(opened, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as why:
        raise _refusal(file, f"it cannot be read: {str(why.strerror).lower()}") from None
    if len(data) > MAX_BYTES:
        size = max(about.st_size, len(data))
        raise _refusal(file, f"it has {size:,} bytes, more than the {MAX_BYTES:,} that are read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = data.count(b"\n", 0, why.start) + 1
        raise _refusal(file, f"byte {data[why.start]:#04x} is no UTF-8", line=line) from None


def parse(text: str, name: str) -> Document:
    """Reads a text. What is wrong with it is in `findings`, all of it as far as it can be known."""
    made = Document(name)
    root = compose(text, made)
    if root is None:
        return made
    tree = _Reader(made).value(root, (), ())
    if isinstance(tree, dict):
        made.tree = tree
    elif tree is not None:
        made.findings.append(
            Finding((), "must be keys with values, as in `model: auto`", place=f"{name}:1")
        )
    return made


def compose(text: str, made: Document) -> Any:
    """The nodes of the text as ruamel has them, with their marks; None when there are none.

    What stops the reading is added to the findings.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(typ="rt", pure=True)
    yaml.composer.warn_double_anchors = False  # it would go to stderr, and no rule forbids it

    def stopped(message: str, line: int) -> None:
        made.findings.append(Finding((), message, place=f"{made.name}:{line}"))

    try:
        return yaml.compose(text)
    except MarkedYAMLError as why:
        line, said = config_mistake.of(text, why)
        stopped(f"no proper YAML: {said}", line)
    except YAMLError as why:  # a character that no YAML text may have
        at = getattr(why, "position", None)
        what = getattr(why, "character", None)
        line = text.count("\n", 0, at) + 1 if isinstance(at, int) else 1
        stopped(f"no proper YAML: the character {_code(what)} may not stand in it", line)
    except RecursionError:
        stopped("it is nested too deeply", 1)
    except (
        ArithmeticError,
        ValueError,
        LookupError,
        AttributeError,
        AssertionError,
        TypeError,
    ) as why:
        # An input that the library has no answer to, as `%YAML 1.x` or `\U99999999`: still the file's fault.
        stopped(f"no proper YAML: {type(why).__name__} while reading", 1)
    return None


class _Reader:
    """Turns nodes into the tree, noting lines and findings."""

    def __init__(self, made: Document):
        self.made = made
        self.left = MAX_NODES

    def value(self, node: Any, path: Where, above: tuple[int, ...]) -> Any:
        self.left -= 1
        if self.left < 0 or id(node) in above or len(above) > 100:
            if self.left >= 0 or self.left == -1:
                self.wrong(
                    node,
                    path,
                    "it refers to itself" if id(node) in above else "there is too much in it",
                )
            return None
        kind = type(node).__name__
        tag = str(node.tag)
        if kind == "ScalarNode":
            if tag not in _PLAIN_TAGS:
                self.wrong(node, path, "a tag (`!…`) means nothing here")
                return None
            return None if tag == _TAG + "null" else self.text(node, path, node.value)
        if tag not in (_TAG + "map", _TAG + "seq"):
            self.wrong(node, path, "a tag (`!…`) means nothing here")
            return None
        above = (*above, id(node))
        if kind == "SequenceNode":
            items = []
            for n, item in enumerate(node.value):
                below = (*path, n)
                self.made.lines[below] = item.start_mark.line + 1
                items.append(self.value(item, below, above))
            return items
        return self.mapping(node, path, above)

    def mapping(self, node: Any, path: Where, above: tuple[int, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if type(key).__name__ != "ScalarNode":
                self.wrong(key, path, "a key must be a plain word")
                continue
            if str(key.tag) == _TAG + "merge":
                self.wrong(key, path, "`<<` is not read, write the keys out")
                continue
            name = self.text(key, path, key.value)
            below = (*path, name)
            if name in made:
                first = self.made.lines[below]
                self.wrong(key, below, f"written twice, first in line {first}")
                continue
            self.made.lines[below] = line
            made[name] = self.value(value, below, above)
        return made

    def text(self, node: Any, path: Where, text: str) -> str:
        if bad := not_text(text):
            self.wrong(node, path, f"the character {_code(bad)} may not stand in a text")
            return ""
        return text

    def wrong(self, node: Any, path: Where, message: str) -> None:
        place = f"{self.made.name}:{node.start_mark.line + 1}"
        self.made.findings.append(Finding(path, message, place=place))


def not_text(text: str) -> str | None:
    """The first NUL or lone surrogate: neither can be stored or printed."""
    return next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None)


def resolve(tree: Any) -> Any:
    """The tree with `true`, `false` and numbers as such, where writing them out gives the same text again.

    So whoever wants a text gets it back with `as_text`: `0123`, `1e3`, `on`, `+5` and `1.50` stay texts.
    """
    if isinstance(tree, dict):
        return {key: resolve(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolve(value) for value in tree]
    if isinstance(tree, str):
        if tree in ("true", "false"):
            return tree == "true"
        if _INT.fullmatch(tree):
            return int(tree)
        if _FLOAT.fullmatch(tree) and repr(float(tree)) == tree:
            return float(tree)
    return tree


def as_text(value: object) -> str:
    """What was written, of a scalar that `resolve` gave."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(value: Any) -> str:
    """A value as a message may show it: short, printable, without the password of an address.

    What is long is cut between words only: of a key that was pasted here, whoever prints it must see the whole to
    hide it.
    """
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    text = without_password(as_text(value))
    text = ascii(text) if not text.isprintable() else repr(text)
    if len(text) <= MAX_SHOWN:
        return text
    words = text[: MAX_SHOWN + 1].rpartition(" ")[0]
    return f"{words}… ({len(text):,} characters)"


def without_password(text: str) -> str:
    """The text without what stands before the @ of an address, and without `password=`."""
    return _PASSWORD.sub(r"\1[redacted]", _USER.sub("[redacted]@", text))


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    import difflib

    known = {n.lower(): n for n in names}
    found = difflib.get_close_matches(name[:100].lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def meant(name: str, names: Collection[str], otherwise: str | None = None) -> str:
    """What somebody who wrote this name may have meant, as the end of a sentence.

    Args:
        otherwise: What is said where no name is near; None: all of them.
    """
    if near := nearest(name, names):
        return f", did you mean {near}?"
    return f"; known: {', '.join(names)}" if otherwise is None else otherwise


def advice(name: str, names: Collection[str], otherwise: str | None = None) -> str:
    """The same as a sentence of its own: the next step of an error."""
    if near := nearest(name, names):
        return f"Did you mean {near}?"
    return f"Known: {', '.join(names)}." if otherwise is None else otherwise


def dotted(path: Where) -> str:
    """A path as people write it: `policy.rules[0].mode`. A key with other characters stands in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[\w-]+", part) is not None and len(part) <= MAX_SHOWN
            text += ("." if text else "") + (part if plain else shown(part))
    return text


def error(file: Path, findings: Sequence[Finding]) -> errors.ConfigError:
    """All findings as one error, with the file that is to be corrected."""
    way = f"Correct {file}, or the variable that is named; `alfred config schema` has every key."
    return raised(findings, way)


def raised(
    findings: Sequence[Finding], next: str | None = None, *, of: str = "the configuration"
) -> errors.ConfigError:
    """All findings as one error: of the finding's own kind for one, `ConfigErrors` with the name of each kind for several.

    Args:
        of: What they are problems of.
    """
    problems = tuple(
        errors.Problem(dotted(f.path), ": ".join(filter(None, (f.place, f.message))), f.got)
        for f in findings
    )
    if len(findings) == 1:
        return findings[0].kind(str(findings[0]), next=next, errors=problems)
    lines = "".join(
        f"\n  {f}" if f.kind is errors.ConfigError else f"\n  {f} ({f.kind.__name__})"
        for f in findings
    )
    return errors.ConfigErrors(
        f"{len(findings)} problems in {of}:{lines}", next=next, errors=problems
    )


def _refusal(file: Path, message: str, *, line: int | None = None) -> errors.ConfigError:
    place = file.name if line is None else f"{file.name}:{line}"
    return error(file, [Finding((), message, place=place)])


def _code(character: Any) -> str:
    code = character if isinstance(character, int) else ord(character) if character else None
    return "?" if code is None else "NUL" if code == 0 else f"U+{code:04X}"
