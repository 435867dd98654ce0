"""Delivery over Postgres: one job says "look at run X", to whichever worker hears it first.

The only module that knows Procrastinate. Invariants: a job is deferred inside the transaction that makes it
true, in a savepoint of our own (psycopg's `transaction()` as the first statement would commit by
itself), as its last statements, sorted by run; never scheduled for later (with the queueing lock it would
swallow every wake until then); and deleted when done, whatever came of it: the ledger decides, not the queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading

import procrastinate
import structlog
from procrastinate import exceptions
from procrastinate.schema import SchemaManager

from alfred.runs.dispatcher import Dispatcher
from alfred.store import postgres
from alfred.store.statement import Sql
from alfred.store.tx import Tx

log = structlog.get_logger()

TASK = "alfred.look"
QUEUE = "alfred"

_SAVEPOINT = Sql("savepoint wake")
_BACK = Sql("rollback to savepoint wake")
_RELEASE = Sql("release savepoint wake")


class PostgresDelivery:
    """Defers wakes inside transactions (`deliver`) and hears those of other processes (`start`, `stop`)."""

    def __init__(self, url: str, dispatcher: Dispatcher):
        self.url = url
        self.dispatcher = dispatcher
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._stopping = False
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())

    def deliver(self, tx: Tx, run_ids: list[str]) -> None:
        """Part of the transaction: one job a run, unless one waits already."""
        for run_id in run_ids:
            tx(_SAVEPOINT)
            try:
                self._app.configure_task(
                    TASK, queue=QUEUE, queueing_lock=run_id, connection=tx.raw, allow_unknown=True
                ).defer(run_id=run_id)
            except exceptions.AlreadyEnqueued:
                tx(_BACK)
            except exceptions.ConnectorException as problem:
                if not isinstance(problem.__cause__, tx.pool.driver.Error):
                    raise
                raise tx.trouble(problem.__cause__, "a wake") from problem
            else:
                tx(_RELEASE)

    def start(self) -> None:
        """Begins to listen, in a thread with an event loop of its own; it reconnects for as long as it lives."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="alfred-listen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends listening; jobs that were heard are with the dispatcher already."""
        self._stopping = True
        if self._loop and self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread:
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        while not self._stopping:
            self._task = asyncio.ensure_future(self._work())
            try:
                await self._task
            except asyncio.CancelledError:
                return
            except Exception as problem:
                log.warning("listen.lost", detail=str(problem).split("\n")[0])
                await asyncio.sleep(1)

    async def _work(self) -> None:
        where = postgres.conninfo(self.url)
        connector = procrastinate.PsycopgConnector(conninfo=where, min_size=1, max_size=3)
        app = procrastinate.App(connector=connector)

        @app.task(name=TASK, queue=QUEUE)
        async def look(run_id: str) -> None:
            self.dispatcher.notify([run_id])

        async with app.open_async():
            self._started.set()
            await app.run_worker_async(
                queues=[QUEUE],
                concurrency=1,
                listen_notify=True,
                fetch_job_polling_interval=1.0,  # a wake that comes during a fetch is not heard: look again soon
                delete_jobs="always",
                install_signal_handlers=False,
            )


def install(tx: Tx) -> None:
    """Makes Procrastinate's tables, in the transaction that makes ours."""
    try:
        tx.raw.execute(SchemaManager.get_schema())
    except tx.pool.driver.Error as problem:
        raise tx.trouble(problem, "the queue's tables") from problem
