"""Actions on files: read, list and search in the workspace and the inputs; write, patch, move and delete in the workspace.

Every path is opened beneath its root (`trust.paths`), so no link leads out. A file is never handed on
whole: reading goes page by page. Changes are atomic; what a call did can be found out afterwards from the
content that is there, compared with what was there when it was judged (`judged`).
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import mimetypes
import os
import re
import sys
from typing import Annotated, Any, cast

from pydantic import Field

from alfred import errors
from alfred.actions import Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.engines import process
from alfred.integrations import excerpt, judged, listing, pages, patch, places
from alfred.trust import beneath, paths
from alfred.trust.redact import redact, redact_data

PATCHABLE = 20_000_000
"""Bytes of a file that a patch is applied to."""

SEARCH_S = 45
"""Seconds that a search may take."""

_DIFFED = 400_000  # characters of a text that a preview compares line by line
_REDACTED = re.compile(r"\[redacted:[A-Za-z0-9_.-]+:[0-9a-f]{4}\]")


# ---- looking


@action("files.read", integration="files", risk=Risk.NONE, effect=Effect.PURE)
def read(
    path: str,
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int | None, Field(ge=1)] = None,
    *,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Read a text file, one page at a time.

    The answer has `content`, the `size` of the file in bytes, and `next_offset`: give it as `offset` to
    read on; it is null at the end. Of a file that is no text only type and size are told.

    Args:
        path: The file, from the workspace; `inputs/<name>` or its absolute path for an input of the run.
        offset: The byte to start at.
        limit: At most so many bytes; a page is never longer than about 26,000 characters.
    """
    place = places.reading(ctx, path)
    with places.told(path), places.opened(ctx, place) as file:
        kind = pages.kind(file.read(pages.LOOK))
        size = os.fstat(file.fileno()).st_size
        answer: dict[str, Any] = {"path": place.shown, "size": size, "type": kind}
        if kind == "text":
            return answer | pages.page(file, offset, limit)
    media = mimetypes.guess_type(place.path)[0]
    return answer | {"media_type": media, "content": None, "next_offset": None}


@action("files.list", integration="files", risk=Risk.NONE, effect=Effect.PURE)
def list_(path: str = ".", glob: str | None = None, *, ctx: ActionContext) -> dict[str, Any]:
    """List a folder, or with `glob` everything beneath it that fits.

    Args:
        path: The folder, from the workspace; `inputs` shows the inputs of the run.
        glob: A pattern such as `*.py` (at any depth) or `src/**/test_*.py` (from the folder). Folders of
            version control such as `.git` are not looked into.
    """
    return listing.listed(ctx, path, glob)


@action("files.search", integration="files", risk=Risk.NONE, effect=Effect.PURE, timeout=60)
def search(pattern: str, path: str = ".", *, ctx: ActionContext) -> dict[str, Any]:
    """Search files for a regular expression (Python's, line by line).

    Each match has the path, the line, and the `offset` that `files.read` can start at.

    Args:
        pattern: The expression; `(?i)` in front ignores case.
        path: The file or folder to search.
    """
    place = places.reading(ctx, path)
    request = {
        "root": str(place.root),
        "path": place.path,
        "pattern": pattern,
        "closed": places.homes_below(ctx, place.root),
    }
    said, problems = bytearray(), bytearray()
    with places.told(path):
        paths.stat(place.root, place.path)
        ended = process.run(
            [sys.executable, "-P", "-m", "alfred.integrations.grep"],
            cwd=ctx.workspace.root,
            env={"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PATH": os.defpath},
            timeout=SEARCH_S,
            out=said.extend,
            err=problems.extend,
            stdin=json.dumps(request).encode(),
            on_cancel=ctx.on_cancel,
        )
    if ended.why == "timeout":
        raise errors.CallFailed(
            f"The search did not end within {SEARCH_S} s.",
            next="Simplify the pattern, or search a smaller folder.",
        )
    if ended.why == "cancelled":
        raise errors.CallFailed("The search was cancelled.")
    if ended.code != 0:
        last = problems.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise errors.CallFailed(f"The search failed: {last or f'exit code {ended.code}'}.")
    answer = json.loads(said)
    if "bad" in answer:
        raise errors.CallFailed(f"The pattern is no regular expression: {answer['bad']}.")
    room, kept = excerpt.ROOM, []
    for match in answer["matches"]:
        match["path"] = place.shown if place.root != ctx.workspace.root else match["path"]
        room -= len(json.dumps(match, ensure_ascii=False)) + 2
        if room < 0:
            break
        kept.append(match)
    skipped = {k: answer[k] for k in ("binary", "large", "unreadable") if answer[k]}
    return {
        "matches": kept,
        "files_searched": answer["files"],
        "skipped": skipped,
        "more": bool(answer["more"] or len(kept) < len(answer["matches"])),
    }


# ---- changing: what there is, what would be, what it risks


def _risk(args: dict[str, Any], ctx: ActionContext) -> Risk:
    named = [args["path"], *([args["to"]] if "to" in args else [])]
    try:
        inside = [places.relative(ctx.workspace.root, path) for path in named]
    except errors.PathRefused:
        return places.risk(ctx)  # by its letters alone: carrying it out is refused in any case
    return places.risk(ctx, *inside)


def _risk_of_deleting(args: dict[str, Any], ctx: ActionContext) -> Risk:
    try:
        path = places.relative(ctx.workspace.root, args["path"])
    except errors.PathRefused:
        return Risk.MEDIUM
    if places.sensitive(path):
        return Risk.HIGH
    return Risk.LOW if places.disposable(path) else Risk.MEDIUM


def _there(ctx: ActionContext, path: str) -> dict[str, Any]:
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
        return {"kind": "nothing"}


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    found = _there(ctx, args["path"])
    return [found, _there(ctx, args["to"])] if "to" in args else found


def _touches(args: dict[str, Any], ctx: ActionContext) -> list[str]:
    return [
        places.relative(ctx.workspace.root, args[name]) for name in ("path", "to") if name in args
    ]


def _content(ctx: ActionContext, path: str) -> bytes | None:
    """The bytes of a file that is to be changed, None when there is none."""
    place = places.writing(ctx, path)
    try:
        with places.opened(ctx, place) as file:
            raw = file.read(PATCHABLE + 1)
    except FileNotFoundError:
        return None
    if len(raw) > PATCHABLE:
        raise errors.CallFailed(
            f"{beneath.display_name(path)} is larger than {PATCHABLE} bytes, too large to be patched."
        )
    return raw


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise errors.CallFailed("The content has half of a character (a lone surrogate).") from None


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


def _replaced(ctx: ActionContext, path: str, content: bytes) -> dict[str, Any]:
    place = places.writing(ctx, path)
    with places.told(path):
        paths.make_parents(place.root, place.path)
        paths.write(place.root, place.path, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"path": place.shown, "size": len(content), "sha256": digest}


def _diff(path: str, old: bytes | None, new: bytes | None) -> str:
    """How a card shows a change of content; secrets in it are hidden."""
    texts = []
    for side in (old, new):
        raw = side or b""
        if pages.kind(raw[: pages.LOOK]) != "text" or len(raw) > _DIFFED:
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


# ---- write


def _preview_write(args: dict[str, Any], ctx: ActionContext) -> str:
    path = places.writing(ctx, args["path"]).shown
    return _diff(path, _content(ctx, args["path"]), _encoded(args["content"]))


def _wrote(*, key: str, ctx: ActionContext, path: str, content: str) -> Probe:
    now = _there(ctx, path)
    raw = _encoded(content)
    digest = hashlib.sha256(raw).hexdigest()
    if now.get("sha256") == digest:
        shown = places.writing(ctx, path).shown
        return Happened({"path": shown, "size": len(raw), "sha256": digest})
    return NotHappened() if now == judged.target(ctx) else Unknown()


@action(
    "files.write",
    integration="files",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_wrote,
    preview=_preview_write,
    redact=redact_data,
    classify=_risk,
    target=_target,
    touches=_touches,
)
def write(path: str, content: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Write a file of the workspace whole, making it and its folders where they are missing.

    Args:
        path: The file, from the workspace.
        content: Its new content, as text.
    """
    raw = _encoded(content)
    with places.told(path):
        old = _content(ctx, path) if _REDACTED.search(content) else None
    _keep_secrets(old, raw, path)
    return _replaced(ctx, path, raw)


# ---- patch


def _patched(ctx: ActionContext, path: str, diff: patch.Diff) -> tuple[bytes | None, bytes]:
    """The content of a file before and after a diff."""
    old = _content(ctx, path)
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
    return old, _encoded(new)


def _preview_patch(args: dict[str, Any], ctx: ActionContext) -> str:
    path = places.writing(ctx, args["path"]).shown
    try:
        return _diff(path, *_patched(ctx, args["path"], patch.parse(args["diff"])))
    except errors.CallFailed as why:
        return f"This diff cannot be applied: {why.detail}\n\n{redact(args['diff'])}"


def _patch_happened(*, key: str, ctx: ActionContext, path: str, diff: str) -> Probe:
    before, now = judged.target(ctx), _there(ctx, path)
    if now == before:
        return NotHappened()
    wanted = patch.parse(diff)
    raw = _content(ctx, path)
    if raw is None:
        return Unknown()
    try:
        back = _encoded(patch.apply(wanted.reversed(), raw.decode("utf-8", "surrogateescape")))
    except errors.CallFailed:
        return Unknown()
    was = {"kind": "file", "sha256": hashlib.sha256(back).hexdigest(), "size": len(back)}
    if before == was or (before == {"kind": "nothing"} and not back):
        shown = places.writing(ctx, path).shown
        return Happened({"path": shown, "size": len(raw), "sha256": now["sha256"]})
    return Unknown()


@action(
    "files.patch",
    integration="files",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_patch_happened,
    preview=_preview_patch,
    redact=redact_data,
    classify=_risk,
    target=_target,
    touches=_touches,
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
    return _replaced(ctx, path, new)


# ---- move


def _preview_move(args: dict[str, Any], ctx: ActionContext) -> str:
    source, target = (places.writing(ctx, args[name]).shown for name in ("path", "to"))
    found, there = _target(args, ctx)
    taken = "" if there == {"kind": "nothing"} else f"\nThere is a {there['kind']} already: refused"
    return f"move {source}\n  to {target}\n{_summary(found)}{taken}"


def _moved(*, key: str, ctx: ActionContext, path: str, to: str) -> Probe:
    before, now = judged.target(ctx), _target({"path": path, "to": to}, ctx)
    if now == before:
        return NotHappened()
    nothing = {"kind": "nothing"}
    if before and now == [nothing, before[0]] and before[1] == nothing:
        return Happened(
            {"path": places.writing(ctx, path).shown, "to": places.writing(ctx, to).shown}
        )
    return Unknown()


@action(
    "files.move",
    integration="files",
    risk=Risk.NONE,
    effect=Effect.CHECKABLE,
    check=_moved,
    preview=_preview_move,
    classify=_risk,
    target=_target,
    touches=_touches,
)
def move(path: str, to: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Move or rename a file or folder within the workspace. What is there already is never replaced.

    Args:
        path: What to move.
        to: Its new path; missing folders are made.
    """
    source, target = places.writing(ctx, path), places.writing(ctx, to)
    with places.told(path):
        paths.stat(source.root, source.path)
    with places.told(to):
        paths.make_parents(target.root, target.path)
        paths.rename(source.root, source.path, target.path)
    return {"path": source.shown, "to": target.shown}


# ---- delete


def _preview_delete(args: dict[str, Any], ctx: ActionContext) -> str:
    shown = places.writing(ctx, args["path"]).shown
    found = _there(ctx, args["path"])
    head = ""
    if found["kind"] == "file" and found["size"] <= _DIFFED:
        head = "\n" + _diff(shown, _content(ctx, args["path"]), None)
    return f"delete {shown}\n{_summary(found)}{head}"


def _summary(found: dict[str, Any]) -> str:
    if found["kind"] == "file":
        return f"a file of {found['size']} bytes, sha256 {found['sha256']}"
    return f"a {found['kind']}" if found["kind"] != "nothing" else "there is nothing"


def _deleted(*, key: str, ctx: ActionContext, path: str) -> Probe:
    before, now = judged.target(ctx), _there(ctx, path)
    if now == {"kind": "nothing"} and before not in (None, now):
        return Happened({"path": places.writing(ctx, path).shown, "deleted": True})
    return NotHappened() if now == before else Unknown()


@action(
    "files.delete",
    integration="files",
    risk=Risk.LOW,
    effect=Effect.CHECKABLE,
    check=_deleted,
    preview=_preview_delete,
    classify=_risk_of_deleting,
    target=_target,
    touches=_touches,
)
def delete(path: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Delete one file of the workspace. A link is deleted itself; a folder is refused.

    Args:
        path: The file, from the workspace.
    """
    place = places.writing(ctx, path)
    with places.told(path):
        if paths.stat(place.root, place.path).kind == "folder":
            raise errors.CallFailed(
                f"{beneath.display_name(path)} is a folder.", next="Delete the files in it."
            )
        paths.unlink(place.root, place.path)
    return {"path": place.shown, "deleted": True}


ACTIONS = (read, list_, search, write, patch_, move, delete)
