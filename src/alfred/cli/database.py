"""Commands for the ledger's database: upgrade, backup, restore, move, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alfred import app, config_edit, config_values, errors, home
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import delivery, overview
from alfred.runs.states import Status
from alfred.store import backup as backups
from alfred.store import connect, invariants, migrate
from alfred.store import restore as restoring


def upgrade(*, common: Common = DEFAULT) -> int:
    """Bring the schema to this program's version, after a backup."""
    with app.base(folder=common.folder(), upgrade=False) as base:
        before = migrate.upgrade(
            base.store, home.backups(base.home), extras=delivery.queue if base.store.pg else None
        )
        kept = f" What was before is in {terminal.shown(str(before), 400)}." if before else ""
        return _said(
            common,
            {"schema": migrate.HEAD, "backup": before and str(before)},
            f"The schema is at {migrate.HEAD}.{kept}",
        )


def backup(
    *,
    to: Annotated[Path | None, Parameter(converter=terminal.typed_path)] = None,
    common: Common = DEFAULT,
) -> int:
    """Write a backup.

    Args:
        to: The folder for it, instead of the home's backups.
    """
    with app.base(folder=common.folder(), upgrade=False) as base:
        made = backups.backup(base.store, to or home.backups(base.home))
        return _said(
            common,
            {"path": str(made), "bytes": made.stat().st_size},
            f"Written and checked: {terminal.shown(str(made), 400)}",
        )


def restore(
    path: Path,
    /,
    *,
    force: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Put a backup back. What ran when it was made is paused: the world has gone on since.

    Args:
        path: The backup.
        force: Replace what is in the database now.
    """
    with app.base(folder=common.folder(), upgrade=False) as base:
        restoring.restore(
            path,
            base.store,
            force=force,
            after=base.desk.after_restore,
            extras=delivery.queue if base.store.pg else None,
        )
        return _said(
            common,
            {"restored": str(path)},
            "Restored. Live runs are paused: `alfred runs resume` each, or --all.",
        )


def move(
    to: str,
    /,
    *,
    force: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Carry every row to another database.

    Args:
        to: `sqlite` or `postgresql://…`.
        force: Replace what is in that database now: what an earlier move left there, for one.
    """
    with app.base(folder=common.folder()) as base:
        if not config_values.is_database(to):  # it is written into config.yaml when all is done
            raise errors.UsageError(
                "What the ledger is to move to is no database.",
                next="Write `sqlite`, which is the home's own, or `postgresql://host/name`.",
            )
        url = app.database_url(to, base.home)
        if url == base.store.url:
            raise errors.UsageError(
                "The ledger is there already.", next="`alfred config show` says where: `database`."
            )
        target = connect.open_store(url)
        try:
            restoring.move(
                base.store, target, force=force, extras=delivery.queue if target.pg else None
            )
        finally:
            target.close()
        config_edit.edit(base.home, "database", to, check=app.check)
        place = base.settings.place("database") or ""
    if place.startswith("env:"):  # it wins over the file, and leads to what was left behind
        name = place.removeprefix("env:")
        return _said(
            common,
            {"database": "moved", "unset": name},
            f"Every row is there, and config.yaml points to it. Unset {name}, which still names where it was.",
        )
    with app.base(folder=common.folder()) as there:
        with there.store.read() as look:
            queued = overview.counts(look, there.desk.tenant)[Status.QUEUED]
        note = there.desk.ensure_worker() if queued else None
    done = _said(
        common, {"database": "moved"}, "Every row is there, and config.yaml points to it now."
    )
    if note:
        terminal.say(note)
    return done


def check(*, common: Common = DEFAULT) -> int:
    """Look for damage and broken invariants."""
    with app.base(folder=common.folder()) as base:
        found = invariants.check(base.store)
        if common.json:
            told = [{"check": f.check, "count": f.count, "rows": list(f.rows)} for f in found]
            terminal.document({"ok": not found, "findings": told})
        else:
            for finding in found:
                terminal.out(f"{finding.check}: {finding.count} rows, {', '.join(finding.rows)}")
            if not found:
                terminal.out("No damage, and every invariant holds.")
        return int(bool(found))


def _said(common: Common, value: object, text: str) -> int:
    if common.json:
        terminal.document(value)
    else:
        terminal.out(text)
    return 0
