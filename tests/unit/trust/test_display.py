"""Deceptive strings, shown so that nobody is deceived."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.trust import display as display_module
from alfred.trust.display import as_json, display, inert, warnings
from tests.table import table

# (text, what must stand in the answer)
DECEPTIVE = [
    ("\x1b[2J\x1b[H", "\\u{001B}[2J\\u{001B}[H"),
    ("\x1b[31mred\x1b[0m", "\\u{001B}[31mred"),
    ("\x1b]0;title\x07", "\\u{001B}]0;title\\u{0007}"),
    ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "\\u{001B}]8;;http://evil"),
    ("\x1b]52;c;ZXZpbA==\x07", "\\u{001B}]52;c;"),
    ("\x9b31m", "\\u{009B}31m"),
    ("\x90q\x9c", "\\u{0090}q\\u{009C}"),
    ("safe\rrm -rf /", "safe\\u{000D}rm -rf /"),
    ("safe\nApproved: yes", "safe\\u{000A}Approved: yes"),
    ("a\tb", "a\\u{0009}b"),
    ("a\x08\x08\x08b", "a\\u{0008}"),
    ("a\0b", "a\\u{0000}b"),
    ("a\x7fb", "a\\u{007F}b"),
    ("a\x0b\x0cb", "a\\u{000B}\\u{000C}b"),
    ("a\x85b", "a\\u{0085}b"),
    ("a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c"),
    ("photo\u202egnp.exe", "photo\\u{202E}gnp.exe"),
    ("a\u202ab\u202bc\u202cd\u202de", "a\\u{202A}b\\u{202B}c\\u{202C}d\\u{202D}e"),
    ("a\u2066b\u2067c\u2068d\u2069e", "a\\u{2066}b\\u{2067}c\\u{2068}d\\u{2069}e"),
    ("a\u200eb\u200fc\u061cd", "a\\u{200E}b\\u{200F}c\\u{061C}d"),
    ("pay\u200bpal", "pay\\u{200B}pal"),
    ("a\u200cb\u200dc\u2060d\ufeffe", "a\\u{200C}b\\u{200D}c\\u{2060}d\\u{FEFF}e"),
    ("a\u00adb", "a\\u{00AD}b"),
    ("a\u00a0b\u3000c\u2003d\u202fe", "a\\u{00A0}b\\u{3000}c\\u{2003}d\\u{202F}e"),
    ("hi\U000e0072\U000e006d", "hi\\u{E0072}\\u{E006D}"),
    ("\U000e0001\U000e007f", "\\u{E0001}\\u{E007F}"),
    ("\U0001f600\U000e0101\U000e0102", "\U0001f600\\u{E0101}\\u{E0102}"),
    ("a\ufe0fb", "a\\u{FE0F}b"),
    ("\u2764\ufe0f\ufe0e", "\u2764\ufe0f\\u{FE0E}"),
    ("a\ufe00\ufe01", "a\\u{FE00}\\u{FE01}"),
    ("a" + "\u0301" * 10, "a" + "\u0301" * 4 + "\\u{0301}" * 6),
    ("Z\u0336\u0337\u0338\u0335\u0334", "\\u{0334}"),
    ("a\u20dd\u20dd\u20dd\u20dd\u20dd", "\\u{20DD}"),
    ("a\u034fb", "a\\u{034F}b"),
    ("a\u3164b\uffa0c\u115fd\u1160e", "a\\u{3164}b\\u{FFA0}c\\u{115F}d\\u{1160}e"),
    ("a\u2800b", "a\\u{2800}b"),
    ("a\u17b4b\u180eb", "a\\u{17B4}b\\u{180E}b"),
    ("a\ufffcb", "a\\u{FFFC}b"),
    ("a\ud800b", "a\\u{D800}b"),
    ("a\ue000b\U000f0000c", "a\\u{E000}b\\u{F0000}c"),
    ("a\ufdd0b\uffffc", "a\\u{FDD0}b\\u{FFFF}c"),
    ("a\ufff9b\ufffac\ufffbd", "a\\u{FFF9}b\\u{FFFA}c\\u{FFFB}d"),
    ("already \\u{202E} written", "already \\u{5C}u{202E} written"),
    ("\\\\u{202E}", "\\\\u{5C}u{202E}"),
]

HONEST = [
    "plain text, with punctuation: (a) [b] {c} <d> \"e\" 'f' `g` \\ / | ~ ^ % $ # @ !",
    "Grüße aus Köln, Łódź, São Paulo, İstanbul",
    "Привет, мир",
    "日本語とかな",
    "한국어",
    "العربية",
    "עִבְרִית",
    "हिन्दी",
    "ไทย",
    "Tiếng Việt",
    "Tie\u0302\u0301ng Vie\u0323\u0302t",
    "emoji \U0001f600 \u2764\ufe0f \u2714\ufe0e",
    "C:\\path\\to",
    "€ £ ¥ § ° µ ½ → ≠ ∞",
]


@table(DECEPTIVE)
def test_what_deceives_is_written_out(text: str, shown: str) -> None:
    assert shown in display(text)


@table(HONEST)
def test_honest_text_is_shown_as_it_is(text: str) -> None:
    assert display(text) == text


def test_lines_and_tabs_stay_only_when_they_were_asked_for() -> None:
    assert display("a\n\tb", multiline=True) == "a\n\tb"
    assert display("a\r\nb", multiline=True) == "a\\u{000D}\nb"
    assert display("a\n\tb") == "a\\u{000A}\\u{0009}b"


@given(st.text())
def test_nothing_shown_moves_reorders_or_hides(text: str) -> None:
    shown = display(text)
    for at, char in enumerate(shown):
        category = unicodedata.category(char)
        if char in "\ufe0e\ufe0f":
            assert unicodedata.category(shown[at - 1]) == "So"
        else:
            assert char == " " or category[0] not in "CZ", ascii(char)


_pieces = st.sampled_from(
    ["\\u{202E}", "\\u{5C}u{1B}", "\\", "u{", "}", "41", "\u202e", "\x1b", "\n", "é", "\u0301"]
)


@given(st.lists(_pieces | st.characters(), max_size=12).map("".join))
def test_what_is_shown_tells_exactly_what_was_given(text: str) -> None:
    """Two different texts are never shown alike: the way back exists."""
    back = re.sub(r"\\u\{([0-9A-F]+)\}", lambda m: chr(int(m[1], 16)), display(text))
    assert back == text


_json = st.recursive(
    st.text() | st.floats(allow_nan=False) | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_json, st.sampled_from([None, 1]))
def test_json_says_the_same_to_a_program_and_deceives_nobody(
    value: Any, indent: int | None
) -> None:
    told = as_json(value, indent=indent)
    assert json.loads(told) == value
    assert display(told, multiline=True).replace("\\u{5C}u{", "\\u{") == told


@table(DECEPTIVE)
def test_json_writes_out_what_deceives_and_nothing_else(text: str, shown: str) -> None:
    for honest in HONEST:
        told = as_json({text: honest})
        assert json.dumps(honest, ensure_ascii=False) in told
        assert json.loads(told) == {text: honest}


@table(DECEPTIVE)
def test_what_was_written_out_once_is_not_written_out_again(text: str, shown: str) -> None:
    assert inert(display(text)) == display(text)
    assert display(inert(text), multiline=True).replace("\\u{5C}u{", "\\u{") == inert(text)


# ---- what is too long


def test_a_long_text_shows_head_tail_length_and_hash() -> None:
    text = "HEAD " + "x" * 10_000 + " rm -rf / TAIL"
    shown = display(text, limit=300)
    assert len(shown) <= 300
    assert shown.startswith("HEAD ")
    assert shown.endswith("rm -rf / TAIL")
    assert f"{len(text)} characters" in shown
    assert hashlib.sha256(text.encode()).hexdigest()[:12] in shown


def test_a_text_that_fits_is_not_cut() -> None:
    assert display("x" * 100, limit=100) == "x" * 100
    assert "[cut: 101 characters" in display("x" * 101, limit=100)


def test_an_escape_is_never_cut_and_counts_with_its_full_length() -> None:
    shown = display("\x1b" * 1000, limit=200)
    assert len(shown) <= 200
    assert re.sub(r"\\u\{001B\}", "", shown).strip().startswith("… [cut: 1000 characters")


@pytest.mark.parametrize("limit", [0, 1, 10, 30])
def test_a_limit_that_is_too_small_still_says_what_was_cut(limit: int) -> None:
    shown = display("secret plan " * 50, limit=limit)
    assert "[cut: 600 characters, sha256 " in shown


def test_texts_that_differ_only_in_the_middle_are_told_apart() -> None:
    one, two = "a" * 500 + "b" + "a" * 500, "a" * 500 + "c" + "a" * 500
    assert display(one, limit=100) != display(two, limit=100)


# ---- identifiers

SUSPICIOUS = [
    ("p\u0430ypal.com", "mixes scripts"),  # Cyrillic а
    ("\u0430\u0440\u0440\u04cf\u0435.com", "can be taken for"),  # all Cyrillic
    ("g\u03bfogle.com", "mixes scripts"),  # Greek ο
    ("\u0391\u0392\u0395", "can be taken for"),
    ("feature/l\u0456nk", "mixes scripts"),
    ("\uff47ithub.com", "look-alike forms"),
    ("\U0001d420ithub", "look-alike forms"),
    ("ma\u0131n", None),  # dotless i is a Latin letter: not told apart by script
    ("exe\u202etxt", "invisible or control"),
    ("a\u200bb", "invisible or control"),
    ("tool\u00adname", "invisible or control"),
    ("\u2168", "look-alike forms"),
    ("\ufb01le", "look-alike forms"),
    ("main\u2024py", "look-alike forms"),
]


@table([case for case in SUSPICIOUS if case[1]])
def test_a_name_that_can_be_taken_for_another_is_marked(text: str, why: str) -> None:
    assert any(why in warning for warning in warnings(text)), warnings(text)


@table([
        "github.com", "feature/x-1_2.3", "a/b/c.py", "C:\\x", "münchen.de", "café", "привет/мир.txt",
        "src/файл.py", "東京タワー", "日本語とかな", "한국", "ελληνικά", "北京abc"[:2], "user@host:22",
    ])  # fmt: skip
def test_an_honest_name_is_not_marked(text: str) -> None:
    assert warnings(text) == ()


def test_the_module_and_the_function_are_the_same_to_callers() -> None:
    import alfred.trust
    from alfred.trust import display as imported

    assert imported("\x1b") == alfred.trust.display("\x1b") == "\\u{001B}"  # type: ignore
    assert alfred.trust.display.display is display
    assert callable(display_module) or display_module is display
