"""What a command costs, by a closed table: what is not in it is high.

Invariant: adding words to a command never lowers its risk. `judge` takes the maximum over all its
beginnings from the verb on (`git stash list` is another verb than `git stash`; `python --version` than
`python`), so no later option can excuse an earlier word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from alfred.actions import fileline, gitline, options, places, readers, starters
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.places import Place
from alfred.actions.syntax import Word

MAX_WORDS = 200

Nested = Callable[[str], Risk]
"""Judges a text of shell inside of a command."""


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


def judge(words: tuple[Word, ...], place: Place, nested: Nested) -> Risk:
    """The risk of one command with its words."""
    if len(words) > MAX_WORDS or any(word.text is None for word in words):
        return Risk.HIGH  # a word that only the shell can know may be any option or path
    if any(places.is_secret(word.text or "") for word in words[1:]):
        return Risk.HIGH
    name = starters.program(words[0])
    if name is None:
        return Risk.HIGH
    words = (Word(name, name), *words[1:])
    first = _verb_length(words)
    return max(_judge(words[:n], place, nested) for n in range(first, len(words) + 1))


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
    if name in readers.READS:
        return readers.reading(name, rest)
    if name == "journalctl":
        return readers.journal(rest)
    if name in _SHELLS:
        given = len(rest) == 2 and _SHELL_COMMAND.fullmatch(rest[0].text or "")
        return nested(rest[1].text or "") if given else Risk.HIGH
    if name in starters.STARTERS:
        return starters.STARTERS[name](rest, place, lambda inner: judge(inner, place, nested))
    on_files = _ON_FILES.get(name)
    return on_files(rest, place) if on_files else Risk.HIGH
