"""What lies at a path of a call, before and after it: told apart by the hash of its content, and shown as a diff; and
what every action that changes it declares (`changes`).

Invariant: what is looked at here is a place that the call may change (`places.writing`), and nothing is changed.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import io
from typing import Any, cast

from alfred import errors
from alfred.actions import Effect, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Risk
from alfred.integrations import pages, places
from alfred.trust import beneath, paths
from alfred.trust.redact import redact

LARGEST = 20_000_000
"""Bytes of a file that is taken whole, to be patched or shown."""

DIFFED = 400_000
"""Bytes of a text that is compared line by line."""

NOTHING = {"kind": "nothing"}
"""What is told of a path where nothing lies."""


def risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    """The risk of changing the places that a call names."""
    named = [args["path"], *([args["to"]] if "to" in args else [])]
    try:
        inside = [places.relative(ctx.workspace.root, path) for path in named]
    except errors.PathRefused:
        return places.risk(ctx)  # by its letters alone: carrying it out is refused in any case
    return places.risk(ctx, *inside)


def there(ctx: ActionContext, path: str) -> dict[str, Any]:
    """What lies at a path now, as JSON: the hash of its content tells it apart from everything else."""
    place = places.writing(ctx, path)
    try:
        entry = paths.stat(place.root, place.path)
        if entry.kind != "file":
            return {"kind": entry.kind}
        with places.opened(ctx, place) as file:
            digest = hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()
        return {"kind": "file", "sha256": digest, "size": entry.size}
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING


def target(args: dict[str, Any], ctx: ActionContext) -> Any:
    """What lies at the one or two places that a call names. Nobody is asked about a change behind a symlink: it would
    be refused, and what a person saw of it would be of another place."""
    written = "content" in args or "diff" in args
    for name in ("path", "to"):
        if name in args:
            place = places.writing(ctx, args[name])
            paths.refuse_links(place.root, place.path, last=written)
    found = there(ctx, args["path"])
    return [found, there(ctx, args["to"])] if "to" in args else found


def touches(args: dict[str, Any], ctx: ActionContext) -> list[str]:
    """The one or two places that a call names, within the workspace."""
    return [
        places.relative(ctx.workspace.root, args[name]) for name in ("path", "to") if name in args
    ]


changes = functools.partial(
    action,
    integration="files",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    classify=risk,
    target=target,
    touches=touches,
)
"""`@changes(id, check=..., preview=...)`: an action on the one or two places that a call names, whose effect can be looked
up there. What is judged otherwise says so."""


def content(ctx: ActionContext, path: str) -> bytes | None:
    """The bytes of a file that is to be changed, None when there is none."""
    place = places.writing(ctx, path)
    try:
        with places.opened(ctx, place) as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    if len(raw) > LARGEST:
        raise errors.CallFailed(
            f"{beneath.display_name(path)} is larger than {LARGEST} bytes, too large to be patched."
        )
    return raw


def encoded(text: str) -> bytes:
    """A text as bytes; surrogates that stand for bytes are those bytes again.

    Raises:
        CallFailed: it has half of a character.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise errors.CallFailed("The content has half of a character (a lone surrogate).") from None


def diff(path: str, old: bytes | None, new: bytes | None) -> str:
    """How a card shows a change of content; secrets in it are hidden."""
    texts = []
    for side in (old, new):
        raw = side or b""
        if pages.kind(raw[: pages.LOOK]) != "text" or len(raw) > DIFFED:
            return f"{path}\nold: {_described(old)}\nnew: {_described(new)}"
        texts.append(_lines(raw.decode("utf-8", "replace")))
    lines = difflib.unified_diff(
        *texts,
        fromfile="/dev/null" if old is None else f"a/{path}",
        tofile="/dev/null" if new is None else f"b/{path}",
        lineterm="",
    )
    return redact("\n".join(lines)) or f"{path}: no line changes"


def _lines(text: str) -> list[str]:
    """The lines of a text; a last line without its newline says so, as diff does."""
    lines = text.split("\n")
    if lines[-1] == "":
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]


def _described(content: bytes | None) -> str:
    if content is None:
        return "nothing"
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
