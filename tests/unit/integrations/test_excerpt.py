"""What is shown of a long text fits, has both ends, and says what is missing."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from alfred.integrations import excerpt
from alfred.trust import redact

PIECES = st.lists(
    st.tuples(st.sampled_from(["a", "\n", "é", "\x01", '"', "😀"]), st.integers(0, 9000)),
    max_size=9,
)


def test_a_secret_at_a_cut_is_shown_in_no_part() -> None:
    redact.register("Zq8vT3nLw9Xk2Rb7Yc5Md1", "KEY")
    for at in (excerpt.ROOM // 2 - 10, 100_000 - excerpt.ROOM // 2 - 10):
        whole = "x" * at + " Zq8vT3nLw9Xk2Rb7Yc5Md1 "
        shown = excerpt.Excerpt.of(whole.ljust(100_000, "y")).shown()
        assert not re.search("Zq8v|Md1", shown)


@given(PIECES)
def test_an_excerpt_fits_has_both_ends_and_counts_the_rest(pieces: list[tuple[str, int]]) -> None:
    whole = "".join(char * count for char, count in pieces)
    made = excerpt.Excerpt()
    for char, count in pieces:
        made.feed(char * count)
    shown = made.shown()
    assert made.length == len(whole)
    assert excerpt.cost(shown) <= excerpt.ROOM + 200
    if made.whole:
        assert shown == whole
        return
    note = re.search(r"\n… (\d+) of (\d+) characters left out, sha256 (\w+) …\n", shown)
    assert note
    begin, end = shown[: note.start()], shown[note.end() :]
    assert whole.startswith(begin)
    assert whole.endswith(end)
    assert begin
    assert end
    assert int(note[1]) == len(whole) - len(begin) - len(end) > 0
    assert int(note[2]) == len(whole)
    assert note[3] == hashlib.sha256(whole.encode()).hexdigest()[:12]


@given(st.text(max_size=300), st.integers(0, 200))
def test_a_head_is_the_longest_that_fits(text: str, room: int) -> None:
    head = excerpt.head(text, room)
    assert text.startswith(head)
    assert excerpt.cost(head) <= room
    assert head == text or excerpt.cost(text[: len(head) + 1]) > room
