"""What a run may do at all: a frozen set made when the run starts. It can be narrowed for a child, never widened."""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The bounds of one run.

    Attributes:
        actions: ids (or `family.*` patterns) of the actions that it may propose; an empty set means none.
        hosts: hosts that the owner named for it; they are not a limit but what counts as expected.
        scratch: the prefix of scratch paths that it may write; empty for all, None for none.
    """

    actions: frozenset[str]
    hosts: frozenset[str] = field(default_factory=frozenset)
    scratch: str | None = None

    def allows(self, action: str) -> bool:
        """Whether the run may propose the action."""
        return action in self.actions or any(
            fnmatch.fnmatchcase(action, pattern) for pattern in self.actions if "*" in pattern
        )

    def narrowed(self, actions: Iterable[str]) -> Grant:
        """This grant with at most these actions: what a child gets."""
        return Grant(
            actions=frozenset(a for a in actions if self.allows(a)),
            hosts=self.hosts,
            scratch=self.scratch,
        )

    def encode(self) -> str:
        """As the run's row keeps it."""
        return json.dumps(
            {"actions": sorted(self.actions), "hosts": sorted(self.hosts), "scratch": self.scratch}
        )

    @staticmethod
    def decode(text: str | None) -> Grant:
        """From the run's row; a missing or unreadable one grants nothing."""
        return _decoded(text)


# every call of a run asks for it again
@functools.lru_cache(maxsize=256)
def _decoded(text: str | None) -> Grant:
    try:
        data = json.loads(text or "{}")
        return Grant(
            actions=frozenset(data.get("actions", ())),
            hosts=frozenset(data.get("hosts", ())),
            scratch=data.get("scratch"),
        )
    except (ValueError, AttributeError, TypeError):
        return Grant(actions=frozenset())
