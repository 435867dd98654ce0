"""Actions on files: read, list and search in the workspace and the inputs; changing them is in `edits` and `moves`.

Every path is opened beneath its root (`trust.paths`), so no link leads out. A file is never handed on
whole: reading goes page by page.
"""

from __future__ import annotations

import json
import mimetypes
import os
import sys
from typing import Annotated, Any

from pydantic import Field

from alfred import errors
from alfred.actions import Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.engines import process
from alfred.integrations import excerpt, listing, marks, pages, places
from alfred.integrations.edits import patch_, write
from alfred.integrations.moves import delete, move
from alfred.trust import paths, redact

SEARCH_S = 45
"""Seconds that a search may take."""


@action("files.read", integration="files", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_file)
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


@action("files.list", integration="files", risk=Risk.NONE, effect=Effect.PURE, label=marks.of_tree)
def list_(path: str = ".", glob: str | None = None, *, ctx: ActionContext) -> dict[str, Any]:
    """List a folder, or with `glob` everything beneath it that fits.

    Args:
        path: The folder, from the workspace; `inputs` shows the inputs of the run.
        glob: A pattern such as `*.py` (at any depth) or `src/**/test_*.py` (from the folder). Folders of
            version control such as `.git` are not looked into.
    """
    return listing.listed(ctx, path, glob)


@action(
    "files.search",
    integration="files",
    risk=Risk.NONE,
    effect=Effect.PURE,
    label=marks.of_tree,
    timeout=60,
)
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
        before, behind = match.pop("beside")
        match["text"] = redact.within(before, match["text"], behind)
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


ACTIONS = (read, list_, search, write, patch_, move, delete)
