"""Actions that change what a file holds: write it whole, patch it.

Changes are atomic, and the mark of a secret never takes the place of the secret. What a call did can be found
out afterwards from the content that is there, compared with what was there when it was judged (`judged`).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from alfred import errors
from alfred.actions import Happened, NotHappened, Unknown
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.integrations import contents, judged, marks, patch, places
from alfred.trust import beneath, paths
from alfred.trust.redact import redact, redact_data

_REDACTED = re.compile(r"\[redacted:[A-Za-z0-9_.-]+:[0-9a-f]{4}\]")


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    path, diff = places.writing(ctx, args["path"]).shown, args.get("diff")
    try:
        if diff is None:
            old, new = contents.content(ctx, args["path"]), contents.encoded(args["content"])
        else:
            old, new = _patched(ctx, args["path"], patch.parse(diff))
    except errors.CallFailed as why:
        given = "content cannot be written" if diff is None else "diff cannot be applied"
        return f"This {given}: {why.detail}\n\n{redact(diff or args['content'])}"
    return contents.diff(path, old, new)


# ---- write


def _wrote(*, key: str, ctx: ActionContext, path: str, content: str) -> Probe:
    now = contents.there(ctx, path)
    raw = contents.encoded(content)
    digest = hashlib.sha256(raw).hexdigest()
    if now.get("sha256") == digest:
        shown = places.writing(ctx, path).shown
        return Happened({"path": shown, "size": len(raw), "sha256": digest})
    return NotHappened() if now == judged.target(ctx) else Unknown()


@contents.changes(
    "files.write",
    check=_wrote,
    preview=_preview,
    redact=redact_data,
)
def write(path: str, content: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Write a file of the workspace whole, making it and its folders where they are missing.

    Args:
        path: The file, from the workspace.
        content: Its new content, as text.
    """
    raw = contents.encoded(content)
    with places.told(path):
        old = contents.content(ctx, path) if _REDACTED.search(content) else None
    _keep_secrets(old, raw, path)
    return _replaced(ctx, path, raw, whole=True)


# ---- patch


def _patched(ctx: ActionContext, path: str, diff: patch.Diff) -> tuple[bytes | None, bytes]:
    """The content of a file before and after a diff."""
    old = contents.content(ctx, path)
    shown = beneath.display_name(path)
    if old is None and not diff.creates:
        raise FileNotFoundError(path)
    if diff.creates and old:
        raise errors.CallFailed(f"The diff makes {shown}, which is there already.")
    if diff.deletes:
        raise errors.CallFailed(f"The diff deletes {shown}.", next="Use `files.delete`.")
    if old and b"\0" in old:
        raise errors.CallFailed(f"{shown} is no text and cannot be patched.")
    # bytes that are no UTF-8 pass through as they are
    new = patch.apply(diff, (old or b"").decode("utf-8", "surrogateescape"))
    return old, contents.encoded(new)


def _patch_happened(*, key: str, ctx: ActionContext, path: str, diff: str) -> Probe:
    before, now = judged.target(ctx), contents.there(ctx, path)
    if now == before:
        return NotHappened()
    wanted = patch.parse(diff)
    raw = contents.content(ctx, path)
    if raw is None:
        return Unknown()
    try:
        back = contents.encoded(
            patch.apply(wanted.reversed(), raw.decode("utf-8", "surrogateescape"))
        )
    except errors.CallFailed:
        return Unknown()
    was = {"kind": "file", "sha256": hashlib.sha256(back).hexdigest(), "size": len(back)}
    if before == was or (before == contents.NOTHING and not back):
        shown = places.writing(ctx, path).shown
        return Happened({"path": shown, "size": len(raw), "sha256": now["sha256"]})
    return Unknown()


@contents.changes(
    "files.patch",
    check=_patch_happened,
    preview=_preview,
    redact=redact_data,
)
def patch_(path: str, diff: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Change a file by a unified diff, which must fit exactly.

    Args:
        path: The file, from the workspace; names in the diff are not looked at.
        diff: Hunks `@@ -start,count +start,count @@` with context, `-` and `+` lines; one file.
    """
    with places.told(path):
        old, new = _patched(ctx, path, patch.parse(diff))
    _keep_secrets(old, new, path)
    return _replaced(ctx, path, new, whole=False)


def _keep_secrets(old: bytes | None, new: bytes, path: str) -> None:
    """Refuses to write the mark of a secret where the secret itself stands: it would be lost."""
    before = set(_REDACTED.findall((old or b"").decode("utf-8", "replace")))
    added = set(_REDACTED.findall(new.decode("utf-8", "replace"))) - before
    if added:
        raise errors.CallFailed(
            f"{min(added)} stands for a secret that you were not shown; writing it to "
            f"{beneath.display_name(path)} would put the mark in the place of the secret.",
            next="Change other lines with `files.patch`.",
        )


def _replaced(ctx: ActionContext, path: str, content: bytes, *, whole: bool) -> dict[str, Any]:
    place = places.writing(ctx, path)
    with places.told(path), marks.written(ctx, place, whole=whole):
        paths.make_parents(place.root, place.path)
        paths.write(place.root, place.path, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"path": place.shown, "size": len(content), "sha256": digest}
