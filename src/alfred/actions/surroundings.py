"""What the gate is given of the installation, and what it tells an action about the run that calls it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred.actions import bounds
from alfred.actions.context import ActionContext, Workspace
from alfred.actions.grant import Grant
from alfred.actions.ledger.calls import Call
from alfred.runs.rows import Run
from alfred.runs.workflow import StepContext
from alfred.store.connect import Store
from alfred.trust import redact
from alfred.trust.labels import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What actions need of the installation, by tenant."""

    home: Callable[[str], Path]
    settings: Callable[[str], Any]
    secrets: Callable[[str, str], str | None]
    ask: Callable[[StepContext, str, str], str] | None = None
    """What a model without tools says to a text: (step, system prompt, text) -> answer."""
    served: Callable[[ActionContext, str, dict[str, Any]], Any] | None = None
    """See `ActionContext.served`."""

    def context(self, ctx: StepContext, call: Call) -> ActionContext:
        """What the action of a call gets as `ctx`. A workspace of alfred's own is there from now on."""
        return self._context(
            ctx.store,
            ctx.run,
            call,
            ctx.label,
            ask=functools.partial(self.ask, ctx) if self.ask else None,
            served=self.served,
            cancelled=ctx.slot.stopped.is_set,
            on_cancel=ctx.slot.on_cancel,
            emit=lambda line: ctx.emit("text", call=call.id, text=redact.redact(line)),
        )

    def beside(self, store: Store, run: Run, call: Call) -> ActionContext:
        """The same for who looks at a call while no step of its run is at work: nothing cancels it, nobody watches."""
        return self._context(
            store,
            run,
            call,
            run.label,
            cancelled=lambda: False,
            on_cancel=lambda callback: None,
            emit=lambda line: None,
        )

    def _context(
        self, store: Store, run: Run, call: Call, label: Label, **told: Any
    ) -> ActionContext:
        home, grant = self.home(run.tenant), Grant.decode(run.grants)
        workspace = workspace_of(run, home)
        if workspace.made and not workspace.root.is_dir():
            workspace.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ActionContext(
            run_id=run.id,
            call_id=call.id,
            agent=run.agent,
            tenant=run.tenant,
            home=home,
            workspace=workspace,
            inputs={name: Path(path) for name, path in json.loads(run.inputs).items()}
            if run.inputs
            else {},
            external=label.external,
            private=label.private,
            scratch=grant.scratch,
            pad=run.root_id,
            declared=bounds.held(grant.contract, external=label.external),
            settings=self.settings(run.tenant),
            store=store,
            secrets=lambda name: self.secrets(run.tenant, name),
            **told,
        )


def workspace_of(run: Run, home: Path) -> Workspace:
    """The folder that a run works in; one of its own when nobody named one."""
    return workspace(run.id, run.workspace, home)


# every call asks for it again, to be judged and to be carried out
@functools.lru_cache(maxsize=256)
def workspace(run_id: str, said: str | None, home: Path) -> Workspace:
    """The same, from what the row of the run says."""
    place = json.loads(said or "{}")
    return Workspace(
        root=Path(place.get("root") or home / "workspaces" / run_id),
        made=bool(place.get("made", not place)),
        trusted=bool(place.get("trusted")),
    )
