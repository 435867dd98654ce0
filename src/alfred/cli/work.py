"""Commands that start, drive, watch and steer runs."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alfred import app, errors
from alfred.actions import ledger as calls_ledger
from alfred.cli import live, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.desk import Order, make_folder
from alfred.runs import leases, rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status

if TYPE_CHECKING:
    from alfred.runs.worker import Worker


GRACE = 5.0
"""Seconds that a worker which is told to end gives its steps: less than the 10 s after which containers are killed."""


def run(
    brief: str,
    /,
    *,
    folder: Annotated[Path | None, Parameter(name="--in")] = None,
    input: Annotated[list[Path] | None, Parameter(negative="", consume_multiple=True)] = None,
    agent: str | None = None,
    workflow: str | None = None,
    model: str | None = None,
    max_cost: float | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    detach: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Give alfred something to do, and watch it.

    Args:
        brief: What to do, in your words.
        folder: The folder to work in; else the current one when it is inside a git work tree, else a fresh one.
        input: Files that may be read, never written.
        agent: Who does it.
        workflow: The workflow to run.
        model: provider:model, instead of the agent's.
        max_cost: USD that the run may cost at most.
        dry_run: Read, but change and ask nothing; say what would have been done.
        detach: Start it and return.
    """
    base = common.open()
    try:
        view = live.View(base.desk, quiet=common.json)
        whole = _whole(base, view)
        order = Order(
            brief=brief,
            agent=agent,
            workflow=workflow,
            model=model,
            folder=folder,
            inputs=input or (),
            max_cost_usd=max_cost,
            dry_run=dry_run,
        )
        new = base.desk.order(
            order, model=lambda: _model(whole, order), actions=whole.actions.names()
        )
        if detach:
            base.desk.start(new)
            note = base.desk.ensure_worker()
            return _started(base, new.id, note, as_json=common.json)
        if not common.json:
            terminal.say(
                f"run {terminal.short(new.id)}: {terminal.shown(new.title)} ({terminal.shown(new.model, 200)})"
            )
        make_folder(new)
        worker = whole.worker(kind="run", root=new.id)
        return _drive(base, worker, view, new.id, lambda: worker.begin(new), common)
    finally:
        base.close()


def resume(
    run: str | None = None,
    /,
    *,
    all: Annotated[bool, Parameter(name="--all", negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Go on with a run here and now, or (--all) take a stop away.

    Args:
        run: The run's id.
        all: Everything that was stopped goes on.
    """
    base = common.open()
    try:
        if all:
            woken = base.desk.resume_all()
            note = base.desk.ensure_worker() if woken else None
            if common.json:
                terminal.document({"resumed": woken, "note": note})
            else:
                terminal.out(f"{terminal.count(woken, 'run')} may go on.")
                if note:
                    terminal.say(note)
            return 0
        if run is None:
            raise errors.UsageError(
                "Which run?", next="`alfred runs list` shows them; --all resumes what was stopped."
            )
        found = base.desk.wake(run)
        view = live.View(base.desk, quiet=common.json)
        # A worker of our own in any case: it takes the run now, or when its holder should go.
        worker = _whole(base, view).worker(kind="run", root=found.id)
        return _drive(base, worker, view, found.id, lambda: worker.claim_once(found.id), common)
    finally:
        base.close()


def watch(run: str, /, *, common: Common = DEFAULT) -> int:
    """Watch a run until it ends.

    Args:
        run: The run's id.
    """
    base = common.open()
    try:
        found = base.desk.run(run)
        if found.status in (Status.QUEUED, Status.RUNNING):
            note = _unattended(base, found)
            if note:
                terminal.say(note)
        view = live.View(base.desk, quiet=common.json)
        return _ended(base, view, view.follow(found.id), as_json=common.json)
    finally:
        base.close()


def tell(run: str, text: str, /, *, common: Common = DEFAULT) -> int:
    """Say something to a run.

    Args:
        run: The run's id.
        text: What it should know or do.
    """
    base = common.open()
    try:
        told = base.desk.tell(run, text)
        note = base.desk.ensure_worker()
        if common.json:
            terminal.document(
                {
                    "id": told.id,
                    "run_id": told.run_id,
                    "consumed": told.consumed,
                    "waits_for": told.waits_for,
                    "follow_up": told.follow_up,
                }
            )
        elif told.follow_up:
            terminal.out(f"The run was over; run {terminal.short(told.follow_up)} follows it up.")
        elif told.consumed:
            terminal.out("Taken as the answer to its question.")
        elif told.waits_for:
            terminal.out(f"It is read after the run has what it waits for: {told.waits_for}.")
        else:
            terminal.out("It is read at the next turn.")
        if note:
            terminal.say(note)
        return 0
    finally:
        base.close()


def cancel(run: str, /, *, why: str | None = None, common: Common = DEFAULT) -> int:
    """End a run and everything below it.

    Args:
        run: The run's id.
        why: The reason, for the audit.
    """
    base = common.open()
    try:
        found = base.desk.cancel(run, why=why)
        note = base.desk.ensure_worker() if found.parent_id else None
        if common.json:
            terminal.document(_summary(base, found))
        else:
            terminal.out(
                f"Run {terminal.short(found.id)} is {'cancelled' if not found.live else 'being cancelled'}."
            )
            if note:
                terminal.say(note)
        return 0
    finally:
        base.close()


def stop(
    *, all: Annotated[bool, Parameter(name="--all", negative="")] = False, common: Common = DEFAULT
) -> int:
    """Stop everything: no new effect from now on.

    Args:
        all: Yes, everything.
    """
    if not all:
        raise errors.UsageError(
            "`alfred stop` stops everything, so it wants to be told.",
            next="`alfred stop --all`, or `alfred runs cancel RUN`.",
        )
    base = common.open()
    try:
        paused = base.desk.stop_all()
        if common.json:
            terminal.document({"paused": paused})
        else:
            terminal.out(f"Stopped: {terminal.count(paused, 'run')} paused, nothing is started.")
            terminal.out("`alfred runs resume --all` lets it go on.")
        return 0
    finally:
        base.close()


def worker(
    *,
    until_idle: Annotated[bool, Parameter(negative="")] = False,
    slots: int | None = None,
    common: Common = DEFAULT,
) -> int:
    """Execute runs in this process.

    Args:
        until_idle: End when no run is queued or running; parked ones do not hold it.
        slots: How many runs at once, instead of limits.concurrent_runs.
    """
    return _serve(common, kind="worker", until_idle=until_idle, slots=slots)


def serve(*, common: Common = DEFAULT) -> int:
    """Worker, timers and sweep in one process. Opens no port yet."""
    return _serve(common, kind="serve", until_idle=False, slots=None)


def _serve(common: Common, *, kind: str, until_idle: bool, slots: int | None) -> int:
    base = common.open()
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        whole = _whole(base)
        for problem in whole.load_errors:
            terminal.say(f"alfred: skipped {problem}")
        options: dict[str, Any] = {"kind": kind}
        if slots is not None:
            if slots < 1:
                raise errors.UsageError(f"--slots must be at least 1, not {slots}.")
            options["slots"] = slots
        made = _serving(whole, options)
        what = "worker, timers and sweep; no port is opened" if kind == "serve" else "worker"
        terminal.say(
            f"alfred {what}: {terminal.count(made.slots, 'slot')}, home {terminal.shown(str(base.home))}"
        )
        while until_idle and not ended.is_set() and not base.store.broken:
            if made.idle():
                # Gone from the list of workers first, then one more look: whoever queued a run meanwhile either
                # saw this worker, and its run is seen here, or starts another one.
                made.stop()
                if made.idle():
                    return 0
                made = _serving(whole, options)
            ended.wait(0.1)
        while not ended.wait(1) and not base.store.broken:
            pass
        terminal.say("alfred: ends; what runs is handed back")
        made.stop(grace=GRACE)
        if base.store.broken:
            raise errors.StoreUnavailable(
                f"The database can no longer be written from this process: {base.store.broken}.",
                next="Look at the disk, then start it again: nothing that was committed is lost.",
            )
        return 0
    finally:
        base.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _serving(whole: app.Whole, options: dict[str, Any]) -> Worker:
    made = whole.worker(**options)
    made.start()
    return made


# ---- shared by the commands that stay with a run -----------------------------------------------------------


def _whole(base: app.Base, view: live.View | None = None) -> app.Whole:
    """Everything that executes; what it has to say beside the run goes to the home's log, not to the terminal."""
    from alfred import logs

    logs.configure(base.home)
    return app.whole(base, watch=view.stream if view else None)


def _model(whole: app.Whole, order: Order) -> str:
    """The model that a run uses: --model, else the agent's, else the settings', with `auto` resolved."""
    from alfred.llm import catalog, scripted

    base = whole.base

    def secret(name: str) -> str | None:
        return whole.secrets("main", name)

    named = order.model or base.desk.agent(order.agent).model
    wanted = named or base.settings.models.boss or base.settings.model
    if wanted == "auto":
        found = catalog.resolve_auto(os.environ, secret)
        terminal.say(f"model auto: {found.model}. {found.why}")
        return found.model
    name = catalog.parse(wanted)
    provider = catalog.PROVIDERS[name.provider]
    if name.provider == "scripted":
        path = Path(name.model).expanduser().absolute()
        if not path.is_file():
            raise errors.ConfigError(
                f"There is no scenario file {str(path)!r}.", next="Give `scripted:FILE`."
            )
        scripted.load(str(path))
        return f"scripted:{path}"
    if provider.keys and catalog.key(name, secret) is None:
        raise errors.NoModel(
            f"{name} needs {' or '.join(provider.keys)}, and there is none.",
            next=f"Put {provider.keys[0]}=… into {base.home / '.env'} (mode 0600) or the environment, or choose another --model.",
        )
    return str(name)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Left(BaseException):
    """A signal that ends the process: the run is handed back first."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def _leave(number: int, _frame: Any) -> None:
    raise _Left(number)


def _drive(
    base: app.Base,
    worker: Worker,
    view: live.View,
    run_id: str,
    begin: Callable[[], bool],
    common: Common,
) -> int:
    """Stays with a run. Ctrl-C and SIGTERM hand it back; when the window closes, a worker goes on with it."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # under nohup a closed window is not news
            signal.signal(number, _leave)
    try:
        worker.start()
        if not begin():
            found = base.desk.run(run_id)
            if found.status == Status.RUNNING and found.worker != worker.holder.worker:
                terminal.say(f"{_holder(base, found)} drives this run; watching it.")
            elif found.status == Status.QUEUED:
                terminal.say("waiting for a free slot")
                base.dispatcher.notify([run_id])
        found = view.follow(run_id, worker=worker)
    except _Left as left:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        worker.stop(grace=0)
        if left.number == signal.SIGHUP:
            base.desk.ensure_worker()
        else:
            ref = terminal.short(run_id)
            terminal.say(f"\nLeft. Nothing is lost: `alfred runs resume {ref}` goes on.")
        return 128 + left.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    worker.stop(grace=0 if found.live else 5)
    return _ended(base, view, found, as_json=common.json)


def _holder(base: app.Base, run: Run) -> str:
    """Who drives a run, in words."""
    with base.store.read() as look:
        for held in leases.workers(look):
            if held.id == run.worker:
                return f"`alfred {held.kind}` (process {held.pid} on {held.host})"
    return "Another worker"


def _unattended(base: app.Base, run: Run) -> str | None:
    """Starts a worker for a run that nobody drives or would take; what to say about it."""
    with base.store.read() as look:
        held = [w for w in leases.workers(look) if w.id == run.worker and not leases.gone(w)]
    return None if held else base.desk.ensure_worker()


_KINDS = {"action": "card", "question": "question", "outcome": "outcome"}
_WOULD = {"execute": "would do", "stage": "would ask", "refuse": "would refuse"}


def _summary(base: app.Base, run: Run) -> dict[str, Any]:
    with base.store.read() as look:
        told = views.end(look, run.id)
        if run.dry_run:
            told["proposed"] = [_would(call) for call in calls_ledger.skipped(look, run.id)]
    return told


def _would(call: calls_ledger.Call) -> dict[str, Any]:
    decision = json.loads(call.decision) if call.decision else {}
    return {
        "action": call.action,
        "args": call.arguments,
        "risk": call.risk,
        "decision": decision.get("verdict"),
        "preview": call.preview,
    }


def _started(base: app.Base, run_id: str, note: str | None, *, as_json: bool) -> int:
    with base.store.read() as look:
        found = rows.get(look, run_id)
    assert found is not None
    if as_json:
        terminal.document(_summary(base, found))
    else:
        terminal.out(
            f"run {terminal.short(run_id)} is queued; `alfred runs watch {terminal.short(run_id)}`."
        )
    if note:
        terminal.say(note)
    return 0


def _ended(base: app.Base, view: live.View, run: Run, *, as_json: bool) -> int:
    code = live.exit_code(run)
    summary = _summary(base, run)
    if as_json:
        terminal.document(summary)
        return code
    if run.result:
        if not view.repeats(run.result):
            terminal.out(terminal.display.display(run.result, multiline=True))
    elif run.status == Status.COMPLETED:
        terminal.out("(no words)")
    used = summary["usage"]
    terminal.say(
        f"{terminal.short(run.id)}: {run.status}"
        + (f" on {run.wait}" if run.wait else "")
        + f", {terminal.usage(used)}"
    )
    if summary["error"]:
        terminal.say(
            f"  {summary['error']['code']}: {terminal.shown(summary['error']['detail'], 400)}"
        )
    if run.status == Status.PARKED:
        terminal.say(f"  It goes on with {live.wakes(run)}.")
        for card in summary["waiting"]:
            terminal.say(f"  {_KINDS[card['kind']]} {terminal.short(card['id'])}: {card['title']}")
    for call in summary.get("proposed") or ():
        would = _WOULD.get(call["decision"], call["decision"])
        terminal.out(f"{would}: {terminal.shown(call['action'])} [{call['risk'] or '-'}]")
        terminal.out("  " + "\n  ".join((call["preview"] or "").splitlines()))
    return code
