"""What doctor looks at: each check is a function that returns what it found and what to do about it.

Invariant: a check looks and never changes anything; one that fails to look is itself a finding.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alfred import clock, errors, home
from alfred.runs import audit, stop
from alfred.store import backup, postgres, sqlite
from alfred.store.connect import Store
from alfred.version import VERSION

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of doctor's answer."""

    name: str
    level: Level
    text: str
    next: str | None = None


Check = Callable[[Path, Any, "Store | None"], Iterable[Finding]]


def program(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """This program and its interpreter."""
    yield Finding("alfred", "ok", f"{VERSION}, Python {sys.version.split()[0]}")
    package = Path(__file__).parent
    compiled = any(package.glob("__pycache__/*.pyc"))
    if not compiled and not os.access(package, os.W_OK):
        yield Finding(
            "byte code",
            "warning",
            "The package is not byte-compiled: every start is two to three times slower.",
            f"{sys.executable} -m compileall {package}",
        )
    if os.environ.get("ALFRED_TEST_LEASE_S"):
        yield Finding(
            "leases",
            "warning",
            f"ALFRED_TEST_LEASE_S={os.environ['ALFRED_TEST_LEASE_S']}: leases are short, for tests.",
        )


def places(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """The home, its modes, the space on its disk."""
    yield Finding("home", "ok", str(folder))
    for path in (home.config_file(folder), home.env_file(folder), home.database_file(folder)):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(
                "modes",
                "error",
                f"{path.name} can be read by others (mode {path.stat().st_mode & 0o777:o}).",
                f"chmod 600 {path}",
            )
    if folder.stat().st_mode & 0o077:
        yield Finding(
            "modes",
            "warning",
            f"The home can be entered by others (mode {folder.stat().st_mode & 0o777:o}).",
            f"chmod 700 {folder}",
        )
    free = shutil.disk_usage(folder).free
    if free < 100_000_000:
        yield Finding(
            "disk",
            "error",
            f"Only {free // 1_000_000} MB are free.",
            "Free some space: new work would fail.",
        )
    else:
        yield Finding("disk", "ok", f"{free // 1_000_000_000} GB free")


def ledger(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """The database, its version, who holds it, the audit chain."""
    if store is None:
        yield Finding("ledger", "error", "The ledger could not be opened.", "See the error above.")
        return
    if store.pg:
        with store.read() as look:
            version = postgres.version(look)
        yield Finding("ledger", "ok", f"Postgres {version}")
    else:
        version = sqlite.driver().sqlite_version_info
        text = ".".join(map(str, version))
        if tuple(version) < sqlite.SAFE_SQLITE:
            yield Finding(
                "ledger",
                "warning",
                f"SQLite {text}, which can corrupt a database under two writers; alfred lets only one write at a time.",
                "Install pysqlite3 where it has a wheel, or use Postgres.",
            )
        else:
            yield Finding("ledger", "ok", f"SQLite {text}")
        holder = store.writer_pid()
        if holder is not None:
            yield from _holder(holder)
    with backup.snapshot(store) as look:
        rows, broken = audit.verify(look)
    if broken is None:
        yield Finding("audit", "ok", f"{rows} rows, the chain holds")
    else:
        yield Finding(
            "audit",
            "error",
            f"Row {broken.n} of {broken.tenant}: {broken.why}.",
            "Somebody changed the ledger: restore a backup.",
        )


def workers(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Who executes, and what waits without anybody."""
    if store is None:
        return
    from alfred.runs import views

    with store.read() as look:
        alive = views.workers(look)
        halted = stop.stopped(look, "main")
        waiting = sum(
            n
            for t in home.tenants(folder)
            for n in views.late(look, t, workers=len(alive)).values()
        )
    if halted is not None:
        yield Finding(
            "stopped",
            "warning",
            f"Everything is stopped since {clock.rfc3339(halted)}.",
            "alfred runs resume --all",
        )
    if alive:
        yield Finding("workers", "ok", f"{len(alive)} alive")
    elif waiting and halted is None:
        yield Finding(
            "workers",
            "warning",
            f"Nobody executes, and something waits for it: {waiting} of runs, cards, timers and crons.",
            "alfred worker",
        )
    else:
        yield Finding("workers", "note", "None is running, and none is needed now.")


def model(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Which model a run would use."""
    if settings is None:
        return
    from alfred.agents import choice
    from alfred.trust import secrets

    try:
        found = choice.choose(
            settings,
            secrets=lambda name: secrets.get(name, home=folder),
            env=os.environ,
            env_file=home.env_file(folder),
        )
    except errors.AlfredError as problem:
        yield Finding("model", "warning", problem.detail, problem.next)
        return
    yield Finding("model", "ok", f"auto: {found.model}. {found.why}" if found.why else found.model)
    for passed in found.passed_over:
        yield Finding("model", "note", passed)


def sandbox(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Whether commands can be confined, by trying to get out."""
    if settings is None:
        return
    from alfred.trust import memory, probes
    from alfred.trust import sandbox as box

    if settings.sandbox == "off":
        yield Finding(
            "sandbox",
            "warning",
            "sandbox: off is written in config.yaml: a command of the same user can open the ledger, so the gate is advisory.",
        )
        return
    found = box.available()
    if found.kind is None:
        yield Finding(
            "sandbox",
            "warning",
            f"None: {found.reason} shell.run is a high risk each time.",
            "apt install bubblewrap",
        )
        return
    open_ways = [probe for probe in probes.probe(folder) if not probe.held]
    for probe in open_ways:
        yield Finding(
            "sandbox",
            "error",
            f"{probe.name}: {probe.detail}",
            "Do not run commands until this is mended.",
        )
    if not open_ways:
        bounds = f", at most {memory.text(memory.most())} of memory" * (found.kind == "bubblewrap")
        yield Finding("sandbox", "ok", f"{found.kind}: probed from inside{bounds}")


def programs(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Programs from outside."""
    for name, level, why in (
        ("git", "error", "needed for repositories"),
        ("gh", "note", "for GitHub"),
        ("claude", "note", "answers as the model `claude-cli:`"),
        ("codex", "note", "answers as the model `codex-cli:`"),
    ):
        path = shutil.which(name)
        if path is None:
            yield Finding(name, level, f"not found ({why})")  # type: ignore[arg-type]
            continue
        try:
            told = subprocess.run(
                [path, "--version"],
                capture_output=True,
                text=True,
                timeout=20,
                stdin=subprocess.DEVNULL,
            )
            version = ((told.stdout or told.stderr).strip().splitlines() or ["found"])[0]
            yield _login(name, version, folder)
        except (OSError, subprocess.TimeoutExpired) as problem:
            yield Finding(name, "warning", f"{path} does not answer: {type(problem).__name__}")


def _login(program: str, version: str, folder: Path) -> Finding:
    """A program that was found, and whether it is logged in where that makes it a model."""
    from alfred.llm import catalog, cli_models
    from alfred.trust import secrets

    for provider in catalog.PROGRAMS:
        if catalog.PROVIDERS[provider].program == program:
            lacks = cli_models.missing(
                provider, os.environ, lambda name: secrets.get(name, home=folder)
            )
            if lacks is not None:
                return Finding(program, "note", f"{version}, not logged in", lacks.next)
            return Finding(program, "ok", f"{version}, logged in: the model `{provider}:`")
    return Finding(program, "ok", version)


def _holder(pid: int) -> Iterable[Finding]:
    import psutil

    try:
        process = psutil.Process(pid)
        state, name = process.status(), process.name()
    except psutil.NoSuchProcess:
        return
    if state == psutil.STATUS_STOPPED:
        yield Finding(
            "writer",
            "error",
            f"Process {pid} ({name}) is stopped while it holds the writer lock: everybody waits for it.",
            f"kill -CONT {pid}, or kill -9 {pid}",
        )


CHECKS: tuple[Check, ...] = (program, places, ledger, workers, model, sandbox, programs)


def look(folder: Path, settings: Any, store: Store | None) -> list[Finding]:
    """Every check, in order.

    Args:
        settings: None where the configuration cannot be used: what depends on it is not looked at.
    """
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found.extend(check(folder, settings, store))
        except Exception as problem:
            found.append(
                Finding(
                    check.__name__, "error", f"Could not look: {type(problem).__name__}: {problem}"
                )
            )
    return found
