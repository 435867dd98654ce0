"""alfred: from the start of a new worker after kill -9 to the first step that it commits, on the same host."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alfred.store import connect
from alfred.store.statement import Sql
from bench.load import Load, main


def measure(url: str, load: Load) -> dict[str, float]:
    took = [_once(url) for _ in range(3)]
    return {"resume_s": round(statistics.median(took), 3), "python_start_s": round(_bare(), 3)}


def _once(url: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        home, scenario = Path(folder) / "home", Path(folder) / "scenario.yaml"
        scenario.write_text(
            json.dumps({"runs": [{"match": ".", "turns": [{"say": "x", "delay": 60}]}]})
        )
        env = {**os.environ, "ALFRED_HOME": str(home), "ALFRED_NO_WORKER": "1"}
        if url.startswith("postgres"):
            env["ALFRED_DATABASE_URL"] = url
        alfred = [sys.executable, "-m", "alfred"]
        model = f"scripted:{scenario}"
        told = subprocess.run(
            [*alfred, "run", "wait", "--detach", "--json", "--model", model],
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        run = json.loads(told.stdout)["id"]
        store = connect.open_store(
            url if url.startswith("postgres") else f"sqlite:///{home}/alfred.db"
        )
        first = _worker(alfred, env)
        _until(store, run, "attempt=1 and status='running'")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        began = time.perf_counter()
        second = _worker(alfred, env)
        _until(store, run, "attempt=2 and status='running'")
        took = time.perf_counter() - began
        os.killpg(second.pid, signal.SIGKILL)
        second.wait()
        store.close()
        return took


def _worker(alfred: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*alfred, "worker"], env=env, start_new_session=True, stdout=quiet, stderr=quiet
    )


def _until(store: connect.Store, run: str, state: str) -> None:
    while True:
        with store.read() as look:
            if look(Sql(f"select 1 from runs where id=:run and {state}"), run=run).scalar():
                return
        time.sleep(0.005)


def _bare() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(measure)
