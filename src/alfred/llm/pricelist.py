"""What genai-prices knows of a model: its price and its age. Loaded at first use, because a command that only looks at
rows must not pay for it."""

from __future__ import annotations

from typing import Any


def find(source: str | None, model: str) -> tuple[Any, Any] | None:
    """(provider, model) of genai-prices, None when it does not know them.

    Args:
        source: The provider's name in genai-prices; None for one whose models have no price.
        model: The model's name, without its provider.
    """
    if source is None:
        return None
    from genai_prices import data_snapshot

    try:
        return data_snapshot.get_snapshot().find_provider_model(
            model, provider=None, provider_id=source, provider_api_url=None
        )
    except LookupError:
        return None
