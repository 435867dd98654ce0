"""What is wrong is said in a sentence with the next step: no traceback, no secret, nothing lost."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alfred import app, config_edit
from alfred.store.statement import Sql
from tests.flows.conftest import Alfred

DONE = {"say": "Done."}


def _problem(said: Any, code: int) -> dict[str, Any]:
    assert said.code == code, (said.out, said.err)
    assert "Traceback" not in said.out + said.err
    problem = said.json["error"]
    assert problem["detail"] and problem["code"] and problem["next"]
    return problem


def test_a_folder_that_is_gone_is_told_to_who_stands_in_it(
    alfred: Alfred, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # and back at the end
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    problem = _problem(alfred("run", "x", "--model", script(DONE), "--json"), 2)
    assert "folder that you stand in" in problem["detail"]


@pytest.mark.parametrize(
    ("problem", "names"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("something else"), "mistake in alfred"),
    ],
)
def test_what_the_system_does_not_give_is_no_mistake_in_alfred(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch, problem: Exception, names: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("alfred.app.base", refuse)
    told = _problem(alfred("status", "--json"), 1)
    assert names in told["detail"] + told["next"]


@pytest.mark.parametrize("columns", ["0", "1", "99999999", "x"])
def test_help_is_written_whatever_the_width(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = alfred("run", "--help")
    assert said.code == 0
    assert "--model" in said.out
    assert len(said.out) < 200_000


def test_an_account_without_a_home_works_in_the_home_that_is_named(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError(_uid)

    monkeypatch.setenv("HOME", "")  # and back at the end
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    alfred("status")
    assert os.environ["HOME"] == "/"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["run", "x", "--model", "nope:nothing"], "nope"),
        (["run", "x", "--model", ""], "No provider is named ''"),
        (["run", "x", "--model", "scripted:~nobody-is-called-so/x"], "~nobody-is-called-so/x"),
        (["agents", "add", "b", "--workspace", "~nobody-is-called-so"], "~nobody-is-called-so"),
        (["status", "--home", "~nobody-is-called-so/x"], "~nobody-is-called-so/x"),
        (["run", "x", "--agent", "lucious"], "lucious"),
        (["run", "x", "--workflow", "dance"], "dance"),
        (["run", "x", "--in", "/does/not/exist"], "/does/not/exist"),
        (["run", "x", "--input", "/does/not/exist.txt", "--model", "scripted:x.yaml"], ""),
        (["run", "  ", "--model", "MODEL"], "brief"),
        (["run", "x", "--max-cost", "-1", "--model", "MODEL"], "max-cost"),
        (["run", "x", "--max-cots", "1"], "max-cots"),
        (["run", "x", "--max-cost", "abc"], "is not a number."),
        (["run", "two", "words", "here"], "Too much was said: 'words here'."),
        (["audit", "export"], "--out FILE"),
        (["run", "x", "--model", "scripted:/does/not/exist.yaml"], "/does/not/exist.yaml"),
        (["runs", "show", "zzzzzz"], "zzzzzz"),
        (["runs", "shwo", "x"], ""),
        (["approve"], "card"),
        (["approve", "abcdef"], "abcdef"),
        (["stop"], "everything"),
        (["config", "edit", "budget.per_rnu_usd", "3"], "per_run_usd"),
        (["config", "edit", "model", "foo bar"], "provider:model"),
        (["config", "edit", "model", "claude-sonnet-5-5"], "anthropic:claude-sonnet-5-5"),
        (["config", "edit", "models.fallback", "[openai:x, opena1:y]"], "openai:y"),
        (["config", "edit", "limits.per_provider", "{olama: 1}"], "ollama"),
        (["config", "edit", "limits.turns", "many"], "turns"),
        (["worker", "--slots", "0"], "slots"),
    ],
)
def test_a_mistake_is_told_with_its_name_and_code_2(
    alfred: Alfred, script: Any, arguments: list[str], names: str
) -> None:
    arguments = [script(DONE) if word == "MODEL" else word for word in arguments]
    problem = _problem(alfred(*arguments, "--json"), 2)
    assert names in json.dumps(problem)
    assert alfred("runs", "list", "--json").json == []


def test_a_missing_key_is_told_before_anything_is_written(alfred: Alfred) -> None:
    problem = _problem(alfred("run", "x", "--model", "anthropic:claude-sonnet-4-5", "--json"), 2)
    assert "ANTHROPIC_API_KEY" in problem["detail"]
    assert alfred("runs", "list", "--json").json == []


def test_every_problem_of_a_broken_config_is_told_with_its_line(alfred: Alfred, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        "alfred: 1\nmodle: x\nbudget:\n  per_run_usd: lots\nlimits: {turns: -3}\n"
    )
    problem = _problem(alfred("status", "--json"), 2)
    said = json.dumps(problem)
    assert "model" in said and "per_run_usd" in said and "turns" in said
    assert len(problem["errors"]) == 3


@pytest.mark.parametrize(
    "command",
    [
        *(["status"], ["run", "x"], ["runs", "list"], ["approvals", "list"], ["tools"], ["spend"]),
        *(["worker", "--until-idle"], ["db", "check"], ["config", "show"], ["setup"]),
        ["config", "edit", "limits.turns", "5"],
    ],
    ids=" ".join,
)
def test_every_command_tells_what_is_wrong_with_agents_together_with_the_rest(
    alfred: Alfred, home: Path, command: list[str]
) -> None:
    home.mkdir()
    text = "alfred: 1\nmodle: x\nagents:\n  Ops: {modle: x}\nbudget: {per_agent: {op: {}}}\n"
    (home / "config.yaml").write_text(text)
    problem = _problem(alfred(*command, "--json"), 2)
    fields = [e["field"] for e in problem["errors"]]
    assert fields == ["modle", "agents.Ops", "agents.Ops.modle", "budget.per_agent.op"]
    assert (home / "config.yaml").read_text() == text


def test_doctor_has_a_line_for_everything_that_is_wrong_with_the_configuration(
    alfred: Alfred, home: Path
) -> None:
    alfred("status")
    (home / "config.yaml").write_text("alfred: 1\nmodle: x\nagents: {a: {modle: x}}\n")
    told = alfred("doctor", "--json")
    assert told.code == 1
    found = [f["text"] for f in told.json["findings"] if f["name"] == "config"]
    assert [text.split(": is no")[0] for text in found] == [
        "config.yaml:2: modle",
        "config.yaml:3: agents.a.modle",
    ]
    said = alfred("doctor")
    assert said.out.count("config.yaml:2") == said.out.count("config.yaml:3") == 1


def test_an_action_that_cannot_be_loaded_is_told_wherever_it_is_missed(
    alfred: Alfred, script: Any, home: Path
) -> None:
    alfred("status")
    (home / "actions/bad.py").write_text("def x(:\n")
    (home / "actions/bad.py").chmod(0o600)
    why = "actions/bad.py:1: SyntaxError"
    assert f"skipped: {why}" in alfred("tools").err
    assert f"skipped: {why}" in alfred("run", "x", "--model", script(DONE)).err
    told = alfred("doctor", "--json").json["findings"]
    assert [f["level"] for f in told if f["text"].startswith(f"skipped {why}")] == ["warning"]


def test_doctor_says_of_what_is_configured_what_has_no_effect_yet(
    alfred: Alfred, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_edit.write_default(home)
    file = home / "config.yaml"
    told = alfred("doctor", "--json").json["findings"]
    assert not any("no effect" in finding["text"] for finding in told)
    file.write_text(
        "alfred: 1\nfleet: {repos: [a/b]}\ncron: {daily: {}}\nserver: {port: 9}\n"
        "approvals: {approvers: [bob]}\nintegrations: {web: {}, mail: {}}\n"
    )
    told = alfred("doctor", "--json").json["findings"]
    assert [f["text"].split("`")[:2] for f in told if "no effect" in f["text"]] == [
        [f"config.yaml:{line}: ", name]
        for line, name in enumerate(
            ("fleet", "cron", "server.port", "approvals.approvers", "integrations.mail"), start=2
        )
    ]
    file.unlink()
    monkeypatch.setenv("ALFRED_SERVER__PORT", "9")
    [told] = [line for line in alfred("doctor").out.splitlines() if "no effect" in line]
    assert "env:ALFRED_SERVER__PORT: `server.port` has" in told


def test_a_mistyped_key_of_an_agent_cannot_be_set(alfred: Alfred, home: Path) -> None:
    alfred("setup")
    before = (home / "config.yaml").read_text()
    problem = _problem(alfred("config", "edit", "agents.coder.modle", "x", "--json"), 2)
    assert "model" in problem["detail"]
    assert (home / "config.yaml").read_text() == before
    assert alfred("config", "edit", "agents.coder.model", "openai:x").code == 0


def test_one_problem_of_the_configuration_is_told_once(alfred: Alfred, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("alfred: 1\nagents: {a: {modle: x}}\n")
    said = alfred("status")
    assert said.err.count("modle") == 1


def test_a_home_of_another_product_is_refused_and_left_alone(alfred: Alfred, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("theirs: true\n")
    problem = _problem(alfred("status", "--json"), 2)
    assert "ALFRED_HOME" in problem["next"]
    assert sorted(path.name for path in home.iterdir()) == ["config.yaml"]


def test_a_newer_database_is_refused_and_the_version_still_answers(
    alfred: Alfred, home: Path
) -> None:
    assert alfred("status").code == 0
    base = app.base()
    base.store.transact(lambda tx: tx(Sql("update meta set v='9999' where k='schema'")))
    base.close()
    problem = _problem(alfred("status", "--json"), 2)
    assert "9999" in problem["detail"]
    [told] = _errors(alfred("doctor", "--json"))
    assert (told["name"], told["next"]) == ("ledger", problem["next"])


def test_doctor_sends_nobody_who_asks_about_the_ledger_to_itself(
    alfred: Alfred, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert alfred("status").code == 0
    there = home / "alfred.db"
    monkeypatch.setenv("ALFRED_DATABASE_URL", "postgresql://u:s3cretw0rd@127.0.0.1:1/none")
    away = alfred("doctor", "--json")
    monkeypatch.delenv("ALFRED_DATABASE_URL")
    there.write_bytes(there.read_bytes()[:100] + bytes(4_000))
    damaged = alfred("doctor", "--json")
    for said, words in ((away, "ALFRED_DATABASE_URL"), (damaged, "db restore")):
        [told] = _errors(said)
        assert told["name"] == "ledger"
        assert words in told["next"]
        assert "doctor" not in told["next"]


def _errors(said: Any) -> list[Any]:
    assert said.code == 1
    return [one for one in said.json["findings"] if one["level"] == "error"]


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self/status").exists(), reason="needs Linux"
)
def test_a_workspace_that_holds_the_home_is_refused(
    alfred: Alfred, script: Any, home: Path
) -> None:
    alfred("status")
    problem = _problem(
        alfred("run", "x", "--in", home.parent, "--model", script(DONE), "--json"), 2
    )
    assert "home" in problem["detail"]


def test_odd_bytes_from_a_tool_and_a_model_end_in_rows_that_both_databases_take(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    (folder / "odd.txt").write_bytes(b"nul \x00 and bad \xff\xfe utf-8\n")
    (folder / "big.bin").write_bytes(os.urandom(1024) * 1024)
    model = script(
        {
            "say": "A \x00 b \ud800 c",
            "calls": [
                {"tool": "files.read", "args": {"path": "odd.txt"}},
                {"tool": "files.read", "args": {"path": "big.bin"}},
                {"tool": "files.search", "args": {"pattern": "utf"}},
            ],
        },
        {"say": "Over \x00 it."},
    )
    told = alfred(
        "run", "read \x00 it".replace("\x00", ""), "--in", folder, "--model", model, "--json"
    )
    assert told.code == 0, told.err
    assert "\x00" not in told.json["result"]


def test_ten_thousand_calls_in_one_answer_are_refused_beyond_the_cap_and_the_run_goes_on(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    calls = [{"tool": "files.list", "args": {}}] * 10_000
    told = alfred("run", "x", "--in", folder, "--model", script({"calls": calls}, DONE), "--json")
    assert told.code == 0, told.err
    whole = alfred("runs", "show", told.json["id"], "--json").json
    done = [call for call in whole["calls"] if call["status"] == "done"]
    assert len(done) == 64


def test_unknown_tools_and_wrong_arguments_teach_the_model(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    model = script(
        {
            "calls": [
                {"tool": "files.raed", "args": {"path": "a"}},
                {"tool": "files.read", "args": {"pth": "a"}},
            ]
        },
        DONE,
    )
    told = alfred("run", "x", "--in", folder, "--model", model, "--json").json
    texts = [
        item["text"]
        for item in alfred("runs", "show", told["id"], "--json").json["transcript"]
        if item["kind"] == "result"
    ]
    assert "files.read" in texts[0] or "files__read" in texts[0]
    assert "path" in texts[1]


def test_an_empty_turn_is_asked_again_and_then_fails_by_its_name(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    told = alfred("run", "x", "--in", folder, "--model", script({"say": ""}, {"say": ""}), "--json")
    assert told.code == 1
    assert told.json["error"]["code"] in ("model:empty", "model:malformed")


def test_a_mistyped_variable_is_a_warning_with_the_nearest_name(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_MODLE", "x")
    said = alfred("status")
    assert said.code == 0
    assert "ALFRED_MODEL" in said.err


@pytest.mark.parametrize(
    "command",
    [["setup"], ["config", "edit", "limits.turns", "5"], ["config", "schema"]],
    ids=" ".join,
)
def test_commands_of_the_settings_warn_of_a_mistyped_variable_too(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("ALFRED_MODLE", "x")
    assert alfred(*command).err.count("ALFRED_MODEL") == 1


def test_a_config_that_was_written_by_hand_gets_the_schema_and_stays(
    alfred: Alfred, home: Path
) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("alfred: 1\n")
    assert alfred("setup", "--json").json["config_made"] is False
    assert (home / "config.yaml").read_text() == "alfred: 1\n"
    assert (home / "config.schema.json").is_file()


def test_a_secret_in_a_tools_result_is_in_no_row(
    alfred: Alfred, script: Any, folder: Path, home: Path
) -> None:
    secret = "ghp_" + "a1B2" * 9
    (folder / "notes.txt").write_text(f"token {secret}\n")
    model = script({"calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}]}, DONE)
    assert alfred("run", "x", "--in", folder, "--model", model).code == 0
    for path in home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["run", "x", "--max-cost", "inf", "--model", "MODEL"], "1000000"),
        (["run", "x", "--max-cost", "nan", "--model", "MODEL"], "nan"),
        (["run", "x", "--max-cost", "1e30", "--model", "MODEL"], "1000000"),
        (["runs", "list", "--limit", "0"], "200"),
        (["runs", "list", "--limit", "-5"], "200"),
        (["runs", "list", "--limit", "201"], "200"),
        (["runs", "list", "--status", "lost"], "completed"),
        (["approve", "--as", "maybe", "abcdef"], "happened"),
        (["--home", "/dev/null/x", "status"], ""),
        (["status", "--home", "/dev/null/x"], "/dev/null"),
        (["status", "--home", "bad\udcff"], "UTF-8"),
        (["run", "x" * 50_000_000, "--model", "MODEL"], "--input"),
        (["tell", "zzzzzz", "x" * 50_000_000], "16000"),
        (["", "x"], ""),
        (["db", "restore", "."], "Is a directory"),
        (["db", "restore", "/"], "Is a directory"),
        (["db", "move", "postgresql://\udcff/x"], "no database"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(w[:20] for w in value),
)
def test_no_argument_makes_a_traceback(
    alfred: Alfred, script: Any, arguments: list[str], names: str
) -> None:
    arguments = [script(DONE) if word == "MODEL" else word for word in arguments]
    problem = _problem(alfred(*arguments, "--json"), 2)
    assert names in json.dumps(problem)
    assert len(json.dumps(problem)) < 3_000


def test_a_reason_in_letters_of_another_terminal_is_a_reason(alfred: Alfred, script: Any) -> None:
    model = script({"calls": [{"tool": "ask.user", "args": {"question": "Which?"}}]}, DONE)
    runs = [alfred("run", "paint", "--model", model, "--json").json for _ in "ab"]
    [card] = runs[0]["waiting"]
    ended = alfred("reject", card["id"], "--end", "--why", "zu gro\udcdf", "--json")
    assert (ended.code, ended.json["status"], ended.json["reason"]) == (0, "rejected", "zu gro")
    assert alfred("runs", "cancel", runs[1]["id"], "--why", "gen\udcfcgt").code == 0
    assert alfred("audit", "verify").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--home"),
        ("run", "x", "--in"),
        ("agents", "add", "b", "--workspace"),
        ("skills", "list", "--in"),
        ("policy", "explain", "shell.run", "--in"),
        ("db", "backup", "--to"),
        ("endorse",),
    ],
    ids=" ".join,
)
def test_a_path_that_is_empty_is_not_the_folder_that_one_stands_in(
    alfred: Alfred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    alfred("setup")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    problem = _problem(alfred(*arguments, "", "--json"), 2)
    assert "The path is empty." in problem["detail"]
    assert list(here.iterdir()) == []


def test_a_config_of_50_mb_is_refused_by_its_size(alfred: Alfred, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("alfred: 1\n# " + "x" * 50_000_000 + "\n")
    problem = _problem(alfred("status", "--json"), 2)
    assert "config.yaml" in json.dumps(problem)
    assert len(json.dumps(problem)) < 3_000


def test_an_input_of_50_mb_is_read_in_pages_and_cannot_be_written(
    alfred: Alfred, script: Any, folder: Path, tmp_path: Path
) -> None:
    big = tmp_path / "big.txt"
    big.write_bytes(b"0123456789abcde\n" * 3_276_800)
    model = script(
        {
            "calls": [
                {"tool": "files.read", "args": {"path": "inputs/big.txt"}},
                {"tool": "files.write", "args": {"path": "inputs/big.txt", "content": "mine"}},
            ]
        },
        DONE,
    )
    told = alfred("run", "read it", "--in", folder, "--input", big, "--model", model, "--json")
    assert told.code == 0, told.out
    whole = alfred("runs", "show", told.json["id"], "--json").json
    results = [item["text"] for item in whole["transcript"] if item["kind"] == "result"]
    assert "0123456789abcde" in results[0]
    assert len(results[0]) < 1_000_000
    assert [call["status"] for call in whole["calls"]] == ["done", "refused"]
    assert big.stat().st_size == 52_428_800


ODD = ("new\nline.txt", "bidi\u202etxt", "bad\udcff\udcfe", "esc\x1b[31m", "-rf", "trailing ")


def test_odd_names_of_files_can_be_read_listed_and_given_and_never_reach_the_terminal_raw(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    for number, name in enumerate(ODD):
        (folder / name).write_text(f"content {number}\n")
    model = script(
        {
            "say": "I look.",
            "calls": [
                {"tool": "files.list", "args": {}},
                *({"tool": "files.read", "args": {"path": f"inputs/{n}"}} for n in ODD),
            ],
        },
        DONE,
    )
    inputs = [word for name in ODD for word in ("--input", f"{folder}/{name}")]
    said = alfred("run", "list them", "--in", folder, *inputs, "--model", model)
    assert said.code == 0, said.err
    listed = alfred("runs", "list", "--json").json
    shown = alfred("runs", "show", listed[0]["id"])
    whole = alfred("runs", "show", listed[0]["id"], "--json").json
    done = [call["action"] for call in whole["calls"] if call["status"] == "done"]
    assert len(done) >= len(ODD), whole["calls"]
    for text in (said.out, said.err, shown.out, shown.err):
        assert "\x1b" not in text and "\u202e" not in text and "Traceback" not in text


HOSTILE = "good \x1b[2J\x1b]0;owned\x07 \u202egnihton\u202c \x9b31m end"


def test_what_somebody_wrote_is_never_raw_on_a_terminal(
    alfred: Alfred, script: Any, folder: Path
) -> None:
    model = script(
        {
            "say": HOSTILE,
            "calls": [
                {"tool": "files.write", "args": {"path": "a\u202eb.md", "content": HOSTILE}},
                {"tool": "ask.user", "args": {"question": HOSTILE}},
                {"tool": HOSTILE, "args": {HOSTILE: HOSTILE}},
            ],
        },
        {"say": HOSTILE},
    )
    said = [alfred("run", HOSTILE, "--in", folder, "--model", model)]
    assert said[0].code == 3, said[0].err
    cards = alfred("approvals", "list", "--json").json["approvals"]
    run = cards[0]["run_id"]
    said += [alfred("approvals", "list"), alfred("status"), alfred("runs", "list")]
    said += [alfred("runs", "show", run), alfred("spend")]
    for card in cards:
        if card["kind"] == "question":
            said.append(alfred("answer", card["id"], HOSTILE))
        else:
            said.append(alfred("reject", card["id"], "--why", HOSTILE))
    said += [alfred("runs", "resume", run), alfred("tell", run, HOSTILE)]
    said += [alfred("runs", "show", run), alfred("approvals", "list", "--status", "all")]
    for one in said:
        assert "Traceback" not in one.err
        for letter in ("\x1b", "\x07", "\u202e", "\x9b"):
            assert letter not in one.out, one
            assert letter not in one.err, one


def test_a_newer_schema_is_refused_by_every_command_but_it_can_be_backed_up(
    alfred: Alfred, home: Path
) -> None:
    assert alfred("status").code == 0
    base = app.base()
    base.store.transact(lambda tx: tx(Sql("update meta set v='9999' where k='schema'")))
    base.close()
    for command in (["status"], ["run", "x"], ["approvals", "list"], ["worker", "--until-idle"]):
        assert "9999" in _problem(alfred(*command, "--json"), 2)["detail"]
    assert alfred("db", "backup").code == 0
    assert list((home / "backups").iterdir())


def test_a_missing_extra_is_told_with_its_name(
    alfred: Alfred, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("ALFRED_DATABASE_URL", "postgresql://u:s3cretw0rd@127.0.0.1:1/none")
    said = alfred("status", "--json")
    assert "alfred-agents[postgres]" in json.dumps(_problem(said, 2))
    assert "s3cretw0rd" not in said.out + said.err
