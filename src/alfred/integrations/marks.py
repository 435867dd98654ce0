"""What the files of a run's workspace and inputs are labelled as, and how a change of them is marked.

Invariant: a change is marked before anything is touched (`actions.ledger.labels`), with the label of the run's context
and of whatever it was made of; so what was written with a stranger's words in mind is a stranger's word when it is read
next week, by whichever run. The mark lies on the real path.

A folder that the person brought, and an input, is private; a folder of alfred's own is not by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.actions.context import ActionContext
from alfred.actions.ledger import labels as rows
from alfred.engines import git
from alfred.integrations import places, repository
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label

_INPUT = Label(Integrity.DERIVED, Confidentiality.PRIVATE)


def base(ctx: ActionContext) -> Label:
    """What everything in the run's workspace is, when no row says more."""
    trusted = Integrity.TRUSTED if ctx.workspace.trusted else Integrity.DERIVED
    private = Confidentiality.INTERNAL if ctx.workspace.made else Confidentiality.PRIVATE
    return Label(trusted, private)


# ---- reading: `label=` of actions


def of_file(args: dict[str, Any], ctx: ActionContext) -> Label:
    """The label of the file that a call names."""
    return _of(args["path"], ctx, whole=False)


def of_tree(args: dict[str, Any], ctx: ActionContext) -> Label:
    """The worst label of the folder that a call names, and of everything beneath it."""
    return _of(args["path"], ctx, whole=True)


def of_workspace(args: dict[str, Any], ctx: ActionContext) -> Label:
    """The worst label of everything that a command of this run can read."""
    found = [base(ctx), _row(ctx, rows.place(ctx.workspace.root), whole=True)]
    for given in ctx.inputs.values():
        found += [_INPUT, _row(ctx, rows.place(given), whole=True)]
    return labels.join_all(found)


def of_repository(args: dict[str, Any], ctx: ActionContext) -> Label:
    """The worst label of the work tree and of what its repository keeps."""
    root = rows.place(ctx.workspace.root)
    found = [base(ctx), _row(ctx, root, whole=True)]
    with contextlib.suppress(errors.CallFailed):  # without a repository there is nothing to read
        found += [_row(ctx, folder, whole=True) for folder in _kept(ctx)]
    return labels.join_all(found)


def _of(path: str, ctx: ActionContext, *, whole: bool) -> Label:
    try:
        place = places.reading(ctx, path)
    except errors.PathRefused:
        return base(ctx)  # nothing is read
    inside = base(ctx) if place.root == ctx.workspace.root else _INPUT
    return labels.join(inside, _row(ctx, rows.place(place.root / place.path), whole=whole))


def _row(ctx: ActionContext, path: str, *, whole: bool) -> Label:
    with ctx.store.read() as look:
        found = (rows.covered if whole else rows.nearest)(look, ctx.tenant, path)
    return found or labels.BEST


def _named(place: places.Place) -> str:
    """A place that is changed: the folder as it really is, the name as it was given. A link is changed itself."""
    path = place.root / place.path
    return f"{rows.place(path.parent).rstrip('/')}/{rows.text(path.name)}"


def _kept(ctx: ActionContext) -> list[str]:
    """The folders in which the repository of the workspace keeps what it knows, as its files say: no git is started."""
    return list(dict.fromkeys(map(rows.place, git.folders(repository.of(ctx)))))


# ---- changing


@contextlib.contextmanager
def written(ctx: ActionContext, place: places.Place, *, whole: bool) -> Iterator[None]:
    """Around the change of one file.

    Args:
        whole: Nothing of what it held before is left.
    """
    path, plain = _named(place), _plain(ctx, ctx.label)
    with ctx.store.read() as look:
        there, seen = rows.nearest(look, ctx.tenant, path), rows.version(look, ctx.tenant, path)
    if not plain:
        seen = _mark(ctx, path, ctx.label)
    yield
    if whole and (there is not None or not plain):
        ctx.store.transact(
            rows.replace,
            tenant=ctx.tenant,
            path=path,
            label=labels.join(base(ctx), ctx.label),
            plain=plain,
            run_id=ctx.run_id,
            seen=seen,
        )
    elif not plain:
        _mark(ctx, path, ctx.label)  # so that whoever wrote it meanwhile sees that it was written


@contextlib.contextmanager
def moved(ctx: ActionContext, place: places.Place, to: places.Place) -> Iterator[None]:
    """Around a move: what is moved keeps its label, and its new name has that of who gave it."""
    source, target = _named(place), _named(to)

    def known() -> bool:
        label = labels.join(ctx.label, _row(ctx, source, whole=False))
        found = _row(ctx, source, whole=True) != labels.BEST
        if found or not _plain(ctx, label):
            _mark(ctx, target, label)
        return found

    before = known()
    yield
    # somebody may have written into it until the moment in which it was moved
    if known() or before:
        ctx.store.transact(rows.moved, tenant=ctx.tenant, path=source, to=target, run_id=ctx.run_id)


def deleted(ctx: ActionContext, place: places.Place) -> None:
    """A file is gone."""
    ctx.store.transact(rows.forget, tenant=ctx.tenant, path=_named(place))


def changed_by_program(ctx: ActionContext) -> None:
    """A command may change everything in the workspace, out of everything that it can read."""
    label = labels.join(ctx.label, of_workspace({}, ctx))
    if not _plain(ctx, label):
        _mark(ctx, rows.place(ctx.workspace.root), label)


def committed(ctx: ActionContext, files: Iterable[Path] = ()) -> None:
    """The repository is about to keep something of this context, and these files."""
    held = [_row(ctx, rows.place(file), whole=False) for file in files]
    label = labels.join_all([ctx.label, *held])
    if not _plain(ctx, label):
        for folder in _kept(ctx):
            _mark(ctx, folder, label)


def _plain(ctx: ActionContext, label: Label) -> bool:
    """Whether a label says no more than where the workspace lies. A run makes nothing trusted that is not."""
    usual = replace(base(ctx), integrity=Integrity.DERIVED)
    return labels.join(usual, label) == usual


def _mark(ctx: ActionContext, path: str, label: Label) -> rows.Version:
    return ctx.store.transact(
        rows.mark, tenant=ctx.tenant, path=path, label=label, run_id=ctx.run_id
    )
