"""The outside world of the crash tests: actions of every effect class, and the log of what really arrived.

The log is the oracle: a line is written by the effect itself, appended by one `write`, and no row of alfred's
has a say in it. A keyed receiver drops a repeat that carries a key it has seen, so its line counts once.
"""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Happened, NotHappened, Probe, Risk
from tests.crash import points

LOG = "world.log"

during: Callable[[int], None] | None = None
"""What a scenario does while the effect `n` is under way."""


def _receive(ctx: ActionContext, effect: str, n: int, key: str | None) -> None:
    points.reach("before the effect")
    if during is not None:
        during(n)
    _append(ctx.home / LOG, {"effect": effect, "n": n, "key": key, "call": ctx.call_id})
    points.reach("after the effect")


def _append(path: Path, line: dict[str, Any]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, json.dumps(line).encode() + b"\n")
    os.close(fd)


def received(home: Path) -> list[dict[str, Any]]:
    """Everything that arrived, in order."""
    try:
        return [json.loads(line) for line in (home / LOG).read_text().splitlines()]
    except FileNotFoundError:
        return []


def arrived(home: Path, call_id: str) -> bool:
    """Whether this call arrived: what a truthful person finds when they look."""
    return any(line["call"] == call_id for line in received(home))


def took_place(home: Path) -> collections.Counter[int]:
    """How often each effect took place: the receiver of keyed ones drops repeats of a key."""
    seen: set[tuple[int, str]] = set()
    count: collections.Counter[int] = collections.Counter()
    for line in received(home):
        if line["effect"] == "keyed":
            if (line["n"], line["key"]) in seen:
                continue
            seen.add((line["n"], line["key"]))
        count[line["n"]] += 1
    return count


@action("world.look", integration="world", risk=Risk.NONE, effect=Effect.PURE)
def look(n: int) -> int:
    """Reads.

    Args:
        n: What.
    """
    points.reach("looking")
    return n


@action("world.keyed", integration="world", risk=Risk.MEDIUM, effect=Effect.KEYED)
def keyed(n: int, *, key: str, ctx: ActionContext) -> str:
    """Sends to a receiver that drops repeats.

    Args:
        n: What.
    """
    _receive(ctx, "keyed", n, key)
    return f"sent {n}"


def _check(n: int, *, key: str, ctx: ActionContext) -> Probe:
    points.reach("probing")
    there = any(line["key"] == key for line in received(ctx.home))
    return Happened(f"sent {n}") if there else NotHappened()


@action(
    "world.checkable", integration="world", risk=Risk.MEDIUM, effect=Effect.CHECKABLE, check=_check
)
def checkable(n: int, *, key: str, ctx: ActionContext) -> str:
    """Sends to a receiver that can be asked.

    Args:
        n: What.
    """
    _receive(ctx, "checkable", n, key)
    return f"sent {n}"


@action("world.blind", integration="world", risk=Risk.MEDIUM, effect=Effect.BLIND)
def blind(n: int, *, ctx: ActionContext) -> str:
    """Sends to a receiver that neither drops repeats nor can be asked.

    Args:
        n: What.
    """
    _receive(ctx, "blind", n, None)
    return f"sent {n}"


@action("world.asked", integration="world", risk=Risk.HIGH, effect=Effect.KEYED)
def asked(n: int, *, key: str, ctx: ActionContext) -> str:
    """Sends what a person has to allow.

    Args:
        n: What.
    """
    _receive(ctx, "keyed", n, key)
    return f"sent {n}"


def _arrived(args: dict[str, Any], ctx: ActionContext) -> list[int]:
    # its own arrival is none of it: sent once more after a crash it is the same call
    return sorted({line["n"] for line in received(ctx.home) if line["n"] < args["n"]})


@action("world.behind", integration="world", risk=Risk.HIGH, effect=Effect.KEYED, target=_arrived)
def behind(n: int, *, key: str, ctx: ActionContext) -> str:
    """Sends what a person has to allow, knowing what arrived before it.

    Args:
        n: What.
    """
    _receive(ctx, "keyed", n, key)
    return f"sent {n}"


@action("world.low", integration="world", risk=Risk.LOW, effect=Effect.BLIND)
def low(n: int, *, ctx: ActionContext) -> str:
    """Sends something of little weight.

    Args:
        n: What.
    """
    _receive(ctx, "blind", n, None)
    return f"sent {n}"


@action("world.cut", integration="world", risk=Risk.MEDIUM, effect=Effect.BLIND)
def cut(n: int, sent: bool, *, ctx: ActionContext) -> str:
    """Sends over a line that breaks at the first try, before or after it was sent.

    Args:
        n: What.
        sent: Whether it had been sent by then.
    """
    tried = ctx.home / f"tried-{n}"
    first = not tried.exists()
    tried.touch()
    if sent or not first:
        _receive(ctx, "blind", n, None)
    if first:
        raise ConnectionResetError("the line was cut")
    return f"sent {n}"


ACTIONS = (look, keyed, checkable, blind, asked, behind, low, cut)
