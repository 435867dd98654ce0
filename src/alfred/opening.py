"""Opens what every command needs: home, settings, ledger, desk. Imports nothing heavy, and no action.

Invariants: all that is wrong with a configuration is told at once, of every floor; what is known of secrets is hidden before
anything else can print it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from alfred import config, config_servers, config_text, errors, home
from alfred.agents import bindings, entries, named, teams
from alfred.channels import written
from alfred.channels.base import NONE, Lines
from alfred.desk import Desk, person
from alfred.runs.delivery import Delivery, queue
from alfred.runs.dispatcher import Dispatcher
from alfred.store import connect, migrate
from alfred.store.connect import Store

FULL = 1_000_000
"""Bytes of free space below which a disk is called full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What every command needs."""

    home: Path
    settings: config.Settings
    store: Store
    desk: Desk
    dispatcher: Dispatcher
    delivery: Delivery
    lines: Lines = NONE
    """The channels that are served here: people of the tenant talk to its agents there."""

    def close(self) -> None:
        """Closes every connection."""
        self.delivery.stop()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def base(
    *, folder: Path | None = None, tenant: str = "main", upgrade: bool = True, lines: Lines = NONE
) -> Base:
    """Opens home, settings and ledger.

    Args:
        folder: The home, None for the one that the environment names.
        tenant: Whose desk it is: its settings and its folder. What else there is here is the installation's.
        upgrade: Whether the schema is made or migrated; `db` commands do that themselves.
        lines: The channels that are served here; none comes with alfred yet.

    Raises:
        HomeRefused, ConfigError, SchemaMismatch, StoreUnavailable.
    """
    folder = folder or home.path()
    if any(0xD800 <= ord(letter) < 0xE000 for letter in str(folder)):
        raise errors.HomeRefused(
            f"The home {str(folder)!r} cannot be used: its name holds bytes that are no text.",
            next="Set ALFRED_HOME to a folder with a name in UTF-8.",
        )
    home.ensure(folder)
    if tenant != home.MAIN:
        home.ensure(folder, tenant=tenant)
    return replace(_over(folder, settings_of(folder), tenant=tenant, upgrade=upgrade), lines=lines)


def settings_of(folder: Path, tenant: str = "main") -> config.Settings:
    """The settings of a tenant.

    Raises:
        ConfigError, ConfigErrors: all that is wrong with them, of every floor, together.
    """
    return config.load(folder, tenant=tenant, check=check)


def check(tree: Mapping[str, Any]) -> list[config_text.Finding]:
    """What the floors above `config` find wrong with the keys that it keeps raw for them.

    Args:
        tree: The configuration as it is written. There are no `Settings` of one that is wrong elsewhere, and all that
            is wrong is told at once.
    """
    found = [*entries.problems(tree), *bindings.problems(tree), *named.problems(tree)]
    found += [*config_servers.problems(tree), *written.problems(tree)]
    if (there := bindings.defined(tree)) is not None:
        found += teams.read(tree, there)[1]
    if tree.get("integrations") is not None:
        from alfred.integrations import web_settings  # what it needs is loaded where it is used

        found += web_settings.problems(tree)
    return found


def base_despite(problem: errors.AlfredError, folder: Path) -> tuple[Base, str | None]:
    """Opens the ledger although the configuration, or the home around a ledger on a server, cannot be used.

    For `stop --all` alone, which must not wait until that is mended. Nothing is made in the home.

    Args:
        problem: What `base` said.

    Returns:
        The ledger with settings that are the defaults, and where its database was named; None: nowhere, so it is
        the home's own.

    Raises:
        HomeRefused: `problem`, where the ledger lies in the home that was refused.
        SchemaMismatch, StoreUnavailable, ConfigError: the database cannot be used either.
    """
    database, place = config.database_despite(folder)
    if isinstance(problem, errors.HomeRefused) and database == "sqlite":
        raise problem
    return _over(folder, config.Settings.model_construct(database=database)), place


def _over(
    folder: Path, settings: config.Settings, *, tenant: str = "main", upgrade: bool = True
) -> Base:
    own = settings if tenant == home.MAIN else settings_of(folder, tenant)
    dispatcher = Dispatcher(poll=1.0 if settings.database != "sqlite" else 0.1)
    store = _opened(folder, settings)
    delivery = Delivery(store, dispatcher)
    try:
        if upgrade:
            migrate.ensure_schema(
                store, backups=folder / "backups", extras=queue if store.pg else None
            )
    except BaseException:
        store.close()
        raise
    # `doctor` says what is wrong with a `.env`, and whatever needs one of its secrets refuses to go on.
    with contextlib.suppress(errors.ConfigError):
        hide(folder, settings)
    desk = Desk(
        store=store,
        settings=own,
        home=home.of_tenant(folder, tenant),
        tenant=tenant,
        by=person(),
    )
    return Base(
        home=folder,
        settings=settings,
        store=store,
        desk=desk,
        dispatcher=dispatcher,
        delivery=delivery,
    )


def _opened(folder: Path, settings: config.Settings) -> Store:
    try:
        return connect.open_store(database_url(settings.database, folder))
    except errors.StoreUnavailable as problem:
        # SQLite calls it an I/O error when its shared memory finds no room.
        if settings.database == "sqlite" and shutil.disk_usage(folder).free < FULL:
            raise errors.StoreUnavailable(
                f"The disk of the home {str(folder)!r} is full.",
                next="Free some space; nothing that was acknowledged is lost.",
            ) from problem
        raise


def database_url(said: str, folder: Path) -> str:
    """The URL that the store opens, of what `database` says: each `${NAME}` in it is the secret of this name.

    Raises:
        ConfigError: a secret has no value, or its source is wrong.
    """
    if said == "sqlite":
        return config.sqlite_url(folder)

    def value(found: re.Match[str]) -> str:
        from alfred.trust import secrets

        if (known := secrets.get(found[1], home=folder)) is None:
            raise errors.ConfigError(
                f"`database` names {found[0]}, which has no value.",
                next=f"Write {found[1]}=… into {str(home.env_file(folder))!r}, or set it in the environment.",
            )
        return urllib.parse.quote(known, safe="")

    return config_servers.REFERENCE.sub(value, said)


def hide(folder: Path, settings: config.Settings) -> None:
    """Whatever the environment and the `.env` of each tenant hold of secrets is hidden from now on.

    Raises:
        ConfigError: the home's own `.env` cannot be used. One of another tenant that cannot be used is theirs: nothing
            of it is read, by anybody.
    """
    from alfred.trust import secrets

    for tenant in home.tenants(folder):
        if tenant != home.MAIN:
            own = home.of_tenant(folder, tenant)
            with contextlib.suppress(errors.ConfigError):
                secrets.register_known(home=own)
                secrets.register_known(home=own, names=settings_of(folder, tenant).secrets)
    secrets.register_known(home=folder, names=settings.secrets)


def secrets_of(folder: Path, settings: config.Settings) -> Callable[[str, str], str | None]:
    """(tenant, name) -> the secret of a tenant; what is known of all of them is hidden from now on."""
    from alfred.trust import secrets

    hide(folder, settings)

    def secret(tenant: str, name: str) -> str | None:
        if tenant == home.MAIN:
            return secrets.get(name, home=folder)
        return secrets.of_tenant(name, home=home.of_tenant(folder, tenant))

    return secret
