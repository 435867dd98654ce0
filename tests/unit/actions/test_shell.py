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
WHOLE_PIECES = [
    "if ",
    " then ",
    " elif ",
    " else ",
    " fi",
    "for x in ",
    " do ",
    " done",
    "$(",
    "`",
    "$x",
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


@settings(max_examples=80, deadline=None)
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


@settings(max_examples=80, deadline=None)
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
                *WHOLE_PIECES,
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_text_that_bash_refuses_is_never_clear(text: str) -> None:
    if not shell.read(text, home=HOME).unclear:
        assert _bash(text, "-n").returncode == 0


# three programs that say how they were called, and nothing else that could be started
CALLED = """for f in a b c; do eval "$f() { printf '%s\\0' $f \\"\\$@\\" \\$'\\1' >&9; }"; done
exec 9>&1 >/dev/null 2>&1
"""


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Statements around statements."""
    words = parts.map("$({})".format) | parts.map('"$({})"'.format) | parts.map("<({})".format)
    return (
        st.tuples(parts, st.sampled_from(["; ", " && ", " || ", " | ", "\n", " # b\n"]), parts).map(
            "".join
        )
        | parts.map("({})".format)
        | parts.map("{{ {}; }}".format)
        | st.tuples(parts, parts, parts).map(lambda p: "if {}; then {}; else {}; fi".format(*p))
        | st.tuples(st.sampled_from(["y z", "'y z' y", "[xy]"]), parts).map(
            lambda p: "for x in {}; do {}; done".format(*p)
        )
        | st.tuples(st.sampled_from(["a", "b x"]), words).map(" ".join)
    )


STATEMENTS = st.recursive(
    st.sampled_from(["a", "b x", "c 'x y'", 'a "$x"', "b $x", 'c "x$x"/y', "a \\; x", "! b"]),
    _joined,
    max_leaves=6,
)
SCRAPS = st.lists(
    st.sampled_from(
        [
            *"#'\")}(;",
            "a ",
            "b ",
            "c",
            " ",
            "\n",
            "&& ",
            "| ",
            "{ ",
            "$(",
            "$(a",
            "<(b",
            "$x",
            "x",
            "if a",
            "; then ",
            "; else ",
            "; fi",
            "for x in y z",
            "; do ",
            "; done",
            "for x in ",
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=100, deadline=None)
@given(STATEMENTS | SCRAPS)
@pytest.mark.slow
def test_whatever_bash_starts_was_read(text: str) -> None:
    script = shell.read(text, home=HOME)
    if script.unclear or any(command.words[0].text is None for command in script.commands):
        return
    called = [
        row.split("\0")[:-1] for row in _bash(CALLED + text).stdout.decode().split("\1\0")[:-1]
    ]
    read = [[word.text for word in command.words] for command in script.commands]
    for words in called:
        assert any(words == known or (None in known and words[0] == known[0]) for known in read), (
            words,
            read,
        )


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
        "while :; do :; done",
        "case x in x) :;; esac",
        "for x in a; do done",
        "for x; do :; done",
        "for x in $y; do :; done",
        "for X in a; do :; done",
        "for no_proxy in a; do :; done",
        "for ((;;)); do :; done",
        "select x in a; do :; done",
        "if :; then fi",
        "if :; then :; else fi",
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
    *_, command = shell.read(f"echo {word}", home=HOME).commands
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


@table(
    [
        ("if :; then a; elif b; then c; else d; fi", [[":"], ["a"], ["b"], ["c"], ["d"]]),
        ("if ! a\nthen b\nfi", [["a"], ["b"]]),
        ("for x in a b; do ls $x/c; done", [["ls", "a/c"], ["ls", "b/c"]]),
        ('for x in "a b"; do ls "  $x"; done', [["ls", "  a b"]]),
        ("for x in a; do for y in b c; do ls $x$y; done; done", [["ls", "ab"], ["ls", "ac"]]),
        ("for x in a; do :; done; ls $x", [[":"], ["ls", None]]),
        ("for x in 'a b'; do ls $x; done", [["ls", None]]),
        ("for x in *.a; do ls $x; done", [["ls", None]]),
        ("cd a; echo $(b c)", [["cd", "a"], ["b", "c"], ["echo", None]]),
        ('echo "$(a) $(b)" <(c)', [["a"], ["b"], ["c"], ["echo", None, None]]),
        ("for x in a; do echo $(cat $x); done", [["cat", "a"], ["echo", None]]),
    ]
)
def test_branches_loops_and_substitutions_are_what_they_do(
    text: str, words: list[list[str | None]]
) -> None:
    script = shell.read(text, home=HOME)
    assert not script.unclear
    assert [[word.text for word in command.words] for command in script.commands] == words


@table(
    [
        ("$(a)", True),
        ('"x $(a) $PWD"', True),
        ("a$(b)c", True),
        ("<(a)", True),
        ("$?", True),
        ("${USER}", True),
        ("$SECRET", False),
        ("`a`", False),
        (">(a)", False),
        ("${!USER}", False),
        ("${USER:-$(a)}", False),
        ("$((1))", False),
        ('"$(a)$SECRET"', False),
        ("a", False),
    ]
)
def test_what_is_computed_by_commands_that_are_read_is_told(word: str, computed: bool) -> None:
    assert shell.read(f"echo {word}", home=HOME).commands[-1].words[1].computed is computed


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
