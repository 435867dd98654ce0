"""Runs every contender on both databases, one after the other, and prints the table with ratios and bars.

Usage: python -m bench [--quick] [--only NAME]…
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.load import QUICK, Load
from tests import pg

ROOT = Path(__file__).parent.parent
CONTENDERS = (
    "alfred_steps",
    "dbos_steps",
    "langgraph_steps",
    "procrastinate_steps",
    "floor",
    "flat",
    "resume",
    "gate",
    "children",
    "routing",
    "session",
)
POSTGRES_ONLY = {"procrastinate_steps"}
SQLITE_ONLY = {"routing"}
"""Asks no database: one time is enough."""
RACERS = {"alfred_steps", "dbos_steps", "langgraph_steps", "procrastinate_steps", "floor"}
ROUNDS = 3
"""Of each racer the fastest counts."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the load, to see that it runs"
    )
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="just this contender")
    given = parser.parse_args()
    load = QUICK if given.quick else Load()
    told: dict[str, dict[str, dict[str, float]]] = {"sqlite": {}, "postgres": {}}
    with tempfile.TemporaryDirectory() as scratch:
        server = pg.join(f"bench-{os.getpid()}")
        try:
            for turn, name in _turns(given.only or CONTENDERS):
                for database in told:
                    if name in (POSTGRES_ONLY if database == "sqlite" else SQLITE_ONLY):
                        continue
                    if database == "sqlite":
                        url = f"sqlite:///{scratch}/{name}-{turn}.db"
                    else:
                        url = server.create("template1")
                    found = _contender(name, url, load)
                    sys.stderr.write(f"{database:>9} {name:<20} {found}\n")
                    told[database][name] = _better(told[database].get(name), found)
        finally:
            server.close()
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": vars(load),
        "results": told,
    }
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "latest.json").write_text(json.dumps(report, indent=1))
    sys.stdout.write(table(report))
    return 0


def _turns(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Who races does so `ROUNDS` times, in turn: a machine is not equally fast from minute to minute."""
    for turn in range(ROUNDS):
        yield from ((turn, name) for name in names if name in RACERS)
    yield from ((0, name) for name in names if name not in RACERS)


def _better(before: dict[str, float] | None, now: dict[str, float]) -> dict[str, float]:
    """Of two turns of one contender the faster one."""
    return now if before is None or now["steps_s"] > before["steps_s"] else before


def _contender(name: str, url: str, load: Load) -> dict[str, float]:
    arguments = [word for key, value in vars(load).items() for word in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", url, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(report: dict[str, Any]) -> str:
    """The report as a table, with what each bar asks."""
    lines = [
        f"{report['machine']}; {report['load']['runs']} runs x {report['load']['steps']} steps x {report['load']['payload']} bytes",
        "",
    ]
    for database, results in report["results"].items():
        ours = results.get("alfred_steps", {})
        lines.append(f"{database:<22}{'steps/s':>10}{'alfred is':>12}   bar")
        for name, bar in (
            ("alfred_steps", ""),
            ("dbos_steps", "at least 5x"),
            ("langgraph_steps", "at least 3x"),
            ("procrastinate_steps", ""),
            ("floor", "one commit a step, nothing else"),
        ):
            if name in results:
                speed = results[name]["steps_s"]
                ratio = f"{ours['steps_s'] / speed:.2f}x" if ours and name != "alfred_steps" else ""
                lines.append(
                    f"  {name.removesuffix('_steps'):<20}{speed:>10,.0f}{ratio:>12}   {bar}"
                )
        limit = "1 ms" if database == "sqlite" else "5 ms"
        if ours:
            lines.append(
                f"  step to step, one run: p50 {ours['step_p50_ms']} ms, p99 {ours['step_p99_ms']} ms   bar: p50 {limit}"
            )
            lines.append(
                f"  wake among {report['load']['parked']:,} parked: p50 {ours['wake_p50_ms']} ms, p99 {ours['wake_p99_ms']} ms   bar: p50 20 ms"
            )
        if "flat" in results:
            flat = results["flat"]
            lines.append(
                f"  commit behind 50 items {flat['commit_50_ms']} ms, behind 5,000 {flat['commit_5000_ms']} ms: {flat['long_over_short']}x   bar: flat"
            )
            lines.append(
                f"  claim beside 10 queued of a full agent {flat['claim_10_ms']} ms, beside 10,000 {flat['claim_10000_ms']} ms   bar: flat"
            )
        if "resume" in results:
            lines.append(
                f"  resumed after kill -9, from the start of the new process: {results['resume']['resume_s']} s   bar: 1 s"
            )
        if "gate" in results:
            gate = results["gate"]
            lines.append(
                f"  around a look: p50 {gate['look_p50_ms']} ms, an effect: p50 {gate['effect_p50_ms']} ms   bar on SQLite: 0.5 ms, 3 ms"
            )
        if "children" in results:
            children = results["children"]
            lines.append(
                f"  one run and its 100 children: {children['boss_s']} s; the same hundred that nobody waits for: {children['alone_s']} s"
            )
        if "routing" in results:
            routing = results["routing"]
            lines.append(
                f"  the agent of a message among 10,000 bindings: p50 {routing['route_p50_us']} µs, p99 {routing['route_p99_us']} µs; by looking at each: {routing['scan_p50_us']:,} µs   bar: p50 50 µs"
            )
        if "session" in results:
            turn = results["session"]
            lines.append(
                f"  a turn of a conversation beside its model: p50 {turn['first_p50_ms']} ms, behind 150 turns {turn['last_p50_ms']} ms, of which five commits of {turn['commit_p50_ms']} ms   bar on SQLite: p50 10 ms"
            )
        lines.append("")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
