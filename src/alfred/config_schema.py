"""Every setting of config.yaml: its name, type, default and meaning, as frozen models.

The attribute names are the names in the file. Texts come from the file as they were written, so each type
here says which spellings it takes and takes no other. `agents`, `bindings`, `channels` and what else belongs
to higher floors is only known by its outer shape and kept as it is written; it must not be changed.

Units: a `Duration` is microseconds, a `Usd` is US dollars with at most six decimals.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from alfred import config_text

# ---- types

_UNITS = {"ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,12})(ms|s|m|h|d)")
_LONGEST = 3650 * _UNITS["d"]
_COUNT = re.compile(r"0|[1-9][0-9]{0,17}")
_USD = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?")
_QUIET = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_DATABASE = re.compile(r"sqlite|postgres(?:ql)?://\S+")


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{message}", {"message": message})


def _text(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, Decimal):
        return config_text.as_text(value)
    raise _wrong("must be a text")


def _word(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise _wrong("must be one line with something in it, and no space around it")
    return text


def _version(value: Any) -> int:
    if value in (1, "1") and value is not True:
        return 1
    raise _wrong("must be 1, the only version that this program knows")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise _wrong("must be true or false")


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _COUNT.fullmatch(value):
            return int(value)
        if value.startswith("-") and _COUNT.fullmatch(value[1:]):
            return int(value)  # told to be too small, by the bounds
    raise _wrong("must be a whole number in plain digits, as in 60")


def _usd(value: Any) -> Decimal:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = format(Decimal(repr(value) if isinstance(value, float) else value), "f")
    if isinstance(value, str):
        if _USD.fullmatch(value):
            return Decimal(value)
        if value.startswith("-") and _USD.fullmatch(value[1:]):
            raise _wrong("must not be negative")
    raise _wrong("must be dollars in plain digits, at most six after the point, as in 2 or 0.50")


def usd_plain(value: Decimal) -> int | float:
    """Dollars as a JSON number."""
    return int(value) if value == value.to_integral_value() else float(value)


def duration_us(text: str) -> int:
    """Microseconds of `500ms`, `30s`, `5m`, `4h` or `7d`.

    Raises:
        ValueError: it is not written like that.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2]]


def duration_text(us: int) -> str:
    """Microseconds as they are written: the largest unit that fits."""
    if us == 0:
        return "0s"
    unit = next(u for u in ("d", "h", "m", "s", "ms") if us % _UNITS[u] == 0)
    return f"{us // _UNITS[unit]}{unit}"


def _duration(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = duration_us(value)
        except ValueError:
            if value.startswith("-"):
                raise _wrong("must not be negative") from None
            raise _wrong("must be a number with a unit: 30s, 5m, 4h, 7d") from None
    if not isinstance(value, int) or isinstance(value, bool) or value % _UNITS["ms"]:
        raise _wrong("must be a number with a unit: 30s, 5m, 4h, 7d")
    if not 0 <= value <= _LONGEST:
        raise _wrong(f"must be between 0s and {duration_text(_LONGEST)}")
    return value


def _positive(us: int) -> int:
    if us == 0:
        raise _wrong("must be more than 0s")
    return us


def _timezone(name: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = config_text.nearest(name, zoneinfo.available_timezones())
        hint = f", did you mean {near}?" if near else ", write one like Europe/Berlin"
        raise _wrong(f"no timezone has this name{hint}") from None
    return name


def _machine_timezone() -> str:
    """The name of the machine's timezone; UTC where it has none, as on a machine without /etc/localtime."""
    import tzlocal

    try:
        name = tzlocal.get_localzone_name()
        return _timezone(name) if name else "UTC"
    except (LookupError, ValueError, OSError):
        return "UTC"


def _database(text: str) -> str:
    if not _DATABASE.fullmatch(text):
        raise _wrong("must be sqlite, or postgresql:// with host and name")
    return text


def _quiet(text: str) -> str:
    if not _QUIET.fullmatch(text) or text[:5] == text[6:]:
        raise _wrong("must be from and to, as in 22:00-07:00")
    return text


def _folder(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    try:
        found = Path(_word(_text(value))).expanduser()
    except RuntimeError:
        raise _wrong("`~` stands for nobody here") from None
    if not found.is_absolute():
        raise _wrong("must be a path that begins with / or ~")
    return found


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong("must be names with what belongs to them, as in `name: {…}`")
    return config_text.resolve(value)


def _listing(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong("must be a list")
    return config_text.resolve(value)


Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": "string"})]
Word = Annotated[
    str,
    AfterValidator(_word),
    BeforeValidator(_text),
    WithJsonSchema({"type": ["string", "number"], "minLength": 1}),
]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
Count = Annotated[int, Field(ge=0, le=10**15), BeforeValidator(_count)]
Natural = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(_count)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**9), BeforeValidator(_count)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_count)]
Usd = Annotated[
    Decimal,
    BeforeValidator(_usd),
    PlainSerializer(usd_plain, when_used="json"),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
Period = Annotated[Duration, AfterValidator(_positive)]
Timezone = Annotated[Word, AfterValidator(_timezone), WithJsonSchema({"type": "string"})]
Database = Annotated[
    Text,
    AfterValidator(_database),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_DATABASE.pattern})$"}),
]
Quiet = Annotated[
    Text,
    AfterValidator(_quiet),
    WithJsonSchema({"type": "string", "pattern": f"^{_QUIET.pattern}$"}),
]
Folder = Annotated[Path, BeforeValidator(_folder), WithJsonSchema({"type": "string"})]
Raw = Annotated[Any, BeforeValidator(config_text.resolve)]
RawMapping = Annotated[
    dict[str, Any], BeforeValidator(_mapping), WithJsonSchema({"type": ["object", "null"]})
]
RawList = Annotated[
    list[Any], BeforeValidator(_listing), WithJsonSchema({"type": ["array", "null"]})
]
Mode = Literal["gated", "autonomous", "off"]


# ---- settings


class Section(BaseModel):
    """Settings that belong together. Written with nothing below it, all of them have their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, given: Any) -> Any:
        return {} if given is None else given


class Models(Section):
    """Which model does what; a name is `provider:model`."""

    boss: Word | None = Field(None, description="Model of the agent's own turns; null: `model`.")
    helper: Word | None = Field(None, description="Model of helpers; null: the boss model.")
    cheap: Word | None = Field(None, description="Model of small questions; null: the boss model.")
    fallback: tuple[Word, ...] = Field(
        (), description="Models that are tried in this order when one is limited or away."
    )


class Trust(Section):
    """What is believed beyond the rules."""

    workspaces: tuple[Folder, ...] = Field(
        (), description="Folders whose files count as trusted; everything below them does too."
    )


class PolicyRule(Section):
    """One exception from the mode; it holds where all the patterns that it names fit."""

    action: Word | None = Field(None, description="Pattern of action names, as in `git.*`.")
    integration: Word | None = Field(None, description="Pattern of integrations, as in `github`.")
    agent: Word | None = Field(None, description="Pattern of agent ids.")
    mode: Mode = Field(description="gated, autonomous or off.")

    @model_validator(mode="after")
    def _names_something(self) -> PolicyRule:
        if self.action is None and self.integration is None and self.agent is None:
            raise _wrong("names no action, integration or agent; for all of them set policy.mode")
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
        (), description="Who may decide, as `<platform>:<user id>`; empty: every paired person."
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
    turns: AtLeastOne = Field(60, description="Answers of the model in one run.")
    run_wall_clock: Period = Field(
        14_400_000_000, description="Working time of one run; waiting is free."
    )
    calls_per_turn: AtLeastOne = Field(64, description="Calls in one answer.")
    depth: Natural = Field(3, description="How deep runs may start runs.")
    children_live: Natural = Field(20, description="Children of one run that are not over.")
    tree_steps: AtLeastOne = Field(500, description="Steps of a run and all below it.")


class Server(Section):
    """Where `alfred serve` listens."""

    host: Word = Field("127.0.0.1", description="Address; beyond the loopback only with TLS.")
    port: Port = Field(8420, description="Port; 0: any that is free.")


class Settings(Section):
    """Everything in config.yaml."""

    installation_only: ClassVar[frozenset[str]] = frozenset({"database", "server"})
    """Settings that only the config.yaml of the home itself may have: all tenants share them."""

    alfred: Annotated[Literal[1], BeforeValidator(_version)] = Field(
        1, description="Says that this file is alfred's. Always 1."
    )
    timezone: Timezone = Field(
        default_factory=_machine_timezone, description="As in Europe/Berlin; unset: the machine's."
    )
    model: Word = Field(
        "auto", description="`provider:model`, or auto: the first that can be used."
    )
    models: Models = Field(default_factory=Models)
    provider: Word | None = Field(None, description="Provider of models named without one.")
    reasoning: Raw = Field(None, description="Effort or options of thinking, for all agents.")
    max_turns: AtLeastOne | None = Field(None, description="Turns of one request, for all agents.")
    personality: Text | None = Field(None, description="Text, or a file with it, for all agents.")
    memory_enabled: Flag = Field(True, description="Long-term memory, for all agents.")
    fallback_model: Raw = Field(None, description="Model when the first fails, for all agents.")
    tools: Raw = Field(None, description="Which tools agents have that say nothing themselves.")
    database: Database = Field("sqlite", description="sqlite, or postgresql://…")
    sandbox: Literal["auto", "off"] = Field(
        "auto", description="auto: what the machine has; off: commands run unprotected."
    )
    trust: Trust = Field(default_factory=Trust)
    policy: Policy = Field(default_factory=Policy)
    approvals: Approvals = Field(default_factory=Approvals)
    budget: Budget = Field(default_factory=Budget)
    limits: Limits = Field(default_factory=Limits)
    server: Server = Field(default_factory=Server)
    agents: RawMapping = Field(default_factory=dict, description="Agents by id.")
    bindings: RawList = Field(default_factory=list, description="Which messages go to which agent.")
    teams: RawMapping = Field(default_factory=dict, description="Agents that work together.")
    subagent: RawMapping = Field(
        default_factory=lambda: {"model": None}, description="What all delegated agents inherit."
    )
    mcp_servers: RawMapping = Field(default_factory=dict, description="MCP servers by name.")
    channels: RawMapping = Field(default_factory=dict, description="Telegram, Slack and others.")
    fleet: RawMapping = Field(
        default_factory=dict, description="Agents the host's scheduler fires."
    )
    cron: RawMapping = Field(default_factory=dict, description="Jobs to begin with.")
    integrations: RawMapping = Field(default_factory=dict, description="Mail, calendar and others.")

    _origins: dict[config_text.Where, str] = PrivateAttr(default_factory=dict)

    def place(self, *path: str | int) -> str | None:
        """Where a setting, or what it lies in, was given: `config.yaml:12` or `env:NAME`; None: nowhere."""
        while path:
            if path in self._origins:
                return self._origins[path]
            path = path[:-1]
        return None


def json_schema() -> dict[str, Any]:
    """The JSON schema of config.yaml, for editors."""
    schema = Settings.model_json_schema()
    for model in (Models, Trust, Policy, Approvals, Budget, Limits, Server):
        plain = model().model_dump(mode="json")
        for name, shown in schema["$defs"][model.__name__]["properties"].items():
            if "default" in shown:
                shown["default"] = plain[name]  # durations and money as they are written
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "config.yaml of alfred"
    return schema
