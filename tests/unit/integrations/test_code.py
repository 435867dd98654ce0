"""Python that a model wrote: judged, bound and bounded as a command is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alfred import errors
from alfred.actions import Risk, results
from alfred.integrations import code, shell
from alfred.trust import sandbox
from tests.built import built
from tests.table import table

BWRAP = pytest.mark.needs_program("bwrap")
NONE = sandbox.Available(None, "for a test")


def root(bench: Any) -> Path:
    return bench.ctx.workspace.root


def run(bench: Any, text: str, **given: Any) -> dict[str, Any]:
    """Judges and runs code, as the gate does."""
    bench.judged(code.run, code=text, **given)
    return bench.call(code.run, code=text, **given)


@pytest.fixture
def open_bench(new_bench: Any) -> Any:
    """A bench in a made workspace whose owner wrote `sandbox: off`."""
    return new_bench(sandbox="off")


def test_code_risks_what_a_command_risks(
    bench: Any, brought: Any, new_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = built(code.run), built(shell.run)
    for name in ("risk", "effect", "classify", "label", "timeout_s", "redact"):
        assert getattr(ours, name) == getattr(theirs, name), name
    boxed = sandbox.Available("bubblewrap", "", "/x")
    monkeypatch.setattr(sandbox, "available", lambda: boxed)
    assert bench.risk(code.run, code="x", write=True) is Risk.NONE
    assert brought.risk(code.run, code="x") is Risk.NONE
    assert brought.risk(code.run, code="x", write=True) is Risk.MEDIUM
    assert new_bench(sandbox="off").risk(code.run, code="x") is Risk.HIGH
    for own, of_all, risk in (("off", "auto", Risk.HIGH), ("auto", "off", Risk.NONE)):
        agents = {"other": {"sandbox": of_all}, "x": {"id": "main", "sandbox": own}}
        told = new_bench(sandbox=of_all, agents=agents).risk(code.run, code="x")
        assert told is risk, "an agent's own word counts"
    monkeypatch.setattr(sandbox, "available", lambda: NONE)
    assert bench.risk(code.run, code="x") is Risk.HIGH
    assert "WITHOUT a sandbox" in bench.preview(code.run, code="x")


def test_code_that_was_judged_with_a_sandbox_never_runs_without(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxed = sandbox.Available("bubblewrap", "", "/x")
    monkeypatch.setattr(sandbox, "available", lambda: boxed)
    bench.judged(code.run, code="open('ran', 'w')")
    monkeypatch.setattr(sandbox, "available", lambda: NONE)
    with pytest.raises(errors.CallFailed, match="judged with a sandbox"):
        bench.call(code.run, code="open('ran', 'w')")
    assert not (root(bench) / "ran").exists()


@table(
    [
        ("import helper", "helper.py"),
        ("from helper import x", "helper.py"),
        ("if x:\n    import helper as h", "helper.py"),
        ("import pack.mod", "pack/mod.py"),
        ("import pack", "pack/__init__.py"),
        ("import os, pack.mod as m", "pack/mod.py"),
        ("x = 1; import helper", "helper.py"),
        ("from pack import (\n    other,\n    mod as m,\n)", "pack/mod.py"),
        ("from pack import other, mod", "pack/mod.py"),
        ("\n" * 90_000 + "import helper", "helper.py"),  # in no time
        ("exec(open('helper.py').read())", "helper.py"),
        ("for n in ['pack/mod.py']: pass", "pack/mod.py"),
    ]
)
def test_the_files_that_code_names_are_bound_to_it(bench: Any, text: str, bound: str) -> None:
    (root(bench) / "pack").mkdir(exist_ok=True)
    for name in ("helper.py", "pack/__init__.py", "pack/mod.py"):
        (root(bench) / name).write_text("x = 1")
    before = bench.target(code.run, code=text)
    assert bound in before["files"]
    (root(bench) / bound).write_text("x = 2")
    assert bench.target(code.run, code=text) != before


def test_too_much_code_is_refused_with_the_other_way(bench: Any) -> None:
    with pytest.raises(errors.CallFailed, match="at most 100000 bytes") as refused:
        run(bench, "x" * 100_001)
    assert "files.write" in str(refused.value.next)


def test_a_machine_without_python_is_told(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # its own name for the library: the sandbox is looked for with the real one
    monkeypatch.setattr(code, "shutil", SimpleNamespace(which=lambda name, path: None))
    with pytest.raises(errors.CallFailed, match="no python3"):
        run(bench, "1")


@BWRAP
@pytest.mark.slow
def test_code_computes_in_the_workspace_and_leaves_nothing_but_what_it_writes(
    bench: Any, brought: Any
) -> None:
    (root(bench) / "helper.py").write_text("def twice(n): return 2 * n")
    done = run(bench, "import helper, sys\nprint(helper.twice(21), 'ä')\nsys.exit(3)")
    assert done == {"exit_code": 3, "output": "42 ä\n", "length": 5, "sandbox": "bubblewrap"}
    assert [path.name for path in root(bench).iterdir()] == ["helper.py"]
    wrong = run(bench, "x = 1\nx / 0")
    assert (wrong["exit_code"], "line 2" in wrong["output"]) == (1, True)
    text = "open('file', 'w').write('x')"
    refused = run(brought, text)
    assert "Read-only" in refused["output"]
    assert run(brought, text, write=True)["exit_code"] == 0
    assert (root(brought) / "file").read_text() == "x"
    steering = "import os; os.mkdir('.git'); open('.git/config', 'w'); open('CLAUDE.md', 'w')"
    done = run(brought, steering, write=True)
    assert len(done["ATTENTION"]) == 3
    assert [path.name for path in root(brought).iterdir()] == ["file"]


REACHING = """
import os, socket, subprocess
found = []
def attempt(name, what):
    try:
        found.append((name, str(what())))
    except Exception as why:
        found.append((name, type(why).__name__))
for path in {paths!r}:
    attempt(path, lambda: open(path).read())
attempt("list", lambda: os.listdir({home!r}))
attempt("env", lambda: dict(os.environ))
attempt("proc", lambda: open("/proc/{pid}/environ").read())
attempt("all", lambda: [open(f"/proc/{{n}}/environ").read() for n in os.listdir("/proc") if n.isdigit()])
attempt("kill", lambda: os.kill({pid}, 0))
attempt("net", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
attempt("name", lambda: socket.gethostbyname("localhost.localdomain"))
attempt("write", lambda: open({out!r}, "w").write("x"))
attempt("sh", lambda: subprocess.run(["cat", *{paths!r}], capture_output=True, text=True).stdout)
for name, said in found:
    print(name, said)
"""


@BWRAP
def test_code_reaches_nothing_out_of_its_sandbox(
    bench: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "canary-in-env")
    (home / "workspaces" / "other").mkdir()
    secrets = [
        home / ".env",
        home / "workspaces" / "other" / "x",
        home / "alfred.db",
        Path.home() / "x",
    ]
    for path in secrets:
        path.write_text("canary")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        text = REACHING.format(
            paths=[str(path) for path in secrets],
            home=str(home),
            pid=os.getpid(),
            port=listening.getsockname()[1],
            out=str(tmp_path / "out"),
        )
        done = run(bench, text)
    (Path.home() / "x").unlink()
    assert done["exit_code"] == 0, done["output"]
    assert "canary" not in done["output"].lower()
    told = dict(line.split(" ", 1) for line in done["output"].splitlines() if " " in line)
    assert told["kill"] == "ProcessLookupError"
    assert told["net"] in ("OSError", "ConnectionRefusedError")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_long_output_is_shown_as_head_and_tail_and_a_run_away_is_ended(
    open_bench: Any, clock: Any
) -> None:
    done = run(open_bench, "for n in range(100000): print(n)")
    assert f"of {done['length']} characters left out" in done["output"]
    assert len(json.dumps(done)) < results.RESULT_LIMIT
    open_bench.ctx = _told(open_bench.ctx, lambda line: clock.advance(700))
    done = run(open_bench, "print('begun')\nwhile True: pass", timeout=5)
    assert (done["ended"], done["output"]) == ("ended after 5 s", "begun\n")


def _told(ctx: Any, emit: Any) -> Any:
    from dataclasses import replace

    return replace(ctx, emit=emit)
