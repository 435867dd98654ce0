"""What a result is labelled as, when that depends on the call, and what it makes of the run that reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alfred import ids
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import said as ledger
from alfred.runs import forks
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.promises.gate.conftest import Bench

PRIVATE = Label(Integrity.DERIVED, Confidentiality.PRIVATE)
KINDS: dict[str, Any] = {
    "ours": labels.DERIVED,
    "theirs": labels.EXTERNAL,
    "private": PRIVATE,
    "both": labels.WORST,
    "nonsense": "derived",
}
said: list[Label] = []


def _label(args: dict[str, Any], ctx: ActionContext) -> Any:
    if args["what"] == "first":
        return [labels.EXTERNAL, labels.DERIVED][len(list(ctx.home.glob("seen-*")))]
    if args["what"] == "then":
        return [labels.DERIVED, labels.EXTERNAL][len(list(ctx.home.glob("seen-*")))]
    return KINDS[args["what"]]


@action("t.read", integration="t", risk=Risk.NONE, effect=Effect.PURE, label=_label)
def read(what: str, *, ctx: ActionContext) -> str:
    """Reads something.

    Args:
        what: What.
    """
    if what in ("first", "then"):
        (ctx.home / f"seen-{what}").touch()
    return what


@action("t.page", integration="t", risk=Risk.NONE, effect=Effect.PURE, label="external")
def page() -> str:
    """Fails with what the other side said."""
    raise RuntimeError("the server says: do as I say")


@action("t.note", integration="t", risk=Risk.NONE)
def note(*, ctx: ActionContext) -> str:
    """Writes down its context."""
    said.append(ctx.label)
    return "ok"


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    said.clear()
    return new_bench(read, page, note)


@pytest.mark.parametrize(
    ("what", "external", "private"),
    [
        ("ours", 0, 0),
        ("theirs", 1, 0),
        ("private", 0, 1),
        ("both", 1, 1),
        ("nonsense", 1, 1),
        ("no such label", 1, 1),
        ("first", 1, 0),
        ("then", 1, 0),
    ],
)
def test_the_worst_label_of_what_was_read_joins_the_run(
    bench: Bench, what: str, external: int, private: int
) -> None:
    run_id = bench.start(("t.read", {"what": what}))
    bench.go()
    run = bench.run(run_id)
    assert (run.status, run.external, run.private) == ("completed", external, private)
    assert (run.label.external, run.label.private) == (bool(external), bool(private))


def test_what_joined_stays_and_is_told_to_every_later_action(bench: Bench) -> None:
    run_id = bench.start(
        ("t.read", {"what": "private"}), then=[("t.note", {}), ("t.read", {"what": "ours"})]
    )
    bench.go()
    assert said == [PRIVATE]
    assert bench.run(run_id).private == 1
    assert bench.run(bench.start(private=1)).label == PRIVATE
    (_, later) = bench.all(
        "select integrity,confidentiality from calls where action<>'t.note' order by turn,ordinal"
    )
    assert tuple(later) == ("derived", "private"), "a call has the label of what led to it"


def test_a_failure_of_the_other_side_is_its_word(bench: Bench) -> None:
    run_id = bench.start(("t.page", {}))
    bench.go()
    assert bench.run(run_id).external == 1


def test_a_branch_has_what_had_joined_by_then(bench: Bench) -> None:
    run_id = bench.start(("t.read", {"what": "private"}), then=[("t.read", {"what": "theirs"})])
    bench.go()

    def branch(at: int) -> Any:
        new = ids.new()

        def fork(tx: Any) -> None:
            point = forks.point(tx, run_id, at)
            forks.fork(
                tx, point, new_id=new, step="act", state={}, items=[], title="", model=None, by="p"
            )

        bench.store.transact(fork)
        found = bench.run(new)
        return found.external, found.private

    assert branch(1) == (0, 1)


def test_a_child_starts_with_the_label_of_its_parent(bench: Bench) -> None:
    parent = bench.start(external=1)
    child = bench.start(private=1, parent_id=parent, parent_call="c", root_id=parent)
    assert bench.run(child).label == labels.of_context(external=True, private=True)
    clean = bench.start()
    child = bench.start(parent_id=clean, parent_call="c", root_id=clean)
    assert bench.run(child).label == labels.DERIVED


def test_an_answer_is_the_persons_word_and_makes_nothing_private(bench: Bench) -> None:
    run_id = bench.start(("ask.user", {"question": "Which?"}))
    bench.go()
    bench.decide("answer", text="this one")
    bench.go()
    assert (bench.run(run_id).external, bench.run(run_id).private) == (0, 0)
    assert [c.label for c in bench.calls(run_id)] == ["owner/internal"]


@action("web.found", integration="web", risk=Risk.NONE, effect=Effect.PURE, label="external")
def found() -> Any:
    """Tells addresses as pages and searches do."""
    return {
        "links": [
            "Next <https://a.example/n?x=1>",
            "<https://b.example/>",
            "https://c.example/",
            7,
        ],
        "results": [{"title": "T", "url": "https://d.example/"}, {"title": "U"}, "no"],
    }


def test_an_address_that_was_read_is_known_as_the_one_that_it_is(
    new_bench: Callable[..., Bench],
) -> None:
    bench = new_bench(found)
    (call,) = bench.does(("web.found", {}))
    with bench.store.read() as look:
        links = ledger.links(look, call.run_id)
    assert links == {
        f"https://{at}" for at in ("a.example/n?x=1", *(f"{c}.example/" for c in "bcd"))
    }
