"""What executes runs has keys in its memory: other programs of its user read none of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.slow.conftest import Machine

# Root reads everything: as root without what lets it.
_LESS = "-sys_ptrace,-perfmon,-sys_admin"
AS_A_USER = (
    ("setpriv", f"--inh-caps={_LESS}", f"--bounding-set={_LESS}") if os.geteuid() == 0 else ()
)
SECRET = "a-key-in-the-environment"


def _reads(pid: int, what: str) -> bool:
    """Whether another program of the user has SECRET from there."""
    found = subprocess.run(
        [*AS_A_USER, "cat", f"/proc/{pid}/{what}"], capture_output=True, check=False
    )
    return SECRET.encode() in found.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="built for Linux only")
@pytest.mark.needs_program("setpriv")
@pytest.mark.parametrize("command", ["worker", "serve"])
def test_what_executes_runs_shows_its_environment_to_nobody(machine: Machine, command: str) -> None:
    open_to_all = subprocess.Popen([*AS_A_USER, "sleep", "60"], env=os.environ | {"KEY": SECRET})
    try:
        machine.until(lambda: _reads(open_to_all.pid, "environ"), "others are read")
    finally:
        open_to_all.kill()
        open_to_all.wait()
    started = machine.start(command, within=AS_A_USER, KEY=SECRET)
    machine.until(lambda: machine.home_of(started.pid), "it is at work")
    assert not _reads(started.pid, "environ")
