"""The labels of files: a row for each file or folder that somebody else's words, or private ones, were written into.

Invariants: a row of a folder covers everything beneath it; the row that is nearest to a path counts, so a row is only
ever made better for what was written whole, or by a word of the owner about the rows that they saw (`endorse`), and marking a folder marks every row
beneath it too. A row is written
before the file is touched, and made better behind it, and only when nobody else has written it in between: a crash, or
two writers at once, leave the worse label. What has no row here has the label of the place it lies in.

Two names that only differ in the case or form of their letters may be one file: reading takes the worse of both.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Integrity, Label

Version = tuple[str, int] | None
"""Who wrote a row, and when; None: there is none."""

_BENEATH = "substr(folded,1,length(:folder))=:folder"
_AT = Sql(
    "select folded,integrity,confidentiality from file_labels where tenant=:tenant and folded in :folded"
)
_ALL_BENEATH = Sql(
    f"select path,integrity,confidentiality from file_labels where tenant=:tenant and {_BENEATH}"
)
_MARKS = Sql(
    "select path,integrity,confidentiality,run_id,at from file_labels"
    f" where tenant=:tenant and (folded=:folded or {_BENEATH}) order by path"
)
_VERSION = Sql("select run_id,at from file_labels where tenant=:tenant and path=:path")
_SET = Sql(
    "insert into file_labels(tenant,path,folded,integrity,confidentiality,run_id,at)"
    " values(:tenant,:path,:folded,:integrity,:confidentiality,:run_id,alfred_now())"
    " on conflict(tenant,path) do update set integrity=excluded.integrity,"
    "confidentiality=excluded.confidentiality,run_id=excluded.run_id,at=excluded.at"
)
_DELETE = Sql("delete from file_labels where tenant=:tenant and path=:path")
_WRITING = Sql(
    "select r.id from runs r join calls c on c.run_id=r.id where r.tenant=:tenant and r.external=1"
    " and r.status in('queued','running','parked') and c.status='executing' limit 1"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A row, as it was when it was read."""

    path: str
    label: Label
    run_id: str
    """The run that wrote it last, or the person."""
    at: int


def place(path: Path) -> str:
    """A path as rows have it: as it really is, bytes that are no UTF-8 written out."""
    return text(os.path.realpath(path))


def text(path: str) -> str:
    """Bytes that are no UTF-8 written out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def external(look: Tx, tenant: str, path: str) -> list[Mark]:
    """The marks of strangers' words at a path, beneath it, and above it where that covers the path."""
    marks = [one for one in _marks(look, tenant, path) if one.label.external]
    if any(_folded(one.path) == _folded(path) for one in marks):
        return marks
    above = (_marks(look, tenant, str(one), own=True) for one in PurePosixPath(path).parents)
    # a row of its own, whatever it says, counts more than one above
    own = _marks(look, tenant, path, own=True)
    covering = own or next((found for found in above if found), [])
    return sorted({*marks, *(one for one in covering if one.label.external)}, key=lambda m: m.path)


def writing(look: Tx, tenant: str) -> str | None:
    """A run with strangers' words that is doing something just now: its mark lies there already, its bytes may not."""
    return look(_WRITING, tenant=tenant).scalar()


def endorse(tx: Tx, *, tenant: str, path: str, seen: Sequence[Mark], by: str) -> bool:
    """The owner has read what lies at a path: it is derived from now on, and who may read it is what it was. Whether the
    marks are those that they saw; else nothing is changed."""
    _alone(tx, tenant)
    if external(tx, tenant, path) != list(seen):
        return False
    inside = [one for one in seen if _is_within(one.path, path)]
    around = nearest(tx, tenant, path)
    if len(inside) < len(seen) and around is not None:
        # a folder above says it, and goes on saying it of what else lies there
        inside.append(Mark(path, around, by, 0))
    for one in sorted(inside, key=lambda mark: mark.path):
        label = Label(Integrity.DERIVED, one.label.confidentiality)
        tx(_DELETE, tenant=tenant, path=one.path)
        around = nearest(tx, tenant, str(PurePosixPath(one.path).parent))
        if around is not None or labels.join(labels.DERIVED, label) != labels.DERIVED:
            _set(tx, tenant, one.path, label, by)
    return True


def nearest(tx: Tx, tenant: str, path: str) -> Label | None:
    """The label that the row nearest to a path gives it: its own, else that of the closest folder above it."""
    above = [_folded(path), *(_folded(str(one)) for one in PurePosixPath(path).parents)]
    found: dict[str, Label] = {}
    for row in tx(_AT, tenant=tenant, folded=above).all():
        label = labels.of_row(row.integrity, row.confidentiality)
        found[row.folded] = labels.join(found.get(row.folded, labels.BEST), label)
    return next((found[one] for one in above if one in found), None)


def covered(tx: Tx, tenant: str, path: str) -> Label | None:
    """The worst label at a path and of anything beneath it; None when no row says anything."""
    own = nearest(tx, tenant, path)
    rest = [label for _, label in _beneath(tx, tenant, path)]
    return labels.join_all([*([own] if own else []), *rest]) if own or rest else None


def version(tx: Tx, tenant: str, path: str) -> Version:
    """The state of a path's own row, to be told apart from a later one."""
    row = tx(_VERSION, tenant=tenant, path=path).one_or_none()
    return (row.run_id, row.at) if row else None


def mark(tx: Tx, *, tenant: str, path: str, label: Label, run_id: str) -> Version:
    """Joins a label onto a path and onto every row beneath it. The verb before anything is touched."""
    _alone(tx, tenant)
    own = nearest(tx, tenant, path) or labels.BEST
    _set(tx, tenant, path, labels.join(own, label), run_id)
    for beneath, one in _beneath(tx, tenant, path):
        _set(tx, tenant, beneath, labels.join(one, label), run_id)
    return version(tx, tenant, path)


def replace(
    tx: Tx, *, tenant: str, path: str, label: Label, plain: bool, run_id: str, seen: Version
) -> None:
    """The file was written whole: it has the label of what was written, unless somebody else wrote it as well.

    Args:
        plain: The label says no more than the place that the file lies in.
        seen: The row's state before the file was touched.
    """
    _alone(tx, tenant)
    if version(tx, tenant, path) != seen:
        own = nearest(tx, tenant, path) or labels.BEST
        if not plain:
            _set(tx, tenant, path, labels.join(own, label), run_id)
        return
    tx(_DELETE, tenant=tenant, path=path)
    # beneath a folder with a row the file needs one of its own
    if not plain or nearest(tx, tenant, path) is not None:
        _set(tx, tenant, path, label, run_id)


def moved(tx: Tx, *, tenant: str, path: str, to: str, run_id: str) -> None:
    """What lay at `path` lies at `to` now, where `mark` was called before: the rows beneath go along."""
    _alone(tx, tenant)
    for beneath, label in _beneath(tx, tenant, path):
        there = to + beneath[len(path) :]
        own = nearest(tx, tenant, there) or labels.BEST
        _set(tx, tenant, there, labels.join(own, label), run_id)
        tx(_DELETE, tenant=tenant, path=beneath)
    tx(_DELETE, tenant=tenant, path=path)


def forget(tx: Tx, *, tenant: str, path: str) -> None:
    """Nothing lies at the path any more."""
    tx(_DELETE, tenant=tenant, path=path)


def _marks(tx: Tx, tenant: str, path: str, *, own: bool = False) -> list[Mark]:
    """The rows at a path, and unless `own` those beneath it."""
    folded = _folded(path)
    rows = tx(_MARKS, tenant=tenant, folded=folded, folder=folded.rstrip("/") + "/").all()
    found = [
        Mark(row.path, labels.of_row(row.integrity, row.confidentiality), row.run_id, row.at)
        for row in rows
    ]
    return [one for one in found if not own or _folded(one.path) == folded]


def _is_within(path: str, folder: str) -> bool:
    inside, above = _folded(path), _folded(folder)
    return inside == above or inside.startswith(above.rstrip("/") + "/")


def _beneath(tx: Tx, tenant: str, path: str) -> Iterable[tuple[str, Label]]:
    folder = _folded(path).rstrip("/") + "/"
    return [
        (row.path, labels.of_row(row.integrity, row.confidentiality))
        for row in tx(_ALL_BENEATH, tenant=tenant, folder=folder).all()
    ]


def _set(tx: Tx, tenant: str, path: str, label: Label, run_id: str) -> None:
    halves: dict[str, Any] = labels.halves(label)
    tx(_SET, tenant=tenant, path=path, folded=_folded(path), run_id=run_id, **halves)


def _alone(tx: Tx, tenant: str) -> None:
    """Whoever reads rows to write others does it alone."""
    tx.alone(f"file_labels:{tenant}")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", path).casefold()
