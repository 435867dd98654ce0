"""Where actions come from, and the one table that the gate looks them up in.

Invariants: a registry is a value, filled by whoever composes the program; a name leads to one action; a
source gets in whole or not at all, and one that fails never keeps another out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred import home as places
from alfred.actions import arguments, declare
from alfred.actions.declare import Action

if TYPE_CHECKING:
    from alfred.runs.rows import Run

ENTRY_POINTS = "alfred.actions"

More = Callable[[str, str], Sequence[Action]]
"""(tenant, agent) -> the actions that it has of its own."""


@dataclass(frozen=True, slots=True)
class LoadError:
    """A source of actions that was skipped, and why."""

    source: str
    """`actions/x.py` of the home, or `<distribution>:<entry point>`."""
    line: int | None
    """The line of the file, when the failure has one."""
    message: str

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.message}"


class Registry:
    """The actions that may be called."""

    def __init__(self) -> None:
        self._by_id: dict[str, Action] = {}
        self._by_wire: dict[str, Action] = {}
        self._own: frozenset[str] = frozenset()
        self._more: More | None = None

    def also(self, more: More) -> None:
        """Besides, agents have what this says."""
        self._more = more

    def of(self, tenant: str, agent: str) -> Registry:
        """The actions that an agent may have: these, and those of its own, which take no name from these. Two of its own
        that providers would be told by one name are both left out: a request with a name twice is refused whole. What is
        given stays as it is: asked whose it is again, it says itself."""
        if self._more is None:
            return self
        more = self._more(tenant, agent)
        told = Counter(one.wire for one in more)
        more = [one for one in more if told[one.wire] == 1 and one.wire not in self._by_wire]
        view = Registry()
        view._own = self._own
        view._by_id = self._by_id | {one.id: one for one in more}
        view._by_wire = self._by_wire | {one.wire: one for one in more}
        return view

    def for_run(self, run: Run, name: str) -> Action | None:
        """The action of this id or wire name, as far as the agent of a run may have it."""
        return self.of(run.tenant, run.agent).get(name)

    def __iter__(self) -> Iterator[Action]:
        return iter([self._by_id[name] for name in self.names()])

    def whole(self) -> Iterator[Action]:
        """Every one, those that only alfred's own workflows call too."""
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def register(
        self,
        functions: Iterable[Callable[..., Any]],
        *,
        source: str = "alfred",
        offered: bool = True,
    ) -> None:
        """Takes in a module's `ACTIONS`: functions that `@action` declared.

        Args:
            offered: Whether agents may have them; else only alfred's own workflows call them.

        Raises:
            errors.ConfigError: a declaration is wrong, or its name is taken; nothing was taken in.
        """
        built = [declare.build(fn, source=source) for fn in functions]
        self.add(*built)
        if not offered:
            self._own |= {one.id for one in built}

    def add(self, *actions: Action) -> None:
        """Takes in actions that were built elsewhere, all of them or none.

        Raises:
            errors.ConfigError: an id, or the name that providers see, is taken.
        """
        by_id, by_wire = dict(self._by_id), dict(self._by_wire)
        for new in actions:
            # every id is compared by its wire name too: `a.b` and `a__b` would be one tool to a model
            other = by_id.get(new.id) or by_wire.get(new.wire)
            if other is not None:
                same = "" if other.id == new.id else f" (both would be called {new.wire!r})"
                raise errors.ConfigError(
                    f"The action {new.id!r} of {new.source} is there already: "
                    f"{other.id!r} of {other.source}{same}.",
                    next="Rename one of them.",
                    line=_first_line(new.fn),
                )
            by_id[new.id] = by_wire[new.wire] = new
        self._by_id, self._by_wire = by_id, by_wire

    def get(self, name: str) -> Action | None:
        """The action with this id or wire name."""
        return self._by_id.get(name) or self._by_wire.get(name)

    def nearest(self, name: str) -> str | None:
        """The id that `name` was probably meant to be."""
        return arguments.nearest(name.replace("__", "."), self.names())

    def names(self) -> tuple[str, ...]:
        """All ids that agents may have, sorted."""
        return tuple(sorted(self._by_id.keys() - self._own))

    def load_home(self, home: Path) -> tuple[LoadError, ...]:
        """Takes in `actions/*.py` of a home; a file that fails is skipped and told.

        The files run with all rights of this process, so only what nobody else can write is read.
        """
        folder = places.actions(home)
        try:
            files = sorted(p for p in folder.iterdir() if p.suffix == ".py" and p.name[0] != ".")
        except FileNotFoundError:
            return ()
        except OSError as e:
            return (LoadError("actions", None, f"cannot be read: {e.strerror}"),)
        return tuple(filter(None, (self._load_file(path) for path in files)))

    def load_entry_points(self) -> tuple[LoadError, ...]:
        """Takes in what installed packages offer under the entry point `alfred.actions`: a module,
        a list of functions, or one function."""
        failed = []
        for entry in sorted(
            metadata.entry_points(group=ENTRY_POINTS), key=lambda e: (e.name, e.value)
        ):
            source = f"{entry.dist.name if entry.dist else '?'}:{entry.name}"
            try:
                offered = entry.load()
                self.register(_declared(offered), source=source)
            except (Exception, SystemExit) as e:
                failed.append(LoadError(source, None, _told(e)))
        return tuple(failed)

    def _load_file(self, path: Path) -> LoadError | None:
        source = f"actions/{path.name}"
        # a name of its own per home: tenants may have files of the same name
        name = f"alfred_home_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}_{path.stem}"
        module = types.ModuleType(name)
        module.__file__ = str(path)
        try:
            # compiled here from the bytes that were checked: the import system would take a planted
            # `__pycache__` for the file
            code = compile(_read_owned(path), str(path), "exec")
            sys.modules[name] = module
            exec(code, module.__dict__)
            self.register(_declared(module), source=source)
        except (Exception, SystemExit) as e:
            sys.modules.pop(name, None)
            return LoadError(source, _line(e, path), _told(e))
        return None


def _declared(offered: Any) -> list[Callable[..., Any]]:
    """The actions of a module (its `ACTIONS`, else every one that it defines), of a list, or the one."""
    if isinstance(offered, types.ModuleType):
        listed = getattr(offered, "ACTIONS", None)
        if listed is not None:
            return list(listed)
        found = vars(offered).values()
        mine = [f for f in found if declare.is_declared(f) and f.__module__ == offered.__name__]
        return list(dict.fromkeys(mine))
    return [offered] if callable(offered) else list(offered)


def _read_owned(path: Path) -> bytes:
    """The bytes of a file that only its owner, who is this user or root, can change.

    Raises:
        errors.ConfigError: somebody else could have written it, or it is no plain file.
    """
    # without blocking: opening a pipe would wait for somebody to write into it
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        there = os.fstat(file.fileno())
        if not stat.S_ISREG(there.st_mode):
            raise errors.ConfigError(
                f"{path} is no plain file.", next="Move it out of this folder."
            )
        for what, found in ((path, there), (path.parent, path.resolve().parent.stat())):
            if found.st_uid not in (os.geteuid(), 0):
                raise errors.ConfigError(
                    f"{what} belongs to another user (uid {found.st_uid}).",
                    next=f"Run: chown {os.geteuid()} {what}",
                )
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise errors.ConfigError(
                    f"{what} can be written by others ({stat.filemode(found.st_mode)}).",
                    next=f"chmod go-w {what}",
                )
        return file.read()


def _first_line(fn: Callable[..., Any]) -> int | None:
    code = getattr(fn, "__code__", None)
    return code.co_firstlineno if code else None


def _line(error: BaseException, path: Path) -> int | None:
    """Where in the file it went wrong: where the declaration stands, where the text cannot be read, or
    the innermost line of the file that was running."""
    if isinstance(error, errors.AlfredError) and "line" in error.extra:
        return error.extra["line"]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else None


def _told(error: BaseException) -> str:
    if isinstance(error, errors.AlfredError):
        return f"{error.detail} {error.next}" if error.next else error.detail
    if isinstance(error, SystemExit):
        return "it ended the program while it was loaded"
    return f"{type(error).__name__}: {error}"
