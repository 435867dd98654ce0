"""A model of a provider's SDK, opened for a name, a key and an address. The SDK is loaded here, when it is needed first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alfred.llm import catalog

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model


def model(name: catalog.Name, key: str | None, url: str | None, http: httpx2.AsyncClient) -> Model:
    """Loads the SDK and makes the model; whoever enters it leaves it, and closes `http`.

    The Chat Completions servers of this world end a stream that was cut just as one that is complete, so a finish reason
    is required of them.
    """
    strict: Any = {
        "openai_chat_streaming_requires_finish_reason": True,
        # OpenAI wants the newer name of the output limit, everybody else knows the older one.
        "openai_chat_supports_max_completion_tokens": name.provider == "openai-chat"
        and url is None,
    }
    made: Model
    match name.provider:
        case "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            served = AnthropicProvider(api_key=key or "none", base_url=url, http_client=http)
            made = AnthropicModel(name.model, provider=served)
        case "openai" | "openai-chat":
            from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
            from pydantic_ai.providers.openai import OpenAIProvider

            provider = OpenAIProvider(api_key=key or "none", base_url=url, http_client=http)
            if name.provider == "openai":
                made = OpenAIResponsesModel(name.model, provider=provider)
            else:
                made = OpenAIChatModel(name.model, provider=provider, profile=strict)
        case "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            gemini = GoogleProvider(api_key=key or "none", base_url=url, http_client=http)
            made = GoogleModel(name.model, provider=gemini)
        case "openrouter":
            from pydantic_ai.models.openrouter import OpenRouterModel
            from pydantic_ai.providers.openrouter import OpenRouterProvider

            router = OpenRouterProvider(api_key=key or "none", http_client=http)
            made = OpenRouterModel(name.model, provider=router, profile=strict)
        case "ollama":
            from pydantic_ai.models.ollama import OllamaModel
            from pydantic_ai.providers.ollama import OllamaProvider

            local = OllamaProvider(
                base_url=url or catalog.OLLAMA_URL, api_key=key or "none", http_client=http
            )
            made = OllamaModel(name.model, provider=local, profile=strict)
        case other:
            raise AssertionError(f"catalog.parse let {other!r} through")
    return made
