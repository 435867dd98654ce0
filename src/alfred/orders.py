"""An order: what somebody wants done, and the run that it asks for.

Invariant: an order is read whole before anything is written: who does it, where, with what, for how much. What is
wrong with it is told with the value that was given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alfred import errors, ids
from alfred.actions.grant import Grant
from alfred.agents.comparison import REPLAY
from alfred.agents.folders import workspace
from alfred.agents.registry import AgentRegistry
from alfred.runs.rows import NewRun, Run
from alfred.trust import redact

if TYPE_CHECKING:
    from alfred.config import Settings
    from alfred.workflows.contracts import Contract

BRIEF_LIMIT = 64_000
"""Bytes of a brief."""

COST_LIMIT = 1_000_000
"""USD that a run may at most be allowed to cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants done, as they said it."""

    brief: str | None = None
    """None: a workflow says it."""
    agent: str | None = None
    contract: Contract | None = None
    """Of the user-written workflow that is to run."""
    model: str | None = None
    folder: Path | None = None
    inputs: Sequence[Path | str] = ()
    """Files; with a workflow also `name=value`."""
    max_cost_usd: float | None = None
    dry_run: bool = False


def read(
    order: Order,
    *,
    tenant: str,
    home: Path,
    settings: Settings,
    model: Callable[[], str],
    actions: Sequence[str],
) -> NewRun:
    """The run that an order asks for; nothing is written yet.

    Args:
        model: Resolves the model, `provider:model`; asked when everything else is right.
        actions: Ids of the actions that there are; the run may propose those that its agent has.

    Raises:
        UsageError: no brief, an empty or too long one, a folder or an input that cannot be used.
        UnknownAgent: nobody is called so.
    """
    contract = order.contract
    words, files = _asked(order)
    brief = said(words, "brief")
    who = contract.agent if contract else order.agent
    agent = AgentRegistry.from_settings(settings).effective(who)
    run_id = ids.new()
    inputs, max_cost = _inputs(files), _micro(order.max_cost_usd)
    folder = order.folder or agent.workspace
    place = workspace(run_id, folder, home=home, trusted=settings.trust.workspaces)
    new = NewRun(
        id=run_id,
        tenant=tenant,
        agent=agent.id,
        workflow="agent",
        step="boss-turn",
        brief=brief,
        title=brief.splitlines()[0][:80],
        model=model(),
        grants=Grant(actions=frozenset(agent.policy.apply(actions)), scratch="").encode(),
        workspace=json.dumps(place),
        inputs=json.dumps(inputs),
        session_id=run_id,
        dry_run=int(order.dry_run),
        max_cost=max_cost,
    )
    return contract.bind(new, agent.policy) if contract else new


def _asked(order: Order) -> tuple[str, list[Path]]:
    """The brief, and the files that go with it.

    Raises:
        UsageError: there is none, or there are two; a value that the workflow does not take, or has not got.
    """
    contract = order.contract
    if contract is None:
        if order.brief is None:
            raise errors.UsageError(
                "There is nothing to do.", next='Say it: alfred run "…", or name a --workflow.'
            )
        return order.brief, [Path(one) for one in order.inputs]
    what = {"brief": order.brief, "agent": order.agent}
    if given := [f"the {name} {value[:60]!r}" for name, value in what.items() if value is not None]:
        raise errors.UsageError(
            f"The workflow {contract.workflow} has its own, so {given[0]} cannot be given.",
            next="Leave it out, or change the file and activate it again.",
        )
    return contract.asked(order.inputs)


def replay(run: Run, *, model: str, max_cost_usd: float | None) -> NewRun:
    """The run that asks another model the turns of this one. See `agents.replay`.

    Raises:
        UsageError: this is no run of an agent, or its model has not answered yet.
    """
    ref = run.id[-6:].lower()
    if run.workflow != "agent" or not run.answers:
        raise errors.UsageError(
            f"Run {ref} has no turn of a model to replay.", next="`alfred runs list` shows others."
        )
    return NewRun(
        id=ids.new(),
        tenant=run.tenant,
        agent=run.agent,
        workflow=REPLAY,
        step="ask",
        brief=f"Replay of run {ref}: {run.brief or ''}",
        title=f"replay of {ref}: {run.title}"[:80],
        trigger_kind="replay",
        model=model,
        grants=Grant(actions=frozenset()).encode(),
        state=json.dumps({"of": run.id, "turn": 0}),
        max_cost=_micro(max_cost_usd),
    )


def said(text: str, what: str) -> str:
    """What a person says to a run, without the space around it and without secrets.

    They are taken out here, before a title is cut from it: half a secret is known to nobody.

    Args:
        what: What it is called when it is refused.

    Raises:
        UsageError: it is empty, or has more than `BRIEF_LIMIT` bytes.
    """
    said = text.strip()
    if not said:
        raise errors.UsageError(f"The {what} is empty.", next="Say what you mean in words.")
    size = len(said.encode("utf-8", "surrogatepass"))
    if size > BRIEF_LIMIT:
        raise errors.UsageError(
            f"The {what} has {size} bytes, more than {BRIEF_LIMIT}.",
            next="Give long material with --input FILE."
            if what == "brief"
            else "Put long material into a file in the folder of the work, and name it.",
        )
    return redact.redact(said)


def make_folder(new: NewRun) -> None:
    """Makes the folder of a run that has one of its own."""
    place = json.loads(new.workspace or "{}")
    if place.get("made"):
        Path(place["root"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def _inputs(paths: Sequence[Path]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        try:
            real = path.expanduser().resolve(strict=True)
            if real.is_file():  # opening a pipe would wait for somebody to write into it
                with real.open("rb"):
                    pass
        except (OSError, RuntimeError) as problem:
            reason = (
                problem.strerror
                if isinstance(problem, OSError) and problem.strerror
                else "it cannot be resolved"
            )
            raise errors.UsageError(
                f"The input {str(path)!r} cannot be read: {reason}.",
                next="Name a file that exists and can be read.",
            ) from None
        if not real.is_file():
            raise errors.UsageError(
                f"The input {str(path)!r} is no file.",
                next="Give files with --input, a folder with --in.",
            )
        name = path.name
        if name in found:
            raise errors.UsageError(f"Two inputs are called {name!r}.", next="Rename one of them.")
        found[name] = str(real)
    return found


def _micro(usd: float | None) -> int | None:
    """What a run may cost, in micro-USD.

    Raises:
        UsageError: nothing, or more than `COST_LIMIT`.
    """
    if usd is None:
        return None
    if not 0 < usd <= COST_LIMIT:
        raise errors.UsageError(
            f"--max-cost must be more than 0 and at most {COST_LIMIT}, not {usd}.",
            next="Give USD, for example 0.50.",
        )
    return int(usd * 1_000_000)
