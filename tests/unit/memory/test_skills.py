"""Skills in folders: which there are, whose comes first, what is none, and that reading one leads nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.actions.context import Workspace
from alfred.memory import skills
from alfred.memory.skills import Found, Skill
from alfred.store import connect
from alfred.trust import labels, redact
from alfred.trust.labels import Label
from tests.built import built
from tests.table import table


def write(root: Path, name: str, body: str = "Do it.\n", *, front: str | None = None) -> Path:
    """A skill's folder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    said = f"name: {name}\ndescription: For {name}.\n" if front is None else front
    (folder / "SKILL.md").write_text(f"---\n{said}---\n{body}")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """A folder that its owner trusts."""
    (tmp_path / "project").mkdir()
    return Workspace(tmp_path / "project", made=False, trusted=True)


def found(home: Path, agent: str = "ops", workspace: Workspace | None = None, **more: Any) -> Found:
    return skills.of(home, agent, workspace, **{"foreign": lambda path: False} | more)


def names(found: Found) -> list[tuple[str, str]]:
    return [(one.name, one.source) for one in found.skills]


def why(found: Found) -> dict[str, str]:
    return {one.folder.name: one.why for one in found.passed_over}


# ---- which there are


def test_of_one_name_the_agents_counts_before_the_homes_and_that_before_the_projects(
    home: Path, project: Workspace
) -> None:
    assert found(home, workspace=project) == Found((), ())
    own = home / "agents" / "ops" / "skills"
    inside = project.root / ".agents" / "skills"
    for root, some in ((own, "a"), (home / "skills", "ab"), (inside, "abc")):
        for name in some:
            write(root, name)
    write(project.root / ".claude" / "skills", "d")
    there = found(home, workspace=project)
    assert names(there) == [("a", "agent"), ("b", "home"), ("c", "project"), ("d", "project")]
    assert len(there.passed_over) == 3
    assert all("comes first" in one.why for one in there.passed_over)
    assert names(found(home, "other")) == [("a", "home"), ("b", "home")]
    assert names(found(home, "main")) == [("a", "home"), ("b", "home")]
    (own / "a" / "SKILL.md").unlink()
    assert names(found(home))[0] == ("a", "home"), "what lies there now"


def test_a_project_has_skills_once_its_owner_trusts_it_and_none_that_strangers_wrote(
    home: Path, project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(project.root / ".agents" / "skills", "deploy")
    assert names(found(home, workspace=project)) == [("deploy", "project")]
    untrusted = found(home, workspace=replace(project, trusted=False))
    assert (untrusted.skills, "trust.workspaces" in why(untrusted)["deploy"]) == ((), True)
    with monkeypatch.context() as nothing_is_read:
        nothing_is_read.setattr(skills.written, "text_of", None)
        assert why(found(home, workspace=replace(project, trusted=False))) == why(untrusted)
    assert found(home, workspace=replace(project, made=True)) == Found((), ())
    foreign = found(home, workspace=project, foreign=lambda path: path == folder)
    assert (foreign.skills, "alfred endorse" in why(foreign)["deploy"]) == ((), True)
    write(home / "skills", "own")
    assert names(found(home, foreign=lambda path: True)) == [("own", "home")]


WRONG: list[tuple[str, str]] = [
    ("", "does not begin with front matter"),
    ("name: x\n", "does not begin with front matter"),
    ("---\nname: bad\ndescription: x\n", "does not begin with front matter"),
    ("---\ndescription: x\n---\n", "its name must be"),
    ("---\nname: [bad]\ndescription: x\n---\n", "its name must be"),
    ("---\nname: Bad\ndescription: x\n---\n", "its name must be"),
    ("---\nname: bad--x\ndescription: x\n---\n", "its name must be"),
    ("---\nname: -bad\ndescription: x\n---\n", "its name must be"),
    ("---\nname: ../bad\ndescription: x\n---\n", "its name must be"),
    ("---\nname: b\u0430d\ndescription: x\n---\n", "its name must be"),
    ("---\nname: good\ndescription: x\n---\n", "its folder is not called so"),
    ("---\nname: bad\n---\n", "its description must have"),
    ("---\nname: bad\ndescription: ' '\n---\n", "its description must have"),
    ("---\nname: bad\ndescription: [x]\n---\n", "its description must have"),
    (f"---\nname: bad\ndescription: {'x' * 1025}\n---\n", "its description must have"),
    ("---\nname: bad\nname: bad\ndescription: x\n---\n", "written twice"),
    ("---\nname: bad\ndescription: !!python/object x\n---\n", "a tag"),
    ("---\nname: bad\ndescription: a: b\n---\n", "no proper YAML"),
    (f"---\nname: bad\ndescription: x\n---\n{'x' * 256_001}", "more than 256000 bytes"),
    (f"---\nname: bad\nmore: {'[' * 21}\n---\n", "its front matter is nested too deeply"),
    (
        f"---\nname: bad\nmore: {'x' * 8_000}\n---\n",
        "its front matter has more than 8000 characters",
    ),
    ("\udcff", "no text in UTF-8"),
]


@table(WRONG)
def test_a_folder_that_is_no_skill_is_told_and_takes_no_other_away(
    home: Path, text: str, told: str
) -> None:
    write(home / "skills", "good")
    (bad := home / "skills" / "bad").mkdir(exist_ok=True)
    (bad / "SKILL.md").write_bytes(text.encode("utf-8", "surrogateescape"))
    there = found(home)
    assert names(there) == [("good", "home")]
    assert told in why(there)["bad"], why(there)


def test_what_a_skill_says_of_itself_sets_nothing(home: Path) -> None:
    front = (
        "name: a\ndescription: Short.\nmodel: openai:x\nallowed-tools: Bash(*)\n"
        "hooks: {start: rm}\nenv: {A: b}\npolicy: {mode: autonomous}\n"
    )
    write(home / "skills", "a", front=front)
    (skill,) = found(home).skills
    assert {name: getattr(skill, name) for name in Skill.__slots__} == {
        "name": "a",
        "description": "Short.",
        "source": "home",
        "root": home / "skills",
        "inside": "a",
    }


def test_what_is_invisible_is_written_out(home: Path, call: Call) -> None:
    hidden = "\u202e\u200b\U000e0041"
    write(home / "skills", "a", f"One{hidden}.", front=f"name: a\ndescription: For{hidden} this.\n")
    (skill,) = found(home).skills
    assert skill.description == "For\\u{202E}\\u{200B}\\u{E0041} this."
    assert call("a")["text"] == "One\\u{202E}\\u{200B}\\u{E0041}."


def test_nothing_is_read_through_a_link(home: Path, tmp_path: Path) -> None:
    secret = write(tmp_path, "linked")
    root = home / "skills"
    root.mkdir(parents=True)
    (root / "linked").symlink_to(secret)
    (root / "file").mkdir()
    (root / "file" / "SKILL.md").symlink_to(secret / "SKILL.md")
    other = write(root, "good")
    (root / "inner").mkdir()
    (other / "other.md").write_text("---\nname: inner\ndescription: x\n---\n")
    (root / "inner" / "SKILL.md").symlink_to("../good/other.md")
    assert names(found(home)) == [("good", "home")]
    assert set(why(found(home))) == {"linked", "file", "inner"}


def test_a_project_does_not_lend_its_skills_from_elsewhere(
    home: Path, tmp_path: Path, project: Workspace
) -> None:
    write(tmp_path / "elsewhere", "a")
    write(project.root / "vendored", "b")
    (project.root / ".agents").mkdir()
    (project.root / ".claude").symlink_to(tmp_path)
    (project.root / ".agents" / "skills").symlink_to("../vendored")
    (tmp_path / "skills").symlink_to(tmp_path / "elsewhere")
    assert found(home, workspace=project).skills == ()


# ---- in the prompt


def made(name: str, description: str) -> Skill:
    return Skill(name, description, "home", Path("/x"), name)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True),
            st.text("aä\U0001f600", min_size=1, max_size=1024),
        ),
        min_size=1,
        max_size=400,
    )
)
@pytest.mark.slow
def test_names_and_descriptions_stay_within_their_bytes_and_what_is_left_out_is_counted(
    given: list[tuple[str, str]],
) -> None:
    text = skills.listing([made(*one) for one in given])
    assert text is not None
    lines = text.splitlines()[1:]
    assert len(text.encode()) <= skills.LISTED
    shown = [line for line in lines if not line.startswith("- and ")]
    left = [int(line.split()[2]) for line in lines if line.startswith("- and ")]
    assert len(shown) + sum(left) == len(given)
    assert text == skills.listing([made(*one) for one in given])


def test_descriptions_are_cut_alike_before_a_name_is_left_out() -> None:
    assert skills.listing([]) is None
    short = skills.listing([made("a", "For this."), made("b", "For that.")])
    assert short is not None and short.endswith("\n- a: For this.\n- b: For that.")
    many = [made(f"s{n}", "x" * 1024) for n in range(30)]
    text = skills.listing(many)
    assert text is not None
    lines = text.splitlines()[1:]
    assert len(lines) == 30 and len({line.partition(": ")[2] for line in lines}) == 1
    assert lines[0].endswith("x…")
    names_alone = skills.listing([made(f"{n:064}", "x" * 1024) for n in range(200)])
    assert names_alone is not None
    lines = names_alone.splitlines()[1:]
    assert len(names_alone.encode()) <= skills.LISTED
    assert lines[-1] == f"- and {200 - len(lines) + 1} more, by their names"


# ---- reading one


@dataclass(frozen=True)
class Call:
    """`skills.view` of an agent, as the gate calls and labels it."""

    ctx: Any

    def __call__(self, name: str, path: str | None = None, offset: int = 0) -> Any:
        return skills.view(name, path, offset, ctx=self.ctx)

    def label(self, name: str) -> Label:
        label = built(skills.view).label
        assert callable(label)
        return label({"name": name}, self.ctx)


@pytest.fixture
def call(home: Path, sqlite_url: str, project: Workspace) -> Iterator[Call]:
    """An agent in a project."""
    home.mkdir(exist_ok=True)
    store = connect.open_store(sqlite_url)
    yield Call(
        SimpleNamespace(tenant="main", home=home, agent="ops", workspace=project, store=store)
    )
    store.close()


def test_a_skill_is_read_with_its_files_and_each_of_them_by_its_path(
    home: Path, call: Call
) -> None:
    folder = write(home / "skills", "deploy", "# First\n\nThen.\n")
    (folder / "references").mkdir()
    (folder / "references" / "hosts.md").write_text("a\r\nb\n")
    (folder / "run.sh").write_text("x" * 30_000)
    assert call("deploy") == {
        "name": "deploy",
        "text": "# First\n\nThen.\n",
        "files": ["references/hosts.md", "run.sh"],
    }
    one = call("deploy", "references/hosts.md")
    assert one == {"name": "deploy", "text": "a\nb\n", "path": "references/hosts.md"}
    long = call("deploy", "run.sh")
    assert (len(long["text"]), long["next_offset"]) == (24_000, 24_000)
    rest = call("deploy", "run.sh", offset=24_000)
    assert rest == {"name": "deploy", "text": "x" * 6_000, "path": "run.sh"}
    redact.register("Zq8vT3nLw9Xk2Rb7Yc5Md1", "KEY")
    (folder / "key").write_text("Zq8vT3nLw9Xk2Rb7Yc5Md1")
    assert "T3nLw9Xk2Rb7Yc5Md1" not in call("deploy", "key", offset=4)["text"], "no half of it"


def test_its_text_is_its_owners_and_that_of_a_project_is_the_projects(
    home: Path, call: Call, project: Workspace
) -> None:
    write(home / "skills", "a")
    write(project.root / ".agents" / "skills", "b")
    assert call.label("a") == labels.TRUSTED
    assert (str(call.label("b")), call.label("none")) == ("trusted/private", labels.DERIVED)


ELSEWHERE = [
    *("..", "../b/SKILL.md", "x/../../b/SKILL.md", "/etc/passwd", "../../../.env", "x\0y", "."),
    *(
        "link",
        "linked/SKILL.md",
        "within",
        "pipe",
        "folder",
        "binary",
        "",
        "nothing.md",
        "/proc/self/environ",
    ),
]


@table(ELSEWHERE)
def test_no_path_of_a_skill_leads_elsewhere(home: Path, call: Call, path: str) -> None:
    (home / ".env").write_text("canary")
    write(home / "skills", "b", "canary")
    folder = write(home / "skills", "a")
    (folder / "real").write_text("canary")
    (folder / "binary").write_bytes(b"\xff\xfecanary")
    (folder / "folder").mkdir(exist_ok=True)
    for name, to in (("link", home / ".env"), ("linked", "../b"), ("within", "real")):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(to)
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    if path == "":
        assert "canary" not in call("a", path)["text"]
        return
    with pytest.raises((errors.CallFailed, errors.PathRefused)) as refused:
        call("a", path)
    assert "canary" not in str(refused.value)


def test_a_skill_that_is_not_there_is_told_with_the_nearest(home: Path, call: Call) -> None:
    write(home / "skills", "deploy")
    write(home / "agents" / "other" / "skills", "private")
    for name, told in (
        ("deplyo", "Did you mean deploy?"),
        ("private", "instructions"),
        ("../agents/other/skills/private", "instructions"),
    ):
        with pytest.raises(errors.CallFailed, match="There is no skill") as refused:
            call(name)
        assert told in str(refused.value.next)
