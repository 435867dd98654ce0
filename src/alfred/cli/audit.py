"""Who decided what: the chain is walked, here or from a file that was taken elsewhere, and written out.

Invariant: an exported chain is checked with nothing but its file, and a file that was cut short says so: its last line
is the head of every chain.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from alfred import errors
from alfred.cli import terminal
from alfred.cli.exported import made
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import audit
from alfred.runs.audit import Broken, Head, Kept, Sealed
from alfred.store import backup
from alfred.store.tx import Tx
from alfred.trust import display, redact

FORMAT = 1


def verify(
    file: Path | None = None, /, *, head: str | None = None, common: Common = DEFAULT
) -> int:
    """Walk the hash chain: does every row still say what it said when it was written?

    Args:
        file: A chain that `alfred audit export` wrote; the ledger's own when it is not given.
        head: A row as it was noted elsewhere, TENANT:N:HASH: only that shows that a whole chain was written anew. Once a day
            one is sent to `channels.notify`.
    """
    noted = _noted(head)
    kept_back = 0
    if file is not None:
        rows, kept_back, broken = _of_file(file, noted)
    else:
        with common.open() as base, backup.snapshot(base.store) as look:
            rows, broken = audit.verify(look, noted)
    if common.json:
        found = None if broken is None else dataclasses.asdict(broken)
        ok = broken is None
        terminal.document({"ok": ok, "rows": rows, "kept_back": kept_back, "broken": found})
    elif broken is None:
        unseen = f" What {kept_back} of them say is kept back." if kept_back else ""
        terminal.out(f"{terminal.count(rows, 'row')}, the chain holds.{unseen}")
    else:
        terminal.out(f"Row {broken.n} of {terminal.shown(broken.tenant)}: {broken.why}.")
    return int(broken is not None)


def export(*, out: Path | None = None, common: Common = DEFAULT) -> int:
    """Write the chain as JSON lines, which `alfred audit verify FILE` checks anywhere.

    Args:
        out: The file, made new; standard output when it is not given.
    """
    if out is None and common.json:
        raise errors.UsageError(
            "The chain is many lines, and --json prints one document.",
            next="Leave --json away: each line is JSON. Or name a file: --out FILE.",
        )
    with common.open() as base, backup.snapshot(base.store) as look:
        if out is None:
            _write(look, sys.stdout)
            return 0
        with made(out) as file:
            rows = _write(look, file)
    if common.json:
        terminal.document({"rows": rows, "file": str(out)})
    else:
        terminal.say(
            f"{out}: {terminal.count(rows, 'row')}. `alfred audit verify {out}` checks it."
        )
    return 0


def _write(look: Tx, file: TextIO) -> int:
    rows = 0
    file.write(json.dumps({"alfred_audit": FORMAT}) + "\n")
    ends = audit.heads(look)
    for head in ends:
        for row in audit.chain(look, head.tenant):
            line = dataclasses.asdict(row)
            if redact.redact(row.row or "") != row.row:
                # It was sealed when nobody knew that this is a secret. Its seal and its place still hold the chain.
                line["row"] = None
            file.write(display.as_json(line) + "\n")
            rows += 1
    file.write(json.dumps({"heads": [dataclasses.asdict(head) for head in ends]}) + "\n")
    return rows


def _noted(text: str | None) -> Kept | None:
    found = None if text is None else Kept.parse(text)
    if text is not None and found is None:
        raise errors.UsageError(
            f"{text[:100]!r} is no row of a chain.",
            next="Write --head TENANT:N:HASH, as it was sent: a name, a number and 64 hexadecimal digits.",
        )
    return found


def _of_file(path: Path, noted: Kept | None) -> tuple[int, int, Broken | None]:
    """How many rows of a file hold, of how many only the place in the chain can be checked, and the first that does not
    hold. Read again for each chain: its last line says where they end.

    Raises:
        UsageError: it cannot be read, or is no exported chain, or its end is missing.
    """
    try:
        [last] = collections.deque(_lines(path), maxlen=1)
        if "heads" not in last:
            raise errors.UsageError(
                f"{str(path)!r} was cut short: its last line does not say where the chains end.",
                next="Export it again: `alfred audit export --out FILE`.",
            )
        rows = kept_back = 0
        ends = [Head(head["tenant"], head["n"], head["hash"]) for head in last["heads"]]
        nameless = set[str]()
        for row in _sealed(path):
            kept_back += row.row is None
            nameless.add(row.tenant)
        nameless -= {head.tenant for head in ends}
        every = [*ends, *(Head(tenant, None, None) for tenant in sorted(nameless))]
        for head in audit.within(every, noted):
            own = (row for row in _sealed(path) if row.tenant == head.tenant)
            found, broken = audit.follow(head, own, noted)
            rows += found
            if broken:
                return rows, kept_back, broken
        return rows, kept_back, None
    except OSError as problem:
        raise errors.UsageError(
            f"{str(path)!r} cannot be read: {problem.strerror}.", next="Name an exported chain."
        ) from None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise errors.UsageError(
            f"{str(path)!r} is no exported chain.",
            next="`alfred audit export --out FILE` writes one.",
        ) from None


def _sealed(path: Path) -> Iterator[Sealed]:
    return (Sealed(**line) for line in _lines(path) if "heads" not in line)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        if json.loads(file.readline(100)) != {"alfred_audit": FORMAT}:
            raise ValueError("the first line is another one")
        for line in file:
            yield json.loads(line)
