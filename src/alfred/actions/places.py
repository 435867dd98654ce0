"""Where a path of a command leads: how much it costs to write or delete there.

Invariant: a path that cannot be resolved is outside. Relative paths are tried from every folder that the
command may stand in (a `cd` before it may have failed), and the worst one counts.
"""

from __future__ import annotations

import enum
import fnmatch
import os
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from alfred.actions.syntax import Word
from alfred.trust import names

_UNKNOWN_ROOT = "/\u2039workspace\u203a"
"""Stands for a workspace whose path is not told: no real path lies in it."""

_TEMP = ("/tmp", "/var/tmp", "/private/tmp", "/private/var/tmp")
_HOME_CACHES = (".cache", "Library/Caches")

_ENV = re.compile(r"\.env(\..+)?")
_ENV_SAMPLE = re.compile(r"\.env\.(example|sample|template|dist)")
_DATABASE = re.compile(r".+\.(db|sqlite|sqlite3|mdb|rdb)(-wal|-shm|-journal)?")
_LOG = re.compile(r".*\.log(\.[0-9]+)?(\.(gz|xz|bz2|zst))?")

_SECRET_PARTS = frozenset(
    ".ssh .gnupg .aws .kube .docker .netrc .git-credentials .pgpass .npmrc .pypirc .alfred .hermes "
    ".password-store .envrc .vault-token .credentials.json credentials.json".split()
)
_SECRET_NAME = re.compile(r"id_(rsa|dsa|ecdsa|ed25519)|.+\.(pem|p12|pfx|key|kdbx)")
_SECRETS = (*_SECRET_PARTS, ".env", ".env.local", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519")
"""Names that a pattern is tried on."""
_SECRET_FILE = re.compile(r"/etc/g?shadow-?|/proc/.*/environ|/run/secrets")


class Zone(enum.IntEnum):
    """What lies there, best first."""

    TEMP = 0  #: temporary files and caches
    INSIDE = 1  #: the workspace
    SENSITIVE = 2  #: what configures git, the build, agents or secrets; databases
    OUTSIDE = 3  #: everything else


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command runs."""

    home: str
    root: str | None
    """The workspace; None when it is not told: then relative paths are taken as written."""
    folders: tuple[str, ...]
    """Where it may stand."""

    @classmethod
    def at(cls, cwd: str | os.PathLike[str] | None, *, home: str) -> Place:
        """The place of a first command; `cwd` is the workspace."""
        if cwd is None:
            return cls(home, None, (_UNKNOWN_ROOT,))
        root = os.path.realpath(cwd)
        return cls(os.path.realpath(home), root, (root,))

    def after_cd(self, path: str) -> Place:
        """Where the next command stands: there, or here if `cd` failed."""
        there = tuple(self.resolve(folder, path) for folder in self.folders)
        return replace(self, folders=tuple(dict.fromkeys(self.folders + there)))

    def elsewhere(self) -> Place:
        """Another machine or container: whatever lies there, none of it is the workspace."""
        return replace(self, root=None, folders=("/",))

    def resolve(self, folder: str, path: str) -> str:
        """The absolute path, links followed when the workspace is known."""
        joined = PurePosixPath(folder, path)
        return os.path.normpath(joined) if self.root is None else os.path.realpath(joined)

    def everything(self, word: Word) -> bool:
        """Whether the word stands for the whole workspace, or more."""
        if word.text is None:
            return True
        text = re.sub(r"(^|/)\.?\*+$", r"\1.", word.text) if word.glob else word.text
        root = self.root or _UNKNOWN_ROOT
        return any(_beneath(root, self.resolve(folder, text)) for folder in self.folders)

    def away(self) -> bool:
        """Whether it may stand outside of the workspace and of temporary folders."""
        root = self.root or _UNKNOWN_ROOT
        return not all(
            _beneath(here, root) or self._temporary(f"{here}/x") for here in self.folders
        )

    def zone(self, word: Word) -> Zone:
        """The worst zone that the word may lead to."""
        if not word.text or "\0" in word.text:
            return Zone.OUTSIDE
        return max(self._zone(folder, word.text, word.glob) for folder in self.folders)

    def _zone(self, folder: str, text: str, glob: bool) -> Zone:
        fixed, wild = _split_glob(text) if glob else (text, ())
        path = self.resolve(folder, fixed or ".")
        root = self.root or _UNKNOWN_ROOT
        if wild:
            if any(part.startswith((".", "[")) for part in wild):
                return Zone.OUTSIDE if not _beneath(path, root) else Zone.SENSITIVE
            # in the middle of a path it may pass through links, so nothing there counts as temporary
            path = str(PurePosixPath(path, *wild))
        if _beneath(root, path):
            return Zone.OUTSIDE  # the workspace itself, or a folder that holds it
        if _beneath(path, root):
            zone = _inside(path[len(root.rstrip("/")) + 1 :])
        elif fixed.startswith("/") and self._temporary(path):
            zone = Zone.TEMP  # named in full: a workspace may lie among temporary files itself
        else:
            return Zone.OUTSIDE
        return max(zone, Zone.INSIDE) if len(wild) > 1 else zone

    def _temporary(self, path: str) -> bool:
        caches = (f"{self.home}/{name}" for name in _HOME_CACHES)
        return any(path != top and _beneath(path, top) for top in (*_TEMP, *caches))


def is_log(word: Word) -> bool:
    """Whether the word names log files."""
    return bool(word.text and _LOG.fullmatch(word.text.rsplit("/", 1)[-1]))


def is_secret(text: str) -> bool:
    """Whether a word names a place where secrets lie."""
    if _SECRET_FILE.search(text):
        return True
    parts = [part.lower() for part in re.split(r"[/:=]", text)]
    return any(
        part in _SECRET_PARTS
        or _SECRET_NAME.fullmatch(part)
        or (_ENV.fullmatch(part) and not _ENV_SAMPLE.fullmatch(part))
        for part in parts
    )


def names_secret(word: Word) -> bool:
    """The same of a word that may be a pattern: one that spells a part of such a name finds it."""
    text = re.sub(r"^-[A-Za-z](?=.)", "", word.text or "")  # `-F.env` is an option with its value
    return is_secret(text) or (word.glob and any(map(_finds_secret, text.lower().split("/"))))


def _finds_secret(pattern: str) -> bool:
    hidden = pattern.startswith(".")  # which no `*` stands for
    if len(re.findall(r"\w", pattern)) < (1 if hidden else 3) or re.match(r"[*?\[]", pattern):
        return False
    plain = pattern.replace("[^", "[!")
    return any(fnmatch.fnmatchcase(name, plain) for name in _SECRETS)


def _inside(relative: str) -> Zone:
    if names.sensitive(relative):
        return Zone.SENSITIVE
    parts = relative.lower().split("/")
    if any(part in names.CACHES for part in parts):
        return Zone.TEMP
    return Zone.SENSITIVE if _DATABASE.fullmatch(parts[-1]) else Zone.INSIDE


def _split_glob(text: str) -> tuple[str, tuple[str, ...]]:
    """The part before the first component with a glob, and the components from there on."""
    parts = text.split("/")
    first = next((n for n, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    fixed = "/".join(parts[:first])
    return (fixed or "/") if text.startswith("/") else fixed, tuple(p for p in parts[first:] if p)


def _beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
