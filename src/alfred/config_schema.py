"""Every setting of config.yaml: its name, type, default and meaning, as frozen models.

The attribute names are the names in the file; `config_values` has the kinds of values. `agents`, `bindings`,
`channels` and what else belongs to higher floors is only known by its outer shape and kept as it is written; it
must not be changed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from alfred import config_text, config_values
from alfred.config_values import (
    AtLeastOne,
    Count,
    Database,
    Day,
    Duration,
    Flag,
    Folder,
    Mode,
    Named,
    Natural,
    Period,
    Port,
    Quiet,
    Raw,
    RawList,
    RawMapping,
    Secrets,
    Text,
    Timezone,
    Usd,
    Version,
    Word,
    Workspace,
)

_EXACT = re.compile(r"[^*?\[\]]+")
"""A name that is no pattern."""


class Section(BaseModel):
    """Settings that belong together. Written with nothing below it, all of them have their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, given: Any) -> Any:
        return {} if given is None else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        schema["type"] = ["object", "null"]
        return schema


class Models(Section):
    """Which model does what; a name is `provider:model`, or a model of `provider`."""

    boss: Word | None = Field(
        None,
        description="Model of the agent's own turns; null: `model`. ALFRED_MODEL in the environment beats it.",
    )
    helper: Word | None = Field(
        None,
        description="Answers where the budget does not carry the boss model; null: the boss model.",
    )
    cheap: Word | None = Field(
        None,
        description="Of small questions, and behind helper; null: the small one of the boss's provider, else the boss.",
    )
    fallback: tuple[Word, ...] = Field(
        (), description="Models that are tried in this order when one is limited or away."
    )


class Trust(Section):
    """What is believed beyond the rules."""

    workspaces: tuple[Folder, ...] = Field(
        (), description="Folders whose files count as trusted; everything below them does too."
    )


class PolicyRule(Section):
    """One exception from the mode; it holds where all the patterns that it names fit.

    With conditions (`folder`, `args`, `free`, `to`, `until`) it lets calls of one kind through that would ask otherwise,
    and is `autonomous`. Such a rule covers only what it names: an argument that stands neither in `args` nor in `free`
    must have its default.
    """

    action: Word | None = Field(None, description="Pattern of action names, as in `git.*`.")
    integration: Word | None = Field(None, description="Pattern of integrations, as in `github`.")
    agent: Word | None = Field(None, description="Pattern of agent ids.")
    folder: Workspace | None = Field(
        None, description="The folder that the run works in; made: one that alfred made for it."
    )
    args: dict[Word, Named] = Field(
        default_factory=dict,
        description="What arguments must be: a value, {below: a folder} or {begins: words}.",
    )
    free: tuple[Word, ...] = Field((), description="Arguments that may be anything.")
    to: tuple[Text, ...] = Field((), description="Where the call may lead, as its card shows it.")
    until: Day | None = Field(None, description="The last day on which it holds.")
    mode: Mode = Field(description="gated, autonomous or off.")

    @property
    def conditional(self) -> bool:
        """Whether it looks at more of a call than whose it is, and of what action."""
        return bool(self.folder or self.args or self.free or self.to or self.until)

    @model_serializer(mode="wrap")
    def _without_what_it_does_not_say(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        conditions = ("folder", "args", "free", "to", "until")
        return {k: v for k, v in whole(self).items() if v or k not in conditions}

    @model_validator(mode="after")
    def _names_something(self) -> PolicyRule:
        if self.action is None and self.integration is None and self.agent is None:
            raise config_values.wrong(
                "names no action, integration or agent; for all of them set policy.mode"
            )
        if self.conditional and (
            self.mode != "autonomous" or not _EXACT.fullmatch(self.action or "")
        ):
            raise config_values.wrong(
                "has conditions, so its mode must be autonomous and its action the name of one"
            )
        return self


class Policy(Section):
    """Which calls ask a person first."""

    mode: Mode = Field(
        "gated",
        description="gated: whatever changes something asks; autonomous: low and medium risks do not; off: refused.",
    )
    rules: tuple[PolicyRule, ...] = Field(
        (), description="Exceptions, the most specific wins. High risks ask under every mode."
    )


class Approvals(Section):
    """How a person is asked."""

    approvers: tuple[Word, ...] = Field(
        (),
        description="Who may decide, as `<platform>:<user id>`; empty: every paired person. Without effect in this version.",
    )
    low_after: Duration = Field(300_000_000, description="A low risk approves itself after this.")
    low_counts_from: Literal["delivery", "staging"] = Field(
        "delivery", description="That time begins when the card has reached somebody, or at once."
    )
    expire_after: Period = Field(
        604_800_000_000, description="A card nobody decided ends after this."
    )
    notify_after: Duration = Field(
        30_000_000, description="How long a card waits to be seen before people are sent a message."
    )
    quiet_hours: Quiet | None = Field(
        None,
        description="From and to in `timezone`, as in 22:00-07:00: no messages, nothing approves itself.",
    )


class AgentBudget(Section):
    """What one agent may spend in a day; null: only the caps of all apply."""

    per_day_usd: Usd | None = Field(None, description="Dollars.")
    per_day_tokens: Count | None = Field(None, description="Tokens, in and out.")
    turns_per_day: Count | None = Field(None, description="Answers of the model.")


class Budget(Section):
    """What may be spent; null: no cap. A day is a day of `timezone`."""

    per_run_usd: Usd | None = Field(Decimal(2), description="Dollars of one run.")
    per_day_usd: Usd | None = Field(Decimal(20), description="Dollars of all runs of a day.")
    per_run_tokens: Count | None = Field(2_000_000, description="Tokens of one run, in and out.")
    per_day_tokens: Count | None = Field(20_000_000, description="Tokens of all runs of a day.")
    count_notional: Flag = Field(
        False, description="Whether the price that a subscription's CLI reports counts as money."
    )
    per_agent: dict[Word, AgentBudget] = Field(
        default_factory=dict, description="Caps of single agents, by their id."
    )


class Limits(Section):
    """What ends or holds back a run."""

    concurrent_runs: AtLeastOne = Field(8, description="Runs at work at the same time.")
    per_agent: AtLeastOne = Field(2, description="Of these, runs of one agent.")
    per_provider: dict[Word, AtLeastOne] = Field(
        default_factory=dict,
        description="Of these, how many ask one provider at the same moment, by its name, as in `ollama: 1`.",
    )
    turns: AtLeastOne = Field(60, description="Answers of the model in one run.")
    run_wall_clock: Period = Field(
        14_400_000_000, description="Working time of one run; waiting is free."
    )
    calls_per_turn: AtLeastOne = Field(64, description="Calls in one answer.")
    depth: Natural = Field(3, description="How deep runs may start runs.")
    children_live: Natural = Field(20, description="Children of one run that are not over.")
    tree_steps: AtLeastOne = Field(500, description="Steps of a run and all below it.")


class Server(Section):
    """Where `alfred serve` listens; without effect in this version, which opens no port."""

    host: Word = Field("127.0.0.1", description="Address; beyond the loopback only with TLS.")
    port: Port = Field(8420, description="Port; 0: any that is free.")


class Settings(Section):
    """Everything in config.yaml."""

    installation_only: ClassVar[frozenset[str]] = frozenset({"database", "server"})
    """Settings that only the config.yaml of the home itself may have: all tenants share them."""

    alfred: Version = Field(1, description="Says that this file is alfred's. Always 1.")
    timezone: Timezone = Field(
        default_factory=config_values.machine_timezone,
        description="As in Europe/Berlin; unset: the machine's.",
    )
    model: Word = Field(
        "auto",
        description="`provider:model`, or auto: the first that can be used, of `provider` where that is named.",
    )
    models: Models = Field(default_factory=Models)
    provider: Word | None = Field(
        None, description="Whose a model is that is named without saying it."
    )
    reasoning: Raw = Field(
        None,
        description="How much models think first: off, on, minimal, low, medium, high, xhigh or max; for all agents.",
    )
    max_turns: AtLeastOne | None = Field(None, description="Turns of one request, for all agents.")
    personality: Text | None = Field(None, description="Text, or a file with it, for all agents.")
    memory_enabled: Flag = Field(True, description="Long-term memory, for all agents.")
    fallback_model: Raw = Field(
        None,
        description="Model, or a list of them, when the first is limited or away, as models.fallback.",
    )
    tools: Raw = Field(
        None,
        description="Tools of agents that say nothing themselves: a profile, a list, or profile, also_allow, allow, deny.",
    )
    database: Database = Field(
        "sqlite", description="sqlite, or postgresql://…; ${NAME} in it is a secret."
    )
    sandbox: Literal["auto", "off"] = Field(
        "auto", description="auto: what the machine has; off: commands run unprotected."
    )
    secrets: Secrets = Field(
        default_factory=dict,
        description="Secrets that calls may name as secret://NAME, each with the hosts it may go to.",
    )
    trust: Trust = Field(default_factory=Trust)
    policy: Policy = Field(default_factory=Policy)
    approvals: Approvals = Field(default_factory=Approvals)
    budget: Budget = Field(default_factory=Budget)
    limits: Limits = Field(default_factory=Limits)
    server: Server = Field(default_factory=Server)
    agents: RawMapping = Field(default_factory=dict, description="Agents by id.")
    bindings: RawList = Field(default_factory=list, description="Which messages go to which agent.")
    teams: RawMapping = Field(
        default_factory=dict,
        description="Agents that work together, by name: lead, members, brief.",
    )
    subagent: RawMapping = Field(
        default_factory=lambda: {"model": None},
        description="What all children of agents inherit: model, `provider:model`, helper or cheap.",
    )
    mcp_servers: RawMapping = Field(default_factory=dict, description="MCP servers by name.")
    channels: RawMapping = Field(default_factory=dict, description="Where people are told: notify.")
    fleet: RawMapping = Field(
        default_factory=dict,
        description="Agents the host's scheduler fires; without effect in this version.",
    )
    cron: RawMapping = Field(
        default_factory=dict, description="Jobs to begin with; without effect in this version."
    )
    integrations: RawMapping = Field(default_factory=dict, description="Mail, calendar and others.")

    _origins: dict[config_text.Where, str] = PrivateAttr(default_factory=dict)

    def sandbox_of(self, agent: str) -> str:
        """`auto` or `off` for the runs of an agent: what its entry says, else what all have."""
        for name, entry in self.agents.items():
            said = entry if isinstance(entry, dict) else {}
            if str(said.get("id") or name) == agent and said.get("sandbox") is not None:
                return config_text.as_text(said["sandbox"])
        return self.sandbox

    def place(self, *path: str | int) -> str | None:
        """Where a setting, or what it lies in, was given: `config.yaml:12` or `env:NAME`; None: nowhere."""
        while path:
            if path in self._origins:
                return self._origins[path]
            path = path[:-1]
        return None


def json_schema() -> dict[str, Any]:
    """The JSON schema of config.yaml, for editors: takes whatever `config.load` takes, as YAML 1.2 types it."""
    schema = Settings.model_json_schema()
    for model in (Models, Trust, Policy, Approvals, Budget, Limits, Server):
        plain = model().model_dump(mode="json")
        for name, shown in schema["$defs"][model.__name__]["properties"].items():
            if "default" in shown:
                shown["default"] = plain[name]  # durations and money as they are written
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "config.yaml of alfred"
    return schema
