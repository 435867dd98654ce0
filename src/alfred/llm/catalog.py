"""Names of models, their sizes and prices, the tiers, and what `model: auto` means on this machine.

Prices and context sizes come from genai-prices, output limits from pydantic-ai's profiles; what neither knows is
unknown, never zero. Both are loaded at first use, because a command that only looks at rows must not pay for them.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from alfred import errors
from alfred.trust import redact

Secrets = Callable[[str], str | None]
Tier = Literal["boss", "helper", "cheap"]
Probe = Callable[[str, Any], Any]

OLLAMA_URL = "http://127.0.0.1:11434/v1"

UNKNOWN_CONTEXT = 32_000  # tokens, when nobody says: what small local models take
UNKNOWN_OUTPUT = (
    8_000  # tokens, when a model has no limit of its own (durable-core.md, the reservation)
)
THINKING_OUTPUT = 16_000  # tokens for models that think within their output limit
BYTES_PER_TOKEN = (
    3  # prose and code need more bytes to a token, ids and digits fewer (durable-core.md)
)


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom a model is asked of.

    Args:
        keys: Names of the secret, the first that is set counts.
        url: The environment variable that moves its endpoint; None when it cannot be moved.
        boss: Its model for `auto`: the provider's current middle class, in genai-prices with its price.
        cheap: Its model for compaction and other small questions.
        prices: Its name in genai-prices; None when what it serves has no price.
        keyless: Whether it is asked without a key: `always`, or when its endpoint was `moved` (servers of one's own
            that speak as it does want none); None for never.
    """

    keys: tuple[str, ...] = ()
    url: str | None = None
    boss: str | None = None
    cheap: str | None = None
    prices: str | None = None
    keyless: Literal["always", "moved"] | None = None


PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(
        ("ANTHROPIC_API_KEY",),
        "ANTHROPIC_BASE_URL",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "anthropic",
    ),
    "openai": Provider(
        ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "gpt-6.1-sol", "gpt-6-luna", "openai"
    ),
    "openai-chat": Provider(
        ("OPENAI_API_KEY",), "OPENAI_BASE_URL", None, "gpt-6-luna", "openai", keyless="moved"
    ),
    "google": Provider(
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "GOOGLE_GEMINI_BASE_URL",
        "gemini-3.8-flash",
        "gemini-3.5-flash-lite",
        "google",
    ),
    "openrouter": Provider(
        ("OPENROUTER_API_KEY",),
        None,
        "anthropic/claude-sonnet-5.5",
        "anthropic/claude-haiku-5.5",
        "openrouter",
    ),
    "ollama": Provider(("OLLAMA_API_KEY",), "OLLAMA_BASE_URL", keyless="always"),
    "scripted": Provider(keyless="always"),
}
AUTO = ("anthropic", "openai", "google", "openrouter")  # in this order
NOT_YET = ("claude-cli", "codex-cli")  # a logged-in program answering one turn


@dataclass(frozen=True, slots=True)
class Name:
    """`provider:model`, taken apart."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


def parse(text: str) -> Name:
    """Reads `provider:model` or `provider/model`. The path of a scenario becomes absolute, so that every worker
    finds the same file.

    Raises:
        errors.ConfigError: No provider has this name (the nearest is named), or the model is missing.
    """
    cut = min((at for at in (text.find(":"), text.find("/")) if at >= 0), default=-1)
    provider, model = (
        (text[:cut].strip().lower(), text[cut + 1 :].strip()) if cut >= 0 else ("", text.strip())
    )
    if provider in NOT_YET:
        raise errors.ConfigError(
            f"alfred cannot use {provider!r} yet.",
            next="Set an API key, start Ollama, or give `--model provider:model`.",
        )
    if provider not in PROVIDERS:
        raise _unknown(text, provider)
    if not model:
        raise errors.ConfigError(
            f"The model {text!r} names a provider but no model.",
            next=f"Write e.g. {provider}:{PROVIDERS[provider].boss or 'NAME'}.",
        )
    if provider == "scripted":
        model = str(Path(model).expanduser().absolute())
    return Name(provider, model)


def _unknown(text: str, provider: str) -> errors.ConfigError:
    known = [*PROVIDERS, *NOT_YET]
    whose = _provider_of(text) if not provider else None
    if whose:
        return errors.ConfigError(
            f"The model {text!r} does not say whose it is.", next=f"Write {whose}:{text.strip()}."
        )
    near = difflib.get_close_matches(provider or text.strip().lower(), known, n=1, cutoff=0.5)
    return errors.ConfigError(
        f"No provider is named {provider or text!r} (in the model {text!r})."
        + (f" Did you mean {near[0]!r}?" if near else ""),
        next=f"Write provider:model with one of {', '.join(known)}.",
    )


def _provider_of(model: str) -> str | None:
    """Which of the providers with a key of their own sells a model of this name."""
    return next(
        (p for p in AUTO if p != "openrouter" and _info(Name(p, model.strip())) is not None), None
    )


def key(name: Name, secrets: Secrets) -> str | None:
    """The secret that this provider is asked with, without white space around it; None when there is none.

    Raises:
        errors.ConfigError: It holds what no header can carry.
    """
    return next(
        (k for wanted in PROVIDERS[name.provider].keys if (k := _key(wanted, secrets))), None
    )


def _key(wanted: str, secrets: Secrets) -> str | None:
    given = secrets(wanted) or ""
    bare = given.strip()
    if not all("!" <= letter <= "~" for letter in bare):
        raise errors.ConfigError(
            f"{wanted} is no key: it holds white space, a line break or a letter beyond ASCII within it.",
            next=f"Set {wanted} to the key alone, in one line.",
        )
    if bare != given:
        redact.register(bare, wanted)  # known so far with the white space around it
    return bare or None


def needs_key(name: Name, env: Mapping[str, str]) -> bool:
    """Whether this provider answers nobody without a key.

    Raises:
        errors.ConfigError: The variable that moves its endpoint holds no http(s) URL.
    """
    keyless = PROVIDERS[name.provider].keyless
    if keyless == "moved":
        return base_url(name.provider, env) is None
    return keyless is None


def base_url(provider: str, env: Mapping[str, str]) -> str | None:
    """Where the environment moves this provider's endpoint to; None for its own place.

    Raises:
        errors.ConfigError: The variable holds no http(s) URL.
    """
    variable = PROVIDERS[provider].url
    url = (env.get(variable) or "").strip() if variable else ""
    if not url:
        return None
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.password
    ):
        raise errors.ConfigError(
            f"{variable} is no http(s) URL without user and password.",
            next=f"Set it to the endpoint, e.g. {OLLAMA_URL}, or unset it.",
        )
    return url


# ---- sizes and prices -------------------------------------------------------------------------------------


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
    name = parse(model)
    if name.provider == "scripted":
        return Limits(200_000, UNKNOWN_OUTPUT, "scripted")
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


def price(
    model: str,
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> Decimal | None:
    """USD for so many tokens (input includes what was read from and written to a cache); None when nobody knows."""
    name = parse(model)
    found = _info(name)
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


def upper_bound(model: str, prompt_bytes: int, max_output: int | None = None) -> int | None:
    """Micro-USD that a request costs at most: a third of the bytes written to the cache, and all of the output.

    None when no price is known: then tokens are reserved (`tokens_bound`).
    """
    prompt, output = _bound(model, prompt_bytes, max_output)
    plain = price(model, input_tokens=prompt, output_tokens=output)
    cached = price(model, input_tokens=prompt, output_tokens=output, cache_write_tokens=prompt)
    if plain is None:
        return None
    return int((max(plain, cached or plain) * 1_000_000).to_integral_value(ROUND_CEILING))


def tokens_bound(model: str, prompt_bytes: int, max_output: int | None = None) -> int:
    """Tokens that a request uses at most, prompt and answer together."""
    return sum(_bound(model, prompt_bytes, max_output))


def _bound(model: str, prompt_bytes: int, max_output: int | None) -> tuple[int, int]:
    return tokens(prompt_bytes), max_output if max_output is not None else limits(model).max_output


def _info(name: Name) -> tuple[Any, Any] | None:
    """(provider, model) of genai-prices, or None."""
    source = PROVIDERS[name.provider].prices
    if source is None:
        return None
    from genai_prices import data_snapshot

    try:
        return data_snapshot.get_snapshot().find_provider_model(
            name.model, provider=None, provider_id=source, provider_api_url=None
        )
    except LookupError:
        return None


# ---- tiers and auto ---------------------------------------------------------------------------------------


def tier(
    which: Tier, *, boss: str, configured: Mapping[str, str | None], env: Mapping[str, str]
) -> str:
    """The model of a tier: what is configured; else for `cheap` the small model of the boss's own provider (unless
    its endpoint was moved: who knows what is served there); else the boss."""
    if which != "boss" and (chosen := configured.get(which)):
        return str(parse(chosen))
    name = parse(boss)
    small = PROVIDERS[name.provider].cheap
    if which == "cheap" and small and base_url(name.provider, env) is None:
        return str(Name(name.provider, small))
    return str(name)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The model that will be asked.

    Args:
        model: `provider:model`.
        why: How `auto` came to it, one sentence for the person; empty where it was named.
        passed_over: What was found and could not be used, a sentence each.
    """

    model: str
    why: str
    passed_over: tuple[str, ...] = ()


def resolve_auto(
    env: Mapping[str, str], secrets: Secrets, probe: Probe | None = None
) -> Resolution:
    """The first model that this machine can use: a key, then a logged-in program, then Ollama on the loopback.

    Args:
        env: The environment (`PATH`, `HOME` and the variables that move endpoints).
        secrets: Gives a secret by its name.
        probe: Asks a loopback URL (a body makes it a POST) and returns parsed JSON, None when nobody answers.

    Raises:
        errors.NoModel: Nothing was found; it names the three shortest ways.
    """
    for provider in AUTO:
        for wanted in PROVIDERS[provider].keys:
            if _key(wanted, secrets):
                return Resolution(f"{provider}:{PROVIDERS[provider].boss}", f"{wanted} is set.")
    passed = tuple(_logged_in(env))
    url = _ollama_url(env)
    try:
        local = _largest_local(url, probe or ask_loopback)
    except errors.ConfigError as elsewhere:
        local, passed = None, (*passed, elsewhere.detail)
    if local is not None:
        return Resolution(
            f"ollama:{local}",
            f"Ollama at {url} has it, its largest model that can call tools.",
            passed,
        )
    raise errors.NoModel(
        " ".join(
            (
                "No model can be used: no key is set and no Ollama with a model for tools answers.",
                *passed,
            )
        ),
        next=(
            "Set ANTHROPIC_API_KEY (or OPENAI_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY); "
            "or `ollama pull qwen3` and start Ollama; or give `--model provider:model`."
        ),
    )


def _logged_in(env: Mapping[str, str]) -> Iterable[str]:
    """Which programs are installed and logged in. Files are looked at, nothing is started."""
    home = Path(env.get("HOME") or Path.home())
    claude = Path(env.get("CLAUDE_CONFIG_DIR") or home / ".claude")
    codex = Path(env.get("CODEX_HOME") or home / ".codex")
    for program, login in (
        ("claude", claude / ".credentials.json"),
        ("codex", codex / "auth.json"),
    ):
        if shutil.which(program, path=env.get("PATH", "")) and _is_file(login):
            yield f"{program} is logged in, but alfred cannot use it yet."


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _ollama_url(env: Mapping[str, str]) -> str:
    """The root of Ollama's own interface: OLLAMA_BASE_URL without its `/v1`, else OLLAMA_HOST, else the loopback."""
    host = (env.get("OLLAMA_HOST") or "").strip()
    told = base_url("ollama", env) or (
        host if "://" in host else f"http://{host}" if host else OLLAMA_URL
    )
    return told.rstrip("/").removesuffix("/v1")


def _largest_local(url: str, probe: Probe) -> str | None:
    """The largest model of an Ollama on the loopback that can call tools and runs here, or None."""
    if urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        return None  # another machine's models are used when they are asked for by name
    listed = probe(f"{url}/api/tags", None)
    found = listed.get("models") if isinstance(listed, dict) else None
    own = [
        model
        for model in (found if isinstance(found, list) else [])
        if isinstance(model, dict)
        and isinstance(model.get("name"), str)
        and not model.get("remote_host")
    ]
    for model in sorted(own, key=lambda model: (-_size(model), model["name"])):
        if _calls_tools(model) or _calls_tools(probe(f"{url}/api/show", {"model": model["name"]})):
            return model["name"]
    return None


def _size(model: dict[str, Any]) -> int:
    size = model.get("size")
    return size if isinstance(size, int) else 0


def _calls_tools(told: Any) -> bool:
    """Whether Ollama says so; versions that list no capabilities show it in the template."""
    if not isinstance(told, dict):
        return False
    capabilities = told.get("capabilities")
    if isinstance(capabilities, list):
        return "tools" in capabilities
    return ".Tools" in str(told.get("template", ""))


def ask_loopback(url: str, body: Any) -> Any:
    """GETs (or, with a body, POSTs JSON to) a loopback URL past any proxy. None when nobody answers in a second, or
    the answer is no JSON.

    Raises:
        errors.ConfigError: It answers with a redirect, which is not followed: it could lead to another machine.
    """
    data = None if body is None else json.dumps(body).encode()
    wanted = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(wanted, timeout=1) as answer:
            return json.loads(answer.read(8_000_000))
    except urllib.error.HTTPError as said:
        with said:
            if 300 <= said.code < 400:
                raise errors.ConfigError(
                    f"What answers at {url} sends on to another address ({said.code}), which is not followed.",
                    next="Set OLLAMA_BASE_URL to the address of Ollama itself.",
                ) from None
        return None
    except (OSError, ValueError):
        return None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it comes back as an `HTTPError`."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
