"""What a person is shown about a call: rendered by code from its arguments, never from the model's words."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from alfred.trust import display

PREVIEW = 8_000
"""Characters of a preview that are shown whole; of a longer one head, tail, length and hash."""

CLAIM = 300
"""Characters of the model's stated reason that a card quotes."""

_SUBJECTS = (
    "command",
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


def title(action: str, args: dict[str, Any]) -> str:
    """One line: the verb and what it is about, in characters that cannot lie."""
    for name in _SUBJECTS:
        value = args.get(name)
        if isinstance(value, str) and value.strip():
            return display.display(f"{action} {value.strip().splitlines()[0]}", limit=160)
    return display.display(action, limit=160)


def preview(args: dict[str, Any], rendered: str | None) -> str:
    """The body of a card: what the action rendered (a diff, a command), else its arguments, whole or honestly cut."""
    text = rendered if rendered is not None else json.dumps(args, indent=2, ensure_ascii=False)
    shown = display.display(text, multiline=True)
    if len(shown) <= PREVIEW:
        return shown
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    half = PREVIEW // 2
    cut = f"\n… {len(shown) - 2 * half} characters are not shown here; {len(text)} in all, sha256 {digest} …\n"
    return shown[:half] + cut + shown[-half:]


def claim(text: str | None) -> str | None:
    """The model's stated reason, as a claim: one short line."""
    if not text or not text.strip():
        return None
    return display.display(" ".join(text.split()), limit=CLAIM)
