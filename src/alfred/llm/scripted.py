"""The model that answers from a scenario file: deterministic, stateless, free.

Which entry answers follows from the request alone (how many boss answers the run has committed, and how many
requests for this turn have failed), so a run that was killed and taken over elsewhere hears the same again. What the
file looks like is in `scenarios`.

No SDK is imported here: a demo and most tests need nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from alfred import clock, errors
from alfred.llm import contract, scenarios

SLICE_S = 0.1  # a delay is slept in pieces, so that a cancelled one ends soon
SUMMARY = "[scripted summary]"  # what a purpose without an entry is answered


def answer(
    request: contract.ModelRequest,
    path: str,
    *,
    on_text: Callable[[str], None] | None = None,
    cancelled: contract.Cancel | None = None,
) -> contract.ModelAnswer:
    """The scenario's answer to this request.

    Raises:
        ModelError: The error that the script wants, `scenario_exhausted` past its last turn, `cancelled`.
        errors.ConfigError: The file is missing or wrong; it names file and line.
    """
    entry = _entry(request, path)
    _sleep(entry.delay, cancelled)
    if entry.error is not None:
        raise contract.ModelError(
            entry.error,
            f"scripted: {entry.error}",
            retry_after_s=entry.retry_after,
            provider="scripted",
        )
    usage = entry.usage or contract.Usage(model_served=f"scripted:{Path(path).name}")
    if not entry.say.strip() and not entry.calls:
        raise contract.ModelError("empty", "The answer is empty.", provider="scripted", usage=usage)
    if on_text is not None:
        for piece in re.findall(r"\s*\S+\s*", entry.say):
            if cancelled is not None and cancelled.is_set():
                raise contract.ModelError(
                    "cancelled", "The request was cancelled.", provider="scripted", usage=usage
                )
            on_text(piece)
    finish = (
        "length" if len(entry.calls) > contract.MAX_CALLS else "calls" if entry.calls else "stop"
    )
    return contract.ModelAnswer(
        text=entry.say, calls=_calls(entry, request), usage=usage, finish=finish
    )


def cost(request: contract.ModelRequest, path: str) -> Decimal | None:
    """USD that the answer to this request will cost; None when the scenario says nothing, or cannot answer it."""
    try:
        entry = _entry(request, path)
    except (contract.ModelError, errors.ConfigError):
        return None  # whoever asks is told why
    return entry.usage.cost_usd if entry.usage else None


def _entry(request: contract.ModelRequest, path: str) -> scenarios.Entry:
    scenario = scenarios.load(path)
    if request.purpose != "boss":
        return scenarios.Entry(say=scenario.purposes.get(request.purpose, SUMMARY))
    return _choose(scenario, request)


def _choose(scenario: scenarios.Scenario, request: contract.ModelRequest) -> scenarios.Entry:
    fits = (s for s in scenario.scripts if s.match is None or s.match.search(request.brief))
    script = next(fits, scenario.scripts[-1])
    answers = -1  # the number of the answer that an error entry stands before
    failures = 0  # how many failures come before answer number `request.turn`
    for entry in script.turns:
        if answers + 1 == request.turn:
            if entry.error is None:
                return entry
            failures += entry.times
            if request.failed_requests < failures:
                return entry
        elif entry.error is None:
            answers += 1
    raise contract.ModelError(
        "scenario_exhausted",
        f"The scenario {scenario.path} has no turn {request.turn + 1} for this run.",
        provider="scripted",
        next="Add a turn to it, or end the last one without calls.",
    )


def _calls(
    entry: scenarios.Entry, request: contract.ModelRequest
) -> tuple[contract.ProposedCall, ...]:
    offered = {tool.name for tool in request.tools}
    raw = []
    for number, (given, tool, args) in enumerate(entry.calls, start=1):
        wire = tool.replace(".", "__")  # a script may say `git.log`, as people do
        name = wire if tool not in offered and wire in offered else tool
        raw.append((given or f"s{request.turn + 1}.{number}", name, args))
    return contract.propose(raw, request.tools)


def _sleep(seconds: float, cancelled: contract.Cancel | None) -> None:
    left = seconds
    while True:
        if cancelled is not None and cancelled.is_set():
            raise contract.ModelError(
                "cancelled", "The request was cancelled.", provider="scripted"
            )
        if left <= 0:
            return
        clock.sleep(min(left, SLICE_S))
        left -= SLICE_S
