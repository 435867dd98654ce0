"""What a person is shown: all of it or an honest cut, and no character that lies."""

from __future__ import annotations

from alfred.actions import card


def test_a_title_says_what_a_call_is_about_in_one_line() -> None:
    assert card.title("shell.run", {"path": "x", "command": "ls\nrm -rf ."}) == "shell.run ls"
    assert card.title("files.write", {"content": "c", "path": " a.txt "}) == "files.write a.txt"
    assert card.title("t.nothing", {"path": "  ", "n": 3}) == "t.nothing"
    assert card.title("t.number", {"path": 7}) == "t.number"


def test_a_title_shows_characters_that_would_lie_and_stays_short() -> None:
    shown = card.title("files.write", {"path": "report\u202efdp.exe\x1b[31m" + "x" * 500})
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert len(shown) <= 200


def test_a_preview_is_whole_or_says_how_much_it_leaves_out() -> None:
    assert card.preview({}, "y" * card.PREVIEW) == "y" * card.PREVIEW
    cut = card.preview({}, "a" * 6_000 + "b" * 6_000)
    assert cut.startswith(
        "a" * 4_000 + "\n… 4000 characters are not shown here; 12000 in all, sha256 "
    )
    assert cut.endswith("b" * 4_000)
    assert card.preview({}, "a" * 6_001 + "b" * 6_000) != cut, "its hash tells two cuts apart"


def test_without_a_text_of_the_actions_own_the_arguments_are_shown_whole() -> None:
    assert card.preview({"to": "bob", "n": [1]}, None) == (
        '{\n  "to": "bob",\n  "n": [\n    1\n  ]\n}'
    )
    assert "\u202e" not in card.preview({"to": "\u202ebob"}, None)


def test_a_claim_is_one_short_line_or_nothing() -> None:
    assert card.claim("because\nI\tsay so ") == "because I say so"
    assert card.claim(None) is card.claim("") is card.claim(" \n") is None
    long = card.claim("x" * 5_000)
    assert long is not None
    assert len(long) <= card.CLAIM + 40
