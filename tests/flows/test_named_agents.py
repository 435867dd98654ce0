"""Named agents from the command line: who a run is of, and what it is given and denied for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alfred import app, config_edit, ids
from alfred.agents import ledger as agent_ledger
from alfred.runs import crons
from alfred.store.statement import Sql
from tests.flows.conftest import Alfred


@pytest.fixture
def configured(alfred: Alfred, home: Path) -> Any:
    """Writes a config.yaml."""

    def write(text: str) -> None:
        alfred("setup")
        (home / "config.yaml").write_text(f"alfred: 1\n{text}")

    return write


def test_a_run_works_in_its_agents_folder_unless_another_is_named(
    alfred: Alfred,
    folder: Path,
    tmp_path: Path,
    script: Any,
    configured: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path / "own"
    model = script({"calls": [{"tool": "files.list", "args": {}}]}, {"say": "Done."})
    configured(f"agents: {{main: , coder: {{workspace: {own}, model: '{model}'}}}}\n")
    monkeypatch.chdir(folder)
    refused = alfred("run", "look", "--agent", "coder")
    assert (refused.code, str(own) in refused.err) == (2, True)
    own.mkdir()
    (own / "mine.txt").write_text("x")
    for more, seen in (((), "mine.txt"), (("--in", folder), "notes.txt")):
        done = alfred("run", "look", "--agent", "coder", "--json", *more)
        assert done.code == 0, done.err
        shown = alfred("runs", "show", done.json["id"], "--json").json
        assert seen in json.dumps(shown["calls"][0]["result"])
        assert shown["run"]["agent"] == "coder"


def _of_a_cron(agent: str) -> Any:
    """The row of the run that a cron of this agent started when it came due."""
    with app.base() as base:
        new = crons.NewTrigger(
            id=ids.new(), tenant="main", name=ids.new(), spec="every 1m", task="x", agent=agent
        )
        base.store.transact(crons.create, new, zone="UTC")
        due = "update triggers set next_fire_at=alfred_now()-60000000 where id=:id"
        base.store.transact(lambda tx: tx(Sql(due), id=new.id))
        for beat in app.whole(base).worker().beats:
            beat(base.store)
        started = (
            "select r.* from trigger_fires f join runs r on r.id=f.run_id where trigger_id=:id"
        )
        with base.store.read() as look:
            return look(Sql(started), id=new.id).one()


def test_the_run_of_a_cron_is_of_its_agent_as_any_other(
    alfred: Alfred, tmp_path: Path, configured: Any
) -> None:
    (own := tmp_path / "own").mkdir()
    configured(f"model: ollama:x\nagents: {{main: , ops: {{workspace: {own}, tools: [todo]}}}}\n")
    run = _of_a_cron("ops")
    assert json.loads(run.workspace)["root"] == str(own)
    assert json.loads(run.grants)["actions"] == ["todo.add"]
    run = _of_a_cron("main")
    assert run.workspace is None
    assert "shell.run" in json.loads(run.grants)["actions"]


# ---- tools

FAMILY = (
    "agents:\n  main:\n  family:\n    toolsets: [todo, ask, memory, web]\n"
    "    tools: {profile: minimal, also_allow: [shell]}\n"
)


def test_a_tool_that_an_agent_has_not_is_neither_offered_to_its_model_nor_carried_out(
    alfred: Alfred, folder: Path, script: Any, configured: Any
) -> None:
    configured(FAMILY)
    model = script(
        {"calls": [{"tool": "shell.run", "args": {"command": "touch made", "write": True}}]},
        {"calls": [{"tool": "shell__run", "args": {"command": "ls"}}]},
        {"calls": [{"tool": "todo.add", "args": {"text": "milk"}}]},
        {"say": "Done."},
    )
    family = ("run", "x", "--in", folder, "--model", model, "--json", "--agent", "family")
    done = alfred(*family)
    assert (done.code, done.json["status"]) == (0, "completed"), done.err
    shown = alfred("runs", "show", done.json["id"], "--json").json
    assert [(call["action"], call["status"]) for call in shown["calls"]] == [
        ("shell.run", "refused"),
        ("shell.run", "refused"),
        ("todo.add", "done"),
    ]
    for item in [one for one in shown["transcript"] if one["kind"] == "result"][:2]:
        assert "shell.run is not allowed for agent family." in item["text"]
        assert "todo" not in item["text"], "what is allowed instead is not listed"
    assert not (folder / "made").exists()
    with app.base() as base, base.store.read() as look:
        head = agent_ledger.stored_head(look, base.desk.run(done.json["id"]).id)
    assert head is not None
    assert {tool["name"] for tool in head["tools"]} == {
        *("ask__user", "memory__add", "memory__search", "todo__add")
    }


def test_an_agent_without_tools_has_none_and_the_default_of_all_is_inherited(
    alfred: Alfred, configured: Any
) -> None:
    configured(
        "tools: {deny: terminal}\nagents: {main: , mute: {tools: []}, wide: {tools: full},"
        " none: {toolsets: []}, some: {toolsets: [files, shell]}}\n"
    )

    def allowed(*agent: str) -> set[str]:
        return {t["name"] for t in alfred("tools", *agent, "--json").json if t["allowed"]}

    assert allowed("--agent", "mute") == set()
    assert allowed("--agent", "wide") - allowed() == {"shell.run"}
    assert allowed("--agent", "none") == set()
    files = {name for name in allowed() if name.startswith(("files.", "shell."))}
    assert allowed("--agent", "some") == files
    assert allowed()


def test_each_tool_is_told_with_the_rule_that_allows_or_takes_it(
    alfred: Alfred, configured: Any
) -> None:
    configured(
        "policy: {rules: [{action: todo.add, mode: off}]}\n"
        "agents:\n  main:\n"
        "  a: {tools: {profile: minimal, also_allow: [files], deny: [write_file]}}\n"
        "  b: {toolsets: files}\n"
    )
    rules = {t["name"]: (t["allowed"], t["rule"]) for t in alfred("tools", "--json").json}
    assert rules["shell.run"] == (True, "mode gated: no rule fits")
    told = alfred("tools", "--agent", "a", "--json").json
    rules = {t["name"]: (t["allowed"], t["rule"]) for t in told}
    assert rules["files.read"] == (True, "tools: also_allow files; mode gated: no rule fits")
    assert rules["files.write"] == (False, "tools: deny write_file")
    assert rules["shell.run"] == (False, "tools: not in profile minimal")
    assert rules["todo.add"] == (
        *(False, "tools: profile minimal; mode off: rule for action todo.add"),
    )
    told = alfred("tools", "--agent", "b", "--json").json
    rules = {t["name"]: (t["allowed"], t["rule"]) for t in told}
    assert rules["files.read"] == (True, "tools: toolset files; mode gated: no rule fits")
    assert rules["shell.run"] == (False, "tools: not in toolsets")
    unknown = alfred("tools", "--agent", "c")
    assert (unknown.code, "No agent named 'c'" in unknown.err) == (2, True)


def test_what_would_be_decided_is_explained_for_the_tools_of_that_agent(
    alfred: Alfred, configured: Any
) -> None:
    configured(FAMILY)
    args = ("policy", "explain", "shell.run", "--args", '{"command": "ls"}', "--json")
    assert alfred(*args).json["verdict"] == "execute"
    refused = alfred(*args, "--agent", "family").json
    assert refused["verdict"] == "refuse"
    assert "not allowed for agent family" in json.dumps(refused)


def test_a_follow_up_has_no_tool_that_its_agent_has_lost_meanwhile(
    alfred: Alfred, home: Path, folder: Path, script: Any, configured: Any
) -> None:
    configured("agents: {main: , ops: {tools: [todo, files.read]}}\n")
    model = script({"say": "Done."})
    run = ("run", "x", "--in", folder, "--model", model, "--json", "--agent", "ops")
    first = alfred(*run).json["id"]
    (home / "config.yaml").write_text("alfred: 1\nagents: {main: , ops: {toolsets: todo}}\n")
    second = alfred("tell", first, "and now?", "--json").json["follow_up"]
    with app.base() as base:
        granted = [json.loads(base.desk.run(id).grants or "")["actions"] for id in (first, second)]
    assert granted == [["files.read", "todo.add"], ["todo.add"]]
    (home / "config.yaml").write_text("alfred: 1\nagents: {main: }\n")
    gone = alfred("tell", second, "still there?")
    assert (gone.code, "No agent named 'ops'" in gone.err) == (2, True)


def test_who_tells_a_run_that_has_handed_its_conversation_over_reads_who_has_it(
    alfred: Alfred, folder: Path, tmp_path: Path, configured: Any
) -> None:
    configured("agents: {main: , ops: }\n")
    gives = {"tool": "agents.handoff", "args": {"agent": "ops", "brief": "take it"}}
    asks = {"tool": "ask.user", "args": {"question": "Which?"}}
    runs = [{"match": "take", "turns": [{"calls": [asks]}]}, {"turns": [{"calls": [gives]}]}]
    (tmp_path / "two.yaml").write_text(json.dumps({"runs": runs}))
    model = f"scripted:{tmp_path}/two.yaml"
    first = alfred("run", "go", "--in", folder, "--model", model, "--json").json["id"]
    told = alfred("tell", first, "the red one")
    assert told.out.startswith("It has handed its conversation over: run "), told.out
    assert "Taken as the answer" in told.out


# ---- alfred agents

SEVERAL = """\
model: openai:x
models: {fallback: [openai:y]}
personality: Dry.
tools: coding
agents:
  main: {tools: full}
  family: {tools: [web_search, toodo], personality: soul.md, workspace: /nowhere}
  b:
    id: ops
    model: claude-cli
    reasoning: high
    workspace: /nowhere
    tool_policy: []
"""


def test_agents_are_listed_with_what_they_come_to(alfred: Alfred, configured: Any) -> None:
    assert [a["id"] for a in alfred("agents", "list", "--json").json] == ["main"]
    configured(SEVERAL)
    told = alfred("agents", "list", "--json").json
    assert [(a["id"], a["default"], a["model"], a["tools"]) for a in told] == [
        ("main", True, "openai:x", {"profile": "full"}),
        ("family", False, "openai:x", {"allow": ["toodo", "web_search"]}),
        ("ops", False, "claude-cli", {"allow": []}),
    ]
    assert "main (default)" in alfred("agents", "list").out


def test_an_agent_is_shown_with_the_place_of_each_value(
    alfred: Alfred, home: Path, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(SEVERAL)

    def shown(id: str) -> dict[str, tuple[Any, str]]:
        values = alfred("agents", "show", id, "--json").json["values"]
        return {key: (entry["value"], entry["source"]) for key, entry in values.items()}

    ops = shown("ops")
    assert ops["model"] == ("claude-cli", "config.yaml:11")
    assert ops["tools"] == ({"allow": []}, "config.yaml:14")
    assert ops["fallback_model"] == (["openai:y"], "config.yaml:3")
    assert ops["personality"] == ("Dry.", "config.yaml:4")
    assert ops["max_turns"] == (None, "default")
    soul = home / "agents" / "main" / "SOUL.md"
    soul.parent.mkdir(parents=True, exist_ok=True)
    soul.write_text("Kind.")
    assert shown("main")["personality"] == ("Kind.", str(soul))
    monkeypatch.setenv("ALFRED_MODEL", "openai:env")
    assert shown("main")["model"] == ("openai:env", "env:ALFRED_MODEL")
    assert "tools: {profile: full}   (config.yaml:7)" in alfred("agents", "show").out
    assert ops["subagents.max_depth"] == (2, "default")
    configured(
        "subagent: {model: cheap}\nagents:\n  a:\n    subagents:\n      max_depth: 1\n  b: {subagents: 0}\n"
    )
    monkeypatch.delenv("ALFRED_MODEL")
    assert shown("a")["subagents.max_depth"] == (1, "config.yaml:6")
    assert shown("a")["subagents.max_children"] == (5, "default")
    assert shown("b")["subagents.max_children"] == (0, "config.yaml:7")
    assert shown("b")["subagents.model"] == ("cheap", "config.yaml:2")
    configured(
        "provider: anthropic\nmodel: x\nfallback_model: [openai:y, z]\nsubagent: {model: w}\n"
    )
    main = alfred("agents", "show", "--json").json["values"]
    assert main["provider"] == {"value": "anthropic", "source": "config.yaml:2"}
    assert main["model"] == {"value": "x", "source": "config.yaml:3", "means": "anthropic:x"}
    assert main["fallback_model"]["means"] == ["openai:y", "anthropic:z"]
    assert main["subagents.model"]["means"] == "anthropic:w"
    assert "model: x, that is anthropic:x   (config.yaml:3)" in alfred("agents", "show").out
    assert alfred("agents", "list", "--json").json[0]["model"] == "anthropic:x"
    assert alfred("agents", "add", "q", "--provider", "ollama", "--json").code == 0
    assert shown("q")["provider"] == ("ollama", "config.yaml:8")
    configured(SEVERAL)
    unknown = alfred("agents", "show", "opps")
    assert (unknown.code, "Did you mean 'ops'?" in unknown.err) == (2, True)


def test_a_command_that_drives_a_run_leaves_when_its_children_wait_for_a_person(
    alfred: Alfred, tmp_path: Path
) -> None:
    scenario = tmp_path / "s.yaml"
    briefs = '{tool: agents.delegate, args: {briefs: ["north of it", "south of it"]}}'
    scenario.write_text(
        f"runs:\n- match: north\n  turns: [{{say: cold}}]\n"
        "- match: south\n  turns: [{calls: [{tool: ask.user, args: {question: how}}]}, {say: warm}]\n"
        f"- turns: [{{calls: [{briefs}]}}, {{say: both}}]\n"
    )
    left = alfred("run", "boss", "--model", f"scripted:{scenario}", "--json")
    assert (left.code, left.json["wait"]) == (3, "children")
    (question,) = left.json["waiting"]
    assert question["kind"] == "question", "the card of a child"
    assert alfred("answer", question["id"], "by ship").code == 0
    over = alfred("runs", "resume", left.json["id"], "--json")
    assert (over.code, over.json["result"]) == (0, "both")
    shown = alfred("runs", "show", left.json["id"]).out
    assert "north of it" in shown and "\n          cold\n" in shown


def test_a_check_tells_what_is_right_and_probably_not_meant(
    alfred: Alfred, configured: Any
) -> None:
    assert alfred("agents", "check").out == "1 agent, nothing to correct.\n"
    configured(SEVERAL)
    said = alfred("agents", "check", "--json")
    assert said.code == 0
    assert [(one["agent"], one["key"], one["message"]) for one in said.json["warnings"]] == [
        ("family", "tools", "no tool is called 'toodo', did you mean todo.add?"),
        ("family", "personality", "names no file, so these words are told"),
        ("family", "workspace", "/nowhere is no folder"),
        ("ops", "workspace", "/nowhere is no folder"),
        ("ops", "reasoning", "claude-cli thinks as it is set up itself"),
        ("ops", "workspace", "family works in it too"),
    ]
    configured("agents: {main: , a: {workspace: /usr}, b: {workspace: /usr/share/../lib}}\n")
    assert "agents.b.workspace: the folder of b lies in that of a" in alfred("agents", "check").out
    configured("agents: {a: , b: }\n")
    assert (
        "agents.a.default: no agent is the default, so the first" in alfred("agents", "check").out
    )
    configured("agents: {a: {tools: codnig}}\n")
    wrong = alfred("agents", "check")
    assert (wrong.code, "did you mean coding?" in wrong.err) == (2, True)


def test_a_rule_of_the_policy_that_is_about_no_action_is_told(
    alfred: Alfred, configured: Any
) -> None:
    idle = {
        "{action: terminal, mode: off}": "no action is called 'terminal', did you mean shell.run?",
        "{action: shell, mode: off}": "no action is called 'shell', did you mean shell.*?",
        "{action: shell.rn, mode: off}": "no action is called 'shell.rn', did you mean shell.run?",
        "{action: git.log, integration: files, mode: off}": "no action of 'files' is called 'git.log'",
        "{integration: gti, mode: off}": "no action is of the integration 'gti', did you mean git?",
    }
    about = [
        *("{action: shell.*, mode: off}", "{integration: channels, mode: off}"),
        *("{action: workflows.activate, mode: off}", "{agent: main, mode: gated}"),
        "{action: mcp.files.*, mode: autonomous}",  # servers are asked by who uses them
    ]
    configured(f"policy: {{rules: [{', '.join([*about, *idle])}]}}\n")
    said = alfred("agents", "check", "--json").json["warnings"]
    assert [(one["agent"], one["key"], one["message"]) for one in said] == [
        (None, f"policy.rules[{n}]", why) for n, why in enumerate(idle.values(), len(about))
    ]
    looked = alfred("doctor", "--json").json["findings"]
    told = [(one["level"], one["text"]) for one in looked if one["name"] == "policy"]
    assert told == [("warning", f"config.yaml:2: {why}") for why in idle.values()]


def test_an_agent_is_added_and_what_a_person_wrote_stays(
    alfred: Alfred, home: Path, configured: Any
) -> None:
    configured("# mine\nmodel: openai:x   # dear\n")
    said = alfred("agents", "add", "coder", "--tools", "coding", "--description", "Changes: code")
    assert (said.code, said.out.split(":")[0]) == (0, "config.yaml"), said.err
    assert alfred("agents", "add", "mute", "--tools", "[]", "--max-turns", "3", "--json").json == {
        "id": "mute",
        "place": "config.yaml:7",
    }
    text = (home / "config.yaml").read_text()
    assert text.endswith(
        'agents:\n  main: {default: true}\n  coder: {description: "Changes: code", tools: coding}\n'
        "  mute: {tools: [], max_turns: 3}\n"
    )
    assert text.startswith("alfred: 1\n# mine\nmodel: openai:x   # dear\nagents:")
    told = alfred("agents", "list", "--json").json
    assert [(a["id"], a["default"], a["tools"]) for a in told] == [
        ("main", True, None),
        ("coder", False, {"profile": "coding"}),
        ("mute", False, {"allow": []}),
    ]


@pytest.mark.parametrize(
    ("second", "code", "there"), [("b", 0, ["main", "a", "b"]), ("a", 2, ["main", "a"])]
)
def test_who_adds_an_agent_while_another_is_added_takes_none_away(
    second: str,
    code: int,
    there: list[str],
    alfred: Alfred,
    configured: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured("model: openai:x\n")
    edit = config_edit.edit

    def meanwhile(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(config_edit, "edit", edit)
        assert alfred("agents", "add", "a", "--description", "The first.").code == 0
        return edit(*args, **more)

    monkeypatch.setattr(config_edit, "edit", meanwhile)
    assert alfred("agents", "add", second).code == code
    told = alfred("agents", "list", "--json").json
    assert [one["id"] for one in told] == there
    assert told[1]["description"] == "The first."


REFUSED: list[tuple[list[str], str]] = [
    (["coder"], "`alfred config edit agents.mine.KEY VALUE` changes it"),
    (["mine"], "The entry of the agent 'coder' is called 'mine'"),
    (["../x"], "is no name for an agent"),
    (["new", "--tools", "codnig"], "did you mean coding?"),
    (["new", "--tools", "[a"], "--tools is no YAML in one line"),
    (["new", "--tools", "{denny: [a]}"], "did you mean deny?"),
    (["new", "--model", "nobody:x"], "names no model"),
    (["new", "--reasoning", "hihg"], "did you mean high?"),
    (["new", "--max-turns", "0"], "must be a whole number of at least 1"),
    (["new", "--default"], "only one agent can be the default, and main is"),
]


def test_what_is_no_agent_is_not_added_and_the_file_stays(
    alfred: Alfred, home: Path, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured("agents:\n  main: {default: true}\n  mine: {id: coder}   # mine\n")
    before = (home / "config.yaml").read_bytes()
    for arguments, told in REFUSED:
        said = alfred("agents", "add", *arguments)
        assert (said.code, told in said.err) == (2, True), (arguments, said.err)
    monkeypatch.setenv("ALFRED_AGENTS", "{a: }")
    assert "ALFRED_AGENTS, which wins" in alfred("agents", "add", "new").err
    assert (home / "config.yaml").read_bytes() == before


def test_an_agent_is_taken_out_and_all_else_stays(
    alfred: Alfred, home: Path, script: Any, configured: Any
) -> None:
    text = "# mine\nagents:\n  main: {default: true}   # dear\n  # of the shell\n  b: {id: ops, toolsets: [shell], tools: [terminal]}\n  c:\n"
    configured(text)
    (home / "agents" / "ops").mkdir()
    (home / "agents" / "ops" / "SOUL.md").write_text("x")
    with app.base() as base:
        app.whole(base)
    said = alfred("agents", "remove", "ops")
    assert (said.code, str(home / "agents" / "ops") in said.out) == (0, True), said.err
    gone = "  # of the shell\n  b: {id: ops, toolsets: [shell], tools: [terminal]}\n"
    left = text.replace(gone, "")
    assert (home / "config.yaml").read_text() == f"alfred: 1\n{left}"
    assert (home / "agents" / "ops" / "SOUL.md").is_file()
    rows = [json.loads(line) for line in alfred("audit", "export").out.splitlines()[1:-1]]
    bodies = [json.loads(row["row"]) for row in rows]
    sealed = [one["rules"]["agents"] for one in bodies if one["what"] == "policy"]
    assert sealed == [{"b": {"toolsets": ["shell"], "tools": ["terminal"]}}, {}]
    told = alfred("agents", "remove", "main", "--json").json
    assert told == {"id": "main", "folder": None, "default": "c"}


NAMED = """\
agents: {main: {default: true}, ops: }
budget: {per_agent: {ops: {turns_per_day: 1}}}
policy: {rules: [{action: a.b, agent: ops, mode: off}]}
bindings:
- {agent: main, telegram: "-1"}
- {agent: ops, telegram: ["-2", "-3"]}
teams: {tower: {lead: main, members: [ops]}, own: {lead: ops, members: main}}
"""


@pytest.mark.slow
def test_an_agent_that_something_needs_is_not_taken_out(
    alfred: Alfred,
    home: Path,
    folder: Path,
    script: Any,
    configured: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(id: str, *told: str) -> None:
        before = (home / "config.yaml").read_bytes()
        said = alfred("agents", "remove", id)
        assert (said.code, [one for one in told if one not in said.err]) == (2, []), said.err
        assert (home / "config.yaml").read_bytes() == before

    alfred("setup")
    refused("main", "without `agents`")
    configured(NAMED)
    refused(
        "ops",
        "bindings[1] (config.yaml:7)",
        "teams.tower.members[0] (",
        "teams.own.lead (",
        "budget.per_agent.ops (",
        "policy.rules[0].agent (",
    )
    refused("opps", "Did you mean 'ops'?")
    configured("agents: {main: {default: true}, ops: }\n")
    model = script({"calls": [{"tool": "ask.user", "args": {"question": "?"}}]}, {"say": "Done."})
    waits = alfred("run", "x", "--agent", "ops", "--in", folder, "--model", model, "--json").json[
        "id"
    ]
    refused("ops", waits[-6:].lower(), "runs cancel")
    assert alfred("runs", "cancel", waits).code == 0
    new = crons.NewTrigger(
        id=ids.new(), tenant="main", name="hourly", spec="every 1h", task="x", agent="ops"
    )
    with app.base() as base:
        base.store.transact(crons.create, new, zone="UTC")
        refused("ops", "cron hourly")
        base.store.transact(crons.remove, new.id)
    assert alfred("agents", "remove", "ops").code == 0
    monkeypatch.setenv("ALFRED_AGENTS", "{a: , b: }")
    refused("b", "ALFRED_AGENTS, which wins")


def test_who_cannot_be_asked_is_told_how_an_agent_is_added(alfred: Alfred) -> None:
    said = alfred("agents", "add")
    assert (said.code, "alfred agents add NAME" in said.err) == (2, True)
