"""Which agent a message reaches: the most specific binding that fits, by rules that leave nothing to chance.

Invariants: the same message always reaches the same agent, by the order of `ranks`; a message that no binding fits
reaches the default agent. A route is looked up, not searched for: bindings that ask for the same keys lie in one table
under their values, so it costs a look into each table, however many bindings there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Unpack

from alfred import config_text
from alfred.agents import bindings as written
from alfred.agents import ranks, verdicts
from alfred.agents.bindings import Binding
from alfred.agents.ranks import Message, Values

if TYPE_CHECKING:
    from alfred.config import Settings

_WAY = "Correct `bindings`; `alfred route --explain` shows what each one does."


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes.

    Attributes:
        agent: The id of the agent.
        tier: Which of `ranks.TIERS` decided it.
        binding: The one that did; None: nothing fits, it is the default agent.
    """

    agent: str
    tier: int
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class _Level:
    """The bindings of one platform that rank alike but for their order in the file.

    Attributes:
        around: Whether the chat that they name is the one around the message's own.
        tables: For each set of keys the number of the first binding that asks for these values of them.
    """

    tier: int
    around: bool
    tables: tuple[tuple[Callable[[Values], Any], dict[Any, int]], ...]


class BindingRouter:
    """Finds the agent of a message.

    Args:
        bindings: Entries in any form that config.yaml takes.
        default_agent: The id of the agent for everything else.
        agents: The ids that bindings may name; None: any.

    Attributes:
        bindings: All of them in their one form, in the order of the file.

    Raises:
        UnknownAgent: a binding names an agent that is not defined.
        ConfigError: a binding is wrong otherwise.
        ConfigErrors: several things are.
    """

    def __init__(
        self,
        bindings: Sequence[Any] | None,
        default_agent: str,
        *,
        agents: Collection[str] | None = None,
    ):
        self.bindings, wrong = written.read(bindings, agents)
        if wrong:
            raise config_text.raised(wrong, _WAY)
        self.default_agent = default_agent
        of: dict[str, list[tuple[int, Binding]]] = {}
        for number, binding in enumerate(self.bindings):
            of.setdefault(binding.platform, []).append((number, binding))
        self._levels = {platform: _levels(numbered) for platform, numbered in of.items()}

    @classmethod
    def from_settings(cls, settings: Settings) -> BindingRouter:
        """The router of a tenant.

        Raises:
            ConfigError: as the class. Not for settings that were loaded with `bindings.problems` as a check.
        """
        from alfred.agents.registry import AgentRegistry

        agents = AgentRegistry.from_settings(settings)
        return cls(_as_written(settings.bindings), agents.default.id, agents=agents.ids())

    def resolve(
        self,
        *,
        platform: str,
        chat_id: str | int | None = None,
        peer: str | int | None = None,
        user_id: str | int | None = None,
        chat_type: str | None = None,
        guild_id: str | int | None = None,
        team_id: str | int | None = None,
        thread_id: str | int | None = None,
        parent_chat_id: str | int | None = None,
    ) -> Route:
        """The route of a message that has these.

        Args:
            peer: Who a direct chat is with; where it is not given, whoever wrote there (`user_id`).
            user_id: Who wrote it, in whatever chat.
            chat_type: dm, group, channel, thread, or a platform's own word for one.
            parent_chat_id: The chat around a thread that has a `chat_id` of its own.
        """
        has, around = ranks.said(
            {
                "platform": platform,
                "chat_id": chat_id,
                "peer": peer,
                "user_id": user_id,
                "chat_type": chat_type,
                "guild_id": guild_id,
                "team_id": team_id,
                "thread_id": thread_id,
                "parent_chat_id": parent_chat_id,
            }
        )
        for level in self._levels.get(platform, ()):
            if level.around and around is None:
                continue
            values = (around, *has[1:]) if level.around else has
            found = [table[key] for of, table in level.tables if (key := of(values)) in table]
            if found:
                binding = self.bindings[min(found)]
                return Route(binding.agent, level.tier, binding)
        return Route(self.default_agent, ranks.DEFAULT, None)

    def explain(self, **message: Unpack[Message]) -> tuple[verdicts.Verdict, ...]:
        """What becomes of each binding for a message, in the order of the file. It takes what `resolve` takes."""
        winner = self.resolve(**message).binding
        return tuple(verdicts.of(self.bindings, winner, message))

    def shadowed(self) -> tuple[tuple[Binding, Binding], ...]:
        """Bindings that win for no message at all, each with one that beats it always.

        Whatever fits a message that has nothing but what a binding asks for fits every message that the binding fits.
        """
        winners = ((one, self.resolve(**one.match).binding) for one in self.bindings)
        return tuple((one, by) for one, by in winners if by is not None and by is not one)


def _levels(numbered: Iterable[tuple[int, Binding]]) -> tuple[_Level, ...]:
    """The index of one platform, in the order in which it is asked."""
    ranked: dict[tuple[int, bool, int], dict[tuple[int, ...], dict[Any, int]]] = {}
    for number, binding in numbered:
        asked = ranks.asked(binding)
        where = tuple(n for n, value in enumerate(asked) if value is not None)
        tier = ranks.tier(binding.match)
        tables = ranked.setdefault((tier, False, -len(where)), {})
        table = tables.setdefault(where, {})
        table.setdefault(_getter(where)(asked), number)  # of equals the first
        if tier == 1:
            ranked[tier, True, -len(where)] = tables
    return tuple(
        _Level(tier, around, tuple((_getter(where), table) for where, table in tables.items()))
        for (tier, around, _), tables in sorted(ranked.items(), key=itemgetter(0))
    )


def _getter(where: tuple[int, ...]) -> Callable[[Values], Any]:
    return itemgetter(*where) if where else _nothing


def _nothing(_: Values) -> tuple[()]:
    return ()


def _as_written(tree: Any) -> Any:
    """The texts that stand in the file, of values that settings keep as numbers and switches."""
    if isinstance(tree, dict):
        return {key: _as_written(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_as_written(value) for value in tree]
    return None if tree is None else config_text.as_text(tree)
