"""Set-up works from next to nothing, and installs nothing whose digest was not checked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import setup

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
PROGRAM = b"#!/bin/sh\necho 'uv %s'\n" % setup.UV_VERSION.encode()
MACHINES = [
    *("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_28_aarch64"),
    *("musllinux_1_1_x86_64", "musllinux_1_1_aarch64", "win_amd64"),
    *("macosx_10_12_x86_64", "macosx_11_0_arm64"),
]


def wheel(machine: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        program = PROGRAM if setup.fits_this_machine(f"-{machine}.whl") else b"of another machine"
        archive.writestr(f"uv-{setup.UV_VERSION}.data/scripts/uv", program)
    return made.getvalue()


class Index(ThreadingHTTPServer):
    """A package index on the loopback with uv's wheels, as JSON or HTML, honest or not."""

    def __init__(self, *, html: bool, digest: str | None = "right", password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.wheels = {f"uv-{setup.UV_VERSION}-py3-none-{m}.whl": wheel(m) for m in MACHINES}
        self.wheels["uv-0.0.1-py3-none-any.whl"] = b"old"
        self.html, self.digest, self.password = html, digest, password
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        who = f"me:{self.password}@" if self.password else ""
        return f"http://{who}127.0.0.1:{self.server_port}/simple"

    def listing(self) -> tuple[str, str]:
        digests = {
            name: None
            if self.digest is None
            else hashlib.sha256(content if self.digest == "right" else b"other").hexdigest()
            for name, content in self.wheels.items()
        }
        if self.html:
            links = [
                f'<a href="../../files/{n}{f"#sha256={d}" if d else ""}">{n}</a>'
                for n, d in digests.items()
            ]
            return "text/html", "<!DOCTYPE html><body>" + "<br>".join(links)
        files = [
            {"filename": n, "url": f"../../files/{n}", "hashes": {"sha256": d} if d else {}}
            for n, d in digests.items()
        ]
        return "application/vnd.pypi.simple.v1+json", json.dumps({"files": files})


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        index = self.server
        assert isinstance(index, Index)
        known = base64.b64encode(f"me:{index.password}".encode()).decode()
        if index.password and self.headers["Authorization"] != f"Basic {known}":
            self.send_error(401)
            return
        kind, content = "application/octet-stream", b""
        if self.path == "/simple/uv/":
            kind, text = index.listing()
            content = text.encode()
        else:
            content = index.wheels[self.path.removeprefix("/files/")]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without uv, without pip and without any setting about an index."""
    monkeypatch.setattr(setup, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(setup, "find_pip", lambda: None)
    monkeypatch.setattr(setup, "debian_pip", lambda: None)
    monkeypatch.setattr(setup, "pip_setting", lambda key: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "tools"


@pytest.fixture
def index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with Index(**request.param) as made:
        monkeypatch.setenv("PIP_INDEX_URL", made.url)
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    "index", [{"html": False}, {"html": True}], indirect=True, ids=["json", "html"]
)
def test_without_pip_the_wheel_of_this_machine_is_unpacked(index: Index, tools: Path) -> None:
    found = setup.find_uv()
    assert found == tools / "uv/bin/uv"
    assert found.read_bytes() == PROGRAM


@pytest.mark.parametrize("index", [{"html": False, "password": "secret"}], indirect=True)
def test_the_name_and_password_of_an_index_are_sent_and_not_shown(
    index: Index, tools: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    setup.find_uv()
    assert (tools / "uv/bin/uv").read_bytes() == PROGRAM
    assert "secret" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize(
    ("digest", "why"), [("wrong", "SHA-256 differs"), (None, "gives no SHA-256")]
)
def test_a_wheel_that_is_not_what_the_index_says_is_not_installed(
    html: bool, digest: str | None, why: str, tools: Path
) -> None:
    with Index(html=html, digest=digest) as made:
        with pytest.raises(setup.SetupError, match=why):
            setup.install_uv_from(made.url)
        made.shutdown()
    assert not (tools / "uv/bin/uv").exists()


def test_where_there_is_no_way_the_message_says_what_to_do() -> None:
    with pytest.raises(setup.SetupError, match="set PIP_INDEX_URL"):
        setup.find_uv()


@pytest.mark.needs_program("make")
def test_where_no_python_is_new_enough_make_says_so_and_still_lists_what_there_is(
    tmp_path: Path,
) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    def make(target: str) -> tuple[int, str]:
        command = [MAKE, "-n", "-C", str(ROOT), target]
        done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    code, said = make("setup")
    assert code == 2
    assert "alfred needs Python 3.11 or newer" in said
    assert make("help")[0] == 0


def test_a_uv_that_is_too_old_is_not_used(tmp_path: Path) -> None:
    old = tmp_path / "bin" / "uv"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'uv 0.4.30'\n")
    old.chmod(0o755)
    with pytest.raises(setup.SetupError):
        setup.find_uv()
    old.write_text("#!/bin/sh\necho 'uv 0.10.1 (linux)'\n")
    assert setup.find_uv() == old


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"PIP_INDEX_URL": "http://a/simple"}, "http://a/simple"),
        ({"UV_INDEX": "corp=http://b/simple http://c"}, "http://b/simple"),
        ({"UV_INDEX_URL": "http://d", "PIP_INDEX_URL": "http://a"}, "http://d"),
        ({"UV_DEFAULT_INDEX": "http://e?x=1", "UV_INDEX_URL": "http://d"}, "http://e?x=1"),
    ],
)
def test_the_index_is_the_one_that_the_machine_names(
    settings: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert setup.configured_index() == expected


def test_pips_own_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = http://f/simple%20x\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    assert setup.pip_setting("index-url") == "http://f/simple%20x"


@pytest.mark.parametrize("name", setup.LOCKS)
def test_a_lock_pins_each_package_with_digests_and_names_no_host(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    packages = [entry for entry in text.replace("\\\n", " ").splitlines() if "==" in entry]
    assert len(packages) > 100
    assert all("--hash=sha256:" in entry for entry in packages)


def test_a_change_of_what_is_needed_makes_the_environment_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    lock, project = tmp_path / "requirements.lock", tmp_path / "pyproject.toml"
    lock.write_text("a==1")
    text = (ROOT / "pyproject.toml").read_text()
    seen = set()
    for pins, settings in [
        ("a==1", text),
        ("a==2", text),
        ("a==2", text.replace('"alembic>=', '"alembic>')),
        ("a==2", text.replace('"uv_build>=', '"uv_build>')),
    ]:
        lock.write_text(pins)
        project.write_text(settings)
        seen.add(setup.fingerprint(lock))
    assert len(seen) == 4
    before = setup.fingerprint(lock)
    project.write_text(project.read_text() + "\n# a comment\n[tool.other]\nx = 1\n")
    assert setup.fingerprint(lock) == before


def test_uv_can_build_with_the_backend_that_is_named() -> None:
    least = ".".join(map(str, setup.UV_LEAST))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["requires"] == [f"uv_build>={least},<1"]


def test_the_certificates_of_pips_files_are_told_to_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    bundle = tmp_path / "own.pem"
    bundle.write_text("")
    (tmp_path / "pip.conf").write_text(f"[global]\ncert = {bundle}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("PIP_CERT", "SSL_CERT_FILE", "UV_SYSTEM_CERTS"):
        monkeypatch.delenv(name, raising=False)
    told = setup.surroundings()
    assert (told["SSL_CERT_FILE"], told["UV_SYSTEM_CERTS"]) == (str(bundle), "1")
    monkeypatch.setenv("SSL_CERT_FILE", "/of/the/person")
    assert setup.surroundings()["SSL_CERT_FILE"] == "/of/the/person"


def test_sources_that_cannot_be_written_are_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(setup, "TOOLS", tmp_path / "file" / ".tools")
    with pytest.raises(setup.SetupError, match="cannot be written"):
        setup.lock_file()


def test_a_registry_that_was_not_reached_is_not_called_empty(tmp_path: Path) -> None:
    said = "NewConnectionError; ERROR: No matching distribution found"
    with pytest.raises(setup.SetupError, match="could not be reached"):
        setup.run("/bin/sh", "-c", f"echo '{said}' >&2; exit 1", cwd=tmp_path, asks_registry=True)
