"""What came of a call: as its row keeps it, as a step gets it, as the model reads it.

Invariant: what is stored is storable on both databases and holds no secret; what is cut says so, with length and
hash; a model reads nothing that a person who looks at it would not see. Nothing here raises for what an action returned,
because by then the effect has taken place.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from alfred import errors
from alfred.actions.ledger.calls import Call
from alfred.trust import display, redact, text

RESULT_LIMIT = 30_000
"""Characters of a result that the model reads; of a longer one head and tail, with its length and hash."""

CHANGE = 2_000
"""Characters of a changed argument that the model is told, before and after."""

STORED_LIMIT = 1_000_000
"""Characters of a result that its row keeps."""


def value_of(call: Call) -> Any:
    """The result of a settled call; the error of one that has none, as a value."""
    if call.status == "done":
        return json.loads(call.result) if call.result else None
    if call.status == "skipped":
        return json.loads(call.result or "null")
    said = json.loads(call.result) if call.result else {}
    detail = said.get("error", said) if isinstance(said, dict) else {}
    message = detail.get("detail") if isinstance(detail, dict) else None
    next = detail.get("next") if isinstance(detail, dict) else None
    if call.status == "failed":
        return errors.CallFailed(message or call.error or f"{call.action} failed.", next=next)
    return errors.CallRefused(message or f"{call.action} was {call.status}.", next=next)


def shown(call: Call) -> tuple[str, bool]:
    """A settled call as the model reads it, and whether it is an error."""
    bad = call.status in ("failed", "refused", "rejected")
    if call.status == "failed" and not call.result:
        said = json.dumps(
            {"error": {"code": "failed", "detail": call.error or ""}}, ensure_ascii=False
        )
    else:
        said = call.result or "null"
        value = json.loads(said)
        said = value if isinstance(value, str) else said
    said, hidden = display.unsmuggled(said)
    return shortened(said) + _hidden(hidden) + _changed(call), bad


def _hidden(count: int) -> str:
    """That a text had what nobody sees in it, for the model: most who write so want it to be read by it alone."""
    if not count:
        return ""
    return f"\n[{count} invisible or direction-changing characters of this result are written out, as \\u{{E0041}}.]"


def _changed(call: Call) -> str:
    """What a person made of the arguments, for the model: so it knows what was carried out, and learns."""
    if call.asked_args is None:
        return ""
    before, after = json.loads(call.asked_args), call.arguments
    # hidden before they are cut: half a secret is known to nobody
    old, new = redact.redact_data(before), redact.redact_data(after)
    lines = [
        f"{name}: {_value(old, name)} -> {_value(new, name)}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    return "\n[A person changed this call before allowing it:\n" + "\n".join(lines) + "]"


def _value(args: dict[str, Any], name: str) -> str:
    said = json.dumps(args.get(name), ensure_ascii=False)
    return said if len(said) <= CHANGE else f"{said[:CHANGE]}… ({len(said)} characters)"


def shortened(said: str, room: int = RESULT_LIMIT) -> str:
    """A text cut honestly to so many characters, of which the note about what is left out is none."""
    if len(said) <= room:
        return said
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    half = room // 2
    return f"{said[:half]}\n… {len(said) - 2 * half} of {len(said)} characters left out, sha256 {digest} …\n{said[-half:]}"


def stored(value: Any) -> str:
    """A result as its row keeps it: storable, without secrets, cut honestly. Never raises, because by now the effect
    has taken place."""
    try:
        clean, changed = text.sanitize(json.loads(as_json(value)))
        clean = redact.redact_data(clean)
    except (TypeError, ValueError, RecursionError) as problem:
        note = f"The result is no JSON ({type(problem).__name__}); it was thrown away."
        clean, changed = {"note": note}, False
    said = as_json(clean)
    if len(said) <= STORED_LIMIT and not changed:
        return said
    if len(said) > STORED_LIMIT:
        clean = shortened(clean if isinstance(clean, str) else said)
    if changed:
        note = "NUL bytes or lone surrogates were taken out of this result."
        clean = f"{clean}\n[{note}]" if isinstance(clean, str) else {"value": clean, "note": note}
    return as_json(clean)


def as_json(value: Any) -> str:
    """A value as the JSON text of a row."""
    return json.dumps(value, ensure_ascii=False, default=str)
