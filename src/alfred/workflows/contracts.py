"""What a person allows a user-written workflow: all that its file means in this installation, and nothing that is not shown.

Invariants: a contract names each tool by its id, chosen among those that its agent has, so it is never wider than the agent; what
its runs may call is what it names and the agent still has when they begin. It is whole in itself: a run needs nothing else of
the file, which may change. A run that is no dry one begins only while its file means what was allowed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from alfred import clock, config_text, errors
from alfred.actions import canonical, card, grant
from alfred.actions.declare import Action
from alfred.actions.grant import Grant
from alfred.agents.entries import UnknownAgent
from alfred.agents.registry import AgentRegistry
from alfred.agents.tools import ToolPolicy, matches
from alfred.config_text import Finding
from alfred.runs import revisions, schedule
from alfred.trust import display, redact, urls
from alfred.workflows import authored, wording
from alfred.workflows.authored import Autonomy, Definition, Draft

if TYPE_CHECKING:
    from alfred.config import Settings
    from alfred.runs.rows import NewRun
    from alfred.store.tx import Tx

LONGEST = card.PREVIEW - 400
"""Characters of a contract: with the words around it a card shows it whole."""


class NotActivated(errors.AlfredError):
    """Nobody has allowed the workflow as it is."""

    code: ClassVar[str] = "not_activated"
    exit_code: ClassVar[int] = 2
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What is allowed, or asked for.

    Attributes:
        revision: Of the file.
        tools: The id of each tool that it may call, and its risk.
        left_out: The tools that its file names and its agent has not, and by which rule.
        schedule: None: somebody starts it.
        timezone: What the schedule means.
    """

    workflow: str
    revision: str
    agent: str
    brief: str
    inputs: Mapping[str, str | None]
    tools: Mapping[str, str]
    left_out: Mapping[str, str]
    destinations: tuple[str, ...]
    autonomy: Autonomy
    schedule: str | None
    timezone: str

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return canonical.text_digest(self.encode())

    def encode(self) -> str:
        """As its row keeps it."""
        return canonical.canonical_json(asdict(self) | {"destinations": list(self.destinations)})

    @staticmethod
    def decode(text: str) -> Contract:
        """From its row."""
        said = json.loads(text)
        return Contract(**said | {"destinations": tuple(said["destinations"])})

    def tools_of(self, policy: ToolPolicy) -> list[str]:
        """What it may call of what its agent has by this policy."""
        return policy.apply(self.tools)

    def asked(self, inputs: Sequence[Path | str]) -> tuple[str, list[Path]]:
        """The brief of a run, and the files among its inputs: the others are `name=value`.

        Raises:
            UsageError: a value that there is no input for, or that is missing.
        """
        values: dict[str, str] = {}
        files: list[Path] = []
        for one in inputs:
            name, equals, value = str(one).partition("=")
            # `Path.exists` fails on what is too long for a name
            if not equals or (name not in self.inputs and os.path.exists(one)):  # noqa: PTH110
                files.append(Path(one))
            elif name in values:
                raise errors.UsageError(
                    f"The input {name} is given twice.", next="Leave one of them out."
                )
            else:
                values[name] = value
        return authored.filled(self.brief, self.inputs, values), files

    def bind(self, run: NewRun, policy: ToolPolicy) -> NewRun:
        """A run of its agent, bound by it.

        Args:
            policy: What the agent has now.
        """
        return replace(
            run,
            revision=f"{self.workflow}@{self.revision}",
            title=f"{self.workflow}: {(run.brief or '').splitlines()[0]}"[:80],
            grants=self.grant(policy).encode(),
        )

    def grant(self, policy: ToolPolicy) -> Grant:
        """The bounds of one run of it."""
        return Grant(
            actions=frozenset(self.tools_of(policy)),
            scratch="",
            contract=grant.Contract(
                workflow=self.workflow,
                destinations=frozenset(self.destinations),
                autonomous=self.autonomy == "autonomous",
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A workflow as somebody wrote it: its file, and what that comes to."""

    contract: Contract
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a file comes to here. `contract` is not to be used while there are findings.

    Attributes:
        notes: What is right and probably not meant.
    """

    draft: Draft
    contract: Contract
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def written(self, home: Path) -> Written:
        """The same, of one that is right.

        Raises:
            ConfigError: all that is wrong with it.
        """
        if self.findings:
            raise authored.wrong(home, self.draft.definition.slug, self.findings)
        return Written(contract=self.contract, text=self.draft.text)


def resolve(draft: Draft, settings: Settings, actions: Iterable[Action]) -> Resolved:
    """What a file comes to in an installation, with all that is wrong with it.

    Args:
        actions: What there is for its agent (`agent_of`).
    """
    meant = draft.definition
    found = list(draft.findings)
    notes: list[str] = []

    def wrong(path: config_text.Where, message: str, got: str | None = None) -> None:
        place = draft.document.place(path)
        shown = None if got is None else config_text.shown(got)
        found.append(Finding(path, message, shown, place=place))

    agents = AgentRegistry.from_settings(settings)
    try:
        agent = agents.effective(meant.agent)
    except UnknownAgent:
        near = config_text.meant(meant.agent or "", agents.ids(), "")
        wrong(("agent",), f"nobody is called so{near}", meant.agent)
        agent = agents.effective(None)
    there = {action.id: action for action in actions}
    integrations = {action.integration for action in there.values()}
    for n, name in enumerate(meant.integrations or ()):
        if name not in integrations:
            near = config_text.meant(name, integrations, "")
            wrong(("integrations", n), f"is no integration{near}", name)
    for n, entry in enumerate(meant.tools or ()):
        fitting = [id for id in there if matches(entry, id)]
        if any(one.path == ("tools", n) for one in draft.findings):
            continue
        if not fitting and entry.startswith("mcp"):
            notes.append(
                f"tools: {entry} is no tool that is known; a server is asked when it is first used."
            )
        elif not fitting:
            wrong(("tools", n), f"is no tool{config_text.meant(entry, there, '')}", entry)
        elif not any(_is_of(meant, there[id]) for id in fitting):
            of = ", ".join(sorted({there[id].integration for id in fitting}))
            wrong(("tools", n), f"is of {of}, which `integrations` does not name", entry)
    named = [id for id, action in there.items() if _is_named(meant, action)]
    allowed = agent.policy.apply(named)
    left_out = {id: agent.policy.judge(id).rule for id in sorted(set(named) - set(allowed))}
    if left_out:
        notes.append(f"tools: {agent.id} may not call {', '.join(left_out)}, so that is left out.")
    if meant.tools is None and meant.integrations is None:
        notes.append("It names no tools and no integrations, so it can call nothing.")
    if "web.fetch" in allowed:
        remotes = "git.push" in allowed  # the address of one is as it stands
        notes += _pages(one for one in meant.destinations if not (remotes and "://" in one))
    if meant.schedule is not None and not draft.findings:
        try:
            after = schedule.parse(meant.schedule).next_after(clock.now(), settings.timezone)
            if after is None:
                notes.append(f"schedule: starts nothing any more: {meant.schedule} is over.")
        except errors.UsageError as problem:
            wrong(("schedule",), problem.errors[0].message, meant.schedule)
    contract = Contract(
        workflow=meant.slug,
        revision=meant.revision,
        agent=agent.id,
        brief=redact.redact(meant.brief),
        inputs=redact.redact_data(dict(meant.inputs)),
        tools={id: str(there[id].risk) for id in sorted(allowed)},
        left_out=left_out,
        destinations=tuple(sorted(meant.destinations)),
        autonomy=meant.autonomy,
        schedule=meant.schedule,
        timezone=settings.timezone,
    )
    # a card writes out again what is written out here
    size = 0 if found else len(display.display(wording.told(contract, settings), multiline=True))
    if size > LONGEST:
        wrong(
            (), f"is more than a card shows ({size:,} of {LONGEST:,} characters): shorten the brief"
        )
    return Resolved(
        draft=draft, contract=contract, findings=authored.in_order(found), notes=tuple(notes)
    )


def agent_of(definition: Definition, settings: Settings) -> str:
    """The id of the agent that a definition names; the default one where nobody is called so."""
    agents = AgentRegistry.from_settings(settings)
    return definition.agent if definition.agent in agents.ids() else agents.default.id


def holding(look: Tx, tenant: str, home: Path, slug: str) -> Written:
    """The contract that a run of a workflow begins with now.

    Raises:
        NotFound, ConfigError: there is no such file, or it is wrong.
        NotActivated: nobody has allowed it, or it means something else since.
    """
    draft = authored.read(home, slug)
    meant = draft.definition
    row = revisions.active(look, tenant, slug)
    if row is None or row.contract is None or row.revision != meant.revision:
        said = f"The workflow {slug} is not activated."
        if row is not None and row.contract is not None:
            said = f"The workflow {slug} has changed since it was activated (revision {row.revision[:8]})."
        seen = revisions.get(look, tenant, slug, meant.revision)
        asked = seen and seen.asked and revisions.asking(look, tenant, slug, seen.asked)
        raise NotActivated(said, next=_ASKED if asked else _way(slug))
    return Written(contract=Contract.decode(row.contract), text=draft.text)


def still_held(tx: Tx, run: NewRun) -> None:
    """Lets a run that a contract binds begin while its revision is the active one.

    Raises:
        NotActivated: it is not.
    """
    slug, _, revision = (run.revision or "").rpartition("@")
    row = revisions.active(tx, run.tenant, slug)
    if row is None or row.revision != revision:
        raise NotActivated(f"The workflow {slug} is not activated.", next=_way(slug))


_ASKED = "It is asked about: `alfred approvals` shows the card; behind a yes it takes a moment."


def _way(slug: str) -> str:
    return f"`alfred workflows activate {slug}` shows what it would be allowed."


def _pages(destinations: Iterable[str]) -> Iterator[str]:
    """What is said of destinations that read as pages and are none, for a page leads to its host as cards show that."""
    for one in destinations:
        with contextlib.suppress(urls.Refused):
            host = urls.host_of(one if "://" in one else f"https://{one}/")
            if host != one:
                yield f"destinations: no page leads to {config_text.shown(one)}; write {host}."


def _is_of(meant: Definition, action: Action) -> bool:
    return meant.integrations is None or action.integration in meant.integrations


def _is_named(meant: Definition, action: Action) -> bool:
    if meant.tools is None:
        return meant.integrations is not None and _is_of(meant, action)
    return _is_of(meant, action) and any(matches(entry, action.id) for entry in meant.tools)
