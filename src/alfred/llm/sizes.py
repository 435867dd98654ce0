"""How much a model takes and gives, in tokens, and how many tokens a text is before anybody has counted them.

Context sizes come from genai-prices, output limits from pydantic-ai's profiles; what neither knows is a cautious default,
and says so. Both are loaded at first use.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alfred.llm import catalog

UNKNOWN_CONTEXT = 32_000  # tokens, when nobody says: what small local models take
UNKNOWN_OUTPUT = (
    8_000  # tokens, when a model has no limit of its own (durable-core.md, the reservation)
)
THINKING_OUTPUT = 16_000  # tokens for models that think within their output limit
PROGRAM_CONTEXT = (
    200_000  # tokens: what every model behind a logged-in program takes, unless its name says more
)
BYTES_PER_TOKEN = (
    3  # prose and code need more bytes to a token, ids and digits fewer (durable-core.md)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a model takes and gives.

    Args:
        context: Tokens of prompt and answer together.
        max_output: Output tokens that a request asks for unless it says otherwise.
        source: Where the context size comes from.
    """

    context: int
    max_output: int
    source: str


def limits(model: str) -> Limits:
    """The sizes of `provider:model`. A local model's context is what its server was told (OLLAMA_CONTEXT_LENGTH)."""
    name = catalog.parse(model)
    if name.provider == "scripted":
        return Limits(200_000, UNKNOWN_OUTPUT, "scripted")
    if catalog.PROVIDERS[name.provider].program:
        return Limits(PROGRAM_CONTEXT, THINKING_OUTPUT, "what the program's own models take")
    from pydantic_ai import models

    profile: Mapping[str, Any] = models.infer_model_profile(str(name))
    own = profile.get("anthropic_max_output_tokens")
    output = THINKING_OUTPUT if profile.get("supports_thinking") else UNKNOWN_OUTPUT
    if name.provider == "anthropic":
        output = min(
            own or 4_096, THINKING_OUTPUT
        )  # Claude 3 ends at 4,096, and asking for more is refused
    told = os.environ.get("OLLAMA_CONTEXT_LENGTH", "") if name.provider == "ollama" else ""
    if told.isdecimal() and int(told) > 0:
        return Limits(int(told), min(output, int(told) // 2), "OLLAMA_CONTEXT_LENGTH")
    context = profile.get("context_window")
    if name.provider == "ollama" or not context:
        return Limits(UNKNOWN_CONTEXT, output, "unknown: a cautious default")
    return Limits(context, min(output, context // 2), "genai-prices")


def tokens(size: int) -> int:
    """How many tokens so many UTF-8 bytes are counted as before anybody has counted them."""
    return math.ceil(size / BYTES_PER_TOKEN)
