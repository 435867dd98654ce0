"""What the commands cost that change files: deleting, writing, modes, editors without a screen.

Invariant: the risk of a path is that of the worst place it may lead to; a program of sed or awk that
could write or start anything is high.
"""

from __future__ import annotations

import re

from alfred.actions import options, places
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.places import Place, Zone
from alfred.actions.syntax import Word

_DELETES = Options(
    "rRfiIvd",
    "",
    frozenset(
        "recursive force verbose dir interactive one-file-system preserve-root parents "
        "ignore-fail-on-non-empty".split()
    ),
)
_WRITES = Options(
    "afinprRuvPLHTdlsc",
    "",
    frozenset(
        "archive force interactive no-clobber parents recursive update verbose symbolic no-dereference "
        "dereference no-create no-target-directory append preserve ignore-interrupts".split()
    ),
)
_CHMOD_MODE = re.compile(r"[ugoa]*[+=-][rwxX]*(,[ugoa]*[+=-][rwxX]*)*|0?[0-7]{3}")
_OPEN_TO_ALL = re.compile(r"0?[0-7]{2}[2367]|(.*,)?[ugoa]*[oa][ugoa]*[+=][rxX]*w.*")

_SUBSTITUTE = re.compile(
    r"(?:(?:[0-9]+|\$|/(?:\\.|[^/\\\n])*/)(?:,(?:[0-9]+|\$|/(?:\\.|[^/\\\n])*/))?)?"
    r"(?:s(?P<d>[/|#,:@])(?:\\.|(?!(?P=d))[^\\\n])*(?P=d)(?:\\.|(?!(?P=d))[^\\\n])*(?P=d)[gIip0-9]*|[pdq=]|)"
)
"""One sed command that can only print, delete or substitute: no `w` (writes), no `e` (executes)."""

_AWK_ACTS = re.compile(
    r"print.*>|[|@]|system|getline|ENVIRON|extension|close|PROCINFO|SYMTAB|ARGV|/inet", re.DOTALL
)
"""Writes (only behind a `print` is `>` no comparison), starts something, shows the environment or connects."""


def delete(rest: tuple[Word, ...], place: Place) -> Risk:
    """`rm` and its like: the worst of what they delete."""
    if not all(
        not (w.text or "").startswith("-") or _DELETES.fit(w.text or "")
        for w in options.before_operands(rest)
    ):
        return Risk.HIGH
    recursive = any(re.match(r"-[a-zA-Z]*[rR]|--r", w.text or "") for w in rest)
    return max((deletion(w, place, recursive) for w in options.operands(rest)), default=Risk.LOW)


def deletion(word: Word, place: Place, recursive: bool) -> Risk:
    """The risk of deleting what the word names: low for temporary files, caches and logs, medium in the
    workspace, high for all of it, for what configures it, and outside."""
    zone = place.zone(word)
    if zone >= Zone.SENSITIVE or (recursive and place.everything(word)):
        return Risk.HIGH
    if zone is Zone.TEMP or (places.is_log(word) and not recursive):
        return Risk.LOW
    return Risk.MEDIUM


def write(rest: tuple[Word, ...], place: Place) -> Risk:
    """`mv`, `cp`, `mkdir`, `touch`, `ln`, `tee`: every operand must lie in the workspace."""
    if not options.fits(rest, _WRITES):
        return Risk.HIGH
    return max((_writing(w, place) for w in options.operands(rest)), default=Risk.LOW)


def _writing(word: Word, place: Place) -> Risk:
    if word.text in (".", "./"):
        return Risk.MEDIUM  # into the folder, not over it
    return Risk.HIGH if place.zone(word) >= Zone.SENSITIVE else Risk.MEDIUM


def writes(word: Word, place: Place) -> Risk:
    """The risk of writing to what the word names."""
    if word.text is None or word.glob:
        return Risk.HIGH
    if word.text in ("/dev/null", "/dev/stdout", "/dev/stderr"):
        return Risk.NONE
    return _writing(word, place)


def truncate(rest: tuple[Word, ...], place: Place) -> Risk:
    """`truncate`: emptying a log is low."""
    if not options.fits(rest, Options("c", "s", frozenset(("size", "no-create")))):
        return Risk.HIGH
    files = options.values(rest, "s")
    return max((_emptying(w, place) for w in files), default=Risk.LOW)


def _emptying(word: Word, place: Place) -> Risk:
    if places.is_log(word) and place.zone(word) <= Zone.INSIDE:
        return Risk.LOW
    return _writing(word, place)


def chmod(rest: tuple[Word, ...], place: Place) -> Risk:
    """`chmod`: high when it opens a file to everybody or to another user's rights."""
    changing = Options("Rvcf", "", frozenset(("recursive", "verbose", "changes")))
    given = [w for w in rest if not ((w.text or "").startswith("-") and changing.fit(w.text or ""))]
    if not given:
        return Risk.MEDIUM
    mode = given[0].text or ""
    if not _CHMOD_MODE.fullmatch(mode) or _OPEN_TO_ALL.fullmatch(mode):
        return Risk.HIGH
    if any(w.option_like for w in given[1:]):
        return Risk.HIGH
    return max((_writing(w, place) for w in given[1:]), default=Risk.MEDIUM)


def sed(rest: tuple[Word, ...], place: Place) -> Risk:
    """`sed` with plain printing and substituting commands; in place it is a write."""
    in_place, scripts, files, expect = False, [], [], False
    for word in rest:
        text = word.text or ""
        if expect:
            scripts.append(text)
            expect = False
        elif text.startswith("--expression="):
            scripts.append(text.partition("=")[2])
        elif text in ("--quiet", "--silent", "--regexp-extended", "--null-data", "--separate"):
            continue
        elif text == "--in-place" or re.fullmatch(r"-[nErsuz]*i(\.\w+)?", text):
            in_place = True
        elif re.fullmatch(r"-[nErsuz]*e", text):
            expect = True
        elif re.fullmatch(r"-[nErsuz]+", text):
            continue
        elif word.option_like:
            return Risk.HIGH
        else:
            files.append(word)
    if not scripts and files:
        scripts.append(files.pop(0).text or "")
    if not all(_plain_sed(script) for script in scripts):
        return Risk.HIGH
    if not in_place:
        return Risk.NONE
    return max((_writing(w, place) for w in files), default=Risk.MEDIUM)


def _plain_sed(script: str) -> bool:
    return len(script) < 500 and _SUBSTITUTE.fullmatch(script.strip()) is not None


def awk(rest: tuple[Word, ...], place: Place) -> Risk:
    """`awk`: none while neither the program nor any other word could write or start something."""
    for word in rest:
        if word.option_like and not re.fullmatch(r"-F.*|-", word.text or "", re.DOTALL):
            return Risk.HIGH
    return Risk.HIGH if any(_AWK_ACTS.search(word.text or "") for word in rest) else Risk.NONE
