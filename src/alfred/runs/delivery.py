"""How the wakes of a commit reach whoever claims runs. Nothing rests on it: what is not delivered is found by looking."""

from __future__ import annotations

from typing import Any

from alfred.runs.dispatcher import Dispatcher
from alfred.store.connect import Store
from alfred.store.tx import Tx


class Delivery:
    """Wakes: a bell in this process on SQLite, Procrastinate on Postgres (imported when the first one is sent)."""

    def __init__(self, store: Store, dispatcher: Dispatcher):
        self._store = store
        self._dispatcher = dispatcher
        self._postgres: Any = None
        self._hears = False
        store.delivered = dispatcher.notify
        if store.pg:
            store.deliver = self._deliver

    def _deliver(self, tx: Tx, run_ids: list[str]) -> None:
        self._queue().deliver(tx, run_ids)

    def _queue(self) -> Any:
        if self._postgres is None:
            from alfred.runs.procrastinate import PostgresDelivery

            self._postgres = PostgresDelivery(self._store.url, self._dispatcher)
        return self._postgres

    def start(self) -> None:
        """From now on this process hears of what others commit; said again, it hears as before."""
        if self._store.pg and not self._hears:
            self._hears = True
            self._queue().start()

    def stop(self) -> None:
        """Closes what was opened."""
        if self._postgres is not None:
            self._postgres.stop()


def queue(tx: Tx) -> None:
    """Makes the tables of the queue in a Postgres, in the transaction that makes ours."""
    from alfred.runs.procrastinate import install

    install(tx)
