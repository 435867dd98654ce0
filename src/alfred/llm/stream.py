"""One streamed request to a provider, what has been heard of it so far, and what it used."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from alfred.llm import catalog, contract, prices, sizes
from alfred.llm.contract import ModelRequest, Usage
from alfred.trust import text

if TYPE_CHECKING:
    from pydantic_ai import messages as pai
    from pydantic_ai.models import Model

DEADLINE_S = 900  # a request and its whole answer; a reservation has to outlive it
STALL_S = 300  # silence within an answer: thinking models say nothing for minutes


class Stream:
    """One streamed request, and what has been reported of it so far."""

    def __init__(
        self,
        request: ModelRequest,
        name: catalog.Name,
        model: Model,
        history: list[pai.ModelMessage],
        heard: queue.SimpleQueue[str | None] | None,
    ):
        self._request, self._name, self._model, self._history = request, name, model, history
        self._heard = heard
        self._partial: Callable[[], pai.ModelResponse] | None = None
        self.stopped = False  # by us, after MAX_CALLS calls

    async def run(self) -> pai.ModelResponse:
        from pydantic_ai import direct
        from pydantic_ai import messages as pai

        async with direct.model_request_stream(
            self._model,
            self._history,
            model_settings=_settings(self._request, self._name),
            model_request_parameters=_parameters(self._request),
            instrument=False,
        ) as stream:
            self._partial = stream.get
            calls = 0
            async for event in stream:
                match event:
                    case pai.PartStartEvent(part=pai.TextPart(content=piece)):
                        self._hear(piece)
                    case pai.PartDeltaEvent(delta=pai.TextPartDelta(content_delta=piece)):
                        self._hear(piece)
                    case pai.PartStartEvent(part=pai.ToolCallPart()):
                        calls += 1
                if calls > contract.MAX_CALLS:
                    self.stopped = True
                    break
            response = stream.get()
        if self.stopped:  # the last call is the one that is still being written
            return replace(
                response, parts=response.parts[:-1], state="complete", finish_reason="length"
            )
        return response

    def _hear(self, piece: str) -> None:
        if self._heard is not None:
            self._heard.put(piece)

    def usage(self) -> Usage | None:
        """What a request that failed on its way used, as far as it is known; None when no answer had begun."""
        if self._partial is None:
            return None
        return usage_of(self._partial(), self._request, self._name, whole=False)


_SWITCHES = {"on": True, "off": False}


def _settings(request: ModelRequest, name: catalog.Name) -> Any:
    settings: dict[str, Any] = {
        "max_tokens": request.max_output or sizes.limits(request.model).max_output,
        "max_retries": 0,
        "timeout": STALL_S,
        "request_timeout": DEADLINE_S,
    }
    if request.purpose == "boss":
        # The prefix comes again with the next turn; that of a single question never does.
        settings["cache"] = True
    if request.reasoning is not None:
        settings["thinking"] = _SWITCHES.get(request.reasoning, request.reasoning)
    if name.provider == "openai":
        # Everything is in our transcript, theirs forgets it after a month; and diagnostics would name the
        # answer before, which is another one each turn.
        settings |= {"openai_store": False, "openai_prompt_cache_diagnostics": False}
    return settings


def _parameters(request: ModelRequest) -> Any:
    from pydantic_ai import messages as pai
    from pydantic_ai import models, tools

    offered = [
        tools.ToolDefinition(
            name=tool.name,
            description=text.sanitize(tool.description)[0],
            parameters_json_schema=text.sanitize(tool.schema)[0],
            strict=False,
        )
        for tool in sorted(request.tools, key=lambda tool: tool.name)
    ]
    system = text.sanitize(request.system)[0]
    pinned = [pai.InstructionPart(content=system)] if system.strip() else []
    return models.ModelRequestParameters(function_tools=offered, instruction_parts=pinned)


def usage_of(
    response: pai.ModelResponse, request: ModelRequest, name: catalog.Name, *, whole: bool
) -> Usage:
    """The usage with its price. What a provider did not report (some never do; of an answer that was not read to its
    end nobody does) is estimated, so that caps hold all the same."""
    used = response.usage
    served = response.model_name or name.model
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    said = {one: getattr(used, one) for one in names}
    counted: dict[str, Any] = {one: contract.tokens(number) for one, number in said.items()}
    reported = counted == said and (used.input_tokens or used.output_tokens)
    if whole and not used.unmeasured_requests and reported:
        try:
            cost: Decimal | None = response.cost().total_price
        except (LookupError, ValueError, AssertionError):
            cost = prices.price(
                str(name), **counted
            )  # what was asked for, when what answered has no price
        return Usage(**counted, cost_usd=cost, model_served=served)
    wrote = sum(
        len(str(getattr(part, "content", None) or "")) + len(str(getattr(part, "args", None) or ""))
        for part in response.parts
    )
    counted["input_tokens"] = counted["input_tokens"] or sizes.tokens(request.prompt_bytes())
    counted["output_tokens"] = max(counted["output_tokens"], sizes.tokens(wrote))
    price = prices.price(str(name), **counted)
    return Usage(**counted, cost_usd=price, model_served=served, estimated=True)
