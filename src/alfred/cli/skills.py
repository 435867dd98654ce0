"""What agents can read up: the skills of one, from where, and what lies beside them and is none."""

from __future__ import annotations

from pathlib import Path

from alfred import app, errors, ids, orders
from alfred.actions.context import Workspace
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common, Folder
from alfred.memory import skills, written
from alfred.memory.skills import Found


def skills_list(
    *, agent: str | None = None, folder: Folder = None, common: Common = DEFAULT
) -> int:
    """The skills that a run of an agent would have here, and folders that are none, with the reason.

    Args:
        agent: Whose; else the default agent's.
        folder: Where it would work; else the agent's workspace, or the current folder inside a git work tree.
    """
    with common.open() as base:
        found = _found(base, agent, folder)
    if common.json:
        terminal.document(
            {
                "skills": [
                    {
                        "name": one.name,
                        "description": one.description,
                        "source": one.source,
                        "folder": str(one.folder),
                    }
                    for one in found.skills
                ],
                "passed_over": [
                    {"folder": str(one.folder), "why": one.why} for one in found.passed_over
                ],
            }
        )
        return 0
    if found.skills:
        terminal.table(
            ("skill", "from", "description"),
            [(one.name, one.source, terminal.beginning(one.description)) for one in found.skills],
        )
    else:
        terminal.out("No skills. One is a folder with a SKILL.md in `skills/` of the home.")
    for one in found.passed_over:
        terminal.out(
            f"not used: {terminal.shown(str(one.folder), 400)}: {terminal.shown(one.why, 400)}"
        )
    return 0


def skills_show(
    skill: str,
    /,
    *,
    agent: str | None = None,
    folder: Folder = None,
    common: Common = DEFAULT,
) -> int:
    """One skill, as its agent reads it.

    Args:
        skill: Its name.
        agent: Whose; else the default agent's.
        folder: Where it would work; else the agent's workspace, or the current folder inside a git work tree.
    """
    with common.open() as base:
        found = _found(base, agent, folder)
    one = next((one for one in found.skills if one.name == skill), None)
    if one is None:
        raise errors.NotFound(
            f"No skill is called {skill[:80]!r}.", next="`alfred skills list` shows them."
        )
    text, files = written.text_of(one.root, f"{one.inside}/{skills.FILE}"), skills.files(one)
    if common.json:
        terminal.document(
            {
                "name": one.name,
                "description": one.description,
                "source": one.source,
                "folder": str(one.folder),
                "text": text,
                "files": files,
            }
        )
        return 0
    terminal.out(f"{terminal.shown(str(one.folder), 400)} ({one.source})")
    for name in files:
        terminal.out(f"  {terminal.shown(name, 200)}")
    terminal.out()
    terminal.out(text.rstrip())
    return 0


def _found(base: app.Base, agent: str | None, folder: Path | None) -> Found:
    """What a run that began now would have."""
    who = base.desk.agent(agent)
    trusted = base.settings.trust.workspaces
    place = orders.workspace(ids.new(), folder or who.workspace, home=base.home, trusted=trusted)
    workspace = Workspace(Path(place["root"]), place["made"], place["trusted"])
    with base.store.read() as look:
        return skills.of_run(look, base.desk.tenant, base.home, who.id, workspace)
