"""How long it takes to judge a command and a statement, over the tables of the tests.

    python -m bench.risk

Each text is judged again and again, in an order of its own each time; the numbers are milliseconds of all
judgements together, and the bar is a 99th percentile of 5 ms for what people write (at most 4,000 characters).
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

from alfred.actions import Risk, classify_command, classify_sql
from tests.unit.actions import test_commands, test_hostile_commands, test_sql

ROUNDS = 20
LONGEST = 4_000
BAR_MS = 5.0


def main() -> int:
    hostile, asks, harmless = (
        test_hostile_commands.HOSTILE,
        test_hostile_commands.ASKS,
        test_hostile_commands.HARMLESS,
    )
    commands = {*(text for text, _ in test_commands.EXPECTED), *hostile, *asks, *harmless}
    statements = {text for text, _ in test_sql.EXPECTED}
    told = {
        "classify_command": measured(lambda text: classify_command(text, cwd="/srv/w"), commands),
        "classify_sql": measured(classify_sql, statements),
    }
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return int(any(row["p99_ms"] > BAR_MS for row in told.values()))


def measured(judge: Callable[[str], Risk], texts: set[str]) -> dict[str, float]:
    """The first judgement (with the parser's import), the median, the 99th percentile and the longest."""
    usual = sorted(text for text in texts if len(text) <= LONGEST)
    spent = [_timed(judge, "select 1")]
    chance = random.Random(0)
    for _ in range(ROUNDS):
        chance.shuffle(usual)
        spent += [_timed(judge, text) for text in usual]
    first, *rest = spent
    rest.sort()
    return {
        "texts": len(usual),
        "first_ms": round(first, 3),
        "p50_ms": round(rest[len(rest) // 2], 3),
        "p99_ms": round(rest[int(len(rest) * 0.99)], 3),
        "longest_ms": round(rest[-1], 3),
    }


def _timed(judge: Callable[[str], Risk], text: str) -> float:
    started = time.perf_counter()
    judge(text)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
