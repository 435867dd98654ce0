"""What doctor looks at: each check is a function that returns what it found and what to do about it.

Invariant: a check looks and never changes anything; one that fails to look is itself a finding.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alfred import clock, errors, home
from alfred.runs import audit, stop
from alfred.store import backup, disk, postgres, sqlite
from alfred.store.connect import Store
from alfred.version import VERSION

SHOWN = 20
"""Files with a wrong mode that are told one by one."""

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
    """The home and the space on its disk."""
    yield Finding("home", "ok", str(folder))
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


def secrets(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Who may read what only the owner may, secrets in places where they do not belong, and those that are missing."""
    from alfred.trust import modes

    wrong = [*modes.of_home(folder), *modes.of_named(os.environ)]
    for one in wrong[:SHOWN]:
        yield Finding("modes", "error", f"{one.path}: {one.why}.", one.next)
    if len(wrong) > SHOWN:
        text = f"And {len(wrong) - SHOWN} more files and folders."
        yield Finding("modes", "error", text, "alfred doctor --fix")
    if not wrong:
        yield Finding("modes", "ok", "nobody else may read or change what is in the home")
    yield from _tracked(folder)
    yield from _unreadable(folder, {one.path for one in wrong})
    yield from _written_down(home.config_file(folder))
    yield from _missing(folder, settings)


def _unreadable(folder: Path, told: Collection[Path]) -> Iterable[Finding]:
    """A `.env` of which nothing is read: whatever needs one of its secrets is refused. `told`: those whose mode is said."""
    from alfred.trust import secrets as sources

    for tenant in home.tenants(folder):
        file = home.env_file(home.of_tenant(folder, tenant))
        if file.is_symlink() and not file.exists():
            text = f"{file} is a link to a place that is not there: no secret of it has a value."
            yield Finding(
                "secrets", "error", text, "Bring back what it leads to, or take the link away."
            )
            continue
        try:
            sources.read_env(file.parent)
        except errors.ConfigError as problem:
            if file not in told:
                yield Finding("secrets", "error", problem.detail, problem.next)


def _tracked(folder: Path) -> Iterable[Finding]:
    """Private files that a repository around the home takes along."""
    from alfred.engines import git

    real = Path(os.path.realpath(folder))
    if not any((place / ".git").exists() for place in (real, *real.parents)):
        return
    own = [place for tenant in home.tenants(real) for place in [home.of_tenant(real, tenant)]]
    private = [
        str(where(place).relative_to(real))
        for place in own
        for where in (home.env_file, home.database_file, home.token_file)
    ]
    here = git.find(real, upward=True)
    listed = git.run(here, "ls-files", "-z", "--", *private).text
    for name in filter(None, listed.split("\0")):
        yield Finding(
            "git",
            "error",
            f"{name} of the home is tracked by the repository in {here.top}: whoever has that has its secrets.",
            f"git -C {folder} rm --cached {name}, and renew what was in it.",
        )


def _written_down(file: Path) -> Iterable[Finding]:
    """Secrets in the configuration, which people show and copy."""
    from alfred.trust import redact

    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, start=1):
        for name in redact.found(line):
            yield Finding(
                "secrets",
                "warning",
                f"{file.name}:{number} holds a secret ({name}).",
                "Write NAME=… into .env, and in its place ${NAME} in `database` or `mcp_servers`, elsewhere secret://NAME.",
            )


def _missing(folder: Path, settings: Any) -> Iterable[Finding]:
    """Secrets that calls may name, and that have no value."""
    from alfred.trust import secrets as sources

    for name in settings.secrets if settings is not None else ():
        try:
            there = sources.get(name, home=folder)
        except errors.ConfigError as problem:
            yield Finding("secrets", "error", problem.detail, problem.next)
            continue
        if not there:
            text = f"{name} has no value: a call that names secret://{name} is refused."
            yield Finding(
                "secrets", "warning", text, f"Write {name}=… into {home.env_file(folder)}."
            )


def ledger(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """The database, its version, who holds it, the audit chain."""
    if store is None:
        return  # why it could not be opened is told by whoever tried
    with store.read() as look:
        size = f"{disk.taken(look) / 1_000_000:,.1f} MB"
        version = postgres.version(look) if store.pg else ""
    if store.pg:
        yield Finding("ledger", "ok", f"Postgres {version}, {size}")
    else:
        linked = sqlite.driver().sqlite_version_info
        text = ".".join(map(str, linked))
        if tuple(linked) < sqlite.SAFE_SQLITE:
            yield Finding(
                "ledger",
                "warning",
                f"SQLite {text}, which can corrupt a database under two writers; alfred lets only one write at a time.",
                "Install pysqlite3 where it has a wheel, or use Postgres.",
            )
        else:
            yield Finding("ledger", "ok", f"SQLite {text}, {size}")
        holder = store.writer_pid()
        if holder is not None:
            yield from _holder(holder)
    with backup.snapshot(store) as look:
        rows, broken = audit.verify(look)
    if broken is None:
        yield Finding("audit", "ok", f"{rows} row{'' if rows == 1 else 's'}, the chain holds")
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
    from alfred.runs import overview

    with store.read() as look:
        alive = overview.workers(look)
        halted = stop.stopped(look, "main")
        waiting = sum(
            n
            for t in home.tenants(folder)
            for n in overview.late(look, t, workers=len(alive)).values()
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


def chats(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Whether what was said to people in chats has arrived."""
    if store is None:
        return
    from alfred.runs import outbox

    for tenant in home.tenants(folder):
        with store.read() as look:
            unsent = outbox.unsent(look, tenant)
        if unsent.words:
            yield Finding(
                "chats",
                "warning",
                f"Messages to chats of {tenant}: {unsent.words}.",
                "Run what serves the channel; `alfred runs show RUN` tells which answers they are.",
            )


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


def bindings(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Whether every rule that routes messages can win."""
    if settings is None or not settings.bindings:
        return
    from alfred.agents.router import BindingRouter

    for one, by in BindingRouter.from_settings(settings).shadowed():
        place = settings.place("bindings", one.number - 1)
        yield Finding(
            "bindings",
            "warning",
            f"Binding {one.number} ({place}) never wins: whatever it fits is shadowed by binding {by.number}.",
            "Take one of them out; `alfred route --explain` shows what each one does.",
        )


def unread(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """What is configured for parts that this version does not have: nobody should count on it."""
    if settings is None:
        return
    plain = type(settings.server)()
    given = {
        "fleet": settings.fleet,
        "cron": settings.cron,
        **{f"server.{name}": said != getattr(plain, name) for name, said in settings.server},
        "approvals.approvers": settings.approvals.approvers,
        **{f"integrations.{name}": True for name in settings.integrations if name != "web"},
    }
    for name in [name for name, there in given.items() if there]:
        yield Finding(
            "config",
            "warning",
            f"{settings.place(*name.split('.'))}: `{name}` has no effect in this version.",
            "Whoever can use this home decides about its cards: let nobody else into it."
            if name == "approvals.approvers"
            else "Take it out, or leave it for a version that has it.",
        )


def sandbox(folder: Path, settings: Any, store: Store | None) -> Iterable[Finding]:
    """Whether commands can be confined, by trying to get out."""
    if settings is None:
        return
    from alfred.agents.registry import AgentRegistry
    from alfred.trust import memory, probes
    from alfred.trust import sandbox as box

    if settings.sandbox == "off":
        yield Finding(
            "sandbox",
            "warning",
            "sandbox: off is written in config.yaml: a command of the same user can open the ledger, so the gate is advisory.",
        )
        return
    ids = AgentRegistry.from_settings(settings).ids()
    if without := [one for one in ids if settings.sandbox_of(one) == "off"]:
        yield Finding(
            "sandbox",
            "warning",
            f"sandbox: off is written for {', '.join(without)}: a command of theirs can open the ledger, so their gate is advisory.",
        )
    found = box.available()
    if found.kind is None:
        yield Finding(
            "sandbox",
            "warning",
            f"None: {found.reason} shell.run and code.run are high risks each time.",
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


CHECKS: tuple[Check, ...] = (
    program,
    places,
    secrets,
    ledger,
    workers,
    chats,
    model,
    bindings,
    unread,
    sandbox,
    programs,
)


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
