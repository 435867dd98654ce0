"""Which model a command uses: what was named, made sure of before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from alfred import errors
from alfred.cli import terminal


def usable(wanted: str, secret: Callable[[str], str | None], *, keys: str) -> str:
    """The model as a run names it, with `auto` resolved.

    Args:
        wanted: `provider:model`, or `auto`.
        secret: Gives a secret by its name.
        keys: Where a key would be found, in words.

    Raises:
        ConfigError: no provider has this name, or the scenario cannot be read.
        NoModel: it has no key.
    """
    from alfred.llm import catalog, scripted

    if wanted == "auto":
        found = catalog.resolve_auto(os.environ, secret)
        terminal.say(f"model auto: {terminal.shown(found.model, 200)}. {found.why}")
        return found.model
    name = catalog.parse(wanted)
    provider = catalog.PROVIDERS[name.provider]
    if name.provider == "scripted":
        path = Path(name.model).expanduser().absolute()
        if not path.is_file():
            raise errors.ConfigError(
                f"There is no scenario file {str(path)!r}.", next="Give `scripted:FILE`."
            )
        scripted.load(str(path))
        return f"scripted:{path}"
    if provider.keys and catalog.key(name, secret) is None:
        raise errors.NoModel(
            f"{name} needs {' or '.join(provider.keys)}, and there is none.",
            next=f"Put {provider.keys[0]}=… into {keys}, or choose another --model.",
        )
    return str(name)
