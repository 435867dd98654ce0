"""What `model: auto` means on this machine: the first model that can be used, and why it is that one.

Invariants: nothing is started and no other machine is asked; a key is only looked at; what was found and cannot be used is
said.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from alfred import errors
from alfred.llm import catalog, cli_models

Probe = Callable[[str, Any], Any]


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


def resolve(
    env: Mapping[str, str],
    secrets: catalog.Secrets,
    probe: Probe | None = None,
    *,
    provider: str | None = None,
) -> Resolution:
    """The first model that this machine can use: a key, then a logged-in program, then Ollama on the loopback.

    Args:
        env: The environment (`PATH`, `HOME` and the variables that move endpoints).
        secrets: Gives a secret by its name.
        probe: Asks a loopback URL (a body makes it a POST) and returns parsed JSON, None when nobody answers.
        provider: The only one that may answer; None: any.

    Raises:
        errors.NoModel: Nothing was found; it names the three shortest ways, or that of the provider.
        errors.ConfigError: None can be found of this provider.
    """
    if provider is not None:
        return _of(provider, env, secrets, probe)
    for one in catalog.AUTO:
        if found := _by_key(one, secrets):
            return found
    passed: tuple[str, ...] = ()
    for one in catalog.PROGRAMS:
        program = catalog.PROVIDERS[one].program
        if (lacks := cli_models.missing(one, env, secrets)) is None:
            return Resolution(one, f"No key is set, and `{program}` is logged in.")
        if not lacks.program:
            passed = (*passed, f"{lacks.what[0].upper()}{lacks.what[1:]}.")
    local, more = _local(env, probe)
    passed = (*passed, *more)
    if local is not None:
        return replace(local, passed_over=passed)
    raise errors.NoModel(
        " ".join(
            (
                "No model can be used: no key is set, no program for one is logged in, and no Ollama with a model for "
                "tools answers.",
                *passed,
            )
        ),
        next=(
            "Set ANTHROPIC_API_KEY (or OPENAI_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY); "
            "or log in with `claude` or `codex` (a subscription is enough); or `ollama pull qwen3` and start Ollama; "
            "or give `--model provider:model`."
        ),
    )


def _of(
    provider: str, env: Mapping[str, str], secrets: catalog.Secrets, probe: Probe | None
) -> Resolution:
    """What `auto` means where only one provider may answer."""
    if provider in catalog.AUTO:
        if found := _by_key(provider, secrets):
            return found
        key = catalog.PROVIDERS[provider].keys[0]
        raise _none_of(provider, f"{key} is not set", f"Set {key}")
    if provider in catalog.PROGRAMS:
        if (lacks := cli_models.missing(provider, env, secrets)) is not None:
            raise _none_of(provider, lacks.what, lacks.next.removesuffix("."))
        program = catalog.PROVIDERS[provider].program
        return Resolution(provider, f"`{program}` is logged in.")
    if provider not in catalog.FOUND:
        raise errors.ConfigError(
            f"auto finds no model of {provider!r}.", next=f"Write `model`, as in {provider}:NAME."
        )
    local, passed = _local(env, probe)
    if local is None:
        told = " ".join(("no Ollama with a model for tools answers.", *passed)).removesuffix(".")
        raise _none_of(provider, told, "`ollama pull qwen3` and start Ollama")
    return local


def _none_of(provider: str, why: str, way: str) -> errors.NoModel:
    return errors.NoModel(
        f"No model of {provider} can be used: {why}.",
        next=f"{way}; or name another `provider`, or a model with `--model provider:model`.",
    )


def _by_key(provider: str, secrets: catalog.Secrets) -> Resolution | None:
    about = catalog.PROVIDERS[provider]
    wanted = next((key for key in about.keys if catalog.one_key(key, secrets)), None)
    return Resolution(f"{provider}:{about.boss}", f"{wanted} is set.") if wanted else None


def _local(
    env: Mapping[str, str], probe: Probe | None
) -> tuple[Resolution | None, tuple[str, ...]]:
    """A model of an Ollama here; and why one that answers is not asked."""
    url = _ollama_url(env)
    try:
        local = _largest_local(url, probe or ask_loopback)
    except errors.ConfigError as elsewhere:
        return None, (elsewhere.detail,)
    if local is None:
        return None, ()
    why = f"Ollama at {url} has it, its largest model that can call tools."
    return Resolution(f"ollama:{local}", why), ()


def _ollama_url(env: Mapping[str, str]) -> str:
    """The root of Ollama's own interface: OLLAMA_BASE_URL without its `/v1`, else OLLAMA_HOST, else the loopback."""
    host = (env.get("OLLAMA_HOST") or "").strip()
    told = catalog.base_url("ollama", env) or (
        host if "://" in host else f"http://{host}" if host else catalog.OLLAMA_URL
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
