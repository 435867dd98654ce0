"""What alfred asks before a user-written workflow may run: one high call, whose card is the contract.

Invariants: a yes activates exactly the contract that was shown, and only while the file still means it and its agent still has
each of its tools; whatever changed is asked about anew. With the yes, in the same transaction, its schedule becomes a job, or
the job that it had is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alfred import errors, ids
from alfred.actions import Destination, Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.agents.registry import AgentRegistry
from alfred.runs import crons, ledger, revisions, schedule
from alfred.runs.crons import NewTrigger
from alfred.store.tx import Tx
from alfred.workflows import ask, authored, wording
from alfred.workflows.contracts import Contract

ACTIVATE = "workflows.activate"


def begin(tx: Tx, tenant: str, contract: Contract, text: str, new_id: str) -> str:
    """Starts the run that asks a person about a contract; the one that asks already is as good. Its id.

    Raises:
        UsageError: its schedule starts nothing any more, so that a yes could not be carried out.
    """
    if contract.schedule is not None:
        schedule.first(
            schedule.parse(contract.schedule), tx(crons.NOW).scalar_one(), contract.timezone
        )
    asked = contract.digest
    here = (tenant, contract.workflow, contract.revision)
    revisions.keep(tx, *here, text)
    revisions.ask(tx, *here, asked=asked, contract=contract.encode())
    if (there := revisions.asking(tx, tenant, contract.workflow, asked)) is not None:
        return there
    run = ask.run(
        new_id,
        tenant=tenant,
        agent=contract.agent,
        title=f"Activate the workflow {contract.workflow}",
        action=ACTIVATE,
        args={"name": contract.workflow, "revision": contract.revision, "contract": asked},
        key=revisions.key(contract.workflow, asked),
    )
    ledger.start(tx, run)
    return new_id


def deactivate(tx: Tx, tenant: str, slug: str, *, by: str) -> bool:
    """No run of it begins any more, and its job is switched off. False: it was not active."""
    if not revisions.deactivate(tx, tenant, slug, by=by):
        return False
    _switch_off(tx, tenant, slug)
    return True


def seed_of(slug: str) -> str:
    """What the job of a workflow came from."""
    return f"workflow:{slug}"


def _asked(args: Mapping[str, Any], ctx: ActionContext) -> Contract:
    """The contract of a call, while it is the one that is asked about, and what it says is still so."""
    slug = args["name"]
    with ctx.store.read() as look:
        row = revisions.get(look, ctx.tenant, slug, args["revision"])
    if row is None or row.asked != args["contract"] or row.asked_contract is None:
        raise _other(slug, f"Something else is asked about the workflow {slug} by now.")
    contract = Contract.decode(row.asked_contract)
    try:
        meant = authored.read(ctx.home, slug).definition
        agent = AgentRegistry.from_settings(ctx.settings).effective(contract.agent)
    except errors.AlfredError as problem:
        raise _other(slug, f"The workflow {slug} cannot be used: {problem.detail}") from None
    if meant.revision != contract.revision:
        raise _other(slug, f"The file of the workflow {slug} means something else by now.")
    if contract.tools_of(agent.policy) != list(contract.tools):
        raise _other(slug, f"{agent.id} has not all the tools of the workflow {slug} any more.")
    return contract


def _other(slug: str, said: str) -> errors.CallFailed:
    return errors.CallFailed(
        said, next=f"`alfred workflows activate {slug}` asks about it as it is."
    )


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    return {"contract": _asked(args, ctx).digest}


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    contract = _asked(args, ctx)
    head = f"A yes lets the workflow {contract.workflow} run, within this contract and no further:"
    return f"{head}\n\n{wording.told(contract, ctx.settings)}"


def _destinations(args: dict[str, Any], ctx: ActionContext) -> list[Destination]:
    """The workflow, which its owner wrote into the home."""
    return [Destination(args["name"], owners=True)]


def _check(*, key: str, ctx: ActionContext, **args: Any) -> Happened | NotHappened | Unknown:
    """Whether the yes to this call has activated it: the same contract may have been active before, with its job paused."""
    with ctx.store.read() as look:
        row = revisions.get(look, ctx.tenant, args["name"], args["revision"])
    if row is None or not row.active or row.contract is None or row.activated_by != _by(ctx):
        return NotHappened()
    return Happened(_said(Contract.decode(row.contract)))


def _by(ctx: ActionContext) -> str:
    return f"run:{ctx.run_id}"


def _said(contract: Contract) -> str:
    return f"The workflow {contract.workflow} is active: {wording.when(contract)}."


@action(
    ACTIVATE,
    integration="workflows",
    risk=Risk.HIGH,
    effect=Effect.CHECKABLE,
    check=_check,
    target=_target,
    preview=_preview,
    destinations=_destinations,
)
def activate(name: str, revision: str, contract: str, *, ctx: ActionContext) -> str:
    """Let a user-written workflow run as its contract says.

    Args:
        name: The workflow.
        revision: SHA-256 of what its file means.
        contract: SHA-256 of the contract.
    """
    meant = _asked({"name": name, "revision": revision, "contract": contract}, ctx)
    new_id = ids.new()

    def write(tx: Tx) -> bool:
        about = {"asked": contract, "by": _by(ctx)}
        if not revisions.activate(tx, ctx.tenant, name, revision, **about):
            return False
        _switch_off(tx, ctx.tenant, name)
        if meant.schedule is not None:
            _switch_on(tx, ctx.tenant, meant, new_id)
        return True

    try:
        done = ctx.store.transact(write)
    except (errors.NameTaken, errors.UsageError) as problem:
        raise errors.CallFailed(problem.detail, next=problem.next) from None
    if not done:
        raise _other(name, f"Something else is asked about the workflow {name} by now.")
    return _said(meant)


def _switch_off(tx: Tx, tenant: str, slug: str) -> None:
    job = crons.of_seed(tx, tenant, seed_of(slug))
    if job is not None:
        crons.pause(tx, crons.locked(tx, job.id), None)


def _switch_on(tx: Tx, tenant: str, contract: Contract, new_id: str) -> None:
    """Its times count from now: what was missed while something else was allowed is nobody's wish."""
    said: dict[str, Any] = {
        "name": contract.workflow,
        "spec": contract.schedule,
        "tz": contract.timezone,
        "agent": contract.agent,
        "workflow": contract.workflow,
        "task": authored.filled(contract.brief, contract.inputs, {}),
    }
    job = crons.of_seed(tx, tenant, seed_of(contract.workflow))
    if job is not None:
        crons.update(tx, job.id, zone=contract.timezone, enabled=True, **said)
        return
    new = NewTrigger(id=new_id, tenant=tenant, seed=seed_of(contract.workflow), **said)
    crons.create(tx, new, zone=contract.timezone)


ACTIONS = (activate,)
