"""What the configuration may say of channels: `notify`, whose targets people are told at. Nothing else listens there yet, so
anything else is wrong: what is written would be taken for something that works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alfred import config_text
from alfred.config_text import Finding

KEYS = ("notify",)


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with `channels` in a configuration as it is written."""
    given = tree.get("channels")
    if not isinstance(given, Mapping):
        return []  # which is told as such, where it is not nothing
    found = []
    for key in (str(key) for key in given if key not in KEYS):
        told = config_text.meant(key, KEYS, f"; there is {', '.join(KEYS)}")
        found.append(Finding(("channels", key), f"is no channel that alfred has{told}"))
    return found
