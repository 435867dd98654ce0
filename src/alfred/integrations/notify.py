"""Notices to the person: ntfy, mail, Pushover and what else apprise speaks, to the targets of the configuration only.

A notice is blind: most of these services cannot be asked whether it arrived. It carries no decision, so a notice
twice is a nuisance and a notice lost is a harm; still a crash in the middle is told as what it is, and a person
says whether to send it again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

LONGEST = 4_000
"""Characters of a notice."""

_SCHEME = re.compile(r"^([a-z0-9+.-]+):", re.IGNORECASE)


@action("notify.send", integration="notify", risk=Risk.NONE, effect=Effect.BLIND, timeout=60)
def send(text: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Send the person a short notice, on the ways that they configured.

    Args:
        text: What they should know, in a few sentences.
    """
    said = text.strip()
    if not said or len(said) > LONGEST:
        raise errors.CallFailed(f"A notice has 1 to {LONGEST} characters, this one {len(said)}.")
    targets = _targets(ctx)
    import apprise

    sent, failed = [], []
    for url in targets:
        kind = (_SCHEME.match(url) or ["", "unknown"])[1]
        made = apprise.Apprise()
        if not made.add(url):
            failed.append(f"{kind}: the target is not understood")
        elif made.notify(body=said, title="alfred"):
            sent.append(kind)
        else:
            failed.append(f"{kind}: not accepted")
    if not sent:
        raise errors.CallFailed(
            f"The notice reached nobody ({'; '.join(failed)}).",
            next="Check channels.notify in config.yaml.",
        )
    return {"sent": sent, "failed": failed}


def _targets(ctx: ActionContext) -> list[str]:
    """The configured targets; `${NAME}` stands for a secret, so that none is written into the configuration."""
    raw = ctx.settings.channels.get("notify") or []
    if not isinstance(raw, list) or not raw:
        raise errors.CallFailed(
            "No target for notices is configured.",
            next='Write channels: {notify: ["ntfy://my-topic"]} into config.yaml.',
        )
    return [re.sub(r"\$\{(\w+)\}", lambda found: _secret(ctx, found[1]), str(url)) for url in raw]


def _secret(ctx: ActionContext, name: str) -> str:
    value = ctx.secrets(name)
    if value is None:
        raise errors.CallFailed(f"channels.notify names the secret {name}, which is not there.")
    return value


ACTIONS = (send,)
