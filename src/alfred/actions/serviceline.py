"""What the command line of a service costs, by the tables in `services`.

Invariant: a verb is only found where nothing unknown stands before it; wherever else a high word stands,
it counts. So an option that moves the verb, or one that is not known, raises the risk and never lowers it.
"""

from __future__ import annotations

import re

from alfred.actions import options, services
from alfred.actions.kinds import Risk
from alfred.actions.options import Options
from alfred.actions.services import SERVICES, Service
from alfred.actions.syntax import Word

_LONGEST = 6
"""No verb has more words."""
_ENVIRONMENT = re.compile(r"\benv\b|\$ENV")
"""In a filter of the answer (`--jq`): shows the environment, which holds secrets."""
_PART = re.compile(r"[a-z]+")


def verb_length(words: tuple[Word, ...]) -> int:
    """How many words it takes to say which verb it is; 1 when no table knows it."""
    found = _verb(SERVICES[words[0].text or ""], words)
    return found[1] if found else 1


def judge(words: tuple[Word, ...]) -> Risk:
    """The risk of the command line of a service, whose words are all known."""
    service = SERVICES[words[0].text or ""]
    raised = (services.HIGH_WORDS | service.high) - service.mild
    found = _verb(service, words)
    if found is None:
        unknown = len(words) > 1 and _start(service, words) is None
        return Risk.HIGH if unknown or _says(words[1:], raised) else service.other
    risk, end = found
    rest = words[end:]
    if risk is Risk.LOW:
        return Risk.LOW if options.fits(rest, services.TIDYING) else Risk.HIGH
    if risk is Risk.NONE:
        shown = any(_ENVIRONMENT.search(word.text or "") for word in rest)
        if shown or _says(words[1:], services.SECRET_WORDS):
            return Risk.HIGH
        if any(service.reach.search(word.text or "") for word in rest):
            return Risk.HIGH
        known = Options(service.flags, service.letters, services.READING | service.long)
        if options.fits(rest, known):
            return Risk.NONE
        # an option that is not known may do more than read
        return Risk.HIGH if _leads_away(service, rest) or _says(rest, raised) else Risk.MEDIUM
    # behind `--` stand the options of another program
    away = _leads_away(service, rest) or any(word.text == "--" for word in rest)
    return Risk.HIGH if away or _says(rest, raised) else risk


def _leads_away(service: Service, words: tuple[Word, ...]) -> bool:
    texts = [word.text or "" for word in words]
    texts += [text.partition("=")[2] for text in texts if text.startswith("-")]
    return any(service.elsewhere.search(text) for text in texts)


def _verb(service: Service, words: tuple[Word, ...]) -> tuple[Risk, int] | None:
    """The risk of the verb, and the number of words up to its end."""
    start = _start(service, words)
    if start is None:
        return None
    texts = [(word.text or "") for word in words[start : start + _LONGEST]]
    text = " ".join(part if part and " " not in part else "?" for part in texts)
    tables = (
        (Risk.LOW, service.tidies),
        (Risk.NONE, service.reads),
        (Risk.MEDIUM, service.changes),
    )
    for risk, table in tables:
        match = table.match(text)
        if match is not None:
            return risk, start + 1 + match[0].count(" ")
    return None


def _start(service: Service, words: tuple[Word, ...]) -> int | None:
    """Where the verb stands; None when something unknown stands before it, or there is none."""
    n = 1
    while n < len(words) and words[n].option_like:
        text = words[n].text or ""
        name, equals, _ = text.partition("=")
        if name not in service.before:
            return n if service.reads.match(text) else None
        n += 1 if equals else 2
    return n if n < len(words) else None


def _says(words: tuple[Word, ...], high: frozenset[str]) -> bool:
    """Whether one of these stands somewhere as a part of a word. Prose (with spaces) is no word."""
    return any(
        part in high
        for word in words
        if not re.search(r"\s", word.text or "")
        for part in _PART.findall((word.text or "").lower())
    )
