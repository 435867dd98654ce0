"""Files of workflows: what they mean, what is wrong with them, and that their revision is their meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred import errors
from alfred.workflows import authored
from alfred.workflows.authored import Draft
from tests.table import table

WHOLE = """\
slug: weekly
brief: Look since {{since}}.
trigger: schedule
agent: ops
integrations: [git, files]
tools: [git.log, files.*]
destinations: [reports.example]
autonomy: autonomous
schedule: 0 8 * * MON
inputs: {since: last Monday}
"""


def parse(front: str, body: str = "Do it.\n", slug: str = "weekly") -> Draft:
    return authored.parse(f"---\n{front}---\n{body}", slug)


def test_a_file_means_what_its_keys_say() -> None:
    draft = parse(WHOLE, "And {{ since }}, too.\n")
    assert draft.findings == ()
    meant = draft.definition
    assert meant.brief == "Look since {{since}}.\n\nAnd {{ since }}, too."
    assert (meant.agent, meant.schedule, meant.autonomy) == ("ops", "0 8 * * MON", "autonomous")
    assert meant.tools == ("git.log", "files.*")
    assert authored.filled(meant.brief, meant.inputs, {"since": "{{since}} $1 \\1"}) == (
        "Look since {{since}} $1 \\1.\n\nAnd {{since}} $1 \\1, too."
    )
    least = parse("agent:\n").definition
    assert (least.autonomy, least.tools, least.destinations, least.schedule) == ("gated", None, (), None)  # fmt: skip


@table(
    [
        ("agnet: x\n", "Do.", "workflows/weekly.md:2: agnet: is no key of a workflow, did you mean agent?"),
        ("zzzzz: x\n", "Do.", "known: slug, brief, trigger"),
        ("slug: other\n", "Do.", "md:2: slug: is not what the file is called, weekly"),
        ("", "", "says nothing to do"),
        ("trigger: schedule\n", "Do.", "md:2: trigger: needs a `schedule`"),
        ("trigger: mannual\n", "Do.", "md:2: trigger: cannot be this, did you mean manual?"),
        ("trigger: manual\nschedule: every 1d\n", "Do.", "md:2: trigger: is manual, and there is a `schedule`"),
        ("schedule: 61 8 * * *\n", "Do.", "md:2: schedule: its minute '61' is wrong"),
        ("autonomy: off\n", "Do.", "md:2: autonomy: cannot be this"),
        ("tools: git\n", "Do.", "md:2: tools: must be a list"),
        ("tools:\n", "Do.", "md:2: tools: is empty: write []"),
        ("tools: [a, a]\n", "Do.", "tools[1]: stands there twice"),
        ("tools: [mcp.files]\n", "Do.", "names a server, its tools are mcp.files.*"),
        ("destinations:\n  - {a: b}\n", "Do.", "md:3: destinations[0]: must be 1 to 200 characters"),
        ("inputs: [a]\n", "Do.", "md:2: inputs: must be names with defaults"),
        ("inputs: {A: x}\n", "Do {{A}}.", "must be a name of a-z"),
        ("inputs: {a: x}\n", "Do.", "md:2: inputs.a: the brief does not ask for it"),
        ("inputs: {sinse: x}\n", "Do {{sinse}}.\n\nAnd {{since}}.", "md:6: there is no input for {{since}}, did you mean sinse?"),
        ("schedule: every 1d\ninputs: {a: }\n", "Do {{a}}.", "md:3: inputs.a: needs a default"),
        ("brief: [x\n", "Do.", "no proper YAML"),
        ("brief: {a: b}\n", "Do.", "md:2: brief: must be a text"),
        ("", "{{x}}" * 1_601, "the brief has more than 8,000 characters"),
        ("", "Do {{" + " " * 7_000 + "x}}.", "there is no input for {{"),  # in no time
    ]
)  # fmt: skip
def test_what_cannot_be_understood_is_told_with_its_line(front: str, body: str, told: str) -> None:
    found = [str(one) for one in parse(front, body).findings]
    assert any(told in one for one in found), found


def test_all_that_is_wrong_is_told_at_once_and_in_the_order_of_the_file(home: Path) -> None:
    folder = home / "workflows"
    folder.mkdir(parents=True)
    (folder / "weekly.md").write_text("---\nautonomy: full\nagnet: x\n---\nDo {{y}}.\n")
    with pytest.raises(errors.ConfigErrors) as told:
        authored.read(home, "weekly")
    lines = [line.split(":")[1] for line in told.value.detail.splitlines()[1:]]
    assert lines == ["2", "3", "5"]
    with pytest.raises(errors.NotFound, match="No workflow is called 'wekly'"):
        authored.read(home, "wekly")


@table(["Weekly", "a--b", "agent", "ask", "replay", "x" * 65, "a b"])
def test_a_file_is_called_so_that_its_name_is_nobody_elses(slug: str) -> None:
    assert parse("", slug=slug).findings


def test_nothing_is_read_through_a_link_and_what_is_invisible_is_written_out(
    home: Path, tmp_path: Path
) -> None:
    folder = home / "workflows"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere.md").write_text("---\nagent:\n---\nDo.\n")
    (folder / "linked.md").symlink_to(tmp_path / "elsewhere.md")
    (folder / "hidden.md").write_text("\ufeff---\nagent:\n---\nDo\u202e it\u200b.\n")
    assert "cannot be read" in str(authored.look(home, "linked").findings[0])
    assert authored.look(home, "hidden").definition.brief == "Do\\u{202E} it\\u{200B}."


def test_no_file_is_hidden_behind_many_others(home: Path) -> None:
    folder = home / "workflows"
    (folder / "folder.md").mkdir(parents=True)
    for name in (*(f"a{n}" for n in range(101)), ".hidden", "weekly"):
        (folder / f"{name}.md").write_text("---\nagent:\n---\nDo.\n")
    assert authored.read(home, "weekly").definition.brief == "Do."
    assert len(authored.slugs(home)) == 102


@given(st.permutations(WHOLE.splitlines()), st.booleans(), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=20)
def test_what_does_not_change_the_meaning_does_not_change_the_revision(
    lines: list[str], commented: bool, end: str
) -> None:
    front = "".join(f"{line}{'  # why' * commented}{end}" for line in lines)
    written = parse(front.replace("[git.log, files.*]", '["files.*", git.log]'))
    assert written.findings == ()
    assert written.definition.revision == parse(WHOLE).definition.revision


@table(
    [
        ("ops", "dev"),
        ("[git, files]", "[git]"),
        ("[git.log, files.*]", "[git.log]"),
        ("reports.example", "reports.example, x"),
        ("autonomous", "gated"),
        ("MON", "TUE"),
        ("last Monday", "today"),
        ("Look", "Look well"),
    ]
)
def test_whatever_changes_the_meaning_changes_the_revision(this: str, that: str) -> None:
    assert this in WHOLE
    changed = parse(WHOLE.replace(this, that)).definition.revision
    assert changed != parse(WHOLE).definition.revision
    assert parse(WHOLE, "Do more.").definition.revision != parse(WHOLE).definition.revision


@table(
    [
        ({"x": "1"}, "has no input 'x'"),
        ({}, "needs the input must"),
    ]
)
def test_a_run_has_a_value_for_each_input_and_for_nothing_else(
    values: dict[str, Any], told: str
) -> None:
    with pytest.raises(errors.UsageError, match=told):
        authored.filled("{{must}} {{may}}", {"must": None, "may": "so"}, values)
