"""People talk to two bots at once, in direct chats, a group and its topics, through two processes, while the platform refuses and
loses: whatever was said is in one conversation, that of its place, and whatever was answered is read there once, in order."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alfred.channels.base import Envelope
from alfred.store.statement import Sql
from alfred.testing import FakeChannel, loses_the_answer, refuses
from tests.flows import test_two_bots as two_bots
from tests.flows.test_two_bots import Town

SAID = 60
SCRIPT = {"runs": [{"match": ".", "turns": [{"say": f"Answer {n}."} for n in range(SAID)]}]}

_HEARD = Sql(
    "select k.key,r.agent,r.id from runs r join session_keys k on k.session_id=r.session_id"
    " where r.brief=:text or exists(select 1 from interjections i where i.run_id=r.id and i.body=:text)"
)
_ANSWERED = Sql("select item from transcript where run_id=:id and kind='assistant' order by n")
_LISTEN = Sql("select run_id,target from listeners")
_TOLD = Sql("select body from outbox where run_id=:id and target=:target order by n")
_LEFT = Sql(
    "select (select count(*) from outbox where sent_at is null)"
    "+(select count(*) from interjections where consumed_seq is null)"
)


def _said(bot: FakeChannel, n: int, chance: random.Random) -> tuple[str, Envelope]:
    """Something that somebody says somewhere, and the key of the conversation that it belongs to."""
    user = chance.choice("12")
    where: dict[str, tuple[str, dict[str, Any]]] = {
        f"dm:{user}": (user, {}),
        f"group:g:{user}": ("g", {"chat_type": "group"}),
        f"thread:g:{user}": ("g", {"chat_type": "group", "thread": user}),
    }
    key = chance.choice(list(where))
    chat, more = where[key]
    agent = bot.identity.removeprefix("bot-")
    message = bot.message(f"message {n:03}", user=user, chat=chat, **more)
    return f"agent:{agent}:local:{key}", message


def test_whatever_is_said_is_in_its_conversation_and_whatever_is_answered_is_read_once_in_order(
    home: Path, tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_bots, "SCRIPT", SCRIPT)
    monkeypatch.setattr("alfred.channels.deliver.EVERY", 0.02)
    monkeypatch.setattr("alfred.channels.deliver._pause", lambda attempts: 1_000)
    chance = random.Random(1)
    town = Town(home, tmp_path, store_url)
    town.people = frozenset("12")
    bots = (town.a, town.b)
    said = [_said(chance.choice(bots), n, chance) for n in range(SAID)]
    lost = (refuses(), loses_the_answer(shown=True), loses_the_answer(shown=False))
    for bot in bots:
        bot.then(*(chance.choice((*lost, lambda show: show())) for _ in range(SAID // 2)))
    with town.process() as one, town.process() as other:
        workers = [whole.worker(kind="worker") for whole in (one, other)]
        for worker in workers:
            worker.start()
        brought = [*said, *chance.sample(said, SAID // 3)]
        with ThreadPoolExecutor(6) as pool:
            doors = [chance.choice((one, other)).door for _ in brought]
            list(pool.map(lambda door, it: door.accept(it[1]), doors, brought))
        for worker in workers:
            worker.until_idle()
        for worker in workers:
            worker.stop()
        with one.base.store.read() as look:
            assert look(_LEFT).scalar() == 0
            for key, message in said:
                [heard] = look(_HEARD, text=message.text).all()
                assert (heard.key, heard.agent) == (key, key.split(":")[1])
            answers = 0
            for run_id, target in look(_LISTEN).all():
                given = [json.loads(item)["text"] for item in look(_ANSWERED, id=run_id).scalars()]
                assert look(_TOLD, id=run_id, target=target).scalars() == given
                answers += len(given)
    shown = [one for bot in bots for one in bot.shown]
    assert len({one.key for one in shown}) == len(shown) == answers
