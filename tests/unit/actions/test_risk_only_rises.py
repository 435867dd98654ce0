"""The risk of shell text only rises with what is added to it, and every text has one."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.actions import Risk, classify_command
from tests.unit.actions import test_commands, test_hostile_commands
from tests.unit.actions.test_hostile_commands import ASKS, HARMLESS

EVERY = {text for text, _ in test_commands.EXPECTED} | {
    *(*test_hostile_commands.HOSTILE, *ASKS, *HARMLESS)
}
UNFINISHED = {
    "ls '",
    'ls "',
    "ls $(",
    "ls `",
    "ls ((",
    "if ls",
    "if ls; then fi",
    "for x in a; do done",
    "ls )",
    "ls;;",
    "ls 'unclosed",
    "ls |",
}
"""What is added to these becomes part of a quote, or completes them."""
WHOLE = sorted(
    text for text in EVERY if text.strip() and len(text) < 500 and not re.search("#|<<[^<]", text)
)
WHOLE = [text for text in WHOLE if text not in UNFINISHED]
OPEN = re.compile(r"[;&]$")
"""Nothing can follow on the same line."""

ONE = [
    text for text in WHOLE if not re.search(r"[;&|\n(){}!]|^cd |^(if|for|while|until|case) ", text)
]
"""What is one command, so that a word in front of it stands in front of all of it."""

MORE_WORDS = st.sampled_from(
    [
        *["-f", "--force", "-n", "--help", "--dry-run", "-o", "--", "-x", "--all", "-rf"],
        *["a.txt", ".git", "/etc/x", "~", "..", "="],
        "'*'",
        '"a b"',
        "$X",
        "$(id)",
    ]
)
FLOWS = st.sampled_from(
    ["> a.txt", ">> .env", "2>/dev/null", "< a.txt", "> $X", "2>&1", "> /etc/x"]
)
OTHERS = st.sampled_from(
    [*ASKS, *HARMLESS, "sudo ls", "curl x | sh", "rm -rf .git", "x=1", "cd .."]
)
WRAPPERS = [
    "timeout 5 {}",
    "nice {}",
    "nohup {}",
    "env LANG=C {}",
    "command {}",
    "exec {}",
    "busybox {}",
    "time {}",
    "ionice -c 3 {}",
    "stdbuf -oL {}",
    "eval {}",
    "watch {}",
    "sudo {}",
    "xargs {}",
    "docker exec web {}",
    "kubectl exec web -- {}",
    "ssh host {}",
]
# another verb with each word that follows: `timeout 5 bash` is not `timeout 5 bash -c ls`
BARE = re.compile(
    r".*\b(ba|da|z|k|)sh(?! -l?c \S)|.*\bexec\b|(gh|docker|kubectl|npm) \S+$|(git|git stash|python|env|set)$"
)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.sampled_from([";", "&&", "||", "|", "\n"]), OTHERS)
def test_another_command_never_lowers_the_risk(text: str, operator: str, other: str) -> None:
    least = max(classify_command(text), classify_command(other))
    assert classify_command(f"{other}{operator} {text}") >= least
    if not OPEN.search(text):
        assert classify_command(f"{text} {operator} {other}") >= least


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([text for text in WHOLE if not OPEN.search(text) and not BARE.match(text)]),
    st.lists(MORE_WORDS, min_size=1, max_size=3).map(" ".join),
)
@pytest.mark.slow
def test_another_word_never_lowers_the_risk(text: str, words: str) -> None:
    assert classify_command(f"{text} {words}") >= classify_command(text)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([text for text in WHOLE if not OPEN.search(text)]), FLOWS)
def test_a_redirection_never_lowers_the_risk(text: str, flow: str) -> None:
    assert classify_command(f"{text} {flow}") >= classify_command(text)
    assert classify_command(f"{{ {text}; }} {flow}") >= classify_command(text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ONE), st.lists(st.sampled_from(WRAPPERS), min_size=1, max_size=3))
@pytest.mark.slow
def test_a_wrapper_never_lowers_the_risk(text: str, wrappers: list[str]) -> None:
    wrapped = text
    for wrapper in wrappers:
        wrapped = wrapper.format(wrapped)
    assert classify_command(wrapped) >= classify_command(text)
    quoted = f"timeout 5 bash -c {shlex.quote(text)}"
    assert classify_command(quoted) >= classify_command(text)
    assert classify_command(f"ssh host {shlex.quote(text)}") >= classify_command(text)


PIECES = st.sampled_from(
    [
        "ls",
        "rm",
        " ",
        "\n",
        ";",
        "|",
        "&",
        "'",
        '"',
        "$(",
        ")",
        "`",
        "{",
        "}",
        "<<E",
        "${",
        "$",
        "\\",
        "(",
        "[[",
        "]]",
    ]
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=300),
    st.lists(PIECES, max_size=40).map("".join),
    st.integers(0, 64_000),
)
def test_no_text_of_any_length_makes_it_raise(text: str, pieces: str, length: int) -> None:
    for unit in (text, pieces, text + pieces):
        assert isinstance(classify_command(unit), Risk)
        if unit:
            long = unit * (length // len(unit) + 1)
            assert isinstance(classify_command(long[:65_536]), Risk)


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "$(",
        "{ ",
        "ls;",
        "'",
        '"$(',
        "`",
        "[[ ",
        "a=b ",
        "ls | ",
        "<<E\n",
        "${a:-",
        "\\",
        "ü",
        "git -C x ",
    ],
)
def test_sixty_four_kilobytes_of_anything_are_judged(unit: str) -> None:
    assert classify_command((unit * 65_536)[:65_536]) is Risk.HIGH
    assert isinstance(classify_command((unit * 32_000)[:32_000]), Risk)
