"""Why a call executes, waits or is refused: one that was made, or one that nobody has made yet."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alfred import app, orders
from alfred.actions.explaining import Explained, Hypothesis, stored
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import views

EXAMPLE = '--args \'{"command": "ls"}\''

_WOULD = {"execute": "executes", "stage": "waits for a person", "refuse": "is refused"}


def explain(
    what: str,
    /,
    *,
    args: str = "{}",
    agent: str | None = None,
    folder: Annotated[Path | None, Parameter(name="--in")] = None,
    external: Annotated[bool, Parameter(negative="")] = False,
    private: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Say step by step how a call is decided. Nothing is carried out, and nothing is written.

    Args:
        what: An action, such as `shell.run`, for a call that nobody has made; or a card's id, for what was stored.
        args: The arguments of the call, as a JSON object.
        agent: Whose call it would be.
        folder: The folder that it would work in; else the current one inside a git work tree, else a fresh one.
        external: As if its run had read what strangers wrote.
        private: As if it had read something private.
    """
    with common.open() as base, tempfile.TemporaryDirectory(prefix="alfred-explain-") as scratch:
        if "." not in what:
            with base.store.read() as look:
                found = stored(look, views.resolve(look, "approvals", base.desk.tenant, what))
        else:
            trusted = base.settings.trust.workspaces
            place = orders.workspace("explain", folder, home=base.home, trusted=trusted)
            wanted = Hypothesis(
                action=what,
                args=terminal.json_object(args, EXAMPLE),
                tenant=base.desk.tenant,
                agent=base.desk.agent(agent).id,
                folder=Path(scratch if place["made"] and folder is None else place["root"]),
                made=place["made"],
                trusted=place["trusted"],
                external=external,
                private=private,
            )
            found = app.explained(base, wanted)
        if common.json:
            terminal.document(dataclasses.asdict(found))
        else:
            _say(found)
        return 0


def _say(found: Explained) -> None:
    what = json.dumps(found.args, ensure_ascii=False)
    terminal.out(f"{terminal.shown(found.action)} {terminal.shown(what, 300)}")
    risk = f" [{found.risk}]" if found.risk else ""
    terminal.out(f"{_WOULD.get(found.verdict, found.verdict)}{risk}: {found.reason}")
    for step in found.steps:
        terminal.out(f"  {terminal.shown(step, 300)}")
