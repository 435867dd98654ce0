"""Proposed rules: found once, quiet after a no, answered once; and what counts as a reason for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred import ids
from alfred.actions import Effect, Risk, action, earned
from alfred.actions.ledger import proposals
from alfred.actions.ledger.proposals import Found
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import Settings
from tests.ledger.core import Core


def found(core: Core, *names: str, times: int = 5) -> None:
    them = [
        Found(id=ids.new(), rule_hash=n, rule={"action": n}, words=n, times=times, cards=["c"])
        for n in names
    ]
    core.do(proposals.found, "main", them)


def open_(core: Core) -> dict[str, Any]:
    with core.store.read() as look:
        return {one.words: one for one in proposals.open_(look, "main")}


def test_a_rule_is_proposed_once_and_goes_when_it_is_not_found_any_more(core: Core) -> None:
    found(core, "a", "b")
    first = open_(core)
    found(core, "a", times=6)
    again = open_(core)
    assert set(again) == {"a"}
    assert (again["a"].id, again["a"].times, again["a"].cards) == (first["a"].id, 6, ("c",))
    found(core)
    assert open_(core) == {}


def test_an_answer_is_given_once_and_audited_and_a_no_is_quiet_for_a_while(core: Core) -> None:
    found(core, "a", "b")
    them = open_(core)
    assert core.do(proposals.answer, them["a"].id, "declined", by="me")
    assert not core.do(proposals.answer, them["a"].id, "accepted", by="me")
    assert core.do(proposals.answer, them["b"].id, "accepted", by="me")
    said = core.all("select row from audit order by n")
    assert ["proposal.declined" in row for (row,) in said] == [True, False]
    found(core, "a", "b")
    assert open_(core) == {}
    core.write("update proposals set at=at-:w-1 where rule_hash='a'", w=proposals.WITHIN)
    found(core, "a", "b")
    assert set(open_(core)) == {"a"}
    core.write("update proposals set at=1")
    assert open_(core) == {}, "what was not found for so long is no reason"


def test_what_people_decided_lately_is_a_reason_and_nothing_else(core: Core) -> None:
    lease = core.held()
    first, second, third, fourth = core.staged(lease, kinds=("action",) * 4, parked=False)
    [question] = core.staged(core.held(), kinds=("question",))
    core.decide(first)
    core.decide(second, "reject")
    core.decide(question, "answer", text="x")
    core.write("update approvals set expires_at=1 where id=:c", c=fourth)
    core.decide(fourth, "expire", by="timer", via="expiry")
    with core.store.read() as look:
        assert proposals.newest(look, "main") is not None
        assert proposals.newest(look, "other") is None
        rows = proposals.decided(look, "main")
        assert {(row.id, row.status) for row in rows} == {
            (first, "approved"),
            (second, "rejected"),
        }
        assert {(row.run_id, row.turn, row.args, row.changed, row.external) for row in rows} == {
            (lease.run_id, 0, "{}", 0, 0)
        }
        assert [card.title for card in proposals.cards(look, [first, third])] == ["t", "t"]
    core.write("update calls set sealed='x' where id=:c", c=core.approval(first).call_id)
    with core.store.read() as look:
        assert [row.id for row in proposals.decided(look, "main")] == [second]
    core.write("update calls set sealed=null")
    core.write("update approvals set decided_at=1 where decided_at is not null")
    with core.store.read() as look:
        assert (proposals.decided(look, "main"), proposals.newest(look, "main")) == ([], None)


@action("world.act", integration="world", risk=Risk.MEDIUM, effect=Effect.BLIND)
def act() -> None:
    """Does it."""


def test_what_people_allow_unchanged_is_written_down_as_a_rule_to_propose(
    core: Core, tmp_path: Path
) -> None:
    registry = Registry()
    registry.register((act,))
    settings = Settings.model_validate({"timezone": "UTC"})
    around = Surroundings(
        home=lambda tenant: tmp_path, settings=lambda tenant: settings, secrets=lambda *_: None
    )
    looking = earned.Earned(registry, around)

    def asked(times: int, **more: Any) -> None:
        for _ in range(times):
            [card] = core.staged(core.held(), **more)
            core.decide(card)

    def proposed() -> list[tuple[str, int]]:
        looking.beat(core.store, "main")
        return [(one.rule["action"], one.times) for one in open_(core).values()]

    # none of these is a reason, and none a no
    asked(earned.ENOUGH, risk="high")
    asked(earned.ENOUGH)
    core.write("update runs set external=1")
    asked(earned.ENOUGH - 1)
    assert proposed() == []
    asked(1)
    assert proposed() == [("world.act", earned.ENOUGH)]
    [refused] = core.staged(core.held())
    core.decide(refused, "reject")
    assert proposed() == [], "it would have covered what somebody refused"
