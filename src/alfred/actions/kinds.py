"""The words in which an action is declared: its risk, its effect, and what a probe may answer.

Invariant: risks are ordered, so that the risk of a call is a maximum and nothing can lower it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Risk(enum.IntEnum):
    """How much a call can cost. Its text is its name in lower case, as tables and JSON show it."""

    NONE = 0  #: reading, searching, looking
    LOW = 1  #: cleaning temporary files, caches and logs
    MEDIUM = 2  #: deleting or changing files and configuration; anything foreign
    HIGH = 3  #: cannot be taken back, costs money, opens access, or cannot be understood

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, text: str) -> Risk:
        """The risk that `text` names.

        Raises:
            ValueError: nothing is called so.
        """
        for risk in cls:
            if str(risk) == text:
                return risk
        raise ValueError(f"no risk {text!r}; there are {', '.join(map(str, cls))}")


class Effect(enum.StrEnum):
    """What is known about repeating a call whose outcome was lost."""

    PURE = "pure"  #: changes nothing outside: repeat it
    KEYED = "keyed"  #: the other side drops a repeat that carries the same key: repeat it with that
    CHECKABLE = "checkable"  #: a probe can tell whether it happened: look, then repeat or record
    BLIND = "blind"  #: neither: only a person can say


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call leads to: a person, a host, an account, a place that others can read."""

    text: str
    """As it stands in the arguments or on the card."""
    owners: bool = False
    """It is the owner's own: they configured it, or it is in their hands. Never because the arguments say so."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A probe's answer: the effect took place. `result` is what the call would have returned."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class NotHappened:
    """A probe's answer: the effect did not take place, and may be tried again."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A probe's answer: it cannot tell. A person is asked."""


Probe = Happened | NotHappened | Unknown
