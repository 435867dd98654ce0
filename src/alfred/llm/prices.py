"""What tokens cost, and what a request costs at most before it is made. What nobody knows is None, never zero."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from alfred.llm import catalog, pricelist, scripted, sizes
from alfred.llm.contract import ModelRequest


def price(
    model: str,
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> Decimal | None:
    """USD for so many tokens (input includes what was read from and written to a cache); None when nobody knows."""
    name = catalog.parse(model)
    found = pricelist.find(catalog.PROVIDERS[name.provider].prices, name.model)
    if found is None:
        return None
    from genai_prices import Usage

    used = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
    )
    provider, info = found
    try:
        counted = info.calc_price(used, provider)
    except (LookupError, ValueError):
        return None
    # A row without prices (free weights, say) adds up to nothing, which is not the same as costing nothing.
    priced = (
        counted.model_price.input_mtok is not None and counted.model_price.output_mtok is not None
    )
    return counted.total_price if priced else None


def at_most(request: ModelRequest, prompt_bytes: int) -> int | None:
    """Micro-USD that this request costs at most; a scenario says itself what its answer costs. None when nobody knows."""
    name = catalog.parse(request.model)
    told = scripted.cost(request, name.model) if name.provider == "scripted" else None
    if told is not None:
        return _micro(told)
    return upper_bound(request.model, prompt_bytes, request.max_output)


def upper_bound(model: str, prompt_bytes: int, max_output: int | None = None) -> int | None:
    """Micro-USD that a request costs at most: a third of the bytes written to the cache, and all of the output.

    None when no price is known: then tokens are reserved (`tokens_bound`).
    """
    prompt, output = _bound(model, prompt_bytes, max_output)
    plain = price(model, input_tokens=prompt, output_tokens=output)
    cached = price(model, input_tokens=prompt, output_tokens=output, cache_write_tokens=prompt)
    if plain is None:
        return None
    return _micro(max(plain, cached or plain))


def tokens_bound(model: str, prompt_bytes: int, max_output: int | None = None) -> int:
    """Tokens that a request uses at most, prompt and answer together."""
    return sum(_bound(model, prompt_bytes, max_output))


def _bound(model: str, prompt_bytes: int, max_output: int | None) -> tuple[int, int]:
    most = max_output if max_output is not None else sizes.limits(model).max_output
    return sizes.tokens(prompt_bytes), most


def _micro(usd: Decimal) -> int:
    return int((usd * 1_000_000).to_integral_value(ROUND_CEILING))
