"""Whether a call of a user-written workflow stays within the contract that a person allowed.

Invariants: a call is outside unless it is known to be inside: it stays in the run's workspace, its own records and its
owner's cards, or every place where it leads is declared; a tool that does not say where it leads is inside only when it is
declared itself. With foreign text in the context what is outside is refused and not asked (`pipeline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alfred.actions import taint
from alfred.actions.declare import Action
from alfred.actions.grant import Contract
from alfred.actions.taint import Sink
from alfred.trust import display, redact

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

NEXT = (
    "Go on without it: what was read is from outside, and a person has allowed other places only."
)


def outside(
    contract: Contract, action: Action, args: Mapping[str, Any], ctx: ActionContext
) -> str | None:
    """Why a call is outside, as a sentence; None: it is inside. Never raises."""
    if action.id in contract.destinations:
        return None
    if taint.sink(action) in (Sink.LOOK, Sink.CONTAINED):
        return None
    where = taint.destinations(action, args, ctx)
    texts = [one.text for one in where or ()]
    beyond = [text for text in texts if text not in contract.destinations]
    if texts and not beyond:
        return None
    to = (
        display.display(redact.redact(", ".join(beyond)), limit=200)
        if beyond
        else "somewhere that it does not say"
    )
    return f"{action.id} leads to {to}, which the workflow {contract.workflow} does not declare."


def lifts(contract: Contract | None, outside: str | None) -> str | None:
    """By which contract a call asks no more below high risks; None: by none."""
    if contract is None or not contract.autonomous or outside is not None:
        return None
    return f"the workflow {contract.workflow} may do this by itself"


def asks(contract: Contract | None, action: Action, outside: str | None) -> bool:
    """Whether a call asks whatever else lets it through: where nobody is asked about what is declared, a person was told that
    they are about the rest, also of what risks nothing. What alfred itself remembers leads nowhere."""
    if contract is None or not contract.autonomous or outside is None:
        return False
    return taint.sink(action) is not Sink.ITSELF


def held(contract: Contract | None, *, external: bool) -> frozenset[str] | None:
    """Where an action may lead further than its call said, such as behind a redirect; None: wherever it does so for any run."""
    if contract is None or not (contract.autonomous or external):
        return None
    return contract.destinations
