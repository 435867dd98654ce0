"""Where a text stopped being YAML: the line in which the mistake is, and what is wrong there.

A reader of YAML notices a missing quote or colon later than it was left out, often at the end of the file. Invariant: no
message repeats a line of the file, because a line may hold a secret.
"""

from __future__ import annotations

import re
from typing import Any

_QUOTED = re.compile(r"'(?!<)[^'\s]{4,}'|\"[^\"\s]{4,}\"")
_NO_COLON = "a key and its value need `: ` between them"
_NO_QUOTE = "the quote that begins here has no end where one was meant"


def of(text: str, why: Any) -> tuple[int, str]:
    """The line, from 1, and what is wrong in it.

    Args:
        text: What was read.
        why: ruamel's `MarkedYAMLError` about it.
    """
    mark = why.problem_mark or why.context_mark
    line = mark.line + 1 if mark else 1
    begun = why.context_mark.line + 1 if why.context_mark else line
    problem, context = why.problem or "", why.context or ""
    if "'\\t'" in problem + context:
        return line, "a tab cannot indent, use spaces"
    if "single document" in context:
        return line, "a second document begins, there may be one"
    if "simple key" in context and "':'" in problem:
        return begun, _NO_COLON
    if "quoted scalar" in context and ("end of stream" in problem or "separator" in problem):
        return begun, _NO_QUOTE
    if mark and (earlier := _earlier(text, mark.index)):
        return earlier
    said = ", ".join(filter(None, (problem, context)))
    said = _QUOTED.sub("…", said)  # a password may begin with `*` or `!`
    if "while parsing a flow" in context and begun < line:
        said += f" that begins in line {begun}"
    return line, said


def _earlier(text: str, stop: int) -> tuple[int, str] | None:
    """The line of a quote or key whose missing end made one value of several lines, up to where the reading stopped."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.tokens import ScalarToken

    last = None
    try:
        for token in YAML(typ="rt", pure=True).scan(text[:stop]):
            if isinstance(token, ScalarToken):
                last = token
    except YAMLError:
        pass  # what was cut off, not what is wrong
    if last is None or last.start_mark.line == last.end_mark.line:
        return None
    if "\n" in text[last.end_mark.index : stop]:
        return None
    if not last.plain:
        return last.start_mark.line + 1, _NO_QUOTE
    before = text[text.rfind("\n", 0, last.start_mark.index) + 1 : last.start_mark.index]
    return (last.start_mark.line + 1, _NO_COLON) if not before.strip(" -") else None
