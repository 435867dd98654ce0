"""What an action is told about the run that calls it. A value: it decides nothing and holds nothing open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred.trust import labels
from alfred.trust.labels import Label

if TYPE_CHECKING:
    from alfred.config import Settings
    from alfred.store.connect import Store
    from alfred.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder that a run works in."""

    root: Path
    """Absolute."""
    made: bool
    """alfred made it (a worktree, a clone, `workspaces/<run>`); otherwise the person brought it."""
    trusted: bool
    """The owner named it under `trust.workspaces`: its bytes are `trusted` instead of `derived`."""


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action gets as `ctx`."""

    run_id: str
    call_id: str
    agent: str
    tenant: str
    home: Path
    """The tenant's home folder."""
    workspace: Workspace
    inputs: Mapping[str, Path]
    """The files of `--input`, by name; readable, never writable."""
    settings: Settings
    store: Store
    cancelled: Callable[[], bool]
    """Whether the run was cancelled or taken over: long work asks now and then, and stops."""
    on_cancel: Callable[[Callable[[], None]], object]
    """Registers what ends the work at once, such as killing a process group."""
    emit: Callable[[str], None]
    """One line of progress for whoever watches."""
    secrets: Callable[[str], str | None]
    """The secret of this name, or None when there is none."""
    served: Callable[[ActionContext, str, dict[str, Any]], Any] | None = None
    """`served(ctx, id, args)`: what the tool of an MCP server answers that the owner has put in the place of a service.
    None: there is none here."""
    ask: Callable[[str, str], str] | None = None
    """`ask(system, text)`: what a model without tools says, paid by the run. None: there is none here."""
    external: bool = False
    """Whether text from outside has joined the run's context: what is written down now is external too."""
    private: bool = False
    """Whether something private has joined it."""
    scratch: str | None = None
    """The prefix of the names that the run may write in its scratch; None: none. Empty: its own run's."""
    pad: str | None = None
    """The run whose scratch it shares: the one at the top of its tree. None: its own."""
    declared: frozenset[str] | None = None
    """Where its calls may lead by the contract of its workflow (`bounds.held`); None: nothing holds them."""
    along: list[Callable[[Tx], None]] = field(default_factory=list)
    """Rows of alfred's own that a keyed call makes: what is appended here is written in the transaction that records that
    the call is done, so that they are there exactly when it is."""

    @property
    def label(self) -> Label:
        """The label of the run's context: what the call writes carries it."""
        return labels.of_context(external=self.external, private=self.private)
