"""The kinds of values that settings have: which spellings each takes, and how it is written again.

Texts come from the file as they were written, so each type here says which spellings it takes and takes no other.
Units: a `Duration` is microseconds, a `Usd` is US dollars with at most six decimals.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from alfred import config_text

_UNITS = {"ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,12})(ms|s|m|h|d)")
_LONGEST = 3650 * _UNITS["d"]
_COUNT = re.compile(r"0|[1-9][0-9]{0,17}")
_USD = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?")
_QUIET = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MADE = "made"
"""How a rule names the folders that alfred makes for runs."""
PATTERNS = frozenset({"below", "begins"})
"""How a rule names more than one value of an argument."""
_DATABASE = re.compile(r"sqlite|postgres(?:ql)?://\S+")
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# With a dot: a secret that was pasted here by mistake has none, and must not pass for a host.
_HOST = re.compile(
    rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)+(?![0-9]){_LABEL}|localhost|[0-9]+(?:\.[0-9]+){{3}}|[0-9a-f:]*:[0-9a-f:.]*"
)


def wrong(message: str) -> PydanticCustomError:
    """What a validator raises: the message is shown as it is, with the value and its place."""
    return PydanticCustomError("setting", "{message}", {"message": message})


def _text(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, Decimal):
        return config_text.as_text(value)
    raise wrong("must be a text")


def _word(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise wrong("must be one line with something in it, and no space around it")
    return text


def _version(value: Any) -> int:
    if value in (1, "1") and value is not True:
        return 1
    raise wrong("must be 1, the only version that this program knows")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise wrong("must be true or false")


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _COUNT.fullmatch(value):
            return int(value)
        if value.startswith("-") and _COUNT.fullmatch(value[1:]):
            return int(value)  # told to be too small, by the bounds
    raise wrong("must be a whole number in plain digits, as in 60")


def _usd(value: Any) -> Decimal:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = format(Decimal(repr(value) if isinstance(value, float) else value), "f")
    if isinstance(value, str):
        if _USD.fullmatch(value):
            return Decimal(value)
        if value.startswith("-") and _USD.fullmatch(value[1:]):
            raise wrong("must not be negative")
    raise wrong("must be dollars in plain digits, at most six after the point, as in 2 or 0.50")


def usd_plain(value: Decimal) -> int | float:
    """Dollars as a JSON number."""
    return int(value) if value == value.to_integral_value() else float(value)


def duration_us(text: str) -> int:
    """Microseconds of `500ms`, `30s`, `5m`, `4h` or `7d`.

    Raises:
        ValueError: it is not written like that.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2]]


def duration_text(us: int) -> str:
    """Microseconds as they are written: the largest unit that fits."""
    if us == 0:
        return "0s"
    unit = next(u for u in ("d", "h", "m", "s", "ms") if us % _UNITS[u] == 0)
    return f"{us // _UNITS[unit]}{unit}"


def _duration(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = duration_us(value)
        except ValueError:
            if value.startswith("-"):
                raise wrong("must not be negative") from None
            raise wrong("must be a number with a unit: 30s, 5m, 4h, 7d") from None
    if not isinstance(value, int) or isinstance(value, bool) or value % _UNITS["ms"]:
        raise wrong("must be a number with a unit: 30s, 5m, 4h, 7d")
    if not 0 <= value <= _LONGEST:
        raise wrong(f"must be between 0s and {duration_text(_LONGEST)}")
    return value


def _positive(us: int) -> int:
    if us == 0:
        raise wrong("must be more than 0s")
    return us


def _timezone(name: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        like = ", write one like Europe/Berlin"
        hint = config_text.meant(name, zoneinfo.available_timezones(), like)
        raise wrong(f"no timezone has this name{hint}") from None
    return name


def machine_timezone() -> str:
    """The name of the machine's timezone; UTC where it has none, as on a machine without /etc/localtime."""
    import tzlocal

    try:
        name = tzlocal.get_localzone_name()
        return _timezone(name) if name else "UTC"
    except (LookupError, ValueError, OSError):
        return "UTC"


def is_database(text: object) -> TypeGuard[str]:
    """Whether this is written like the name of a ledger's database."""
    named = isinstance(text, str) and _DATABASE.fullmatch(text) is not None
    return named and config_text.not_text(text) is None


def _database(text: str) -> str:
    if not is_database(text):
        raise wrong("must be sqlite, or postgresql:// with host and name")
    return text


def _quiet(text: str) -> str:
    if not _QUIET.fullmatch(text) or text[:5] == text[6:]:
        raise wrong("must be from and to, as in 22:00-07:00")
    return text


def _secret_name(name: str) -> str:
    if not _SECRET_NAME.fullmatch(name):
        raise wrong("is no name of a secret: letters, digits and _ only, no digit first")
    return name


def _hosts(value: Any) -> Any:
    """One host may stand without a list."""
    listed = [value] if isinstance(value, str) else value
    if not listed:
        raise wrong("must name the hosts that it may go to, as in [api.github.com]")
    return listed


def _host(text: str) -> str:
    host = text.lower().strip("[]")
    if not _HOST.fullmatch(host):
        raise wrong("must be a host, as in api.github.com: no scheme, port, path or pattern")
    return host


def _bindings(value: Any) -> Any:
    return {} if value is None else value


def _folder(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    try:
        found = Path(_word(_text(value))).expanduser()
    except RuntimeError:
        raise wrong("`~` stands for nobody here") from None
    if not found.is_absolute():
        raise wrong("must be a path that begins with / or ~")
    return found


def _workspace(value: Any) -> str:
    return MADE if value == MADE else str(_folder(value))


def _named(value: Any) -> str | dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        if (
            len(value) == 1
            and value.keys() <= PATTERNS
            and isinstance(next(iter(value.values())), str)
        ):
            return value
        raise wrong("must be a text, {below: a folder} or {begins: the first words of a command}")
    return _text(value)


def _day(value: Any) -> str:
    text = _text(value)
    try:
        return dt.date.fromisoformat(text).isoformat() if _DAY.fullmatch(text) else _no_day()
    except ValueError:
        return _no_day()


def _no_day() -> str:
    raise wrong("must be a day, as in 2026-12-31")


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong("must be names with what belongs to them, as in `name: {…}`")
    return config_text.resolve(value)


def _listing(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong("must be a list")
    return config_text.resolve(value)


# What an editor makes of a scalar: a text that is written `5` is a number to it, one written `true` a truth value.
_SCALAR = ["string", "number", "boolean"]


def _whole(least: int, most: int) -> WithJsonSchema:
    """A whole number, in quotes too."""
    kinds = ["integer", "string"]
    pattern = f"^(?:{_COUNT.pattern})$"
    return WithJsonSchema({"type": kinds, "minimum": least, "maximum": most, "pattern": pattern})


Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": _SCALAR})]
Word = Annotated[
    str,
    AfterValidator(_word),
    BeforeValidator(_text),
    WithJsonSchema({"type": _SCALAR, "minLength": 1}),
]
Flag = Annotated[
    bool, BeforeValidator(_flag), WithJsonSchema({"enum": [True, False, "true", "false"]})
]
Count = Annotated[int, Field(ge=0, le=10**15), BeforeValidator(_count), _whole(0, 10**15)]
Natural = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(_count), _whole(0, 10**9)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**9), BeforeValidator(_count), _whole(1, 10**9)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_count), _whole(0, 65535)]
Usd = Annotated[
    Decimal,
    BeforeValidator(_usd),
    PlainSerializer(usd_plain, when_used="json"),
    WithJsonSchema(
        {"type": ["number", "string"], "minimum": 0, "pattern": f"^(?:{_USD.pattern})$"}
    ),
]
Duration = Annotated[
    int,
    BeforeValidator(_duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
Period = Annotated[Duration, AfterValidator(_positive)]
Timezone = Annotated[Word, AfterValidator(_timezone), WithJsonSchema({"type": "string"})]
Database = Annotated[
    Text,
    AfterValidator(_database),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_DATABASE.pattern})$"}),
]
Quiet = Annotated[
    Text,
    AfterValidator(_quiet),
    WithJsonSchema({"type": "string", "pattern": f"^{_QUIET.pattern}$"}),
]
Secrets = Annotated[
    dict[
        Annotated[str, AfterValidator(_secret_name)],
        Annotated[tuple[Annotated[Text, AfterValidator(_host)], ...], BeforeValidator(_hosts)],
    ],
    BeforeValidator(_bindings),
    WithJsonSchema(
        {
            "type": ["object", "null"],
            "additionalProperties": {
                "type": ["array", "string"],
                "items": {"type": "string"},
            },
        }
    ),
]
"""Names of secrets, each with the hosts that it may be sent to."""
Folder = Annotated[Path, BeforeValidator(_folder), WithJsonSchema({"type": "string"})]
Workspace = Annotated[str, BeforeValidator(_workspace), WithJsonSchema({"type": "string"})]
Day = Annotated[
    str,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "pattern": f"^{_DAY.pattern}$"}),
]
Named = Annotated[
    Any,
    BeforeValidator(_named),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": [*_SCALAR, "null"]},
                {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in sorted(PATTERNS)},
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ]
        }
    ),
]
"""A value that an argument must have, or what it must lie below or begin with."""
Raw = Annotated[Any, BeforeValidator(config_text.resolve)]
RawMapping = Annotated[
    dict[str, Any], BeforeValidator(_mapping), WithJsonSchema({"type": ["object", "null"]})
]
RawList = Annotated[
    list[Any], BeforeValidator(_listing), WithJsonSchema({"type": ["array", "null"]})
]
Version = Annotated[Literal[1], BeforeValidator(_version), WithJsonSchema({"enum": [1, "1"]})]
Mode = Literal["gated", "autonomous", "off"]
