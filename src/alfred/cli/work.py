"""Commands that start, drive, watch and steer runs."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import app, errors
from alfred.actions import ledger as calls_ledger
from alfred.cli import live, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.desk import Order, make_folder
from alfred.runs import rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status


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
            terminal.say(f"run {terminal.short(new.id)}: {terminal.shown(new.title)} ({new.model})")
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
                terminal.out(f"{len(woken)} runs go on." + (f" {note}" if note else ""))
            return 0
        if run is None:
            raise errors.UsageError(
                "Which run?", next="`alfred runs list` shows them; --all resumes what was stopped."
            )
        found = base.desk.wake(run)
        view = live.View(base.desk, quiet=common.json)
        whole = _whole(base, view)
        if found.status == Status.RUNNING:
            terminal.say(f"{found.worker or 'another worker'} holds this run; watching it.")
            return _ended(base, view.follow(found.id), as_json=common.json)
        worker = whole.worker(kind="run", root=found.id)
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
        return _ended(
            base, live.View(base.desk, quiet=common.json).follow(found.id), as_json=common.json
        )
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
            terminal.out(f"Stopped: {len(paused)} runs are paused, nothing is started.")
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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        whole = _whole(base)
        for problem in whole.load_errors:
            terminal.say(f"alfred: skipped {problem}")
        options: dict[str, Any] = {"kind": kind}
        if slots is not None:
            if slots < 1:
                raise errors.UsageError(f"--slots must be at least 1, not {slots}.")
            options["slots"] = slots
        made = whole.worker(**options)
        made.start()
        if not common.json:
            what = "worker, timers and sweep; no port is opened" if kind == "serve" else "worker"
            terminal.say(f"alfred: {what}, {made.slots} slots, {base.home}")
        if until_idle:
            threading.Thread(target=lambda: (made.until_idle(), ended.set()), daemon=True).start()
        ended.wait()
        made.stop()
        return 0
    finally:
        base.close()


# ---- shared by the commands that stay with a run -----------------------------------------------------------


def _whole(base: app.Base, view: live.View | None = None) -> app.Whole:
    """Everything that executes; what it has to say beside the run goes to the home's log, not to the terminal."""
    from alfred import logs

    logs.configure(base.home)
    return app.whole(base, watch=view.stream if view else None)


def _model(whole: app.Whole, order: Order) -> str:
    """The model that a run uses: --model, else the agent's, else the settings', with `auto` resolved."""
    from alfred.llm import catalog

    base = whole.base

    def secret(name: str) -> str | None:
        return whole.secrets("main", name)

    wanted = order.model or base.desk.agent(order.agent).model or base.settings.model
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
        return f"scripted:{path}"
    if provider.keys and catalog.key(name, secret) is None:
        raise errors.NoModel(
            f"{name} needs {' or '.join(provider.keys)}, and there is none.",
            next=f"Put {provider.keys[0]}=… into {base.home / '.env'} (mode 0600) or the environment, or choose another --model.",
        )
    return str(name)


def _drive(
    base: app.Base, worker: Any, view: live.View, run_id: str, begin: Any, common: Common
) -> int:
    worker.start()
    try:
        if not begin():
            terminal.say("waiting for a free slot")
            base.dispatcher.notify([run_id])
        found = view.follow(run_id)
    except KeyboardInterrupt:
        worker.stop(grace=0)
        terminal.say(
            f"\nLeft. Nothing is lost: `alfred runs resume {terminal.short(run_id)}` goes on."
        )
        return 130
    worker.stop(grace=0 if found.live else 5)
    return _ended(base, found, as_json=common.json)


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


def _ended(base: app.Base, run: Run, *, as_json: bool) -> int:
    code = live.exit_code(run)
    summary = _summary(base, run)
    if as_json:
        terminal.document(summary)
        return code
    if run.result:
        terminal.out(terminal.display.display(run.result, multiline=True))
    elif run.status == Status.COMPLETED:
        terminal.out("(no words)")
    used = summary["usage"]
    terminal.say(
        f"{terminal.short(run.id)}: {run.status}"
        + (f" on {run.wait}" if run.wait else "")
        + f", {used['turns']} turns, {used['input_tokens']}+{used['output_tokens']} tokens, {terminal.money(used['cost_usd'])}"
    )
    if summary["error"]:
        terminal.say(
            f"  {summary['error']['code']}: {terminal.shown(summary['error']['detail'], 400)}"
        )
    if run.status == Status.PARKED:
        terminal.say(f"  It goes on with {live.wakes(run)}.")
        for card in summary["waiting"]:
            terminal.say(f"  {card['kind']} {terminal.short(card['id'])}: {card['title']}")
    for call in summary.get("proposed") or ():
        terminal.out(f"would: {call['action']} ({call['risk']}, {call['decision']})")
        terminal.out("  " + "\n  ".join((call["preview"] or "").splitlines()))
    return code
