"""What goes into one model call and what comes out of it: plain values, no SDK.

Whoever answers (an API, a scenario file, a logged-in program) takes a `ModelRequest` and gives a `ModelAnswer`
or raises a `ModelError`. What a model proposed is judged here, the same way for all of them: `propose` never
raises, and gives a call that cannot be executed back with its `problem`.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol

from alfred import errors
from alfred.trust import redact, text

MAX_DEPTH = 64  # how deep arguments may nest: the limit of every JSON that the program takes in
MAX_CALLS = 512  # of one answer that are read: far above what a turn may use, and the SDK's time grows by their square
MAX_NAME = 128  # characters of a tool's name that are kept
WIRE_NAME = re.compile(
    r"[A-Za-z0-9_-]{1,64}"
)  # what every provider takes as a tool's name and a call's id
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # an id that is kept as the model gave it

FailureKind = Literal[
    "auth",  # the credentials are missing or refused
    "rate_limit",  # too many requests or tokens a minute
    "overloaded",  # the provider cannot serve now: 5xx, 529
    "budget",  # quota, credits or a spending limit of the account are used up
    "context",  # the prompt is longer than the model takes
    "refused",  # the model or the provider refuses this request, and would again
    "network",  # not reached, timed out, or cut off in the middle of an answer
    "malformed",  # an answer that is no answer
    "empty",  # neither text nor calls
    "scenario_exhausted",  # a scripted model was asked past its last turn
    "cancelled",  # the caller's own wish
]


class Cancel(Protocol):
    """What tells a call that its answer is no longer wanted; a `threading.Event` is one."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ModelTool:
    """A tool as the model is told of it.

    Args:
        name: Its wire name (`files__read`), at most 64 of `A-Za-z0-9_-`.
        description: What it does, for the model.
        schema: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One question to a model.

    Args:
        model: `provider:model`.
        system: The pinned system prompt.
        items: The neutral transcript, as `alfred.llm.messages` describes it.
        tools: What the model may propose; none in a wrap-up turn.
        purpose: `boss`, or another word for a call that is no turn of the run (`compact`).
        max_output: Output tokens at most; None for the catalog's limit of the model.
        turn: How many boss answers the run has committed.
        failed_requests: How many requests for this turn have failed and are on record.
        brief: What the run was asked; only a scripted model looks at it.
        run_id: Which run asks.
        reasoning: How much the model thinks first: `off`, `on` or an effort; None leaves it to the model. A program
            and a scenario have their own way.
    """

    model: str
    system: str
    items: Sequence[dict[str, Any]]
    tools: Sequence[ModelTool] = ()
    purpose: str = "boss"
    max_output: int | None = None
    turn: int = 0
    failed_requests: int = 0
    brief: str = ""
    run_id: str = ""
    reasoning: str | None = None

    def prompt_bytes(self) -> int:
        """UTF-8 bytes of everything that is sent, as an upper bound of its size: what reservations are made of."""
        tools = [(tool.name, tool.description, tool.schema) for tool in self.tools]
        whole = json.dumps([self.system, list(self.items), tools], ensure_ascii=False, default=str)
        return len(whole.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """One use of a tool that the model proposed.

    Args:
        id: Unique in its answer, at most 64 of `A-Za-z0-9_.:-`.
        tool: The name that the model used, cleaned and cut at 128 characters.
        args: The arguments, None when they are no JSON object.
        raw: What the model wrote when `args` is None.
        problem: Why the call cannot be executed, in a sentence that the model is shown; None when it can.
    """

    id: str
    tool: str
    args: dict[str, Any] | None
    raw: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request used, as the provider reported it.

    Args:
        input_tokens: All tokens of the prompt, those read from and written to a cache included.
        output_tokens: Tokens of the answer, its thinking included.
        cost_usd: None when no price is known; never 0 for unknown.
        notional: The figure is a subscription's own, not money that was charged.
        model_served: The model that answered, as the provider names it.
        estimated: The provider did not report (all of) it: tokens are counted as a third of the bytes.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal | None = None
    notional: bool = False
    model_served: str = ""
    estimated: bool = False


MOST_TOKENS = 10**9
"""Of one request: no model reads or writes as many."""

MOST_USD = 10**6
"""Of one request."""


def tokens(said: int) -> int:
    """A number of tokens that was reported, 0 where it is none that a request could have: it would pass for all money
    that there is, and no ledger could keep it."""
    return said if 0 <= said <= MOST_TOKENS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What a model said.

    Args:
        native: The provider's own message as JSON with its `format_version`: goes back as it came, so that
            signatures and thinking survive. None when nothing but text and calls is worth keeping.
        finish: `stop`, `calls` or `length` (cut at the output limit, or after `MAX_CALLS` calls).
    """

    text: str
    calls: tuple[ProposedCall, ...] = ()
    native: dict[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    finish: Literal["stop", "calls", "length"] = "stop"

    def item(self) -> dict[str, Any]:
        """The answer as an item of the transcript."""
        calls = [
            {"id": c.id, "tool": c.tool, "args": c.raw if c.args is None else c.args}
            for c in self.calls
        ]
        return {"kind": "assistant", "text": self.text, "calls": calls, "native": self.native}


LONGEST_WAIT = 31 * 86_400.0
"""Seconds: no limit that a provider has lasts for more than a month."""


class ModelError(errors.AlfredError):
    """The model gave no answer that can be used."""

    code: ClassVar[str] = "model"

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        retry_after_s: float | None = None,
        provider: str = "",
        usage: Usage | None = None,
        next: str | None = None,
    ):
        """`kind` decides what the caller does; `retry_after_s` is the provider's wish in seconds, None when it
        said nothing that is a time, and a month at most; `usage` is what the failed request cost all the same, as far as
        it is known."""
        super().__init__(detail, next=next, kind=kind, provider=provider)
        self.kind: FailureKind = kind
        said = retry_after_s is not None and retry_after_s >= 0  # and is a number
        self.retry_after_s = min(retry_after_s or 0.0, LONGEST_WAIT) if said else None
        self.provider = provider
        self.usage = usage


class Names:
    """Hands out each name once: the same again comes out as `name-2`, `name-3`, the same way every time."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        name = wanted
        while name in self._taken:
            number = self._next.get(wanted, 2)
            self._next[wanted] = number + 1
            name = f"{wanted[:56]}-{number}"
        self._taken.add(name)
        return name


def propose(
    raw_calls: Iterable[tuple[Any, Any, Any]], tools: Sequence[ModelTool]
) -> tuple[ProposedCall, ...]:
    """Judges what a model proposed: (id, tool, arguments as text, object or anything) in its order. Never raises.

    Ids come back unique and short; the second use of an id, a tool that was not
    offered, and arguments that are no JSON object are problems, and the rest of the answer stays as it is. More
    than `MAX_CALLS` are not looked at.
    """
    known = {tool.name for tool in tools}
    ids = Names()
    strange: dict[str, str] = {}
    calls: list[ProposedCall] = []
    for raw_id, raw_tool, raw_args in itertools.islice(raw_calls, MAX_CALLS):
        given = text.sanitize(str(raw_id))[0]
        wanted = given if _ID.fullmatch(given) else "call_" + _digest(given)
        tool = redact.redact(text.sanitize(str(raw_tool))[0])[:MAX_NAME]
        args, raw, problem = _arguments(raw_args)
        if tool not in known:
            problem = strange[tool] = strange.get(tool) or _unknown(tool, known)
        call_id = ids.take(wanted)
        if call_id != wanted:
            problem = f"The call id {wanted!r} was used before in this answer: nothing was executed for this one."
        calls.append(ProposedCall(call_id, tool, args, raw, problem))
    return tuple(calls)


def wire_name(name: str) -> str:
    """A tool's name or a call's id in a form that every provider takes back, whatever a model called it."""
    if WIRE_NAME.fullmatch(name):
        return name
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40] + "_" + _digest(name)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:16]


def _unknown(tool: str, known: set[str]) -> str:
    if not known:
        return f"No tool may be used in this turn, {tool!r} neither: answer in words."
    near = difflib.get_close_matches(tool[:64], sorted(known), n=1, cutoff=0.5)
    return f"No tool is named {tool!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def _arguments(given: Any) -> tuple[dict[str, Any] | None, str | None, str | None]:
    """(arguments, raw text, problem): exactly one of the first two is not None."""
    if given is None or given == "":
        return {}, None, None  # a tool without parameters: several models send nothing at all
    value, raw = given, None
    if isinstance(given, str):
        raw = text.sanitize(given)[0]
        try:
            value = json.loads(given, object_pairs_hook=_unique, parse_constant=_no_constant)
        except RecursionError:
            return None, raw, f"The arguments nest deeper than {MAX_DEPTH} levels."
        except ValueError as broken:
            return (
                None,
                raw,
                f"The arguments are no valid JSON: {str(text.sanitize(str(broken))[0])[:200]}.",
            )
    if _deeper(value, MAX_DEPTH):
        return None, raw or "", f"The arguments nest deeper than {MAX_DEPTH} levels."
    clean = text.sanitize(value)[0]
    if not isinstance(clean, dict):
        shown = raw if raw is not None else json.dumps(clean, ensure_ascii=False, default=str)
        return None, shown, f"The arguments are {_kind(clean)}, not a JSON object."
    if _unlimited(value):
        shown = raw if raw is not None else json.dumps(clean, ensure_ascii=False, default=str)
        return None, shown, "The arguments hold NaN or Infinity, which JSON does not have."
    return clean, None, None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses an object with one key twice: what a person is shown and what is executed could differ."""
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _unlimited(value: Any) -> bool:
    """Whether a number in it is none: some SDKs read `NaN`, and `1e999` is infinite to every one of them."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return any(_unlimited(child) for child in inside)
    return isinstance(value, float) and not math.isfinite(value)


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        str: "a text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
