"""The reader of shell text against bash itself: where it claims to know, it must know exactly."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred.actions import shell, syntax
from tests.table import table

HOME = "/home/me"

# nothing in here can start, write or read anything: no operators, no substitutions, one builtin
PIECES = [
    "a",
    "b",
    "-n",
    " ",
    "'",
    '"',
    "\\",
    "\t",
    ".",
    "/",
    "~",
    "#",
    "{",
    "}",
    ",",
    "..",
    "=",
    "$HOME",
    "${HOME}",
    "!",
    "^",
    "%",
    "+",
    ":",
    "ä",
]


def _bash(text: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    bash = shutil.which("bash")
    assert bash is not None, "bash is needed: it is what runs the text that is read here"
    return subprocess.run(
        [bash, "--norc", "--noprofile", *options, "-c", text],
        env={"HOME": HOME, "PATH": "/nonexistent", "LC_ALL": "C.UTF-8"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_words_are_what_bash_makes_of_them(text: str) -> None:
    script = shell.read(f"printf '%s\\0' x {text}", home=HOME)
    if script.unclear:
        return
    (command,) = script.commands
    words = [word.text for word in command.words[2:]]
    if None in words or any(word.glob for word in command.words):
        return
    answered = _bash(f"printf '%s\\0' x {text}")
    assert answered.returncode == 0
    assert [word or "" for word in words] == answered.stdout.decode().split("\0")[:-1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                ":",
                "a",
                " ",
                " ",
                ";",
                "&&",
                "||",
                "|",
                "(",
                ")",
                "{ ",
                " }",
                "! ",
                "'",
                '"',
                "\\",
                "\n",
                "#",
                ">",
                "<",
                "2>&1",
                "[",
                "]",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_text_that_bash_refuses_is_never_clear(text: str) -> None:
    if not shell.read(text, home=HOME).unclear:
        assert _bash(text, "-n").returncode == 0


@table(
    [
        "ls 'a",
        "ls )",
        "ls \\\n-l",
        "l\\\ns",
        "ls\r",
        "ls \x1b[0m",
        "ls\u00a0-l",
        "ls\u2028rm x",
        "ls \ud800",
        "f() { ls; }",
        "for x in a; do ls; done",
        "while :; do :; done",
        "if :; then :; fi",
        "case x in x) :;; esac",
        "ls &",
        "x=1",
        'echo $"a"',
        " }",
        "then ls",
        "coproc ls",
        "x+=1 ls",
        "x[1]=2 ls",
        "cat <<EOF\nx\nEOF",
        "cat <<< x",
        "export X=1",
        "[[ 'a[$(id)]' -eq 1 ]]",
        "[ $x = 1 ]",
        "((x=1))",
        "a " * 20_000,
    ]
)
def test_what_cannot_be_read_exactly_is_said(text: str) -> None:
    assert shell.read(text, home=HOME).unclear


@table(
    [
        "$x",
        '"$x"',
        "$(id)",
        "`id`",
        "${x:-y}",
        "${HOME:-y}",
        "{a,b}",
        "a{1..3}",
        "$'a'",
        "~bob",
        "~+",
        "$((1))",
        "<(ls)",
        "a$x",
    ]
)
def test_a_word_that_only_the_shell_knows_has_no_text(word: str) -> None:
    (command,) = shell.read(f"echo {word}", home=HOME).commands
    assert command.words[1].text is None
    assert command.words[1].option_like


@table(
    [
        ("*.py", "*.py", True),
        ("'*.py'", "*.py", False),
        ("\\*", "*", False),
        ('a"*"b', "a*b", False),
        ("a*'b'", "a*b", True),
        ("[ab]", "[ab]", True),
        ("~/x", f"{HOME}/x", False),
        ("'~'/x", "~/x", False),
        ("\\~", "~", False),
        ("{}", "{}", False),
        ('"  a  "', "  a  ", False),
        ('""', "", False),
    ]
)
def test_quotes_go_and_what_may_still_expand_is_known(word: str, text: str, glob: bool) -> None:
    (command,) = shell.read(f"echo {word}", home=HOME).commands
    assert (command.words[1].text, command.words[1].glob) == (text, glob)


def test_an_account_without_a_home_gets_the_worst_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    assert syntax.home() == "/"


def test_foreign_characters_are_parts_of_words_and_shown_to_no_table_of_the_grammar() -> None:
    # its scanner reads outside of C's tables for them, which now and then takes the process down
    text = "echo \U0005bf03\u00d3] '\u00d3 \U0009c716' x"
    source = syntax.Source(text, home=HOME)
    assert all(byte < 128 for byte in source.root.text or b"")
    (command,) = shell.read("echo \u00d3a '\u00d3 \U0009c716' x; # \u00d3", home=HOME).commands
    assert [word.text for word in command.words] == ["echo", "\u00d3a", "\u00d3 \U0009c716", "x"]


@table(
    [
        "echo {\\a",
        "\\ #&&",
        "echo { {",
        ">2>&1",
        ">\n:",
        ":(:)",
        "[]#&&",
        "{ }",
        "{ #\n }",
        "(ls) x",
    ]
)
def test_words_that_the_grammar_gets_wrong_are_unclear(text: str) -> None:
    assert shell.read(text, home=HOME).unclear
