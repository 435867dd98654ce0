"""How much models take, give and cost, and what a request costs at most."""

from __future__ import annotations

from decimal import Decimal

import pytest

from alfred.llm import catalog, pricelist, prices, sizes

DEFAULTS = [
    f"{name}:{model}"
    for name, p in catalog.PROVIDERS.items()
    for model in (p.boss, p.cheap)
    if model is not None
    and p.program is None  # a program has names of its own, and says itself what it used
]


def _named(model: str) -> tuple[str | None, str]:
    name = catalog.parse(model)
    return catalog.PROVIDERS[name.provider].prices, name.model


@pytest.mark.parametrize("model", DEFAULTS)
def test_the_models_that_are_chosen_for_a_person_are_known_with_price_and_size(model: str) -> None:
    limits = sizes.limits(model)
    assert limits.source == "genai-prices"
    assert limits.context >= 200_000
    assert limits.max_output >= 8_000
    price = prices.price(model, input_tokens=1_000_000, output_tokens=1_000_000)
    assert price is not None and price > 0
    provider, info = pricelist.find(*_named(model)) or (None, None)
    assert provider is not None and info is not None and not info.deprecated


@pytest.mark.parametrize(
    ("model", "context", "output"),
    [
        ("anthropic:claude-opus-5-5", 1_000_000, 16_000),
        ("anthropic:claude-3-haiku", 200_000, 4_096),
        ("openai:gpt-4o", 128_000, 8_000),
        ("openai:gpt-4", 8_192, 4_096),
        ("openai-chat:nobody-knows-this", 32_000, 8_000),
        ("ollama:qwen3:8b", 32_000, 8_000),
        ("claude-cli", 200_000, 16_000),
        ("claude-cli:haiku", 200_000, 16_000),
        ("codex-cli", 200_000, 16_000),
        ("scripted:x.yaml", 200_000, 8_000),
    ],
)
def test_sizes_are_what_is_known_else_cautious(model: str, context: int, output: int) -> None:
    limits = sizes.limits(model)
    assert (limits.context, limits.max_output) == (context, output)


@pytest.mark.parametrize(
    ("told", "context", "output"),
    [("4096", 4_096, 2_048), ("0", 32_000, 8_000), ("x", 32_000, 8_000)],
)
def test_a_local_models_context_is_what_its_server_was_told(
    monkeypatch: pytest.MonkeyPatch, told: str, context: int, output: int
) -> None:
    monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", told)
    limits = sizes.limits("ollama:qwen3:8b")
    assert (limits.context, limits.max_output) == (context, output)


def test_a_price_counts_the_cache() -> None:
    price = prices.price(
        "anthropic:claude-sonnet-5-5",
        input_tokens=8_000,
        output_tokens=100,
        cache_read_tokens=5_000,
        cache_write_tokens=2_000,
    )
    assert price == Decimal("0.0085")


@pytest.mark.parametrize(
    "model",
    ["ollama:qwen3:8b", "openai-chat:nobody-knows-this", "scripted:x.yaml", "google:gemma-3"],
)
def test_a_price_that_nobody_knows_is_none_and_never_zero(model: str) -> None:
    assert prices.price(model, input_tokens=1_000_000, output_tokens=1_000_000) is None
    assert prices.upper_bound(model, 3_000_000) is None
    assert prices.tokens_bound(model, 30_000) == 10_000 + sizes.limits(model).max_output


def test_the_bound_is_a_third_of_the_bytes_written_to_the_cache_plus_all_of_the_output() -> None:
    # 10,000 tokens at 2.5 USD a million written to the cache (2 plain), 1,000 tokens at 10.
    assert prices.upper_bound("anthropic:claude-sonnet-5-5", 30_000, 1_000) == 35_000
    assert prices.upper_bound("anthropic:claude-sonnet-5-5", 1, 0) == 3  # 2.5 micro-USD, rounded up
    unlimited = prices.upper_bound("anthropic:claude-sonnet-5-5", 30_000)
    assert unlimited == 25_000 + 10 * sizes.limits("anthropic:claude-sonnet-5-5").max_output


@pytest.mark.parametrize("model", DEFAULTS)
@pytest.mark.parametrize("size", [0, 1_000, 1_000_000, 3_000_000])
def test_no_way_of_being_charged_exceeds_the_bound(model: str, size: int) -> None:
    bound = prices.upper_bound(model, size, 5_000)
    prompt = sizes.tokens(size)
    assert bound is not None
    for read, written in ((0, 0), (prompt, 0), (0, prompt), (prompt // 2, prompt - prompt // 2)):
        cost = prices.price(
            model,
            input_tokens=prompt,
            output_tokens=5_000,
            cache_read_tokens=read,
            cache_write_tokens=written,
        )
        assert cost is not None and cost * 1_000_000 <= bound
