"""Where secrets come from, and the promise that each one read is known to `redact` from then on.

Asked in this order, first answer wins: the environment variable NAME; the file that NAME_FILE names
(Docker's and systemd's way); the system's keyring (the extra `keyring`); `.env` in the home folder,
which must be 0600 and the user's own. An empty value counts as none. No message here ever contains a
value, nor a piece of one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from alfred import errors
from alfred import home as home_folder
from alfred.errors import Problem
from alfred.trust import tokens
from alfred.trust.redact import register

MAX_BYTES = 65_536  # of a secret's file and of `.env`: more is a mistake
SERVICE = "alfred"  # the service name in the system's keyring

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"(?:export[ \t]+)?(?P<name>[^=\s]*)[ \t]*=[ \t]*(?P<value>.*)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def get(name: str, *, home: Path | None = None) -> str | None:
    """The secret of this name, or None when no source has it; `home` [the home folder].

    Raises ConfigError when a source is there but wrong: a file that is missing or too large, a keyring
    that is locked, a `.env` that others may read or that cannot be parsed.
    """
    if not _NAME.fullmatch(name):
        raise errors.UsageError(
            f"{name!r} cannot be the name of a secret: letters, digits and _ only."
        )
    value = os.environ.get(name) or _from_file(name)
    locked: str | None = None
    if not value:
        value, locked = _from_keyring(name)
    if not value:
        value = read_env(home or home_folder.path()).get(name)
    if not value and locked:
        raise errors.ConfigError(
            f"{name} is nowhere else, and the keyring cannot be read: {locked}.",
            next=f"Unlock the keyring, or set {name} in the environment.",
        )
    if not value:
        return None
    return _hidden(name, value)


def of_tenant(name: str, *, home: Path) -> str | None:
    """The secret of this name in a tenant's own `.env`, None when it has none: the environment and the keyring are the
    installation's, whose keys are not another tenant's to spend.

    Raises ConfigError as `get` does.
    """
    value = read_env(home).get(name)
    if not value:
        return None
    return _hidden(name, value)


def _hidden(name: str, value: str) -> str:
    register(value, name)
    return value


def register_known(*, home: Path | None = None, names: Collection[str] = ()) -> list[str]:
    """Tells `redact` every value whose name announces a secret, in the environment and `.env`.

    For the start of a process, so that a secret is hidden before anything asked for it. Returns the
    names. Ordinary settings in there (a time zone, a path) stay visible.

    Args:
        names: These are secrets too, whatever they are called.
    """
    found = _registered(os.environ, names)
    # what the environment holds is hidden also when the file cannot be used
    return sorted({*found, *_registered(read_env(home or home_folder.path()), names)})


def _registered(values: Mapping[str, str], names: Collection[str]) -> list[str]:
    found = []
    for name, value in values.items():
        announced = tokens.SECRET_NAME.fullmatch(name) and not tokens.HARMLESS_NAME.search(name)
        if name in tokens.FOLDERS:
            continue
        if (announced or name in names) and register(value, name):
            found.append(name)
    return found


def _from_file(name: str) -> str | None:
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        value = raw.decode("utf-8").rstrip("\r\n")
    except OSError as why:
        raise errors.ConfigError(
            f"{name}_FILE names {path}, which cannot be read: {why.strerror}.",
            next=f"Correct or unset {name}_FILE.",
        ) from None
    except UnicodeDecodeError:
        raise errors.ConfigError(
            f"{path}, named by {name}_FILE, is not UTF-8 text.",
            next="Put only the value into this file.",
        ) from None
    if len(raw) > MAX_BYTES or "\0" in value:
        raise errors.ConfigError(
            f"{path}, named by {name}_FILE, is no secret: larger than {MAX_BYTES} bytes, or with NUL.",
            next="Put only the value into this file.",
        )
    return value


def _from_keyring(name: str) -> tuple[str | None, str | None]:
    """(value, why the keyring could not be read). Without the extra, or any backend: (None, None)."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None, None
    try:
        return keyring.get_password(SERVICE, name), None
    except keyring.errors.NoKeyringError:
        return None, None
    except (keyring.errors.KeyringError, OSError) as why:
        return None, str(why) or type(why).__name__


def read_env(home: Path) -> dict[str, str]:
    """The values of `.env` in this folder; none when there is no such file.

    One `NAME=value` a line, `export ` before it allowed; `#` comments; 'literal', "with \\n \\t \\" \\\\
    escapes", or bare to the end of the line or to ` #`. Nothing is expanded. Raises ConfigError when
    others may read the file, and ConfigErrors with every line that is wrong.
    """
    path = home / ".env"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    except OSError as why:
        raise errors.ConfigError(
            f"{path} cannot be read: {why.strerror}.", next=f"Run: chmod 600 {path}"
        ) from None
    try:
        _judge(path, os.fstat(fd))
    except errors.ConfigError:
        os.close(fd)
        raise
    with os.fdopen(fd, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise errors.ConfigError(
            f"{path} is larger than {MAX_BYTES} bytes.", next="Keep only `NAME=value` lines in it."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = raw[: why.start].count(b"\n") + 1
        raise errors.ConfigError(
            f"{path}:{line} is not UTF-8 text.",
            next="Save the file as UTF-8, or correct that line.",
        ) from None
    return _parse(path, text)


def _judge(path: Path, found: os.stat_result) -> None:
    """Of the file that is open, so that it cannot be another one than the one that is read."""
    if not stat.S_ISREG(found.st_mode):
        raise errors.ConfigError(
            f"{path} is no plain file.",
            next="Move it away, and write a file with `NAME=value` lines.",
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise errors.ConfigError(
            f"{path} belongs to the user {found.st_uid}, who could change it.",
            next=f"Run: chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise errors.ConfigError(
            f"{path} has the mode {stat.S_IMODE(found.st_mode):04o}: others may read or change it.",
            next=f"Run: chmod 600 {path}",
        )


def _parse(path: Path, text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(re.split(r"\r?\n", text), start=1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        try:
            name, value = _assignment(bare)
            if name in values:
                raise ValueError(f"{name} is set a second time (first on line {lines[name]})")
        except ValueError as why:
            problems.append(Problem(f"{path}:{number}", str(why)))
            continue
        values[name], lines[name] = value, number
    if problems:
        shown = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        raise errors.ConfigErrors(f"{shown}.", errors=tuple(problems), next="Write NAME=value.")
    return values


def _assignment(line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if not found:
        # Without `=` the whole line may be a secret that was pasted: nothing of it is repeated.
        raise ValueError("there is no NAME=value on this line")
    if not _NAME.fullmatch(found["name"]):
        raise ValueError(
            "the name before = may have letters, digits and _ only, and no digit first"
        )
    return found["name"], _value(found["name"], found["value"])


def _value(name: str, text: str) -> str:
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        raise ValueError(f"the value of {name} has a control character in it")
    if text[:1] not in ("'", '"'):
        return re.split(r"(?:^|[ \t])#", text, maxsplit=1)[0].strip()
    quote = text[0]
    pattern = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
    found = re.match(pattern, text)
    if not found:
        raise ValueError(f"the quote of {name} is not closed on its line")
    rest = text[found.end() :].strip()
    if rest and not rest.startswith("#"):
        raise ValueError(f"there is text after the closing quote of {name}")
    if quote == "'":
        return found[1]
    return re.sub(r"\\(.)", lambda m: _unescaped(name, m[1]), found[1])


def _unescaped(name: str, letter: str) -> str:
    if letter not in _ESCAPES:
        raise ValueError(f"the value of {name} has an unknown escape; write \\\\ for a backslash")
    return _ESCAPES[letter]
