"""The settings: defaults, files, the environment, every wrong value, and where each value came from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zoneinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from alfred import (
    clock,
    config,
    config_keys,
    config_schema,
    config_splice,
    config_text,
    config_values,
    errors,
)
from alfred.runs import schedule
from tests.table import table


@pytest.fixture
def write(home: Path):
    """Writes config.yaml and loads it with an empty environment."""

    def loaded(text: str | bytes, env: dict[str, str] | None = None) -> config.Settings:
        home.mkdir(exist_ok=True)
        data = text.encode() if isinstance(text, str) else text
        (home / "config.yaml").write_bytes(data)
        return config.load(home, env or {})

    return loaded


def lines(wrong: errors.ConfigError) -> list[str]:
    """Each problem of an error."""
    text = str(wrong)
    return [line.strip() for line in text.splitlines()[1:]] if "\n" in text else [text]


@pytest.fixture
def problems(write):
    """What is wrong with a text, a line each."""

    def found(text: str | bytes, env: dict[str, str] | None = None) -> list[str]:
        with pytest.raises(errors.ConfigError) as wrong:
            write(text, env)
        assert wrong.value.exit_code == 2
        assert wrong.value.next
        assert isinstance(wrong.value, errors.ConfigErrors) == (len(wrong.value.errors) > 1)
        assert len(wrong.value.errors) == len(lines(wrong.value))
        json.dumps(wrong.value.problem())
        return lines(wrong.value)

    return found


# ---- defaults


def test_a_missing_file_means_the_defaults_of_the_contract(home: Path):
    found = config.load(home, {}).model_dump(mode="json")
    assert found.pop("timezone")
    assert found == {
        "alfred": 1,
        "model": "auto",
        "models": {"boss": None, "helper": None, "cheap": None, "fallback": []},
        "provider": None,
        "reasoning": None,
        "max_turns": None,
        "personality": None,
        "memory_enabled": True,
        "fallback_model": None,
        "tools": None,
        "database": "sqlite",
        "sandbox": "auto",
        "secrets": {},
        "trust": {"workspaces": []},
        "policy": {"mode": "gated", "rules": []},
        "approvals": {
            "approvers": [],
            "low_after": "5m",
            "low_counts_from": "delivery",
            "expire_after": "7d",
            "notify_after": "30s",
            "quiet_hours": None,
        },
        "budget": {
            "per_run_usd": 2,
            "per_day_usd": 20,
            "per_run_tokens": 2_000_000,
            "per_day_tokens": 20_000_000,
            "count_notional": False,
            "per_agent": {},
        },
        "limits": {
            "concurrent_runs": 8,
            "per_agent": 2,
            "per_provider": {},
            "turns": 60,
            "run_wall_clock": "4h",
            "calls_per_turn": 64,
            "depth": 3,
            "children_live": 20,
            "tree_steps": 500,
        },
        "server": {"host": "127.0.0.1", "port": 8420},
        "agents": {},
        "bindings": [],
        "teams": {},
        "subagent": {"model": None},
        "mcp_servers": {},
        "channels": {},
        "fleet": {},
        "cron": {},
        "integrations": {},
    }
    assert not home.exists()


def test_durations_are_microseconds_and_money_is_exact(home: Path):
    found = config.load(home, {})
    assert found.approvals.low_after == 5 * clock.MINUTE
    assert found.approvals.expire_after == 7 * clock.DAY
    assert found.limits.run_wall_clock == 4 * clock.HOUR
    assert found.budget.per_run_usd == Decimal(2)


def test_the_timezone_of_the_machine_is_the_default(home: Path, monkeypatch: pytest.MonkeyPatch):
    import tzlocal

    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: "Asia/Tokyo")
    assert config.load(home, {}).timezone == "Asia/Tokyo"
    assert schedule.machine_zone("main") == "Asia/Tokyo"

    def at_odds() -> str:
        raise zoneinfo.ZoneInfoNotFoundError("two files of the system name two zones")

    for nameless in (lambda: None, lambda: "", lambda: "No/Where", at_odds):
        monkeypatch.setattr(tzlocal, "get_localzone_name", nameless)
        assert config.load(home, {}).timezone == "UTC"
        assert schedule.machine_zone("main") == "UTC"


def test_settings_do_not_change(home: Path):
    found = config.load(home, {})
    with pytest.raises(pydantic.ValidationError):
        found.policy.mode = "off"  # type: ignore[misc]


@table(list(config.load(Path("/nowhere"), {}).model_dump()))
def test_a_key_with_nothing_below_it_has_its_default_where_it_is_a_section(write, section: str):
    default = config.Settings()
    if isinstance(getattr(default, section), config_schema.Section | dict | list):
        found = getattr(write(f"alfred: 1\n{section}:\n"), section)
        assert found == ({} if section == "subagent" else getattr(default, section))


def test_the_whole_example_of_the_contract_is_read(write):
    found = write(
        """\
alfred: 1
timezone: Europe/Berlin            # [d] the machine's zone
model: auto
models: {helper: openai:gpt-5.5-mini, cheap: ollama:qwen, fallback: [openai:gpt-5.5]}
provider: anthropic
reasoning: high
max_turns: 40
personality: "You are brief."
memory_enabled: false
fallback_model: {model: openai:gpt-5.5}
database: postgresql://alfred:secret@db/alfred
sandbox: off
trust: {workspaces: [/srv/code, ~/src]}
policy:
  mode: autonomous
  rules:
    - {action: "world.*", mode: autonomous}
    - {agent: ops, integration: github, mode: off}
approvals: {approvers: [telegram:1234, "5"], low_after: 10m, low_counts_from: staging, expire_after: 2d, notify_after: 0s, quiet_hours: 22:00-07:00}
budget: {per_run_usd: 0.50, per_day_usd: null, per_run_tokens: 5, per_day_tokens: null, count_notional: true, per_agent: {ops: {turns_per_day: 3, per_day_usd: 1}}}
limits: {concurrent_runs: 1, per_agent: 1, turns: 5, run_wall_clock: 90s, calls_per_turn: 1, depth: 0, children_live: 0, tree_steps: 1}
server: {host: "::1", port: 0}
agents:
  main: {default: true}
  coder: {model: openai:gpt-5.5, personality: "You code.", tools: coding}
  ops: {tools: {profile: full, also_allow: [deploy], deny: [shell]}, subagents: {max_depth: 2, max_children: 3, model: cheap}}
bindings:
  - {agent: coder, telegram: "-100123456"}
  - {agent: ops, match: {platform: discord, guild_id: 0077, chat_type: channel}}
mcp_servers: {files: {command: npx, args: [a], env: {TOKEN: "${MY_TOKEN}"}}}
channels: {notify: ["ntfy://x"]}
fleet: {repos: [], agents: {lucius: {every: 20m, engine: hybrid, parallel: 1}}}
"""
    )
    assert found.trust.workspaces == (Path("/srv/code"), Path.home() / "src")
    assert found.policy.rules[1] == config.PolicyRule(agent="ops", integration="github", mode="off")
    assert found.policy.rules[0].agent is None
    assert found.approvals.approvers == ("telegram:1234", "5")
    assert found.approvals.notify_after == 0
    assert found.budget.per_run_usd == Decimal("0.50")
    assert found.budget.per_day_usd is None
    assert found.budget.per_agent["ops"].turns_per_day == 3
    assert found.limits.run_wall_clock == 90 * clock.SECOND
    assert found.sandbox == "off"
    assert found.server.host == "::1"
    assert found.agents["main"] == {"default": True}
    assert found.agents["ops"]["subagents"] == {"max_depth": 2, "max_children": 3, "model": "cheap"}
    assert found.bindings[1]["match"]["guild_id"] == "0077"
    assert found.bindings[0]["telegram"] == -100123456
    assert found.place("agents", "ops", "tools", "profile") == "config.yaml:26"
    assert found.place("bindings", 1, "match") == "config.yaml:29"
    assert found.place("agents", "gone") == "config.yaml:23"
    assert found.place("cron") is None


@table(["on", "off", "no", "yes", "0123", "1e3", "true", "1.0", "12:30", "1_0"])
def test_a_text_is_kept_as_it_was_written(write, text: str):
    found = write(
        f"alfred: 1\nmodel: {text}\npersonality: {text}\napprovals: {{approvers: [{text}]}}\n"
    )
    assert (found.model, found.personality, found.approvals.approvers) == (text, text, (text,))


# ---- what is wrong

WRONG = [
    ("alfred: 2", "alfred: must be 1, the only version that this program knows (given: '2')"),
    ("alfred: true", "alfred: must be 1"),
    ("alfred:", "alfred: must be 1"),
    ("modle: x", "modle: is no setting, did you mean model?"),
    ("polcy: {mode: off}", "polcy: is no setting, did you mean policy?"),
    ("Model: x", "Model: is no setting, did you mean model?"),
    ("limits: {turn: 5}", "limits.turn: is no setting, did you mean turns?"),
    ("turns: 5", "turns: is no setting here, did you mean limits.turns?"),
    ("per_run_usd: 5", "per_run_usd: is no setting here, did you mean budget.per_run_usd?"),
    ("server: {hots: x}", "server.hots: is no setting, did you mean host?"),
    ("server: {zzz: x}", "server.zzz: is no setting; known: host, port"),
    (
        "policy: {rules: [{mode: off, actoin: x}]}",
        "policy.rules[0].actoin: is no setting, did you mean action?",
    ),
    ("budget: {per_agent: {ops: {turns: 5}}}", "budget.per_agent.ops.turns: is no setting"),
    ("approvals: {low_afer: 5m}", "approvals.low_afer: is no setting, did you mean low_after?"),
    ("model:", "model: must be a text (given: null)"),
    ("model: ''", "model: must be one line with something in it"),
    ("model: ' x'", "model: must be one line with something in it, and no space around it"),
    ('model: "a\\nb"', "model: must be one line"),
    ('model: "a\\u202eb"', "model: must be one line"),
    ("model: [a]", "model: must be a text (given: a list)"),
    ("model: {a: b}", "model: must be a text (given: keys with values)"),
    ("models: {fallback: a}", "models.fallback: must be a list, as in [a, b] (given: 'a')"),
    ("models: {fallback: [[a]]}", "models.fallback[0]: must be a text"),
    ("models: {fallback: [a, null]}", "models.fallback[1]: must be a text"),
    ("models: 5", "models: must be keys with values (given: '5')"),
    ("limits: []", "limits: must be keys with values (given: a list)"),
    ("timezone: Europe/Berln", "timezone: no timezone has this name, did you mean Europe/Berlin?"),
    ("timezone: zzzzzz", "timezone: no timezone has this name, write one like Europe/Berlin"),
    ("timezone: ../../etc/passwd", "timezone: no timezone has this name"),
    ("timezone: /etc/localtime", "timezone: no timezone has this name"),
    ("timezone: Europe", "timezone: no timezone has this name"),
    ("timezone: '" + "x" * 5000 + "'", "timezone: no timezone has this name"),
    ("timezone:", "timezone: must be a text"),
    ("database: mysql://h/x", "database: must be sqlite, or postgresql:// with host and name"),
    ("database: sqlite:///x", "database: must be sqlite"),
    ("database: 'postgresql://h/x y'", "database: must be sqlite"),
    ("database: SQLite", "database: must be sqlite"),
    ("sandbox: on", "sandbox: must be auto or off (given: 'on')"),
    ("sandbox: false", "sandbox: must be auto or off (given: 'false')"),
    ("sandbox: none", "sandbox: must be auto or off"),
    ("sandbox: Off", "sandbox: must be auto or off, did you mean off?"),
    ("trust: {workspaces: [code]}", "trust.workspaces[0]: must be a path that begins with / or ~"),
    ("trust: {workspaces: [~nobody-here/x]}", "trust.workspaces[0]: `~` stands for nobody here"),
    ("trust: {workspaces: /srv}", "trust.workspaces: must be a list"),
    (
        "policy: {mode: autonomus}",
        "policy.mode: must be gated or autonomous or off, did you mean autonomous?",
    ),
    ("policy: {mode: on}", "policy.mode: must be gated or autonomous or off"),
    ("policy: {mode: }", "policy.mode: must be gated or autonomous or off"),
    ("policy: {rules: {action: x, mode: off}}", "policy.rules: must be a list"),
    ("policy: {rules: [{action: x}]}", "policy.rules[0].mode: is missing"),
    ("policy: {rules: [{mode: off}]}", "policy.rules[0]: names no action, integration or agent"),
    ("policy: {rules: [off]}", "policy.rules[0]: must be keys with values (given: 'off')"),
    ("policy: {rules: [{action: '', mode: off}]}", "policy.rules[0].action: must be one line"),
    (
        "approvals: {low_after: 5}",
        "approvals.low_after: must be a number with a unit: 30s, 5m, 4h, 7d",
    ),
    ("approvals: {low_after: 5 m}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: 5M}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: 1.5h}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: 05m}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: ٣m}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: 1h30m}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: -5m}", "approvals.low_after: must not be negative"),
    ("approvals: {low_after: 9999999d}", "approvals.low_after: must be between 0s and 3650d"),
    ("approvals: {low_after: null}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {low_after: [5m]}", "approvals.low_after: must be a number with a unit"),
    ("approvals: {expire_after: 0s}", "approvals.expire_after: must be more than 0s"),
    ("approvals: {expire_after: null}", "approvals.expire_after: must be a number with a unit"),
    ("approvals: {low_counts_from: now}", "approvals.low_counts_from: must be delivery or staging"),
    (
        "approvals: {quiet_hours: 22-7}",
        "approvals.quiet_hours: must be from and to, as in 22:00-07:00",
    ),
    ("approvals: {quiet_hours: 22:00-24:00}", "approvals.quiet_hours: must be from and to"),
    ("approvals: {quiet_hours: 07:00-07:00}", "approvals.quiet_hours: must be from and to"),
    ("budget: {per_run_usd: two}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: -1}", "budget.per_run_usd: must not be negative (given: '-1')"),
    ("budget: {per_run_usd: 1e3}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: .5}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: 0.1234567}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: .nan}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: .inf}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: NaN}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: $2}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: '2,5'}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: 1_000}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: ٣}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_usd: true}", "budget.per_run_usd: must be dollars in plain digits"),
    ("budget: {per_run_tokens: -1}", "budget.per_run_tokens: must be at least 0 (given: '-1')"),
    (
        "budget: {per_run_tokens: 2M}",
        "budget.per_run_tokens: must be a whole number in plain digits",
    ),
    (
        "budget: {per_run_tokens: 1.0}",
        "budget.per_run_tokens: must be a whole number in plain digits",
    ),
    (
        "budget: {per_run_tokens: 9999999999999999}",
        "budget.per_run_tokens: must be at most 1000000000000000",
    ),
    (
        "budget: {count_notional: yes}",
        "budget.count_notional: must be true or false (given: 'yes')",
    ),
    ("budget: {count_notional: 1}", "budget.count_notional: must be true or false"),
    ("budget: {count_notional: True}", "budget.count_notional: must be true or false"),
    ("budget: {count_notional: null}", "budget.count_notional: must be true or false"),
    ("budget: {per_agent: [ops]}", "budget.per_agent: must be keys with values"),
    ("budget: {per_agent: {ops: 5}}", "budget.per_agent.ops: must be keys with values"),
    ("budget: {per_agent: {'': {}}}", "budget.per_agent.'': must be one line with something in it"),
    ("limits: {turns: 0}", "limits.turns: must be at least 1 (given: '0')"),
    ("limits: {turns: -3}", "limits.turns: must be at least 1 (given: '-3')"),
    ("limits: {turns: 1e3}", "limits.turns: must be a whole number in plain digits, as in 60"),
    ("limits: {turns: 0x10}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {turns: 010}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {turns: '6 0'}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {turns: many}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {turns: null}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {turns: " + "9" * 5000 + "}", "limits.turns: must be a whole number in plain digits"),
    ("limits: {depth: -1}", "limits.depth: must be at least 0"),
    ("limits: {run_wall_clock: 0h}", "limits.run_wall_clock: must be more than 0s"),
    ("server: {port: 65536}", "server.port: must be at most 65535"),
    ("server: {port: http}", "server.port: must be a whole number"),
    ("server: {host: ''}", "server.host: must be one line"),
    ("server: 8420", "server: must be keys with values (given: '8420')"),
    ("max_turns: 0", "max_turns: must be at least 1"),
    ("memory_enabled: off", "memory_enabled: must be true or false (given: 'off')"),
    ("agents: [main]", "agents: must be names with what belongs to them"),
    ("agents: main", "agents: must be names with what belongs to them"),
    ("bindings: {agent: x}", "bindings: must be a list (given: keys with values)"),
    ("channels: [x]", "channels: must be names with what belongs to them"),
    ("mcp_servers: x", "mcp_servers: must be names with what belongs to them"),
]


@table(WRONG)
def test_a_wrong_value_is_told_with_file_line_and_key(problems, text: str, said: str):
    head = "" if text.startswith("alfred:") else "alfred: 1\n"
    found = problems(f"{head}{text}\n")
    assert len(found) == 1
    assert found[0].startswith(f"config.yaml:{2 if head else 1}: {said}")
    assert len(found[0]) < 400


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(problems):
    found = problems(
        "alfred: 1\nserver: {port: x}\nmodle: y\nlimits: {turns: 0, depth: -1}\nlimits: {}\n"
        "policy:\n  rules:\n    - {mode: off}\n    - {action: a, mode: of}\nx: &a [*a]\n",
        {"ALFRED_BUDGET__PER_DAY_USD": "lots", "ALFRED_TEST_LEASE_S": "4"},
    )
    assert [f.split(": ")[0:2] for f in found] == [
        ["config.yaml:2", "server.port"],
        ["config.yaml:3", "modle"],
        ["config.yaml:4", "limits.turns"],
        ["config.yaml:4", "limits.depth"],
        ["config.yaml:5", "limits"],
        ["config.yaml:8", "policy.rules[0]"],
        ["config.yaml:9", "policy.rules[1].mode"],
        ["config.yaml:10", "x[0]"],
        ["config.yaml:10", "x"],
        ["ALFRED_TEST_LEASE_S", "must be seconds from 5 to 30; unset it, it is for tests (given"],
        ["ALFRED_BUDGET__PER_DAY_USD", "budget.per_day_usd"],
    ]


def test_a_value_that_could_not_be_read_is_not_wrong_twice(problems):
    assert problems('alfred: 1\nmodel: "a\\0"\n') == [
        "config.yaml:2: model: the character NUL may not stand in a text"
    ]


SECRET_PLACES = [
    "api_key: sk-secret",
    "anthropic_api_key: {x: sk-secret}",
    "database: mysql://me:sk-secret@h/x",
    "database: postgresql://me:sk-secret@h/x y",
    "database: postgresql://h /x?password=sk-secret",
    "server: {token: sk-secret}",
    "models: {sk: sk-secret}",
    "channels: [sk-secret]",
    "mcp_servers: sk-secret:x",
]


@table(SECRET_PLACES)
def test_a_message_repeats_no_secret(problems, text: str):
    found = "\n".join(problems(f"alfred: 1\n{text}\n"))
    assert "sk-secret" not in found


def test_what_is_wrong_with_the_file_itself_is_a_config_error(home: Path):
    home.mkdir()
    file = home / "config.yaml"
    file.mkdir()
    with pytest.raises(errors.ConfigError, match="it is no file"):
        config.load(home, {})
    file.rmdir()
    for data in (b"alfred: 1\nmodel: \xff\n", b"a" * 1_000_001, b"\0", b"alfred: 1\n\x07"):
        file.write_bytes(data)
        with pytest.raises(errors.ConfigError, match=r"^config\.yaml"):
            config.load(home, {})


# ---- tenants


def test_a_tenant_has_a_file_of_its_own_and_inherits_nothing(home: Path):
    (home / "tenants/ops").mkdir(parents=True)
    (home / "config.yaml").write_text("alfred: 1\nmodel: a:b\nlimits: {turns: 5}\n")
    (home / "tenants/ops/config.yaml").write_text("alfred: 1\nlimits: {depth: 1}\n")
    ops = config.load(home, {}, tenant="ops")
    assert (ops.model, ops.limits.turns, ops.limits.depth) == ("auto", 60, 1)
    assert config.load(home, {}).limits.turns == 5
    assert config.load(home, {}, tenant="none").model == "auto"
    with pytest.raises(errors.UsageError):
        config.load(home, {}, tenant="../ops")


def test_what_all_tenants_share_is_not_in_the_file_of_one(home: Path):
    (home / "tenants/ops").mkdir(parents=True)
    (home / "tenants/ops/config.yaml").write_text(
        "alfred: 1\nserver: {port: 1}\ndatabase: sqlite\n"
    )
    with pytest.raises(errors.ConfigErrors) as wrong:
        config.load(home, {}, tenant="ops")
    assert [line.split(":")[1:3] for line in lines(wrong.value)] == [
        ["2", " server"],
        ["3", " database"],
    ]


# ---- the environment


def test_every_setting_has_a_variable_and_it_wins(home: Path):
    given = {
        "alfred": None,
        "timezone": ("Asia/Tokyo", "Asia/Tokyo"),
        "model": ("a:b", "a:b"),
        "models.boss": ("a", "a"),
        "models.helper": ("a", "a"),
        "models.cheap": ("a", "a"),
        "models.fallback": ("[a, b]", ["a", "b"]),
        "provider": ("x", "x"),
        "reasoning": ("{effort: 5}", {"effort": 5}),
        "max_turns": ("5", 5),
        "personality": ("a: b, {c", "a: b, {c"),
        "memory_enabled": ("false", False),
        "fallback_model": ("x:y", "x:y"),
        "tools": ("[]", []),
        "database": ("postgresql://h/x", "postgresql://h/x"),
        "sandbox": ("off", "off"),
        "secrets": ("{A: [x.org, '::1'], B: Y.org}", {"A": ["x.org", "::1"], "B": ["y.org"]}),
        "trust.workspaces": ("[/a]", ["/a"]),
        "policy.mode": ("off", "off"),
        "policy.rules": (
            "[{action: x, mode: off}]",
            [{"action": "x", "integration": None, "agent": None, "mode": "off"}],
        ),
        "approvals.approvers": ("[a]", ["a"]),
        "approvals.low_after": ("1m", "1m"),
        "approvals.low_counts_from": ("staging", "staging"),
        "approvals.expire_after": ("1d", "1d"),
        "approvals.notify_after": ("1s", "1s"),
        "approvals.quiet_hours": ("22:00-06:00", "22:00-06:00"),
        "budget.per_run_usd": ("null", None),
        "budget.per_day_usd": ("0.25", 0.25),
        "budget.per_run_tokens": ("7", 7),
        "budget.per_day_tokens": ("~", None),
        "budget.count_notional": ("true", True),
        "budget.per_agent": (
            "{ops: {turns_per_day: 5}}",
            {"ops": {"per_day_usd": None, "per_day_tokens": None, "turns_per_day": 5}},
        ),
        "limits.concurrent_runs": ("3", 3),
        "limits.per_agent": ("3", 3),
        "limits.per_provider": ("{ollama: 1}", {"ollama": 1}),
        "limits.turns": ("3", 3),
        "limits.run_wall_clock": ("3h", "3h"),
        "limits.calls_per_turn": ("3", 3),
        "limits.depth": ("2", 2),
        "limits.children_live": ("3", 3),
        "limits.tree_steps": ("3", 3),
        "server.host": ("::1", "::1"),
        "server.port": ("1", 1),
        "agents": ("{a: {default: true}}", {"a": {"default": True}}),
        "bindings": ("[{agent: a}]", [{"agent": "a"}]),
        "teams": ("{a: 1}", {"a": 1}),
        "subagent": ("{model: x}", {"model": "x"}),
        "mcp_servers": ("{a: {url: x}}", {"a": {"url": "x"}}),
        "channels": ("{notify: [a]}", {"notify": ["a"]}),
        "fleet": ("{repos: []}", {"repos": []}),
        "cron": ("{a: {}}", {"a": {}}),
        "integrations": ("{web: {}}", {"web": {}}),
    }
    assert list(given) == [".".join(path) for path in config_keys.leaves()]
    home.mkdir()
    for key, value in given.items():
        name = "ALFRED_" + key.upper().replace(".", "__")
        if value is None:
            assert name not in config_keys.variables()
            continue
        (home / "config.yaml").write_text("alfred: 1\nmodel: file\nlimits: {turns: 9}\n")
        found: Any = config.load(home, {name: value[0]}).model_dump(mode="json")
        for part in key.split("."):
            found = found[part]
        assert found == value[1], key


def test_an_empty_variable_is_unset(write):
    assert write("alfred: 1\nmodel: x\n", {"ALFRED_MODEL": "", "ALFRED_AGENTS": ""}).model == "x"


def test_the_database_url_of_the_environment_is_the_database(write, problems):
    url = "postgresql://a:b@h/x"
    assert write("alfred: 1\n", {"ALFRED_DATABASE_URL": url}).database == url
    both = {"ALFRED_DATABASE_URL": url, "ALFRED_DATABASE": url}
    assert write("alfred: 1\n", both).database == url
    found = problems("alfred: 1\n", both | {"ALFRED_DATABASE": "sqlite"})
    assert len(found) == 1
    assert found[0].startswith("ALFRED_DATABASE_URL: database: ALFRED_DATABASE says something else")


WRONG_VARIABLES = [
    ("ALFRED_LIMITS__TURNS", "0", "limits.turns: must be at least 1 (given: '0')"),
    ("ALFRED_LIMITS__TURNS", "null", "limits.turns: must be a whole number"),
    (
        "ALFRED_POLICY__MODE",
        "of",
        "policy.mode: must be gated or autonomous or off, did you mean off?",
    ),
    ("ALFRED_DATABASE_URL", "mysql://me:pw@h", "database: must be sqlite"),
    ("ALFRED_MODELS__FALLBACK", "a", "models.fallback: must be a list"),
    ("ALFRED_MODELS__FALLBACK", "[a", "models.fallback: no proper YAML"),
    ("ALFRED_MODELS__FALLBACK", "[a]\nb: 1", "models.fallback: must be one value"),
    ("ALFRED_AGENTS", "- a", "agents: no proper YAML"),
    ("ALFRED_AGENTS", "{a: 1, a: 2}", "agents: written twice"),
    ("ALFRED_POLICY__RULES", "[{mode: off}]", "policy.rules[0]: names no action"),
    ("ALFRED_MODEL", "a\udcff", "model: the character '\\udcff' may not stand in a text"),
    ("ALFRED_MODEL", " ", "model: must be one line"),
    *(
        ("ALFRED_TEST_LEASE_S", text, "must be seconds from 5 to 30")
        for text in ("4", "31", "4.99", "30.5", "x", "-5", "1e1", "5s", "inf", "٩")
    ),
]


@table(WRONG_VARIABLES)
def test_a_wrong_variable_is_told_by_its_name(problems, name: str, value: str, said: str):
    found = problems("alfred: 1\n", {name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{name}: {said}")
    assert "pw" not in found[0]


@pytest.mark.parametrize("text", ["5", "30", "29.999", "12.5", ""])
def test_a_proper_lease_is_no_problem(write, text: str):
    write("alfred: 1\n", {"ALFRED_TEST_LEASE_S": text})


def test_a_variable_does_not_hide_that_its_section_is_wrong(problems):
    found = problems("alfred: 1\nlimits: 5\n", {"ALFRED_LIMITS__TURNS": "3"})
    assert found == ["config.yaml:2: limits: must be keys with values (given: '5')"]


def test_mistyped_variables_are_told_with_the_nearest_name():
    said = config.mistyped(
        {
            "ALFRED_MODLE": "sk-secret",
            "ALFRED_LIMITS_TURNS": "1",
            "ALFRED_HOMES": "x",
            "alfred_model": "x",
            "ALFRED_TEST_LEASE": "5",
            "ALFRED_QQQQQQ": "1",
            "ALFRED_ENGINE": "x",
            "ALFRED_TEST_SCRATCH": "x",
            "ALFRED_TEST_ALL": "1",
            "ALFRED_MODEL": "x",
            "ALFRED_HOME": "x",
            "ALFRED_TOKEN": "x",
            "ALFRED_NO_INPUT": "1",
            "ALFRED_NO_WORKER": "1",
            "ALFRED_TEST_LEASE_S": "5",
            "ALFRED_DATABASE_URL": "x",
            "ALFRED_BUDGET__PER_RUN_USD": "x",
            "ALFREDO": "x",
            "PATH": "x",
        },
        also=["ALFRED_ENGINE"],
    )
    assert said == [
        "The variable ALFRED_HOMES means nothing. Did you mean ALFRED_HOME?",
        "The variable ALFRED_LIMITS_TURNS means nothing. Did you mean ALFRED_LIMITS__TURNS?",
        "The variable ALFRED_MODLE means nothing. Did you mean ALFRED_MODEL?",
        "The variable ALFRED_QQQQQQ means nothing.",
        "The variable ALFRED_TEST_LEASE means nothing. Did you mean ALFRED_TEST_LEASE_S?",
        "The variable alfred_model means nothing. Did you mean ALFRED_MODEL?",
    ]


# ---- sources


def test_every_value_says_where_it_came_from(write):
    found = config.sources(
        write(
            "alfred: 1\nlimits:\n  turns: 5\nagents:\n  a.b: {model: x}\nbudget: {per_agent: {o: {turns_per_day: 1}}}\n",
            {"ALFRED_MODEL": "y", "ALFRED_FLEET": "{repos: [], agents: {l: {every: 20m}}}"},
        )
    )
    assert found["alfred"] == {"value": 1, "source": "config.yaml:1"}
    assert found["limits.turns"] == {"value": 5, "source": "config.yaml:3"}
    assert found["limits.depth"] == {"value": 3, "source": "default"}
    assert found["limits.run_wall_clock"] == {"value": "4h", "source": "default"}
    assert found["model"] == {"value": "y", "source": "env:ALFRED_MODEL"}
    assert found["agents.'a.b'.model"] == {"value": "x", "source": "config.yaml:5"}
    assert found["fleet.agents.l.every"] == {"value": "20m", "source": "env:ALFRED_FLEET"}
    assert found["budget.per_agent.o.turns_per_day"] == {"value": 1, "source": "config.yaml:6"}
    assert found["budget.per_agent.o.per_day_usd"] == {"value": None, "source": "default"}
    assert found["channels"] == {"value": {}, "source": "default"}
    json.dumps(found)


def test_every_setting_is_shown(home: Path):
    shown = set(config.sources(config.load(home, {})))
    expected = {".".join(path) for path in config_keys.leaves()}
    assert shown == (expected - {"subagent"}) | {"subagent.model"}


SHOWN = [
    ("database: postgresql://me:sk-x@h:1/db", "database", "postgresql://[redacted]@h:1/db"),
    ("database: postgresql://me:a@sk-x@h/db", "database", "postgresql://[redacted]@h/db"),
    (
        "database: postgresql://h/db?password=sk-x",
        "database",
        "postgresql://h/db?password=[redacted]",
    ),
    ("channels: {telegram: {bot_token: sk-x}}", "channels.telegram.bot_token", "[redacted]"),
    ("channels: {telegram: {bot_token: 12345}}", "channels.telegram.bot_token", "[redacted]"),
    ("channels: {notify: ['tgram://sk-x/1']}", "channels.notify", ["tgram://[redacted]"]),
    ("channels: {notify: ['mailto://a:sk-x@h']}", "channels.notify", ["mailto://[redacted]"]),
    (
        "channels: {slack: {to: 'https://h.io/sk-x'}}",
        "channels.slack.to",
        "https://h.io/[redacted]",
    ),
    (
        "channels: {slack: {to: 'https://u:sk-x@h.io'}}",
        "channels.slack.to",
        "https://h.io/[redacted]",
    ),
    (
        "mcp_servers: {a: {url: 'https://h.io?k=sk-x'}}",
        "mcp_servers.a.url",
        "https://h.io/[redacted]",
    ),
    ("mcp_servers: {a: {url: 'https://h.io/'}}", "mcp_servers.a.url", "https://h.io/"),
    ("mcp_servers: {a: {env: {TOKEN: '${T}'}}}", "mcp_servers.a.env.TOKEN", "${T}"),
    ("mcp_servers: {a: {env: {TOKEN: 'sk-x${T}'}}}", "mcp_servers.a.env.TOKEN", "[redacted]"),
    (
        "mcp_servers: {a: {headers: {Authorization: sk-x}}}",
        "mcp_servers.a.headers.Authorization",
        "[redacted]",
    ),
    (
        "integrations: {mail: {password: [sk-x, 5]}}",
        "integrations.mail.password",
        ["[redacted]", "[redacted]"],
    ),
    ("integrations: {mail: {secrets: {a: sk-x}}}", "integrations.mail.secrets.a", "[redacted]"),
    ("integrations: {mail: [{apiKey: sk-x}]}", "integrations.mail", [{"apiKey": "[redacted]"}]),
    ("agents: {a: {max_tokens: 5}}", "agents.a.max_tokens", 5),
    ("agents: {a: {default: true}}", "agents.a.default", True),
    ("budget: {per_run_tokens: 5}", "budget.per_run_tokens", 5),
]


@table(SHOWN)
def test_no_secret_is_shown_by_config_show(write, text: str, key: str, value: object):
    found = config.sources(write(f"alfred: 1\n{text}\n"))
    assert found[key]["value"] == value
    assert "sk-x" not in json.dumps(found)


# ---- the rest


def test_the_ledger_lies_in_the_home_or_where_the_settings_say(tmp_path: Path, monkeypatch):
    from alfred import opening
    from alfred.store import postgres, sqlite

    for name in ("home", "a b", "a?b", "a#b", "a%41", "ä", "a@b:c", "${X}"):
        url = opening.database_url("sqlite", tmp_path / name)
        assert sqlite.path(url) == tmp_path / name / "alfred.db"
    assert opening.database_url("postgresql://h/x", tmp_path) == "postgresql://h/x"
    monkeypatch.setenv("OPS_PG", "p@ss/w%41:rd")
    named = opening.database_url("postgresql://u:${OPS_PG}@h/x", tmp_path)
    assert conninfo_to_dict(postgres.conninfo(named))["password"] == "p@ss/w%41:rd"
    monkeypatch.delenv("OPS_PG")
    with pytest.raises(errors.ConfigError, match=r"\$\{OPS_PG\}, which has no value"):
        opening.database_url("postgresql://u:${OPS_PG}@h/x", tmp_path)


def test_the_schema_for_editors_has_every_setting_with_its_meaning():
    schema = config.json_schema()

    def known(part: dict[str, Any], path: tuple[str, ...] = ()):
        for name, below in part["properties"].items():
            if "$ref" in below and below["$ref"].rpartition("/")[2] in schema["$defs"]:
                yield from known(schema["$defs"][below["$ref"].rpartition("/")[2]], (*path, name))
            else:
                assert below["description"], name
                yield (*path, name)

    assert list(known(schema)) == list(config_keys.leaves())
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
    assert schema["$defs"]["Approvals"]["properties"]["low_after"]["default"] == "5m"
    assert schema["$defs"]["Budget"]["properties"]["per_run_usd"]["default"] == 2
    json.dumps(schema)


def fits(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether JSON schema takes the value; knows the words that ours uses, and no other."""
    told = set(schema) - {"$defs", "$schema", "title", "description", "default"}
    kinds = {str: "string", bool: "boolean", dict: "object", list: "array", type(None): "null"}
    own = {kinds.get(type(value), "number")} | ({"integer"} if type(value) is int else set())
    allowed: Any = schema.get("type", own)
    number = type(value) in (int, float)
    judged = {
        "$ref": lambda ref: fits(value, whole["$defs"][ref.rpartition("/")[2]], whole),
        "type": lambda _: bool(own & ({allowed} if isinstance(allowed, str) else set(allowed))),
        "enum": lambda some: any(type(one) is type(value) and one == value for one in some),
        "anyOf": lambda some: any(fits(value, one, whole) for one in some),
        "minimum": lambda least: not number or value >= least,
        "maximum": lambda most: not number or value <= most,
        "minLength": lambda least: not isinstance(value, str) or len(value) >= least,
        "pattern": lambda p: not isinstance(value, str) or re.search(p, value) is not None,
        "items": lambda item: (
            not isinstance(value, list) or all(fits(v, item, whole) for v in value)
        ),
        "required": lambda some: not isinstance(value, dict) or value.keys() >= set(some),
        "properties": lambda some: (
            not isinstance(value, dict)
            or all(fits(v, some[k], whole) for k, v in value.items() if k in some)
        ),
        "additionalProperties": lambda rest: (
            not isinstance(value, dict)
            or all(
                rest is not False and fits(v, rest, whole)
                for k, v in value.items()
                if k not in schema.get("properties", {})
            )
        ),
    }
    return all(judged[word](schema[word]) for word in told)


def as_an_editor_has_it(text: str) -> Any:
    """The values of YAML 1.2's core schema, which has no dates and no `=`."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    for tag in ("timestamp", "value"):
        yaml.constructor.add_constructor(
            f"tag:yaml.org,2002:{tag}", lambda _, node: str(node.value)
        )
    return yaml.load(text)


SPELLINGS = [
    *("", "null", "~", "true", "false", "'true'", "on", "off", "auto", "gated", "autonomous"),
    *("0", "1", "5", "'5'", "-1", "0.5", "'0.5'", "1e3", "0123", "0x10", ".inf", "1_000", "2026-07-01"),
    *("99999999999", "1000000000000000", "5m", "'5m'", "0s", "30s", "22:00-07:00", "sqlite", "staging"),
    *("postgres://h/x", "UTC", "Europe/Berlin", "/a", "~/a", "text", "'a b'", "''", "\"a\\nb\"", "🎈"),
    *("[]", "[a]", "[5, true]", "[~]", "[/a]", "{}", "{a: 1}", "{a: {}}", "{a: }"),
    *("{model: 5}", "[{action: 5, mode: off}]", "[{mode: off}]", "{a: {per_day_usd: 1}}"),
]  # fmt: skip


@pytest.mark.slow
def test_what_the_loader_takes_the_schema_for_editors_takes_too():
    def at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
        for part in reversed(path):
            value = {part: value}
        return {"alfred": value.get("alfred", "1"), **value}

    schema = config.json_schema()
    sections = {path[:n] for path in config_keys.leaves() for n in range(1, len(path))}
    taken, refused = 0, []
    for spelling in SPELLINGS:
        ours = config_text.parse(f"value: {spelling}\n", "config.yaml").tree["value"]
        theirs = as_an_editor_has_it(f"value: {spelling}\n")["value"]
        for path in [*sections, *config_keys.leaves()]:
            made = config_text.Document("config.yaml", at(path, ours))
            try:
                config.validate(made, Path("config.yaml"), {})
            except errors.ConfigError:
                continue
            taken += 1
            seen = {**at(path, theirs), **({} if path == ("alfred",) else {"alfred": 1})}
            if not fits(seen, schema, schema):
                refused.append((path, spelling))
    assert not refused
    assert taken > 500


@pytest.mark.parametrize(
    "text",
    ["limits: 5", "limits: {turns: -1}", "limits: {turn: 5}", "budget: {per_run_usd: two}",
     "memory_enabled: maybe", "sandbox: on", "alfred: 2", "personality: [a]", "policy: {rules: [{}]}"],
)  # fmt: skip
def test_what_is_plainly_wrong_the_schema_for_editors_refuses(text: str):
    schema = config.json_schema()
    with pytest.raises(errors.ConfigError):
        read(text)
    assert not fits(as_an_editor_has_it(text), schema, schema)


@pytest.mark.slow
def test_loading_defaults_imports_no_yaml_and_nothing_heavy(home: Path):
    code = (
        "import sys, pathlib, alfred.config as c;"
        f"c.load(pathlib.Path({str(home)!r}), {{}}); print(*sorted(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert not loaded & {
        "ruamel.yaml",
        "sqlalchemy",
        "rich",
        "asyncio",
        "pydantic_settings",
        "difflib",
    }


# ---- properties

names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
word = st.one_of(
    names,
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20),
    st.sampled_from(
        ["on", "off", "null", "~", "0123", "1e3", "true", "- a", "a: b", "#x", "*x", "{", "'"]
    ),
)
counts = st.integers(1, 10**6)
durations = st.integers(1, 10**9).map(lambda n: n * 1000)
dollars = st.decimals(0, 10**6, places=6)
modes = st.sampled_from(["gated", "autonomous", "off"])
raw_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**15), 10**15), word),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(word, inner, max_size=3)),
    max_leaves=8,
)
rules = st.fixed_dictionaries({"mode": modes, "action": word}, optional={"agent": word})
values = st.fixed_dictionaries(
    {},
    optional={
        "model": word,
        "models.fallback": st.lists(word, max_size=3),
        "personality": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        "memory_enabled": st.booleans(),
        "timezone": st.sampled_from(["Europe/Berlin", "UTC", "America/Argentina/Ushuaia"]),
        "sandbox": st.sampled_from(["auto", "off"]),
        "policy.mode": modes,
        "policy.rules": st.lists(rules, max_size=3),
        "approvals.approvers": st.lists(word, max_size=3),
        "approvals.low_after": durations.map(config_values.duration_text),
        "approvals.expire_after": durations.map(config_values.duration_text),
        "budget.per_run_usd": st.one_of(st.none(), dollars),
        "budget.per_day_tokens": st.one_of(st.none(), counts),
        "limits.turns": counts,
        "limits.depth": counts,
        "server.port": st.integers(0, 65535),
        "agents": st.dictionaries(names, raw_values, max_size=3),
        "channels": st.dictionaries(word, raw_values, max_size=3),
        "bindings": st.lists(raw_values, max_size=3),
    },
)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {"alfred": 1}
    for key, value in flat.items():
        *above, last = key.split(".")
        at = tree
        for part in above:
            at = at.setdefault(part, {})
        at[last] = value
    return tree


def read(text: str, env: dict[str, str] | None = None) -> config.Settings:
    made = config_text.parse(text, "config.yaml")
    return config.validate(made, Path("config.yaml"), env or {})


@settings(max_examples=20)  # of up to 19 keys each
@given(values)
@pytest.mark.slow
def test_any_settings_that_are_written_are_read_again(flat: dict[str, Any]):
    once = read(config_splice.yaml_text(nested(flat)) + "\n")
    for key, value in flat.items():
        found: Any = once
        for part in key.split("."):
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        if isinstance(value, str | int | bool | Decimal | None) and not key.startswith(
            "approvals."
        ):
            assert found == value, key
    dumped = once.model_dump(mode="json")
    dumped["budget"]["per_run_usd"] = once.budget.per_run_usd
    again = read(config_splice.yaml_text(dumped) + "\n")
    assert again.model_dump() == once.model_dump()


@given(values)
@pytest.mark.slow
def test_any_settings_that_are_written_fit_the_schema_for_editors(flat: dict[str, Any]):
    text = config_splice.yaml_text(nested(flat)) + "\n"
    read(text)
    schema = config.json_schema()
    assert fits(as_an_editor_has_it(text), schema, schema)


SOUP = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "0",
                " ",
                ":",
                "-",
                "[",
                "]",
                "{",
                "}",
                ",",
                "#",
                "&x",
                "*x",
                "!",
                "|",
                ">",
                "'",
                '"',
            ),
            *(
                "\n",
                "\t",
                "\n  ",
                ": ",
                "- ",
                "limits",
                "turns",
                "policy",
                "rules",
                "agents",
                "mode",
            ),
            *(
                "alfred: 1\n",
                "budget",
                "per_agent",
                "database",
                "timezone",
                "null",
                "-1",
                "\0",
                "\ud800",
            ),
        ]
    ),
    max_size=30,
).map("".join)


@given(st.one_of(SOUP, st.text()))
def test_no_text_gives_anything_but_settings_or_a_config_error(text: str):
    try:
        read(text)
    except errors.ConfigError as wrong:
        assert wrong.errors
        str(wrong)


@pytest.mark.parametrize("words", [0, 1, 5, 12])
def test_a_long_value_is_cut_between_words_only(words: int):
    key = "sk-ant-api03-" + "a1B2" * 30
    shown = config_text.shown("words " * words + key)
    assert key in shown or key[:8] not in shown
    assert len(shown) < 120


@given(st.sampled_from(sorted(config_keys.variables())), st.one_of(st.text(), SOUP))
def test_no_variable_gives_anything_but_settings_or_a_config_error(name: str, value: str):
    try:
        read("alfred: 1\n", {name: value})
    except errors.ConfigError as wrong:
        assert name in str(wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_no_bytes_give_anything_but_settings_or_a_config_error(tmp_path: Path, data: bytes):
    (tmp_path / "config.yaml").write_bytes(data)
    try:
        config.load(tmp_path, {})
    except errors.ConfigError as wrong:
        assert wrong.exit_code == 2
