"""Actions that change what a file is called, or whether it is there: move it, delete it.

What is there already is never replaced, a folder never deleted. What a call did can be found out afterwards from
what lies at its places, compared with what lay there when it was judged (`judged`).
"""

from __future__ import annotations

from typing import Any

from alfred import errors
from alfred.actions import Happened, NotHappened, Risk, Unknown
from alfred.actions.context import ActionContext
from alfred.actions.kinds import Probe
from alfred.integrations import contents, judged, marks, places
from alfred.trust import beneath, names, paths

# ---- move


def _preview_move(args: dict[str, Any], ctx: ActionContext) -> str:
    source, target = (places.writing(ctx, args[name]).shown for name in ("path", "to"))
    found, there = contents.target(args, ctx)
    taken = "" if there == contents.NOTHING else f"\nThere is a {there['kind']} already: refused"
    return f"move {source}\n  to {target}\n{_summary(found)}{taken}"


def _moved(*, key: str, ctx: ActionContext, path: str, to: str) -> Probe:
    before, now = judged.target(ctx), contents.target({"path": path, "to": to}, ctx)
    if now == before:
        return NotHappened()
    nothing = contents.NOTHING
    if before and now == [nothing, before[0]] and before[1] == nothing:
        return Happened(
            {"path": places.writing(ctx, path).shown, "to": places.writing(ctx, to).shown}
        )
    return Unknown()


@contents.changes(
    "files.move",
    check=_moved,
    preview=_preview_move,
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
    with places.told(to), marks.moved(ctx, source, target):
        paths.make_parents(target.root, target.path)
        paths.rename(source.root, source.path, target.path)
    return {"path": source.shown, "to": target.shown}


# ---- delete


def _risk_of_deleting(args: dict[str, Any], ctx: ActionContext) -> Risk:
    try:
        path = places.relative(ctx.workspace.root, args["path"])
    except errors.PathRefused:
        return Risk.MEDIUM
    if places.delicate(ctx, path):
        return Risk.HIGH
    return Risk.LOW if names.disposable(path) else Risk.MEDIUM


def _preview_delete(args: dict[str, Any], ctx: ActionContext) -> str:
    shown = places.writing(ctx, args["path"]).shown
    found = contents.there(ctx, args["path"])
    head = ""
    if found["kind"] == "file" and found["size"] <= contents.DIFFED:
        head = "\n" + contents.diff(shown, contents.content(ctx, args["path"]), None)
    return f"delete {shown}\n{_summary(found)}{head}"


def _summary(found: dict[str, Any]) -> str:
    if found["kind"] == "file":
        return f"a file of {found['size']} bytes, sha256 {found['sha256']}"
    return f"a {found['kind']}" if found != contents.NOTHING else "there is nothing"


def _deleted(*, key: str, ctx: ActionContext, path: str) -> Probe:
    before, now = judged.target(ctx), contents.there(ctx, path)
    if now == contents.NOTHING and before not in (None, now):
        return Happened({"path": places.writing(ctx, path).shown, "deleted": True})
    return NotHappened() if now == before else Unknown()


@contents.changes(
    "files.delete",
    risk=Risk.LOW,
    check=_deleted,
    preview=_preview_delete,
    classify=_risk_of_deleting,
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
    marks.deleted(ctx, place)
    return {"path": place.shown, "deleted": True}
