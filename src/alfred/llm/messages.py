"""The neutral transcript as a provider's messages, and a provider's answer as a `ModelAnswer`.

Items of the transcript are plain JSON:

    {"kind": "user", "text"}                     {"kind": "note", "text"}  (alfred's own word, shown on the user's side)
    {"kind": "assistant", "text", "calls": [{"id", "tool", "args"}], "native"}
    {"kind": "result", "call_id", "tool", "text", "error"}

The same items always give the same messages, and more items only add at the end: that is what a provider's cache
lives on. So nothing here looks at a clock, and a history that was cut by a crash or a compaction is mended from
its own content alone. A result belongs to a call of the answer right before it; one that comes later, twice, or
whose call is gone is still told, as a note. Only this module, `failures` and `client` know pydantic-ai.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alfred.llm import contract
from alfred.trust import text

if TYPE_CHECKING:
    from pydantic_ai import messages as pai

UNREAD = "unreadable_arguments"  # the key of what a model wrote in place of a JSON object

FORMAT_VERSION = 1  # of `native`: pydantic-ai's JSON of one ModelResponse


def build(items: Sequence[dict[str, Any]]) -> list[pai.ModelMessage]:
    """The transcript as messages that every provider takes: pairs complete, ids unique, the last word the user's.

    Raises:
        ValueError: An item of an unknown kind, or a transcript that ends with an answer to which nothing is said.
    """
    from pydantic_ai import messages as pai

    thread = _Thread()
    for item in items:
        match item["kind"]:
            case "user":
                thread.say(item["text"])
            case "note":
                thread.say(f"[note] {item['text']}")
            case "assistant":
                thread.answer(item)
            case "result":
                thread.result(item)
            case other:
                raise ValueError(
                    f"No transcript item is of the kind {other!r}: user, assistant, result, note."
                )
    if not thread.messages or (
        isinstance(thread.messages[-1], pai.ModelResponse) and not thread.open
    ):
        raise ValueError(
            "The transcript ends without anything to answer: append a user item, a result or a note."
        )
    return pai.repair_messages(thread.messages)


class _Thread:
    """Messages under construction, and which calls of the last answer still wait for a result."""

    def __init__(self) -> None:
        self.messages: list[pai.ModelMessage] = []
        # The transcript's id -> (id on the wire, tool), oldest first.
        self.open: dict[str, list[tuple[str, str]]] = {}
        self._ids = contract.Names()

    def say(self, words: str) -> None:
        from pydantic_ai import messages as pai

        clean = text.sanitize(words)[0]
        shown = clean if clean.strip() else "(empty)"  # providers refuse blank text
        self.messages.append(pai.ModelRequest(parts=[pai.UserPromptPart(content=shown)]))

    def answer(self, item: dict[str, Any]) -> None:
        from pydantic_ai import messages as pai

        self.open = {}
        response = _native(item.get("native")) or _plain(item)
        parts: list[Any] = []
        for part in response.parts:
            if isinstance(part, pai.ToolCallPart):
                given = part.tool_call_id
                part = replace(
                    part,
                    tool_call_id=self._ids.take(contract.wire_name(given)),
                    args=_args(part.args),
                )
                self.open.setdefault(given, []).append((part.tool_call_id, part.tool_name))
            parts.append(part)
        if parts:
            self.messages.append(replace(response, parts=parts))

    def result(self, item: dict[str, Any]) -> None:
        from pydantic_ai import messages as pai

        waiting = self.open.get(item["call_id"])
        if not waiting:
            self.say(
                f"[note] Result of an earlier call of {item['tool']} ({item['call_id']}):\n{item['text']}"
            )
            return
        wire_id, tool = waiting.pop(0)
        part = pai.ToolReturnPart(
            tool_name=tool,
            content=text.sanitize(item["text"])[0],
            tool_call_id=wire_id,
            outcome="failed" if item.get("error") else "success",
        )
        self.messages.append(pai.ModelRequest(parts=[part]))


def _args(args: Any) -> Any:
    """A call's arguments as every provider takes them back: an object. What could not be read goes back as a text
    within one, for the SDKs read a text again, and not all as strictly as `contract.propose` did."""
    return args if isinstance(args, dict) else {UNREAD: args or ""}


def _native(stored: dict[str, Any] | None) -> pai.ModelResponse | None:
    """The provider's own message, or None when it is not there or of a format that this program does not read."""
    import pydantic
    from pydantic_ai import messages as pai

    if not stored or stored.get("format_version") != FORMAT_VERSION:
        return None
    try:
        [response] = pai.ModelMessagesTypeAdapter.validate_python([stored["message"]])
    except (pydantic.ValidationError, KeyError):
        return (
            None  # text and calls are in the item itself; only the provider's signatures are lost
        )
    return response if isinstance(response, pai.ModelResponse) else None


def _plain(item: dict[str, Any]) -> pai.ModelResponse:
    from pydantic_ai import messages as pai

    parts: list[Any] = []
    said = text.sanitize(item.get("text") or "")[0]
    if said.strip():
        parts.append(pai.TextPart(content=said))
    for call in item.get("calls") or ():
        name, args = contract.wire_name(call["tool"]), text.sanitize(call["args"])[0]
        parts.append(pai.ToolCallPart(tool_name=name, args=args, tool_call_id=call["id"]))
    return pai.ModelResponse(parts=parts)


def answer(
    response: pai.ModelResponse, tools: Sequence[contract.ModelTool], usage: contract.Usage
) -> contract.ModelAnswer:
    """What a complete response says.

    Raises:
        ModelError: `refused`, `network` (cut off), `malformed` or `empty`, each with what it cost.
    """
    from pydantic_ai import messages as pai

    said = text.sanitize(response.text or "")[0]
    provider = response.provider_name or ""
    if response.finish_reason == "content_filter":
        told = text.sanitize(str((response.provider_details or {}).get("refusal") or said))[0]
        raise contract.ModelError(
            "refused", f"The model refuses: {told or 'it gave no reason.'}", usage=usage
        )
    if response.state != "complete" or response.finish_reason is None:
        raise contract.ModelError(
            "network", "The answer was cut off.", provider=provider, usage=usage
        )

    raw = [part for part in response.parts if isinstance(part, pai.ToolCallPart)]
    calls = contract.propose(
        [(part.tool_call_id, part.tool_name, part.args) for part in raw], tools
    )
    length = response.finish_reason == "length"
    # At the limit not even `{}` is to be believed: what is missing may be the arguments.
    if length and calls and not calls[-1].args:
        cut = "The answer ended at its output limit in the middle of this call: nothing was done."
        calls = (*calls[:-1], replace(calls[-1], problem=cut))
    if not said.strip() and not calls:
        if response.finish_reason == "error":
            raise contract.ModelError(
                "malformed", "The provider gave up on its own answer.", usage=usage
            )
        why = (
            "its output limit was used up by thinking"
            if length
            else "it said nothing and called nothing"
        )
        raise contract.ModelError(
            "empty", f"The answer is empty: {why}.", provider=provider, usage=usage
        )
    return contract.ModelAnswer(
        text=said,
        calls=calls,
        native=_stored(response, calls),
        usage=usage,
        finish="length" if length else "calls" if calls else "stop",
    )


def _stored(response: pai.ModelResponse, calls: Sequence[contract.ProposedCall]) -> dict[str, Any]:
    """The provider's message as JSON, its calls named as they were given out, without text that no provider takes."""
    from pydantic_ai import messages as pai

    proposed = iter(calls)
    parts: list[Any] = []
    for part in response.parts:
        if isinstance(part, pai.ToolCallPart):
            call = next(proposed)
            name = contract.wire_name(call.tool)
            args = call.raw if call.args is None else call.args
            parts.append(
                pai.ToolCallPart(
                    tool_name=name,
                    args=args,
                    tool_call_id=call.id,
                    id=part.id,
                    provider_name=part.provider_name,
                    provider_details=part.provider_details,  # signatures lie here
                )
            )
        elif not (isinstance(part, pai.TextPart) and not part.content.strip()):
            parts.append(part)
    [dumped] = pai.ModelMessagesTypeAdapter.dump_python(
        [replace(response, parts=parts)], mode="json"
    )
    return {"format_version": FORMAT_VERSION, "message": text.sanitize(dumped)[0]}
