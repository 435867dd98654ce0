"""Contracts: what a workflow gets is what its file names and its agent has, and a person reads all of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred import errors
from alfred.actions import card
from alfred.actions.grant import Grant
from alfred.agents.tools import ToolPolicy
from alfred.config_schema import Settings
from alfred.runs.rows import NewRun
from alfred.workflows import authored, contracts, wording
from alfred.workflows.contracts import Contract, Resolved
from tests.table import table

TOOLS = {
    **{"files.read": "none", "files.write": "none", "git.log": "none", "git.push": "medium"},
    **{"mcp.t.make": "medium", "todo.add": "none", "web.fetch": "none"},
}


def resolved(front: str, body: str = "Do it.", tools: Any = None, toolsets: Any = None) -> Resolved:
    entry = {"tools": tools, "toolsets": toolsets}
    agents = {"main": {"default": "true"}, "ops": entry}
    tree = {"timezone": "Europe/Berlin", "agents": agents}
    there: Any = [
        SimpleNamespace(id=id, risk=risk, integration=id.rpartition(".")[0])
        for id, risk in TOOLS.items()
    ]
    draft = authored.parse(f"---\n{front}---\n{body}", "weekly")
    return contracts.resolve(draft, Settings.model_validate(tree), there)


@table(
    [
        ("agent: ops\ntools: [git]\n", None, ["git.log", "git.push"]),
        ("agent: ops\ntools: [git.*, files.read]\n", ["git.log", "todo"], ["git.log"]),
        ("agent: ops\nintegrations: [git]\n", None, ["git.log", "git.push"]),
        ("agent: ops\nintegrations: [git]\ntools: ['*']\n", None, ["git.log", "git.push"]),
        ("agent: ops\ntools: [write_file]\n", None, ["files.write"]),
        ("agent: ops\ntools: []\n", None, []),
        ("agent: ops\n", None, []),
    ]
)
def test_a_workflow_gets_what_it_names_and_its_agent_has(
    front: str, tools: Any, gets: list[str]
) -> None:
    found = resolved(front, tools=tools)
    assert found.findings == ()
    assert list(found.contract.tools) == gets


@table(
    [
        ("agent: opz\n", "agent: nobody is called so, did you mean ops?"),
        ("tools: [git.lgo]\n", "tools[0]: is no tool, did you mean git.log?"),
        ("schedule: 2091-03-25T02:30\n", "schedule: the clock of Europe/Berlin skips this time"),
        ("integrations: [gitt]\n", "integrations[0]: is no integration, did you mean git?"),
        ("integrations: [git]\ntools: [git.log, files.read]\n", "tools[1]: is of files, which `integrations` does not"),
    ]
)  # fmt: skip
def test_what_is_not_there_is_told_with_its_line(front: str, told: str) -> None:
    (only,) = (str(one) for one in resolved(front).findings)
    assert told in only
    assert only.startswith("workflows/weekly.md:")


def test_what_is_left_out_and_what_is_not_there_yet_is_noted() -> None:
    found = resolved("agent: ops\ntools: [git, mcp.new.*]\n", tools=["git.log"])
    assert found.findings == ()
    assert found.contract.left_out == {"git.push": "not in allow"}
    assert resolved("agent: ops\ntools: [git]\n", toolsets=["files"]).contract.left_out == {
        "git.log": "not in toolsets",
        "git.push": "not in toolsets",
    }
    assert len(found.notes) == 2
    assert resolved("agent: ops\n").notes == (
        "It names no tools and no integrations, so it can call nothing.",
    )
    (over,) = resolved("tools: [git.log]\nschedule: 2020-03-25T09:00\n").notes
    assert over == "schedule: starts nothing any more: 2020-03-25T09:00 is over."


@table(
    [
        ("Docs.Example", "no page leads to 'Docs.Example'; write docs.example."),
        ("https://docs.example/x", "write docs.example."),
        ("bücher.example", "write xn--bcher-kva.example."),
        ("docs.example", ""),
        ("web.fetch", ""),
        ("git@docs.example:x", ""),
    ]
)
def test_a_destination_that_no_page_has_is_noted(place: str, told: str) -> None:
    front = f"tools: [web.fetch]\ndestinations: ['{place}']\n"
    found = resolved(front)
    assert found.findings == ()
    assert [told in one for one in found.notes] == [True] * bool(told), found.notes
    assert (
        resolved(front.replace("[web", "[git.push, web")).notes == found.notes[: "/" not in place]
    )


names = st.lists(st.sampled_from([*TOOLS, "git", "files.*", "*", "mcp"]), max_size=4)


@given(names, names, st.one_of(st.none(), names))
@settings(max_examples=60, deadline=None)
def test_a_run_is_never_given_more_than_its_agent_has_then_or_than_was_allowed(
    named: list[str], deny: list[str], allow: list[str] | None
) -> None:
    front = f"agent: ops\ntools: {sorted(set(named))}\n"
    contract = resolved(front).contract
    policy = ToolPolicy(deny=frozenset(deny), allow=None if allow is None else frozenset(allow))
    run = contract.bind(NewRun(id="r", workflow="agent", step="s", brief="b"), policy)
    given_to = Grant.decode(run.grants)
    has = set(policy.apply(TOOLS))
    for tool in TOOLS:
        assert given_to.allows(tool) == (tool in has and tool in contract.tools)
    assert given_to.contract is not None
    assert given_to.contract.workflow == "weekly"


def test_a_contract_is_kept_whole() -> None:
    whole = "agent: ops\ntools: [git]\ndestinations: [b, a]\nautonomy: autonomous\ninputs: {x: y}\n"
    contract = resolved(whole, "Do {{x}}.").contract
    assert Contract.decode(contract.encode()) == contract
    other = resolved(whole.replace("[git]", "[git.log]"), "Do {{x}}.").contract
    assert other.digest != contract.digest


def test_a_person_reads_every_part_of_it(home: Path, clock: Any) -> None:
    found = resolved(
        "agent: ops\ntools: [git, files.read]\ndestinations: [git.push, a.example]\nautonomy: autonomous\n"
        "schedule: 0 8 * * MON-FRI\ninputs: {since: Monday}\n",
        "Look since {{since}}.\nThen push.",
        tools=["git", "todo"],
    )
    told = wording.told(found.contract, Settings.model_validate({}), now=1_795_255_200_000_000)
    for part in (
        found.contract.revision[:8],
        "agent: ops",
        "at 08:00 on Monday to Friday (`0 8 * * MON-FRI`, Europe/Berlin); next Mon 2026-11-23 08:00",
        "git.log (none), git.push (medium)",
        "without files.read: ops may not call that",
        "destinations: a.example, git.push (wherever it leads)",
        "autonomous: it asks you before high risks",
        "since (else 'Monday')",
        "$2 and 60 turns a run, $20 a day",
        "  Look since {{since}}.\n  Then push.",
    ):
        assert part in told, part


def test_what_no_card_could_show_is_no_contract() -> None:
    hidden = "\\u{200B}" * 240
    for brief in ("x" * 8_000, f"{hidden}\nAnd this.\n{hidden}"):
        assert "shorten the brief" in str(resolved("agent: ops\n", brief).findings[0])
    for brief in ("x" * 5_000, hidden):
        found = resolved("agent: ops\n", brief)
        assert found.findings == ()
        told = wording.told(found.contract, Settings.model_validate({}))
        assert "not shown" not in card.preview({}, told)


def test_inputs_are_values_where_they_are_named_so_and_files_else(tmp_path: Path) -> None:
    contract = resolved("inputs: {a: x}\n", "Do {{a}}.").contract
    odd = tmp_path / "b=c"
    odd.write_text("")
    with pytest.raises(errors.UsageError, match="no input 'b'"):
        contract.asked(["b=" + "long" * 1_000])
    brief, files = contract.asked(["a=https://x//y=z", str(odd), tmp_path / "f"])
    assert brief == "Do https://x//y=z."
    assert files == [odd, tmp_path / "f"]


def test_a_child_and_a_branch_ask_again() -> None:
    contract = resolved("agent: ops\ntools: [git]\nautonomy: autonomous\n").contract
    grant = contract.grant(ToolPolicy())
    assert grant.contract and grant.contract.autonomous
    less = Grant.decode(grant.narrowed(["git.log", "files.read"]).encode())
    assert less.actions == {"git.log"}
    assert less.contract and not less.contract.autonomous
