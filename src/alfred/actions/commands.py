"""What a command costs, by a closed table: what is not in it is high.

Invariant: adding words to a command never lowers its risk. `judge` takes the maximum over all its
beginnings from the verb on (`git stash list` is another verb than `git stash`; `python --version` than
`python`), so no later option can excuse an earlier word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from alfred.actions import fileline, gitline, places, readers, serviceline, sqlline, starters
from alfred.actions.kinds import Risk
from alfred.actions.places import Place
from alfred.actions.services import SERVICES
from alfred.actions.syntax import Word

MAX_WORDS = 200

_VERSIONED = frozenset(
    "python python3 pip pip3 node npm npx pnpm bun deno ruby gem gcc g++ clang make cmake "
    "java javac gradle docker kubectl helm terraform aws gcloud az gh git uv ruff mypy pyright pytest "
    "black eslint tsc prettier psql sqlite3 redis-cli curl wget bash zsh perl php tar rsync ffmpeg".split()
)
"""Programs that only say which version they are when `--version` is the only word. Not those that are replaced by
what a file of the workspace names: yarn, cargo, mvn."""

_LETTERED = {
    **dict.fromkeys(("python", "python3", "pip", "pip3"), "-V"),
    **dict.fromkeys(("node", "npm", "npx", "ruby", "perl", "php"), "-v"),
}
"""The letter that says the same; elsewhere it may mean more."""

_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh"})
_OTHER_GRAMMAR = frozenset({"zsh", "ksh"})
_SAME_EVERYWHERE = re.compile(r"[\w\s./|&;,:+'\"-]*")
"""Text that a shell with a grammar of its own reads as bash does: no patterns (they can execute), nothing computed."""
_SHELL_COMMAND = re.compile(r"-[eulx]{0,4}c")

_ON_FILES: dict[str, Callable[[tuple[Word, ...], Place], Risk]] = {
    "rm": fileline.delete,
    "rmdir": fileline.delete,
    "unlink": fileline.delete,
    "mv": fileline.write,
    "cp": fileline.write,
    "mkdir": fileline.write,
    "touch": fileline.write,
    "ln": fileline.write,
    "tee": fileline.write,
    "truncate": fileline.truncate,
    "chmod": fileline.chmod,
    "sed": fileline.sed,
    "awk": fileline.awk,
    "gawk": fileline.awk,
    "mawk": fileline.awk,
}


def judge(words: tuple[Word, ...], place: Place, nested: starters.Text) -> Risk:
    """The risk of one command with its words."""
    name = starters.program(words[0])
    if name is None or len(words) > MAX_WORDS:
        return Risk.HIGH
    if any(word.text is None for word in words):
        # a word that only the shell can know may be any option or path
        if not all(word.computed or word.text is not None for word in words):
            return Risk.HIGH
        if not readers.only_shows(name, words):
            return Risk.HIGH
        words = tuple(Word(w.raw, "computed") if w.text is None else w for w in words)
    if any(map(places.names_secret, words[1:])):
        return Risk.HIGH
    words = (Word(name, name), *words[1:])
    first = _verb_length(words)
    return max(_judge(words[:n], place, nested) for n in range(first, len(words) + 1))


def _verb_length(words: tuple[Word, ...]) -> int:
    name = words[0].text
    if _asks_version(words):
        return 2
    if name == "set":
        return min(2, len(words))  # alone it shows all variables
    if name == "git":
        return gitline.verb_length(words)
    if name in sqlline.CLIENTS:
        return len(words)  # each statement is judged, wherever it stands
    if name in starters.PASSING or starters.elsewhere(words):
        return len(words)  # what is started is judged with all of its own beginnings
    if name in SERVICES:
        return serviceline.verb_length(words)
    if name in _SHELLS and len(words) > 2 and _SHELL_COMMAND.fullmatch(words[1].text or ""):
        return 3
    return 1


def _asks_version(words: tuple[Word, ...]) -> bool:
    name = words[0].text or ""
    said = [word.text for word in words[1:]]
    return name in _VERSIONED and said in (["--version"], [_LETTERED.get(name, "--version")])


def _judge(words: tuple[Word, ...], place: Place, nested: starters.Text) -> Risk:
    name, rest = words[0].text or "", words[1:]
    if _asks_version(words):
        return Risk.NONE
    if name == "git":
        return gitline.judge(words, place)
    started = starters.elsewhere(words)
    if started:
        there = place.elsewhere()
        # `ssh` gives the other side's shell one text
        text = " ".join(word.text or "" for word in started)
        found = nested(text, there) if name == "ssh" else judge(started, there, nested)
        return max(Risk.MEDIUM, found)
    if name in SERVICES:
        return serviceline.judge(words)
    if name in sqlline.CLIENTS:
        return sqlline.judge(name, rest, place)
    if name in readers.READS:
        return readers.reading(name, rest)
    if name == "journalctl":
        return readers.journal(rest)
    if name in _SHELLS:
        given = len(rest) == 2 and _SHELL_COMMAND.fullmatch(rest[0].text or "")
        text = rest[1].text or "" if given else ""
        if name in _OTHER_GRAMMAR and not _SAME_EVERYWHERE.fullmatch(text):
            return Risk.HIGH
        return nested(text, place) if given else Risk.HIGH
    if name in ("eval", "watch"):
        text = starters.spoken(name, rest)
        return Risk.HIGH if text is None else nested(text, place)
    if name in starters.STARTERS:
        return starters.STARTERS[name](rest, place, lambda inner: judge(inner, place, nested))
    on_files = _ON_FILES.get(name)
    return on_files(rest, place) if on_files else Risk.HIGH
