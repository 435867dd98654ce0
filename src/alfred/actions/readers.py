"""Programs that only read: with which options, and what is the exception.

Invariant: the tables are closed. An option that is not in them may do anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alfred.actions import options
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.syntax import Word


@dataclass(frozen=True, slots=True)
class Reads:
    """A command that only reads, with these options and at most so many operands."""

    options: Options | None = None
    """None: every option of it only reads."""
    operands: int | None = None


def _reads(short: str = "", valued: str = "", long: str = "", operands: int | None = None) -> Reads:
    return Reads(Options(short, valued, frozenset(long.split())), operands)


_ANY = Reads()

READS: dict[str, Reads] = {
    **dict.fromkeys(
        "ls dir vdir cat head tail wc stat du df pwd echo true false : basename dirname realpath "
        "readlink nl tac rev cut paste comm join fold fmt expand unexpand od hexdump strings cksum sum "
        "md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cmp diff diff3 uname whoami id "
        "groups nproc uptime free ps which seq sleep [ tr grep egrep fgrep zcat zgrep "
        "tty arch lscpu lsblk column numfmt factor expr test pgrep vmstat bc type getconf locale "
        "logname users who w lsof".split(),
        _ANY,
    ),
    # `bc` and `expr` calculate; `test` is here for its operators, its `-v` is told apart in `_test`
    "date": _reads("uR", "dr", "utc date rfc-3339 iso-8601 reference rfc-email", operands=1),
    "hostname": _reads("fsdiIA", "", "fqdn short domain", operands=0),
    "file": _reads("bilLNzskh", "", "brief mime mime-type mime-encoding dereference"),
    "uniq": _reads("cduiz", "fsw", "count repeated unique ignore-case", operands=1),
    "sort": _reads(
        "bdfghinMrRuVzcsm",
        "kt",
        "numeric-sort reverse unique human-numeric-sort version-sort key field-separator stable check "
        "ignore-case general-numeric-sort month-sort zero-terminated",
    ),
    "tree": _reads("adfilsSpughDFrtcUvAC", "LIPn", "dirsfirst noreport gitignore du prune"),
    "xxd": _reads("bpiu", "lscg", "", operands=1),
    "base64": _reads("diw", "", "decode wrap ignore-garbage"),
    "rg": _reads(
        "ivwnNlLcoFPUSsuHhIxazpq0",
        "eABCmgtTM",
        "ignore-case line-number files files-with-matches files-without-match count only-matching "
        "fixed-strings hidden no-ignore glob type type-not context after-context before-context "
        "max-count no-heading heading color word-regexp invert-match multiline smart-case stats json "
        "sort max-depth vimgrep pcre2 regexp no-filename with-filename",
    ),
    "fd": _reads(
        "HIsipaLgFl0", "tedE", "hidden no-ignore type extension max-depth exclude glob full-path"
    ),
    "jq": _reads(
        "rcsnejSaMC",
        "",
        "raw-output compact-output slurp null-input exit-status arg argjson sort-keys tab indent join-output",
    ),
    "printf": _reads(),
    "set": _reads("euxo", "", ""),
}

_JOURNAL = Options(
    "xerkfqa",
    "unpbSUgot",
    frozenset(
        "no-pager since until unit lines priority reverse follow boot output grep dmesg user catalog "
        "disk-usage".split()
    ),
)


def reads_whatever(name: str) -> bool:
    """Whether no word that it is given makes it do anything but read, whatever the word is."""
    return READS.get(name) == _ANY and name not in ("test", "ps")


def only_shows(name: str, words: tuple[Word, ...]) -> bool:
    """Whether what a program is given is only shown, or is a file that it only reads, so that the words whose
    text is computed may be anything."""
    if name == "printf":
        return len(words) > 1 and words[1].text is not None
    if name in ("echo", "true", "false", ":"):
        return True
    computed = (word for word in words if word.text is None)
    return reads_whatever(name) and all(word.raw.startswith("<(") for word in computed)


def reading(name: str, rest: tuple[Word, ...]) -> Risk:
    """The risk of a program that reads, with these words."""
    known = READS[name]
    if name == "set" and not rest:
        return Risk.HIGH  # shows all variables, and they hold secrets
    if name == "printf" and rest and rest[0].option_like:
        return Risk.HIGH  # `printf -v` can execute
    if name == "test" and any(w.text in ("-v", "-R") or "[" in (w.text or "") for w in rest):
        return Risk.HIGH  # a variable's index can execute
    if name == "jq" and any("env" in (w.text or "").lower() for w in rest):
        return Risk.HIGH  # the environment holds secrets
    if name == "ps" and any(
        "e" in (w.text or "") and not (w.text or "").startswith("-") for w in rest
    ):
        return Risk.HIGH  # `ps e` shows environments
    if name == "date" and any(
        not (w.text or "").startswith("+") for w in options.values(rest, "dr")
    ):
        return Risk.HIGH  # sets the clock
    if known.options is not None and not options.fits(rest, known.options):
        return Risk.HIGH
    if (
        known.operands is not None
        and len(options.values(rest, known.options.valued if known.options else ""))
        > known.operands
    ):
        return Risk.HIGH
    return Risk.NONE


def journal(rest: tuple[Word, ...]) -> Risk:
    """The risk of `journalctl`, which reads the journal and can make it shorter."""
    vacuum = [w for w in rest if re.fullmatch(r"--vacuum-(time|size|files)=\w+", w.text or "")]
    reading = options.fits(tuple(w for w in rest if w not in vacuum), _JOURNAL)
    return Risk.HIGH if not reading else Risk.LOW if vacuum else Risk.NONE
