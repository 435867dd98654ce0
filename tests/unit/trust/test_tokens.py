"""Formats of secrets: what is looked for where its literal stands is all that there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alfred.trust import tokens

PIECES = st.sampled_from(
    (
        *("bot", "1/", "123456789", "/123456789012:", "0123456789abcdef" * 2, "a1B2c3D4e5" * 4, "sk_live_", "rk_test_"),
        *("a1B2" * 5, "-us12", ".atlasv1.", "A" * 14, "x9Q~", "abc8Q~", "dop_v1_", "ab12" * 16, "Bearer ", "bearer\t"),
        *(" curl -u me:pass ", " curl --user=a:bcd ", "M" + "a1" * 12, ".Ab-12_", ":" + "Ab-_1" * 7),
        *(".", ":", " ", "\n", "\\n", "%3D", "\x1b[m", "-", "_", "e", "7"),
    )
)  # fmt: skip


@given(st.lists(PIECES, min_size=2, max_size=14).map("".join))
def test_where_a_format_is_not_looked_for_there_is_none(text: str) -> None:
    for known in tokens.FORMATS:
        found = [one.span() for one in known.finds(text)]
        assert found == [one.span() for one in known.pattern.finditer(text)], known.kind
