"""The keys of the settings: which there are, what kind each is, which variable gives it.

A key is a path of names below `config_schema.Settings`. What stands below a raw part is not known here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from alfred import config_text
from alfred.config_schema import Section, Settings

PREFIX = "ALFRED_"
LEASE = "ALFRED_TEST_LEASE_S"
NOT_SETTINGS = frozenset(
    {"ALFRED_HOME", "ALFRED_NO_INPUT", "ALFRED_NO_WORKER", "ALFRED_TOKEN", LEASE}
)
"""Variables that mean something but are no setting of config.yaml."""
ALIASES: dict[str, tuple[str, ...]] = {"ALFRED_DATABASE_URL": ("database",)}


def variables() -> dict[str, tuple[str, ...]]:
    """Every variable that gives a setting, and the setting's path."""
    named: dict[str, tuple[str, ...]] = {
        PREFIX + "__".join(path).upper(): path for path in leaves()
    }
    del named["ALFRED_ALFRED"]
    return named | ALIASES


def mistyped(env: Mapping[str, str], *, also: Iterable[str] = ()) -> list[str]:
    """A warning for each variable `ALFRED_*` that means nothing, with the name that was probably meant.

    Args:
        env: The environment.
        also: More names that mean something, of parts above this one.
    """
    known = {*variables(), *NOT_SETTINGS, *also}
    warnings = []
    for name in sorted(env):
        if not name.upper().startswith(PREFIX) or name in known:
            continue
        # The names of the test suite mean nothing here, and are no mistake unless one looks like the lease.
        tests = name.startswith("ALFRED_TEST_")
        start = "ALFRED_TEST_" if tests else PREFIX
        among = {n.removeprefix(start): n for n in known if n.startswith(start)}
        near = config_text.nearest(name[len(start) :], among)
        if near:
            warnings.append(f"The variable {name} means nothing. Did you mean {among[near]}?")
        elif not tests:
            warnings.append(f"The variable {name} means nothing.")
    return warnings


def leaves(
    model: type[Section] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The path of every setting, in the order of the file."""
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            yield from leaves(field.annotation, (*path, name))
        else:
            yield (*path, name)


def model(path: config_text.Where) -> type[Section] | None:
    """The model whose keys stand at this path; None where there is none, or where all is raw."""
    at: Any = Settings
    for part in path:
        if _is_section(at):
            found = at.model_fields.get(str(part))
            at = found.annotation if found else None
        else:  # an item of a list or mapping
            at = next((a for a in typing.get_args(at) if _is_section(a)), None)
    return at if _is_section(at) else None


def field(path: config_text.Where) -> Any:
    """What pydantic knows of a setting; None where there is none, or below what is raw."""
    above = model(path[:-1])
    return above.model_fields.get(str(path[-1])) if above else None


def is_raw(path: config_text.Where) -> bool:
    """Whether the setting is kept as it is written, for a higher floor."""
    known = field(path[:1])
    return known is not None and (
        known.annotation is Any or Any in typing.get_args(known.annotation)
    )


def may_hold_secrets(path: config_text.Where) -> bool:
    """Whether somebody may have written a secret there, so that no message repeats it."""
    return is_raw(path) or path[:1] == ("secrets",)


def is_structured(path: config_text.Where) -> bool:
    """Whether a text given for it is YAML in one line: lists, mappings and everything raw."""
    known = field(path)
    if known is None or known.annotation is Any:
        return True
    return typing.get_origin(known.annotation) in (dict, list, tuple)


def takes_null(path: config_text.Where) -> bool:
    """Whether nothing is a value of it."""
    known = field(path)
    return known is not None and type(None) in typing.get_args(known.annotation)


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)
