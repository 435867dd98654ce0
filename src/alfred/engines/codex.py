"""The program `codex` answering one turn (tested with 0.169.0).

Which tools a model has is said by its features and by the program's own list of models: the features are off, and the list
that it carries is given back to it without tools (`model_catalog_json`), so that what it sends holds the system prompt and
the conversation and nothing else. Its provider is described to it as one of ours, at the address of its own, because only
such a one can be told not to try again by itself.

Its folder is a scratch one in which the person's login is a link: of his own folder it reads and writes nothing else. It
refreshes a login through the link, under a lock that lies beside the file itself; a version that would put a file in place of
the link has it taken over.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from alfred import clock
from alfred.engines import base, turn

LOGIN = "auth.json"
_SUBSCRIPTION = "https://chatgpt.com/backend-api/codex"  # where each kind of login is good
_CHARGED = "https://api.openai.com/v1"

_OFF: Final = (
    *("apps", "browser_use", "browser_use_external", "code_mode", "code_mode_host"),
    *("code_mode_only", "computer_use", "current_time_reminder", "daemon_auto_start"),
    *("default_mode_request_user_input", "goals", "guardian_approval", "hooks"),
    *("image_generation", "memories", "multi_agent", "multi_agent_v2", "plugin_sharing", "plugins"),
    *("remote_plugin", "shell_snapshot", "shell_tool", "skill_mcp_dependency_install"),
    *("skill_search", "sleep_tool", "tool_suggest", "unified_exec", "view_image"),
    *("workspace_dependencies", "incremental_tools", "fast_mode", "deferred_tool_world_state"),
    *("unbounded_connection_retries", "enable_request_compression"),
)

_SETTINGS: Final = {
    **{f"features.{name}": "false" for name in _OFF},
    **{
        f"include_{name}": "false"
        for name in (
            *("environment_context", "permissions_instructions", "apps_instructions"),
            "collaboration_mode_instructions",
        )
    },
    "skills.bundled.enabled": "false",
    "skills.include_instructions": "false",
    "tools.experimental_request_user_input.enabled": "false",
    "tools.update_plan.enabled": "false",
    "web_search": '"disabled"',
    "project_doc_max_bytes": "0",
    "approval_policy": '"never"',
    "history.persistence": '"none"',
    "analytics.enabled": "false",
    "check_for_update_on_startup": "false",
    "model_provider": '"alfred"',
    "model_providers.alfred.name": '"OpenAI"',
    "model_providers.alfred.wire_api": '"responses"',
    "model_providers.alfred.requires_openai_auth": "true",
    "model_providers.alfred.request_max_retries": "0",
    "model_providers.alfred.stream_max_retries": "0",
}

_ALONE: Final = (
    *("exec", "--json", "--color", "never", "--ephemeral", "--ignore-user-config"),
    *("--ignore-rules", "--skip-git-repo-check", "--sandbox", "read-only"),
)

# What a model of its list may have, and is not given.
_NO_TOOLS: Final[dict[str, Any]] = {
    "apply_patch_tool_type": None,
    "experimental_supported_tools": [],
    "multi_agent_version": None,
    "shell_type": "disabled",
    "supports_search_tool": False,
    "tool_mode": None,
}

# Lower-case phrases of what it says, in the order in which they are looked for: it tells no kinds.
_PHRASES: tuple[tuple[base.FailureKind, tuple[str, ...]], ...] = (
    ("context", ("context window", "context_length_exceeded")),
    ("budget", ("usage limit", "quota exceeded", "out of credits", "insufficient_quota")),
    ("rate_limit", ("429 too many requests", "rate limit")),
    (
        "auth",
        (
            *("401 unauthorized", "403 forbidden", "not logged in", "refresh token", "log out and"),
            *("oauth/token", "sign in again", "token could not be refreshed"),
        ),
    ),
    ("refused", ("content_filter", "invalid_prompt", "cyber")),
    ("malformed", ("max_output_tokens",)),
    ("overloaded", ("high demand", "at capacity", "status 5", "overloaded")),
    ("network", ("stream disconnected", "error sending request", "timed out", "connection")),
)

_RESET = re.compile(
    r"try again at (?:(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2})(?:st|nd|rd|th), (?P<year>\d{4}) )?"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2}) (?P<half>[AP])M"
)
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr) if name}


class Codex:
    """`codex`."""

    program = "codex"
    install = "Install it: `npm install -g @openai/codex`."
    login = "Run `codex login` once."

    def __init__(self) -> None:
        self._catalogs: dict[tuple[str, int], str] = {}
        self._reading = threading.Lock()

    def logged_in(self, env: Mapping[str, str]) -> bool:
        held = base.read_login(base.config_folder(env, "CODEX_HOME", ".codex") / LOGIN)
        return bool(held.get("tokens") or held.get("OPENAI_API_KEY"))

    def answer(self, question: base.Question, *, cancelled: base.Cancel | None) -> base.Said:
        found = base.find(self.program, question.env)
        if found is None:
            raise base.EngineError(
                "auth",
                "The program `codex` is not on the PATH of this process.",
                next=f"{self.install} {self.login}",
            )
        login = base.config_folder(question.env, "CODEX_HOME", ".codex") / LOGIN
        charged = _charged(base.read_login(login))
        with turn.scratch() as place, _lent(login, place.home):
            models = self._models(found, question, place, cancelled)
            heard = turn.run(
                [str(found), *_arguments(question, place, models, charged=charged)],
                place=place,
                # Times of a reset are told in the zone of the program.
                env=base.environment(
                    question.env, HOME=str(place.home), CODEX_HOME=str(place.home), TZ="UTC"
                ),
                stdin="".join(question.blocks).encode(),
                timeout=question.timeout,
                cancelled=cancelled,
            )
        return _read(heard, question, self.login, charged=charged)

    def _models(
        self,
        found: Path,
        question: base.Question,
        place: turn.Scratch,
        cancelled: base.Cancel | None,
    ) -> str:
        """The program's own list of models without their tools; it is asked once for each version of it."""
        which = (str(found), found.stat().st_mtime_ns)
        with self._reading:
            if which not in self._catalogs:
                heard = turn.run(
                    [str(found), "debug", "models", "--bundled"],
                    place=place,
                    env=base.environment(
                        question.env, HOME=str(place.files), CODEX_HOME=str(place.files)
                    ),
                    stdin=b"",
                    timeout=60,
                    cancelled=cancelled,
                )
                self._catalogs[which] = _without_tools(heard)
            return self._catalogs[which]


@contextlib.contextmanager
def _lent(login: Path, folder: Path) -> Iterator[None]:
    """The person's login in another folder; what is refreshed there is refreshed in its own."""
    link = folder / LOGIN
    if login.is_file():
        link.symlink_to(login.absolute())
    try:
        yield
    finally:
        if link.is_file() and not link.is_symlink() and login.is_file():
            beside = login.with_name(f"{LOGIN}.{os.getpid()}.alfred")
            shutil.copyfile(link, beside)
            beside.chmod(0o600)
            beside.replace(login)


def _charged(held: Mapping[str, Any]) -> bool:
    """Whether the login is a key, whose use is money."""
    mode = held.get("auth_mode")
    return mode == "apikey" if isinstance(mode, str) else bool(held.get("OPENAI_API_KEY"))


def _without_tools(heard: turn.Heard) -> str:
    listed = next((e["models"] for e in heard.events if isinstance(e.get("models"), list)), None)
    if not listed:
        raise _too_old(heard)
    models = [model | _NO_TOOLS for model in listed if isinstance(model, dict)]
    return json.dumps({"models": models})


def _too_old(heard: turn.Heard) -> base.EngineError:
    return base.EngineError(
        "refused",
        f"This `codex` is too old for alfred: {base.shown(heard.stderr)}",
        next="Update it: `codex update`, or `npm install -g @openai/codex`.",
    )


def _arguments(
    question: base.Question, place: turn.Scratch, models: str, *, charged: bool
) -> list[str]:
    settings = {
        **_SETTINGS,
        "model_providers.alfred.base_url": _toml(
            question.url or (_CHARGED if charged else _SUBSCRIPTION)
        ),
        "model_instructions_file": _toml(place.write("system.md", question.system)),
        "model_catalog_json": _toml(place.write("models.json", models)),
    }
    told = [*_ALONE, "--cd", str(place.cwd)]
    for name, value in settings.items():
        told += ["-c", f"{name}={value}"]
    if question.model:
        told += ["--model", question.model]
    if question.schema is not None:
        schema = place.write("schema.json", json.dumps(question.schema, ensure_ascii=False))
        told += ["--output-schema", str(schema)]
    return [*told, "-"]


def _toml(value: object) -> str:
    return json.dumps(str(value))


def _read(heard: turn.Heard, question: base.Question, login: str, *, charged: bool) -> base.Said:
    failed = _failure(heard)
    ended = next((e for e in reversed(heard.events) if e.get("type") == "turn.completed"), None)
    if failed is not None:
        raise _told_apart(failed, login)
    if ended is None:
        if "unexpected argument" in heard.stderr or "unknown configuration" in heard.stderr:
            raise _too_old(heard)
        said = base.shown(heard.stderr)
        raise base.EngineError(
            "network", f"codex ended with {heard.code} and without an answer. {said}".strip()
        )
    spent = _spent(ended, question, charged=charged)
    items = [e["item"] for e in heard.events if isinstance(e.get("item"), dict)]
    foreign = [i.get("type") for i in items if i.get("type") not in _HARMLESS]
    if foreign:
        raise base.EngineError(
            "malformed",
            f"codex used something of its own: {base.shown(str(foreign[0]))}",
            spent=spent,
        )
    words = [i["text"] for i in items if i.get("type") == "agent_message" and i.get("text")]
    last = str(words[-1]) if words else ""
    if question.schema is None or not last:
        nothing = {"text": "", "calls": []}
        return base.Said(text=last, value=None if question.schema is None else nothing, spent=spent)
    try:
        value = json.loads(last)
    except (ValueError, RecursionError):
        raise base.EngineError(
            "malformed", "The answer is not in the form that was asked for.", spent=spent
        ) from None
    return base.Said(text="\n".join(map(str, words[:-1])), value=value, spent=spent)


# What an answer is made of; the rest (commands, patches, agents, searches) was never offered. An `error` that is an item
# is a warning.
_HARMLESS: Final = ("agent_message", "reasoning", "error")


def _failure(heard: turn.Heard) -> str | None:
    """What it says of a turn that failed."""
    for event in reversed(heard.events):
        if event.get("type") == "turn.failed":
            error = event.get("error")
            return str(error.get("message") if isinstance(error, dict) else error)
    return None


def _told_apart(words: str, login: str) -> base.EngineError:
    low = words.lower().replace("’", "'")
    kind: base.FailureKind = next(
        (kind for kind, phrases in _PHRASES if any(phrase in low for phrase in phrases)), "refused"
    )
    next_step = {
        "auth": login,
        "budget": "Wait for the reset, or choose another model with `--model`.",
        "context": "Give it less, or choose a model with a larger context.",
        "refused": "Look at the model's name behind `codex-cli:`; without one codex chooses.",
    }.get(kind)
    return base.EngineError(
        kind,
        f"codex: {base.shown(words)}",
        retry_after_s=_until(words) if kind == "budget" else None,
        next=next_step,
    )


def _until(words: str) -> float | None:
    """Seconds until the reset that it tells: a minute of today (or of the next day, when that is over), or of a date."""
    found = _RESET.search(words)
    if found is None:
        return None
    now = clock.now() / clock.SECOND
    hour = int(found["hour"]) % 12 + (12 if found["half"] == "P" else 0)
    today = time.gmtime(now)
    year, month, day = today.tm_year, today.tm_mon, today.tm_mday
    if found["month"]:
        if found["month"] not in _MONTHS:
            return None
        year, month, day = int(found["year"]), _MONTHS[found["month"]], int(found["day"])
    at = calendar.timegm((year, month, day, hour, int(found["minute"]), 0)) + 60  # it is cut
    if at < now and not found["month"]:
        at += 86_400
    return max(1.0, at - now)


def _spent(ended: dict[str, Any], question: base.Question, *, charged: bool) -> base.Spent | None:
    used = ended.get("usage")
    if not isinstance(used, dict):
        return None
    spent = base.Spent(
        input_tokens=base.count(used, "input_tokens"),
        output_tokens=base.count(used, "output_tokens"),
        cache_read_tokens=base.count(used, "cached_input_tokens"),
        cache_write_tokens=base.count(used, "cache_write_input_tokens"),
        charged=charged,
        model=question.model,
    )
    return spent if spent.input_tokens or spent.output_tokens else None
