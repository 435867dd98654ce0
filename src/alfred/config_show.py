"""What `config show` prints: every setting with its value and its source, and no secret.

Replaced are the passwords of addresses everywhere, and in the parts that are kept raw also the paths of
addresses (a webhook is a secret as a whole) and what stands under a name like `token`, or in the environment and the
headers that a server is given. A secret that no name
and no form gives away is for `trust.redact`, which whoever prints this applies as well.
"""

from __future__ import annotations

import re
from typing import Any

from alfred import config_keys, config_text
from alfred.config_schema import Settings

_SECRET = re.compile(
    r"(?i)token(?!s)|secret|passw|passphrase|api_?key|private_?key|credential|authorization|cookie"
    r"|\A(?:env|headers)\Z"
)
_REFERENCE = re.compile(r"\$\{\w+\}")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^\s'\"]+")


def sources(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting by its dotted key: `value` as it is written, `source` as `config show` prints it.

    Sources are `default`, `config.yaml:<line>` and `env:<NAME>`.
    """
    shown: dict[str, dict[str, Any]] = {}

    def add(path: config_text.Where, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                add((*path, key), item)
            return
        shown[config_text.dotted(path)] = {
            "value": redacted(value, path),
            "source": _source(settings, path),
        }

    for key, value in settings.model_dump(mode="json").items():
        add((key,), value)
    return shown


def redacted(value: Any, path: config_text.Where) -> Any:
    """What stands at this path of the settings, as it may be shown."""
    return _redacted(value, path, raw=config_keys.is_raw(path))


def _source(settings: Settings, path: config_text.Where) -> str:
    """Its own place; what is not written in a section that is written has its default."""
    place = settings.place(*path)
    if place and (path in settings._origins or place.startswith("env:")):
        return place
    return "default"


def _redacted(value: Any, path: config_text.Where, *, raw: bool) -> Any:
    if isinstance(value, dict):
        return {k: _redacted(v, (*path, k), raw=raw) for k, v in value.items()}
    if isinstance(value, list):
        return [_redacted(v, path, raw=raw) for v in value]
    if value is None or isinstance(value, bool):
        return value
    if raw and any(_SECRET.search(str(part)) for part in path):
        return value if _REFERENCE.fullmatch(str(value)) else "[redacted]"
    if not isinstance(value, str):
        return value
    if raw:
        return _URL.sub(_redacted_url, value)
    return config_text.without_password(value)


def _redacted_url(found: re.Match[str]) -> str:
    """An address in a raw part may be a secret as a whole (webhooks, apprise): scheme, and host where it is one."""
    scheme, rest = found[1], found[0].split("://", 1)[1]
    host = re.split(r"[/?#]", rest.rpartition("@")[2] if "@" in rest else rest)[0]
    if scheme.lower() not in ("http", "https", "ws", "wss"):
        return f"{scheme}://[redacted]"
    return found[0] if rest in (host, host + "/") else f"{scheme}://{host}/[redacted]"
