"""A unified diff is applied exactly or not at all, and says why not."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.integrations import patch
from alfred.trust import redact
from tests.table import table

TEXT = "one\ntwo\nthree\nfour\nfive\nsix\n"


def apply(diff: str, text: str = TEXT) -> str:
    return patch.apply(patch.parse(diff), text)


def test_a_plain_hunk_is_applied() -> None:
    assert apply("@@ -2,2 +2,2 @@\n two\n-three\n+THREE\n") == TEXT.replace("three", "THREE")


def test_the_headers_of_git_are_accepted() -> None:
    diff = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@ def f():\n-one\n+ONE\n"
    assert apply(diff) == TEXT.replace("one", "ONE")


def test_several_hunks_are_applied_in_order() -> None:
    diff = "@@ -1 +1,2 @@\n one\n+1b\n@@ -6 +7 @@\n-six\n+SIX\n"
    assert apply(diff) == "one\n1b\ntwo\nthree\nfour\nfive\nSIX\n"


def test_a_file_is_made_from_nothing() -> None:
    diff = patch.parse("--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+a\n+b\n")
    assert diff.creates
    assert patch.apply(diff, "") == "a\nb\n"


def test_a_line_that_looks_like_a_header_is_content() -> None:
    text = "-- x\n++ y\n"
    assert apply("@@ -1,2 +1,2 @@\n--- x\n+-- z\n ++ y\n", text) == "-- z\n++ y\n"


def test_an_empty_context_line_without_its_space_is_taken() -> None:
    assert apply("@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n", "a\n\nb\n") == "a\n\nc\n"


@pytest.mark.parametrize(
    ("text", "diff", "result"),
    [
        ("a", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n", "b\n"),
        ("a\n", "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", "b"),
        ("x\na", "@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of file\n", "y\na"),
    ],
)
def test_the_newline_at_the_end_is_part_of_the_text(text: str, diff: str, result: str) -> None:
    assert apply(diff, text) == result


def test_a_missing_newline_does_not_fit_one_that_is_there() -> None:
    with pytest.raises(errors.CallFailed, match="does not fit"):
        apply("@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n", "a\n")


def test_lines_that_moved_are_found_when_they_are_unique() -> None:
    assert apply("@@ -1,2 +1,2 @@\n four\n-five\n+FIVE\n") == TEXT.replace("five", "FIVE")


def test_lines_that_fit_several_places_are_refused() -> None:
    with pytest.raises(errors.CallFailed, match=r"fits at 3 places \(lines 2, 4, 6"):
        apply("@@ -1 +1 @@\n-x\n+y\n", "a\nx\nb\nx\nc\nx\n")


def test_a_stated_line_wins_over_other_places() -> None:
    assert apply("@@ -4 +4 @@\n-x\n+y\n", "a\nx\nb\nx\nc\nx\n") == "a\nx\nb\ny\nc\nx\n"


def test_a_hunk_is_never_taken_before_the_one_before_it() -> None:
    with pytest.raises(errors.CallFailed, match="Hunk 2"):
        apply("@@ -5 +5 @@\n-five\n+FIVE\n@@ -1 +1 @@\n-one\n+ONE\n")


def test_windows_line_ends_stay() -> None:
    assert apply("@@ -2 +2 @@\n-two\n+TWO\n", "one\r\ntwo\r\n") == "one\r\nTWO\r\n"


def test_only_newlines_end_lines() -> None:
    text = "a\x0bb\u2028c\rd\nsecond\n"
    assert apply("@@ -2 +2 @@\n-second\n+2\n", text) == "a\x0bb\u2028c\rd\n2\n"


@table(
    [
        ("", "no hunk"),
        ("hello", "no hunk"),
        ("--- a\n+++ b\n", "no hunk"),
        ("@@ nonsense @@\n-one\n+ONE\n", "Line 1 of the diff: '@@ nonsense @@' is no hunk header"),
        (
            "@@ -1,3 +1,3 @@\n one\n-two\n+2\n",
            "announces 3 old and 3 new lines, but 2 and 2 follow",
        ),
        ("@@ -1 +1 @@\n-one\n+ONE\n+more\n", "Line 4 of the diff: there is no hunk"),
        ("@@ -1 +1 @@\n-one\n+ONE\n--- a/y\n+++ b/y\n", "Line 4 of the diff: a second file"),
        ("@@ -1 +1 @@\n\\ No newline at end of file\n-one\n+1\n", "Line 2 of the diff"),
        ("@@ -2 +2 @@\n-zwei\n+2\n", r"line 2 of the diff expects 'zwei\\n' in line 2 .* 'two\\n'"),
        ("@@ -6,2 +6 @@\n six\n-seven\n", r"expects 'seven\\n' in line 7 .* it ends at 6"),
        ("@@ -99,0 +100 @@\n+x\n", "behind line 99, but the file has 6 lines"),
        ("@@ -6,0 +7 @@\n+x\n\\ No newline at end of file\n@@ -6,0 +8 @@\n+y\n", "no newline"),
    ]
)
def test_what_does_not_fit_says_its_line(diff: str, says: str) -> None:
    with pytest.raises(errors.CallFailed, match=says):
        apply(diff)


def test_of_a_secret_in_a_line_that_does_not_fit_no_half_is_said() -> None:
    redact.register("Zq8vT3nLw9Xk2Rb7Yc5Md1", "KEY")
    there = "x" * (patch._SHOWN - 10) + " Zq8vT3nLw9Xk2Rb7Yc5Md1\n"
    with pytest.raises(errors.CallFailed) as told:
        apply("@@ -1 +1 @@\n-other\n+1\n", there)
    assert "Zq8v" not in told.value.detail


LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", " \n", "\n", "-\n", "+x\n"]), max_size=30)


@given(LINES, LINES, st.booleans(), st.integers(0, 4))
def test_what_difflib_says_is_applied_and_taken_back(
    old: list[str], new: list[str], cut: bool, context: int
) -> None:
    if cut and new:
        new = [*new[:-1], new[-1].rstrip("\n") or "z"]
    before, after = "".join(old), "".join(new)
    lines = []
    for line in difflib.unified_diff(old, new, "a", "b", n=context):
        lines.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    if not lines:
        return
    diff = patch.parse("".join(lines))
    assert patch.apply(diff, before) == after
    assert patch.apply(diff.reversed(), after) == before


@given(st.text(max_size=200), st.text(max_size=50))
def test_nothing_but_a_clear_error_comes_of_nonsense(diff: str, text: str) -> None:
    try:
        apply(f"@@ -1 +1 @@\n{diff}", text)
    except errors.CallFailed as why:
        assert why.detail
