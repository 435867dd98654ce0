"""Programs that only read: with which options, and what is the exception.

Invariant: the tables are closed. An option that is not in them may do anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alfred.actions import options
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.syntax import Word, compares_plainly


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
        "md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cmp diff uname whoami id "
        "groups nproc uptime free ps which seq sleep [ tr grep egrep fgrep zcat zgrep "
        "tty lscpu lsblk column numfmt factor expr test pgrep vmstat bc type getconf locale "
        "logname users who w lsof".split(),
        _ANY,
    ),
    # `bc` and `expr` calculate; `test` is here for its operators, its `-v` is told apart in `_test`
    "date": _reads("uR", "drI", "utc date rfc-3339 iso-8601 reference rfc-email", operands=1),
    "hostname": _reads("fsdiIA", "", "fqdn short domain", operands=0),
    "file": _reads("bilLNzskh", "", "brief mime mime-type mime-encoding dereference"),
    "uniq": _reads("cduiz", "fsw", "count repeated unique ignore-case", operands=1),
    "sort": _reads(
        "bdfghinMrRuVzcsm",
        "kt",
        "numeric-sort reverse unique human-numeric-sort version-sort key field-separator stable check "
        "ignore-case general-numeric-sort month-sort zero-terminated",
    ),
    "cal": _reads("my13", operands=2),
    "exit": _reads(operands=1),
    "jobs": _reads("lpr"),
    "netstat": _reads("tulnpaersW46", operands=0),
    "ss": _reads("tulnpaoemirsxw46H", operands=0),
    "tar": _reads("tvzjJ", "f", "list verbose gzip bzip2 xz"),
    "top": _reads("bHci", "nopud"),
    "unzip": _reads("lvZ1"),
    "arch": _reads(operands=0),  # on a Mac it starts what it is given
    "diff3": _reads("aAeExX3imT", "L", "text merge show-all easy-only"),
    # its letters take the words behind them, so `-Lo 2 out` writes
    "tree": _reads("adfilsSpughDFrtcUvACnLIP", "", "dirsfirst noreport gitignore du prune"),
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
    "set": _reads("euxo"),
}

_MODES = re.compile(r"pipefail|errexit|nounset|xtrace|noclobber|--|\+[eux]+")
"""What `set -o` may say. With `keyword` every `NAME=value` behind a program is a variable of its environment."""

_LISTED = {"tar": re.compile(r"-?[vzjJ]*t[vzjJ]*f|--list"), "unzip": re.compile(r"-(l|lv|v|Z|Z1)")}
"""The first word of what only lists what an archive holds."""

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
    if name == "set" and (
        not rest or not all(_MODES.fullmatch(w.text or "") for w in options.plain(rest))
    ):
        return Risk.HIGH  # alone it shows all variables, and they hold secrets
    if name == "printf" and rest and rest[0].option_like:
        return Risk.HIGH  # `printf -v` can execute
    if name == "test" and not compares_plainly([w.text or "" for w in rest]):
        return Risk.HIGH
    if name == "jq" and any("env" in (w.text or "").lower() for w in rest):
        return Risk.HIGH  # the environment holds secrets
    if name == "ps" and _environments(rest):
        return Risk.HIGH
    if name in _LISTED and rest and not _LISTED[name].fullmatch(rest[0].text or ""):
        return Risk.HIGH  # else it unpacks, and writes
    if name == "tar" and any(":" in (w.text or "") for w in rest):
        return Risk.HIGH  # another host, by a program of its own
    if name == "xxd":
        if any(re.match(r"-[a-z]{2}", w.text or "") and w.text != "-ps" for w in rest):
            return Risk.HIGH  # it knows words such as `-cols`, where others know letters
        rest = tuple(Word("-p", "-p") if w.text == "-ps" else w for w in rest)
    if name == "date" and any(
        not (w.text or "").startswith("+") for w in options.values(rest, "dr")
    ):
        return Risk.HIGH  # sets the clock
    if known.options is not None and not options.fits(rest, known.options):
        return Risk.HIGH
    if known.operands is not None:
        named = options.values(rest, known.options.valued if known.options else "")
        # a pattern may find more than one file, and a second one is written
        if len(named) > known.operands or any(word.glob for word in named):
            return Risk.HIGH
    return Risk.NONE


def _environments(rest: tuple[Word, ...]) -> bool:
    """Whether `ps` shows what the environments of processes hold: `e` without a dash, `-E` on a Mac, and a column
    of that name."""
    texts = [word.text or "" for word in rest]
    bare = [word.text or "" for word in options.values(rest, "oOpuUgGtCs")]
    return (
        any("environ" in text.lower() for text in texts)
        or any(re.match(r"-[A-Za-z]*E", text) for text in texts)
        or any("e" in text and "," not in text for text in bare)
    )


def journal(rest: tuple[Word, ...]) -> Risk:
    """The risk of `journalctl`, which reads the journal and can make it shorter."""
    vacuum = [w for w in rest if re.fullmatch(r"--vacuum-(time|size|files)=\w+", w.text or "")]
    reading = options.fits(tuple(w for w in rest if w not in vacuum), _JOURNAL)
    return Risk.HIGH if not reading else Risk.LOW if vacuum else Risk.NONE
