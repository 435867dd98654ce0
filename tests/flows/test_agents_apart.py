"""One agent learns nothing of another: every tool and every surface is tried, by name, by link and by program."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred import app
from alfred import home as places
from alfred.actions.kinds import Effect
from alfred.agents import ledger as agent_ledger
from tests.flows.conftest import Alfred

CANARY = "xylophone-4711"
"""What only the agent `a` knows."""

REACH_NOTHING_OF_AN_AGENT = {
    *("git.status", "git.log", "git.diff"),  # they take no path; git.show is tried for all of them
    *("web.fetch", "web.search", "text.extract"),
}
"""Actions that look, and need no attempt; whatever else looks must be tried below."""

Does = Callable[..., dict[str, Any]]


@pytest.fixture
def does(alfred: Alfred, tmp_path: Path, script: Any, home: Path) -> Does:
    """A run of an agent whose model makes these calls, all in one turn: what `runs show` says of it."""
    alfred("setup")
    lines = ["alfred: 1", "timezone: UTC", "agents:", "  main:"]
    for id in ("a", "b"):
        (tmp_path / f"of-{id}").mkdir()
        lines.append(f"  {id}: {{workspace: {tmp_path / f'of-{id}'}}}")
    lines.append("policy: {mode: autonomous}")
    (home / "config.yaml").write_text("\n".join(lines) + "\n")

    def run(agent: str, *calls: tuple[str, dict[str, Any]], brief: str = "work") -> Any:
        turn = {"calls": [{"tool": tool, "args": args} for tool, args in calls]}
        model = script(*([turn] if calls else []), {"say": "Done."})
        done = alfred("run", brief, "--agent", agent, "--model", model, "--json")
        assert done.code == 0, (done.out, done.err)
        return alfred("runs", "show", done.json["id"], "--json").json

    return run


def _head(shown: dict[str, Any]) -> str:
    """What the model of a run was told first."""
    with app.base() as base, base.store.read() as look:
        head = agent_ledger.stored_head(look, shown["run"]["id"])
    assert head is not None
    return head["text"]


def _tell(home: Path, agent: str, words: str) -> None:
    """The owner tells an agent something, in every file that there is for it."""
    own = places.ensure_agent(home, agent)
    for name in ("MEMORY.md", "USER.md"):
        (own / "memories" / name).write_text(f"{name}: {words}")
    (own / "skills" / "juggle").mkdir()
    (own / "skills" / "juggle" / "SKILL.md").write_text(
        f"---\nname: juggle\ndescription: Juggles {words}.\n---\n{words}\n"
    )


def _attempts(
    home: Path, workspace: Path, run: str, call: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way in which one agent may try to read what is another's."""
    own = home / "agents" / "a"
    files = [
        *(own / "memories" / "MEMORY.md", own / "memories" / "USER.md", workspace / "SOUL.md"),
        *(own / "skills" / "juggle" / "SKILL.md", workspace / "plan.txt", home / "alfred.db"),
        *(home / "logs" / run / f"{call}.log", home / "alfred.db-wal"),
    ]
    for file in files:
        up = f"../of-a/{file.name}"
        yield from (("files.read", {"path": str(path)}) for path in (file, up, f"inputs/../{file}"))
        yield "files.move", {"path": str(file), "to": "mine"}
        yield "files.search", {"pattern": "xylo", "path": str(file.parent)}
    yield "files.list", {"path": "../of-a"}
    yield "files.search", {"pattern": "xylophone", "path": ".."}
    yield "files.read", {"path": "link"}
    yield "files.read", {"path": "folder/plan.txt"}
    yield "files.search", {"pattern": "xylo"}
    everything = " ".join(f"'{file}'" for file in files)
    yield "shell.run", {"command": f"cat link folder/plan.txt {everything} ../of-a/* 2>&1"}
    yield (
        "shell.run",
        {"command": f"grep -ra xylo {home} {workspace.parent} /tmp /proc/*/environ 2>&1"},
    )
    opening = f"for p in {[str(file) for file in files]!r}:\n try: print(open(p).read())\n except OSError as e: print(e)"
    yield "code.run", {"code": opening}
    yield "git.show", {"ref": f"HEAD:{workspace}/plan.txt"}
    for query in ("xylophone", "xylo", "4711", "*", '" OR agent:a OR "', "a", "remember"):
        yield "memory.search", {"query": query}
        yield "sessions.search", {"query": query}
    for name in ("juggle", "../../a/skills/juggle", str(own / "skills" / "juggle")):
        yield "skills.view", {"name": name}
    yield "skills.view", {"name": "own", "path": "../../../a/skills/juggle/SKILL.md"}
    yield "skills.view", {"name": "own", "path": str(own / "skills" / "juggle" / "SKILL.md")}
    yield "scratch.read", {"path": "plan"}
    yield "scratch.list", {}


@pytest.mark.needs_program("bwrap")
@pytest.mark.slow
def test_what_one_agent_knows_no_tool_and_no_prompt_of_another_shows(
    does: Does, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = tmp_path / "of-a"
    _tell(home, "a", CANARY)
    (workspace / "plan.txt").write_text(f"{CANARY}\n")
    (workspace / "SOUL.md").write_text(f"You love the {CANARY}.")
    first = does(
        "a",
        ("memory.add", {"text": f"remember {CANARY}"}),
        ("todo.add", {"text": f"play {CANARY}"}),
        ("scratch.write", {"path": "plan", "value": CANARY}),
        ("shell.run", {"command": "cat plan.txt"}),
        brief=f"Keep the {CANARY}.",
    )
    assert {call["status"] for call in first["calls"]} == {"done"}
    own = places.ensure_agent(home, "b") / "skills" / "own"
    own.mkdir()
    (own / "SKILL.md").write_text("---\nname: own\ndescription: Mine.\n---\n")
    (tmp_path / "of-b" / "link").symlink_to(workspace / "plan.txt")
    (tmp_path / "of-b" / "folder").symlink_to("../of-a")

    # who it belongs to is shown all of it: else this would prove nothing
    again = does(
        "a",
        ("memory.search", {"query": "xylophone"}),
        ("sessions.search", {"query": "xylophone"}),
        ("files.read", {"path": "plan.txt"}),
        ("skills.view", {"name": "juggle"}),
    )
    told = _head(again)
    assert [
        one
        for one in ("MEMORY.md: ", "USER.md: ", "You love the ", "- juggle: Juggles ")
        if f"{one}{CANARY}" not in told
    ] == []
    assert sum(CANARY in json.dumps(item) for item in again["transcript"]) >= 6

    call = first["calls"][3]["id"]
    attempts = list(_attempts(home, workspace, first["run"]["id"], call))
    registry, _ = app.actions_of(home)
    looks = {action.id for action in registry if action.effect is Effect.PURE}
    assert looks - {tool for tool, _ in attempts} <= REACH_NOTHING_OF_AN_AGENT
    for part in (attempts[:60], attempts[60:]):
        if not part:
            continue
        other = does("b", *part)
        assert CANARY not in _head(other)
        for item in other["transcript"]:
            assert CANARY not in item["text"], item
        for one in other["calls"]:
            assert CANARY not in json.dumps(one["result"]), one
            assert CANARY not in json.dumps(one["error"]), one
        assert len(other["calls"]) == len(part)
    assert CANARY not in json.dumps(does("main")["transcript"]), "nor is main told it"


def test_the_folder_of_an_agent_is_made_at_its_first_run_and_is_nobody_elses(
    does: Does, home: Path
) -> None:
    assert not (home / "agents" / "a").exists()
    assert not (home / "memories").exists()
    does("a")
    for name in ("a", "a/memories", "a/skills"):
        assert stat.S_IMODE((home / "agents" / name).stat().st_mode) == 0o700
    assert not (home / "agents" / "b").exists()
    assert not (home / "memories").exists()
    does("main")
    assert stat.S_IMODE((home / "memories").stat().st_mode) == 0o700


def test_main_has_the_home_for_its_own_and_no_other_is_told_what_lies_there(
    does: Does, home: Path
) -> None:
    _tell(home, "main", CANARY)
    assert _head(does("main")).count(f": {CANARY}") == 2
    assert f"USER.md: {CANARY}" not in _head(does("b"))
    assert f"MEMORY.md: {CANARY}" not in _head(does("b"))


def test_without_memory_an_agent_is_told_nothing_and_has_no_tool_for_it(
    does: Does, home: Path, alfred: Alfred
) -> None:
    _tell(home, "a", CANARY)
    does("a", ("memory.add", {"text": CANARY}))
    assert alfred("config", "edit", "agents.a.memory_enabled", "false").code == 0
    after = does("a", ("memory.search", {"query": CANARY}))
    assert after["calls"][0]["status"] == "refused"
    assert f": {CANARY}" not in _head(after)
    told = alfred("tools", "--agent", "a", "--json").json
    rules = {t["name"]: (t["allowed"], t["rule"]) for t in told}
    assert rules["memory.search"] == rules["memory.add"] == (False, "memory_enabled: false")
    assert rules["todo.add"][0]
