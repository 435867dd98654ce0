"""What is to be said in chats is said once, in order, whoever dies; what cannot be said is given up, and holds back nothing."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Any

import pytest

from alfred import clock, errors, ids
from alfred.channels import deliver
from alfred.channels.base import PATIENCE, TRIES, Address
from alfred.channels.deliver import Deliverer
from alfred.runs import endings, ledger, listeners, outbox, stop, sweep
from alfred.runs.states import Status
from alfred.testing import FakeChannel, Said, loses_the_answer, refuses, waits_for
from tests.ledger.core import LEASE, Core

MINUTE = clock.MINUTE


class Post:
    """One bot, and what is written for it."""

    def __init__(self, core: Core, *, deduplicates: bool = True):
        self.core = core
        self.bot = FakeChannel("bot", deduplicates=deduplicates)

    def write(self, body: str, chat: str = "1", **more: Any) -> str:
        said = {"id": ids.new(), "tenant": "main", "channel": "local:bot", "body": body, **more}
        self.core.do(outbox.write, target=str(self.bot.address(chat)), **said)
        return said["id"]

    def beat(self) -> int:
        return Deliverer(self.core.store, "main", self.bot).beat()

    def later(self, us: int) -> None:
        """So much time passes: every row is older."""
        self.core.write(
            "update outbox set at=at-:us,next_at=next_at-:us,holder_until=holder_until-:us,"
            "sent_at=sent_at-:us,dead_at=dead_at-:us",
            us=us,
        )

    def unsent(self) -> outbox.Unsent:
        with self.core.store.read() as look:
            return outbox.unsent(look, "main")

    def dies_in_the_middle(self, *, shown: bool) -> None:
        """A process claims, perhaps sends, and is gone."""

        def die(show: Any) -> None:
            if shown:
                show()
            raise KeyboardInterrupt

        self.bot.then(die)
        with pytest.raises(KeyboardInterrupt):
            self.beat()


@pytest.fixture
def post(core: Core) -> Post:
    return Post(core)


@pytest.fixture
def plain(core: Core) -> Post:
    """Of a platform that would show a repeat twice."""
    return Post(core, deduplicates=False)


def test_what_is_written_is_said_once_and_in_order(post: Post) -> None:
    first = post.write("a")
    post.write("b")
    post.write("again", id=first)
    post.write("elsewhere", chat="2")
    assert post.beat() == 3
    assert (post.bot.said("1"), post.bot.said("2")) == (["a", "b"], ["elsewhere"])
    assert post.bot.tried[0] == Said(first, "1", "a")
    assert post.core.all("select ref from outbox order by n") == [("1",), ("2",), ("3",)]
    assert post.beat() == 0


def test_another_channel_and_another_tenant_are_left_alone(post: Post) -> None:
    post.write("not mine", channel="local:other")
    post.write("not here", tenant="acme")
    assert post.beat() == 0


def test_nothing_overtakes_what_is_open_in_its_chat(post: Post) -> None:
    post.write("a")
    post.write("b")
    post.write("c", chat="2")
    post.bot.then(refuses("slow down", after_us=10 * MINUTE))
    assert post.beat() == 2 and post.bot.said("2") == ["c"]
    post.later(9 * MINUTE)
    assert post.beat() == 0 and post.bot.said("1") == []
    post.later(2 * MINUTE)
    assert post.beat() == 2 and post.bot.said("1") == ["a", "b"]


def test_what_is_refused_is_tried_later_each_time_and_given_up_after_a_day(post: Post) -> None:
    post.write("a")
    post.later(PATIENCE)  # for want of a process
    for pause in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        post.bot.then(refuses())
        assert post.beat() == 1
        post.later(pause * clock.SECOND - 300_000)
        assert post.beat() == 0
        post.later(300_000)
    assert post.unsent() == outbox.Unsent(1, 0, "busy")
    post.later(PATIENCE)
    post.bot.then(refuses("still busy"))
    assert post.beat() == 1
    assert post.unsent() == outbox.Unsent(0, 1, "still busy")
    post.later(PATIENCE)
    assert post.beat() == 0
    assert max(deliver._pause(n) for n in range(1, 100)) == deliver.LATER


def test_what_is_refused_for_good_is_given_up_at_once_and_holds_back_nothing(post: Post) -> None:
    post.write("a")
    post.write("b")
    post.bot.then(
        refuses("the chat ghp_1234567890abcdefghijklmnopqrstuvwxyzAB is gone", for_good=True)
    )
    assert post.beat() == 2 and post.bot.said("1") == ["b"]
    told = post.unsent().why or ""
    assert told.startswith("the chat ") and "ghp_" not in told
    assert post.core.one("select count(*) from events where kind='notice'") == 1


def test_an_address_that_is_none_is_given_up(post: Post) -> None:
    post.core.do(
        outbox.write, id="x", tenant="main", channel="local:bot", target="nowhere", body="a"
    )
    assert post.beat() == 1 and post.bot.tried == [] and post.unsent().dead == 1


@pytest.mark.parametrize("shown", [True, False])
def test_of_a_lost_answer_people_read_once_where_a_repeat_is_dropped(
    post: Post, shown: bool
) -> None:
    post.write("a")
    post.write("b")
    post.bot.then(loses_the_answer(shown=shown))
    assert post.beat() == 1
    post.later(clock.SECOND)
    assert post.beat() == 2
    assert post.bot.said("1") == ["a", "b"]
    assert len({one.key for one in post.bot.tried[:2]}) == 1


@pytest.mark.parametrize("shown", [True, False])
def test_of_a_lost_answer_nothing_is_said_twice_where_a_repeat_is_shown(
    plain: Post, shown: bool
) -> None:
    plain.write("a")
    plain.write("b")
    plain.bot.then(loses_the_answer(shown=shown))
    assert plain.beat() == 2
    plain.later(PATIENCE)
    assert plain.beat() == 0
    assert plain.bot.said("1") == ["a", "b"][1 - shown :]
    assert plain.unsent() == outbox.Unsent(0, 1, outbox.UNKNOWN)


@pytest.mark.parametrize("shown", [True, False])
def test_whoever_is_killed_while_it_sends_leaves_it_to_be_said_once(
    post: Post, shown: bool
) -> None:
    post.write("a")
    post.write("b")
    post.dies_in_the_middle(shown=shown)
    assert post.beat() == 0, "it is being sent, as far as anybody knows"
    post.later(outbox.SENDING + clock.SECOND)
    assert post.beat() == 2 and post.bot.said("1") == ["a", "b"]


@pytest.mark.parametrize("shown", [True, False])
def test_whoever_is_killed_while_it_sends_doubles_nothing_where_a_repeat_is_shown(
    plain: Post, shown: bool
) -> None:
    plain.write("a")
    plain.write("b")
    plain.dies_in_the_middle(shown=shown)
    assert plain.beat() == 0
    plain.later(outbox.SENDING + clock.SECOND)
    assert plain.beat() == 1
    assert plain.bot.said("1") == ["a", "b"][1 - shown :]
    assert plain.unsent().why == outbox.UNKNOWN
    assert plain.core.one("select count(*) from events where kind='notice'") == 1


def test_what_ends_everybody_who_sends_it_is_given_up_after_a_day(post: Post) -> None:
    post.write("poison")
    post.write("a")
    for passed in (PATIENCE, *(outbox.SENDING for _ in range(TRIES - 1))):
        post.dies_in_the_middle(shown=False)
        post.later(passed + clock.SECOND)
    assert post.beat() == 1 and post.bot.said("1") == ["a"]
    assert post.unsent() == outbox.Unsent(0, 1, outbox.UNKNOWN)


def test_a_channel_that_would_end_the_process_silences_no_other_chat(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "EVERY", 0.01)
    post.write("a")
    post.write("b", chat="2")
    said = threading.Event()

    def ends(show: Any) -> None:
        raise SystemExit

    def arrives(show: Any) -> None:
        show()
        said.set()

    post.bot.then(ends, arrives)
    deliverer = Deliverer(post.core.store, "main", post.bot)
    deliverer.start()
    assert said.wait(30)
    deliverer.stop()
    assert post.bot.said("2") == ["b"]


def test_that_it_was_sent_is_noted_however_long_the_database_is_away(
    plain: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, away = plain.core.store, [outbox.sent, outbox.sent]
    transact = store.transact

    def flaky(verb: Any, *args: Any, **more: Any) -> Any:
        if verb in away:
            away.remove(verb)
            raise errors.StoreUnavailable("away")
        return transact(verb, *args, **more)

    monkeypatch.setattr(store, "transact", flaky)
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    monkeypatch.setattr(plain.bot, "send", lambda address, text, *, key: 7)  # a number for an id
    plain.write("a")
    assert plain.beat() == 1 and away == []
    assert plain.core.all("select ref,sent_at>0 as sent from outbox") in [[("7", 1)], [("7", True)]]


def test_what_nobody_sends_is_known_after_a_minute_and_keeps_no_process_waiting(
    post: Post,
) -> None:
    post.write("a")
    assert post.unsent() == outbox.Unsent(0, 0, None)
    post.later(outbox.LATE + clock.SECOND)
    post.write("elsewhere", channel="local:gone", chat="3")
    assert post.unsent() == outbox.Unsent(1, 0, "no process serves local:bot, or it hangs")
    post.core.do(stop.switch, "main", by="me")
    assert post.unsent() == outbox.Unsent(1, 0, None)
    post.core.do(stop.resume, "main", by="me", token=ids.new())
    post.write("b")
    post.bot.then(refuses(after_us=10 * MINUTE))
    assert post.beat() == 1
    assert not Deliverer(post.core.store, "main", post.bot).coming()
    assert post.unsent() == outbox.Unsent(1, 0, "busy")
    post.later(outbox.LATE + clock.SECOND)
    assert post.unsent() == outbox.Unsent(3, 0, "no process serves local:gone, or it hangs")


def test_of_two_that_send_at_once_one_does(post: Post) -> None:
    post.write("a")
    post.write("b")
    inner: list[int] = []

    def meanwhile(show: Any) -> None:
        inner.append(post.beat())
        show()

    post.bot.then(meanwhile)
    assert (post.beat(), inner) == (2, [0])
    assert post.bot.said("1") == ["a", "b"]


def test_of_two_that_saw_the_same_message_one_has_it(post: Post) -> None:
    post.write("a")
    with post.core.store.read() as look:
        n = outbox.due(look, "main", "local:bot", again=True)
    assert n is not None
    claims = [post.core.do(outbox.claim, "main", n, holder=ids.new(), again=True) for _ in range(2)]
    assert claims[0] is not None and claims[1] is None


def test_a_message_whose_sender_is_gone_may_be_had_only_where_a_repeat_is_dropped(
    plain: Post,
) -> None:
    plain.write("a")
    plain.dies_in_the_middle(shown=True)
    plain.later(outbox.SENDING + clock.SECOND)
    with plain.core.store.read() as look:
        assert outbox.due(look, "main", "local:bot", again=False) is None
        n = outbox.due(look, "main", "local:bot", again=True)
    assert n is not None
    for again in (False, True):
        taken = plain.core.do(outbox.claim, "main", n, holder=ids.new(), again=again)
        assert (taken is not None) is again


def test_a_late_word_that_it_was_sent_counts_and_a_late_word_that_it_was_not_does_not(
    plain: Post,
) -> None:
    plain.write("a")
    released = threading.Event()

    def held_up(show: Any) -> None:
        plain.later(outbox.SENDING + clock.SECOND)
        assert plain.beat() == 0 and plain.unsent().dead == 1
        released.set()
        waits_for(released)(show)

    plain.bot.then(held_up)
    assert plain.beat() == 1
    assert plain.unsent() == outbox.Unsent(0, 0, None)
    plain.write("b")

    def refused_late(show: Any) -> None:
        plain.later(outbox.SENDING + clock.SECOND)
        plain.beat()
        refuses()(show)

    plain.bot.then(refused_late)
    plain.beat()
    assert plain.unsent() == outbox.Unsent(0, 1, outbox.UNKNOWN)
    assert plain.beat() == 0


def test_who_was_held_up_behind_its_claim_sends_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.write("a")
    claim = outbox.claim

    def slowly(*args: Any, **more: Any) -> Any:
        taken = claim(*args, **more)
        monkeypatch.setattr(
            clock, "monotonic", lambda real=clock.monotonic: real() + outbox.SENDING
        )
        return taken

    monkeypatch.setattr(outbox, "claim", slowly)
    assert post.beat() == 0 and post.bot.tried == []


def test_while_everything_is_stopped_nothing_is_said(post: Post) -> None:
    post.write("a")
    with post.core.store.read() as look:
        n = outbox.due(look, "main", "local:bot", again=True)
    assert n is not None
    post.core.do(stop.switch, "main", by="me")
    assert post.beat() == 0
    assert post.core.do(outbox.claim, "main", n, holder=ids.new(), again=True) is None
    deliverer = Deliverer(post.core.store, "main", post.bot)
    assert not deliverer.coming()
    post.core.do(stop.resume, "main", by="me", token=ids.new())
    assert deliverer.coming()
    assert post.beat() == 1 and not deliverer.coming()


def test_after_a_restore_nothing_is_said_that_may_have_been_said(post: Post) -> None:
    post.write("a")
    post.core.do(stop.restored, by="me")
    assert post.beat() == 0 and post.unsent().dead == 1


def test_what_was_said_long_ago_is_forgotten_and_what_is_open_is_not(post: Post) -> None:
    post.write("sent")
    post.write("dead", chat="2")
    post.bot.then(lambda show: show(), refuses(for_good=True))
    assert post.beat() == 2
    post.write("open")
    post.later(outbox.KEPT - MINUTE)
    sweep.beat(post.core.store)
    assert post.core.one("select count(*) from outbox") == 3
    post.later(2 * MINUTE)
    sweep.beat(post.core.store)
    assert post.core.all("select body from outbox") == [("open",)]
    assert post.unsent().dead == 0


def test_what_waits_a_month_for_a_process_is_given_up(post: Post) -> None:
    post.write("a", channel="local:gone")
    post.later(outbox.WAITS - MINUTE)
    sweep.beat(post.core.store)
    assert post.unsent().dead == 0
    post.write("b", channel="local:gone")
    post.later(2 * MINUTE)
    sweep.beat(post.core.store)
    assert (post.unsent().waiting, post.unsent().dead) == (1, 1)
    told = "select error from outbox where dead_at is not null"
    assert post.core.one(told) == "no process has served local:gone"
    assert post.core.one("select count(*) from events where kind='notice'") == 1


def test_what_a_wrong_clock_has_put_off_is_sent(post: Post) -> None:
    post.write("put off")
    post.write("held", chat="2")
    year = 365 * clock.DAY
    post.core.write("update outbox set next_at=next_at+:year where body='put off'", year=year)
    held = "update outbox set holder='gone',holder_until=next_at+:year where body='held'"
    post.core.write(held, year=year)
    assert post.beat() == 0
    sweep.beat(post.core.store)
    assert post.beat() == 2


def test_no_secret_leaves_and_no_letter_deceives(post: Post) -> None:
    post.write("key ghp_1234567890abcdefghijklmnopqrstuvwxyzAB \u202e")
    post.beat()
    [said] = post.bot.said("1")
    assert "ghp_" not in said and "\u202e" not in said


def _dies(shown: bool) -> Any:
    def die(show: Any) -> None:
        if shown:
            show()
        raise KeyboardInterrupt

    return die


BEHAVIOURS = (
    lambda show: show(),
    refuses(),
    refuses(for_good=True),
    loses_the_answer(shown=True),
    loses_the_answer(shown=False),
    _dies(True),
    _dies(False),
)


@pytest.mark.parametrize("deduplicates", [True, False])
@pytest.mark.slow
def test_whatever_a_platform_does_a_chat_reads_in_order_nothing_twice_and_what_is_missing_is_known(
    core: Core, deduplicates: bool
) -> None:
    for seed in range(8):
        chance = random.Random(f"{seed} {deduplicates}")
        post = Post(core, deduplicates=deduplicates)
        chats = [f"{seed}-{n}" for n in range(2)]
        said = {chat: [f"{chat}/{n}" for n in range(4)] for chat in chats}
        for n in range(4):
            for chat in chats:
                post.write(said[chat][n], chat)
        post.bot.then(*(chance.choice(BEHAVIOURS) for _ in range(12)))
        for _ in range(60):
            with contextlib.suppress(KeyboardInterrupt):
                post.beat()
            post.later(outbox.SENDING + clock.SECOND)
        for chat in chats:
            read = post.bot.said(chat)
            target = str(post.bot.address(chat))
            dead = core.all(
                "select body from outbox where target=:t and dead_at is not null", t=target
            )
            given_up = {body for (body,) in dead}
            assert read == [one for one in said[chat] if one in read], (seed, read)
            assert set(said[chat]) - set(read) <= given_up, (seed, read, given_up)
            assert (
                core.one("select count(*) from outbox where sent_at is null and dead_at is null")
                == 0
            )


# ---- how a run ends is told where it was spoken to


def _spoken_to(core: Core, *chats: str) -> Any:
    lease = core.held()
    for chat in chats:
        target = str(Address("local", "bot", chat))
        core.do(listeners.listen, lease.run_id, channel="local:bot", target=target)
    return lease


def _finish(core: Core, lease: Any, status: Status, result: str | None = None) -> None:
    core.do(
        ledger.finish,
        lease,
        core.run(lease.run_id).seq,
        core.step(),
        again="first",
        status=status,
        result=result,
        error=None if status is Status.COMPLETED else {"code": "x", "detail": "/home/me/secret"},
        lease_us=LEASE,
    )


def test_an_answer_is_in_the_outbox_with_the_end_of_its_run_and_not_before(
    core: Core, post: Post
) -> None:
    lease = _spoken_to(core, "1", "2", "1")
    assert core.one("select count(*) from outbox") == 0
    _finish(core, lease, Status.COMPLETED, "Hello.")
    assert post.beat() == 2
    assert post.bot.said("1") == post.bot.said("2") == ["Hello."]
    run = core.all("select distinct run_id from outbox")
    assert run == [(lease.run_id,)]


def test_an_answer_behind_which_something_else_was_said_is_told_as_well(
    core: Core, post: Post
) -> None:
    lease = _spoken_to(core, "1")
    heir = core.child(lease.run_id, parent_call="c:handoff")
    for run_id, answers in ((heir, ["Its first.", "Its last."]), (core.child(lease.run_id), ["-"])):
        own = core.take(run_id)
        for answer in answers:
            core.message(run_id, message_id=(said := ids.new()))
            _finish(core, own, Status.COMPLETED, answer)
            core.write("update interjections set consumed_seq=1 where id=:id", id=said)
        _finish(core, own, Status.COMPLETED, "Done.")
    core.message(lease.run_id, message_id=(said := ids.new()))
    _finish(core, lease, Status.COMPLETED, "First. ghp_1234567890abcdefghijklmnopqrstuvwxyzAB")
    _finish(core, lease, Status.COMPLETED, " ")
    core.write("update interjections set consumed_seq=1 where id=:id", id=said)
    _finish(core, lease, Status.COMPLETED, "Second.")
    assert post.beat() == 4
    read = post.bot.said("1")
    assert [*read[:2], read[2].split()[0], read[3]] == [
        "Its first.",
        "Its last.",
        "First.",
        "Second.",
    ]
    assert "ghp_" not in read[2]
    assert core.all("select distinct run_id from outbox") == [(lease.run_id,)]


@pytest.mark.parametrize("said", [None, "", " \n"])
def test_without_an_answer_nothing_is_said(core: Core, said: str | None) -> None:
    _finish(core, _spoken_to(core, "1"), Status.COMPLETED, said)
    assert core.one("select count(*) from outbox") == 0


def test_a_run_that_nobody_spoke_to_from_a_chat_tells_none(core: Core) -> None:
    _spoken_to(core, "1")
    _finish(core, core.held(), Status.COMPLETED, "Hello.")
    assert core.one("select count(*) from outbox") == 0


def test_a_failure_and_an_end_from_outside_are_told_without_their_reasons(
    core: Core, post: Post
) -> None:
    lease = _spoken_to(core, "1")
    _finish(core, lease, Status.FAILED, "So far.")
    core.cancel(other := _spoken_to(core, "2").run_id)
    assert post.beat() == 1
    [said] = post.bot.said("1")
    assert said.startswith("So far.\n\nI could not finish this")
    assert lease.run_id[-6:].lower() in said and "secret" not in said
    core.do(endings.honour_cancel, other)
    assert post.beat() == 1
    assert post.bot.said("2") == ["This was ended before it was done."]


def test_an_end_that_does_not_hold_tells_nobody(core: Core) -> None:
    lease = _spoken_to(core, "1")
    _finish(core, lease, Status.COMPLETED, "Hello.")
    assert not core.do(endings.fail, lease.run_id, code="x", detail="y")
    assert core.one("select count(*) from outbox") == 1
