"""`channels.send`: where it may go, what that costs, and that it is a row of the outbox with the key of its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alfred import errors, ids
from alfred.actions import taint
from alfred.actions.kinds import Effect, Risk
from alfred.actions.taint import Sink, Standing
from alfred.channels import send
from alfred.channels.base import Line, Lines
from alfred.runs import ledger, listeners
from alfred.runs.rows import NewRun
from alfred.store.statement import Sql
from alfred.testing import FakeChannel
from tests.built import built
from tests.table import table
from tests.unit.integrations.conftest import Bench

MINE = FakeChannel("mine")
OTHERS = FakeChannel("others")
SHARED = FakeChannel("shared")
PEOPLE = frozenset({"1"})
LINES = Lines(
    [
        Line(channel=MINE, people=PEOPLE, agent="main"),
        Line(channel=OTHERS, people=PEOPLE, agent="coder"),
        Line(channel=SHARED, people=PEOPLE),
    ]
)
[SEND] = send.actions(LINES, "main")


def _speaks(bench: Bench, chat: str, *, agent: str = "main", own: bool = False) -> None:
    """Somebody said something to a run of an agent; `own`: to the run of the bench."""
    run_id = bench.ctx.run_id if own else ids.new()

    def verb(tx: Any) -> None:
        ledger.start(tx, NewRun(id=run_id, workflow="w", step="s", agent=agent))
        listeners.listen(tx, run_id, channel=chat.rpartition(":")[0], target=chat)

    bench.ctx.store.transact(verb)


@pytest.fixture
def spoken_to(new_bench: Callable[..., Bench]) -> Bench:
    """In a run that somebody has spoken to, behind the agent's own bot."""
    bench = new_bench()
    _speaks(bench, "local:mine:1", own=True)
    return bench


def test_without_a_channel_there_is_no_such_action() -> None:
    assert send.actions(Lines(), "main") == ()


def test_a_message_is_a_row_of_the_outbox_with_the_key_of_its_call(spoken_to: Bench) -> None:
    key = ids.new() * 2
    assert spoken_to.call(SEND, text=" hi \u202e", key=key)["to"] == "local:mine:1"
    [write] = spoken_to.ctx.along
    for _ in range(2):
        spoken_to.ctx.store.transact(write)
    with spoken_to.ctx.store.read() as look:
        rows = look(Sql("select channel,target,run_id,body from outbox where id=:id"), id=key).all()
    assert [tuple(row) for row in rows] == [
        ("local:mine", "local:mine:1", spoken_to.ctx.run_id, "hi \\u{202E}")
    ]
    assert built(SEND).effect is Effect.KEYED


@table(
    [
        (None, "local:mine:1", Risk.NONE, Standing.OWNERS),
        ("local:mine:1", "local:mine:1", Risk.NONE, Standing.OWNERS),
        ("local:mine:2", "local:mine:2", Risk.MEDIUM, Standing.NEW),
        ("local:shared:5", "local:shared:5", Risk.MEDIUM, Standing.NEW),
    ]
)
def test_the_chat_that_spoke_costs_nothing_and_any_other_one_asks(
    spoken_to: Bench, to: str | None, shown: str, risk: Risk, standing: Standing
) -> None:
    _speaks(spoken_to, "local:shared:5")
    said = {"text": "hi", **({"to": to} if to else {})}
    assert spoken_to.risk(SEND, **said) is risk
    assert spoken_to.target(SEND, **said) == {"to": shown}
    assert spoken_to.preview(SEND, **said) == f"to {shown}\n\nhi"
    action, args = built(SEND), spoken_to.args(SEND, said)
    assert taint.sink(action) is Sink.OUTWARD
    found = taint.standing(action, args, spoken_to.ctx, words=lambda: [], links=lambda: [])
    assert found is standing


@table(["local:others:1", "local:shared:1", "local:nobody:1", "nonsense"])
def test_an_agent_speaks_as_nobody_else_and_where_nobody_spoke_to_it(
    spoken_to: Bench, to: str
) -> None:
    _speaks(spoken_to, "local:shared:1", agent="coder")
    with pytest.raises(errors.CallRefused):
        spoken_to.call(SEND, text="hi", to=to)
    assert spoken_to.risk is not None and spoken_to.ctx.along == []


def test_an_agent_of_another_tenant_is_not_the_one_behind_a_line(spoken_to: Bench) -> None:
    [of_acme] = send.actions(LINES, "acme")
    with pytest.raises(errors.CallRefused, match="main does not speak in local:mine:1") as told:
        spoken_to.call(of_acme, text="hi", to="local:mine:1")
    assert "local:mine" not in (told.value.next or "") and spoken_to.ctx.along == []


def test_without_a_chat_it_says_which_channels_there_are(bench: Bench) -> None:
    with pytest.raises(errors.CallRefused) as told:
        bench.call(SEND, text="hi")
    assert "local:mine" in (told.value.next or "") and "others" not in (told.value.next or "")
    with pytest.raises(errors.CallRefused, match="nothing to say"):
        bench.call(SEND, text="  ", to="local:mine:1")
