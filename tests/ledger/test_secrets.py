"""No row holds a secret: whatever is said to a run, by it or about it, is kept without, and a call is carried out with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alfred import errors, ids, orders
from alfred.actions import approvals, canonical
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls, history, sealed
from alfred.memory import ledger as memory
from alfred.runs import audit, blocks, crons, endings, events, spending
from alfred.runs.rows import Item
from alfred.runs.states import Status
from alfred.store import schema
from alfred.store.statement import Sql
from alfred.trust import labels, redact
from tests.ledger.core import Core

KNOWN = "correct horse battery 77"
TOKEN = "gh" + "p_" + "a1B2c3D4e5" * 4
TOLD = f"the key is {KNOWN}, or {TOKEN}"
ARGS = {"path": f"/x/{KNOWN}", "body": [TOLD, 5], "password": "hunter2-and-more"}


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    redact.register(KNOWN, "MINE")
    yield
    redact.forget_all()


def held_by(core: Core) -> dict[str, list[str]]:
    """The columns that hold a secret, by table."""
    found: dict[str, list[str]] = {}
    with core.store.read() as look:
        for table in schema.METADATA.tables:
            for row in look(Sql(f"select * from {table}")).all():
                for column, value in row._asdict().items():
                    if any(one in str(value) for one in (KNOWN, TOKEN, "hunter2")):
                        found.setdefault(table, []).append(column)
    return found


def proposed(core: Core, **more: Any) -> tuple[Any, str]:
    lease = core.held()
    said = canonical.canonical_json(ARGS)
    new = calls.NewCall(
        id=ids.new(), run_id=lease.run_id, turn=0, ordinal=0, action="a", args=said, args_hash="h"
    )
    core.do(calls.propose, [new])
    judged = calls.Judgement(
        call_id=new.id,
        status="staged",
        action="a",
        args=said,
        args_hash=f"hash of {new.id}",
        **more,
    )
    return lease, core.do(lambda tx: (calls.judge(tx, judged), new.id)[1])


def test_what_is_said_to_a_run_and_by_it(core: Core) -> None:
    run_id = core.start(brief=TOLD, title=TOLD)
    core.message(run_id, body=TOLD)
    lease = core.take(run_id)
    step = core.step()
    items = (Item.of("note", {"kind": "note", "text": TOLD}, labels.DERIVED),)
    core.advance(lease, step=type(step)(token=step.token, name="s", started=1, items=items))
    core.do(lambda tx: events.emit(tx, tenant="main", run_id=run_id, kind="text", text=TOLD))
    core.finish(lease, Status.FAILED, result=TOLD, error={"code": "x", "detail": TOLD})
    assert held_by(core) == {}
    assert "[redacted:MINE:" in (core.run(run_id).brief or "")
    assert "[redacted:github-token:" in (core.run(run_id).result or "")


def test_what_is_said_about_a_run(core: Core) -> None:
    refused = {"code": "refused", "detail": TOLD}
    for error in (refused, None):
        lease = core.held()
        core.do(endings.cancel, lease.run_id, by="me", token=ids.new(), why=TOLD, error=error)
    core.do(lambda tx: audit.append(tx, "main", "x", why=TOLD))
    core.do(
        spending.record,
        **{"id": ids.new(), "run_id": lease.run_id, "tenant": "main", "agent": "main", "turn": 0},
        **{"seq": 0, "attempt": 1, "purpose": "boss", "model": "m", "outcome": "auth"},
        detail=TOLD,
    )
    core.do(blocks.block, "main", "anthropic", 2**50, TOLD)
    assert held_by(core) == {}


def test_what_is_kept_for_later(core: Core) -> None:
    said = {"tenant": "main", "agent": "main", "text": TOLD, "source_run": "r"}
    whole = labels.halves(labels.DERIVED)
    core.do(memory.remember, id=ids.new(), key="k", **said, **whole)
    core.do(memory.add_todo, id=ids.new(), key="k", due=None, **said)
    run_id = core.start()
    core.do(memory.note, run_id=run_id, path="x", value=TOLD, author="main", **whole)
    new = crons.NewTrigger(
        id=ids.new(), tenant="main", name="job", spec="@hourly", task=TOLD, description=TOLD
    )
    core.do(crons.create, new, zone="UTC")
    assert held_by(core) == {}
    core.do(crons.update, new.id, zone="UTC", task=f"now {TOLD}")
    assert held_by(core) == {}


def test_the_arguments_of_a_call_are_sealed_and_carried_out_as_they_are(core: Core) -> None:
    lease, call = proposed(core)
    assert held_by(core) == {}
    assert core.call(call).arguments == ARGS
    shown = json.loads(core.one("select args from calls"))
    assert shown["path"].startswith("/x/[redacted:MINE:")
    assert shown["password"].startswith("[redacted:password:")
    assert core.calls(lease.run_id)[0].arguments == ARGS
    edited = {**ARGS, "body": ["another", TOKEN]}
    judged = calls.Judgement(
        call_id=call, status="staged", action="a", args=canonical.canonical_json(edited)
    )
    core.do(calls.edit, judged)
    card = core.card(lease, call)
    core.do(lambda tx: approvals_ledger.add(tx, card, starts_clock=False))
    core.do(approvals_ledger.decide, core.approval(card.id), "edited", token="t", **DECIDED)
    core.do(approvals_ledger.edited, card.id, judged.args, token="t")
    assert held_by(core) == {}
    now = core.call(call)
    assert (now.arguments, json.loads(now.asked)) == (edited, ARGS)


DECIDED: dict[str, Any] = {"decision": "edit", "by": "me", "via": "cli", "reason": None}


def test_a_second_edit_keeps_what_was_proposed(core: Core) -> None:
    _, call = proposed(core)
    for args in ({"path": "plain"}, {"path": TOKEN}, {"path": "plain again"}):
        said = canonical.canonical_json(args)
        core.do(calls.edit, calls.Judgement(call_id=call, status="staged", action="a", args=said))
        assert (core.call(call).arguments, json.loads(core.call(call).asked)) == (args, ARGS)


def test_the_same_call_is_known_again_by_what_is_shown_of_it(core: Core) -> None:
    lease, call = proposed(core)
    about = {"run_id": lease.run_id, "tenant": "main", "agent": "main", "kind": "action"}
    said = {"action": "a", "args_hash": "h", "risk": "medium", "title": "t", "preview": "p"}
    new = approvals_ledger.NewCard(id=ids.new(), call_id=call, **about, **said)  # type: ignore[arg-type]
    core.do(approvals.stage, new)
    core.decide(new.id, "reject")
    with core.store.read() as look:
        assert history.rejected_before(look, lease.run_id, "a", canonical.canonical_json(ARGS))
        assert not history.rejected_before(look, lease.run_id, "a", '{"path":"x"}')


def test_arguments_without_a_secret_are_kept_as_they_are(core: Core) -> None:
    lease = core.held()
    new = calls.NewCall(
        id=ids.new(), run_id=lease.run_id, turn=0, ordinal=0, action="a", args='{"b":1}', args_hash="h"
    )  # fmt: skip
    core.do(calls.propose, [new])
    assert core.all("select args,sealed from calls") == [('{"b":1}', None)]


def test_a_seal_of_another_installation_is_not_opened(core: Core) -> None:
    _, call = proposed(core)
    key = core.one("select v from meta where k='installation_key'")
    core.write("update meta set v=:v where k='installation_key'", v="00" * 32)
    with pytest.raises(errors.StoreUnavailable, match="another key"):
        core.call(call)
    core.write("delete from meta where k='installation_key'")
    with pytest.raises(errors.StoreUnavailable, match="no installation key"):
        core.call(call)
    core.write("insert into meta(k,v) values('installation_key',:v)", v=key)
    assert core.call(call).arguments == ARGS


@pytest.mark.parametrize("kind", ["action", "question"])
def test_what_a_person_says_to_a_card(core: Core, kind: str) -> None:
    lease = core.held()
    [card] = core.staged(lease, kinds=(kind,))
    how = "reject_and_end" if kind == "action" else "answer"
    core.decide(card, how, reason=TOLD, text=TOLD if kind == "question" else None)
    assert held_by(core) == {}
    assert "[redacted:MINE:" in (core.approval(card).reason or "")


def test_what_is_no_json_is_cleaned_as_text() -> None:
    assert KNOWN not in sealed.clean(f"no json {KNOWN}")


def test_a_title_is_cut_from_words_without_secrets() -> None:
    brief = orders.said(f"{'x' * 60} {KNOWN} and more", "brief")
    assert KNOWN[:8] not in brief.splitlines()[0][:80]
