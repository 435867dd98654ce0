"""Contexts for actions without a run around them: `context(...)`, and `judged(ctx, action, args)`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from alfred import errors, ids
from alfred.actions import arguments, canonical, pipeline
from alfred.actions.context import ActionContext, Workspace
from alfred.actions.kinds import Risk
from alfred.actions.ledger import calls
from alfred.config import Settings
from alfred.runs import ledger as runs
from alfred.runs.rows import NewRun
from alfred.store import connect
from tests.built import built


@dataclass
class Bench:
    """An action under test: validates, judges, calls and probes it as the gate does."""

    ctx: ActionContext
    emitted: list[str] = field(default_factory=list)
    stops: list[Callable[[], None]] = field(default_factory=list)

    def args(self, function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
        checked = arguments.validate(built(function), given)
        assert isinstance(checked, arguments.Valid), str(checked)
        return checked.args

    def call(self, function: Callable[..., Any], *, key: str = "k" * 64, **given: Any) -> Any:
        """What the function returns for these arguments.

        Raises:
            CallRefused: the arguments are not what it takes.
        """
        action = built(function)
        checked = arguments.validate(action, given)
        if isinstance(checked, arguments.Invalid):
            raise errors.CallRefused(str(checked))
        injected: dict[str, Any] = {"key": key, "ctx": self.ctx}
        values = checked.values | {n: v for n, v in injected.items() if n in action.injects}
        return json.loads(json.dumps(action.fn(**values)))

    def risk(self, function: Callable[..., Any], **given: Any) -> Risk:
        """The declared risk, raised by the arguments, as the gate takes it: an exception is high."""
        action = built(function)
        if action.classify is None:
            return action.risk
        return max(action.risk, action.classify(self.args(function, given), self.ctx))

    def preview(self, function: Callable[..., Any], **given: Any) -> str:
        action = built(function)
        assert action.preview is not None
        return action.preview(self.args(function, given), self.ctx)

    def target(self, function: Callable[..., Any], **given: Any) -> Any:
        return pipeline.resolve_target(built(function), self.args(function, given), self.ctx)

    def judged(self, function: Callable[..., Any], *, external: bool = False, **given: Any) -> None:
        """Writes the rows of a run and of this call, judged as things are now; the context gets their ids."""
        action = built(function)
        args = self.args(function, given)
        run_id, call_id = ids.new(), ids.new()
        said = canonical.canonical_json(args)
        self.ctx = replace(self.ctx, run_id=run_id, call_id=call_id)
        target = pipeline.resolve_target(action, args, self.ctx)

        def write(tx: connect.Tx) -> None:
            new = NewRun(id=run_id, workflow="w", step="s", external=int(external), agent="main")
            runs.start(tx, new)
            calls.propose(
                tx,
                [
                    calls.NewCall(
                        id=call_id,
                        run_id=run_id,
                        turn=0,
                        ordinal=0,
                        action=action.id,
                        args=said,
                        args_hash="h",
                    )
                ],
            )
            judgement = calls.Judgement(
                call_id=call_id,
                status="proposed",
                action=action.id,
                args=said,
                args_hash="h",
                target=json.dumps(target) if target is not None else None,
            )
            assert calls.judge(tx, judgement)

        self.ctx.store.transact(write)

    def probe(self, function: Callable[..., Any], *, key: str = "k" * 64, **given: Any) -> Any:
        """What `check` says."""
        action = built(function)
        assert action.check is not None
        checked = arguments.validate(action, given)
        assert isinstance(checked, arguments.Valid)
        return action.check(key=key, ctx=self.ctx, **checked.values)


@pytest.fixture(scope="session")
def _ledger(
    tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path
) -> Iterator[connect.Store]:
    """One for all of them: to most an action asks it nothing, and what a call finds in it has the call's own id."""
    path = tmp_path_factory.mktemp("ledger") / "alfred.db"
    shutil.copyfile(_sqlite_template, path)
    store = connect.open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
def new_bench(tmp_path: Path, _ledger: connect.Store, home: Path) -> Callable[..., Bench]:
    """Makes a bench: `new_bench(made=True, inputs={...}, settings={...}, root=...)`."""

    def make(
        *,
        made: bool = True,
        inputs: dict[str, Path] | None = None,
        root: Path | None = None,
        secrets: dict[str, str] | None = None,
        bound: dict[str, list[str]] | None = None,
        external: bool = False,
        using: connect.Store | None = None,
        **wanted: Any,
    ) -> Bench:
        if root is None:
            root = home / "workspaces" / "r1" if made else tmp_path / "project"
        root.mkdir(parents=True, exist_ok=True)
        emitted: list[str] = []
        stops: list[Callable[[], None]] = []
        ctx = ActionContext(
            run_id=ids.new(),
            call_id=ids.new(),
            agent="main",
            tenant="main",
            home=home,
            workspace=Workspace(root=root, made=made, trusted=False),
            inputs=inputs or {},
            external=external,
            settings=Settings.model_validate({"secrets": bound or {}, **wanted}),
            store=using or _ledger,
            cancelled=lambda: False,
            on_cancel=stops.append,
            emit=emitted.append,
            secrets=(secrets or {}).get,
        )
        return Bench(ctx, emitted, stops)

    return make


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    """A bench in a workspace that alfred made."""
    return new_bench()


@pytest.fixture
def brought(new_bench: Callable[..., Bench]) -> Bench:
    """A bench in a folder that the person brought."""
    return new_bench(made=False)
