"""Secrets out of every text that is stored, shown or sent.

First the exact values that the program was told of (`register`), in the forms in which tools really print
them; then the formats of well-known issuers; then values that a name like `password =` announces. Each is
replaced by `[redacted:type:abcd]`, where abcd is the end of the SHA-256 of the secret: the same secret has
the same tag everywhere, whatever form it stood in.

This is the second wall. The first is that secrets do not get into a text. What it cannot know: a secret
that nobody registered, that has no known format and that no name announces.
"""

from __future__ import annotations

import codecs
import functools
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from alfred import trust
from alfred.trust import signs, spellings
from alfred.trust.signs import Span, tag
from alfred.trust.text import free_key

_MIN_SQUEEZED = (
    10  # of a secret that is looked for without its spaces: a shorter one stands in many a sentence
)
_HOLD = 65_536  # characters without any place to cut, before a stream is cut anyway
_CONTEXT = 256  # characters before the cut that the next piece is judged with
_SHORT = 256  # characters of a text that is looked at once, however often it is written down

_QUOTED = (
    re.compile(  # a line end in a diff, or in something quoted; blanks as in `spellings.LINE_END`
        r"(?:(?<![ \t])[ \t]+)?\r?\n[+>|#*-]?[ \t]*"
    )
)
_CONTINUED = re.compile(
    r"[=\\]\r?\n"
)  # a line that goes on: of a mail (quoted-printable), of a shell
_UNSEEN = re.compile(r"[\s\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")
_PERCENT = re.compile("%[0-9A-Fa-f]{2}")
# Colours and places of a terminal, raw or written out: `grep --color` puts them into the middle of what it has found.
_COLOUR = re.compile(
    r"(?:\x1b|\\u001[bB]|\\x1[bB]|\\033|\\e)(?:\[[0-9;:?]{0,32}[A-Za-z]|\([A-Z0-9]|\](?:[^\x07\x1b\\]{0,2000})(?:\x07|\x1b\\))"
)


# ---- known values

_lock = threading.Lock()
_known: dict[str, str] = {}  # value -> name
_forms: tuple[tuple[str, str], ...] = ()  # (form, tag), longest first
_age = 0  # raised behind every change of the forms: what was looked at before counts no more


def register(value: str, name: str) -> bool:
    """Remembers a secret value for the life of this process; `name` is what its tag will say.

    Returns whether it can be hidden: a value shorter than six characters is not taken, because it
    would be hidden in every number and word that contains it.
    """
    global _forms, _age
    if len(value.strip()) < spellings.SHORTEST:
        return False
    with _lock:
        if value not in _known:
            _known[value] = name
            _forms = _sorted(_forms + tuple(_forms_of(value, name)))
            _age += 1
    return True


def forget_all() -> None:
    """Forgets every registered value: for tests, and when the secrets of a process are read anew."""
    global _forms, _age
    with _lock:
        _known.clear()
        _forms = ()
        _age += 1


def _sorted(forms: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted(dict(reversed(tuple(forms))).items(), key=lambda form: (-len(form[0]), form))
    )


def _forms_of(value: str, name: str) -> Iterator[tuple[str, str]]:
    """Every spelling of a value, with the tag of the value."""
    shown = tag(name, value)
    return ((form, shown) for form in spellings.of(value))


def _known_spans(text: str, forms: tuple[tuple[str, str], ...]) -> Iterator[Span]:
    if not forms:
        return
    for form, shown in forms:
        at = text.find(form)
        while at >= 0:
            yield Span(at, at + len(form), shown)
            at = text.find(form, at + len(form))
    folded = spellings.LINE_END.sub("", text)
    if len(folded) == len(text):
        return
    # Wrapped lines (base64 at 76 columns, a pasted key): search without line ends, map back.
    yield from _folded_spans(text, folded, spellings.LINE_END, forms)
    if len(quoted := _QUOTED.sub("", text)) < len(folded):
        yield from _folded_spans(text, quoted, _QUOTED, forms)
    if len(whole := _CONTINUED.sub("", text)) < len(text):
        yield from _folded_spans(text, whole, _CONTINUED, forms)


def _folded_spans(
    text: str, folded: str, fold: re.Pattern[str], forms: tuple[tuple[str, str], ...]
) -> Iterator[Span]:
    where: list[int] | None = None
    for form, shown in forms:
        at = folded.find(form)
        while at >= 0:
            where = where or _unfold(text, fold)
            yield Span(where[at], where[at + len(form) - 1] + 1, shown)
            at = folded.find(form, at + len(form))


def _unfold(text: str, pattern: re.Pattern[str]) -> list[int]:
    """For each character of the folded text its place in the text."""
    where: list[int] = []
    done = 0
    for fold in pattern.finditer(text):
        where.extend(range(done, fold.start()))
        done = fold.end()
    where.extend(range(done, len(text)))
    return where


def _percent_spans(text: str, known: tuple[tuple[str, str], ...]) -> Iterator[Span]:
    """What stands in a text once each `%41` in it is the letter that it means, whichever letters are written so."""
    if "%" not in text or not _PERCENT.search(text):
        return
    pieces: list[str] = []
    starts: list[int] = []  # of each character of the decoded text, its place in the text
    done = 0
    for escape in _PERCENT.finditer(text):
        pieces.append(text[done : escape.start()])
        starts.extend(range(done, escape.start() + 1))
        pieces.append(chr(int(escape[0][1:], 16)))
        done = escape.end()
    pieces.append(text[done:])
    starts.extend(range(done, len(text) + 1))
    decoded = "".join(pieces)
    for source in (
        _known_spans(decoded, _forms),
        _known_spans(decoded, known),
        signs.formatted(decoded),
    ):
        for span in source:
            yield Span(starts[span.start], starts[span.end], span.tag)


def _coloured_spans(text: str, known: tuple[tuple[str, str], ...]) -> Iterator[Span]:
    """What stands in a text once the colours in it are taken out."""
    if ("\x1b" not in text and "\\" not in text) or not _COLOUR.search(text):
        return
    plain = _COLOUR.sub("", text)
    where = _unfold(text, _COLOUR)
    for source in (
        _known_spans(plain, _forms),
        _known_spans(plain, known),
        signs.formatted(plain),
        signs.announced(plain),
    ):
        for span in source:
            yield Span(where[span.start], where[span.end - 1] + 1, span.tag)


# ---- replacing


def _spans(text: str, known: tuple[tuple[str, str], ...]) -> list[Span]:
    """What is hidden, in order, without overlaps: known values first, then formats, then contexts."""
    taken: list[Span] = []
    covered = bytearray(len(text))
    for source in (
        _known_spans(text, _forms),
        _known_spans(text, known),
        signs.formatted(text),
        _coloured_spans(text, known),
        _percent_spans(text, known),
        signs.announced(text),
    ):
        for span in source:
            piece = covered[span.start : span.end]
            if not any(piece):
                taken.append(span)
            elif not all(piece):
                # Partly hidden already: hide the rest under the same tag, once.
                taken.extend(_uncovered(span, piece))
            covered[span.start : span.end] = b"\x01" * (span.end - span.start)
    return sorted(taken)


def _uncovered(span: Span, piece: bytearray) -> Iterator[Span]:
    start: int | None = None
    for at in range(len(piece) + 1):
        hidden = at == len(piece) or piece[at]
        if not hidden and start is None:
            start = at
        elif hidden and start is not None:
            yield Span(span.start + start, span.start + at, span.tag)
            start = None


def _replaced(text: str, spans: Iterable[Span], start: int, end: int) -> str:
    """text[start:end] with the spans replaced; a span that begins before `start` is replaced from there."""
    pieces = []
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        pieces.append(text[start : max(start, span.start)])
        pieces.append(span.tag)
        start = span.end
    pieces.append(text[start:end])
    return "".join(pieces)


def _given(known: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return _sorted(
        form
        for value in known
        if len(value.strip()) >= spellings.SHORTEST
        for form in _forms_of(value, "known")
    )


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text without secrets. `known`: further exact values, besides the registered ones."""
    if known:
        spans = _spans(text, _given(known))
        return _replaced(text, spans, 0, len(text)) if spans else text
    return _redacted(text, _age) if len(text) <= _SHORT else _redacted.__wrapped__(text, _age)


@functools.lru_cache(4096)
def _redacted(text: str, age: int) -> str:
    spans = _spans(text, ())
    return _replaced(text, spans, 0, len(text)) if spans else text


def within(before: str, text: str, after: str) -> str:
    """A piece of a text without its secrets, those included that begin before the piece or end behind it."""
    whole = f"{before}{text}{after}"
    return _replaced(whole, _spans(whole, ()), len(before), len(before) + len(text))


def found(text: str) -> list[str]:
    """What secrets `redact` would take out of a text: the name of each known one, the kind of each other, once each."""
    return list(dict.fromkeys(span.tag.split(":")[1] for span in _spans(text, ())))


def redact_data(value: Any, known: Iterable[str] = ()) -> Any:
    """The same for nested JSON: every text, keys too; `{"password": "…"}` announces its value.

    Two keys that become one are both kept, the later with ` (2)`.
    """
    return _redact_data(value, tuple(known), None)


def _redact_data(value: Any, known: tuple[str, ...], name: str | None) -> Any:
    if isinstance(value, str):
        clean = redact(value, known)
        if name is not None and clean == value:
            return signs.below(name, value) or clean
        return clean
    if isinstance(value, dict):
        cleaned: dict[Any, Any] = {}
        for key, item in value.items():
            is_text = isinstance(key, str)
            new_key = redact(key, known) if is_text else key
            new_key = free_key(cleaned, new_key) if is_text else new_key
            cleaned[new_key] = _redact_data(item, known, key if is_text else None)
        return cleaned
    if isinstance(value, list | tuple):
        if len(value) > 1 and all(isinstance(item, str) for item in value):
            value = _lines(value, known)  # what none of them holds, they may hold together
        return [_redact_data(item, known, name) for item in value]
    return value


def _lines(texts: Sequence[str], known: tuple[str, ...]) -> list[str]:
    """Texts as the lines of one: a key of several lines is hidden in each of them."""
    whole = "\n".join(texts)
    spans = _spans(whole, _given(known))
    clean, start = [], 0
    for text in texts:
        clean.append(_replaced(whole, spans, start, start + len(text)) if spans else text)
        start += len(text) + 1
    return clean


def squeezed(text: str) -> list[str]:
    """The names of known values that stand in a text when all white space, and what draws nothing, is left out of both."""
    bare = _UNSEEN.sub("", text)
    with _lock:
        values = [(_UNSEEN.sub("", value), name) for value, name in _known.items()]
    return [name for value, name in values if len(value) >= _MIN_SQUEEZED and value in bare]


class StreamRedactor:
    """Redacts a text that comes in pieces: a secret split over two pieces is hidden all the same.

    What is given out lags behind: it ends at white space, before anything that may still become a
    secret. `close` gives the rest. A run of 65,536 characters without white space is cut all the same.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = _given(known)
        self._context = ""  # given out already, unredacted: what the next piece is judged with
        self._held = ""

    def feed(self, piece: str) -> str:
        """Takes the next piece; returns what can be given out now, possibly nothing."""
        self._held += piece
        if len(self._held) < _HOLD and not re.search(r"\s", piece):
            return ""
        return self._give(final=False)

    def close(self) -> str:
        """The rest. The redactor may be used again afterwards, for another text."""
        rest = self._give(final=True)
        self._context = ""
        return rest

    def _give(self, *, final: bool) -> str:
        text = self._context + self._held
        start = len(self._context)
        spans = _spans(text, self._known)
        end = len(text) if final else self._cut(text, start, spans)
        given = _replaced(text, spans, start, end)
        self._context = text[max(0, end - _CONTEXT) : end]
        self._held = text[end:]
        return given

    def _cut(self, text: str, start: int, spans: list[Span]) -> int:
        """Where it is safe to stop: nothing before it can grow into a secret that goes on after it."""
        end = len(text) - self._longest_with_space()
        while True:
            while end > start and not text[end - 1].isspace():
                end -= 1
            across = next((s for s in spans if s.start < end and s.end >= end), None)
            if across is None or end <= start:
                break
            end = across.start
        if end <= start and len(text) - start >= _HOLD:
            return len(text)
        return max(start, end)

    def _longest_with_space(self) -> int:
        """Characters of the longest known form that white space may run through."""
        wrapped = (
            len(form)
            for form, _ in (*_forms, *self._known)
            if len(form) > 60 or any(c.isspace() for c in form)
        )
        return max(wrapped, default=0)


class ByteRedactor:
    """The same for what a program writes: UTF-8, whose characters may be cut as well; what is none is replaced."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._redactor = StreamRedactor()

    def feed(self, chunk: bytes) -> str:
        """Takes the next bytes; returns what can be given out now, possibly nothing."""
        return self._redactor.feed(self._decoder.decode(chunk))

    def close(self) -> str:
        """The rest."""
        return self._redactor.feed(self._decoder.decode(b"", final=True)) + self._redactor.close()


trust.callable_module(__name__)
