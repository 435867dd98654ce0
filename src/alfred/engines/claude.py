"""The program `claude` answering one turn (tested with 2.1.197).

Its own tools, agents' files, skills, hooks, servers, memories and settings are off; `--max-turns 1` and the variables below
hold it to one request to its provider, so that whoever asked decides what is tried again. The system prompt goes through a
file and the conversation through its stdin, because everybody may read the arguments of a process.

Its folder of settings is the person's own: the login lies there, and a refreshed one must be written there, or the person
would be logged out. It tidies its own files there as it does whenever it is started.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alfred import clock
from alfred.engines import base, turn

LOGIN = ".credentials.json"

# One request, nothing but what was asked, and nothing to anybody but the provider.
_QUIET: Final = {
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "DISABLE_COMPACT": "1",
    "DISABLE_AUTO_COMPACT": "1",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}

_ALONE: Final = (
    *("--print", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--max-turns", "1", "--no-session-persistence"),
    *("--tools", "", "--permission-mode", "dontAsk", "--strict-mcp-config", "--no-chrome"),
    *("--setting-sources", "", "--disable-slash-commands"),
)

# Lower-case phrases in what it tells a person, for what its own words for an error leave open.
_TOO_LONG = ("prompt is too long", "input is too long", "request too large")
_USED_UP = ("hit your", "out of extra usage", "credit balance is too low")


class Claude:
    """`claude`."""

    program = "claude"
    install = "Install it: `npm install -g @anthropic-ai/claude-code`."
    login = (
        "Run `claude` once and log in there, or put CLAUDE_CODE_OAUTH_TOKEN=… (what `claude setup-token` "
        "prints) into `.env` of alfred's home."
    )

    def logged_in(self, env: Mapping[str, str]) -> bool:
        folder = base.config_folder(env, "CLAUDE_CONFIG_DIR", ".claude")
        if base.read_login(folder / LOGIN).get("claudeAiOauth"):
            return True
        if sys.platform != "darwin":
            return False
        # There the login lies in the keychain; its name lies beside the settings.
        account = (folder if env.get("CLAUDE_CONFIG_DIR") else folder.parent) / ".claude.json"
        return bool(base.read_login(account).get("oauthAccount"))

    def answer(self, question: base.Question, *, cancelled: base.Cancel | None) -> base.Said:
        found = base.find(self.program, question.env)
        if found is None:
            raise base.EngineError(
                "auth",
                "The program `claude` is not on the PATH of this process.",
                next=f"{self.install} {self.login}",
            )
        with turn.scratch() as place:
            heard = turn.run(
                [str(found), *_arguments(question, place)],
                place=place,
                env=_environment(question, place),
                stdin=_conversation(question.blocks),
                timeout=question.timeout,
                cancelled=cancelled,
            )
        return _read(heard, question, self.login)


def _arguments(question: base.Question, place: turn.Scratch) -> list[str]:
    told = [*_ALONE, "--system-prompt-file", str(place.write("system.md", question.system))]
    if question.model:
        told += ["--model", question.model]
    if question.schema is not None:
        told += ["--json-schema", json.dumps(question.schema, ensure_ascii=False)]
    return told


def _environment(question: base.Question, place: turn.Scratch) -> dict[str, str]:
    """The few variables that it may see and the one login: a token of ours, else its own folder of settings."""
    more = {**_QUIET, "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(question.max_output)}
    if question.url:
        more["ANTHROPIC_BASE_URL"] = question.url
    if question.token:
        return base.environment(
            question.env, HOME=str(place.home), CLAUDE_CODE_OAUTH_TOKEN=question.token, **more
        )
    if sys.platform == "darwin" and not question.env.get("CLAUDE_CONFIG_DIR"):
        # The name of its entry in the keychain depends on the variable, and the keychain on the home.
        return base.environment(question.env, HOME=question.env.get("HOME", ""), **more)
    folder = base.config_folder(question.env, "CLAUDE_CONFIG_DIR", ".claude")
    return base.environment(
        question.env, HOME=str(place.home), CLAUDE_CONFIG_DIR=str(folder), **more
    )


def _conversation(blocks: tuple[str, ...]) -> bytes:
    """One message with a block for each piece: the provider's cache goes by whole blocks."""
    content = [{"type": "text", "text": block} for block in blocks]
    message = {"type": "user", "message": {"role": "user", "content": content}}
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def _read(heard: turn.Heard, question: base.Question, login: str) -> base.Said:
    last = next((e for e in reversed(heard.events) if e.get("type") == "result"), None)
    if last is None:
        raise _no_result(heard, question)
    spent = _spent(heard, last)
    words = str(last.get("result") or "")
    if last.get("subtype") != "success" or last.get("is_error"):
        raise _failed(heard, last, words, spent, question, login)
    if question.schema is None:
        return base.Said(text=words, spent=spent)
    value = last.get("structured_output")
    if value is None:
        raise base.EngineError(
            "malformed", "The answer is not in the form that was asked for.", spent=spent
        )
    return base.Said(text=_words(heard), value=value, spent=spent)


def _no_result(heard: turn.Heard, question: base.Question) -> base.EngineError:
    said = base.shown(heard.stderr, question.token)
    if "unknown option" in said:
        return base.EngineError(
            "refused",
            f"This `claude` is too old for alfred: {said}",
            next="Update it: `claude update`.",
        )
    return base.EngineError(
        "network", f"claude ended with {heard.code} and without an answer. {said}".strip()
    )


def _failed(
    heard: turn.Heard,
    last: dict[str, Any],
    words: str,
    spent: base.Spent | None,
    question: base.Question,
    login: str,
) -> base.EngineError:
    said = base.shown(words, question.token)
    if last.get("subtype") in ("error_max_turns", "error_max_structured_output_retries"):
        wrong = (
            f"was cut at its output limit of {question.max_output} tokens."
            if last.get("stop_reason") == "max_tokens"
            else f"is not in the form that was asked for. {base.shown(_complaint(heard))}".strip()
        )
        return base.EngineError("malformed", f"The answer {wrong}", spent=spent)
    kind = _kind(heard, last, words.lower())
    resets = _resets(heard) if kind == "budget" else None
    wait = None if resets is None else max(1.0, resets - clock.now() / clock.SECOND)
    next_step = {
        "auth": login,
        "budget": "Wait for the reset, or choose another model with `--model`.",
        "context": "Give it less, or choose a model with a larger context.",
    }.get(kind)
    if _of_errors(heard) == "model_not_found":
        next_step = "Check the name behind `claude-cli:`; without one claude chooses."
    return base.EngineError(
        kind, f"claude: {said}", retry_after_s=wait, spent=spent, next=next_step
    )


def _kind(heard: turn.Heard, last: dict[str, Any], words: str) -> base.FailureKind:
    error, status = _of_errors(heard), last.get("api_error_status")
    used_up = any(phrase in words for phrase in _USED_UP) or _resets(heard) is not None
    if last.get("stop_reason") == "refusal":
        return "refused"
    if any(phrase in words for phrase in _TOO_LONG):
        return "context"
    match error, status:
        case ("authentication_failed" | "oauth_org_not_allowed", _) | (_, 401 | 403):
            return "auth"
        case ("billing_error", _) | (_, 402):
            return "budget"
        case ("rate_limit", _) | (_, 429):
            return "budget" if used_up else "rate_limit"
        case ("max_output_tokens", _):
            return "malformed"
        case (_, 413):
            return "context"
        case ("overloaded", _):
            return "overloaded"
        case (_, int()):
            return "overloaded" if status >= 500 else "network" if status == 408 else "refused"
        case ("invalid_request" | "model_not_found", _):
            return "refused"
    return "budget" if used_up else "network"


def _of_errors(heard: turn.Heard) -> str | None:
    """Its own word for what went wrong."""
    named = (e.get("error") for e in reversed(heard.events) if e.get("type") == "assistant")
    return next((error for error in named if isinstance(error, str)), None)


def _resets(heard: turn.Heard) -> float | None:
    """When the limit that was hit is over, in seconds since the epoch."""
    for event in reversed(heard.events):
        info = event.get("rate_limit_info")
        if isinstance(info, dict) and info.get("status") == "rejected":
            at = info.get("resetsAt")
            return float(at) if isinstance(at, int | float) else None
    return None


def _spent(heard: turn.Heard, last: dict[str, Any]) -> base.Spent | None:
    used = last.get("usage")
    if not isinstance(used, dict):
        return None
    read, written = (
        base.count(used, "cache_read_input_tokens"),
        base.count(used, "cache_creation_input_tokens"),
    )
    spent = base.Spent(
        input_tokens=base.count(used, "input_tokens") + read + written,
        output_tokens=base.count(used, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cost_usd=_money(last.get("total_cost_usd")),
        charged=_init(heard).get("apiKeySource", "none") != "none",
        model=_model(heard),
    )
    return spent if spent.input_tokens or spent.output_tokens else None


def _money(value: Any) -> Decimal | None:
    try:
        money = Decimal(str(value))
    except InvalidOperation:
        return None
    return money if money.is_finite() and money >= 0 else None


def _init(heard: turn.Heard) -> dict[str, Any]:
    return next((e for e in heard.events if e.get("subtype") == "init"), {})


def _messages(heard: turn.Heard, kind: str) -> list[dict[str, Any]]:
    found = [e.get("message") for e in heard.events if e.get("type") == kind]
    return [message for message in found if isinstance(message, dict)]


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []


def _model(heard: turn.Heard) -> str:
    names = [m.get("model") for m in _messages(heard, "assistant")]
    return next((n for n in names if isinstance(n, str) and n != "<synthetic>"), "")


def _words(heard: turn.Heard) -> str:
    """What it said in words besides the answer in its form."""
    said = [
        part["text"]
        for message in _messages(heard, "assistant")
        for part in _parts(message)
        if part.get("type") == "text" and isinstance(part.get("text"), str)
    ]
    return "\n".join(said)


def _complaint(heard: turn.Heard) -> str:
    """What it told the model that was wrong with the form."""
    told = [
        str(part.get("content"))
        for message in _messages(heard, "user")
        for part in _parts(message)
        if part.get("is_error")
    ]
    return told[-1] if told else ""
