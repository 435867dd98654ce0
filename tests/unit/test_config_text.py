"""YAML as written: scalars stay texts, every problem has its line, and nothing in a file breaks the reader."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred import config_text, errors
from tests.table import table


def parsed(text: str) -> config_text.Document:
    made = config_text.parse(text, "config.yaml")
    assert not made.findings, made.findings
    return made


def problem(text: str) -> str:
    """The one finding of a text."""
    made = config_text.parse(text, "config.yaml")
    assert len(made.findings) == 1, made.findings
    return str(made.findings[0])


AS_WRITTEN = [
    *("on", "off", "yes", "no", "y", "n", "On", "NO", "true", "True", "FALSE"),
    *(
        "0",
        "1",
        "0123",
        "0o17",
        "0x1F",
        "0b1",
        "1_000",
        "1e3",
        "1E+3",
        "+5",
        "-5",
        "1.50",
        ".5",
        "5.",
    ),
    *(
        ".inf",
        "-.inf",
        ".nan",
        "12:30",
        "12:30:45",
        "190:20:30",
        "2026-11-21",
        "2026-11-21 10:00:00",
    ),
    *(
        "=",
        "<",
        "<<",
        "a#b",
        "a:b",
        "http://x/y",
        "-100123456",
        "NULL2",
        "nulls",
        "~x",
        "é",
        "日本",
        "😀",
    ),
]


@table(AS_WRITTEN)
def test_a_plain_scalar_is_the_text_that_stands_there(text: str):
    assert parsed(f"a: {text}\n").tree == {"a": text}
    assert parsed(f"a: [{text}]\n").tree == {"a": [text]} or ":" in text
    assert parsed(f"%YAML 1.1\n---\na: {text}\n").tree == {"a": text}


@pytest.mark.parametrize("text", ["null", "~", "", "Null", "NULL"])
def test_only_a_plain_nothing_is_nothing(text: str):
    assert parsed(f"a: {text}\n").tree == {"a": None}
    assert parsed(f"a: '{text}'\n").tree == {"a": text}
    assert parsed(f'a: "{text}"\n').tree == {"a": text}


@pytest.mark.parametrize(
    "text", ["", "\n", "# only this\n", "---\n", "null\n", "---\n...\n", "\r\n"]
)
def test_a_file_with_nothing_in_it_is_empty(text: str):
    assert parsed(text).tree == {}


def test_every_key_and_item_knows_its_line():
    made = parsed("a: 1\n\n# c\nb:\n  - x\n  - y: 1\n    z: 2\nc: {d: 1,\n    e: 2}\n")
    assert made.lines == {
        ("a",): 1,
        ("b",): 4,
        ("b", 0): 5,
        ("b", 1): 6,
        ("b", 1, "y"): 6,
        ("b", 1, "z"): 7,
        ("c",): 8,
        ("c", "d"): 8,
        ("c", "e"): 9,
    }
    assert made.place(("b", 1, "z", "deeper")) == "config.yaml:7"
    assert made.place(("nowhere",)) == "config.yaml"


def test_an_alias_is_written_out():
    assert parsed("a: &x {b: 1}\nc: *x\n").tree == {"a": {"b": "1"}, "c": {"b": "1"}}


def test_an_anchor_used_twice_is_said_to_nobody(recwarn: pytest.WarningsRecorder):
    assert parsed("a: &x 1\nb: &x 2\nc: *x\n").tree == {"a": "1", "b": "2", "c": "2"}
    assert not recwarn.list


WRONG = [
    ("a: 1\na: 2\n", "config.yaml:2: a: written twice, first in line 1"),
    ("b: {a: 1, 'a': 2}\n", "config.yaml:1: b.a: written twice, first in line 1"),
    ("a:\n\tb: 1\n", "config.yaml:2: no proper YAML: a tab cannot indent, use spaces"),
    ("a: 1\n b: 2\n", "config.yaml:2: no proper YAML: "),
    ("a: [1, 2\n", "config.yaml:2: no proper YAML: "),
    ("a: {b: 1\nc: 2\n", "config.yaml:2: no proper YAML: "),
    ("a: 'x\n", "config.yaml:1: no proper YAML: "),
    ("a: b: c\n", "config.yaml:1: no proper YAML: mapping values are not allowed here"),
    ("a: @x\n", "config.yaml:1: no proper YAML: "),
    (
        "a: 1\n---\nb: 2\n",
        "config.yaml:2: no proper YAML: a second document begins, there may be one",
    ),
    ("a: *gone\n", "config.yaml:1: no proper YAML: found undefined alias …"),
    ("a: 1\nb: \x01\n", "config.yaml:2: no proper YAML: the character U+0001 may not stand in it"),
    ("a: 1\nb: x\0y\n", "config.yaml:2: no proper YAML: the character NUL may not stand in it"),
    ('a: 1\nb: "x\\0y"\n', "config.yaml:2: b: the character NUL may not stand in a text"),
    ('a: "\\ud800"\n', "config.yaml:1: a: the character U+D800 may not stand in a text"),
    ('"\\udfff": 1\n', "config.yaml:1: the character U+DFFF may not stand in a text"),
    ("a: !x 1\n", "config.yaml:1: a: a tag (`!…`) means nothing here"),
    (
        "a: !!python/object/apply:os.system [ls]\n",
        "config.yaml:1: a: a tag (`!…`) means nothing here",
    ),
    ("a: !!binary aGk=\n", "config.yaml:1: a: a tag (`!…`) means nothing here"),
    ("a: !!set {x}\n", "config.yaml:1: a: a tag (`!…`) means nothing here"),
    ("a: !!omap [x: 1]\n", "config.yaml:1: a: a tag (`!…`) means nothing here"),
    ("? {a: 1}\n: 2\n", "config.yaml:1: a key must be a plain word"),
    ("a: {<<: {b: 1}}\n", "config.yaml:1: a: `<<` is not read, write the keys out"),
    ("a: &x [*x]\n", "config.yaml:1: a[0]: it refers to itself"),
    ("a: &x {b: *x}\n", "config.yaml:1: a.b: it refers to itself"),
    ("- a\n- b\n", "config.yaml:1: must be keys with values, as in `model: auto`"),
    ("just text\n", "config.yaml:1: must be keys with values, as in `model: auto`"),
    ("%YAML 9.9\n---\na: 1\n", "config.yaml:1: no proper YAML: "),
    ("%YAML x\n---\na: 1\n", "config.yaml:1: no proper YAML: "),
    ('a: "\\U99999999"\n', "config.yaml:1: no proper YAML: "),
    ('a: "\\q"\n', "config.yaml:1: no proper YAML: "),
]


QUOTE, COLON = "the quote that begins here has no end", "a key and its value need `: ` between them"
MISTAKES = [
    ('a: 1\nb: "x\nc: 2\nd:\n  e: 3\n', 2, QUOTE),
    ("a: 1\nb: 'x\nc: 2\nd:\n  e: 3\n", 2, QUOTE),
    ('a: 1\nb: "x\nc: "y"\nd: 3\n', 2, QUOTE),
    ('a: 1\nb: "x\n---\nc: 2\n', 2, QUOTE),
    ("a: 1\nb: it's\nc: 'x\nd: 3\n", 3, QUOTE),
    ("a 1\nb: 2\n", 1, COLON),
    ("a: 1\nb 2\nc: 3\n", 2, COLON),
    ("a: 1\nb 2\n", 2, COLON),
    ("a: 1\nb:2\nc: 3\n", 2, COLON),
    ("a: 1\nb 2\nc 3\nd: 4\n", 2, COLON),
    ("a: 1\n\n# x\nb 2\n\n# y\n\nc: 3\n", 4, COLON),
    ("a: 1\nb\n  c: 2\n  d: 3\n", 2, COLON),
    ("a:\n  b 2\n  c: 3\n", 2, COLON),
    ("a:\n- b 2\n  c: 3\n", 2, COLON),
    # where the line that was told was the right one
    ("a:\n  b: 1\n   c: 2\n", 3, "mapping values are not allowed here"),
    ("a: 1\nb: you are: brief\nc: 3\n", 2, "mapping values are not allowed here"),
    ("a: 1\nb: 'it's'\nc: 3\n", 2, "expected <block end>"),
    ("a: {b: 1,\n  c: 2\nd: 3\n", 3, "that begins in line 1"),
]


@table(MISTAKES)
def test_a_quote_or_colon_that_is_missing_is_told_with_the_line_it_is_missing_in(
    text: str, line: int, said: str
):
    told = problem(text)
    assert told.startswith(f"config.yaml:{line}: no proper YAML: ") and said in told, told


@table(WRONG)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str):
    assert problem(text).startswith(said)


def test_all_that_is_wrong_is_told_at_once():
    made = config_text.parse('a: 1\na: 2\nb: !x 1\nc: "\\0"\nd: {<<: {}}\n', "config.yaml")
    assert [f.place for f in made.findings] == [f"config.yaml:{n}" for n in (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", ["[", "{a: ", "- ", "a:\n", "? ", "[{a: ", "!!seq ["])
@pytest.mark.parametrize("levels", [200, 600])
@pytest.mark.slow
def test_deep_nesting_is_a_problem_and_not_a_crash(shape: str, levels: int):
    times = levels // 2 if shape == "[{a: " else levels
    text = (
        "".join(" " * n + "a:\n" for n in range(times))
        if shape == "a:\n"
        else "a: " * (shape != "- ") + shape * times
    )
    assert config_text.parse(text, "config.yaml").findings


@pytest.mark.slow
def test_aliases_cannot_blow_up():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 12):
        text += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n"
    assert "there is too much in it" in problem(text)


def test_a_syntax_error_does_not_repeat_the_line_with_its_secret():
    for text in (
        'key: "sk-secret-123\n',
        "key: *sk-secret-123\n",
        "key: !sk-secret-123! x\n",
        "key: [sk-secret-123\n",
        "key: sk-secret-123: x\n",
        "key: %sk-secret-123\n",
        "key: !sk-secret-123 x\n",
        "&sk-secret-123 &sk-secret-123 x: y\n",
        "%sk-secret-123\nx: 1\n",
        "sk-secret-123\nx: 1\n",
    ):
        made = config_text.parse(text, "config.yaml")
        assert "secret" not in " ".join(map(str, made.findings)), text


# ---- reading the file


def failed(file: Path) -> str:
    with pytest.raises(errors.ConfigError) as wrong:
        config_text.read(file)
    assert wrong.value.next
    return str(wrong.value)


def test_no_file_is_none_and_a_mark_at_the_beginning_is_dropped(tmp_path: Path):
    file = tmp_path / "config.yaml"
    assert config_text.read(file) is None
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert config_text.read(file) == "a: 1\r\n"


def test_fifty_megabytes_are_refused_by_their_size(tmp_path: Path):
    file = tmp_path / "config.yaml"
    with file.open("wb") as stream:
        stream.truncate(50_000_000)
    assert (
        failed(file)
        == "config.yaml: it has 50,000,000 bytes, more than the 1,000,000 that are read"
    )


def test_the_largest_file_is_read_and_one_byte_more_is_not(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * config_text.MAX_BYTES)
    assert config_text.read(file) == "#" * config_text.MAX_BYTES
    file.write_bytes(b"#" * (config_text.MAX_BYTES + 1))
    failed(file)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: 1\nb: \xff\n", "config.yaml:2: byte 0xff is no UTF-8"),
        (b"a: \xed\xa0\x80\n", "config.yaml:1: byte 0xed is no UTF-8"),
        (b"\xff\xfea\0:\0", "config.yaml:1: byte 0xff is no UTF-8"),
        (b"a: caf\xe9\n", "config.yaml:1: byte 0xe9 is no UTF-8"),
        (b"a: \xc3", "config.yaml:1: byte 0xc3 is no UTF-8"),
    ],
)
def test_other_bytes_than_utf8_are_told_with_their_line(tmp_path: Path, data: bytes, said: str):
    file = tmp_path / "config.yaml"
    file.write_bytes(data)
    assert failed(file) == said


@pytest.mark.timeout(20)
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    assert failed(tmp_path / "folder") == "folder: it is no file"
    os.mkfifo(tmp_path / "pipe")
    assert failed(tmp_path / "pipe") == "pipe: it is no file"
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert failed(tmp_path / "zero") == "zero: it is no file"
    (tmp_path / "loop").symlink_to("loop")
    assert failed(tmp_path / "loop").startswith("loop: it cannot be read: ")
    (tmp_path / "lost").symlink_to("/volume/that/is/not/there")
    assert failed(tmp_path / "lost") == "lost: it is a link to a place that is not there"


# ---- values


@table(AS_WRITTEN)
def test_a_resolved_scalar_gives_its_text_back(text: str):
    assert config_text.as_text(config_text.resolve(text)) == text


@table(
    [
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-5", -5),
        ("-100123456", -100123456),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        *(
            (t, t)
            for t in ("True", "on", "no", "0123", "1e3", "+5", "1.50", "-0", "1_0", "", "1.", "٣")
        ),
        *((t, t) for t in ("9" * 30, "0.1000000000000000055", "2026-11-21", ".inf", "nan")),
    ]
)
def test_only_unmistakable_numbers_and_flags_are_resolved(text: str, value: object):
    found = config_text.resolve(text)
    assert (type(found), found) == (type(value), value)
    assert config_text.resolve({"a": [text]}) == {"a": [value]}


@given(st.text())
def test_any_resolved_text_gives_itself_back(text: str):
    assert config_text.as_text(config_text.resolve(text)) == text


@given(st.from_regex(r"-?[0-9]{0,20}\.?[0-9]{0,20}", fullmatch=True))
def test_any_number_gives_its_text_back(text: str):
    assert config_text.as_text(config_text.resolve(text)) == text


@table(
    [
        (None, "null"),
        ("x", "'x'"),
        (True, "'true'"),
        ({}, "keys with values"),
        ([1], "a list"),
        ("postgresql://me:pw@host/x", "'postgresql://[redacted]@host/x'"),
        ("postgresql://me:p@w@host/x", "'postgresql://[redacted]@host/x'"),
        ("postgresql://me:p/w@host/x", "'postgresql://[redacted]@host/x'"),
        (
            "postgresql://host/x?user=a&password=pw",
            "'postgresql://host/x?user=a&password=[redacted]'",
        ),
        ("a\nb\x1b[31m", "'a\\nb\\x1b[31m'"),
        ("\u202eabc", "'\\u202eabc'"),
    ]
)
def test_a_value_is_shown_without_passwords_and_without_lies(value: object, said: str):
    assert config_text.shown(value) == said


def test_a_long_value_is_cut():
    assert len(config_text.shown("x" * 1_000_000)) < 120


# ---- anything at all


YAML_SOUP = st.text(
    st.sampled_from(list("ab01 :-?[]{},#&*!|>'\"%@`\n\t\r\\~<=.é\u2028\x00\ud800\x85"))
)


@given(st.one_of(st.text(), YAML_SOUP))
def test_no_text_makes_the_reader_fail(text: str):
    made = config_text.parse(text, "config.yaml")
    json.dumps(made.tree)
    for found in made.findings:
        assert str(found).startswith("config.yaml")


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
trees = st.recursive(
    st.one_of(st.none(), plain),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(plain, inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=25)  # of up to a hundred values each
@given(st.dictionaries(plain, trees, max_size=5))
def test_any_tree_that_is_written_is_read_again(tree: dict[str, object]):
    from alfred import config_splice

    assert parsed(f"{config_splice.yaml_text(tree)}\n").tree == tree
