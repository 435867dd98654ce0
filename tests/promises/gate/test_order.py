"""What the gate refuses: by its code, as a result that the model reads, before anything is done or asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from alfred import clock, errors, ids
from alfred.actions import canonical
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.grant import Grant
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import NewCall
from alfred.actions.signature import Secret
from alfred.runs import overview, views
from alfred.runs.states import Wait
from alfred.runs.workflow import Done, Next, Park, StepContext, Verdict
from alfred.store.tx import Tx
from alfred.trust import redact
from tests.promises.gate.conftest import Bench, code

ran: list[Any] = []


@action("t.read", integration="t", risk=Risk.NONE, effect=Effect.PURE)
def read(n: int = 0) -> int:
    """Reads.

    Args:
        n: What.
    """
    ran.append(n)
    return n


@action("t.send", integration="t", risk=Risk.MEDIUM)
def send(text: str) -> str:
    """Sends.

    Args:
        text: What.
    """
    ran.append(text)
    return "sent"


@action("t.post", integration="t", risk=Risk.NONE)
def post(text: str, *, token: Annotated[str, Secret("FORUM_TOKEN")]) -> str:
    """Posts.

    Args:
        text: What.
    """
    ran.append(text)
    return f"posted with {token}"


@action("t.shell", integration="t", risk=Risk.NONE)
def shell(command: str) -> str:
    """Runs.

    Args:
        command: What.
    """
    ran.append(command)
    return ""


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    if args["path"] == "gone":
        raise OSError("no such thing")
    return (ctx.home / args["path"]).read_text()


@action("t.change", integration="t", risk=Risk.MEDIUM, target=_target)
def change(path: str) -> str:
    """Changes.

    Args:
        path: What.
    """
    ran.append(path)
    return "changed"


def _hidden(args: dict[str, Any]) -> dict[str, Any]:
    return args | {"text": "(a letter)"}


@action("t.letter", integration="t", risk=Risk.MEDIUM, redact=_hidden)
def letter(text: str) -> str:
    """Writes a letter.

    Args:
        text: What nobody else reads.
    """
    return "written"


@action("t.order", integration="t", risk=Risk.MEDIUM)
def order(command: str, to: str = "") -> str:
    """Orders.

    Args:
        command: What.
        to: Whom.
    """
    ran.append(command)
    return ""


@action(
    "t.later",
    integration="t",
    risk=Risk.NONE,
    lacks=lambda settings: errors.CallRefused("No key.", next="Get one."),
)
def later(text: str) -> str:
    """Needs something of the configuration.

    Args:
        text: What.
    """
    ran.append(text)
    return ""


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    ran.clear()
    return new_bench(read, send, post, shell, change, letter, order, later)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "malformed_name"),
    ("t.read; rm", {}, "malformed_name"),
    ("t.read\n", {}, "malformed_name"),
    ("t" * 129, {}, "malformed_name"),
    ("t.reed", {}, "unknown_tool"),
    ("os.system", {"command": "x"}, "unknown_tool"),
    ("t.read", {"n": "many"}, "invalid_arguments"),
    ("t.read", {"m": 1}, "invalid_arguments"),
    ("t.send", {}, "invalid_arguments"),
    ("t.post", {"text": "x"}, "unavailable"),
    ("t.post", {"text": "x", "token": "mine"}, "invalid_arguments"),
    ("t.shell", {"command": "rm -rf /"}, "forbidden"),
    ("t.change", {"path": "gone"}, "unavailable"),
    ("t.later", {"text": "x"}, "unavailable"),
    ("t.later", {"no": "x"}, "unavailable"),
]


def test_what_is_wrong_is_refused_by_its_code_and_nothing_runs(bench: Bench) -> None:
    run = bench.start(*((name, args) for name, args, _ in WRONG))
    bench.go()
    calls = bench.calls(run)
    assert [(c.status, code(c)) for c in calls] == [("refused", e) for *_, e in WRONG]
    assert {json.loads(c.decision or "")["verdict"] for c in calls} == {"refuse"}
    assert ran == []
    assert bench.cards() == []
    assert bench.run(run).status == "completed", "a refusal is a result, never an exception"
    assert all(isinstance(answer, errors.CallRefused) for answer in bench.answers)


def test_a_refusal_teaches_the_nearest_name_and_the_field(bench: Bench) -> None:
    unknown, wrong = bench.does(("t.reed", {}), ("t.read", {"n": "many"}))
    assert "t.read" in (unknown.result or "")
    assert [e["field"] for e in json.loads(wrong.result or "")["error"]["errors"]] == ["n"]


def test_what_is_not_in_the_grant_is_refused_also_when_the_grant_cannot_be_read(
    bench: Bench,
) -> None:
    others = Grant(actions=frozenset({"t.send", "t.rea", "T.READ", "t.read.*"})).encode()
    for grants in (others, None, "nonsense", "[]", '{"actions":5}'):
        (call,) = bench.does(("t.read", {}), grants=grants)
        assert code(call) == "not_allowed", grants
    assert ran == []


def test_the_first_check_that_fails_is_the_one_that_is_told(bench: Bench) -> None:
    nothing = Grant(actions=frozenset()).encode()
    bench.policy("off")
    wanted = [
        ("t.read\n", {}),
        ("t.reed", {}),
        ("t.post", {"no": 1}),
        ("t.shell", {"command": "rm -rf /"}),
    ]
    assert [code(c) for c in bench.does(*wanted, grants=nothing)] == [
        "malformed_name",
        "unknown_tool",
        "not_allowed",
        "not_allowed",
    ]
    wanted = [
        ("t.post", {"no": 1}),
        ("t.post", {"text": "x"}),
        ("t.shell", {"command": "rm -rf /"}),
        ("t.send", {"text": "x"}),
    ]
    assert [code(c) for c in bench.does(*wanted)] == [
        "invalid_arguments",
        "unavailable",
        "forbidden",
        "mode_off",
    ]
    assert ran == []


def test_off_refuses_even_reading_and_the_run_goes_on(bench: Bench) -> None:
    bench.policy("gated", {"action": "t.read", "mode": "off"})
    run = bench.start(("t.read", {}), ("t.read", {"n": 1}))
    bench.go()
    assert [code(c) for c in bench.calls(run)] == ["mode_off", "mode_off"]
    assert bench.run(run).status == "completed"


def test_the_same_call_again_after_a_no_is_refused_however_it_is_written(bench: Bench) -> None:
    run = bench.start(
        ("t.send", {"text": "x"}), then=[("t__send", {"Text": "x"}), ("t.send", {"text": "y"})]
    )
    bench.go()
    bench.decide("reject", reason="not this")
    bench.go()
    first, second = bench.calls(run, turn=1)
    assert (first.status, code(first)) == ("refused", "rejected_before")
    assert second.status == "staged", "another call is another question"
    other = bench.does(("t.send", {"text": "x"}))
    assert other[0].status == "staged", "the no was said in another run"
    assert ran == []


def test_one_refused_call_does_not_hold_its_neighbours(bench: Bench) -> None:
    calls = bench.does(("t.read", {"n": 1}), ("t.reed", {}), ("t.read", {"n": 2}))
    assert [c.status for c in calls] == ["done", "refused", "done"]
    assert sorted(ran) == [1, 2]


def test_what_cannot_be_looked_at_any_more_is_withdrawn(bench: Bench) -> None:
    (bench.home / "here").write_text("one")
    run = bench.start(("t.change", {"path": "here"}))
    bench.go()
    bench.decide("approve")
    (bench.home / "here").unlink()
    bench.go()
    (call,) = bench.calls(run)
    assert (call.status, code(call)) == ("refused", "unavailable")
    assert ran == []


@pytest.mark.parametrize("mode", ["off", "gated"])
def test_what_was_let_through_behind_a_card_is_judged_anew_when_the_run_comes_back(
    bench: Bench, mode: str
) -> None:
    bench.policy("gated", {"action": "t.send", "mode": "autonomous"})
    run = bench.start(("t.order", {"command": "x"}), ("t.send", {"text": "y"}))
    bench.go()
    bench.sql("update calls set risk='none' where action='t.send' and status='proposed'")
    bench.policy("gated", {"action": "t.send", "mode": mode})
    bench.decide("approve", bench.cards()[0])
    bench.go()
    assert ran == ["x"]
    sent = bench.calls(run)[1]
    assert sent.status == ("refused" if mode == "off" else "staged")


def test_a_card_shows_the_arguments_as_the_action_wants_them_shown(bench: Bench) -> None:
    bench.does(("t.letter", {"text": "dear diary"}))
    card = bench.card()
    assert "dear diary" not in card.title + card.preview
    assert "(a letter)" in card.preview
    bench.does(("t.letter", {"text": "dear diary 2"}), dry_run=1)
    assert (
        bench.all("select 1 from calls where status='skipped' and result like '%dear diary%'") == []
    )


def test_a_command_that_no_card_shows_whole_is_refused_and_never_asked(bench: Bench) -> None:
    calls = bench.does(
        ("t.order", {"command": "x" * 4_001}),
        ("t.order", {"command": "x", "to": "y" * 4_001}),
    )
    assert [code(call) for call in calls] == ["command_too_long", "argument_too_long"]
    assert "into a file" in (calls[0].result or "")
    assert bench.cards() == []
    assert bench.does(("t.order", {"command": "x" * 4_000}))[0].status == "staged"
    assert "x" * 4_000 in bench.card().preview
    assert ran == []


def test_a_known_secret_is_on_no_card_and_in_nothing_that_is_told_of_it(bench: Bench) -> None:
    secret = "correct-horse-battery-staple"
    redact.register(secret, "MINE")
    try:
        question, _ = bench.does(
            ("ask.user", {"question": f"Is {secret} right?"}), ("t.send", {"text": secret})
        )
        with bench.store.read() as look:
            told = [
                overview.status(look, "main", "UTC"),
                views.waiting(look, question.run_id),
                *(views.approval(look, card.id) for card in bench.cards()),
            ]
    finally:
        redact.forget_all()
    assert len(bench.cards()) == 2
    rows = [
        row
        for table in ("approvals", "calls", "events")
        for row in bench.all(f"select * from {table}")
    ]
    assert secret not in json.dumps([told, [list(row) for row in rows]], default=str)
    assert "[redacted:MINE:" in bench.cards()[0].preview
    assert question.arguments["question"] == f"Is {secret} right?", "what is decided about is real"


@pytest.mark.parametrize(
    "how", ["written with the step before", "made before a park that was over at once"]
)
def test_a_step_sees_the_calls_that_stand_in_its_turn_already(bench: Bench, how: str) -> None:
    run = bench.start()
    entered: list[int] = []

    def proposed(tx: Tx, _seq: int) -> None:
        args = '{"n":1}'
        digest = canonical.text_digest(args)
        calls_ledger.propose(
            tx,
            [
                NewCall(
                    id=ids.new(),
                    run_id=run,
                    turn=1,
                    ordinal=0,
                    action="t.read",
                    args=args,
                    args_hash=digest,
                )
            ],
        )

    def step(ctx: StepContext) -> Verdict:
        entered.append(ctx.run.turn)
        if len(entered) == 1 and how.startswith("written"):
            ctx.writes.append(proposed)
            return Next("act", {})
        ctx.call("t.read", {"n": 1})
        if len(entered) == 1:
            return Park(Wait.CHILDREN, for_us=clock.MINUTE)
        return Done(None)

    bench.step = step
    bench.go()
    turn = entered[1]
    assert bench.run(run).status == "completed"
    assert ([c.status for c in bench.calls(run, turn)], ran) == (["done"], [1])


def test_a_dry_run_reads_and_records_the_rest(bench: Bench) -> None:
    read_, sent = bench.does(("t.read", {"n": 3}), ("t.send", {"text": "x"}), dry_run=1)
    assert (read_.status, sent.status) == ("done", "skipped")
    assert json.loads(sent.result or "")["dry_run"] is True
    assert '"text": "x"' in json.loads(sent.result or "")["would"]
    assert json.loads(sent.decision or "")["verdict"] == "stage"
    assert ran == [3]
    assert bench.cards() == []


def test_an_injected_secret_reaches_the_function_and_no_row(bench: Bench) -> None:
    value = 'pa"ss\\word\nwith-lines-8c1f'
    bench.secrets["FORUM_TOKEN"] = value
    redact.register(value, "FORUM_TOKEN")
    try:
        (call,) = bench.does(("t.post", {"text": "x"}))
    finally:
        redact.forget_all()
    assert call.status == "done"
    assert "redacted:FORUM_TOKEN" in (call.result or "")
    rows = json.dumps(
        [list(r) for t in ("calls", "events") for r in bench.all(f"select * from {t}")]
    )
    assert "8c1f" not in rows
    assert 'pa\\"ss' not in rows
