"""The owner as a chat: what alfred says by itself, and nobody asked, goes to the targets of `channels.notify`.

Invariants: such a word is written to the outbox in the transaction of what it tells, and only where somebody is there to be
told; it is sent once, or nobody knows whether it arrived. Cards have a way of their own (`actions.notices`).

Two things are told. Once a day the end of the audit chain, where whoever can write the ledger cannot change it. And that
somebody who may not speak here does, who is not answered: at most one such word in ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alfred import clock, errors
from alfred.actions.notices import Tell
from alfred.channels.base import Address, NotSent
from alfred.channels.deliver import Deliverer
from alfred.runs import audit, outbox, seldom
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import display

CHAT = Address("notify", "owner", "owner")

BETWEEN = 10 * clock.MINUTE
"""From one word about strangers to the next."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The targets of a tenant as a channel."""

    way: Callable[[], Tell | None]
    """What sends a text there; None: its configuration names nobody any more."""
    platform: str = CHAT.platform
    identity: str = CHAT.identity
    deduplicates: bool = False

    def send(self, address: Address, text: str, *, key: str) -> str | None:
        """Tells the owner.

        Raises:
            NotSent: no target took it.
        """
        tell = self.way()
        if tell is None:
            raise NotSent("channels.notify names nobody", for_good=True)
        try:
            told = tell(text)
        except errors.CallFailed as problem:
            raise NotSent(problem.detail) from problem
        if not told.sent:
            raise NotSent("; ".join(told.failed) or "nobody took it")
        return None


def beat(
    store: Store, tenant: str, *, way: Callable[[], Tell | None], quiet: bool, id: str
) -> None:
    """Writes down what is to be told by now, and sends what is written down.

    Args:
        quiet: It is quiet hours: the chain can wait.
        id: Made for this beat alone.
    """
    if not quiet and way() is not None:
        with store.read() as look:
            due = audit.fresh(look, tenant) is not None
        if due:
            store.transact(_tell_chain, tenant, id=id)
    deliverer(store, tenant, way).beat()


def deliverer(store: Store, tenant: str, way: Callable[[], Tell | None]) -> Deliverer:
    """What sends a tenant's words."""
    return Deliverer(store, tenant, Owner(way))


def stranger(tx: Tx, tenant: str, *, channel: str, user: str, id: str) -> bool:
    """Says that somebody who may not speak on a channel does. A verb; whether it was said, because it was not lately."""
    if not seldom.take(tx, f"stranger:{tenant}", every_us=BETWEEN):
        return False
    who = display.display(user, limit=64)
    _say(
        tx,
        tenant,
        id,
        f"Somebody who is not on its list wrote to {channel}: {who}. It was not read and not answered. Others who do so within"
        " ten minutes are only in the log.",
    )
    return True


def _tell_chain(tx: Tx, tenant: str, *, id: str) -> None:
    kept = audit.keep(tx, tenant)
    if kept is not None:
        _say(
            tx,
            tenant,
            id,
            f"The end of the audit chain, to be kept where alfred cannot write:\n{kept}\n"
            f"`alfred audit verify --head {kept}` says whether what was sealed until now is still what it was.",
        )


def _say(tx: Tx, tenant: str, id: str, body: str) -> None:
    outbox.write(tx, id=id, tenant=tenant, channel=CHAT.channel, target=str(CHAT), body=body)
