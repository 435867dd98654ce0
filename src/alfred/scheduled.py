"""The run that a cron starts when its time has come: as its agent would run it then, or as its workflow was allowed.

Invariants: what was allowed and has changed since does not start, and its times end until a person has looked at it; whatever
else keeps a run from being made (a model that cannot be asked, settings that are broken) is the cron's problem, and its slot
stays due.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from alfred import errors, orders
from alfred.actions.grant import Grant
from alfred.agents.registry import AgentRegistry
from alfred.config_live import LiveSettings
from alfred.runs import crons, triggers
from alfred.runs.crons import Trigger
from alfred.runs.execute import Runtime
from alfred.runs.rows import NewRun
from alfred.store.connect import Store
from alfred.workflows import agent, contracts
from alfred.workflows.contracts import Contract


def run_of(
    trigger: Trigger,
    run_id: str,
    *,
    runtime: Runtime,
    settings: LiveSettings,
    model: Callable[[str, str], str],
    tools: Callable[[str, str], Collection[str]],
) -> NewRun:
    """The run of a cron: the model that `run` would give it and the tools of its agent, in the agent's folder, else in one
    of its own.

    Args:
        model: (tenant, agent) -> who answers for it.
        tools: (tenant, agent) -> the ids of what there is for a run of it.

    Raises:
        AlfredError: why it cannot start now.
    """
    tenant = trigger.tenant
    now, folder = settings.of(tenant), settings.home(tenant)
    contract = None
    if trigger.workflow not in runtime.workflows:
        contract = _held(runtime.store, folder, trigger)
        brief = orders.said(contract.asked(())[0], "brief")
        trigger = replace(trigger, workflow=agent.NAME, agent=contract.agent, task=brief)
    who = AgentRegistry.from_settings(now).effective(trigger.agent)
    run = triggers.run_of(trigger, run_id)
    if who.workspace is not None:
        trusted = now.trust.workspaces
        place = orders.workspace(run_id, who.workspace, home=folder, trusted=trusted)
        run = replace(run, workspace=json.dumps(place))
    allowed = frozenset(who.policy.apply(tools(tenant, who.id)))
    grants = Grant(actions=allowed, scratch="").encode()
    run = replace(run, trigger_kind="cron", model=model(tenant, trigger.agent), grants=grants)
    return contract.bind(run, who.policy) if contract else run


def _held(store: Store, home: Path, trigger: Trigger) -> Contract:
    try:
        with store.read() as look:
            return contracts.holding(look, trigger.tenant, home, trigger.workflow).contract
    except (contracts.NotActivated, errors.ConfigError, errors.NotFound) as problem:
        told = " ".join(filter(None, (problem.detail, problem.next)))
        store.transact(crons.pause, trigger, told)
        raise
