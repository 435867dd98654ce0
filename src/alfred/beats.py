"""What happens by itself besides the runs: the beats of the sweep, in their order, and what they need of the settings.

Invariants: a beat that finds nothing to do writes nothing; one tenant's configuration that cannot be read stops nothing
of another's; whatever may happen by itself is sealed in the audit before it does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from alfred import config, errors, ids
from alfred.runs import audit
from alfred.store.connect import Store

if TYPE_CHECKING:
    from alfred.config_live import LiveSettings


RULES = ("policy", "approvals", "budget", "limits", "trust", "secrets", "sandbox", "tools")
"""Sections of the settings that say what may happen by itself: each change of them is a row of the audit."""

_OF_TOOLS = ("toolsets", "tools", "tool_policy")


def seal_rules(store: Store, tenant: str, settings: Callable[[str], config.Settings]) -> None:
    """Writes into the audit what holds for a tenant, when it is not what held before."""
    rules = settings(tenant).model_dump(mode="json", include={*RULES, "agents"})
    agents = (rules["agents"] or {}).items()
    rules["agents"] = {name: _tools(entry) for name, entry in agents if _tools(entry)}
    with store.read() as look:
        sealed = audit.holds(look, tenant, rules)
    if not sealed:
        store.transact(audit.policy, tenant, rules)


def _tools(entry: Any) -> dict[str, Any]:
    """What the entry of an agent says of its tools, in any spelling; the rest of it says how it works."""
    found = entry if isinstance(entry, dict) else {}
    return {key: found[key] for key in _OF_TOOLS if found.get(key) is not None}


def beats(
    start: Callable[[Any, str], Any],
    zone: Callable[[str], str],
    *,
    quiet: Callable[[str], bool],
    settings: Callable[[str], config.Settings],
    tenants: Callable[[], Sequence[str]],
    earned: Callable[[Store, str], None],
    told: Callable[[Store, str, str], None],
    crons: bool,
) -> Sequence[Callable[[Store], None]]:
    """What the sweep does besides the core's own, in order.

    Args:
        quiet: Whether it is a tenant's quiet hours now: nothing approves itself then.
        settings: A tenant's settings as they are now: its caps may have been raised.
        tenants: Whose settings there are.
        earned: Writes down which rules are to be proposed to a tenant.
        told: Tells the people of a tenant of the cards that wait; with the name of who sends.
        crons: Whether this process fires them: a command that stays with one run would leave their runs queued.
    """
    from alfred.actions import card_clock
    from alfred.agents import caps
    from alfred.runs import budget, triggers

    def expire(store: Store) -> None:
        card_clock.expire_beat(store, ids.new)

    def auto(store: Store) -> None:
        card_clock.auto_beat(store, ids.new, quiet=quiet)

    def lapse(store: Store) -> None:
        store.transact(budget.lapse)

    def raised(store: Store) -> None:
        caps.wake_what_fits(store, settings)

    sealed: dict[str, config.Settings] = {}

    def rules(store: Store) -> None:
        # What this process goes by, once: another machine may have a configuration of its own, and each would
        # write at every beat that the other's holds no more.
        for tenant in tenants():
            with contextlib.suppress(errors.ConfigError):  # it is said by whatever needs them
                now = settings(tenant)
                if sealed.get(tenant) is not now:
                    seal_rules(store, tenant, settings)
                    sealed[tenant] = now

    def notify(store: Store) -> None:
        for tenant in tenants():
            with contextlib.suppress(errors.ConfigError):
                told(store, tenant, ids.new())

    def propose(store: Store) -> None:
        for tenant in tenants():
            with contextlib.suppress(errors.ConfigError):
                earned(store, tenant)

    def fire(store: Store) -> None:
        triggers.beat(store, start=start, zone=zone)

    always = (rules, expire, auto, lapse, raised, propose)
    return (*always, *((fire,) if crons else ()), notify)  # what speaks to others may take its time


def can_be_read(live: LiveSettings, tenant: str) -> bool:
    """Whether the settings of a tenant can be used now."""
    try:
        live.of(tenant)
    except errors.ConfigError:
        return False
    return True


def is_quiet(live: LiveSettings, tenant: str) -> bool:
    """Whether it is quiet hours; also while a tenant's settings cannot be read: then nobody knows, and it waits."""
    from alfred.actions import card_clock

    try:
        settings = live.of(tenant)
    except errors.ConfigError:
        return True  # `doctor` and every command of the tenant say what is wrong with it
    return card_clock.is_quiet(settings.approvals.quiet_hours, settings.timezone)
