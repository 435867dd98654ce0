"""Carrying what is written in the outbox to where people read it: one deliverer a channel, so that none waits for another.

Invariants: a message is claimed before it is sent and settled behind it, by its holder alone; who was held up for so long that
somebody else may have taken it sends nothing. What did not arrive for certain is tried again, later each time, and after a day
given up; of what nobody knows `runs.outbox` says what becomes of it.

This goes past the gate: what an agent says of itself has passed it as a call of `channels.send`, and the answer to who spoke
to it goes back to where that was said.
"""

from __future__ import annotations

import threading
from functools import partial

import structlog

from alfred import clock, errors, ids
from alfred.channels.base import PATIENCE, TRIES, Address, Channel, NotSent, name
from alfred.runs import outbox
from alfred.runs.outbox import Message
from alfred.store.connect import Store
from alfred.trust import display, redact

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two looks."""

LATER = 5 * clock.MINUTE
"""The longest pause between two tries, unless the channel asks for a longer one."""

SOON = 30 * clock.SECOND
"""A process that would end stays for what is due so soon."""


class Deliverer:
    """Sends what is to be said on one channel of one tenant. `start`, `stop`; tests call `beat`."""

    def __init__(self, store: Store, tenant: str, channel: Channel):
        self._store = store
        self._tenant = tenant
        self._channel = channel
        self._name = name(channel.platform, channel.identity)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look, in a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._loop, name=f"alfred-send-{self._name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Sends nothing more. What is being sent has a few seconds to arrive; after that nobody knows."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)

    def beat(self) -> int:
        """Sends everything that is due; how many messages were tried."""
        tried = 0
        # sent again where a repeat is dropped, but for what ends whoever sends it
        last = {"age_us": PATIENCE, "tries": TRIES} if self._channel.deduplicates else {}
        with self._store.read() as look:
            lapsed = outbox.lapsed(look, self._tenant, self._name, **last)
        if lapsed:
            self._store.transact(outbox.lapse, self._tenant, self._name, **last)
        while not self._stopping.is_set() and self._one():
            tried += 1
        return tried

    def coming(self) -> bool:
        """Whether something is to be sent soon, so that a process which would end should stay."""
        with self._store.read() as look:
            return outbox.coming(look, self._tenant, [self._name], within_us=SOON)

    def _loop(self) -> None:
        while not self._stopping.wait(EVERY):
            try:
                self.beat()
            except errors.StoreUnavailable as problem:
                log.warning("deliver.store_away", detail=problem.detail)
            except BaseException:
                # a channel may want to end, or be cancelled: those behind it have messages too
                log.exception("deliver.failed", channel=self._name)

    def _one(self) -> bool:
        """Claims a message, sends it, settles it. Whether there was one."""
        again, holder, began = self._channel.deduplicates, ids.new(), clock.monotonic()
        with self._store.read() as look:
            n = outbox.due(look, self._tenant, self._name, again=again)
        if n is None:
            return False
        message = self._store.transact(outbox.claim, self._tenant, n, holder=holder, again=again)
        if message is None:
            return False
        if clock.monotonic() - began > outbox.SENDING // 2:
            log.warning("deliver.late", message=message.id)
            return False  # its claim lapses
        self._send(message, holder)
        return True

    def _send(self, message: Message, holder: str) -> None:
        # what came of it is known here alone: a database that is away is waited for
        settle = partial(self._store.record, holder=holder)
        try:
            address = Address.parse(message.target)
        except errors.UsageError as problem:
            settle(outbox.give_up, message, why=_shown(problem.detail))
            return
        try:
            ref = self._channel.send(address, display.inert(message.body), key=message.id)
        except NotSent as problem:
            why = _shown(str(problem.detail))
            if problem.for_good or _long_enough(message):
                settle(outbox.give_up, message, why=why)
            else:
                pause = max(_pause(message.attempts), problem.after_us or 0)
                settle(outbox.later, message, why=why, after_us=int(min(pause, PATIENCE)))
        except Exception as problem:
            log.warning("deliver.unknown", message=message.id, exc_info=True)
            if self._channel.deduplicates and not _long_enough(message):
                why = f"{outbox.UNKNOWN}: {type(problem).__name__}"
                settle(outbox.later, message, why=why, after_us=_pause(message.attempts))
            else:
                settle(outbox.give_up, message, why=outbox.UNKNOWN)
        else:
            settle(outbox.sent, message, ref=None if ref is None else str(ref))


def _long_enough(message: Message) -> bool:
    return message.age > PATIENCE and message.attempts >= TRIES


def _pause(attempts: int) -> int:
    """1 s after the first try, twice as long after each, at most five minutes."""
    return min(clock.SECOND << min(attempts - 1, 20), LATER)


def _shown(detail: str) -> str:
    return display.display(redact.redact(detail), limit=200)
