"""The replay of a run: its turns asked of another model, one a step, and nothing of what it says is done."""

from __future__ import annotations

import functools

from alfred.agents import replay
from alfred.agents.comparison import REPLAY
from alfred.agents.metered import Meter
from alfred.runs.workflow import Workflow


def workflow(meter: Meter) -> Workflow:
    """The one step, which goes on with itself."""
    steps = {replay.ASK: functools.partial(replay.ask, meter=meter)}
    return Workflow(name=REPLAY, first=replay.ASK, steps=steps)
