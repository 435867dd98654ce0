"""What is pinned of an MCP server changes by its owner's word alone: the configuration, or a yes to what was seen."""

from __future__ import annotations

from typing import Any

from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin, Place
from alfred.runs import ledger
from alfred.runs.rows import NewRun
from alfred.store.connect import Store
from alfred.store.statement import Sql

HERE = Place("main", "", "files")
OVER = Sql("update runs set status='completed',ended_at=1 where id=:id")


def meet(store: Store, digest: str, *, run: str = "r", definition: str = "d", **more: Any) -> Pin:
    def write(tx: Any) -> Pin:
        found = pins.meet(
            tx,
            more.get("place", HERE),
            definition=definition,
            digest=digest,
            tools=[{"name": digest}],
            run=run,
        )
        if found.asked == run:
            ledger.start(tx, NewRun(id=run, workflow="ask", step="ask"))
        return found

    return store.transact(write)


def test_the_first_word_is_pinned_and_what_differs_waits_beside_it(store: Store) -> None:
    first = meet(store, "one")
    assert (first.digest, first.seen, first.asked, first.by) == ("one", None, None, "config")
    again = meet(store, "two", run="asks")
    assert (again.digest, again.seen, again.asked) == ("one", "two", "asks")
    assert again.offered == [{"name": "one"}]
    assert meet(store, "two", run="another").asked == "asks"  # one run asks


def test_one_run_asks_at_a_time_whatever_a_server_says_meanwhile(store: Store) -> None:
    meet(store, "one")
    for turn, digest in enumerate(["two", "one", "two", "three", "two", "three", "one", "three"]):
        assert meet(store, digest, run=f"run {turn}").asked == "run 0"
    store.transact(lambda tx: tx(OVER, id="run 0").rowcount)
    assert meet(store, "three", run="next").asked == "next"  # nobody has answered


def test_what_is_the_same_again_needs_nobody(store: Store) -> None:
    meet(store, "one")
    meet(store, "two")
    assert meet(store, "one") == meet(store, "one")
    assert meet(store, "one").seen is None


def test_a_yes_pins_what_was_seen_and_nothing_else(store: Store) -> None:
    meet(store, "one")
    meet(store, "two")
    assert not store.transact(pins.accept, HERE, "three", by="me")
    assert meet(store, "two").digest == "one"
    assert store.transact(pins.accept, HERE, "two", by="me")
    assert not store.transact(pins.accept, HERE, "two", by="me")
    found = meet(store, "two")
    assert (found.digest, found.seen, found.by, found.offered) == (
        "two",
        None,
        "me",
        [{"name": "two"}],
    )


def test_a_server_that_is_written_otherwise_is_pinned_anew(store: Store) -> None:
    meet(store, "one")
    meet(store, "two")
    found = meet(store, "three", definition="e")
    assert (found.digest, found.seen, found.by) == ("three", None, "config")


def test_servers_of_one_name_in_different_places_are_different_ones(store: Store) -> None:
    places = [HERE, Place("main", "ops", "files"), Place("acme", "", "files")]
    for n, place in enumerate(places):
        assert meet(store, f"digest {n}", place=place).seen is None
    with store.read() as look:
        assert [pin.place for pin in pins.of(look, "main", ["", "ops"])] == places[:2]
        assert [pin.place for pin in pins.of(look, "main", [""])] == places[:1]
