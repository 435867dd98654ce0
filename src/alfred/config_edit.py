"""Changes config.yaml in place, the way a careful person would: only the words that must change do.

The parser tells where each value stands in the text; the new value is written over the old one, or a key is
added at the end of what it belongs to, so comments, order, quoting and layout stay to the letter. Invariants:
the new text is parsed again and must differ from the old in nothing but the one value, and the settings that
it gives must be valid, before the file is replaced, at once and as 0600; whatever fails leaves the old file.
Two processes that edit at once do so one after the other, and what a person has saved meanwhile is edited anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alfred import config, config_keys, config_schema, config_splice, config_text, errors
from alfred import home as home_places
from alfred.config_schema import Settings

_TRIES = 20
"""So often a change is made anew because the file was saved meanwhile."""

TEMPLATE = """\
# yaml-language-server: $schema=config.schema.json
# `alfred config show` prints every setting, its value and where it comes from.
alfred: 1
model: auto   # the first that can be used, or provider:model

policy:
  mode: gated   # gated: what changes something asks you first | autonomous | off

budget:   # US dollars
  per_run_usd: 2
  per_day_usd: 20
"""

_threads = threading.Lock()


def edit(
    home: Path,
    key: str | Sequence[str],
    value: Any,
    *,
    tenant: str = home_places.MAIN,
    check: config.Check | None = None,
    first: Callable[[Mapping[str, Any]], None] = lambda tree: None,
) -> Settings:
    """Sets one key of config.yaml and returns the settings that the file now gives.

    Args:
        home: The home folder itself.
        key: `limits.turns`, or its parts where a part has a dot in it.
        value: A text as one would write it in the file (a list or mapping as YAML in one line), or the
            value itself: None, bool, number, text, list, dict.
        tenant: Whose config.yaml.
        check: As for `config.load`.
        first: Is shown what stands in the file, which nobody else changes before the value is in it; what it raises
            leaves the file as it is.

    Raises:
        ConfigError: no setting has this key, the value is wrong, or the file is: it stays as it was.
    """
    path = tuple(key.split(".")) if isinstance(key, str) else tuple(key)
    home_places.ensure(home, tenant=tenant)
    file = home_places.config_file(home_places.of_tenant(home, tenant))
    judge = _judge(file, tenant, check)
    return _rewritten(file, lambda text: _changed(text, path, value, file, judge, first))


def append(
    home: Path,
    path: Sequence[str],
    item: Mapping[str, Any],
    *,
    tenant: str = home_places.MAIN,
    check: config.Check | None = None,
) -> Settings:
    """Adds one item to the end of a list in config.yaml, and returns the settings that the file now gives.

    Args:
        path: The key of the list, part by part.
        item: What is added, written in one line.

    Raises:
        ConfigError: the item is wrong, or the file is: it stays as it was.
    """
    home_places.ensure(home, tenant=tenant)
    file = home_places.config_file(home_places.of_tenant(home, tenant))
    written = config_splice.yaml_text(dict(item))
    judge = _judge(file, tenant, check)
    return _rewritten(file, lambda text: _appended(text, tuple(path), written, file, judge))


def remove(
    home: Path,
    path: Sequence[str],
    *,
    tenant: str = home_places.MAIN,
    check: config.Check | None = None,
) -> Settings:
    """Takes a key out of config.yaml with all that stands below it, and returns the settings that the file now gives.

    Raises:
        ConfigError: it is not there, something else needs it, or the file is wrong: it stays as it was.
    """
    home_places.ensure(home, tenant=tenant)
    file = home_places.config_file(home_places.of_tenant(home, tenant))
    judge = _judge(file, tenant, check)
    return _rewritten(file, lambda text: _removed(text, tuple(path), file, judge))


def _removed(text: str, path: tuple[str, ...], file: Path, judge: _Judge) -> tuple[str, Settings]:
    """The text without a key, and its settings."""
    made = _parsed(text, file)
    new = config_splice.removed(text, made, path)
    after = _as_wanted(new, _without(made.tree, path), path, file, verb="taken out of")
    return new or "", judge(after)


def _without(tree: Any, path: tuple[str, ...]) -> Any:
    """The tree without one key; None where it has none: no file is that."""
    if not isinstance(tree, dict) or path[0] not in tree:
        return None
    rest = {key: value for key, value in tree.items() if key != path[0]}
    return rest if len(path) == 1 else {**tree, path[0]: _without(tree[path[0]], path[1:])}


def _appended(
    text: str, path: tuple[str, ...], written: str, file: Path, judge: _Judge
) -> tuple[str, Settings]:
    """The text with one item more, and its settings."""
    made = _parsed(text, file)
    before: Any = made.tree
    for part in path:
        before = before.get(part) if isinstance(before, dict) else None
    wanted = _put(made.tree, path, [*(before or []), _value(written, path, file)])
    new = config_splice.appended(text, made, path, written)
    settings = judge(_as_wanted(new, wanted, path, file))
    return new or "", settings


def as_shown(settings: Settings, key: str) -> str:
    """One setting, or what stands below a key of a raw part, as `edit` would write it, and no secret."""
    path = tuple(key.split("."))
    value: Any = settings.model_dump(mode="json")
    for part in path:
        value = value[part]
    shown = config.redacted(value, path)
    return shown if isinstance(shown, str) else config_splice.yaml_text(shown)


def write_default(
    home: Path, values: Mapping[str, Any] | None = None, *, tenant: str = home_places.MAIN
) -> bool:
    """Writes a short config.yaml with comments, with these values set, and the schema for editors beside it.

    Returns whether it was written: a config.yaml that is there is left alone (the schema is renewed).

    Raises:
        ConfigError: a key or value is wrong; nothing is written.
    """
    file = home_places.config_file(home_places.of_tenant(home, tenant))
    text = TEMPLATE
    home_places.ensure(home, tenant=tenant)
    with _alone(file):
        there = os.path.lexists(file)
        if not there:
            for key, value in (values or {}).items():
                path = tuple(key.split("."))
                text, _ = _changed(text, path, value, file, _judge(file, tenant, None))
            replace(file, text)
        write_schema(home, tenant=tenant)
    return not there


def write_schema(home: Path, *, tenant: str = home_places.MAIN) -> None:
    """Writes the JSON schema beside config.yaml, where it is not the present one already."""
    file = home_places.config_schema_file(home_places.of_tenant(home, tenant))
    text = json.dumps(config_schema.json_schema(), indent=1) + "\n"
    if not file.is_file() or file.read_bytes() != text.encode():
        replace(file, text)


def _rewritten(file: Path, change: Callable[[str], tuple[str, Settings]]) -> Settings:
    """Changes the text of the file, and returns the settings that it gives then.

    Raises:
        ConfigError: as `change` and `replace`; or somebody else saves the file again and again.
    """
    with _alone(file):
        for _ in range(_TRIES):
            was = config_text.read(file)
            text = "alfred: 1\n" if was is None else was
            changed, settings = change(text)
            if changed == text or replace(
                file, changed, still=lambda was=was: config_text.read(file) == was
            ):
                return settings
    raise errors.ConfigError(
        f"{file.name} was not changed: something else saves it again and again",
        next="Close what has it open, and try again.",
    )


def replace(file: Path, text: str, *, still: Callable[[], bool] = lambda: True) -> bool:
    """Replaces a file by a new one, 0600, at once: after a crash the old or the new one is there, whole.

    A link stays a link, what it leads to is replaced.

    Args:
        still: Asked right before: whether the old one is what the new one was made of. Else nothing is replaced.

    Returns:
        Whether it was replaced.

    Raises:
        ConfigError: the folder or the disk does not take it.
    """
    target = Path(os.path.realpath(file))
    made: str | None = None
    try:
        handle, made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # 0600
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if not still():
            return False
        Path(made).replace(target)
        made = None
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as why:
        raise errors.ConfigError(
            f"{file.name} cannot be written: {str(why.strerror).lower()}",
            next=f"Make {target.parent} writable, or room on its disk.",
        ) from why
    finally:
        if made is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(made).unlink()
    return True


@contextlib.contextmanager
def _alone(file: Path) -> Generator[None]:
    """Holds a lock on a file of its own: `lockf` between processes, and one between our threads."""
    lock = file.with_name(file.name + ".lock")
    with _threads:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as why:
            raise errors.ConfigError(
                f"{file.name} cannot be changed: {str(why.strerror).lower()}",
                next=f"Make {file.parent} writable.",
            ) from why
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


_Judge = Callable[[config_text.Document], Settings]
"""The settings of a parsed text, or the error that says what is wrong with it."""


def _judge(file: Path, tenant: str, check: config.Check | None) -> _Judge:
    return lambda made: config.validate(made, file, {}, tenant=tenant, check=check)


def _parsed(text: str, file: Path) -> config_text.Document:
    """The text as it is to be changed.

    Raises:
        ConfigError: it is no configuration.
    """
    made = config_text.parse(text, file.name)
    if made.findings:
        raise config_text.error(file, made.findings)
    return made


def _changed(
    text: str,
    path: tuple[str, ...],
    value: Any,
    file: Path,
    judge: _Judge,
    first: Callable[[Mapping[str, Any]], None] = lambda tree: None,
) -> tuple[str, Settings]:
    """The text with one value set, and its settings."""
    made = _parsed(text, file)
    first(made.tree)
    try:
        written = _written(made, path, value, file, judge)
    except errors.ConfigError as wrong:
        wrong.next = (
            "Nothing was changed: correct what is named. `alfred config schema` has every key."
        )
        raise
    new = config_splice.spliced(text, made, path, written)
    wanted = _put(made.tree, path, _value(written, path, file))
    after = _as_wanted(new, wanted, path, file)
    return new or "", judge(after)


def _as_wanted(
    new: str | None, wanted: Any, path: Sequence[str], file: Path, *, verb: str = "set in"
) -> config_text.Document:
    """The changed text, read again: it says what was wanted, and nothing else has changed.

    Args:
        verb: What was to be done with the key in the file, for the message.

    Raises:
        ConfigError: it does not, or there was no place for it.
    """
    after = None if new is None else config_text.parse(new, file.name)
    if after is None or after.findings or after.tree != wanted:
        raise errors.ConfigError(
            f"{config_text.dotted(tuple(path))} cannot be {verb} {file.name} as that is laid out",
            next=f"Change `{path[-1]}` in {file} by hand.",
        )
    return after


def _written(
    made: config_text.Document, path: tuple[str, ...], value: Any, file: Path, judge: _Judge
) -> str:
    """The YAML of the value, as the settings understood it."""
    structured = config_keys.is_structured(path)
    if structured or not isinstance(value, str):
        text = value if isinstance(value, str) else config_splice.yaml_text(value)
        value = _value(text, path, file)
    elif value in ("null", "~") and config_keys.takes_null(path):
        value = None
    elsewhere = {  # the new value stands in no line
        at: line
        for at, line in made.lines.items()
        if any(a != b for a, b in zip(path, at, strict=False))
    }
    candidate = config_text.Document(made.name, _put(made.tree, path, value), elsewhere)
    settings = judge(candidate)
    if structured:
        return config_splice.yaml_text(config_text.resolve(value))
    understood: Any = settings.model_dump(mode="json")
    for part in path:
        understood = understood[part]
    return config_splice.yaml_text(understood)


def _value(text: str, path: tuple[str, ...], file: Path) -> Any:
    """What a value in one line of YAML is.

    Raises:
        ConfigError: it is none, or more than one.
    """
    made = config_text.parse(f"value: {text}\n", config_text.dotted(path))
    if made.findings:
        found = [config_text.Finding((*path, *f.path[1:]), f.message) for f in made.findings]
        raise config_text.error(file, found)
    if made.tree.keys() != {"value"}:
        raise config_text.error(file, [config_text.Finding(path, "must be one value in one line")])
    return made.tree["value"]


def _put(tree: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    below = tree if isinstance(tree, dict) else {}
    return {**below, path[0]: _put(below.get(path[0]), path[1:], value)}
