"""Which model a run is given, and whether this process can ask it: one answer for `run`, `setup` and `doctor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alfred import errors, home
from alfred.agents.registry import AgentRegistry
from alfred.config_live import LiveSettings
from alfred.llm import auto, catalog, cli_models, scenarios


def choose(
    settings: Any,
    *,
    secrets: catalog.Secrets,
    env: Mapping[str, str],
    env_file: Path,
    agent: str | None = None,
    model: str | None = None,
) -> auto.Resolution:
    """The model that was asked for, else the agent's, else the installation's, with `auto` resolved.

    Args:
        agent: Whose run it is; the default agent's for None.
        model: As somebody named it.

    Raises:
        errors.NoModel, errors.ConfigError: as `usable`.
    """
    agents = AgentRegistry.from_settings(settings)
    wanted = agents.effective(agent).asked if model is None else agents.named(model, agent)
    provider = agents.provider(agent)
    return usable(wanted, provider=provider, secrets=secrets, env=env, env_file=env_file)


def usable(
    wanted: str,
    *,
    provider: str | None,
    secrets: catalog.Secrets,
    env: Mapping[str, str],
    env_file: Path,
) -> auto.Resolution:
    """A model that can be asked from here, with `auto` resolved.

    Args:
        wanted: With its provider, or `auto`.
        provider: The only one among whose models `auto` looks; None: among all.
        env_file: Where a key that is missing would be put.

    Raises:
        errors.NoModel: No key or login that it needs is there, or `auto` found nothing.
        errors.ConfigError: It is no model, its scenario cannot be read, a key or an endpoint is none.
    """
    if wanted == "auto":
        return auto.resolve(env, secrets, provider=provider)
    name = catalog.here(wanted, secrets, env)
    if name.provider == "scripted":
        if not Path(name.model).is_file():
            raise errors.ConfigError(
                f"There is no scenario file {name.model!r}.", next="Give `scripted:FILE`."
            )
        scenarios.load(name.model)
    elif name.provider in catalog.PROGRAMS:
        if (lacks := cli_models.missing(name.provider, env, secrets)) is not None:
            raise errors.NoModel(f"{name} cannot be asked: {lacks.what}.", next=lacks.next)
    elif catalog.key(name, secrets) is None and catalog.needs_key(name, env):
        keys = catalog.PROVIDERS[name.provider].keys
        raise errors.NoModel(
            f"{name} needs {' or '.join(keys)}, and there is none.",
            next=f"Put {keys[0]}=… into {env_file} (mode 0600) or the environment, or choose another --model.",
        )
    return auto.Resolution(str(name), "")


def of_agent(
    settings: LiveSettings, secret: Callable[[str, str], str | None], tenant: str, agent: str | None
) -> str:
    """Who answers for an agent of a tenant, when nobody has chosen another one.

    Args:
        secret: (tenant, name) -> a secret.

    Raises:
        errors.NoModel, errors.ConfigError: as `choose`.
    """
    found = choose(
        settings.of(tenant),
        secrets=lambda name: secret(tenant, name),
        env=os.environ,
        env_file=home.env_file(settings.home(tenant)),
        agent=agent,
    )
    return found.model
