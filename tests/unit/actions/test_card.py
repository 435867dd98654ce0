"""What a person is shown: all of it or an honest cut, and no character that lies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alfred.actions import card
from alfred.trust import redact


def test_a_title_says_what_a_call_is_about_in_one_line() -> None:
    assert card.title("shell.run", {"path": "x", "command": "ls\nrm -rf ."}) == "shell.run ls …"
    assert card.title("shell.run", {"command": "ls\r\u2028x"}) == "shell.run ls\\u{000D}\\u{2028}x"
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


def test_what_a_call_is_aimed_at_is_on_its_card_whole_however_long_the_rest_is() -> None:
    args = {
        "content": "x" * 20_000,
        "to": ["bob@example.com", "eve@example.com"],
        "more": "y" * 20_000,
    }
    shown = card.preview(args, None)
    assert shown.startswith('to: ["bob@example.com", "eve@example.com"]\n')
    hidden = {"content": "not eve@example.com " + args["content"], "to": "eve@example.com"}
    shown = card.preview({**hidden, "more": args["more"]}, None)
    assert shown.startswith("to: eve@example.com\n"), "that it stands in the content says nothing"
    command = "echo one\n" * 400
    shown = card.preview({"command": command}, f"{'z' * 5_000}{command}{'z' * 5_000}")
    assert shown.startswith(f"command: {command}")


def test_what_a_call_is_aimed_at_is_too_long_as_it_would_be_shown() -> None:
    assert card.too_long({"command": "x" * card.AIMED, "content": "y" * 90_000}) is None
    assert card.too_long({"command": "x" * (card.AIMED + 1)}) == "command"
    assert card.too_long({"command": "\u202e" * 1_000}) == "command", "each is shown as an escape"
    assert card.too_long({"to": ["a@example.com"] * 400, "path": "p"}) == "to"


def test_code_is_shown_whole_or_is_too_long() -> None:
    text = "print(1)\n" * 400
    shown = card.preview({"code": text}, f"{'z' * 5_000}{text}{'z' * 5_000}")
    assert shown.startswith(f"code: {text}")
    assert card.title("code.run", {"code": text}) == "code.run print(1) …"
    assert card.too_long({"code": "x" * (card.AIMED + 1)}) == "code"
    assert card.is_command("code")


def test_what_may_be_taken_for_something_else_is_said_before_the_rest() -> None:
    args = {"command": "curl https://p\u0430ypal.com/x", "to": ["a@b.example", "\uff47ithub.com"]}
    first, second, _ = card.preview(args, None).split("\n", 2)
    assert first.startswith("look closely: https://p\u0430ypal.com/x ") and "mixes scripts" in first
    assert second.startswith("look closely: \uff47ithub.com ") and "'github.com'" in second
    assert "look closely" not in card.preview(
        {"path": "münchen/привет.txt", "content": "p\u0430"}, "x"
    )
    many = card.preview({"command": " ".join(f"p\u0430{n}" for n in range(30))}, "x" * 9_000)
    assert many.count("look closely") == card.ODD and "\nand 20 more such words\n" in many


@pytest.fixture
def secret() -> Iterator[str]:
    value = "correct-horse-battery-staple"
    redact.register(value, "MINE")
    yield value
    redact.forget_all()


def test_no_card_shows_a_secret_whatever_the_action_hides(secret: str) -> None:
    for args in (
        {"question": f"Is {secret} right?"},
        {"command": f"curl -u {secret}"},
        {"text": "x" * 140 + secret},
        {"path": f"{secret}\nmore"},
        {"content": "x" * (card.PREVIEW // 2 - 60) + secret + "y" * 9_000, "to": secret},
    ):
        assert secret[:8] not in card.title("t.ask", args)
        assert secret[:8] not in card.preview(args, None)
        assert secret[:8] not in card.preview({}, "\n".join(map(str, args.values())))
    assert secret not in str(card.claim(f"because {secret}"))
