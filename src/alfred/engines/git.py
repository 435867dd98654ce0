"""A git that runs nothing of the repository's: no hook, filter, driver, helper, pager, editor, alias or signer.

Whatever a repository's own files say (its config, `.gitattributes`, `.gitmodules`, a `.git` that points
elsewhere), no program that they name is started, and no work tree but the one around `.git` is read:

- settings that name programs are overruled on the command line; filters, which have names of their own, are
  looked up in the config first and switched off one by one;
- git reads the config that was judged, from a folder of its own (`_stand_in`): what is written into the repository's
  between a look at it and the start of git is not read at all, and with `network` next to nothing of it is;
- system and global config are not read; of the operator's own global config exactly `user.name`,
  `user.email`, `credential.helper` (also per host) and `core.sshCommand` are passed on, and only to commands
  that need them;
- without `network` no transport is allowed at all, so that nothing is fetched behind one's back;
- submodules are never entered.

It does not protect from what git does with its own data: a repository can be large, or broken.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alfred import errors
from alfred.engines import process

TRANSPORTS = ("file", "git", "https", "ssh")
"""What may carry a push; everything else (ext, fd, http, helpers) is refused by git itself."""

OUTPUT = 8_000_000
"""Bytes of output that are taken; a command that says more is ended."""

TIMEOUT_S = 60

_CONFIG = 100_000
"""Bytes of a config whose names are remembered."""

_OVERRULED = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.askPass", ""),
    ("core.gitProxy", ""),
    ("core.alternateRefsCommand", "false"),
    ("core.quotePath", "false"),
    ("core.untrackedCache", "false"),
    ("diff.autoRefreshIndex", "false"),  # it would write the index, which is to be looked at only
    ("diff.external", ""),
    ("diff.ignoreSubmodules", "all"),
    ("diff.submodule", "short"),
    ("status.submoduleSummary", "false"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("log.showSignature", "false"),
    ("user.useConfigOnly", "true"),  # no name is guessed from the machine
    ("gpg.program", "false"),
    ("gpg.ssh.program", "false"),
    ("gpg.x509.program", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    ("safe.bareRepository", "explicit"),
    ("color.ui", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("http.sslVerify", "true"),
    ("http.followRedirects", "false"),
)

_NETWORK_ENV = (
    *("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
    *("DBUS_SESSION_BUS_ADDRESS", "GH_TOKEN", "GH_HOST", "GITHUB_TOKEN"),
)
"""What ssh and the operator's own credential helpers need. Nothing of the repository's sees it."""

HARMLESS_HTTP = ("http.postbuffer", "http.version", "http.lowspeedlimit", "http.lowspeedtime")
"""What a repository may say about how it is carried over http."""

_SHARED = ("HEAD", "refs", "packed-refs", "logs", "info", "shallow", "worktrees")
"""What of a repository git finds beside its config, besides objects. Not `remotes` and `branches`: what a file in them
is called as would be sent elsewhere."""

_OPERATORS = r"^(user\.name|user\.email|core\.sshcommand|credential\.(.+\.)?helper)$"


Setting = tuple[str, str | None]
"""The name of a setting and its value; None: it is named, and given none."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with a work tree."""

    top: Path
    """The folder that holds `.git`."""
    folder: Path
    """Where in it work is done: `top` or a folder below it. Paths are relative to it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said."""

    code: int
    out: bytes
    err: str
    cut: bool = False
    """It said more than was taken."""

    @property
    def text(self) -> str:
        """Its output as text; what is no UTF-8 is replaced."""
        return self.out.decode("utf-8", "replace")


def find(folder: Path, *, upward: bool) -> Repository:
    """The repository that a folder belongs to.

    Args:
        folder: Absolute.
        upward: Whether `.git` may lie in a folder above.

    Raises:
        CallFailed: there is none.
    """
    real = Path(os.path.realpath(folder))
    for top in (real, *(real.parents if upward else ())):
        if os.path.lexists(top / ".git"):
            return Repository(top, real)
    raise errors.CallFailed(f"{folder} is not in a git repository.")


def run(
    repository: Repository,
    *args: str,
    stdin: bytes = b"",
    ok: Sequence[int] = (0,),
    timeout: float = TIMEOUT_S,
    network: bool = False,
    operator: bool = False,
    env: dict[str, str] | None = None,
    on_cancel: process.OnCancel | None = None,
) -> Output:
    """Runs one command of git.

    Args:
        repository: Where.
        args: The command and its arguments; paths in them are taken literally.
        stdin: What it reads.
        ok: Exit codes that are no failure.
        timeout: Seconds.
        network: It may reach a remote; implies `operator`.
        operator: It gets the operator's name, mail address, credential helpers and ssh command.
        env: More variables, such as GIT_INDEX_FILE.
        on_cancel: Registers the function that ends it.

    Raises:
        CallFailed: git is missing, failed, or took too long; what it said is in the message.
    """
    config, set_there = _settings(repository)
    settings = [*_OVERRULED, *_switched_off(set_there)]
    if network or operator:
        settings += _of_operator(repository)
    words = [word for name, value in settings for word in ("-c", f"{name}={value}")]
    places = [f"--git-dir={repository.top / '.git'}", f"--work-tree={repository.top}"]
    if network:
        config = _alone([one for one in set_there if _is_of_network(one[0])])
    shared = folders(repository)[1]
    with _stand_in(shared, config) as folder:
        own = {"GIT_COMMON_DIR": folder, "GIT_OBJECT_DIRECTORY": os.fspath(shared / "objects")}
        done = _start(
            ["--no-pager", "--literal-pathspecs", *words, *places, *args],
            cwd=repository.folder,
            env=_environment(network) | own | (env or {}),
            stdin=stdin,
            timeout=timeout,
            on_cancel=on_cancel,
            guard=network,  # the other side may never end it
        )
    done = replace(done, err=done.err.replace(folder, os.fspath(shared)))
    if done.code not in ok:
        raise errors.CallFailed(f"git {args[0]} failed: {_last_words(done)}")
    return done


def folders(repository: Repository) -> tuple[Path, Path]:
    """Where a repository keeps what belongs to this work tree, and what all of its work trees share, as its files say.

    Raises:
        CallFailed: they say nothing that can be read.
    """
    own = repository.top / ".git"
    try:
        if own.is_file():
            own = own.parent / _line(own).removeprefix("gitdir:").strip()
        elsewhere = own / "commondir"
        return own, own / _line(elsewhere) if elsewhere.is_file() else own
    except OSError as why:
        raise errors.CallFailed(f"{own} cannot be read: {why.strerror}.") from why


def _line(path: Path) -> str:
    with path.open("rb") as file:
        return os.fsdecode(file.readline(4096)).strip()


def config_names(repository: Repository) -> list[str]:
    """The names of all settings that the repository itself makes, includes followed, as git spells them; what is no
    UTF-8 in them stands as `os.fsdecode` writes it.

    Raises:
        CallFailed: its config cannot be read.
    """
    return [name for name, _ in _settings(repository)[1]]


def config_values(repository: Repository, name: str) -> list[str]:
    """The values that the repository itself gives a setting, in order.

    Raises:
        CallFailed: its config cannot be read.
    """
    given = (value or "" for one, value in _settings(repository)[1] if one == name)
    return [os.fsencode(value).decode("utf-8", "replace") for value in given]


def forget_branch(repository: Repository, name: str) -> None:
    """Takes what is configured of a branch that is gone out of the repository's config."""
    section = f"branch.{name}"
    if any(one.startswith(f"{section}.") for one in config_names(repository)):
        config = folders(repository)[1] / "config"
        words = ("config", "--file", os.fspath(config), "--remove-section", section)
        _start(words, cwd=repository.top, env=_environment(False))


def _settings(repository: Repository) -> tuple[bytes, tuple[Setting, ...]]:
    """The config of a repository as one text, of this moment and without includes, and what that sets."""
    whole = _whole_config(repository)
    if whole is not None:
        return whole, _set_in(whole)
    where = f"--git-dir={repository.top / '.git'}"
    found = _listed(repository.top, where, "config", "--list", "-z")
    return _alone([one for one in found if not _leads_on(one[0])]), found


def _leads_on(name: str) -> bool:
    """Whether a setting makes git read another config."""
    return name.startswith(("include.", "includeif.")) or name == "extensions.worktreeconfig"


def _is_of_network(name: str) -> bool:
    """Whether a setting of the repository holds for what is sent as well: of which kind it is, and harmless ones."""
    kind = name == "core.repositoryformatversion" or name.startswith("extensions.")
    return (kind and not _leads_on(name)) or name in HARMLESS_HTTP


@contextlib.contextmanager
def _stand_in(shared: Path, config: bytes) -> Iterator[str]:
    """A folder that git takes for the one that the work trees share: with this config, and links to what else it needs."""
    with tempfile.TemporaryDirectory(prefix="alfred-git-") as made:
        Path(made, "config").write_bytes(config)
        for name in _SHARED:
            if os.path.lexists(shared / name):
                Path(made, name).symlink_to(Path(os.path.realpath(shared), name))
        yield made


def _whole_config(repository: Repository) -> bytes | None:
    """The bytes of its config, where they and nothing else say what is set: no file is included, and the work tree
    has none of its own."""
    config = folders(repository)[1] / "config"
    try:
        opened = os.open(config, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None  # git says what is wrong with it
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        content = file.read(_CONFIG + 1)
    names = content.lower()
    alone = b"include" not in names and b"worktreeconfig" not in names
    return content if alone and len(content) <= _CONFIG else None


@functools.lru_cache(maxsize=64)
def _set_in(config: bytes) -> tuple[Setting, ...]:
    """What a config sets that stands alone: git is asked about these bytes, whatever the file says meanwhile, and
    once, as every command needs them."""
    return _listed(Path("/"), "config", "--file", "-", "--list", "-z", stdin=config)


def _listed(cwd: Path, *args: str, stdin: bytes = b"") -> tuple[Setting, ...]:
    done = _start(args, cwd=cwd, env=_environment(False), stdin=stdin)
    if done.code != 0 or done.cut:
        raise errors.CallFailed(f"The config of the repository cannot be read: {_last_words(done)}")
    # byte for byte: a name that was decoded with losses would switch off another filter than it names
    entries = [os.fsdecode(entry) for entry in done.out.split(b"\0") if entry]
    split = (entry.partition("\n") for entry in entries)
    return tuple((name, value if equals else None) for name, equals, value in split)


def _alone(settings: Sequence[Setting]) -> bytes:
    """Settings as the text of a config."""
    lines = []
    for name, value in settings:
        section, _, rest = name.partition(".")
        middle, _, last = rest.rpartition(".")
        below = f' "{_escaped(middle)}"' if middle else ""
        given = "" if value is None else f' = "{_escaped(value)}"'
        lines.append(f"[{section}{below}]\n\t{last}{given}\n")
    return os.fsencode("".join(lines))


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return plain.replace("\n", "\\n").replace("\t", "\\t")


def filtered(repository: Repository, paths: Sequence[bytes]) -> list[tuple[str, str]]:
    """Which of these paths have a filter that is not run here: (path, filter), such as LFS."""
    if not paths:
        return []
    asked = b"".join(path + b"\0" for path in paths)
    done = run(repository, "check-attr", "-z", "--stdin", "filter", stdin=asked)
    words = done.text.split("\0")[:-1]
    found = zip(words[0::3], words[2::3], strict=True)
    return [(path, value) for path, value in found if value not in ("unspecified", "unset", "set")]


def _switched_off(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """The settings of the repository that name programs under names of its own, each with nothing."""
    off: list[tuple[str, str]] = []
    for name, _ in settings:
        section, _, rest = name.partition(".")
        middle, _, last = rest.rpartition(".")
        harmful = (
            (section == "filter" and last in ("clean", "smudge", "process", "required"))
            or (section == "diff" and middle and last in ("command", "textconv"))
            or (section == "merge" and middle and last == "driver")
            or (section == "credential" and middle and last == "helper")
            or (section == "gpg" and middle and last in ("program", "defaultkeycommand"))
        )
        if not harmful:
            continue
        if "=" in middle or "\n" in middle:
            # on the command line such a name would be taken for another one
            raise errors.CallFailed(
                f"The repository's config has {section} sections with `=` or a newline in their name, "
                "which cannot be switched off.",
                next="Remove them from .git/config.",
            )
        off.append((name, "false" if last == "required" else ""))
    return off


def _of_operator(repository: Repository) -> list[tuple[str, str]]:
    """Name, mail address, credential helpers and ssh command of whoever runs alfred, in their order."""
    names = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL")
    own = {name: os.environ[name] for name in names if name in os.environ}
    done = _start(
        ["config", "--global", "--includes", "-z", "--get-regexp", _OPERATORS],
        cwd=repository.top,
        env={"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1"} | own,
    )
    if done.code not in (0, 1):
        raise errors.CallFailed(f"Your global git config cannot be read: {_last_words(done)}")
    found = [entry.partition("\n")[::2] for entry in done.text.split("\0") if entry]
    return [(name, value) for name, value in found if "=" not in name]


def _environment(network: bool) -> dict[str, str]:
    made = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_PROXY_COMMAND": "",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        # What is shown is what a push sends: neither replaced objects nor other parents.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": "/dev/null",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS) if network else "none",
    }
    if network:
        made |= {name: os.environ[name] for name in _NETWORK_ENV if name in os.environ}
    return made


def _start(
    args: Sequence[str],
    *,
    cwd: Path,
    env: dict[str, str],
    stdin: bytes = b"",
    timeout: float = TIMEOUT_S,
    on_cancel: process.OnCancel | None = None,
    guard: bool = False,
) -> Output:
    program = shutil.which("git", path=env["PATH"])
    if program is None:
        raise errors.CallFailed("git is not installed.", next="Install git.")
    out, err = bytearray(), bytearray()
    ended = process.run(
        [program, *args],
        cwd=cwd,
        env=env,
        timeout=timeout,
        out=out.extend,
        err=lambda chunk: err.extend(chunk) if len(err) < 100_000 else None,
        stdin=stdin,
        max_bytes=OUTPUT,
        on_cancel=on_cancel,
        guard=guard,
    )
    said = err.decode("utf-8", "replace")
    if ended.why == "too_much":
        return Output(0, bytes(out), said, cut=True)
    if ended.why == "timeout":
        raise errors.CallFailed(f"git did not end within {timeout:g} s.", ended="timeout")
    if ended.why == "cancelled":
        raise errors.CallFailed("git was cancelled.", ended="cancelled")
    return Output(ended.code, bytes(out), said)


def _last_words(done: Output) -> str:
    """The end of what git said: its reason stands there."""
    lines = [line for line in done.err.strip().splitlines() if not line.startswith("hint:")]
    return " ".join(lines[-4:])[-600:] or f"exit code {done.code}."
