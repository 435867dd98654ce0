"""Saying something in a chat: the action `channels.send`.

Invariants: an agent speaks as the identities behind which it sits, and no other: a chat is one of a line that is its own, or
one in which it was spoken to. What it says is a row of the outbox, with the key of the call for its id, written with the
call's outcome: so it is said once, however often the call is tried.

The chat that a run was spoken to from is where its answer goes anyway; saying something there costs nothing. Any other chat is
read by others: a person is asked, and sees which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from alfred import errors
from alfred.actions import Destination, Effect, Risk, action
from alfred.actions.context import ActionContext
from alfred.channels.base import Address, Lines
from alfred.runs import listeners, outbox
from alfred.store.tx import Tx
from alfred.trust import display
from alfred.trust.redact import redact_data

LONGEST = 4_000
"""Characters of a message."""


def actions(lines: Lines, tenant: str) -> tuple[Callable[..., Any], ...]:
    """The actions of a tenant's channels: none, where there is no channel."""
    return (_send(lines, tenant),) if len(lines) else ()


def _send(lines: Lines, tenant: str) -> Callable[..., Any]:
    def theirs(ctx: ActionContext) -> list[str]:
        """The channels behind which the run's agent sits."""
        return [one.name for one in lines if (tenant, one.agent) == (ctx.tenant, ctx.agent)]

    def chat(args: dict[str, Any], ctx: ActionContext) -> tuple[Address, bool]:
        """Where it goes, and whether that is the run's own chat."""
        with ctx.store.read() as look:
            own = listeners.last(look, ctx.run_id)
        wanted = args.get("to") or own
        if wanted is None:
            raise errors.CallRefused(
                "This run was not spoken to from a chat.",
                next="Say to whom, as platform:identity:chat; the channels are "
                f"{', '.join(theirs(ctx)) or 'none of yours'}.",
            )
        try:
            address = Address.parse(wanted)
        except errors.UsageError as problem:
            raise errors.CallRefused(problem.detail, next=problem.next) from None
        # an agent of another tenant may be called as one that sits behind a line
        line = lines.get(address.channel) if ctx.tenant == tenant else None
        if line is None or not _may(line.agent, address, ctx):
            raise errors.CallRefused(
                f"{ctx.agent} does not speak in {wanted}.",
                next="It speaks where it was spoken to"
                + "".join(f", and on {name}" for name in theirs(ctx))
                + ".",
            )
        return address, wanted == own

    def target(args: dict[str, Any], ctx: ActionContext) -> Any:
        return {"to": str(chat(args, ctx)[0])}

    def preview(args: dict[str, Any], ctx: ActionContext) -> str:
        return f"to {chat(args, ctx)[0]}\n\n{args['text']}"

    def destinations(args: dict[str, Any], ctx: ActionContext) -> list[Destination]:
        address, own = chat(args, ctx)
        return [Destination(str(address), owners=own)]

    def classify(args: dict[str, Any], ctx: ActionContext) -> Risk:
        return Risk.NONE if chat(args, ctx)[1] else Risk.MEDIUM

    @action(
        "channels.send",
        integration="channels",
        risk=Risk.NONE,
        effect=Effect.KEYED,
        target=target,
        preview=preview,
        destinations=destinations,
        classify=classify,
        touches=lambda args, ctx: [],
        redact=redact_data,
    )
    def send(
        text: Annotated[str, Field(min_length=1, max_length=LONGEST)],
        to: str | None = None,
        *,
        key: str,
        ctx: ActionContext,
    ) -> dict[str, Any]:
        """Say something in a chat, besides the answer, which goes to the chat that you were spoken to from by itself.

        Args:
            text: What to say.
            to: The chat, as platform:identity:chat; the one that you were spoken to from when it is not given.
        """
        if not text.strip():
            raise errors.CallRefused("There is nothing to say.")
        address, _ = chat({"to": to}, ctx)
        run_id = ctx.run_id
        body = display.display(text.strip(), multiline=True)  # as the card shows it

        def write(tx: Tx) -> None:
            outbox.write(
                tx,
                id=key,
                tenant=tenant,
                channel=address.channel,
                target=str(address),
                run_id=run_id,
                body=body,
            )

        ctx.along.append(write)
        return {"to": str(address), "will_be_sent": True}

    return send


def _may(agent: str | None, address: Address, ctx: ActionContext) -> bool:
    if agent is not None:
        return agent == ctx.agent
    with ctx.store.read() as look:
        return listeners.known(look, ctx.tenant, ctx.agent, str(address))
