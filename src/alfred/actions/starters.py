"""Commands that start other commands: `find`, `xargs`, `env`, plain wrappers such as `timeout`, `eval` and
`watch`, and those that start them somewhere else: `ssh`, `docker exec`, `kubectl exec`.

Invariant: what is started is judged like any command, and elsewhere nothing is the workspace; where it, or what
it will be given, cannot be known, it is high. Whatever runs as somebody else (`sudo`, `doas`) is not here: high.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from alfred.actions import fileline, options, readers
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.places import Place, Zone
from alfred.actions.syntax import Word
from alfred.trust import names

Judge = Callable[[tuple[Word, ...]], Risk]
"""Judges the command that is started."""

_FIND_TESTS = frozenset(
    "-name -iname -path -ipath -wholename -type -size -mtime -mmin -atime -amin -ctime -cmin -maxdepth "
    "-mindepth -newer -user -group -perm -regex -iregex -regextype -links -samefile -fstype -uid -gid "
    "-inum -printf".split()
)
_FIND_PLAIN = frozenset(
    "-empty -not ! -a -and -o -or ( ) , -L -P -H -xdev -mount -depth -executable -readable -writable "
    "-daystart -noleaf -true -false -nouser -nogroup -print -print0 -ls -prune -quit".split()
)
_FIND_EXEC = frozenset({"-exec", "-execdir", "-ok", "-okdir"})

_OF_GIT = frozenset(
    "config hooks head index objects refs packed-refs logs info description modules worktrees orig_head fetch_head "
    "pre-commit pre-push post-checkout post-commit post-merge commit-msg".split()
)
"""Names that lie in every `.git`."""

_ENVIRONMENT = re.compile(
    r"LANG|LANGUAGE|LC_[A-Z]+|TZ|NO_COLOR|FORCE_COLOR|CLICOLOR|COLUMNS|LINES|TERM|CI|DEBUG|VERBOSE"
    r"|GIT_TERMINAL_PROMPT|GIT_OPTIONAL_LOCKS|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|NODE_ENV"
)


Text = Callable[[str, Place], Risk]
"""Judges a text of shell."""

_WHERE = re.compile(r"(\w[\w.-]*@)?\w[\w.:-]*")
"""A host or a container; one that begins with a dash is an option to a program behind it."""

_OPTIONS_ELSEWHERE = {
    "docker": ("it", ""),
    "podman": ("it", ""),
    "kubectl": ("it", "nc"),
    "ssh": ("46qtTv", "pl"),
}
"""Letters of options without and with a value. Nothing else may stand there but where it is: another user, a
file of options and a tunnel are more than a place."""


def program(word: Word) -> str | None:
    """The program: a bare name, or one in a folder where only the system installs."""
    text = word.text or ""
    if word.glob and text != "[":
        return None
    found = re.fullmatch(r"(?:/usr)?(?:/local)?/s?bin/([^/]+)|([^/]+)", text)
    return (found[1] or found[2]) if found else None


def harmless_variable(name: str, value: Word) -> bool:
    """Whether an assignment in front of a command changes nothing about what the command does."""
    if value.text is None:
        return False
    if name in ("PAGER", "GIT_PAGER", "MANPAGER"):
        return value.text in ("", "cat")
    return bool(_ENVIRONMENT.fullmatch(name))


def _find(rest: tuple[Word, ...], place: Place, judge: Judge) -> Risk:
    n = 0
    starts: list[Word] = []
    while n < len(rest) and (not rest[n].option_like or rest[n].text in ("-L", "-P", "-H")):
        if rest[n].text in ("(", "!"):
            break
        if not rest[n].option_like:
            starts.append(rest[n])
        n += 1
    starts = starts or [Word(".", ".")]
    risk, filtered, simple = (
        Risk.NONE,
        False,
        True,
    )  # whether a name says which files, and nothing undoes that
    while n < len(rest):
        text = rest[n].text or ""
        if text in _FIND_PLAIN:
            simple = simple and text not in ("-o", "-or", ",", "!", "-not")
        elif text in _FIND_TESTS:
            n += 1
            if text in ("-name", "-iname") and n < len(rest):
                filtered = _chooses(rest[n].text or "")
        elif text == "-delete":
            risk = max(
                risk, *(_found_deletion(start, place, filtered and simple) for start in starts)
            )
        elif text in _FIND_EXEC:
            end = n + 1
            while end < len(rest) and not _ends(rest, end):
                end += 1
            for start in starts:
                words = rest[n + 1 : end]
                risk = max(risk, _found(words, start, place, judge, filtered and simple))
            n = end
        else:
            return Risk.HIGH
        n += 1
    return risk


def _ends(words: tuple[Word, ...], n: int) -> bool:
    """Whether what find starts ends here; a `+` does so behind `{}` alone, elsewhere it is a word."""
    text = words[n].text
    return text == ";" or (text == "+" and words[n - 1].text == "{}")


def _found_deletion(start: Word, place: Place, filtered: bool) -> Risk:
    """Deleting what find comes across: the folder itself and anything in it."""
    inner = _inner(start)
    if place.everything(start):
        # the whole workspace: with a name it is a choice of files, without one it is everything
        chosen = filtered and place.zone(inner) < Zone.OUTSIDE
        return Risk.MEDIUM if chosen else Risk.HIGH
    return fileline.deletion(inner, place, True)


def _chooses(name: str) -> bool:
    """Whether a name, or a pattern with an ending, leaves alone what configures git."""
    if re.fullmatch(r"[\w*-]*\w?\.\w[\w.-]*", name):
        return not names.sensitive(name)
    return bool(re.fullmatch(r"[\w][\w.-]*", name)) and name.lower() not in _OF_GIT


def _inner(start: Word) -> Word:
    text = (start.text or "").rstrip("/") + "/found"
    return Word(text, text, start.glob)


def _found(
    words: tuple[Word, ...], start: Word, place: Place, judge: Judge, filtered: bool
) -> Risk:
    if not words:
        return Risk.NONE
    if any("{}" in (w.text or "") and w.text != "{}" for w in words) or words[0].text == "{}":
        return Risk.HIGH
    if program(words[0]) in ("rm", "unlink", "rmdir"):
        named = tuple(w for w in words[1:] if w.text != "{}")
        return max(fileline.delete(named, place), _found_deletion(start, place, filtered))
    risk = judge(tuple(_inner(start) if w.text == "{}" else w for w in words))
    if risk is Risk.NONE or filtered:
        return risk
    return max(risk, _found_deletion(start, place, filtered))


def _xargs(rest: tuple[Word, ...], place: Place, judge: Judge) -> Risk:
    inner = _after(rest, "0rtx", "nPLdI", ("--null", "--no-run-if-empty"))
    if inner is None:
        return Risk.HIGH
    if not inner:
        return Risk.NONE  # `echo`
    name = program(inner[0])
    # what it gets from its input is not known: only where no word whatever could do harm
    return judge(inner) if readers.reads_whatever(name or "") else Risk.HIGH


def _after(
    rest: tuple[Word, ...], short: str, valued: str, long: tuple[str, ...] = (), skip: int = 0
) -> tuple[Word, ...] | None:
    """The command behind a wrapper's own options and `skip` operands; None for an unknown option."""
    n = 0
    while n < len(rest) and rest[n].option_like:
        text = rest[n].text or ""
        if text == "--":
            n += 1
            break
        if text.startswith("--"):
            if text.partition("=")[0] not in long:
                return None
        elif text[1:2] and text[1] in valued:
            n += len(text) == 2
        elif not text[1:] or not all(letter in short for letter in text[1:]):
            return None
        n += 1
    return rest[n + skip :]


def _wrapper(
    short: str, valued: str, long: tuple[str, ...] = (), skip: int = 0
) -> Callable[[tuple[Word, ...], Place, Judge], Risk]:
    def handler(rest: tuple[Word, ...], place: Place, judge: Judge) -> Risk:
        inner = _after(rest, short, valued, long, skip)
        if inner is None:
            return Risk.HIGH
        return judge(inner) if inner else Risk.NONE

    return handler


def _command(rest: tuple[Word, ...], place: Place, judge: Judge) -> Risk:
    if rest and rest[0].text in ("-v", "-V"):
        return Risk.NONE  # only says where it is
    return _wrapper("p", "")(rest, place, judge)


def _env(rest: tuple[Word, ...], place: Place, judge: Judge) -> Risk:
    n = 0
    while n < len(rest):
        if rest[n].text in ("-i", "-", "-0"):
            n += 1
            continue
        name, equals, value = (rest[n].text or "").partition("=")
        if not equals:
            break
        if not harmless_variable(name, Word(value, value)):
            return Risk.HIGH
        n += 1
    # alone it shows the environment, and that holds secrets; as a beginning it is judged by its end
    return judge(rest[n:]) if rest[n:] else Risk.HIGH


STARTERS: dict[str, Callable[[tuple[Word, ...], Place, Judge], Risk]] = {
    "find": _find,
    "xargs": _xargs,
    "env": _env,
    "time": _wrapper("p", ""),
    "timeout": _wrapper(
        "v", "ks", ("--foreground", "--preserve-status", "--kill-after", "--signal"), 1
    ),
    "nice": _wrapper("", "n", ("--adjustment",)),
    "stdbuf": _wrapper("", "ioe", ("--output", "--input", "--error")),
    "command": _command,
    "builtin": _wrapper("", ""),
    "exec": _wrapper("", ""),
    "nohup": _wrapper("", ""),
    "ionice": _wrapper("t", "cn"),
    "busybox": _wrapper("", ""),
}
"""By the name of the program."""

PASSING = STARTERS.keys() - {"find", "xargs"}
"""Those that are nothing but options and then a command."""


def elsewhere(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """What a command starts in another machine or container; empty when it starts nothing there, or nobody
    can tell."""
    name = words[0].text or ""
    if name not in _OPTIONS_ELSEWHERE or (
        name != "ssh" and [w.text for w in words[1:2]] != ["exec"]
    ):
        return ()
    known = Options(*_OPTIONS_ELSEWHERE[name])
    behind = words[1 if name == "ssh" else 2 :]
    if name == "kubectl":
        at = next((n for n, word in enumerate(behind) if word.text == "--"), len(behind))
        where = options.values(behind[:at], known.valued)
        return behind[at + 1 :] if len(where) == 1 and options.fits(behind[:at], known) else ()
    where, *inner = _after(behind, known.short, known.valued) or (Word("", ""),)
    if not _WHERE.fullmatch(where.text or ""):
        return ()
    return () if inner and inner[0].option_like else tuple(inner)


def spoken(name: str, rest: tuple[Word, ...]) -> str | None:
    """The text that `eval` or `watch` gives to a shell; None when it cannot be told."""
    inner = rest if name == "eval" else _after(rest, "tbex", "n", ("--no-title", "--errexit"))
    return None if inner is None else " ".join(word.text or "" for word in inner)
