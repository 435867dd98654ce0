"""What a run may do at all: kept with the run, narrowed for a child, never widened."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from alfred.actions.grant import Grant
from tests.table import table

NAMES = st.text("ab.*_", min_size=1, max_size=5)


def of(*actions: str) -> Grant:
    return Grant(actions=frozenset(actions))


def test_a_pattern_allows_its_family_and_nothing_beside_it() -> None:
    grant = of("git.*", "web.fetch")
    assert grant.allows("git.push")
    assert grant.allows("web.fetch")
    for other in (
        "git",
        "gitx.push",
        "web.fetc",
        "web.fetch2",
        "Git.push",
        "shell.run",
        "",
        "xgit.push",
    ):
        assert not grant.allows(other), other
    assert not of().allows("git.push")


@table(
    [
        None,
        "",
        "{}",
        "null",
        "[]",
        "5",
        '"x"',
        "{",
        '{"actions":5}',
        '{"actions":null}',
        '{"actions":[[]]}',
        '{"actions":["files.read"],"contract":5}',
        '{"actions":["files.read"],"contract":{"workflow":"w"}}',
    ]
)
def test_what_cannot_be_read_grants_nothing(text: str | None) -> None:
    grant = Grant.decode(text)
    assert not grant.allows("files.read")
    assert grant.actions == frozenset()


@hypothesis.given(st.sets(NAMES), st.lists(NAMES), NAMES)
def test_a_child_may_do_nothing_that_its_parent_may_not(
    parent: set[str], wanted: list[str], name: str
) -> None:
    grant = of(*parent)
    narrowed = grant.narrowed(wanted)
    if narrowed.allows(name) and "*" not in name:
        assert grant.allows(name)


@hypothesis.given(st.sets(st.text(max_size=5)), st.sets(st.text(max_size=5)), st.none() | st.text())
def test_a_grant_is_read_back_as_it_was_written(
    actions: set[str], hosts: set[str], scratch: str | None
) -> None:
    grant = Grant(actions=frozenset(actions), hosts=frozenset(hosts), scratch=scratch)
    assert Grant.decode(grant.encode()) == grant
