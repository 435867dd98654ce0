"""How long it takes to find the agent of a message among 10,000 bindings, beside looking at each of them.

No database is asked. Bindings are of every shape, on four platforms; every other message fits one of them in the most
specific way there is, the others fit a general one or none. The scan is the rules as agents.md would be read aloud: it
is told the same messages and has to name the same agents.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from alfred.agents import BindingRouter
from bench.load import Load, main, quantile

BINDINGS = 10_000
MESSAGES = 4_000
SCANNED = 100
"""Messages that the scan is given: it takes milliseconds for each."""

PLATFORMS = ("telegram", "discord", "slack", "matrix")
KINDS = ("dm", "group", "channel", "thread")
SHAPES = (
    ("chat_id",),
    ("chat_id", "thread_id"),
    ("chat_id", "guild_id"),
    ("peer",),
    ("peer", "team_id"),
    ("guild_id", "chat_type"),
    ("team_id", "chat_type"),
    ("guild_id",),
    ("team_id", "user_id"),
    ("chat_type",),
    ("user_id",),
    (),
)

Match = dict[str, str]


def measure(url: str, load: Load) -> dict[str, float]:
    chance = random.Random(5)
    bindings = [_binding(chance) for _ in range(BINDINGS)]
    matches = [(one["agent"], one["match"]) for one in bindings]
    messages = [
        _message(chance, chance.choice(matches)[1] if n % 2 else {}) for n in range(MESSAGES)
    ]
    started = time.perf_counter()
    router = BindingRouter(bindings, "main")
    built = time.perf_counter() - started
    routed, found = _timed(lambda message: router.resolve(**message).agent, messages)
    scanned, right = _timed(lambda message: _scan(matches, message), messages[:SCANNED])
    if found[:SCANNED] != right:
        raise SystemExit("The router and the scan name different agents.")
    return {
        "route_p50_us": round(quantile(routed, 0.5) * 1e6, 1),
        "route_p99_us": round(quantile(routed, 0.99) * 1e6, 1),
        "scan_p50_us": round(quantile(scanned, 0.5) * 1e6, 1),
        "built_ms": round(built * 1e3, 1),
    }


def _binding(chance: random.Random) -> dict[str, Any]:
    match = {"platform": chance.choice(PLATFORMS)}
    match |= {key: _value(chance, key) for key in chance.choice(SHAPES)}
    return {"agent": f"a{chance.randrange(50)}", "match": match}


def _message(chance: random.Random, fits: Match) -> dict[str, Any]:
    keys = ("chat_id", "user_id", "chat_type", "guild_id", "team_id", "thread_id")
    there = {key: _value(chance, key) for key in keys if chance.random() < 0.7}
    return {"platform": chance.choice(PLATFORMS), **there, **fits}


def _value(chance: random.Random, key: str) -> str:
    return (
        chance.choice(KINDS) if key == "chat_type" else str(chance.randrange(10**9, 10**9 + 5000))
    )


def _scan(bindings: list[tuple[str, Match]], message: Match) -> str:
    """The agent of a message, by looking at every binding."""
    if message.get("chat_type") == "dm" and "peer" not in message and "user_id" in message:
        message = {**message, "peer": message["user_id"]}
    best: tuple[int, int] | None = None
    agent = "main"
    for name, match in bindings:
        if all(message.get(key) == value for key, value in match.items()):
            rank = (_tier(match), -len(match))
            if best is None or rank < best:
                best, agent = rank, name
    return agent


def _tier(match: Match) -> int:
    whole = "guild_id" in match or "team_id" in match
    for tier, there in enumerate(
        ("chat_id" in match, "peer" in match, whole and "chat_type" in match, whole, "chat_type" in match)
    ):  # fmt: skip
        if there:
            return tier + 1
    return 6


def _timed(
    find: Callable[[dict[str, Any]], str], messages: list[dict[str, Any]]
) -> tuple[list[float], list[str]]:
    spent, found = [], []
    for message in messages:
        started = time.perf_counter()
        agent = find(message)
        spent.append(time.perf_counter() - started)
        found.append(agent)
    return spent, found


if __name__ == "__main__":
    main(measure)
