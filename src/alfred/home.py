"""Where things lie under the home folder. Asked at every call, never at import; standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def path() -> Path:
    """The home folder: `ALFRED_HOME`, else `HERMES_HOME`, else `~/.alfred`, made absolute."""
    named = os.environ.get("ALFRED_HOME") or os.environ.get("HERMES_HOME")
    return Path(named).expanduser().absolute() if named else Path.home() / ".alfred"
