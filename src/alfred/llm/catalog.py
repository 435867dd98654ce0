"""Names of models and whom they are asked of: providers, their keys and endpoints, the tiers."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from alfred import errors, home
from alfred.llm import pricelist
from alfred.trust import redact

Secrets = Callable[[str], str | None]
Tier = Literal["boss", "helper", "cheap"]

OLLAMA_URL = "http://127.0.0.1:11434/v1"


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
        program: The logged-in program that answers in its place: an engine, with its own names for models, and one of
            its own choice where none is named.
        at_once: How many runs ask it at the same moment unless `limits.per_provider` says otherwise; None for all that
            are at work. A program is a process of some 200 MB for each.
        vendors: Whether its ids begin with whose model it is, as in `anthropic/claude-sonnet-5.5`.
        tags: Whether its ids have a colon of their own, as in `qwen3:8b`.
    """

    keys: tuple[str, ...] = ()
    url: str | None = None
    boss: str | None = None
    cheap: str | None = None
    prices: str | None = None
    keyless: Literal["always", "moved"] | None = None
    program: str | None = None
    at_once: int | None = None
    vendors: bool = False
    tags: bool = False


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
        vendors=True,
    ),
    "ollama": Provider(("OLLAMA_API_KEY",), "OLLAMA_BASE_URL", keyless="always", tags=True),
    "claude-cli": Provider(
        ("CLAUDE_CODE_OAUTH_TOKEN",),
        "ANTHROPIC_BASE_URL",
        None,
        "haiku",
        "anthropic",
        keyless="always",
        program="claude",
        at_once=4,
    ),
    "codex-cli": Provider(
        (), "OPENAI_BASE_URL", None, None, "openai", keyless="always", program="codex", at_once=4
    ),
    "scripted": Provider(keyless="always"),
}
AUTO = ("anthropic", "openai", "google", "openrouter")  # in this order
PROGRAMS = ("claude-cli", "codex-cli")  # then these, in this order
FOUND = (*AUTO, *PROGRAMS, "ollama")
"""Providers of which `auto` can find a model."""
_MODEL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._:@/\[\]-]{0,127}"
)  # what a program is given as an argument
_VENDORS = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._:-]*")
"""An id of OpenRouter's. A vendor has no dot: `hf.co/…` is a place that an Ollama has models from."""


@dataclass(frozen=True, slots=True)
class Name:
    """`provider:model`, taken apart; of a program `model` may be empty."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider


def whole(text: str, provider: str | None, *, beside: bool) -> str:
    """What `parse` reads: the name of a model, with the provider that is said elsewhere where the name says none itself.

    Args:
        provider: None: nobody says one.
        beside: Whether it is said with the model, or for fewer than the model is: then an id with a slash is its own. A
            provider that is only inherited has such an id where its ids carry vendors, and, on a server of one's own, where
            the id begins with nobody's name; else the id says itself whose it is.
    """
    text = text.strip()
    prefix, colon, _ = text.partition(":")
    prefix = prefix.strip().lower()
    if provider is None or text == "auto" or prefix in (PROVIDERS if colon else PROGRAMS):
        return text
    about = PROVIDERS.get(provider, Provider())
    if colon and "/" not in prefix and not about.tags and _near(prefix, 0.8):
        return text  # a mistyped provider is no part of an id
    vendor, slash, rest = text.partition("/")
    if slash and vendor.strip().lower() == provider:
        return f"{provider}:{rest}"
    ours = about.keyless and not about.program and not _near(vendor.strip().lower(), 0.8)
    if slash and vendor and not beside and not about.vendors and not ours:
        return text
    return f"{provider}:{text}"


def whose(text: str | None, provider: str | None) -> str | None:
    """Whose the other models of an entry are that names this one and no provider: that of the one, where its name says it
    itself; else the one that is inherited."""
    with contextlib.suppress(errors.ConfigError):
        return parse(whole(text or "", provider, beside=False)).provider
    return provider


def here(text: str, secrets: Secrets, env: Mapping[str, str]) -> Name:
    """Whom a model is asked of from here: whom its name says, and OpenRouter where that one has no key and the name is
    written with a slash, as OpenRouter has it, and there is a key for that. A name with a colon says whom to ask, and
    nobody else is.

    Raises:
        errors.ConfigError: as `parse`; a key or an endpoint is none.
    """
    name, router = parse(text), Name("openrouter", text.strip())
    slash, colon = text.find("/"), text.find(":")
    own = slash < 0 or 0 <= colon < slash
    if own or not needs_key(name, env) or key(name, secrets) is not None:
        return name
    return name if key(router, secrets) is None else router


def parse(text: str) -> Name:
    """Reads `provider:model` or `provider/model`; of a program its name alone is enough. What stands before a slash and is
    nearly nobody's name is a vendor of OpenRouter's (`deepseek/…`). The path of a scenario becomes absolute, so that every
    worker finds the same file.

    Raises:
        errors.ConfigError: No provider has this name (the nearest is named), the model is missing or none can be called so.
    """
    cut = min((at for at in (text.find(":"), text.find("/")) if at >= 0), default=-1)
    provider, model = (
        (text[:cut].strip().lower(), text[cut + 1 :].strip()) if cut >= 0 else ("", text.strip())
    )
    if model.lower() in PROGRAMS and not provider:
        provider, model = model.lower(), ""
    if provider not in PROVIDERS:
        if not _VENDORS.fullmatch(text.strip()) or _near(provider, 0.8):
            raise _unknown(text, provider)
        provider, model = "openrouter", text.strip()
    if PROVIDERS[provider].program:
        if model and not _MODEL.fullmatch(model):
            raise errors.ConfigError(
                f"{model!r:.100} is no name of a model for {PROVIDERS[provider].program}.",
                next=f"Write {provider}:NAME as the program knows it, or {provider} for its own choice.",
            )
        return Name(provider, model)
    if not model:
        raise errors.ConfigError(
            f"The model {text!r} names a provider but no model.",
            next=f"Write e.g. {provider}:{PROVIDERS[provider].boss or 'NAME'}.",
        )
    if provider == "scripted":
        return Name(provider, str(home.expanded(Path(model)).absolute()))
    if not model.isprintable() or any(letter.isspace() for letter in model):
        near = nearest(text)
        raise errors.ConfigError(
            f"The model {text!r} has white space in its name: none is called so.",
            next=f"Write {near}." if near else f"Write {provider}:NAME.",
        )
    return Name(provider, model)


def nearest(text: str) -> str | None:
    """The name of a model that was probably meant by a text that is none; None when nobody can say."""
    dashed = "-".join(text.split())
    if not {":", "/"} & set(text) and (whose := _provider_of(dashed)):
        return f"{whose}:{dashed}"
    provider, *rest = re.split(r"[:/\s]+", text.strip(), maxsplit=1)
    near = _near(provider.lower(), 0.5)
    model = "-".join(rest[0].split()) if rest else ""
    model = model or (PROVIDERS[near[0]].boss or "" if near else "")
    for meant in (dashed, *(f"{name}:{model}" for name in near)):
        if meant != text:
            with contextlib.suppress(errors.ConfigError):
                return str(parse(meant))
    return None


def _near(provider: str, cutoff: float) -> list[str]:
    """The provider that was probably meant, if any."""
    return difflib.get_close_matches(provider, PROVIDERS, n=1, cutoff=cutoff)


def _unknown(text: str, provider: str) -> errors.ConfigError:
    known = list(PROVIDERS)
    whose = _provider_of(text) if not provider else None
    if whose:
        return errors.ConfigError(
            f"The model {text!r} does not say whose it is.", next=f"Write {whose}:{text.strip()}."
        )
    near = _near(provider or text.strip().lower(), 0.5)
    return errors.ConfigError(
        f"No provider is named {provider or text!r} (in the model {text!r})."
        + (f" Did you mean {near[0]!r}?" if near else ""),
        next=f"Write provider:model with one of {', '.join(known)}.",
    )


def _provider_of(model: str) -> str | None:
    """Which of the providers with a key of their own sells a model of this name."""
    return next(
        (
            p
            for p in AUTO
            if p != "openrouter" and pricelist.find(PROVIDERS[p].prices, model.strip()) is not None
        ),
        None,
    )


def key(name: Name, secrets: Secrets) -> str | None:
    """The secret that this provider is asked with, without white space around it; None when there is none.

    Raises:
        errors.ConfigError: It holds what no header can carry.
    """
    return next(
        (k for wanted in PROVIDERS[name.provider].keys if (k := one_key(wanted, secrets))), None
    )


def one_key(wanted: str, secrets: Secrets) -> str | None:
    """The secret of this name, without white space around it; None when there is none.

    Raises:
        errors.ConfigError: It holds what no header can carry.
    """
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


def tier(
    which: Tier,
    *,
    boss: str,
    configured: Mapping[str, str | None],
    secrets: Secrets,
    env: Mapping[str, str],
) -> str:
    """The model of a tier: what is configured, by whoever can be asked from here; else for `cheap` the small model of the boss's own provider (unless
    its endpoint was moved: who knows what is served there); else the boss."""
    if which != "boss" and (chosen := configured.get(which)):
        return str(here(chosen, secrets, env))
    name = parse(boss)
    small = PROVIDERS[name.provider].cheap
    if which == "cheap" and small and base_url(name.provider, env) is None:
        return str(Name(name.provider, small))
    return str(name)


def lower(
    boss: str, *, configured: Mapping[str, str | None], secrets: Secrets, env: Mapping[str, str]
) -> tuple[str, ...]:
    """The models of the tiers below this one, the better one first; none where the tiers have the boss's own."""
    tiers: tuple[Tier, ...] = ("helper", "cheap")
    found = (
        tier(which, boss=boss, configured=configured, secrets=secrets, env=env) for which in tiers
    )
    return tuple(dict.fromkeys(model for model in found if model != str(parse(boss))))
