"""What came of the one call that such a run asks about is told with what to do about it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from alfred import errors
from alfred.actions import results
from alfred.actions.ledger.calls import Call
from alfred.runs.workflow import Done, Fail
from alfred.workflows import ask
from tests.table import table

ERROR = {"error": {"code": "failed", "detail": "It is another one.", "next": "Ask again."}}


@table(
    [
        ("failed", Fail("failed", "It is another one. Ask again.")),
        ("refused", Done("It is not done: It is another one. Ask again.")),
    ]
)
def test_a_call_that_came_to_nothing_says_what_to_do(status: str, told: Any) -> None:
    nothing: dict[str, Any] = dict.fromkeys(Call._fields)
    came_to = results.value_of(Call(**nothing | {"status": status, "result": json.dumps(ERROR)}))
    assert isinstance(came_to, errors.AlfredError)

    def call(action: str, args: dict[str, Any]) -> None:
        raise came_to

    state = {"action": "x.y", "args": {}}
    assert ask.ask(SimpleNamespace(state=state, call=call)) == told  # type: ignore[arg-type]
