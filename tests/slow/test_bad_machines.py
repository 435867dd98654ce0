"""Homes that cannot be written, disks that are full, files of somebody else: a sentence, a code, and nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from alfred import home
from tests.slow.conftest import Machine

LOOK = {"say": "I look.", "calls": [{"tool": "files.list", "args": {}}]}
DONE = {"say": "All is done."}


def _clear(said: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    told = said.stdout + said.stderr
    assert said.returncode == code, told
    assert "Traceback" not in told
    assert len(told.splitlines()) < 25, told  # doctor has the most to say
    for word in words:
        assert word in told


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.needs_program("setpriv")
def test_the_home_of_somebody_else_is_refused_and_left_alone(
    machine: Machine, request: pytest.FixtureRequest
) -> None:
    # The way to the home is open, so that it is alfred that refuses.
    folder = Path(tempfile.mkdtemp(prefix="alfred-somebody-"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    theirs = home.ensure(folder / "home")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    probe = subprocess.run([*nobody, sys.executable, "-c", ""], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"the user 65534 cannot start {sys.executable}")
    before = sorted(path.name for path in theirs.rglob("*"))
    said = subprocess.run(
        [*nobody, sys.executable, "-m", "alfred", "status"],
        capture_output=True,
        text=True,
        env=machine.env | {"ALFRED_HOME": str(theirs)},
        cwd="/",
        check=False,
        timeout=60,
    )
    _clear(said, 2, "belongs to the user with the id", "ALFRED_HOME")
    assert sorted(path.name for path in theirs.rglob("*")) == before


@pytest.mark.needs_program("unshare")
def test_a_home_on_a_read_only_file_system_is_told(machine: Machine) -> None:
    """A mount namespace of its own, in which the home is bound read-only."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(machine.home)]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no mount namespace here: {probe.stderr.strip()}")
    commands = (["status"], ["run", "x", "--model", machine.model], ["setup"], ["stop", "--all"])
    for arguments in (*commands, ["doctor"]):
        said = subprocess.run(
            [*command, sys.executable, "-m", "alfred", *arguments],
            capture_output=True,
            text=True,
            env=machine.env,
            cwd=machine.project,
            check=False,
            timeout=60,
        )
        _clear(said, 1 if arguments == ["doctor"] else 2, "cannot be written")


@pytest.mark.needs_program("unshare")
def test_a_ledger_on_a_server_is_stopped_from_a_home_that_cannot_be_written(
    machine: Machine, pg_url: str
) -> None:
    machine.env["ALFRED_DATABASE_URL"] = pg_url
    assert machine.alfred("status").returncode == 0
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(machine.home)]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no mount namespace here: {probe.stderr.strip()}")
    said = subprocess.run(
        [*command, sys.executable, "-m", "alfred", "stop", "--all"],
        capture_output=True,
        text=True,
        env=machine.env,
        cwd=machine.project,
        check=False,
        timeout=60,
    )
    _clear(said, 0, "Stopped", "cannot be written", "ALFRED_DATABASE_URL")
    assert "stopped at" in machine.alfred("status").stdout


@pytest.mark.needs_program("unshare")
def test_a_disk_that_fills_up_in_a_run_loses_nothing_and_the_run_goes_on_with_space(
    machine: Machine,
) -> None:
    """The home on a file system of 3 MB, which is filled while the model answers, and emptied again."""
    script = """
        set -e
        mount -t tmpfs -o size=3m tmpfs "$HOME_"
        alfred() { "$PYTHON" -m alfred "$@"; }
        alfred run first --model "$MODEL" --json > "$OUT/first" 2> "$OUT/first.err"
        # The first step is committed, the second is under way when the disk fills up, and goes on with space.
        (until grep -q "files.list done" "$OUT/middle.err" 2>/dev/null; do sleep 0.05; done
            dd if=/dev/zero of="$HOME_/full" bs=1k 2>/dev/null || true
            until grep -q "is full" "$OUT/middle.err"; do sleep 0.05; done
            rm "$HOME_/full") &
        alfred run middle --model "$MODEL" > "$OUT/middle" 2> "$OUT/middle.err"
        wait
        dd if=/dev/zero of="$HOME_/full" bs=1k 2>/dev/null || true
        set +e
        alfred run second --model "$MODEL" --json > "$OUT/second" 2> "$OUT/second.err"
        echo $? > "$OUT/code"
        alfred stop --all > "$OUT/stop" 2>&1
        echo $? >> "$OUT/stop"
        rm "$HOME_/full"
        set -e
        alfred stop --all > "$OUT/stopped"
        alfred runs resume --all
        alfred run third --model "$MODEL" --json > "$OUT/third" 2> "$OUT/third.err"
        alfred db check > "$OUT/check"
        alfred audit verify >> "$OUT/check"
        alfred runs list --json > "$OUT/list"
    """
    out = machine.project.parent / "out"
    out.mkdir()
    (machine.home / "alfred.db").unlink()
    machine.script(DONE, others=({"match": "middle", "turns": [LOOK, {**DONE, "delay": 2}]},))
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    probe = subprocess.run(
        [*command, 'mount -t tmpfs tmpfs "$0"', str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip(f"no mount namespace here: {probe.stderr.strip()}")
    env = machine.env | {
        "HOME_": str(machine.home),
        "OUT": str(out),
        "MODEL": machine.model,
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        [*command, script],
        capture_output=True,
        text=True,
        env=env,
        cwd=machine.project,
        check=False,
        timeout=120,
    )
    told = {path.name: path.read_text() for path in out.iterdir()}
    assert done.returncode == 0, (done.stderr, told)
    assert "All is done." in told["middle"], told
    assert "Waiting for it" in told["middle.err"]
    assert told["code"].strip() in ("1", "2"), told
    assert "full" in told["second"] or "no space left" in told["second"], told
    assert "full" in told["stop"] or "no space left" in told["stop"], told
    assert "alfred worker" in told["stop"] and told["stop"].endswith(("\n1\n", "\n2\n")), told
    assert "nothing is started" in told["stopped"]
    assert "Traceback" not in "".join(told.values())
    assert '"completed"' in told["third"]
    assert "No damage" in told["check"]
    assert "the chain holds" in told["check"]
    assert '"running"' not in told["list"]


def test_a_limit_on_the_size_of_files_is_a_clear_error(machine: Machine) -> None:
    """RLIMIT_FSIZE: the kernel refuses to let the database grow, and sends SIGXFSZ."""
    machine.script(LOOK, DONE)
    small = (machine.home / "alfred.db").stat().st_size + 4096
    said = subprocess.run(
        [sys.executable, "-m", "alfred", "run", "x" * 60_000, "--model", machine.model],
        capture_output=True,
        text=True,
        env=machine.env,
        cwd=machine.project,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
    )
    _clear(said, 1, "alfred runs resume")
    assert machine.runs()[0]["status"] == "running"
    again = machine.alfred("runs", "resume", machine.runs()[0]["id"])
    assert again.returncode == 0, again.stderr
    assert "All is done." in again.stdout
    assert machine.alfred("db", "check").returncode == 0
