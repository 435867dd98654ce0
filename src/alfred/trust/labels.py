"""Labels: how far data may be believed (integrity) and how far it may travel (confidentiality).

Invariant: joining only gets worse, and a label that cannot be read is the worst one there is. So
forgetting a label, or damaging it, can never make an action easier.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable
from dataclasses import dataclass


class Integrity(enum.IntEnum):
    """Whose word it is, best first: a larger number is worse."""

    OWNER = 0  # the owner said it in a channel that proved who speaks
    TRUSTED = 1  # config, code, files that the owner named as trusted
    DERIVED = 2  # made by the program or a model from things that were not external
    EXTERNAL = 3  # mail, issues, web pages, answers of foreign tools, cloned repositories


class Confidentiality(enum.IntEnum):
    """Who may read it, widest first: a larger number is worse to lose."""

    PUBLIC = 0
    INTERNAL = 1
    PRIVATE = 2
    SECRET = 3


@dataclass(frozen=True, slots=True)
class Label:
    """One pair of integrity and confidentiality."""

    integrity: Integrity
    confidentiality: Confidentiality

    @property
    def external(self) -> bool:
        """Whether somebody else wrote some of it."""
        return self.integrity >= Integrity.EXTERNAL

    @property
    def private(self) -> bool:
        """Whether some of it is not for everybody who works with it."""
        return self.confidentiality >= Confidentiality.PRIVATE

    def __str__(self) -> str:
        return encode(self)


OWNER = Label(Integrity.OWNER, Confidentiality.PRIVATE)
SAID = Label(Integrity.OWNER, Confidentiality.INTERNAL)
"""What the owner says to a run about its work: theirs, and meant to be used for it."""
TRUSTED = Label(Integrity.TRUSTED, Confidentiality.INTERNAL)
DERIVED = Label(Integrity.DERIVED, Confidentiality.INTERNAL)
EXTERNAL = Label(Integrity.EXTERNAL, Confidentiality.PUBLIC)
BEST = Label(Integrity.OWNER, Confidentiality.PUBLIC)
WORST = Label(Integrity.EXTERNAL, Confidentiality.SECRET)


def join(first: Label, second: Label) -> Label:
    """The worse of both, in each half: what data made from both of them must carry."""
    return Label(
        max(first.integrity, second.integrity),
        max(first.confidentiality, second.confidentiality),
    )


def join_all(labels: Iterable[Label]) -> Label:
    """The worst of all; of none at all, the best: nothing has tainted it."""
    return functools.reduce(join, labels, BEST)


# asked for all along a step
@functools.cache
def of_context(*, external: bool, private: bool) -> Label:
    """The label of a run's context, from the two flags that its row keeps."""
    return Label(
        Integrity.EXTERNAL if external else Integrity.DERIVED,
        Confidentiality.PRIVATE if private else Confidentiality.INTERNAL,
    )


def encode(label: Label) -> str:
    """A label as the text that is stored: `external/private`."""
    return f"{label.integrity.name.lower()}/{label.confidentiality.name.lower()}"


def halves(label: Label) -> dict[str, str]:
    """A label as the two columns of a row."""
    return {
        "integrity": label.integrity.name.lower(),
        "confidentiality": label.confidentiality.name.lower(),
    }


def of_row(integrity: str, confidentiality: str) -> Label:
    """The label of the two columns of a row."""
    return decode(f"{integrity}/{confidentiality}")


def decode(text: str | None) -> Label:
    """The label of a stored text; whatever is missing or not exactly readable is external/secret."""
    return _READABLE.get(text, WORST) if isinstance(text, str) else WORST


_READABLE = {encode(Label(i, c)): Label(i, c) for i in Integrity for c in Confidentiality}
