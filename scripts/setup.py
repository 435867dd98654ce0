"""Makes .venv: everything alfred and its tests need, exactly as requirements.lock pins it, byte-compiled.

    python3 scripts/setup.py            .venv; quick when nothing changed
    python3 scripts/setup.py --bench    .venv-bench, from requirements-bench.lock
    python3 scripts/setup.py --lock     renews both locks within the bounds of pyproject.toml
    python3 scripts/setup.py --check    fails when a lock does not fit pyproject.toml
    python3 scripts/setup.py --uv       prints where uv is

Needs Python 3.11+ and nothing else: no pip, no venv module, no root. uv comes from the PATH, else into
.tools: by pip; by the pip that Python carries for `ensurepip`; without both, uv's wheel is taken from the
package index that this machine names (PIP_INDEX_URL, UV_INDEX, pip.conf), checked against the digest that the
index gives; on Debian and its kin without a named index, by the pip of Debian's own package, unpacked here.
Standard library only.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here, before a newer word stops the old Python
    sys.exit(
        "alfred needs Python 3.11 or newer; this is "
        + sys.version.split()[0]
        + ".\nName another one, as in `make setup PYTHON=/path/to/python3.13`."
    )

import argparse
import base64
import configparser
import fcntl
import hashlib
import html.parser
import io
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import tomllib
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
UV_VERSION = "0.13.8"
"""What is installed where there is no uv."""
UV_LEAST = (0, 9)
"""The oldest uv of a machine that is used: it builds with the backend that pyproject.toml names."""

LOCKS = {
    "requirements.lock": ("--extra", "all", "--group", "dev"),
    "requirements-bench.lock": (
        *("--extra", "all", "--group", "dev", "--group", "bench"),
        *("--constraints", "requirements.lock"),
    ),
}


class SetupError(Exception):
    """Set-up cannot go on; the text says why and what to do."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Makes the environment that alfred is developed in."
    )
    what = parser.add_mutually_exclusive_group()
    for name in ("bench", "lock", "check", "uv"):
        what.add_argument(f"--{name}", action="store_true")
    wanted = parser.parse_args()
    with lock_file() as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # two terminals, one set-up
        if wanted.uv:
            print(find_uv())
        elif wanted.lock:
            compile_locks(ROOT)
        elif wanted.check:
            check_locks()
        elif wanted.bench:
            make(ROOT / ".venv-bench", ROOT / "requirements-bench.lock")
        else:
            make(ROOT / ".venv", ROOT / "requirements.lock")


def lock_file() -> TextIO:
    """The file that one set-up at a time holds.

    Raises:
        SetupError: nothing can be written here.
    """
    try:
        TOOLS.mkdir(exist_ok=True)
        return (TOOLS / "lock").open("w")
    except OSError as problem:
        raise SetupError(
            f"{TOOLS.parent} cannot be written ({problem.strerror}), and .tools and .venv are made there.\n"
            "Make it writable, or copy the sources to a folder of yours."
        ) from None


# ---- the environment --------------------------------------------------------------------------------------


def make(venv: Path, lock: Path) -> None:
    """An environment with exactly what the lock pins, and alfred itself, editable."""
    stamp = venv / "made-from"
    wanted = fingerprint(lock)
    if stamp.exists() and stamp.read_text() == wanted and (venv / "bin" / "alfred").exists():
        return
    uv = find_uv()
    python = venv / "bin" / "python"
    stamp.unlink(missing_ok=True)
    if not usable(python):
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv)
    print(
        f"Installing {lock.name} into {venv.name}, for Python {platform.python_version()} ...",
        flush=True,
    )
    common = ("--quiet", "--python", python, "--compile-bytecode")
    run(uv, "pip", "sync", *common, "--require-hashes", lock)
    run(uv, "pip", "install", *common, "--no-deps", "--editable", ROOT)
    run(python, "-m", "compileall", "-q", ROOT / "src")
    stamp.write_text(wanted)


def fingerprint(lock: Path) -> str:
    """Changes when the environment must be made again: other pins, other metadata, another Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = [
        json.dumps([project["build-system"], project["project"]], sort_keys=True),
        lock.read_text(),
        platform.python_version(),
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def usable(python: Path) -> bool:
    """True for an interpreter that runs and is of our version."""
    if not python.exists():
        return False
    asked = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.returncode == 0 and asked.stdout.strip() == platform.python_version()


# ---- the locks --------------------------------------------------------------------------------------------


def compile_locks(target: Path, *, upgrade: bool = True) -> None:
    """Writes the locks: for every platform, with digests, without the name of any index."""
    uv = find_uv()
    for name, what in LOCKS.items():
        run(
            *(uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--no-header", "--no-emit-index-url", "--python-version", "3.11"),
            *(("--upgrade",) if upgrade else ()),
            *(*what, "pyproject.toml", "--output-file", target / name),
            cwd=target,
        )


def check_locks() -> None:
    """Resolves pyproject.toml with the pins of the locks preferred: nothing may have to change."""
    check = TOOLS / "check"
    shutil.rmtree(check, ignore_errors=True)
    check.mkdir()
    names = ("pyproject.toml", *LOCKS)
    for name in names:
        shutil.copyfile(ROOT / name, check / name)
    compile_locks(check, upgrade=False)
    unfit = [name for name in LOCKS if (check / name).read_text() != (ROOT / name).read_text()]
    shutil.rmtree(check)
    if unfit:
        raise SetupError(f"{', '.join(unfit)}: does not fit pyproject.toml. Run `make lock`.")
    print("The locks fit pyproject.toml.")


# ---- uv ---------------------------------------------------------------------------------------------------


def find_uv() -> Path:
    """uv from the PATH, else from .tools, else installed there.

    Raises:
        SetupError: none of the ways works here.
    """
    there = shutil.which("uv")
    if there and uv_version(Path(there)) >= UV_LEAST:
        return Path(there)
    uv = TOOLS / "uv" / "bin" / "uv"
    if uv_version(uv) >= UV_LEAST:
        return uv
    shutil.rmtree(TOOLS / "uv", ignore_errors=True)
    print(f"Installing uv {UV_VERSION} into .tools ...", file=sys.stderr)
    if pip := find_pip():
        install_uv_with(pip)
    elif index := configured_index():
        install_uv_from(index)
    elif pip := debian_pip():
        install_uv_with(pip)
    else:
        raise SetupError(
            "There is no uv here, no pip, and no package index is named to take one from.\n"
            "Do one of these: install uv or pip, or set PIP_INDEX_URL to the simple index that you use."
        )
    if uv_version(uv) < UV_LEAST:
        raise SetupError(f"The uv that was installed as {uv} does not run.")
    return uv


def uv_version(uv: Path) -> tuple[int, ...]:
    """The version as numbers, (0,) for one that does not run."""
    try:
        said = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return (0,)
    found = re.match(r"uv (\d+)\.(\d+)", said.stdout)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def install_uv_with(pip: list[str]) -> None:
    # --target needs no root, and is allowed where the system's own environment is not pip's to change.
    target = TOOLS / "uv"
    run(
        *(*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--root-user-action", "ignore"),
        *("--only-binary", ":all:", "--target", target, f"uv=={UV_VERSION}"),
        twice=True,
        asks_registry=True,
    )


def find_pip() -> list[str] | None:
    """The command of a pip: the installed one, or the wheel that Python keeps for `ensurepip`."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    )
    if asked.returncode == 0:
        return [sys.executable, "-m", "pip"]
    try:
        import ensurepip
        import sysconfig
    except ImportError:
        return None
    folders = [Path(ensurepip.__file__).parent / "_bundled"]
    if elsewhere := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(elsewhere))
    return pip_in(folders)


def pip_in(folders: list[Path]) -> list[str] | None:
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    return (
        [sys.executable, str(wheels[-1] / "pip")] if wheels else None
    )  # a wheel of pip runs as it is


def debian_pip() -> list[str] | None:
    """The pip of the package python3-pip-whl, fetched and unpacked below .tools without being installed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    apt = TOOLS / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    options = [f"-oDir::State::Lists={apt}/lists", f"-oDir::Cache={apt}/cache", "-qq"]
    if os.geteuid() == 0:
        options.append("-oAPT::Sandbox::User=root")  # its own user may not write here
    try:
        run("apt-get", *options, "update", cwd=apt, twice=True)
        run("apt-get", *options, "download", "python3-pip-whl", cwd=apt, twice=True)
        for package in apt.glob("python3-pip-whl_*.deb"):
            run("dpkg-deb", "-x", package, apt / "root")
    except SetupError as problem:
        print(f"Debian's pip cannot be fetched: {problem}", file=sys.stderr)
        return None
    return pip_in([apt / "root/usr/share/python-wheels"])


# ---- uv without pip: from the simple index that the machine names -------------------------------------------


def configured_index() -> str | None:
    """The index that this machine's settings name: uv's and pip's variables, then pip's files."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX"):
        if given := os.environ.get(name, "").split():
            return given[0].split("=", 1)[1] if re.match(r"[\w-]+=", given[0]) else given[0]
    return pip_setting("index-url")


def pip_setting(key: str) -> str | None:
    """A global setting of pip's files, the most personal file first."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = [
        Path(os.environ.get("PIP_CONFIG_FILE") or os.devnull),
        user / "pip/pip.conf",
        Path.home() / "Library/Application Support/pip/pip.conf",
        Path.home() / ".pip/pip.conf",
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
    ]
    for path in files:
        parser = configparser.RawConfigParser()
        parser.read(path)
        if parser.has_option("global", key):
            return parser.get("global", key).strip()
    return None


def install_uv_from(index: str) -> None:
    """Downloads uv's wheel for this machine, checks its SHA-256 and unpacks the program.

    Raises:
        SetupError: the index has no such wheel, gives no digest, or the bytes do not fit it.
    """
    page = urllib.parse.urljoin(index.rstrip("/") + "/", "uv/")
    wheels = (file for file in files_of(page) if file[0].startswith(f"uv-{UV_VERSION}-"))
    name, url, digest = next((file for file in wheels if fits_this_machine(file[0])), (None,) * 3)
    if name is None or url is None:
        raise SetupError(f"The package index has no wheel of uv {UV_VERSION} for this machine.")
    if not digest:
        raise SetupError(f"The package index gives no SHA-256 of {name}: it is not installed.")
    content, _ = fetch(url)
    if hashlib.sha256(content).hexdigest() != digest:
        raise SetupError(f"{name} is not what the package index says it is (SHA-256 differs).")
    target = TOOLS / "uv" / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        target.write_bytes(wheel.read(f"uv-{UV_VERSION}.data/scripts/uv"))
    target.chmod(0o755)


def files_of(page: str) -> Iterator[tuple[str, str, str | None]]:
    """(file name, URL, SHA-256 or None) of each file on a page of the simple index, JSON or HTML."""
    content, kind = fetch(page, accept="application/vnd.pypi.simple.v1+json, text/html;q=0.1")
    if "json" in kind:
        for entry in json.loads(content)["files"]:
            url = urllib.parse.urljoin(page, entry["url"])
            yield entry["filename"], url, entry["hashes"].get("sha256")
        return
    links = Links()
    links.feed(content.decode())
    for link in links.found:
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(page, link))
        digest = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
        yield name, url, digest[1] if digest else None


class Links(html.parser.HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def fetch(url: str, *, accept: str = "*/*") -> tuple[bytes, str]:
    """The bytes and their content type; a name and password in the URL are sent as they should be."""
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(
        parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl(), headers={"Accept": accept}
    )
    if parts.username is not None:
        known = (
            f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        )
        request.add_header("Authorization", f"Basic {base64.b64encode(known.encode()).decode()}")
    for last in (False, True):
        try:
            with urllib.request.urlopen(request, timeout=180, context=trusted()) as answer:
                return answer.read(), answer.headers.get_content_type()
        except OSError as problem:
            if last:
                raise SetupError(f"The package index does not answer: {problem}.") from None
    raise AssertionError("unreachable")


def trusted() -> ssl.SSLContext:
    """Python's certificates, and those that pip is told to use."""
    context = ssl.create_default_context()
    if found := certificates():
        context.load_verify_locations(found)
    return context


def certificates() -> str | None:
    """The bundle that pip's variable or its files name; None where they name none that is there."""
    found = os.environ.get("PIP_CERT") or pip_setting("cert")
    return found if found and Path(found).is_file() else None


def fits_this_machine(wheel: str) -> bool:
    """True when a wheel's platform tag is of this system, processor and C library."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine()
    )
    if sys.platform == "darwin":
        return "macosx" in wheel and ("arm64" if machine == "aarch64" else machine) in wheel
    library = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return library in wheel and f"_{machine}." in wheel


# ---- running things -----------------------------------------------------------------------------------------


_UNREACHED = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED"
    r"|connection broken|Max retries exceeded|Name or service not known|name resolution"
)


def run(
    *command: str | Path, cwd: Path = ROOT, twice: bool = False, asks_registry: bool = False
) -> None:
    """Runs a command with uv told what pip's settings say; once more when `twice` and it failed.

    With `asks_registry` its errors are read, because pip calls a registry that it could not reach one that has
    nothing ("No matching distribution found").

    Raises:
        SetupError: it failed.
    """
    environment = surroundings()
    for last in (not twice, True):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=environment,
            check=False,
            stderr=subprocess.PIPE if asks_registry else None,
            text=True,
        )
        sys.stderr.write(done.stderr or "")
        if done.returncode == 0:
            return
        if last:
            break
    if _UNREACHED.search(done.stderr or ""):
        raise SetupError(
            "The package registry could not be reached: there may be a package all the same.\n"
            "Look at the network, the proxy (HTTPS_PROXY), the certificates (PIP_CERT) and PIP_INDEX_URL."
        )
    raise SetupError(
        f"`{Path(command[0]).name} {command[1]} ...` failed with code {done.returncode}."
    )


def surroundings() -> dict[str, str]:
    """The environment of what is run: ours, with what pip's settings say in the words of uv, which does not read them."""
    environment = dict(os.environ)
    environment["UV_PYTHON_DOWNLOADS"] = (
        "never"  # the Python that runs this is the one that is used
    )
    for name in (
        "VIRTUAL_ENV",
        "UV_SYSTEM_PYTHON",
        "UV_PROJECT_ENVIRONMENT",
        "PYTHONDONTWRITEBYTECODE",
    ):
        environment.pop(name, None)
    if "UV_INDEX" not in environment and (index := configured_index()):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    if found := certificates():
        environment.setdefault("SSL_CERT_FILE", found)
    environment.setdefault("UV_SYSTEM_CERTS", "1")  # a company's own, which the machine knows
    return environment


if __name__ == "__main__":
    try:
        main()
    except SetupError as problem:
        sys.exit(f"setup: {problem}")
