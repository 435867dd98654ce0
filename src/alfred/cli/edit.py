"""Change a call before allowing it: the arguments in an editor, or given whole.

Invariant: what a person typed is not lost when it cannot be carried out, and nothing is allowed that they have not seen
rendered by the checks.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from alfred import app, errors, ids
from alfred.actions.editing import Edit, Editing
from alfred.actions.kinds import Risk
from alfred.actions.ledger.approvals import Approval
from alfred.actions.pipeline import Judged
from alfred.cli import cards, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import views
from alfred.trust import display, redact

EXAMPLE = '--args \'{"path": "…"}\''


def edit(
    id: str, /, *, args: str | None = None, hash: str | None = None, common: Common = DEFAULT
) -> int:
    """Change what a card would do, and allow that; the model is told what you changed.

    The change passes every check again. When it risks more than the card did, a new card asks about it.

    Args:
        id: The card.
        args: All arguments as one JSON object; without it your editor ($VISUAL, $EDITOR) opens with them.
        hash: The hash that the card showed: for high risks, where nobody can be asked.
    """
    with common.open() as base:
        desk = base.desk
        desk.expire()
        card = desk.card(id)
        editing = app.editing(base)
        bound = desk.bound(card, hash) if hash is not None else None
        if args is not None:
            judged = editing.judged(card, terminal.json_object(args, EXAMPLE))
        else:
            judged = _opened(editing, card, base)
        if not common.json:
            terminal.say(f"[{judged.judgement.risk}] {judged.title}")
            terminal.say("\n".join(f"  {line}" for line in judged.preview.splitlines()))
        worse = Risk.of(judged.judgement.risk) > Risk.of(card.risk)
        if judged.judgement.risk == "high" and not worse and bound is None:
            seen = not common.json and terminal.interactive()
            if not (seen and terminal.yes("  This is a high risk. Allow exactly this?")):
                raise errors.HashRequired(
                    f"This is a high risk: {judged.title}.",
                    next=f"Give the hash of the card that you changed: --hash {card.args_hash[:12]}.",
                )
        wanted = Edit(args_hash=card.args_hash, by=desk.by, via=desk.via, token=ids.new())
        return _said(base, editing.edit(card, judged, wanted), common)


def _said(base: app.Base, card: Approval, common: Common) -> int:
    note = None if card.status == "pending" else base.desk.ensure_worker()
    if common.json:
        with base.store.read() as look:
            terminal.document(views.approval(look, card.id))
    elif card.status == "pending":
        terminal.out("It risks more than what was asked, so it is asked again:")
        for line in cards.render(card):
            terminal.out(line)
        terminal.out(f"  {cards.how(card)}")
    else:
        terminal.out(f"{terminal.short(card.id)} {card.status.replace('_', ' ')}: {card.title}")
    if note:
        terminal.say(note)
    return 0


def _opened(editing: Editing, card: Approval, base: app.Base) -> Judged:
    """What the checks say about the arguments as a person leaves them in their editor. Meanwhile the card does not approve itself."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    if not terminal.interactive():
        raise errors.UsageError(
            "There is no terminal to open an editor on.",
            next="Give the arguments with --args JSON.",
        )
    shown = editing.arguments(card)
    if redact.redact_data(shown) != shown:
        raise errors.UsageError(
            "The arguments hold a secret, which no editor should have.",
            next="Reject the card, and say why; or give all arguments with --args JSON.",
        )
    editing.hold(card.id)
    handle, name = tempfile.mkstemp(prefix="alfred-edit-", suffix=".json")
    file = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(display.as_json(shown, indent=2) + "\n")
    try:
        code = subprocess.run([*shlex.split(editor), name], check=False).returncode
    except OSError as problem:
        file.unlink()
        raise errors.UsageError(
            f"The editor {editor!r} cannot be started: {problem.strerror}.", next="Set EDITOR."
        ) from None
    if code:
        raise errors.UsageError(
            f"The editor ended with {code}; nothing was changed.", next=f"Your text is in {name}."
        )
    text = file.read_text("utf-8", errors="replace")
    try:
        judged = editing.judged(card, terminal.json_object(text, EXAMPLE))
    except errors.AlfredError as problem:
        problem.next = f"{problem.next or ''} Your text is in {name}."
        raise
    file.unlink()
    return judged
