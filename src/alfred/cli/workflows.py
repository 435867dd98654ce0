"""Workflows that a person has written: which there are, what each may do, and the yes to exactly that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from alfred import app, clock, errors
from alfred.cli import terminal, work
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import crons, revisions
from alfred.runs.crons import Trigger
from alfred.runs.revisions import Revision
from alfred.trust import display

if TYPE_CHECKING:
    from alfred.workflows.contracts import Contract, Resolved


State = Literal["active", "changed", "gone", "inactive", "wrong"]

_SAID = {
    "active": "This is its contract:",
    "inactive": "Activated, it would be allowed this:",
    "changed": "Nothing starts it until it is activated again; then it would be allowed this:",
    "gone": "Nothing starts it while there is no file; it was allowed this:",
    "wrong": "",
}
_NONE = "No workflows. One is a Markdown file in `workflows/` of the home."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a workflow stands.

    Attributes:
        contract: What it may do when it is active, or while it has no file; what it would be allowed else.
        job: What starts it on its schedule.
    """

    slug: str
    state: State
    found: Resolved | None
    held: Revision | None
    contract: Contract
    job: Trigger | None

    @property
    def paused(self) -> str | None:
        """Why the schedule of an active one starts nothing; None: it does, or there is none."""
        if self.job is None or self.state != "active" or self.contract.schedule is None:
            return None
        if self.job.enabled and self.job.problem is None:
            return None
        return display.display(self.job.problem or "its time is past")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        starts = self.job is not None and self.state == "active" and self.paused is None
        return {
            "slug": self.slug,
            "state": self.state,
            "revision": self.held.revision if self.held else None,
            "agent": None if self.state == "wrong" else self.contract.agent,
            "brief": self.contract.brief,
            "schedule": self.contract.schedule,
            "next_fire_at": clock.rfc3339(self.job.next_fire_at) if self.job and starts else None,
            "paused": self.paused,
            "activated_at": clock.rfc3339(self.held.activated_at) if self.held else None,
            "activated_by": self.held.activated_by if self.held else None,
        }


def workflows_list(*, common: Common = DEFAULT) -> int:
    """Every workflow, and how it stands.

    active: it may run, as its file means it; changed: its file means something else than what was allowed; gone: it has
    no file; inactive: nobody has allowed it; wrong: `check` says why.
    """
    from alfred.workflows import authored

    with common.open() as base:
        with base.store.read() as look:
            held = [row.slug for row in revisions.of_tenant(look, base.desk.tenant)]
        there = [_standing(base, slug) for slug in sorted({*authored.slugs(base.home), *held})]
    if common.json:
        terminal.document({"workflows": [one.document() for one in there]})
        return 0
    if not there:
        terminal.out(_NONE)
        return 0
    terminal.table(
        ("workflow", "is", "agent", "next start", "brief"),
        [
            (
                terminal.shown(one.slug),
                one.state,
                "-" if one.state == "wrong" else terminal.shown(one.contract.agent),
                one.document()["next_fire_at"] or ("paused" if one.paused else "-"),
                terminal.beginning(one.contract.brief, 60),
            )
            for one in there
        ],
    )
    return 0


def workflows_show(workflow: str, /, *, common: Common = DEFAULT) -> int:
    """One workflow: how it stands, and its contract: what it may do when it is active, what it would be allowed else.

    Args:
        workflow: Its name.
    """
    from alfred.workflows import wording

    with common.open() as base:
        one = _standing(base, workflow)
        if one.found is not None:
            one.found.written(base.home)
        told = wording.told(one.contract, base.settings)
    if common.json:
        text = one.found.draft.text if one.found else one.held.text if one.held else ""
        shown = asdict(one.contract) | {"destinations": list(one.contract.destinations)}
        terminal.document(one.document() | {"contract": shown, "text": text})
        return 0
    terminal.out(terminal.shown(f"{workflow} is {one.state}. {_SAID[one.state]}", 400))
    if one.paused:
        terminal.out(terminal.shown(f"Its schedule is paused: {one.paused}", 400))
    terminal.out()
    terminal.out(told)
    return 0


def workflows_check(workflow: str | None = None, /, *, common: Common = DEFAULT) -> int:
    """Say what is wrong with workflows, each with its line, or probably not meant.

    Args:
        workflow: Its name; else all.
    """
    from alfred.workflows import authored

    with common.open() as base:
        names = [workflow] if workflow is not None else authored.slugs(base.home)
        found = {name: app.resolved(base, name) for name in names}
    wrong = any(one.findings for one in found.values())
    if common.json:
        told = [
            {
                "slug": name,
                "revision": None if one.findings else one.contract.revision,
                "problems": [str(problem) for problem in one.findings],
                "notes": list(one.notes),
            }
            for name, one in found.items()
        ]
        terminal.document({"workflows": told})
        return 2 if wrong else 0
    for name, one in found.items():
        for problem in one.findings:
            terminal.out(terminal.shown(str(problem), 600))
        if not one.findings:
            terminal.out(f"{terminal.shown(name)}: right, revision {one.contract.revision[:8]}")
            for note in one.notes:
                terminal.out(f"  {terminal.shown(note, 400)}")
    if not found:
        terminal.out(_NONE)
    return 2 if wrong else 0


def activate(
    workflow: str,
    /,
    *,
    detach: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Show what a workflow may do, and let it: the card is the contract, and a yes is to exactly that.

    Args:
        workflow: Its name.
        detach: Ask, and return.
    """
    with common.open() as base:
        # what is wrong is said before anything else
        app.resolved(base, workflow).written(base.home)

        def begin(whole: app.Whole) -> str:
            found = app.resolved(base, workflow, whole.tools)
            for note in found.notes:
                terminal.say(terminal.shown(note, 400))
            return base.desk.activate(found.written(base.home))

        return work.stay(base, begin, detach=detach, common=common)


def deactivate(workflow: str, /, *, common: Common = DEFAULT) -> int:
    """Let a workflow start no more, and switch its schedule off. What has begun goes on: `alfred runs cancel` ends it.

    Args:
        workflow: Its name.
    """
    with common.open() as base:
        base.desk.deactivate(workflow)
    if common.json:
        terminal.document({"slug": workflow, "state": "inactive"})
    else:
        terminal.out(f"{terminal.shown(workflow)} starts no more.")
    return 0


def _standing(base: app.Base, slug: str) -> Standing:
    """How one stands.

    Raises:
        NotFound: it has no file, and is not active.
    """
    from alfred.workflows.activation import seed_of
    from alfred.workflows.contracts import Contract

    with base.store.read() as look:
        held = revisions.active(look, base.desk.tenant, slug)
        job = crons.of_seed(look, base.desk.tenant, seed_of(slug))
    allowed = Contract.decode(held.contract) if held and held.contract else None
    found, state = None, "gone"
    try:
        found = app.resolved(base, slug)
    except errors.NotFound:
        if allowed is None:
            raise
    if found is not None:
        changed = held is not None and held.revision != found.contract.revision
        state = "inactive" if held is None else "changed" if changed else "active"
        state = "wrong" if found.findings else state
    kept = allowed if found is None or state == "active" else None
    contract = kept or (found.contract if found else None)
    assert contract is not None
    return Standing(slug=slug, state=state, found=found, held=held, contract=contract, job=job)  # type: ignore[arg-type]
