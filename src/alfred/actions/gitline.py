"""What a git command line does, by a closed table of its subcommands and options.

Invariant: an option that is not in the table is high, whatever it is a prefix of (git accepts every
unique beginning of a long option, and some options start programs or write files).
"""

from __future__ import annotations

import re

from alfred.actions.kinds import Risk
from alfred.actions.options import Options, fits, plain
from alfred.actions.places import Place, Zone
from alfred.actions.syntax import Word

PROTECTED = re.compile(
    r"((refs/)?heads/)?(main|master|trunk|develop|prod|production|staging|stable|gh-pages|release.*)",
    re.IGNORECASE,
)
"""Branches that others take what they use from, besides a remote's default one: a push to one is high."""

_NAME = re.compile(r"[\w][\w./@{}^~-]*")
_REMOTE = re.compile(r"[\w][\w.-]*")
_URL = re.compile(r"(https://|ssh://|git@)[\w.@:/~+-]+")


def _options(short: str, valued: str, long: str) -> Options:
    return Options(short, valued, frozenset(long.split()))


_SHOWING = _options(
    "pwbizqsurEFM",
    "nSGLU",
    "stat shortstat numstat name-only name-status oneline graph all decorate no-decorate color no-color "
    "pretty format abbrev-commit abbrev date since until after before author committer grep max-count "
    "skip reverse first-parent merges no-merges follow patch no-patch cached staged word-diff unified "
    "ignore-all-space ignore-space-change ignore-blank-lines diff-filter find-renames raw summary "
    "no-ext-diff no-textconv no-renames minimal patience histogram topo-order date-order branches tags "
    "remotes left-right cherry-pick exit-code quiet check relative full-index binary no-prefix source "
    "full-history count left-only right-only boundary objects numbered email not merge-base root "
    "no-commit-id line-porcelain porcelain incremental show-email show-name pickaxe-regex regexp-ignore-case",
)

_READS: dict[str, Options | None] = {
    "log": _SHOWING,
    "show": _SHOWING,
    "diff": _SHOWING,
    "whatchanged": _SHOWING,
    "shortlog": _options("sne", "", " ".join(_SHOWING.long)),
    "rev-list": _SHOWING,
    "diff-tree": _SHOWING,
    "blame": _options("lstfnewcb", "L", " ".join(_SHOWING.long)),
    "status": _options(
        "sbvz",
        "u",
        "short branch porcelain long verbose untracked-files ignored show-stash ahead-behind "
        "no-ahead-behind renames no-renames column no-column ignore-submodules",
    ),
    "grep": _options(
        "ivwnlLcEFPGhHqoIap",
        "eABCm",
        "ignore-case invert-match word-regexp line-number files-with-matches files-without-match count "
        "extended-regexp fixed-strings perl-regexp name-only cached untracked heading break context "
        "after-context before-context color no-color show-function function-context max-depth and or not "
        "all-match quiet max-count",
    ),
    "cat-file": _options("ptse", "", ""),
    "rev-parse": None,
    "ls-files": None,
    "ls-tree": None,
    "merge-base": None,
    "name-rev": None,
    "describe": None,
    "show-ref": _options(
        "sqd", "", "heads tags branches verify quiet hash abbrev dereference head"
    ),
    "for-each-ref": None,
    "count-objects": None,
    "check-ignore": None,
    "cherry": _options("v", "", "verbose abbrev"),
    "version": None,
}
"""Reading subcommands; None: every option of it only reads."""

_CHANGES: dict[str, Options] = {
    "add": _options("AunvN", "", "all update dry-run verbose intent-to-add"),
    "commit": _options(
        "aqvs",
        "m",
        "message all amend no-edit allow-empty quiet verbose signoff author date fixup reuse-message",
    ),
    "rm": _options("rfqn", "", "cached recursive force quiet dry-run ignore-unmatch"),
    "mv": _options("nvk", "", "dry-run verbose"),
    "restore": _options("SWq", "s", "staged worktree source quiet ours theirs"),
    "checkout": _options("bqt", "", "quiet track no-track ours theirs detach"),
    "switch": _options("cdqt", "", "create detach quiet track no-track guess no-guess"),
    "merge": _options(
        "nq",
        "m",
        "no-ff ff ff-only squash no-commit no-edit abort continue quit stat no-stat quiet",
    ),
    "rebase": _options("q", "", "onto abort continue skip quit quiet autostash keep-empty"),
    "cherry-pick": _options("nxs", "m", "no-commit abort continue skip quit signoff mainline"),
    "revert": _options("ns", "m", "no-commit no-edit abort continue skip quit mainline signoff"),
    "reset": _options("q", "", "soft mixed hard keep quiet"),
    "fetch": _options(
        "apqtv", "", "all prune tags no-tags quiet verbose depth unshallow dry-run deepen"
    ),
    "ls-remote": _options("htq", "", "heads tags refs quiet"),
    "pull": _options(
        "qvp",
        "",
        "rebase no-rebase ff-only ff no-ff prune tags no-tags quiet verbose autostash depth",
    ),
    "init": _options("q", "b", "quiet initial-branch"),
}
"""Subcommands that change the work tree or local refs."""

_TAG_LIST = _options("l", "n", "list sort format contains merged no-merged points-at column")
_TAG_MAKE = _options("ad", "m", "annotate delete message")
_BRANCH_LIST = _options(
    "arvliq",
    "",
    "list all remotes verbose show-current merged no-merged contains no-contains points-at format sort "
    "color no-color abbrev column no-column ignore-case",
)
_BRANCH_MAKE = _options(
    "dDmcutq", "", "delete move copy set-upstream-to unset-upstream track no-track quiet"
)
_STASH = _options("uapqkmS", "", "include-untracked all message keep-index index quiet staged")
_PUSH = _options(
    "unqvd",
    "",
    "set-upstream dry-run quiet verbose tags follow-tags delete progress no-progress atomic porcelain",
)
_CONFIG_READ = _options(
    "lz", "", "get get-all get-regexp list local global system show-origin null"
)
_CONFIG_SECRETS = re.compile(r"extraheader|http\.|credential|token|password|cookie", re.I)
"""Settings that hold what one logs in with."""
_CONFIG_KEYS = re.compile(
    r"user\.(name|email)|color\.[a-z.]+|init\.defaultbranch|pull\.(rebase|ff)", re.I
)


def verb_length(words: tuple[Word, ...]) -> int:
    """How many words it takes to say which verb it is: `git`, global options, subcommand and, where the
    subcommand has verbs of its own, that."""
    n = _subcommand(words)
    if n is None:
        return len(words)
    if words[n].text in ("stash", "remote", "worktree", "reflog") and n + 1 < len(words):
        return n + 1 if words[n + 1].option_like else n + 2
    return n + 1


def judge(words: tuple[Word, ...], place: Place) -> Risk:
    """The risk of a git command line, whose words are all known."""
    n = _subcommand(words)
    if n is None:
        return Risk.NONE if _only_global(words) else Risk.HIGH
    for at, word in enumerate(words[: n - 1]):
        if word.text == "-C":
            place = place.after_cd(words[at + 1].text or "")
    name, rest = words[n].text or "", words[n + 1 :]
    if name in _READS:
        options = _READS[name]
        return Risk.NONE if options is None or fits(rest, options) else Risk.HIGH
    risk = _changing(name, rest, place)
    return Risk.HIGH if risk > Risk.NONE and place.away() else risk


def _changing(name: str, rest: tuple[Word, ...], place: Place) -> Risk:
    """What may change something costs in the work tree that it stands in."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(rest, place)
    if name in _CHANGES:
        if not fits(rest, _CHANGES[name]):
            return Risk.HIGH
        if name in ("fetch", "pull", "ls-remote"):
            return _all(plain(rest), _REMOTE if len(plain(rest)) == 1 else _NAME)
        if name in ("add", "rm", "mv", "init", "restore"):
            return max((_path(w, place, name) for w in plain(rest)), default=Risk.MEDIUM)
        return Risk.MEDIUM
    return Risk.HIGH


def _path(word: Word, place: Place, name: str) -> Risk:
    if word.text in (".", "./"):
        return Risk.HIGH if name == "rm" else Risk.MEDIUM
    return Risk.HIGH if place.zone(word) >= Zone.SENSITIVE else Risk.MEDIUM


def _subcommand(words: tuple[Word, ...]) -> int | None:
    n = 1
    while n < len(words):
        text = words[n].text or ""
        if text == "-C":
            n += 2
        elif text == "--no-pager":
            n += 1
        elif words[n].option_like:
            return None
        else:
            return n
    return None


def _only_global(words: tuple[Word, ...]) -> bool:
    allowed = ("--no-pager", "--version", "-v", "-C")
    return all(w.text in allowed or words[n].text == "-C" for n, w in enumerate(words[1:]))


def _all(operands: tuple[Word, ...], pattern: re.Pattern[str]) -> Risk:
    known = all(pattern.fullmatch(w.text or "") for w in operands)
    return Risk.MEDIUM if known else Risk.HIGH


def _flags(rest: tuple[Word, ...], short: str, *long: str) -> bool:
    """Whether one of these options is there."""
    for word in rest:
        text = word.text or ""
        if text == "--":
            return False
        if text.startswith("--"):
            if text[2:].partition("=")[0] in long:
                return True
        elif text.startswith("-") and any(letter in short for letter in text[1:]):
            return True
    return False


def _branch(rest: tuple[Word, ...], place: Place) -> Risk:
    if fits(rest, _BRANCH_LIST):
        listing = _flags(
            rest, "l", "list", "contains", "no-contains", "merged", "no-merged", "points-at"
        )
        return Risk.NONE if listing or not plain(rest) else Risk.MEDIUM
    return _all(plain(rest), _NAME) if fits(rest, _BRANCH_MAKE) else Risk.HIGH


def _tag(rest: tuple[Word, ...], place: Place) -> Risk:
    if fits(rest, _TAG_LIST):
        listing = _flags(rest, "ln", *_TAG_LIST.long)
        return Risk.NONE if listing or not plain(rest) else Risk.MEDIUM
    return Risk.MEDIUM if fits(rest, _TAG_MAKE) else Risk.HIGH


def _stash(rest: tuple[Word, ...], place: Place) -> Risk:
    verb = rest[0].text if rest else "push"
    if verb in ("list", "show"):
        return Risk.NONE if fits(rest[1:], _SHOWING) else Risk.HIGH
    if verb in ("push", "pop", "apply", "save", "drop") or (rest and rest[0].option_like):
        return Risk.MEDIUM if fits(rest, _STASH) else Risk.HIGH
    return Risk.HIGH


def _remote(rest: tuple[Word, ...], place: Place) -> Risk:
    verb = rest[0].text if rest else ""
    if verb in ("", "-v", "--verbose"):
        return Risk.NONE if len(rest) < 2 else Risk.HIGH
    if verb == "get-url":
        return Risk.NONE if fits(rest[1:], _options("", "", "push all")) else Risk.HIGH
    if verb in ("remove", "rm", "rename"):
        return Risk.MEDIUM if fits(rest[1:], Options()) else Risk.HIGH
    return Risk.HIGH  # `add`, `set-url`: what is pushed next may go anywhere


def _reflog(rest: tuple[Word, ...], place: Place) -> Risk:
    verb = rest[0].text if rest else "show"
    if verb in ("expire", "delete", "drop", "write"):
        return Risk.HIGH
    return Risk.NONE if fits(rest, _SHOWING) else Risk.HIGH


def _worktree(rest: tuple[Word, ...], place: Place) -> Risk:
    listing = (
        rest and rest[0].text == "list" and fits(rest[1:], _options("vz", "", "porcelain verbose"))
    )
    return Risk.NONE if listing or not rest else Risk.HIGH


def _clean(rest: tuple[Word, ...], place: Place) -> Risk:
    if not fits(rest, _options("fdnq", "e", "force dry-run quiet exclude")):
        return Risk.HIGH  # `-x` takes ignored files too, such as `.env`
    dry = _flags(rest, "n", "dry-run") and not _flags(rest, "f", "force")
    return Risk.NONE if dry or not rest else Risk.MEDIUM


def _config(rest: tuple[Word, ...], place: Place) -> Risk:
    operands = plain(rest)
    if any(_CONFIG_SECRETS.search(word.text or "") for word in rest):
        return Risk.HIGH
    if operands and operands[0].text in ("get", "list"):
        return Risk.NONE if fits(rest, _CONFIG_READ) else Risk.HIGH
    if fits(rest, _CONFIG_READ):
        reading = _flags(rest, "l", "get", "get-all", "get-regexp", "list")
        if reading or len(operands) <= 1:
            return Risk.NONE
    key = operands[0].text if operands else ""
    alone = fits(rest, _options("", "", "local")) and len(operands) == 2
    return Risk.MEDIUM if alone and _CONFIG_KEYS.fullmatch(key or "") else Risk.HIGH


def _clone(rest: tuple[Word, ...], place: Place) -> Risk:
    if not fits(rest, _options("qv", "b", "depth branch single-branch quiet no-tags progress")):
        return Risk.HIGH
    urls = [w for w in plain(rest) if ":" in (w.text or "")]
    others = [w for w in plain(rest) if ":" not in (w.text or "")]
    if not all(_URL.fullmatch(w.text or "") for w in urls):
        return Risk.HIGH  # `ext::` and its like start programs
    return Risk.HIGH if any(place.zone(w) >= Zone.SENSITIVE for w in others) else Risk.MEDIUM


def _push(rest: tuple[Word, ...], place: Place) -> Risk:
    if not fits(rest, _PUSH):
        return Risk.HIGH
    operands = plain(rest)
    if operands and not _REMOTE.fullmatch(operands[0].text or ""):
        return Risk.HIGH  # an address of its own, instead of a remote that was set up
    for refspec in operands[1:]:
        source, _, target = (refspec.text or "").rpartition(":")
        # a name begins with a letter: `+name` is a forced push
        if not all(_NAME.fullmatch(name) for name in (source or target, target)):
            return Risk.HIGH
        if PROTECTED.fullmatch(target) or target in ("HEAD", "@"):
            return Risk.HIGH
    return Risk.MEDIUM


_SPECIAL = {
    "branch": _branch,
    "tag": _tag,
    "stash": _stash,
    "remote": _remote,
    "reflog": _reflog,
    "worktree": _worktree,
    "clean": _clean,
    "config": _config,
    "clone": _clone,
    "push": _push,
}
