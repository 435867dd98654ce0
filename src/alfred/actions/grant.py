"""What a run may do at all: a frozen set made when the run starts. It can be narrowed for a child, never widened."""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a person allowed a workflow beyond its tools, as one run of it keeps it.

    Attributes:
        workflow: Its slug.
        destinations: Where its calls may lead, as cards show it; the id of a tool: wherever that leads.
        autonomous: Whether what leads there asks no more, below high risks.
    """

    workflow: str
    destinations: frozenset[str] = frozenset()
    autonomous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The bounds of one run.

    Attributes:
        actions: ids (or `family.*` patterns) of the actions that it may propose; an empty set means none.
        hosts: hosts that the owner named for it; they are not a limit but what counts as expected.
        scratch: the prefix of scratch paths that it may write; empty for all, None for none.
        contract: of a run of a user-written workflow.
    """

    actions: frozenset[str]
    hosts: frozenset[str] = field(default_factory=frozenset)
    scratch: str | None = None
    contract: Contract | None = None

    def allows(self, action: str) -> bool:
        """Whether the run may propose the action."""
        return action in self.actions or any(
            fnmatch.fnmatchcase(action, pattern) for pattern in self.actions if "*" in pattern
        )

    def narrowed(self, actions: Iterable[str]) -> Grant:
        """This grant with at most these actions: what a child gets. What a contract lets through without asking is for
        what it says, so whoever is asked something else leads nowhere else, and asks."""
        return replace(
            self,
            actions=frozenset(a for a in actions if self.allows(a)),
            contract=self.contract and replace(self.contract, autonomous=False),
        )

    def encode(self) -> str:
        """As the run's row keeps it."""
        said: dict[str, Any] = {
            "actions": sorted(self.actions),
            "hosts": sorted(self.hosts),
            "scratch": self.scratch,
        }
        if self.contract is not None:
            said["contract"] = asdict(self.contract) | {
                "destinations": sorted(self.contract.destinations)
            }
        return json.dumps(said)

    @staticmethod
    def decode(text: str | None) -> Grant:
        """From the run's row; a missing or unreadable one grants nothing."""
        return _decoded(text)


# every call of a run asks for it again
@functools.lru_cache(maxsize=256)
def _decoded(text: str | None) -> Grant:
    try:
        data = json.loads(text or "{}")
        bound = data.get("contract")
        return Grant(
            actions=frozenset(data.get("actions", ())),
            hosts=frozenset(data.get("hosts", ())),
            scratch=data.get("scratch"),
            contract=None
            if bound is None
            else Contract(
                workflow=bound["workflow"],
                destinations=frozenset(bound["destinations"]),
                autonomous=bound["autonomous"] is True,
            ),
        )
    except (ValueError, AttributeError, TypeError, KeyError):
        return Grant(actions=frozenset())
