"""`alfred doctor`: everything that alfred needs, looked at; `--fix` mends what it can without asking, `--smoke` tries
something harmless of each integration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alfred import app, checks, config, errors, home
from alfred.cli import terminal
from alfred.store import connect
from alfred.trust import modes

_MARK = {
    "ok": ("ok", "green"),
    "note": ("--", "grey"),
    "warning": ("!!", "yellow"),
    "error": ("XX", "red"),
}

_OF_THE_FILE = (
    "Look at the disk, and who may write there; where it is damaged, move `alfred.db*` away and put a backup in its place: "
    "`alfred db restore <file>`."
)


def doctor(
    *,
    fix: Annotated[bool, Parameter(negative="")] = False,
    smoke: Annotated[bool, Parameter(negative="")] = False,
    common: terminal.Common = terminal.DEFAULT,
) -> int:
    """Look at everything alfred needs, and say what to do about what is wrong.

    Args:
        fix: Mend modes of files, and make what is missing.
        smoke: Try something harmless of each integration, too. It leaves one run in the ledger.
    """
    folder = common.folder()
    trouble: list[checks.Finding] = [
        checks.Finding("environment", "warning", warning) for warning in config.mistyped(os.environ)
    ]
    settings, base = None, None
    try:
        if fix:
            home.ensure(folder)
            for one in (*modes.of_home(folder), *modes.of_named(os.environ)):
                if one.mend is not None:
                    one.path.chmod(one.mend)
        settings = app.settings_of(folder)
        base = app.base(folder=folder)
    except errors.ConfigError as problem:
        trouble += _of_the_configuration(problem)
    except (errors.StoreUnavailable, errors.SchemaMismatch) as problem:
        advice = _OF_THE_FILE if problem.next == connect.DOCTOR else problem.next
        trouble.append(checks.Finding("ledger", "error", problem.detail, advice))
    except errors.AlfredError as problem:
        trouble.append(checks.Finding("home", "error", problem.detail, problem.next))
    try:
        found = (
            [
                *trouble,
                *checks.look(folder, settings, base.store if base else None),
                *_not_set_up(folder, settings),
                *_servers(base),
            ]
            if folder.exists()
            else trouble
        )
        if smoke:
            found = [*found, *_smoke(base)]
        bad = any(f.level == "error" for f in found)
        if common.json:
            terminal.document(
                {
                    "ok": not bad,
                    "findings": [
                        {"name": f.name, "level": f.level, "text": f.text, "next": f.next}
                        for f in found
                    ],
                }
            )
            return int(bad)
        for finding in found:
            mark, tone = _MARK[finding.level]
            terminal.out(
                f"{terminal.colour(mark, tone)} {finding.name:<12} {terminal.shown(finding.text, 400)}"
            )
            if finding.next and finding.level != "ok":
                terminal.out(f"   {'':<12} -> {terminal.shown(finding.next, 1_000)}")
        return int(bad)
    finally:
        if base:
            base.close()


def _smoke(base: app.Base | None) -> list[checks.Finding]:
    """What was tried for real."""
    if base is None:
        return [checks.Finding("smoke", "note", "Nothing is tried: alfred cannot begin a run.")]
    from alfred.cli import smoke

    try:
        return smoke.findings(base)
    except errors.ConfigError as problem:
        return [
            checks.Finding("smoke", "note", f"Nothing is tried: {problem.detail}", problem.next)
        ]


def _not_set_up(folder: Path, settings: config.Settings | None) -> Iterator[checks.Finding]:
    """What agents could use, were it configured, or right."""
    from alfred.actions import availability

    if settings is None:
        return
    actions, skipped = app.actions_of(folder)
    for problem in skipped:
        yield checks.Finding(
            "actions",
            "warning",
            f"skipped {problem}",
            "Correct it: until then no agent has what it declares.",
        )
    from alfred.agents import doubts

    idle = doubts.of_rules(settings.policy.rules, actions.whole())
    for place, said in idle.items():
        yield checks.Finding(
            "policy",
            "warning",
            f"{settings.place('policy', 'rules', place)}: {said}",
            "Correct it: as it stands the rule changes nothing.",
        )
    for action in actions:
        if lacks := availability.missing(action, settings):
            yield checks.Finding(action.id, "note", lacks.detail, lacks.next)


def _servers(base: app.Base | None) -> Iterator[checks.Finding]:
    """Whether the MCP servers of each agent are there: each is started or asked once. Nothing is pinned."""
    if base is None:
        return
    try:
        probed = app.probed(base)
    except errors.ConfigError:  # a `.env` that cannot be used, which is told above
        return
    for place, said in probed.items():
        name = f"mcp {place}"
        if isinstance(said, str):
            yield checks.Finding(
                name,
                "warning",
                f"cannot be used: {said}.",
                "Its tools are missing until it can; everything else works.",
            )
            continue
        left = "".join(f"; left out {tool}: {why}" for tool, why in said.left_out.items())
        level = "warning" if left else "ok"
        yield checks.Finding(name, level, f"{terminal.count(said.tools, 'tool')}{left}")


def _of_the_configuration(problem: errors.ConfigError) -> list[checks.Finding]:
    """A line for each thing that is wrong; what to do about it stands once."""
    lines = problem.detail.splitlines()
    *rest, last = [line.strip() for line in (lines[1:] if len(problem.errors) > 1 else lines)]
    return [
        *(checks.Finding("config", "error", text) for text in rest),
        checks.Finding("config", "error", last, problem.next),
    ]
