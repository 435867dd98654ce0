"""Embedded delivery: who should look at the ledger, and when.

A wake is a hint: it may come twice, late or never. The claim loop looks at the ledger anyway, after every
poll interval; the sweep finds what was left queued. So nothing here has to be durable.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

POLL = 0.1
"""Seconds between two looks when nothing is heard: a commit of another process on SQLite rings no bell here."""


class Dispatcher:
    """A bell with a list of run ids. `notify` rings it; one claim loop waits for it."""

    def __init__(self, *, poll: float = POLL):
        self.poll = poll
        self._bell = threading.Condition()
        self._hints: OrderedDict[str, None] = OrderedDict()
        self._rung = False

    def notify(self, run_ids: Iterable[str] = ()) -> None:
        """Something may be ready, these runs first."""
        with self._bell:
            for run_id in run_ids:
                self._hints[run_id] = None
            self._rung = True
            self._bell.notify_all()

    def wait(self) -> bool:
        """Waits for the bell, at most one poll interval. Whether it rang."""
        with self._bell:
            if not self._rung:
                self._bell.wait(self.poll)
            rung, self._rung = self._rung, False
            return rung

    def hint(self) -> str | None:
        """The next run that somebody named, None when nobody did."""
        with self._bell:
            return self._hints.popitem(last=False)[0] if self._hints else None
