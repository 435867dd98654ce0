"""The settings of each tenant as they are on disk now, for processes that run for months.

Invariant: a file that broke or went away meanwhile changes nothing: what it said before holds, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from alfred import config, errors, home

log = logging.getLogger(__name__)


class LiveSettings:
    """The settings of every tenant of a home, read again when their file has changed.

    Args:
        folder: The home.
        load: Reads the settings of a tenant, with every check.
    """

    def __init__(self, folder: Path, load: Callable[[Path, str], config.Settings]):
        self._folder = folder
        self._load = load
        self._known: dict[str, tuple[tuple[int, int], config.Settings]] = {}

    def home(self, tenant: str) -> Path:
        """The home of a tenant."""
        return self._folder if tenant == "main" else home.of_tenant(self._folder, tenant)

    def of(self, tenant: str) -> config.Settings:
        """What a tenant's config.yaml says.

        Raises:
            ConfigError: it is broken, and was when it was read first.
        """
        folder = self.home(tenant)
        stamp = _stamp(home.config_file(folder))
        known = self._known.get(tenant)
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            if known is not None and stamp == _GONE:
                raise errors.ConfigError("The file is gone.")
            settings = self._load(self._folder, tenant)
        except errors.ConfigError as problem:
            if known is None:
                raise
            log.warning(
                "config.yaml of %s cannot be used; what it said before holds: %s",
                tenant,
                problem.detail,
            )
            settings = known[1]
        self._known[tenant] = (stamp, settings)
        return settings


_GONE = (0, 0)
"""What is known of a file that is not there."""


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return _GONE
    return (found.st_mtime_ns, found.st_size)
