"""What a command costs, by a closed table: what is not in it is high.

Invariant: adding words to a command never lowers its risk. `judge` takes the maximum over all its
beginnings from the verb on (`git stash list` is another verb than `git stash`; `python --version` than
`python`), so no later option can excuse an earlier word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from alfred.actions import fileline, gitline, options, places
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.places import Place, Zone
from alfred.actions.syntax import Word

MAX_WORDS = 200

Nested = Callable[[str], Risk]
"""Judges a text of shell inside of a command."""


@dataclass(frozen=True, slots=True)
class Reads:
    """A command that only reads, with these options and at most so many operands."""

    options: Options | None = None
    """None: every option of it only reads."""
    operands: int | None = None


def _reads(short: str = "", valued: str = "", long: str = "", operands: int | None = None) -> Reads:
    return Reads(Options(short, valued, frozenset(long.split())), operands)


_ANY = Reads()

_READS: dict[str, Reads] = {
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

_VERBS: dict[str, tuple[Risk, Options]] = {}


def _verbs(risk: Risk, options: Options, *verbs: str) -> None:
    _VERBS.update(dict.fromkeys(verbs, (risk, options)))


_PLAIN = Options("aqlv", "n", frozenset("all quiet verbose json help".split()))
_NOTHING = Options()

_verbs(
    Risk.NONE,
    _NOTHING,
    "go version",
    "go env",
    "docker version",
    "docker info",
    "java -version",
    "ssh -V",
    "kubectl version",
    "terraform version",
    "crontab -l",
    "command -v",
    "command -V",
    "ulimit -a",
)
_verbs(
    Risk.NONE,
    _PLAIN,
    "pip list",
    "pip show",
    "pip freeze",
    "pip check",
    "pip3 list",
    "pip3 show",
    "pip3 freeze",
    "uv version",
    "uv tree",
    "npm ls",
    "npm list",
    "docker ps",
    "docker images",
    "docker logs",
    "docker top",
    "docker stats",
    "docker port",
    "docker volume ls",
    "docker network ls",
    "docker compose ps",
    "kubectl get pods",
    "kubectl get pod",
    "kubectl get nodes",
    "kubectl get services",
    "kubectl get svc",
    "kubectl get deployments",
    "kubectl get namespaces",
    "kubectl get ns",
    "kubectl top pods",
    "kubectl top nodes",
    "kubectl cluster-info",
    "systemctl status",
    "systemctl is-active",
    "systemctl is-enabled",
    "systemctl list-units",
    "systemctl list-timers",
    "brew list",
    "apt list",
    "dpkg -l",
)
_verbs(
    Risk.NONE,
    Options(
        "", "LsRlaAB", frozenset("json limit state repo label author assignee search jq".split())
    ),
    *(
        f"gh {noun} {verb}"
        for noun in ("pr", "issue", "run", "release", "repo")
        for verb in ("list", "view")
    ),
    "gh pr checks",
    "gh pr diff",
    "gh pr status",
    "gh issue status",
    "gh auth status",
)
_verbs(
    Risk.LOW,
    Options("fyq", "", frozenset(("force", "yes", "quiet"))),
    "pip cache purge",
    "pip3 cache purge",
    "npm cache clean",
    "npm cache verify",
    "yarn cache clean",
    "pnpm store prune",
    "uv cache clean",
    "uv cache prune",
    "go clean -cache",
    "go clean -testcache",
    "docker image prune",
    "docker builder prune",
    "apt-get clean",
    "apt clean",
    "brew cleanup",
    "ruff clean",
    "pre-commit clean",
    "pre-commit gc",
    "composer clear-cache",
)
_verbs(
    Risk.MEDIUM,
    Options("yfqtv", "", frozenset(("yes", "force", "quiet", "time", "no-block"))),
    "pip uninstall",
    "pip3 uninstall",
    "npm uninstall",
    "npm remove",
    "yarn remove",
    "pnpm remove",
    "docker rm",
    "docker rmi",
    "docker stop",
    "docker restart",
    "docker start",
    "docker container rm",
    "docker image rm",
    "systemctl restart",
    "systemctl reload",
)

_VERSIONED = frozenset(
    "python python3 pip pip3 node npm npx yarn pnpm bun deno ruby gem cargo rustc gcc g++ clang make cmake "
    "java javac mvn gradle docker kubectl helm terraform aws gcloud az gh git uv ruff mypy pyright pytest "
    "black eslint tsc prettier psql sqlite3 redis-cli curl wget bash zsh perl php tar rsync ffmpeg".split()
)
"""Programs that only say which version they are when `--version` is the only word."""

_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh"})
_SHELL_COMMAND = re.compile(r"-[eulx]{0,4}c")

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

_ENVIRONMENT = re.compile(
    r"LANG|LANGUAGE|LC_[A-Z]+|TZ|NO_COLOR|FORCE_COLOR|CLICOLOR|COLUMNS|LINES|TERM|CI|DEBUG|VERBOSE"
    r"|GIT_TERMINAL_PROMPT|GIT_OPTIONAL_LOCKS|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|NODE_ENV"
)


def judge(words: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    """The risk of one command with its words."""
    if len(words) > MAX_WORDS or any(word.text is None for word in words):
        return Risk.HIGH  # a word that only the shell can know may be any option or path
    if any(places.is_secret(word.text or "") for word in words[1:]):
        return Risk.HIGH
    name = _name(words[0])
    if name is None:
        return Risk.HIGH
    words = (Word(name, name), *words[1:])
    first = _verb_length(words)
    return max(_judge(words[:n], place, nested) for n in range(first, len(words) + 1))


def harmless_variable(name: str, value: Word) -> bool:
    """Whether an assignment in front of a command changes nothing about what the command does."""
    if value.text is None:
        return False
    if name in ("PAGER", "GIT_PAGER", "MANPAGER"):
        return value.text in ("", "cat")
    return bool(_ENVIRONMENT.fullmatch(name))


def _name(word: Word) -> str | None:
    """The program: a bare name, or one in a folder where only the system installs."""
    text = word.text or ""
    if word.glob and text != "[":
        return None
    found = re.fullmatch(r"(?:/usr)?(?:/local)?/s?bin/([^/]+)|([^/]+)", text)
    return (found[1] or found[2]) if found else None


def _verb(words: tuple[Word, ...]) -> int:
    """How many words make a verb of the table; 0 if they make none."""
    for n in (4, 3, 2):
        if len(words) >= n and " ".join(w.text or "" for w in words[:n]) in _VERBS:
            return n
    return 0


def _verb_length(words: tuple[Word, ...]) -> int:
    name = words[0].text
    if _verb(words):
        return _verb(words)
    if name in _VERSIONED and len(words) == 2 and words[1].text == "--version":
        return 2
    if name == "set":
        return min(2, len(words))  # alone it shows all variables
    if name == "env":
        given = (n for n, w in enumerate(words) if n and "=" not in (w.text or ""))
        return min(next(given, len(words)) + 1, len(words))
    if name == "git":
        return gitline.verb_length(words)
    if name in _SHELLS and len(words) > 2 and _SHELL_COMMAND.fullmatch(words[1].text or ""):
        return 3
    return 1


def _judge(words: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    name, rest = words[0].text or "", words[1:]
    verb = _verb(words)
    if verb:
        risk, known = _VERBS[" ".join(w.text or "" for w in words[:verb])]
        return risk if options.fits(words[verb:], known) else Risk.HIGH
    if name in _VERSIONED and len(words) == 2 and rest[0].text == "--version":
        return Risk.NONE
    if name == "git":
        return gitline.judge(words, place)
    if name in _READS:
        return _reading(name, rest)
    if name in _SHELLS:
        given = len(rest) == 2 and _SHELL_COMMAND.fullmatch(rest[0].text or "")
        return nested(rest[1].text or "") if given else Risk.HIGH
    handler = _HANDLERS.get(name)
    return handler(rest, place, nested) if handler else Risk.HIGH


def _reading(name: str, rest: tuple[Word, ...]) -> Risk:
    reads = _READS[name]
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
    if reads.options is not None and not options.fits(rest, reads.options):
        return Risk.HIGH
    if (
        reads.operands is not None
        and len(options.values(rest, reads.options.valued if reads.options else ""))
        > reads.operands
    ):
        return Risk.HIGH
    return Risk.NONE


def _journal(rest: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    vacuum = [w for w in rest if re.fullmatch(r"--vacuum-(time|size|files)=\w+", w.text or "")]
    reading = options.fits(tuple(w for w in rest if w not in vacuum), _JOURNAL)
    return Risk.HIGH if not reading else Risk.LOW if vacuum else Risk.NONE


def _find(rest: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
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
                filtered = bool(
                    re.match(r"[^.]*\w", rest[n].text or "")
                    or re.match(r"\*\.\w", rest[n].text or "")
                )
        elif text == "-delete":
            risk = max(
                risk, *(_found_deletion(start, place, filtered and simple) for start in starts)
            )
        elif text in _FIND_EXEC:
            end = n + 1
            while end < len(rest) and rest[end].text not in (";", "+"):
                end += 1
            for start in starts:
                words = rest[n + 1 : end]
                risk = max(risk, _found(words, start, place, nested, filtered and simple))
            n = end
        else:
            return Risk.HIGH
        n += 1
    return risk


def _found_deletion(start: Word, place: Place, filtered: bool) -> Risk:
    """Deleting what find comes across: the folder itself and anything in it."""
    inner = _inner(start)
    if place.everything(start):
        # the whole workspace: with a name it is a choice of files, without one it is everything
        chosen = filtered and place.zone(inner) < Zone.OUTSIDE
        return Risk.MEDIUM if chosen else Risk.HIGH
    return fileline.deletion(inner, place, True)


def _inner(start: Word) -> Word:
    text = (start.text or "").rstrip("/") + "/found"
    return Word(text, text, start.glob)


def _found(
    words: tuple[Word, ...], start: Word, place: Place, nested: Nested, filtered: bool
) -> Risk:
    if not words:
        return Risk.NONE
    if any("{}" in (w.text or "") and w.text != "{}" for w in words) or words[0].text == "{}":
        return Risk.HIGH
    if _name(words[0]) in ("rm", "unlink", "rmdir"):
        named = tuple(w for w in words[1:] if w.text != "{}")
        return max(fileline.delete(named, place), _found_deletion(start, place, filtered))
    return judge(tuple(_inner(start) if w.text == "{}" else w for w in words), place, nested)


def _xargs(rest: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    inner = _after(rest, "0rtx", "nPLdI", ("--null", "--no-run-if-empty"))
    if inner is None:
        return Risk.HIGH
    if not inner:
        return Risk.NONE  # `echo`
    name = _name(inner[0])
    # what it gets from its input is not known: only where no word whatever could do harm
    blind = name in _READS and _READS[name] == _ANY and name not in ("test", "ps")
    return judge(inner, place, nested) if blind else Risk.HIGH


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
) -> Callable[[tuple[Word, ...], Place, Nested], Risk]:
    def handler(rest: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
        inner = _after(rest, short, valued, long, skip)
        if inner is None:
            return Risk.HIGH
        return judge(inner, place, nested) if inner else Risk.NONE

    return handler


def _env(rest: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    n = 0
    while n < len(rest):
        name, equals, value = (rest[n].text or "").partition("=")
        if not equals:
            break
        if not harmless_variable(name, Word(value, value)):
            return Risk.HIGH
        n += 1
    # alone it shows the environment, and that holds secrets; as a beginning it is judged by its end
    return judge(rest[n:], place, nested) if rest[n:] else Risk.HIGH


def _on_files(
    judged: Callable[[tuple[Word, ...], Place], Risk],
) -> Callable[[tuple[Word, ...], Place, Nested], Risk]:
    return lambda rest, place, nested: judged(rest, place)


_HANDLERS: dict[str, Callable[[tuple[Word, ...], Place, Nested], Risk]] = {
    "rm": _on_files(fileline.delete),
    "rmdir": _on_files(fileline.delete),
    "unlink": _on_files(fileline.delete),
    "mv": _on_files(fileline.write),
    "cp": _on_files(fileline.write),
    "mkdir": _on_files(fileline.write),
    "touch": _on_files(fileline.write),
    "ln": _on_files(fileline.write),
    "tee": _on_files(fileline.write),
    "truncate": _on_files(fileline.truncate),
    "chmod": _on_files(fileline.chmod),
    "journalctl": _journal,
    "sed": _on_files(fileline.sed),
    "awk": _on_files(fileline.awk),
    "gawk": _on_files(fileline.awk),
    "mawk": _on_files(fileline.awk),
    "find": _find,
    "xargs": _xargs,
    "env": _env,
    "time": _wrapper("p", ""),
    "timeout": _wrapper(
        "v", "ks", ("--foreground", "--preserve-status", "--kill-after", "--signal"), 1
    ),
    "nice": _wrapper("", "n", ("--adjustment",)),
    "stdbuf": _wrapper("", "ioe", ("--output", "--input", "--error")),
    "command": _wrapper("p", ""),
}
