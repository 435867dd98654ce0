"""Skills: procedures in folders, of the form that agentskills.io describes, read when they are needed.

    <folder>/SKILL.md     front matter with `name` (that of the folder) and `description`, then the procedure
    <folder>/…            what it refers to

An agent has those of its own folder, of the home, and of a workspace that its owner trusts; of one name the first counts.
Its prompt tells their names and what they are for, within a budget; `skills.view` reads one.

Invariants: nothing is read through a link, or out of the folder that was listed; a skill says what to do and sets nothing:
of its front matter only name and description mean anything; what strangers wrote into is no skill; whatever is invisible
in one is written out. What is wrong with a skill is told to its owner, and takes no other away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from alfred import config_text, errors
from alfred import home as places
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import labels as file_labels
from alfred.config_text import Document
from alfred.memory import written
from alfred.trust import display, labels, paths, redact
from alfred.trust.labels import Confidentiality, Integrity, Label

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext, Workspace
    from alfred.store.tx import Tx

VIEW = "skills.view"
FILE = "SKILL.md"
PROJECT = (".agents/skills", ".claude/skills")
"""Where the skills of a project lie, in its workspace."""

LISTED = 6_000
"""Bytes of the prompt that names and descriptions may take."""

SHOWN = 24_000
"""Characters of a file that are shown at once."""

MOST = 300
"""Folders of one place that are looked at, and files of one skill that are named."""

LONGEST_NAME = 64
LONGEST_DESCRIPTION = 1024

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_OF_PROJECT = Label(Integrity.TRUSTED, Confidentiality.PRIVATE)

Source = Literal["agent", "home", "project"]
Foreign = Callable[[Path], bool]
"""Whether strangers' words were written into a file or folder."""


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill.

    Attributes:
        root: What is opened; `inside` leads from there to the skill's folder.
    """

    name: str
    description: str
    source: Source
    root: Path
    inside: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / self.inside

    @property
    def label(self) -> Label:
        """What its text is: the owner's, or that of the workspace that the owner trusts."""
        return _OF_PROJECT if self.source == "project" else labels.TRUSTED


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A folder that is no skill, or not the one of its name, and why."""

    folder: Path
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The skills of an agent, by name, and what was passed over."""

    skills: tuple[Skill, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def label(self) -> Label:
        """Of all their names and descriptions together."""
        return labels.join_all(skill.label for skill in self.skills)


def of(home: Path, agent: str, workspace: Workspace | None, *, foreign: Foreign) -> Found:
    """What an agent has, as it lies there now.

    Args:
        home: The tenant's.
        workspace: Where its run works; None: nowhere.
    """
    own = places.of_agent(home, agent) / "skills"
    roots: list[tuple[Source, Path, str]] = [("home", places.skills(home), ".")]
    if own != places.skills(home):
        roots.insert(0, ("agent", own, "."))
    if workspace is not None and not workspace.made:
        roots.extend(("project", workspace.root, place) for place in PROJECT)
    skills: dict[str, Skill] = {}
    passed: list[PassedOver] = []
    for source, root, place in roots:
        for one in _in(source, root, place, closed=_closed(source, workspace)):
            if isinstance(one, Skill) and source == "project" and foreign(one.folder):
                why = f"strangers' words were written into it: `alfred endorse {one.folder}`"
                one = PassedOver(one.folder, why)
            if isinstance(one, PassedOver):
                passed.append(one)
            elif one.name in skills:
                why = f"another one is called so, and comes first: {skills[one.name].folder}"
                passed.append(PassedOver(one.folder, why))
            else:
                skills[one.name] = one
    return Found(tuple(skills[name] for name in sorted(skills)), tuple(passed))


def of_run(look: Tx, tenant: str, home: Path, agent: str, workspace: Workspace) -> Found:
    """What the agent of a run has, by the marks that the ledger keeps of files."""

    def foreign(path: Path) -> bool:
        return bool(file_labels.external(look, tenant, file_labels.place(path)))

    return of(home, agent, workspace, foreign=foreign)


def listing(skills: Sequence[Skill]) -> str | None:
    """Names and descriptions for a prompt, in at most `LISTED` bytes; None: there are none.

    Where they do not fit, all descriptions are cut alike, and then names are left out, and counted.
    """
    if not skills:
        return None
    head = "Skills: procedures that your owner keeps for you. When one fits, read it with skills.view before you begin."
    for room in (LONGEST_DESCRIPTION, 400, 160, 60, 0):
        lines = [_line(skill, room) for skill in skills]
        if len("\n".join([head, *lines]).encode()) <= LISTED:
            return "\n".join([head, *lines])
    kept: list[str] = []
    size = len(head.encode()) + 60  # and the note about the rest
    for line in lines:
        size += len(line.encode()) + 1
        if size > LISTED:
            break
        kept.append(line)
    return "\n".join([head, *kept, f"- and {len(lines) - len(kept)} more, by their names"])


def _line(skill: Skill, room: int) -> str:
    said = redact.redact(skill.description)  # before it is cut: half a secret is known to nobody
    if len(said) > room:
        said = f"{said[:room].rstrip()}…" if room else ""
    return f"- {skill.name}: {said}" if said else f"- {skill.name}"


# ---- reading


def _front(made: Document) -> tuple[str, str] | str:
    """The name and the description that front matter gives, or why it gives none."""
    if made.findings:
        return str(made.findings[0])
    called, description = made.tree.get("name"), made.tree.get("description")
    if not isinstance(called, str) or not _NAME.fullmatch(called) or len(called) > LONGEST_NAME:
        return f"its name must be 1 to {LONGEST_NAME} of a-z, 0-9 and single `-` between them"
    said = " ".join(display.inert(description).split()) if isinstance(description, str) else ""
    if not 0 < len(said) <= LONGEST_DESCRIPTION:
        return f"its description must have 1 to {LONGEST_DESCRIPTION} characters"
    return called, said


def _closed(source: Source, workspace: Workspace | None) -> str | None:
    """Why nothing is read of the skills of a place: those of a project are for whose owner trusts it."""
    if source != "project" or (workspace is not None and workspace.trusted):
        return None
    return f"{workspace.root if workspace else ''} is not trusted: `trust.workspaces`".strip()


def _in(
    source: Source, root: Path, place: str, *, closed: str | None
) -> Iterator[Skill | PassedOver]:
    """The skills of one place. `closed`: why none of them is read."""
    try:
        entries = paths.listing(root, place)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, errors.PathRefused) as problem:
        yield PassedOver(root / place, written.said(problem))
        return
    looked_at = [one for one in entries if one.kind in ("folder", "link")]
    looked_at = [one for one in looked_at if not one.path.rpartition("/")[2].startswith(".")]
    for entry in looked_at[:MOST]:
        if entry.kind == "link":
            yield PassedOver(root / entry.path, "it is a link")
        elif closed is not None:
            yield PassedOver(root / entry.path, closed)
        else:
            yield _read(source, root, entry.path)
    if looked_at[MOST:]:
        yield PassedOver(root / place, f"only {MOST} folders are looked at here")


def _read(source: Source, root: Path, inside: str) -> Skill | PassedOver:
    folder, name = root / inside, inside.rpartition("/")[2]
    try:
        text = written.text_of(root, f"{inside}/{FILE}")
    except (OSError, errors.AlfredError) as problem:
        return PassedOver(folder, f"{FILE}: {written.said(problem)}")
    found = written.parts(text, FILE)
    if found is None:
        return PassedOver(folder, f"{FILE} {written.NO_FRONT}")
    told = _front(found.front)
    if isinstance(told, str):
        return PassedOver(folder, told)
    called, said = told
    if called != name:
        return PassedOver(folder, f"its name is {called}, and its folder is not called so")
    return Skill(called, said, source, root, inside)


def files(skill: Skill) -> list[str]:
    """What lies in the folder of a skill besides SKILL.md, by paths from there; links are left out."""
    found: list[str] = []
    start = len(skill.inside) + 1 if skill.inside != "." else 0
    for entry in paths.walk(skill.root, skill.inside):
        if entry.kind == "file" and entry.path[start:] != FILE:
            found.append(entry.path[start:])
            if len(found) == MOST:
                break
    return sorted(found)


# ---- the action


def _label(args: dict[str, Any], ctx: ActionContext) -> Label:
    """That of the skill; of none, what a refusal is."""
    found = next((one for one in _of(ctx).skills if one.name == args["name"]), None)
    return found.label if found else labels.DERIVED


@action(VIEW, integration="skills", risk=Risk.NONE, effect=Effect.PURE, label=_label)
def view(
    name: str,
    path: str | None = None,
    offset: Annotated[int, Field(ge=0)] = 0,
    *,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Read a skill: the procedure that your owner keeps for this kind of work, or a file that belongs to it.

    Of a long one the answer has `next_offset`: give it as `offset` to read on.

    Args:
        name: The name of the skill.
        path: A file of it, as the skill names it; else its SKILL.md.
        offset: The character to start at.
    """
    path = path or None
    there = _of(ctx).skills
    skill = next((one for one in there if one.name == name), None)
    if skill is None:
        otherwise = "Use one that your instructions name."
        raise errors.CallFailed(
            f"There is no skill {config_text.shown(name)}.",
            next=config_text.advice(name, [one.name for one in there], otherwise),
        )
    shown = config_text.shown(path or FILE)
    try:
        text = written.text_of(skill.root, f"{skill.inside}/{path or FILE}")
    except errors.CallFailed as problem:
        raise errors.CallFailed(f"{shown} of {name} cannot be read: {problem.detail}.") from None
    except OSError as problem:
        raise errors.CallFailed(
            f"{shown} of {name} cannot be read: {written.said(problem)}.",
            next=f"skills.view {name} without a path names its files.",
        ) from None
    if path is None:
        found = written.parts(text, FILE)
        text = found.body if found else text
    text = redact.redact(text)  # before a piece of it is taken, which its reader chooses
    told: dict[str, Any] = {"name": name, "text": text[offset : offset + SHOWN]}
    if len(text) > offset + SHOWN:
        told["next_offset"] = offset + SHOWN
    return told | ({"files": files(skill)} if path is None else {"path": path})


def _of(ctx: ActionContext) -> Found:
    with ctx.store.read() as look:
        return of_run(look, ctx.tenant, ctx.home, ctx.agent, ctx.workspace)


ACTIONS = (view,)
