"""What is said on channels comes in here: from whom, to which agent, in which conversation, once.

Invariants: whoever is not on a line's list is not heard, and told nothing. A message is in the ledger when `accept` has come
back, with the chat that its answer goes to, in one transaction; brought again, it is where it was. Nothing is acknowledged to
a platform before that: what raises here is brought again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from alfred import clock, errors, ids, orders
from alfred.actions import canonical
from alfred.agents import platforms
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.agents.router import BindingRouter
from alfred.agents.sessions import build_session_key
from alfred.channels import owner
from alfred.channels.base import Envelope, Line, Lines
from alfred.config import Settings
from alfred.config_live import LiveSettings
from alfred.conversations import Conversation
from alfred.runs import idempotency, listeners, outbox, sessions
from alfred.runs.rows import NewRun, Run
from alfred.store.connect import Store
from alfred.store.tx import Tx

log = structlog.get_logger()

_ONE_PERSON = ("main", "shared")
"""Values of `dm_scope` with which everybody who may speak has one conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The way in of one tenant. Made in `app`."""

    store: Store
    tenant: str
    lines: Lines
    settings: LiveSettings
    tools: Callable[[str, str], Sequence[str]]
    """(tenant, agent) -> the ids of what there is for a run of it."""
    model: Callable[[str, str], str]
    """(tenant, agent) -> who answers for it."""
    to_owner: Callable[[], bool] = lambda: False
    """Whether the owner can be told of something."""
    _told: dict[str, int] = field(default_factory=dict, init=False)
    """When the owner was told of a stranger last, by this process."""
    _routers: dict[str, tuple[Settings, BindingRouter]] = field(default_factory=dict, init=False)

    def accept(self, said: Envelope) -> Run | None:
        """The run that has the message; None: nobody has it, because its writer may not speak here, or because there is
        nothing in it that could be answered, which they are told.

        Raises:
            NotFound: no such channel is served here.
            ConfigError, NoModel: nobody can answer before that is mended; the message is not taken.
            StoreUnavailable: it is not known whether it was taken.
        """
        line = self.lines.get(said.to.channel)
        if line is None:
            raise errors.NotFound(f"No channel {said.to.channel!r} is served here.")
        if not _may_speak(line, said.user):
            self._stranger(line, said.user)
            return None
        with self.store.read() as look:
            earlier = idempotency.known(
                look, tenant=self.tenant, scope=_scope(line), key=_key(said)
            )
            if earlier is not None:
                return sessions.having(look, earlier.ref)
        agent = self._agent(line, said)
        talk = self._conversation(line, agent, said)
        while True:
            try:
                new = self._turn(talk, said)
            except errors.UsageError as problem:
                self.store.transact(self._refuse, line, said, ids.new(), problem)
                return None
            orders.make_folder(new)
            with contextlib.suppress(sessions.HandedOver):  # while the turn was made: make it again
                return self.store.transact(self._deliver, line, talk, new, said)

    def _stranger(self, line: Line, user: str) -> None:
        """Is logged, and the owner is told; whoever writes a thousand messages makes the ledger no work."""
        log.warning("door.stranger", channel=line.name, user=user[:64])
        now = clock.monotonic()
        told = self._told.get(self.tenant)
        if told is not None and now - told < owner.BETWEEN:
            return
        self._told[self.tenant] = now
        if self.to_owner():
            self.store.transact(
                owner.stranger, self.tenant, channel=line.name, user=user, id=ids.new()
            )

    def _turn(self, talk: Conversation, said: Envelope) -> NewRun:
        """The turn that a message asks of whoever has the conversation now."""
        speaks = talk.speaks().id
        return talk.turn(
            said.text,
            actions=self.tools(self.tenant, speaks),
            model=lambda: self.model(self.tenant, speaks),
        )

    def _agent(self, line: Line, said: Envelope) -> EffectiveAgent:
        settings = self.settings.of(self.tenant)
        agents = AgentRegistry.from_settings(settings)
        if line.agent is not None:
            return agents.effective(line.agent)
        route = self._router(settings).resolve(
            platform=said.to.platform,
            chat_id=said.to.chat,
            user_id=said.user,
            chat_type=said.chat_type,
            guild_id=said.guild,
            team_id=said.team,
            thread_id=said.to.thread,
            parent_chat_id=said.parent_chat,
        )
        return agents.effective(route.agent)

    def _router(self, settings: Settings) -> BindingRouter:
        """Made once for what the configuration says: for thousands of bindings that takes longer than all else here."""
        made = self._routers.get(self.tenant)
        if made is None or made[0] is not settings:
            made = self._routers[self.tenant] = settings, BindingRouter.from_settings(settings)
        return made[1]

    def _conversation(self, line: Line, agent: EffectiveAgent, said: Envelope) -> Conversation:
        platform = said.to.platform
        direct = _is_direct(said.chat_type)
        several = self._several(agent, platform) if direct else 0
        if several and agent.dm_scope in _ONE_PERSON:
            raise errors.ConfigError(
                f"agents.{agent.id}.dm_scope is {agent.dm_scope}, and {several} people may speak to it on one platform:"
                " each would read what the others said.",
                next="Write per_peer or per_chat.",
            )
        key = build_session_key(
            agent_id=agent.id,
            platform=platform,
            dm_scope=agent.dm_scope or ("per_peer" if several else "main"),
            chat_id=platforms.canonical(platform, "chat_id", said.to.chat),
            user_id=platforms.canonical(platform, "user_id", said.user),
            # a topic is a thread, whatever the chat around it: in a group its id could be that of a person
            chat_type=said.chat_type if direct or said.to.thread is None else "thread",
            guild_id=said.guild,
            team_id=said.team,
            thread_id=said.to.thread,
        )
        return Conversation(
            store=self.store,
            settings=self.settings.of(self.tenant),
            home=self.settings.home(self.tenant),
            tenant=self.tenant,
            by=f"{said.to.platform}:{said.user}",
            via=said.to.platform,
            agent=agent,
            key=key,
        )

    def _several(self, agent: EffectiveAgent, platform: str) -> int:
        """How many people may have one conversation with an agent, when they are more than one: over all lines on which it
        may answer, because in a conversation nothing says through which of them something came."""
        router = self._router(self.settings.of(self.tenant))
        direct = [one for one in router.bindings if _is_direct(one.match.get("chat_type", "dm"))]
        bound = {(one.platform, one.agent) for one in direct}
        people: dict[str, set[str]] = {}
        for line in self.lines:
            there = line.channel.platform
            routed = (there, agent.id) in bound or agent.id == router.default_agent
            if routed if line.agent is None else line.agent == agent.id:
                people.setdefault(there, set()).update(_people(line))
        # one person has another id on each platform: that these are one is what `shared` says
        counted = people.values() if agent.dm_scope == "shared" else [people[platform]]
        most = max(map(len, counted))
        return most if most > 1 else 0

    def _deliver(
        self, tx: Tx, line: Line, talk: Conversation, new: NewRun, said: Envelope
    ) -> Run | None:
        """A verb."""
        if (earlier := self._take(tx, line, said, new.id)) is not None:
            return sessions.having(tx, earlier.ref)
        run = talk.deliver(tx, new)
        # a child that took the conversation over answers through its caller, whose end is told
        listeners.listen(tx, run.root_id, channel=line.name, target=str(said.to))
        return run

    def _refuse(
        self, tx: Tx, line: Line, said: Envelope, new_id: str, problem: errors.UsageError
    ) -> None:
        """A verb."""
        if self._take(tx, line, said, new_id) is None:
            body = " ".join(part for part in (problem.detail, problem.next) if part)
            outbox.write(
                tx,
                id=new_id,
                tenant=self.tenant,
                channel=line.name,
                target=str(said.to),
                body=body,
            )

    def _take(self, tx: Tx, line: Line, said: Envelope, ref: str) -> idempotency.Earlier | None:
        # no hash of the text: what a platform brings under one id is one message, even if it was edited meanwhile
        return idempotency.take(
            tx, tenant=self.tenant, scope=_scope(line), key=_key(said), body_hash="", ref=ref
        )


def _scope(line: Line) -> str:
    return f"heard:{line.name}"


def _key(said: Envelope) -> str:
    """The key of a message: some platforms count messages in each chat anew, and an id may be as long as a platform likes."""
    return canonical.text_digest(json.dumps([said.to.chat, said.key]))


def _people(line: Line) -> set[str]:
    """Who may speak there, each in the one form of their id."""
    platform = line.channel.platform
    return {platforms.canonical(platform, "user_id", one) for one in line.people}


def _is_direct(chat_type: str) -> bool:
    return platforms.kind(chat_type) == "dm"


def _may_speak(line: Line, user: str) -> bool:
    return platforms.canonical(line.channel.platform, "user_id", user) in _people(line)
