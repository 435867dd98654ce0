"""The scenario model: which entry answers, and in which line a scenario is wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.llm import client, prices, scenarios
from tests.conftest import FakeClock
from tests.table import table

TOOLS = [client.ModelTool("git__log", "", {}), client.ModelTool("files__write", "", {})]

SCENARIO = """\
runs:
  - match: "investigate.*git"
    turns:
      - {say: "Looking at the log.", calls: [{tool: git.log, args: {limit: 20}}]}
      - {calls: [{tool: files.write, args: {path: report.md, content: "…"}}, {tool: git__log, id: mine}], usage: {input: 900, output: 80, cost_usd: 0.004}, delay: 0.25}
      - {error: rate_limit, retry_after: 3, times: 2}
      - {error: overloaded}
      - {say: "Done."}
  - turns:
      - {say: "Anything else."}
purposes: {compact: "[summary]"}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return path


def ask(path: Path, turn: int = 0, failed: int = 0, **more: Any) -> client.ModelAnswer:
    told: dict[str, Any] = {"tools": TOOLS, "brief": "please investigate my git repository"} | more
    on_text, cancelled = told.pop("on_text", None), told.pop("cancelled", None)
    request = client.ModelRequest(
        model=f"scripted:{path}", system="", items=[], turn=turn, failed_requests=failed, **told
    )
    return client.ask(request, secrets=lambda _: None, on_text=on_text, cancelled=cancelled)


def fails(path: Path, turn: int = 0, failed: int = 0, **more: Any) -> client.ModelError:
    with pytest.raises(client.ModelError) as raised:
        ask(path, turn, failed, **more)
    return raised.value


def test_the_entry_is_chosen_by_the_answers_that_the_run_has_committed(scenario: Path) -> None:
    first = ask(scenario, 0)
    assert first.text == "Looking at the log."
    assert [(c.id, c.tool, c.args, c.problem) for c in first.calls] == [
        ("s1.1", "git__log", {"limit": 20}, None)
    ]
    assert first.finish == "calls"
    assert ask(scenario, 2, failed=3).text == "Done."
    assert ask(scenario, 2, failed=3).finish == "stop"


def test_the_same_request_gets_the_same_answer_every_time_and_in_any_order(scenario: Path) -> None:
    asked = [(0, 0), (2, 3), (0, 0), (0, 5), (2, 3), (0, 0)]
    answers = [ask(scenario, *which) for which in asked]
    assert answers[0] == answers[2] == answers[3] == answers[5]
    assert answers[1] == answers[4]


def test_usage_and_ids_are_what_the_script_says(scenario: Path, clock: FakeClock) -> None:
    answer = ask(scenario, 1)
    assert [call.id for call in answer.calls] == ["s2.1", "mine"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (900, 80)
    assert answer.usage.cost_usd == Decimal("0.004")
    assert answer.usage.model_served == "scripted:scenario.yaml"


@table(
    [(1, {}, 4_000), (0, {}, None), (2, {}, None), (9, {}, None), (1, {"purpose": "compact"}, None)]
)
def test_what_an_answer_will_cost_is_known_when_the_script_says_it(
    scenario: Path, turn: int, more: dict[str, Any], micro: int | None
) -> None:
    told: dict[str, Any] = {"system": "", "items": [], "brief": "investigate git"} | more
    request = client.ModelRequest(model=f"scripted:{scenario}", turn=turn, **told)
    assert prices.at_most(request, 9) == micro
    lost = client.ModelRequest(model="scripted:/nowhere", turn=turn, **told)
    assert prices.at_most(lost, 9) is None


def test_without_usage_nothing_was_used_and_the_cost_is_unknown(scenario: Path) -> None:
    usage = ask(scenario, 0).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (0, 0, None)


def test_errors_are_answered_as_often_as_they_say_before_the_next_entry_counts(
    scenario: Path,
) -> None:
    kinds = [fails(scenario, 2, failed).kind for failed in range(3)]
    assert kinds == ["rate_limit", "rate_limit", "overloaded"]
    assert fails(scenario, 2, 0).retry_after_s == 3
    assert fails(scenario, 2, 2).retry_after_s is None
    assert ask(scenario, 2, 3).text == "Done."
    assert ask(scenario, 2, 99).text == "Done."


def test_past_the_last_turn_the_scenario_is_exhausted(scenario: Path) -> None:
    error = fails(scenario, 3)
    assert error.kind == "scenario_exhausted"
    assert str(scenario) in error.detail and "turn 4" in error.detail


def test_errors_after_the_last_answer_are_given_before_it_is_exhausted(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("runs: [{turns: [{say: hi}, {error: auth, times: 2}]}]")
    assert [fails(path, 1, failed).kind for failed in range(3)] == [
        "auth",
        "auth",
        "scenario_exhausted",
    ]


@pytest.mark.parametrize("kind", scenarios.ERRORS)
def test_every_kind_of_failure_can_be_scripted(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"runs: [{{turns: [{{error: {kind}}}]}}]")
    assert fails(path).kind == kind


@pytest.mark.parametrize(
    ("brief", "said"),
    [
        ("investigate a git", "Looking at the log."),
        ("cook", "Anything else."),
        ("", "Anything else."),
    ],
)
def test_the_first_match_on_the_brief_speaks_else_the_last_entry(
    scenario: Path, brief: str, said: str
) -> None:
    assert ask(scenario, brief=brief).text == said


def test_the_last_entry_speaks_even_when_its_own_expression_does_not_match(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("runs:\n- {match: aaa, turns: [{say: a}]}\n- {match: bbb, turns: [{say: b}]}\n")
    assert ask(path, brief="ccc").text == "b"


@pytest.mark.parametrize(
    ("purpose", "said"), [("compact", "[summary]"), ("title", "[scripted summary]")]
)
def test_a_purpose_that_is_no_boss_turn_has_its_own_answer_whatever_the_turn(
    scenario: Path, purpose: str, said: str
) -> None:
    assert ask(scenario, 99, purpose=purpose).text == said


def test_what_is_said_comes_in_pieces(scenario: Path) -> None:
    heard: list[str] = []
    assert ask(scenario, on_text=heard.append).text == "".join(heard)
    assert len(heard) == 4


def test_white_space_survives_the_pieces(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text('runs: [{turns: [{say: "  a\\n\\n b\\tc  "}]}]')
    heard: list[str] = []
    assert ask(path, on_text=heard.append).text == "".join(heard) == "  a\n\n b\tc  "


def test_a_delay_is_slept_on_alfreds_clock(scenario: Path, clock: FakeClock) -> None:
    ask(scenario, 1)
    assert sum(clock.slept) == pytest.approx(0.25)


def test_a_delay_ends_when_the_request_is_cancelled(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("runs: [{turns: [{say: hi, delay: 3600}]}]")

    class After:
        def is_set(self) -> bool:
            return len(clock.slept) >= 3

    assert fails(path, cancelled=After()).kind == "cancelled"
    assert sum(clock.slept) < 1


def test_a_cancelled_scripted_answer_stops_speaking(scenario: Path) -> None:
    cancelled, heard = threading.Event(), []

    def hear(piece: str) -> None:
        heard.append(piece)
        cancelled.set()

    assert fails(scenario, on_text=hear, cancelled=cancelled).kind == "cancelled"
    assert heard == ["Looking "]


@pytest.mark.parametrize("entry", ["{}", '{say: ""}', "{calls: []}", '{say: "  "}'])
def test_an_entry_that_says_nothing_is_an_empty_answer(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"runs: [{{turns: [{entry}]}}]")
    assert fails(path).kind == "empty"


def test_malformed_calls_can_be_scripted_and_come_back_with_their_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "runs: [{turns: [{calls: [{tool: git.log, args: '{broken'}, {tool: no.such}, "
        "{tool: git.log, id: x}, {tool: git.log, id: x}, {tool: git.log, args: [1]}]}]}]"
    )
    calls = ask(path).calls
    assert [bool(call.problem) for call in calls] == [True, True, False, True, True]
    assert calls[0].raw == "{broken"
    assert calls[1].tool == "no.such"


def test_of_too_many_scripted_calls_the_first_512_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"runs: [{{turns: [{{calls: [{', '.join(['{tool: git.log}'] * 600)}]}}]}}]")
    answer = ask(path)
    assert (len(answer.calls), answer.finish) == (512, "length")


def test_arguments_are_plain_json_whatever_yaml_made_of_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "runs:\n- turns:\n  - calls:\n    - tool: git.log\n      args:\n        day: 2026-11-21\n        on: on\n"
        "        text: |\n          two\n          lines\n        n: 0x10\n        f: 1.50\n        7: seven\n        none: ~\n"
        "        list: [a, {b: true}]\n"
    )
    [call] = ask(path).calls
    assert call.args == {
        **{
            "day": "2026-11-21",
            "on": "on",
            "text": "two\nlines\n",
            "n": 16,
            "f": 1.5,
            "7": "seven",
            "none": None,
        },
        **{"list": ["a", {"b": True}]},
    }
    assert call.args is not None
    assert {type(value) for value in call.args.values()} == {str, int, float, type(None), list}


def test_a_scenario_that_changes_is_read_again(scenario: Path) -> None:
    assert ask(scenario).text == "Looking at the log."
    scenario.write_text("runs: [{turns: [{say: changed now}]}]")
    assert ask(scenario).text == "changed now"


WRONG: list[tuple[str, int | None, str]] = [
    ("", None, "the scenario is a mapping"),
    ("- a", None, "the scenario is a mapping"),
    ("runs: []", 1, "at least one entry"),
    ("purposes: {}", 1, "at least one entry"),
    ("runs: {}", 1, "`runs` is a list"),
    ("runs:\n- 7", 2, "an entry of `runs` is a mapping"),
    ("run: []", 1, "did you mean `runs`?"),
    ("runs:\n- turns: []\n  mach: x", 3, "did you mean `match`?"),
    ("runs:\n- turns: {}\n", 2, "`turns` is a list"),
    ("runs:\n- turns:\n  - say: hi\n  - sayy: hi", 4, "did you mean `say`?"),
    ("runs:\n- turns:\n  - say: hi\n  - text", 4, "a turn is a mapping"),
    ("runs:\n- turns:\n  - say: 7", 3, "put '7' in quotes"),
    ("runs:\n- turns:\n  - say: [a]", 3, "`say` is a text"),
    ("runs:\n- match: '('\n  turns: []", 2, "no regular expression"),
    ("runs:\n- match: 7\n  turns: []", 2, "`match` is a text"),
    ("runs:\n- turns:\n  - calls: {tool: x}", 3, "`calls` is a list"),
    ("runs:\n- turns:\n  - calls:\n    - {args: {}}", 4, "needs `tool`"),
    ("runs:\n- turns:\n  - calls:\n    - {tool: x, arg: {}}", 4, "did you mean `args`?"),
    ("runs:\n- turns:\n  - calls:\n    - {tool: 7}", 4, "`tool` is a text"),
    (
        "runs:\n- turns:\n  - calls:\n    - {tool: x, args: !!binary aGk=}",
        4,
        "which JSON does not have",
    ),
    ("runs:\n- turns:\n  - error: ratelimit", 3, "did you mean `rate_limit`?"),
    ("runs:\n- turns:\n  - error: cancelled", 3, "no error is called 'cancelled'"),
    ("runs:\n- turns:\n  - {error: auth, say: x}", 3, "has no key 'say'"),
    ("runs:\n- turns:\n  - {error: auth, times: 0}", 3, "from 1"),
    ("runs:\n- turns:\n  - {error: auth, times: 1.5}", 3, "whole number"),
    ("runs:\n- turns:\n  - {error: auth, times: true}", 3, "whole number"),
    ("runs:\n- turns:\n  - {error: auth, retry_after: -1}", 3, "number of seconds"),
    ("runs:\n- turns:\n  - {say: x, delay: soon}", 3, "number of seconds"),
    ("runs:\n- turns:\n  - {say: x, delay: .nan}", 3, "number of seconds"),
    ("runs:\n- turns:\n  - {say: x, delay: .inf}", 3, "number of seconds"),
    ("runs:\n- turns:\n  - {say: x, retry_after: 1}", 3, "has no key 'retry_after'"),
    ("runs:\n- turns:\n  - {say: x, usage: 7}", 3, "`usage` is a mapping"),
    ("runs:\n- turns:\n  - {say: x, usage: {inputs: 7}}", 3, "did you mean `input`?"),
    ("runs:\n- turns:\n  - {say: x, usage: {input: -7}}", 3, "whole number"),
    ("runs:\n- turns:\n  - {say: x, usage: {cost_usd: lots}}", 3, "amount of USD"),
    ("runs:\n- turns:\n  - {say: x, usage: {cost_usd: -1}}", 3, "amount of USD"),
    ("runs:\n- turns:\n  - {say: x, usage: {cost_usd: .nan}}", 3, "amount of USD"),
    ("runs:\n- turns: [{say: x}]\npurposes: []", 3, "`purposes` is a mapping"),
    ("runs:\n- turns: [{say: x}]\npurposes:\n  compact: 7", 4, "`compact` is a text"),
    ("runs:\n- turns: [{say: x}]\npurposes:\n  7: x", 3, "`purposes` is a text"),
    ("runs:\n- turns: [{say: x}", 2, "no YAML"),
    ("runs:\n- turns: []\nruns: []", 3, "no YAML"),
    ("runs: *nobody", 1, "no YAML"),
    ("runs: \x00", None, "cannot be read as YAML"),
    (
        "runs:\n- turns: [{calls: [{tool: x, args: " + "[" * 200 + "]" * 200 + "}]}]",
        2,
        "nest too deep",
    ),
]


@table(WRONG)
def test_a_wrong_scenario_names_file_line_and_what_is_wrong(
    tmp_path: Path, text: str, line: int | None, told: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(errors.ConfigError) as raised:
        scenarios.load(str(path))
    assert raised.value.detail.startswith(f"{path}{f':{line}' if line else ''}:"), (
        raised.value.detail
    )
    assert told in raised.value.detail


def test_a_file_that_is_missing_a_folder_or_no_text_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xfd" * 10)
    for path in (tmp_path / "missing.yaml", tmp_path, binary, Path("a\x00b")):
        with pytest.raises(errors.ConfigError) as raised:
            scenarios.load(str(path))
        assert str(path) in raised.value.detail or repr(str(path)) in raised.value.detail


def test_a_file_of_50_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(errors.ConfigError, match="50000000 bytes"):
        scenarios.load(str(path))


def test_a_scripted_answer_loads_no_sdk(scenario: Path) -> None:
    code = (
        "import sys; from alfred.llm import client, prices, sizes; "
        f"request = client.ModelRequest(model='scripted:{scenario}', system='', items=[]); "
        "client.ask(request, secrets=lambda _: None); "
        "sizes.limits(request.model); prices.at_most(request, 9); "
        "print([n for n in ('pydantic_ai', 'anthropic', 'openai', 'httpx2', 'genai_prices') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
