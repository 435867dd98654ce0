"""Letters with accents and the plain ones that a search takes them for, on Postgres; FTS5 does so by itself.

Invariant: the index is made with these pairs and searched with the same: a change of them is a migration.
"""

from __future__ import annotations

import unicodedata


def _accents() -> tuple[str, str]:
    """Latin letters with accents, and the same letters without."""
    pairs = []
    for code in range(0xC0, 0x250):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base != chr(code) and base.isascii():
            pairs.append((chr(code), base))
    return "".join(accented for accented, _ in pairs), "".join(base for _, base in pairs)


ACCENTED, BARE = _accents()
