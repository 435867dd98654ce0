"""The work that every contender does: so many runs of so many steps, each step keeping one payload."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Load:
    """How much is done."""

    runs: int = 100
    steps: int = 20
    payload: int = 4096
    parked: int = 10_000
    wakes: int = 200

    @property
    def text(self) -> str:
        return "x" * self.payload


QUICK = Load(runs=20, parked=1_000, wakes=50)


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def milliseconds(values: Sequence[float]) -> dict[str, float]:
    """Median and tail of seconds, as milliseconds."""
    return {
        "p50_ms": round(statistics.median(values) * 1e3, 3),
        "p99_ms": round(quantile(values, 0.99) * 1e3, 3),
    }


def main(measure: Callable[[str, Load], dict[str, float]]) -> None:
    """Runs one contender in a process of its own: database URL and load in, one line of JSON out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    for name, value in asdict(Load()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = vars(parser.parse_args())
    url = given.pop("url")
    sys.stdout.write(json.dumps(measure(url, Load(**given))) + "\n")
