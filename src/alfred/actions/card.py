"""What a person is shown about a call: rendered by code from its arguments, never from the model's words.

Invariants: no secret that is known is on a card, whatever the action itself hides; what a call is aimed at (a command,
paths, hosts, recipients, branches) is on it whole, or the call is refused (`too_long`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from alfred.trust import display
from alfred.trust.redact import redact, redact_data

PREVIEW = 8_000
"""Characters of a preview that are shown whole; of a longer one head, tail, length and hash."""

AIMED = 4_000
"""Characters, as they are shown, of everything that a call is aimed at: more than that nobody reads on a card."""

ODD = 10
"""Words that may be taken for others which a card names."""

CLAIM = 300
"""Characters of the model's stated reason that a card quotes."""

_SUBJECTS = (
    "command",
    "code",
    "path",
    "url",
    "branch",
    "name",
    "ref",
    "to",
    "remote",
    "question",
    "text",
    "message",
    "query",
)
"""Arguments that say in one line what a call is about, the most telling first."""


_COMMANDS = ("command", "commands", "cmd", "script", "code")
_AIMS = (
    *_COMMANDS,
    *("path", "paths", "from", "to", "cc", "bcc", "recipient", "recipients", "url", "urls"),
    *(
        "host",
        "hosts",
        "address",
        "remote",
        "branch",
        "ref",
        "name",
        "channel",
        "target",
        "targets",
    ),
)
"""Arguments that say what a call does it to."""


def title(action: str, args: dict[str, Any]) -> str:
    """One line: the verb and what it is about, in characters that cannot lie; ` …` when there are more lines of it."""
    for name in _SUBJECTS:
        value = args.get(name)
        if isinstance(value, str) and value.strip():
            # a secret may go over the end of the line
            first, *more = redact(value).strip().split("\n", 1)
            return display.display(f"{action} {first}", limit=160) + " …" * bool(more)
    return display.display(action, limit=160)


def preview(args: dict[str, Any], rendered: str | None) -> str:
    """The body of a card: what the action rendered (a diff, a command), else its arguments, whole or honestly cut.

    What the call is aimed at is never cut; what in it may be taken for something else is said first.
    """
    hidden = redact_data(args)
    if plain := rendered is None:
        rendered = json.dumps(hidden, indent=2, ensure_ascii=False)
    text = redact(rendered)
    shown = display.display(text, multiline=True)
    odd = "".join(f"{line}\n" for line in _odd(hidden))
    if len(shown) <= PREVIEW:
        return odd + shown
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    half = PREVIEW // 2
    cut = f"\n… {len(shown) - 2 * half} characters are not shown here; {len(text)} in all, sha256 {digest} …\n"
    left = shown[:half] + cut + shown[-half:]
    # among arguments as they are it may stand in another one, which is what is shown of it
    unseen = [f"{name}: {aim}\n" for name, aim in _aims(hidden) if plain or aim not in left]
    return odd + "".join(unseen) + left


def _odd(args: dict[str, Any]) -> list[str]:
    """What in the aim of a call may be taken for something else, a line each."""
    aims = [text for name in _AIMS for text in _texts(args.get(name))]
    words = dict.fromkeys(word for text in aims for word in text.split())
    found = [
        f"look closely: {display.display(word, limit=200)} {'; '.join(why)}"
        for word in words
        if (why := display.warnings(word))
    ]
    more = [f"and {len(found) - ODD} more such words"] if len(found) > ODD else []
    return found[:ODD] + more


def too_long(args: dict[str, Any]) -> str | None:
    """The name of the argument that makes the aim of a call longer than a card shows; None when it is not."""
    aims = _aims(args)
    if sum(len(aim) for _, aim in aims) <= AIMED:
        return None
    return max(aims, key=lambda named: len(named[1]))[0]


def aimed(args: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a call is aimed at, value by value, as it stands in the arguments; commands are shown whole instead."""
    found = []
    for name in _AIMS:
        if name not in _COMMANDS:
            found += [(name, one) for one in _texts(args.get(name)) if one]
    return found


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def is_command(name: str) -> bool:
    """Whether an argument of this name is a command."""
    return name in _COMMANDS


def _aims(args: dict[str, Any]) -> list[tuple[str, str]]:
    """What a call is aimed at, as it is shown."""
    found = ((name, args[name]) for name in _AIMS if args.get(name))
    return [
        (
            name,
            display.display(
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
                multiline=True,
            ),
        )
        for name, value in found
    ]


def claim(text: str | None) -> str | None:
    """The model's stated reason, as a claim: one short line."""
    if not text or not text.strip():
        return None
    return display.display(" ".join(redact(text).split()), limit=CLAIM)
