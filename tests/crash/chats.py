"""Two agents behind two bots: a story in which people talk to both at once while alfred dies.

What people read is the log that the bots' platform writes. One of them drops a repeat of what it has shown, the other shows it
twice: the first must show everything once, the second nothing twice, and what it does not show must be known as given up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred.channels.base import Address, Envelope, Line, Lines
from alfred.channels.deliver import Deliverer
from alfred.channels.door import Door
from alfred.config_live import LiveSettings
from alfred.testing import FakeChannel
from tests.crash import points, world

if TYPE_CHECKING:
    from tests.crash.parts import Parts

LOG = "chats.log"
AGENTS = ("a", "b")
ROUNDS = 3

SCRIPT = [
    (
        f"chat {agent}{n}",
        {"calls": [{"tool": "channels.send", "args": {"text": f"{agent}{n}: wait."}}]},
        {"say": f"{agent}{n}: done."},
    )
    for agent in AGENTS
    for n in range(1, ROUNDS + 1)
]
EXPECTED = {
    agent: [f"{agent}{n}: {word}." for n in range(1, ROUNDS + 1) for word in ("wait", "done")]
    for agent in AGENTS
}
ENDS = {match: "completed" for match, *_ in SCRIPT}


class Bot(FakeChannel):
    """A bot whose platform outlives the process."""

    def __init__(self, home: Path, agent: str):
        super().__init__(f"bot-{agent}", deduplicates=agent == "a")
        self.home = home

    def send(self, address: Address, text: str, *, key: str) -> str | None:
        points.reach("before it is said")
        world._append(self.home / LOG, {"to": str(address), "key": key, "text": text})
        points.reach("after it was said")
        return None


def lines(home: Path) -> Lines:
    """Each agent behind its bot."""
    return Lines(
        Line(channel=Bot(home, agent), people=frozenset({"1"}), agent=agent) for agent in AGENTS
    )


def say(parts: Parts, agent: str, n: int) -> None:
    """A person says something to a bot; said again, it is the same message."""
    door = Door(
        store=parts.store,
        tenant="main",
        lines=lines(parts.home),
        settings=LiveSettings(parts.home, lambda home, tenant: parts.settings),
        tools=lambda tenant, agent: ["channels.send"],
        model=lambda tenant, agent: f"scripted:{parts.script}",
    )
    to = Address("local", f"bot-{agent}", "1")
    door.accept(Envelope(to=to, key=f"m{n}", user="1", text=f"chat {agent}{n}"))


def begin(parts: Parts) -> None:
    """Both are spoken to at once."""
    (parts.home / "agents").mkdir(mode=0o700, exist_ok=True)
    for agent in AGENTS:
        say(parts, agent, 1)


def tend(parts: Parts) -> bool:
    """What is to be said is said; then each person says the next thing."""
    bots = [line.channel for line in lines(parts.home)]
    if sum(Deliverer(parts.store, "main", bot).beat() for bot in bots):
        return True
    said = False
    for agent in AGENTS:
        n = 1 + parts.one("select count(*) from runs where agent=:agent", agent=agent)
        if n <= ROUNDS and not parts.one(
            "select count(*) from outbox where sent_at is null and dead_at is null"
        ):
            say(parts, agent, n)
            said = True
    return said


def wrong(parts: Parts) -> list[str]:
    """What people should have read and did not, or read twice, or out of order, or from the wrong bot."""
    told: list[str] = []
    for agent in AGENTS:
        read = _read(parts.home, f"local:bot-{agent}:1", once=agent == "a")
        dead = parts.one(
            "select count(*) from outbox where dead_at is not null and channel=:c",
            c=f"local:bot-{agent}",
        )
        whole = EXPECTED[agent]
        kept = [text for text in whole if text in read]
        if read != kept or len(whole) - len(kept) > dead or (agent == "a" and dead):
            told.append(f"{agent} said {read}, and gave up {dead}")
    return told


def _read(home: Path, to: str, *, once: bool) -> list[str]:
    """What stands in a chat; `once`: the platform drops what it has shown."""
    try:
        log: list[dict[str, Any]] = [
            json.loads(line) for line in (home / LOG).read_text().splitlines()
        ]
    except FileNotFoundError:
        return []
    shown: list[dict[str, Any]] = []
    for line in log:
        if line["to"] == to and not (once and any(line["key"] == one["key"] for one in shown)):
            shown.append(line)
    return [line["text"] for line in shown]
