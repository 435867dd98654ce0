"""Commands that start a run and stay with it: run, fork, replay, resume, watch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alfred import app, errors, home, orders
from alfred.agents import comparison
from alfred.cli import live, outcome, terminal
from alfred.cli.leaving import Left, Signals
from alfred.cli.terminal import DEFAULT, Common, Folder
from alfred.orders import Order, make_folder
from alfred.runs import leases, overview, views
from alfred.runs.rows import Run
from alfred.runs.states import Status
from alfred.store.tx import Tx

if TYPE_CHECKING:
    from alfred.config_schema import Settings
    from alfred.runs.worker import Worker
    from alfred.workflows.contracts import Written


def run(
    brief: str | None = None,
    /,
    *,
    folder: Folder = None,
    input: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
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
        brief: What to do, in your words; a workflow has its own.
        folder: The folder to work in; else the current one when it is inside a git work tree, else a fresh one.
        input: Files that may be read, never written; for a workflow also its inputs, as name=value.
        agent: Who does it.
        workflow: The workflow to run, a file in `workflows/` of the home.
        model: provider:model, instead of the agent's.
        max_cost: USD that the run may cost at most.
        dry_run: Read, but change and ask nothing; say what would have been done.
        detach: Start it and return.
    """
    with common.open() as base:
        view, whole = _ready(base, common, detach=detach)
        written = None
        if workflow is not None:

            def proposed() -> Written:
                return app.resolved(base, workflow, whole.tools).written(base.home)

            written = base.desk.written(workflow, proposed if dry_run else None)
        who = written.contract.agent if written else agent
        order = Order(
            brief=brief,
            agent=agent,
            contract=written.contract if written else None,
            model=model,
            folder=folder,
            inputs=input or (),
            max_cost_usd=max_cost,
            dry_run=dry_run,
        )
        new = base.desk.order(
            order, model=lambda: resolved(whole, who, model), actions=whole.tools(who)
        )
        if written:
            base.desk.keep(written)
        terminal.without_secrets(brief)
        if max_cost is not None and not _priced(new.model, base.settings):
            terminal.say(
                f"{terminal.shown(new.model, 200)} has no price that is known and charged, so --max-cost cannot be "
                "counted; the token caps of `budget` hold instead."
            )
        if detach:
            base.desk.start(new)
            return _left(base, new.id, common)
        if not common.json:
            terminal.say(
                f"run {terminal.short(new.id)}: {terminal.shown(new.title)} ({terminal.shown(new.model, 200)})"
            )
        make_folder(new)
        worker = whole.worker(kind="run", root=new.id)

        def start(tx: Tx) -> str:
            base.desk.begin(tx, new)
            return new.id

        return _drive(whole, worker, view, new.id, lambda: worker.begin(start), common)


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
    with common.open() as base:
        if all:
            woken = base.desk.resume_all()
            with base.store.read() as look:
                queued = overview.counts(look, base.desk.tenant)[Status.QUEUED]
            note = base.desk.ensure_worker() if queued else None
            if common.json:
                terminal.document({"resumed": woken, "note": note})
            else:
                terminal.out(f"{terminal.count(queued, 'run')} may go on.")
                if note:
                    terminal.say(note)
            return 0
        if run is None:
            raise errors.UsageError(
                "Which run?", next="`alfred runs list` shows them; --all resumes what was stopped."
            )
        found = base.desk.wake(run)
        view = _view(base, common)
        # A worker of our own in any case: it takes the run now, or when its holder should go.
        return _go_on(base, executing(base, view), view, found.id, False, common, dict)


def fork(
    run: str,
    /,
    *,
    at: int,
    brief: str | None = None,
    model: str | None = None,
    reject: str | None = None,
    detach: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Begin another run where this one was behind a step: with what was said by then, and nothing of what was done.

    No effect is repeated, and none is undone: what the run has changed since is listed. Calls that had no result by
    then are not made; the model is told so, and may propose them again.

    Args:
        run: The run's id.
        at: The number of the step, as `alfred runs show` has it.
        brief: What you say to it first.
        model: provider:model that goes on, instead of the run's.
        reject: Say no to the calls that were open at that step, and why.
        detach: Start it and return.
    """
    with common.open() as base:
        view, whole = _ready(base, common, detach=detach)
        own = base.desk.run(run)
        chosen = own.model if model is None else resolved(whole, own.agent, model)
        made = base.desk.fork(run, at=at, brief=brief, model=chosen, reject=reject)
        terminal.without_secrets(brief)
        told = outcome.branched(own, made)
        return _go_on(base, whole, view, made.id, detach, common, lambda: told)


def replay(
    run: str,
    /,
    *,
    model: str,
    max_cost: float | None = None,
    detach: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Ask another model what a run's model was asked, turn by turn; nothing that it proposes is done.

    Args:
        run: The run's id.
        model: provider:model that is asked.
        max_cost: USD that it may cost at most.
        detach: Start it and return.
    """
    with common.open() as base:
        view, whole = _ready(base, common, detach=detach)
        of = base.desk.run(run)
        chosen = resolved(whole, of.agent, model)
        new = orders.replay(of, model=chosen, max_cost_usd=max_cost)
        base.desk.start(new)

        def found() -> dict[str, Any]:
            with base.store.read() as look:
                recorded = views.end(look, of.id)["usage"]
                return {
                    "replay_of": of.id,
                    "recorded": recorded,
                    "turns": comparison.turns(look, new.id),
                }

        code = _go_on(base, whole, view, new.id, detach, common, found)
        if not common.json and not detach:
            terminal.say(f"the recorded turns: {terminal.usage(found()['recorded'])}")
        return code


def watch(run: str, /, *, common: Common = DEFAULT) -> int:
    """Watch a run until it ends; the exit code is the run's.

    Whoever is at a terminal is asked what it waits for. It stays while somebody elsewhere has to decide.

    Args:
        run: The run's id.
    """
    with common.open() as base:
        found = base.desk.run(run)
        view = _view(base, common)
        with Signals(signal.SIGINT, signal.SIGTERM) as signals:
            ended = view.follow(found.id, wait=signals.wait, stay=True)
        return outcome.ended(base, view, ended, as_json=common.json)


def stay(base: app.Base, begin: Callable[[app.Whole], str], *, detach: bool, common: Common) -> int:
    """Stays with a run that asks a person, or leaves it to a worker.

    Args:
        begin: Queues it; its id.
    """
    view, whole = _ready(base, common, detach=detach)
    return _go_on(base, whole, view, begin(whole), detach, common, dict)


def _ready(base: app.Base, common: Common, *, detach: bool) -> tuple[live.View, app.Whole]:
    """What a command needs that begins a run: who watches it here, and what executes it.

    Raises:
        UsageError: everything was stopped, and it would be waited for in vain.
    """
    if not detach:
        base.desk.refuse_if_stopped()
    view = _view(base, common)
    return view, executing(base, view)


def _view(base: app.Base, common: Common) -> live.View:
    """Who watches a run here, is asked what it waits for, and may make a rule of it."""
    return live.View(base.desk, quiet=common.json, always=live.offering(base))


def _left(
    base: app.Base, run_id: str, common: Common, more: Callable[[], dict[str, Any]] = dict
) -> int:
    """Leaves a queued run to a worker."""
    note = base.desk.ensure_worker()
    return outcome.started(base, run_id, note, as_json=common.json, more=more())


def _go_on(
    base: app.Base,
    whole: app.Whole,
    view: live.View,
    run_id: str,
    detach: bool,
    common: Common,
    more: Callable[[], dict[str, Any]],
) -> int:
    """Stays with a queued run, or leaves it to a worker. `more`: what the document says besides."""
    if detach:
        return _left(base, run_id, common, more)
    worker = whole.worker(kind="run", root=run_id)
    return _drive(whole, worker, view, run_id, lambda: worker.claim_once(run_id), common, more)


def executing(base: app.Base, view: live.View) -> app.Whole:
    """Everything that executes; what it has to say beside the run goes to the home's log, not to the terminal."""
    from alfred import logs

    logs.configure(base.home)
    whole = app.whole(base, watch=view.stream)
    for problem in whole.load_errors:
        terminal.say(f"skipped: {terminal.shown(str(problem), 400)}")
    return whole


def resolved(
    whole: app.Whole, agent: str | None, model: str | None, *, settings: Settings | None = None
) -> str:
    """The model that a run uses: --model, else the agent's, else the settings', with `auto` resolved.

    Args:
        settings: What config.yaml says by now; None: what it said when the command began.
    """
    from alfred.agents import choice

    base = whole.base
    found = choice.choose(
        settings or base.settings,
        secrets=lambda name: whole.secrets("main", name),
        env=os.environ,
        env_file=home.env_file(base.home),
        agent=agent,
        model=model,
    )
    if found.why:
        terminal.say(f"model auto: {found.model}. {found.why}")
    return found.model


def _priced(model: str | None, settings: Any) -> bool:
    """Whether money is counted; a scenario or a program says itself what it costs."""
    from alfred.llm import catalog, prices

    if model is None or (provider := catalog.parse(model).provider) == "scripted":
        return True
    if provider in catalog.PROGRAMS:
        return settings.budget.count_notional
    return prices.price(model, input_tokens=1, output_tokens=1) is not None


def _drive(
    whole: app.Whole,
    worker: Worker,
    view: live.View,
    run_id: str,
    begin: Callable[[], bool],
    common: Common,
    more: Callable[[], dict[str, Any]] = dict,
) -> int:
    """Stays with a run. Ctrl-C and SIGTERM hand it back; when the window closes, a worker goes on with it."""
    base = whole.base
    with Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        try:
            worker.start()
            if not begin():
                found = base.desk.run(run_id)
                if found.status == Status.RUNNING and found.worker != worker.holder.worker:
                    terminal.say(f"{_holder(base, found)} drives this run; watching it.")
                elif found.status == Status.QUEUED:
                    terminal.say("waiting for a free slot")
                    base.dispatcher.notify([run_id])
            found = view.follow(run_id, wait=signals.wait, worker=worker)
        except BrokenPipeError:
            # Nobody can read what is said any more (`2>&1 | head -1`): as when the window closes.
            worker.stop(grace=0)
            base.desk.ensure_worker()
            raise
        except Left as left:
            worker.stop(grace=0)
            if left.number == signal.SIGHUP:
                base.desk.ensure_worker()
            else:
                ref = terminal.short(run_id)
                terminal.say(f"\nLeft. Nothing is lost: `alfred runs resume {ref}` goes on.")
                if common.json:
                    terminal.document(outcome.of(base, base.desk.run(run_id)) | more())
            return left.code
        worker.stop(grace=0 if found.live else 5)
        whole.propose()
        for line in whole.missing():
            terminal.say(line)
        if (
            found.status == Status.PARKED
            and whole.to_tell()
            and (note := base.desk.ensure_worker())
        ):
            terminal.say(note)
        return outcome.ended(base, view, found, as_json=common.json, more=more())


def _holder(base: app.Base, run: Run) -> str:
    """Who drives a run, in words."""
    with base.store.read() as look:
        for held in leases.workers(look):
            if held.id == run.worker:
                return f"`alfred {held.kind}` (process {held.pid} on {held.host})"
    return "Another worker"
