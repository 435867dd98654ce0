"""Provider errors told apart: every exception that a request can end with becomes one `ModelError`.

pydantic-ai knows most of what providers say and raises a class for it; what it leaves open (status codes and
phrases of OpenAI-compatible servers) is read here. When nothing fits, a failure of the request counts as refused
(repeating it would not help) and a failure of the transport as network (repeating it may).
"""

from __future__ import annotations

import json

from alfred.llm import contract
from alfred.trust import redact, text

MAX_DETAIL = 600  # characters of a provider's own words that are kept
_ENDS = (".", "!", "?", "…")

# Lower-case phrases in an error's body, in the order in which they are looked for. Sources: the error pages of
# Anthropic, OpenAI, OpenRouter and Gemini; llama.cpp's and vLLM's servers; Ollama. Gemini's "exceeded your current
# quota" is none of them: it says so of a minute's limit too, and only the quota's name tells them apart.
_PHRASES: tuple[tuple[contract.FailureKind, tuple[str, ...]], ...] = (
    (
        "context",
        (
            "context_length_exceeded",
            "maximum context length",
            "context length of",
            "exceeds the available context size",
            "exceed_context_size_error",
            "exceeds the context window",
            "exceeds the maximum number of tokens",
            "prompt is too long",
            "input is too long",
            "request_too_large",
        ),
    ),
    (
        "budget",
        (
            "insufficient_quota",
            "insufficient credits",
            "insufficient balance",
            "credit balance is too low",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
            "specified api usage limits",
            "usage limit reached",
            "usage_limit_reached",
        ),
    ),
)


def read(raised: Exception, *, provider: str, hide: tuple[str, ...]) -> contract.ModelError:
    """What went wrong, as the caller has to deal with it. `hide` are secrets that no message may show."""
    from pydantic_ai import exceptions

    if (ours := _ours(raised)) is not None:
        return ours
    kind = _kind(raised)
    retry_after = (
        getattr(raised, "retry_after", None)
        if isinstance(raised, exceptions.ModelAPIError)
        else None
    )
    words = _words(raised, hide)
    status = getattr(raised, "status_code", None)
    words += "" if words.endswith(_ENDS) else "."  # what to do about it is said behind it
    if status and not getattr(raised, "body", None):
        detail = f"{provider} answers {status}, and says no more."
    else:
        detail = f"{provider} answers {status}: {words}" if status else f"{provider}: {words}"
    return contract.ModelError(
        kind,
        detail,
        retry_after_s=retry_after,
        provider=provider,
        next=_next(kind, raised, provider),
    )


def _ours(raised: BaseException | None) -> contract.ModelError | None:
    """What `wire` said beneath the SDK, whatever the SDK made of it: the same words anew, as what is raised."""
    while raised is not None:
        if isinstance(raised, contract.ModelError):
            return contract.ModelError(
                raised.kind, raised.detail, provider=raised.provider, next=raised.next
            )
        raised = raised.__cause__ or raised.__context__
    return None


def _kind(raised: Exception) -> contract.FailureKind:
    from pydantic_ai import exceptions as pai

    if not isinstance(raised, pai.ModelAPIError):
        if isinstance(raised, pai.ContentFilterError):
            return "refused"
        if str(raised).startswith("Streamed response ended"):
            return "network"  # 200, and not one event
        return "auth" if isinstance(raised, pai.UserError) else "malformed"
    status = raised.status_code if isinstance(raised, pai.ModelHTTPError) else None
    body = _body(raised).lower()
    for kind, phrases in _PHRASES:
        if any(phrase in body for phrase in phrases):
            return kind
    match raised:
        case pai.ModelAuthenticationError():
            return "auth"
        case pai.ModelQuotaExceededError():
            return "budget"
        case pai.ModelRateLimitError():
            return "rate_limit"
        case pai.ModelContextWindowExceededError():
            return "context"
        case pai.ModelUnavailableError() | pai.ModelServerError():
            return "overloaded"
        case pai.ModelConnectionError() | pai.ModelRequestTimeout():
            return "network"
    if status == 413:
        return "context"
    if status in (408, 409, 425):
        return "network"
    if status is not None or isinstance(raised, pai.ModelRequestRejectedError):
        return "refused"
    # What is left carries no status: a body that is no JSON, or a stream that broke off.
    return (
        "malformed"
        if isinstance(raised.__cause__, json.JSONDecodeError | UnicodeDecodeError)
        else "network"
    )


def _body(raised: Exception) -> str:
    body = getattr(raised, "body", None)
    if body is None:
        return str(raised)
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)


def _words(raised: Exception, hide: tuple[str, ...]) -> str:
    """The provider's own sentence when it sent one, else the exception's; without secrets before it is cut, for half of one
    is known to nobody."""
    body = getattr(raised, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        message = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(message, str) and message.strip():
            body = message
    said = isinstance(body, str) and body.strip()
    words = body if said else (body and _body(raised)) or str(raised) or type(raised).__name__
    clean = " ".join(str(text.sanitize(words)[0]).split())
    for secret in hide:
        clean = clean.replace(secret, "[hidden]")
    clean = redact.redact(clean)
    return clean if len(clean) <= MAX_DETAIL else clean[:MAX_DETAIL] + " …"


def _next(kind: contract.FailureKind, raised: Exception, provider: str) -> str | None:
    from pydantic_ai import exceptions as pai

    if isinstance(raised, pai.ModelNotFoundError):
        near = getattr(raised, "suggested_model_id", None)
        return (
            f"Use `--model {near}`."
            if near
            else "Check the model's name, and the base URL if one is set."
        )
    return {
        "auth": f"Check the key of {provider}: `alfred doctor` shows which one is used and where it comes from.",
        "budget": f"Add credit to the account at {provider}, or choose another model with `--model`.",
        "context": "Give it less, or choose a model with a larger context.",
    }.get(kind)
