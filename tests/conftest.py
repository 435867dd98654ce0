"""What every test may rely on: an empty home, no settings or keys of the machine, no network, no paid model.

Fixtures: `home`, `clock`, `sqlite_url`, `pg_url`, `store_url` and `store` (both run once on SQLite and once
on Postgres), `own_postgres` (a server that the test may stop), `allow_model_requests`.
Markers: `needs_program("bwrap")`, `slow` (given to everything below tests/slow), `crash`.
`ALFRED_TEST_ALL=1` turns every skip into a failure.
"""

from __future__ import annotations

import functools
import gc
import importlib.abc
import importlib.machinery
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest
import structlog

import alfred
from alfred import clock as clock_module
from alfred.store import connect, migrate, sqlite
from alfred.store.writer import WriterLock
from alfred.trust import redact
from tests import pg
from tests.reused import Reused

ALL = os.environ.get("ALFRED_TEST_ALL") == "1"

_OURS = ("ALFRED_TEST_", "ALFRED_CRASH_")
_PERSONAL = (
    *(
        "ALFRED_",
        "HERMES_",
        "ANTHROPIC_",
        "OPENAI_",
        "GOOGLE_",
        "GEMINI_",
        "OPENROUTER_",
        "OLLAMA_",
    ),
    *("CLAUDE_", "CODEX_", "AWS_", "GH_", "GITHUB_", "GIT_", "XDG_", "SSH_", "DBUS_", "PG"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


# ---- the machine is kept out ------------------------------------------------------------------------------


def _hear_signals() -> None:
    """A session that was started in the background ignores Ctrl-C and closed windows, and its children inherit that;
    the programs under test are started as a person starts them."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected: the environment of a fresh account, for us and for what we start."""
    _hear_signals()
    for name in list(os.environ):
        personal = name.upper().startswith(_PERSONAL) or name.endswith(("_API_KEY", "_TOKEN"))
        if personal and not name.startswith(_OURS):
            del os.environ[name]
    scratch = os.environ.get("ALFRED_TEST_SCRATCH")
    if not hasattr(
        config, "workerinput"
    ):  # the workers of xdist inherit the one of their controller
        scratch = os.environ["ALFRED_TEST_SCRATCH"] = tempfile.mkdtemp(prefix="alfred-tests-")
        config.add_cleanup(lambda made=scratch: shutil.rmtree(made))
    account = Path(str(scratch)) / "account"
    account.mkdir(exist_ok=True)
    os.environ["HOME"] = str(account)
    os.environ["ALFRED_HOME"] = str(account / ".alfred")
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

    # what a thousand tests leave behind for the collector of garbage is more than some machines allow
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

    # structlog's own default draws each traceback with its variables in colours: half a second.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )

    socket.getaddrinfo = _resolve_nothing
    sys.meta_path.insert(0, _NoPaidModels())
    # scripts/mutants.py: a mutant that is not the one under test would survive or die for nothing.
    source = os.environ.get("ALFRED_TEST_SOURCE")
    if source and not Path(alfred.__file__).is_relative_to(source):
        raise pytest.UsageError(f"alfred comes from {alfred.__file__}, not from {source}.")


_getaddrinfo = socket.getaddrinfo


def _resolve_nothing(host: Any, *args: Any, **kwargs: Any) -> Any:
    """The system's resolver for numbers and `localhost`; no other name leaves this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return _getaddrinfo(name, *args, **kwargs | {"flags": socket.AI_NUMERICHOST})
    except socket.gaierror:
        if name == "localhost":
            return _getaddrinfo(name, *args, **kwargs)
        raise socket.gaierror(
            socket.EAI_NONAME, f"The tests resolve no names; asked was {name!r}"
        ) from None


class _NoPaidModels(importlib.abc.MetaPathFinder):
    """Sets `pydantic_ai.models.ALLOW_MODEL_REQUESTS` to False when that module is first imported.

    Importing it here would cost every test process 0.7 s, and setting it only where it is already
    imported would make a test's outcome depend on the tests before it.
    """

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "pydantic_ai.models":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.ALLOW_MODEL_REQUESTS = False  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@pytest.fixture
def allow_model_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the model SDKs work, for a test whose provider is a server on the loopback."""
    import pydantic_ai.models

    monkeypatch.setattr(pydantic_ai.models, "ALLOW_MODEL_REQUESTS", True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as alfred does."""
    return "asyncio"


hypothesis.settings.register_profile(
    "alfred",
    max_examples=40,  # of each run of the tests; another seed every time finds the rest
    deadline=None,  # no test of ours is about the speed of this machine
    derandomize=bool(os.environ.get("CI")),  # a red build stays red when it is built again
    print_blob=True,
)
hypothesis.settings.load_profile("alfred")


# ---- how tests are run ------------------------------------------------------------------------------------


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`: two more than there are processors, because each waits for a third of its time; at most 8."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(8, (there or 1) + 2)


_SLOW = (
    "slow",
    "flows",
    "crash",
    "house/test_light_commands.py",
    "ledger/test_migrations.py",
    "ledger/test_worker.py",
    "promises/gate/test_judged_in_time.py",
    "promises/test_injected_words_act_on_nothing.py",
    "unit/engines/test_codex.py",
    "unit/engines/test_process.py",
    "unit/integrations/test_git.py",
    "unit/integrations/test_marks.py",
    "unit/integrations/test_shell.py",
    "unit/integrations/test_web.py",
    "unit/llm/test_cli_models.py",
    "unit/llm/test_client.py",
    "unit/llm/test_failures.py",
    "unit/llm/test_prices.py",
    "unit/store/test_backup.py",
    "unit/store/test_restore.py",
    "unit/trust/test_sandbox.py",
)
"""What starts whole programs, makes databases anew again and again, or has the real SDKs of the providers talk."""


_TOGETHER = ("unit/llm", "unit/agents/test_metered.py", "unit/agents/test_replay.py")
"""Whose tests import the SDKs of the providers, 4 s of work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow is marked.

    What needs the SDKs comes first, in whatever order the modules are: then it falls to one worker, and the others
    import none of it.
    """
    here = Path(__file__).parent
    slow = [here / name for name in _SLOW]
    is_slow = functools.cache(lambda path: any(path.is_relative_to(place) for place in slow))
    for item in items:
        if is_slow(item.path):
            item.add_marker("slow")
    together = [here / name for name in _TOGETHER]
    items.sort(key=lambda item: not any(item.path.is_relative_to(place) for place in together))


def pytest_collection_finish() -> None:
    """Thousands of tests and whole SDKs live until the end: the collector of garbage looks at them less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`needs_program`: run where the program is, say why where it is not."""
    for marker in item.iter_markers("needs_program"):
        for name in marker.args:
            if shutil.which(name) is None:
                pytest.skip(f"needs the program {name!r}, which is not on the PATH")


def _not_skipped(report: Any, what: str) -> None:
    if ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{what} was skipped, and ALFRED_TEST_ALL=1 allows no skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # a generator hook: pluggy sends the result in and takes the returned one
    report = yield
    _not_skipped(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _not_skipped(report, collector.nodeid)
    return report


@pytest.fixture(autouse=True)
def _no_secrets_of_others() -> Iterator[None]:
    """What one test makes known as a secret is none for the tests behind it in this process."""
    yield
    redact.forget_all()


LOCKS = 300
"""Of so many databases the lock files stay open: what a test began may come to its end in the tests behind it."""

_locks: deque[str] = deque()


@pytest.fixture(autouse=True)
def _few_locks() -> Iterator[None]:
    """A process keeps one descriptor of the lock file of each database that it opened, on purpose. After a thousand tests
    that is more than `select` can count, and more than some machines allow."""
    before = set(WriterLock._known)
    yield
    _locks.extend(path for path in WriterLock._known if path not in before)
    while len(_locks) > LOCKS:
        lock = WriterLock._known.pop(_locks.popleft())
        with lock.mutex:
            os.close(lock.fd)
            lock.fd = -1


# ---- home and time ----------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an ALFRED_HOME that does not exist yet, of this test alone."""
    path = tmp_path / "home"
    monkeypatch.setenv("ALFRED_HOME", str(path))
    return path


class FakeClock:
    """A clock that stands still until it is moved. Sleeping on it moves it and returns at once."""

    def __init__(self, now: int):
        self._lock = threading.Lock()
        self._now = now
        self._monotonic = clock_module.HOUR  # of a machine that started an hour ago
        self.slept: list[float] = []
        """The lengths, in seconds, of all sleeps."""

    def now(self) -> int:
        """Wall time in microseconds since the epoch."""
        return self._now

    def monotonic(self) -> int:
        """Microseconds of the clock that never goes back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time goes by, on both clocks."""
        with self._lock:
            self._now += round(seconds * clock_module.SECOND)
            self._monotonic += round(seconds * clock_module.SECOND)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock: the monotonic one does not notice."""
        with self._lock:
            self._now += round(seconds * clock_module.SECOND)

    def sleep(self, seconds: float) -> None:
        """Waits by moving the clock."""
        self.slept.append(seconds)
        self.advance(seconds)
        time.sleep(0)  # another thread may be what the caller waits for


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """The clock of alfred, standing at 2026-11-21 10:00 UTC. Postgres goes by its own."""
    fake = FakeClock(1_795_255_200 * clock_module.SECOND)
    before = clock_module.install(fake)
    yield fake
    clock_module.install(before)


# ---- databases --------------------------------------------------------------------------------------------


_FOR_EVER = sqlite.SYNCHRONOUS
# SQLite in this process leaves its files to the kernel: what a test wrote need not survive a power cut, and a third of a
# test would be waiting for the disk. A killed process loses nothing by it.
sqlite.SYNCHRONOUS = "off"


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite as it is opened in production: a commit waits for the disk."""
    monkeypatch.setattr(sqlite, "SYNCHRONOUS", _FOR_EVER)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "alfred.db"
    made = connect.open_store(f"sqlite:///{path}")
    migrate.ensure_schema(made, backups=path.parent)
    made.close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """The URL of a fresh SQLite database with the schema."""
    path = tmp_path / "alfred.db"
    shutil.copyfile(_sqlite_template, path)
    path.chmod(0o600)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def pg_server() -> Iterator[pg.Server]:
    """The session's Postgres: `create()` and `drop(url)` make and remove databases."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    server = pg.join(run)
    yield server
    server.close()


@pytest.fixture(scope="session")
def _pg_databases(pg_server: pg.Server) -> Iterator[Reused]:
    databases = Reused(pg_server)
    yield databases
    databases.close()


@pytest.fixture
def pg_url(_pg_databases: Reused) -> Iterator[str]:
    """The URL of a fresh Postgres database with the schema, on the loopback, with a password."""
    url = _pg_databases.take()
    yield url
    _pg_databases.give(url)


@pytest.fixture
def own_postgres() -> Iterator[pg.Cluster]:
    """A started server of this test alone, without the schema: it may `stop`, `start` and lose it (0.7 s)."""
    folder = Path(tempfile.mkdtemp(prefix="alfred-own-pg-", dir=pg.base()))
    cluster = None
    try:
        cluster = pg.Cluster(folder)
        cluster.start()
        yield cluster
    finally:
        if cluster:
            cluster.stop()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database with the schema: the test runs once on SQLite and once on Postgres."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "pg_url")


@pytest.fixture
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[connect.Store]:
    """An open store on a fresh database: the test runs once on SQLite and once on Postgres."""
    if not store_url.startswith("sqlite"):
        databases: Reused = request.getfixturevalue("_pg_databases")
        yield databases.store(store_url)
        return
    opened = connect.open_store(store_url)
    yield opened
    opened.close()
