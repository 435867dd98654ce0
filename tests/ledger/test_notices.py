"""People are told of the cards that wait: once, together, not at night, again before it is too late; and not by a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from alfred import clock, ids
from alfred.actions import approvals, notices
from alfred.actions.ledger import notices as rows
from alfred.actions.notices import People, Told
from alfred.config_schema import Settings
from tests.ledger.core import Core

MINUTE, HOUR, DAY = clock.MINUTE, clock.HOUR, clock.DAY


@dataclass
class Phone:
    """What people were sent."""

    core: Core
    got: list[str] = field(default_factory=list)
    takes: bool = True
    quiet: bool = False
    while_sending: Callable[[], Any] = lambda: None

    def beat(self) -> int:
        """One look at what is due; how many messages came of it."""
        before = len(self.got)
        self.people().beat(self.core.store, "main", ids.new())
        return len(self.got) - before

    def later(self, us: int) -> None:
        """So much time passes: every row is older."""
        for change in (
            "approvals set created_at=created_at-:us,expires_at=expires_at-:us",
            "approvals set delivered_at=delivered_at-:us where delivered_at is not null",
            "notices set at=at-:us,holder_until=holder_until-:us",
        ):
            self.core.write(f"update {change}", us=us)

    def people(self) -> People:
        settings = Settings.model_validate({"timezone": "UTC"})
        return People(lambda tenant: settings, lambda tenant: self.quiet, lambda tenant: self.tell)

    def tell(self, text: str) -> Told:
        self.while_sending()
        if not self.takes:
            return Told(sent=(), failed=("ntfy (1) did not take it",))
        self.got.append(text)
        return Told(sent=("ntfy (1)",))


@pytest.fixture
def phone(core: Core) -> Phone:
    return Phone(core)


def test_a_turn_that_nobody_looks_at_is_told_of_once_and_in_one_message(
    core: Core, phone: Phone
) -> None:
    cards = core.staged(core.held(), kinds=("action", "question", "action"))
    assert phone.beat() == 0, "somebody may be looking at it"
    phone.later(31 * clock.SECOND)
    assert phone.beat() == 1
    assert phone.got[0].count("[medium] t") == 2 and "[question] t" in phone.got[0]
    assert phone.got[0].startswith("3 things wait for you.")
    phone.later(HOUR)
    assert phone.beat() == 0
    assert core.approval(cards[0]).status == "pending"
    events = core.all("select body from events where kind='notice'")
    assert len(events) == 1 and all(card in events[0][0] for card in cards)


@pytest.mark.parametrize("end", ["seen", "decided", "cancelled", "expired"])
def test_what_nobody_has_to_be_told_of_is_not_told(core: Core, phone: Phone, end: str) -> None:
    lease = core.held()
    [card] = core.staged(lease)
    match end:
        case "seen":
            core.do(approvals.delivered, card, low_after_us=0)
        case "decided":
            core.decide(card)
        case "cancelled":
            core.cancel(lease.run_id)
        case "expired":
            core.write("update approvals set expires_at=1")
    phone.later(HOUR)
    assert phone.beat() == 0


def test_of_a_turn_only_what_waits_and_nobody_saw_is_told(core: Core, phone: Phone) -> None:
    seen, decided, *_ = core.staged(core.held(), kinds=("action",) * 4)
    core.do(approvals.delivered, seen, low_after_us=0)
    core.decide(decided, "reject")
    phone.later(HOUR)
    assert phone.beat() == 1 and phone.got[0].startswith("2 things wait")


def test_before_a_card_expires_people_are_reminded_once_also_of_what_they_saw(
    core: Core, phone: Phone
) -> None:
    [long] = core.staged(core.held())
    [short] = core.staged(core.held(), expire_us=8 * clock.HOUR)
    for card in (long, short):
        core.do(approvals.delivered, card, low_after_us=0)
    phone.later(6 * HOUR - MINUTE)
    assert phone.beat() == 0
    phone.later(2 * MINUTE)
    assert phone.beat() == 1 and phone.got[-1].startswith("1 thing waits")
    assert "without a yes by" in phone.got[-1]
    phone.later(6 * DAY - 6 * HOUR - 2 * MINUTE)
    core.write("update approvals set status='expired',decided_at=1 where id=:c", c=short)
    assert phone.beat() == 0
    phone.later(2 * MINUTE)
    assert phone.beat() == 1
    phone.later(HOUR)
    assert phone.beat() == 0
    core.write("update approvals set status='pending',decided_at=null where id=:c", c=short)


def test_in_quiet_hours_only_runs_that_wait_with_a_high_risk_are_told_of(
    core: Core, phone: Phone
) -> None:
    core.staged(core.held())
    phone.later(HOUR)
    phone.quiet = True
    assert phone.beat() == 0
    core.staged(core.held(), risk="high")
    phone.later(HOUR)
    assert phone.beat() == 1
    assert "[high]" in phone.got[0] and phone.got[0].startswith("1 thing waits")
    phone.quiet = False
    phone.later(HOUR)
    assert phone.beat() == 1 and "[medium]" in phone.got[1]
    many, high = core.held(), core.held()
    core.staged(many)
    core.staged(high, risk="high")
    with core.store.read() as look:
        due = [one.high for one in rows.due(look, "main", "first", after_us=0)]
    assert due == [True, False], "a hundred others hide no high risk"


def test_what_comes_within_ten_minutes_of_a_message_comes_together_but_for_a_high_risk(
    core: Core, phone: Phone
) -> None:
    core.staged(core.held())
    phone.later(MINUTE)
    assert phone.beat() == 1
    for _ in range(3):
        core.staged(core.held())
        phone.later(2 * MINUTE)
        assert phone.beat() == 0
    phone.later(5 * MINUTE)
    assert phone.beat() == 1 and phone.got[-1].startswith("3 things wait")
    core.staged(core.held(), risk="high")
    phone.later(MINUTE)
    assert phone.beat() == 1


def test_a_crash_in_the_middle_of_sending_doubles_nothing_and_the_reminder_comes_soon(
    core: Core, phone: Phone
) -> None:
    core.staged(core.held())
    phone.later(MINUTE)

    def killed() -> None:
        phone.got.append("it may have arrived")
        raise KeyboardInterrupt

    phone.while_sending = killed
    with pytest.raises(KeyboardInterrupt):
        phone.beat()
    phone.while_sending = lambda: None
    assert phone.beat() == 0, "it is being sent, as far as anybody knows"
    phone.later(rows.SENDING + clock.SECOND)
    assert phone.beat() == 0
    phone.later(notices.EVERY + clock.SECOND)
    assert phone.beat() == 0, "nobody knows whether it was sent"
    phone.later(HOUR + clock.SECOND)
    assert phone.beat() == 1
    phone.later(HOUR)
    assert phone.beat() == 0


def test_what_was_told_while_the_clock_was_ahead_keeps_nobody_from_being_told(
    core: Core, phone: Phone
) -> None:
    core.staged(core.held())
    phone.later(MINUTE)
    assert phone.beat() == 1
    core.write("update notices set at=at+:ahead", ahead=DAY)
    core.staged(core.held())
    phone.later(MINUTE)
    phone.takes = False
    assert phone.beat() == 0
    core.write("update notices set holder_until=holder_until+:ahead", ahead=DAY)
    phone.takes = True
    assert phone.beat() == 1, "neither the last message nor the last try lies ahead"
    core.write("update notices set at=null,shown=0,holder='gone',holder_until=:until", until=2**52)
    with core.store.read() as look:
        assert len(rows.lapsed(look, "main")) == 2, "and nobody sends for so long"
        gone = rows.lapsed(look, "main")
    for run_id in gone:
        core.do(rows.lapse, run_id)
    with core.store.read() as look:
        assert rows.lapsed(look, "main") == []


def test_of_two_that_send_at_once_one_does(core: Core, phone: Phone) -> None:
    core.staged(core.held())
    phone.later(MINUTE)
    inner: list[int] = []
    other = Phone(core)
    phone.while_sending = lambda: inner.append(other.beat())
    assert (phone.beat(), inner) == (1, [0])


def test_what_nobody_took_is_said_and_tried_again_after_a_while(core: Core, phone: Phone) -> None:
    core.staged(core.held())
    phone.later(MINUTE)
    phone.takes = False
    assert phone.beat() == 0
    with core.store.read() as look:
        assert rows.untold(look, "main", after_us=0) == (1, "ntfy (1) did not take it")
    phone.takes = True
    assert phone.beat() == 0
    phone.later(rows.AGAIN + clock.SECOND)
    assert phone.beat() == 1
    with core.store.read() as look:
        assert rows.untold(look, "main", after_us=0) == (0, None)


def test_a_decision_while_it_is_sent_is_no_reason_to_tell_again(core: Core, phone: Phone) -> None:
    [first, second] = core.staged(core.held(), kinds=("action", "action"))
    phone.later(MINUTE)
    phone.while_sending = lambda: core.decide(first, "reject")
    assert phone.beat() == 1
    core.decide(second)
    phone.later(HOUR)
    assert phone.beat() == 0


@pytest.mark.parametrize(("preview", "starts"), [("rm -r cache", True), ("x" * 301, False)])
def test_the_clock_of_a_low_card_starts_when_the_message_shows_all_of_it(
    core: Core, phone: Phone, preview: str, starts: bool
) -> None:
    [card] = core.staged(core.held(), risk="low", auto_ok=True)
    core.write("update approvals set preview=:p", p=preview)
    phone.later(MINUTE)
    assert phone.beat() == 1
    assert (preview in phone.got[0]) is starts
    assert (core.approval(card).auto_approve_at is not None) is starts


def test_who_would_end_waits_for_a_message_that_is_due_soon(core: Core, phone: Phone) -> None:
    def waits() -> bool:
        return phone.people().due_soon(core.store, "main")

    assert not waits()
    core.staged(core.held())
    assert waits()
    phone.quiet = True
    assert not waits()
    phone.quiet = False
    phone.later(MINUTE)
    assert waits() and phone.beat() == 1
    assert not waits()


def test_without_anybody_to_tell_nothing_is_written(core: Core, phone: Phone) -> None:
    core.staged(core.held())
    phone.later(HOUR)
    settings = Settings.model_validate({"timezone": "UTC"})
    nobody = People(lambda tenant: settings, lambda tenant: False, lambda tenant: None)
    nobody.beat(core.store, "main", ids.new())
    assert core.one("select count(*) from notices") == 0 and not nobody.due_soon(core.store, "main")


def test_a_message_hides_secrets_deceives_nobody_and_has_an_end(core: Core) -> None:
    leases = [core.held(title="run \u202e") for _ in range(40)]
    for lease in leases:
        core.staged(lease)
    core.write(
        "update approvals set title=:t", t="write ghp_1234567890abcdefghijklmnopqrstuvwxyzAB"
    )
    holder = ids.new()
    claimed = core.do(rows.claim, [lease.run_id for lease in leases], [], holder=holder)
    text, whole = notices.message(claimed)
    assert len(claimed) == 40 and whole == []
    assert "ghp_" not in text and "\u202e" not in text and "\\u{202E}" in text
    assert len(text) < 3_200 and "40 things wait" in text and "more" in text
