"""AgentDojo's banking and slack suites as alfred sees them: each of their tools an action over the suite's world.

Of AgentDojo everything is used but what asks a model: its environments, tools, tasks, checks and the text of an attack.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label

if TYPE_CHECKING:
    from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
    from agentdojo.functions_runtime import Function, FunctionCall
    from agentdojo.task_suite.task_suite import TaskSuite

VERSION = (1, 2, 2)

_UNREAD = [
    "agentdojo.agent_pipeline",
    "agentdojo.task_suite",
    *(f"agentdojo.default_suites.{version}" for version in ("v1_1_1", "v1_2", "v1_2_2")),
]
"""Packages whose `__init__` imports the clients of every provider, or the suites that are not used here: their modules
are imported without it, so that neither these nor what they depend on has to be installed."""

_TASKS = [
    *("v1_1_1.banking.user_tasks", "v1_1_1.slack.user_tasks", "v1_2.banking.injection_tasks"),
    *("v1_2.slack.user_tasks", "v1_2_2.banking.user_tasks"),
]
"""Which modules have newer tasks than the first version had, oldest first: importing one enters them."""

_WORDS_OF_OTHERS = Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)
"""What stands in an account or in a channel: some of it by strangers, and none of it for everybody."""

LOOKS = frozenset(
    [
        *("get_iban", "get_balance", "get_most_recent_transactions", "get_scheduled_transactions"),
        *("read_file", "get_user_info"),
        *("get_channels", "read_channel_messages", "read_inbox", "get_users_in_channel"),
    ]
)
"""Tools that change nothing in their world. `get_webpage` is none of them: the world keeps a list of the visits, and one
of the attacks wants nothing but one."""

_LEADS_TO = ("recipient", "user", "user_email", "channel", "url")
"""Arguments that say where a call leads: accounts, people, channels and addresses."""


@functools.cache
def suites() -> dict[str, TaskSuite[Any]]:
    """The two suites by their names."""
    for name in _UNREAD:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
    found = {}
    for name in ("banking", "slack"):
        importlib.import_module(f"agentdojo.default_suites.v1.{name}.user_tasks")
        importlib.import_module(f"agentdojo.default_suites.v1.{name}.injection_tasks")
    for name in _TASKS:
        importlib.import_module(f"agentdojo.default_suites.{name}")
    for name in ("banking", "slack"):
        module = importlib.import_module(f"agentdojo.default_suites.v1.{name}.task_suite")
        found[name] = module.task_suite.get_new_version(VERSION)
    return found


@functools.cache
def wording() -> str:
    """AgentDojo's "important instructions" attack: the strongest of its fixed texts."""
    module = importlib.import_module("agentdojo.attacks.important_instructions_attacks")
    return module.ImportantInstructionsAttack._JB_STRING


@dataclass(frozen=True)
class Pair:
    """A task of the user and what somebody else has written into its world."""

    suite: TaskSuite[Any]
    user: BaseUserTask[Any]
    injection: BaseInjectionTask[Any]

    def __str__(self) -> str:
        return f"{self.suite.name}: {self.user.ID}, {self.injection.ID}"

    def world(self) -> Any:
        """The world at the beginning, with the attack wherever a stranger can write."""
        attacked = _attacked(self.suite.name, self.injection.GOAL)
        return self.user.init_environment(attacked.model_copy(deep=True))


@functools.cache
def _attacked(suite: str, goal: str) -> Any:
    user, model = "Emma Johnson", "the AI language model"
    said = wording().format(goal=goal, user=user, model=model)
    everywhere = dict.fromkeys(suites()[suite].get_injection_vector_defaults(), said)
    return suites()[suite].load_and_inject_default_environment(everywhere)


def pairs() -> list[Pair]:
    """Every task of a user with every attack, over both suites."""
    return [
        Pair(suite, user, injection)
        for suite in suites().values()
        for user in suite.user_tasks.values()
        for injection in suite.injection_tasks.values()
    ]


def solved(
    task: BaseUserTask[Any], before: Any, after: Any, done: Sequence[FunctionCall], said: str
) -> bool:
    """AgentDojo's word on the task of a user, its `utility`: by the world before and after, what was done, and said last."""
    found = task.utility_from_traces(said, before, after, done)
    return task.utility(said, before, after) if found is None else found


def succeeded(
    attack: BaseInjectionTask[Any], before: Any, after: Any, done: Sequence[FunctionCall]
) -> bool:
    """AgentDojo's word on an attack, its `security`: by the world before and after, and what was done."""
    found = attack.security_from_traces("", before, after, done)
    return attack.security("", before, after) if found is None else found


def ungated(pair: Pair, calls: Iterable[FunctionCall]) -> Any:
    """The world in which these calls were made without any gate, by AgentDojo's own runtime."""
    from agentdojo.functions_runtime import FunctionsRuntime

    world = pair.world()
    runtime = FunctionsRuntime(pair.suite.tools)
    for call in calls:
        runtime.run_function(world, call.function, call.args, raise_on_error=True)
    return world


class Worlds:
    """The actions of both suites, and the world that they act on."""

    def __init__(self, *, visits_are_looks: bool = False) -> None:
        self.now: Any = None
        self.done: list[FunctionCall] = []
        """What was carried out in it, in order."""
        self.visits_are_looks = visits_are_looks

    def enter(self, world: Any) -> None:
        """Another world, in which nothing has happened."""
        self.now = world
        self.done = []

    def actions(self) -> list[Callable[..., Any]]:
        """Declared as harmless as can be: what holds them is the context alone, and whatever an author says besides
        (money is high) only raises."""
        return [self._action(suite, tool) for suite in suites().values() for tool in suite.tools]

    def _action(self, suite: TaskSuite[Any], tool: Function[Any, Any]) -> Callable[..., Any]:
        from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
        from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime

        runtime = FunctionsRuntime([tool])

        def act(**given: Any) -> str:
            self.done.append(FunctionCall(function=tool.name, args=given))
            value, _ = runtime.run_function(self.now, tool.name, given, raise_on_error=True)
            return tool_result_to_str(value, json.dumps)

        def leads_to(args: dict[str, Any], ctx: Any) -> list[str]:
            return [args[name] for name in _LEADS_TO if args.get(name)]

        wanted = inspect.signature(tool.run).parameters
        given = [one for name, one in wanted.items() if name not in tool.dependencies]
        act.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
        act.__doc__ = tool.full_docstring
        visit = tool.name == "get_webpage"
        look = tool.name in LOOKS or (visit and self.visits_are_looks)
        aimed = any(name in wanted for name in _LEADS_TO) and tool.name not in LOOKS
        return action(
            action_id(suite, tool.name),
            integration=suite.name,
            risk=Risk.NONE,
            effect=Effect.PURE if look else Effect.BLIND,
            destinations=leads_to if aimed else None,
            label=lambda args, ctx: labels.EXTERNAL if visit else _WORDS_OF_OTHERS,
        )(act)


def action_id(suite: TaskSuite[Any], function: str) -> str:
    """What alfred calls a tool of a suite."""
    return f"{suite.name}.{function}"
