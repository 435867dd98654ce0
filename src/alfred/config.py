"""config.yaml and the environment become frozen `Settings`, or one error that names everything wrong.

Which wins: a variable `ALFRED_<KEY>` (`ALFRED_LIMITS__TURNS` is `limits.turns`) over the file over the
default. Invariants: loading writes nothing; a setting is never ignored: an unknown key, a wrong value and a
second value for the same key are errors, a mistyped variable is a warning of `config_keys.mistyped`; every
value knows where it came from; no message holds the password of an address, or a value that may be a secret
in the wrong place.

The neighbours: `config_text` reads the text, `config_mistake` says where it is none, `config_values` has the kinds of
values, `config_schema` names, defaults and meanings, `config_keys` which keys and variables there are, `config_show`
what `config show` prints; `config_edit` changes the file, by `config_splice`. What callers need of the others is named
here.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic

from alfred import config_keys, config_text, config_values, errors
from alfred import home as home_places
from alfred.config_keys import mistyped
from alfred.config_schema import PolicyRule, Settings, json_schema
from alfred.config_show import redacted, sources

__all__ = [
    "Check",
    "PolicyRule",
    "Settings",
    "database_despite",
    "json_schema",
    "load",
    "mistyped",
    "redacted",
    "sources",
    "sqlite_url",
    "validate",
]

_LEASE = re.compile(r"(?:[5-9]|[12][0-9])(?:\.[0-9]{1,3})?|30(?:\.0{1,3})?")

_DATABASE_LINE = re.compile(r"""database:[ \t]+(['"]?)(?P<value>\S+)\1[ \t]*(?:#.*)?""")


Check = Callable[[Mapping[str, Any]], Sequence[config_text.Finding]]
"""Looks at a configuration as it is written, which need not be right otherwise: what a higher floor finds wrong with the
keys that are its own. Findings without a place get that of their key."""


def load(
    home: Path,
    env: Mapping[str, str] = os.environ,
    *,
    tenant: str = home_places.MAIN,
    check: Check | None = None,
) -> Settings:
    """The settings of a tenant. A missing file means the defaults.

    Args:
        home: The home folder itself, of `home.path()`.
        env: The environment, as the caller completed it.
        tenant: Whose settings; another tenant than `main` has a file of its own and inherits nothing.
        check: What higher floors have to say; it is told together with everything else that is wrong.

    Raises:
        ConfigError: one thing is wrong, in the file or in the environment.
        ConfigErrors: several are.
    """
    file = home_places.config_file(home_places.of_tenant(home, tenant))
    text = config_text.read(file)
    made = config_text.Document(file.name) if text is None else config_text.parse(text, file.name)
    return validate(made, file, env, tenant=tenant, check=check)


def validate(
    made: config_text.Document,
    file: Path,
    env: Mapping[str, str],
    *,
    tenant: str = home_places.MAIN,
    check: Check | None = None,
) -> Settings:
    """The settings of a parsed text, completed by the environment. Its findings count as problems too.

    Raises:
        ConfigError, ConfigErrors: something is wrong.
    """
    findings = list(made.findings)
    if tenant != home_places.MAIN:
        findings += [
            config_text.Finding(
                (key,),
                "belongs to the config.yaml of the home, all tenants share it",
                place=made.place((key,)),
            )
            for key in sorted(Settings.installation_only & made.tree.keys())
        ]
    origins = {path: f"{made.name}:{line}" for path, line in made.lines.items()}
    tree = _with_environment(made.tree, env, origins, findings)
    lease = env.get(config_keys.LEASE)
    if lease and not _LEASE.fullmatch(lease):
        message = "must be seconds from 5 to 30; unset it, it is for tests"
        findings.append(
            config_text.Finding((), message, config_text.shown(lease), config_keys.LEASE)
        )
    settings = None
    more = [
        replace(f, place=f.place or _place(f.path, made, origins))
        for f in (check(tree) if check else ())
    ]
    try:
        settings = Settings.model_validate(tree)
    except pydantic.ValidationError as wrong:
        more = [_finding(e, made, origins) for e in wrong.errors(include_url=False)] + more
    stopped = {f.path for f in findings}  # what could not be read is not wrong a second time
    findings += [f for f in more if f.path not in stopped]
    if findings or settings is None:
        raise config_text.error(file, sorted(findings, key=_order))
    settings._origins.update(origins)
    return settings


def sqlite_url(home: Path) -> str:
    """The URL of the home's own file."""
    file = urllib.parse.quote(str(home_places.database_file(home)))  # a `?` would end the path
    return f"sqlite:///{file}"


def database_despite(home: Path, env: Mapping[str, str] = os.environ) -> tuple[str, str | None]:
    """What `database` says in a configuration that cannot be loaded, and where; for who must act all the same.

    Asked are the environment, which wins as always, the file as YAML, and where it is no proper YAML the line
    that begins with `database:`. When none of them says it, it is `sqlite`, and the place is None.
    """
    for name, path in config_keys.variables().items():
        if path == ("database",) and config_values.is_database(env.get(name)):
            return env[name], name
    file = home_places.config_file(home)
    try:
        text = config_text.read(file) or ""
    except errors.ConfigError:
        return "sqlite", None
    made = config_text.parse(text, file.name)
    named = made.tree.get("database")
    if config_values.is_database(named):
        return named, made.place(("database",))
    for number, line in enumerate(text.splitlines(), start=1):
        found = _DATABASE_LINE.fullmatch(line)
        if found and config_values.is_database(found["value"]):
            return found["value"], f"{file.name}:{number}"
    return "sqlite", None


# ---- the environment


def _with_environment(
    tree: dict[str, Any],
    env: Mapping[str, str],
    origins: dict[config_text.Where, str],
    findings: list[config_text.Finding],
) -> dict[str, Any]:
    """A copy of the tree with the values of the variables; empty ones count as unset."""
    given: dict[tuple[str, ...], str] = {}
    for name, path in config_keys.variables().items():
        value = env.get(name)
        if not value:
            continue
        if path in given and env[given[path]] != value:
            findings.append(
                config_text.Finding(
                    path, f"{given[path]} says something else, unset one", place=name
                )
            )
            continue
        given.setdefault(path, name)
    for path, name in given.items():
        value, wrong = _of_variable(name, env[name], path)
        findings += [config_text.Finding(path, f.message, place=name) for f in wrong]
        tree = _put(tree, path, value)
        for inner in [p for p in origins if p[: len(path)] == path]:
            del origins[inner]
        origins[path] = f"env:{name}"
    return tree


def _of_variable(
    name: str, text: str, path: config_text.Where
) -> tuple[Any, list[config_text.Finding]]:
    """The value of a variable: lists and mappings are written as YAML, everything else is the text itself."""
    if bad := config_text.not_text(text):
        return "", [config_text.Finding((), f"the character {bad!a} may not stand in a text")]
    if config_keys.is_structured(path):
        made = config_text.parse(f"value: {text}\n", name)
        if made.tree.keys() != {"value"} and not made.findings:
            made.findings.append(config_text.Finding((), "must be one value, in one line of YAML"))
        return made.tree.get("value"), made.findings
    if text in ("null", "~") and config_keys.takes_null(path):
        return None, []
    return text, []


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of the tree with one value in it. What is no mapping on the way is left, to be told as wrong."""
    key, *rest = path
    if not rest:
        return {**tree, key: value}
    below = tree.get(key)
    if below is not None and not isinstance(below, dict):
        return tree
    return {**tree, key: _put(below or {}, tuple(rest), value)}


# ---- what is wrong

_SAID = {
    "missing": "is missing",
    "model_type": "must be keys with values",
    "dict_type": "must be keys with values",
    "tuple_type": "must be a list, as in [a, b]",
    "list_type": "must be a list, as in [a, b]",
}


def _finding(
    error: Any,
    made: config_text.Document,
    origins: dict[config_text.Where, str],
) -> config_text.Finding:
    """What pydantic found, with our words, the place and the nearest right name."""
    kind, ctx = error["type"], error.get("ctx") or {}
    path: config_text.Where = tuple(p for p in error["loc"] if p != "[key]")
    got: str | None = config_text.shown(error["input"])
    if kind == "extra_forbidden":
        message, got = _unknown_key(path), None  # the value may be a secret in the wrong place
    elif kind == "setting":
        message = ctx["message"]
    elif kind == "literal_error":
        names = re.findall(r"'([^']*)'", ctx["expected"])
        meant = config_text.meant(str(error["input"]), names, "")
        message = f"must be {' or '.join(names)}{meant}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        least = kind == "greater_than_equal"
        message = f"must be at {'least' if least else 'most'} {ctx['ge' if least else 'le']}"
    else:
        message = _SAID.get(kind, error["msg"])
    if kind == "missing":
        got = None
    elif isinstance(error["input"], str) and config_keys.may_hold_secrets(path):
        got = "a text"  # where tokens and addresses stand
    return config_text.Finding(path, message, got, _place(path, made, origins))


def _place(
    path: config_text.Where, made: config_text.Document, origins: dict[config_text.Where, str]
) -> str:
    """Where a key, or what it lies in, was given: a line of the file, or a variable."""
    within = (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins)
    return next(within, made.name).removeprefix("env:")


def _unknown_key(path: config_text.Where) -> str:
    key = str(path[-1])
    model = config_keys.model(path[:-1])
    names = list(model.model_fields) if model else []
    elsewhere = [config_text.dotted(leaf) for leaf in config_keys.leaves() if leaf[-1] == key]
    if elsewhere:
        return f"is no setting here, did you mean {' or '.join(elsewhere)}?"
    return f"is no setting{config_text.meant(key, names, None if len(path) > 1 else '')}"


def _order(finding: config_text.Finding) -> tuple[bool, int]:
    line = finding.place.rpartition(":")[2]
    return (not line.isdigit(), int(line) if line.isdigit() else 0)
