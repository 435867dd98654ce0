"""Notices to the person: ntfy, mail, Pushover and what else apprise speaks, to the targets of the configuration only.

The effect is blind: most of these services cannot be asked whether something arrived, and none takes a key
that would make a repeat harmless. So a crash in the middle is told as what it is, and a person says whether it
is sent again; alfred never repeats it by itself. When some of several targets took it, the call is done and
says which did not: sending it again would double it for the others.

alfred's own word about cards that wait goes the same way (`tell`), and past the gate: it is rendered by code, and has a
claim before it and an outcome behind it of its own (`actions.notices`).

Nothing of a target but its kind, and to whom a mail goes, is ever told: its address holds the password. A card names
every target so, and what a person allows is bound to all of what the configuration says.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.actions import Destination, Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.actions.notices import Told
from alfred.trust import display
from alfred.trust.redact import redact_data

if TYPE_CHECKING:
    from alfred.config_schema import Settings

LONGEST = 4_000
"""Characters of a notice."""

_KIND = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):")


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    """Who would be told: as it is shown, and a hash of the whole, without the secrets that are there by name."""
    told = [_named(number, url) for number, url in enumerate(_targets(ctx), start=1)]
    written = json.dumps(_configured(ctx), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return {"to": told, "sha256": hashlib.sha256(written).hexdigest()}


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    return f"to {', '.join(_target(args, ctx)['to'])}\n\n{args['text']}"


def _destinations(args: dict[str, Any], ctx: ActionContext) -> list[Destination]:
    """The person themselves, on the ways that they configured."""
    return [Destination(told, owners=True) for told in _target(args, ctx)["to"]]


@action(
    "notify.send",
    integration="notify",
    risk=Risk.NONE,
    effect=Effect.BLIND,
    target=_target,
    preview=_preview,
    destinations=_destinations,
    redact=redact_data,
    timeout=120,
)
def send(text: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Send the person a short notice, on the ways that they configured.

    Args:
        text: What they should know, in a few sentences.
    """
    said = text.strip()
    if not said or len(said) > LONGEST:
        raise errors.CallFailed(f"A notice has 1 to {LONGEST} characters, this one {len(said)}.")
    # as the card shows it
    told = tell(ctx.settings, ctx.secrets, display.display(said, multiline=True))
    if not told.sent:
        raise errors.CallFailed(
            f"The notice reached nobody: {'; '.join(told.failed)}.",
            next="Check channels.notify in config.yaml.",
        )
    return {"sent": list(told.sent), "failed": list(told.failed)}


ACTIONS = (send,)


def tell(settings: Settings, secrets: Callable[[str], str | None], text: str) -> Told:
    """Sends a text, written out as `display` does it, to every configured target; what would still deceive is written out.

    Raises:
        CallFailed: none is configured, or one names a secret that is not there.
    """
    targets = _resolved(_written(settings), secrets)
    shown = display.inert(text)
    import apprise

    # its log has addresses with their passwords
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(
        app_id="alfred",
        app_desc="alfred",
        http_redirects=False,  # only what is configured is spoken to
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    sent: list[str] = []
    failed: list[str] = []
    for number, url in enumerate(targets, start=1):
        kind = _named(number, url)
        one = apprise.Apprise(asset=asset)
        if not one.add(url):
            failed.append(f"{kind} is not understood")
        elif one.notify(body=shown, title="alfred", body_format=apprise.NotifyFormat.TEXT):
            sent.append(kind)
        else:
            failed.append(f"{kind} did not take it")
    return Told(sent=sent, failed=failed)


def configured(settings: Settings) -> bool:
    """Whether there is anybody to tell."""
    return bool(settings.channels.get("notify"))


def _named(number: int, url: str) -> str:
    """A target in words that hold no secret: its kind, its place in the list, and to whom a mail goes."""
    named = _KIND.match(url)
    kind = named[1].lower() if named else "target"
    to = "".join(f" {address}" for address in _recipients(url)) if kind.startswith("mailto") else ""
    return f"{kind} ({number}){to}"


def _recipients(url: str) -> list[str]:
    """Where `to=` says that a mail goes, else the sender's own address; nothing where that cannot be told apart."""
    try:
        parts = urllib.parse.urlsplit(url)
        if to := urllib.parse.parse_qs(parts.query).get("to"):
            return to
        user, host = parts.username, parts.hostname
    except ValueError:
        return []
    return [f"{urllib.parse.unquote(user)}@{host}"] if user and host else []


def _configured(ctx: ActionContext) -> list[str]:
    """The targets as they are written."""
    return _written(ctx.settings)


def _written(settings: Settings) -> list[str]:
    raw = settings.channels.get("notify")
    targets = [raw] if isinstance(raw, str) else raw
    if not isinstance(targets, list) or not targets:
        raise errors.CallFailed(
            "No target for notices is configured.",
            next='Write channels: {notify: ["ntfy://my-topic"]} into config.yaml.',
        )
    return [str(target) for target in targets]


def _targets(ctx: ActionContext) -> list[str]:
    return _resolved(_written(ctx.settings), ctx.secrets)


def _resolved(written: list[str], secrets: Callable[[str], str | None]) -> list[str]:
    """The targets; `${NAME}` stands for a secret, so that none is written into the configuration."""

    def secret(found: re.Match[str]) -> str:
        value = secrets(found[1])
        if value is None:
            raise errors.CallFailed(
                f"channels.notify names the secret {found[1]}, which is not there."
            )
        return urllib.parse.quote(value, safe="")

    return [re.sub(r"\$\{(\w+)\}", secret, target) for target in written]
