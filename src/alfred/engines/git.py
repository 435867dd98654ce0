"""A git that runs nothing of the repository's: no hook, filter, driver, helper, pager, editor, alias or signer.

Whatever a repository's own files say (its config, `.gitattributes`, `.gitmodules`, a `.git` that points
elsewhere), no program that they name is started, and no work tree but the one around `.git` is read:

- settings that name programs are overruled on the command line; filters, which have names of their own, are
  looked up in the config first and switched off one by one;
- git reads the config that was judged, from a folder of its own (`_stand_in`): what is written into the repository's
  between a look at it and the start of git is not read at all, and with `network` next to nothing of it is;
- system and global config are not read (`git_start`); of the operator's own global config exactly `user.name`,
  `user.email`, `credential.helper` (also per host) and `core.sshCommand` are passed on, and only to commands
  that need them;
- without `network` no transport is allowed at all, so that nothing is fetched behind one's back;
- submodules are never entered.

It does not protect from what git does with its own data: a repository can be large, or broken.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alfred import errors
from alfred.engines import git_config, git_start, process
from alfred.engines.git_start import Output

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

_SHARED = ("HEAD", "refs", "packed-refs", "logs", "info", "shallow", "worktrees")
"""What of a repository git finds beside its config, besides objects. Not `remotes` and `branches`: what a file in them
is called as would be sent elsewhere."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with a work tree."""

    top: Path
    """The folder that holds `.git`."""
    folder: Path
    """Where in it work is done: `top` or a folder below it. Paths are relative to it."""


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
    timeout: float = git_start.TIMEOUT_S,
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
    shared = folders(repository)[1]
    config, set_there = git_config.settings(repository.top, shared)
    settings = [*_OVERRULED, *git_config.switched_off(set_there)]
    if network or operator:
        settings += git_config.of_operator(repository.top)
    words = [word for name, value in settings for word in ("-c", f"{name}={value}")]
    places = [f"--git-dir={repository.top / '.git'}", f"--work-tree={repository.top}"]
    if network:
        config = git_config.alone([one for one in set_there if git_config.of_network(one[0])])
    with _stand_in(shared, config) as folder:
        own = {"GIT_COMMON_DIR": folder, "GIT_OBJECT_DIRECTORY": os.fspath(shared / "objects")}
        done = git_start.start(
            ["--no-pager", "--literal-pathspecs", *words, *places, *args],
            cwd=repository.folder,
            env=git_start.environment(network=network) | own | (env or {}),
            stdin=stdin,
            timeout=timeout,
            on_cancel=on_cancel,
            guard=network,  # the other side may never end it
        )
    done = replace(done, err=done.err.replace(folder, os.fspath(shared)))
    if done.code not in ok:
        raise errors.CallFailed(f"git {args[0]} failed: {git_start.last_words(done)}")
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
    return [name for name, _ in _set_there(repository)]


def config_values(repository: Repository, name: str) -> list[str]:
    """The values that the repository itself gives a setting, in order.

    Raises:
        CallFailed: its config cannot be read.
    """
    given = (value or "" for one, value in _set_there(repository) if one == name)
    return [os.fsencode(value).decode("utf-8", "replace") for value in given]


def _set_there(repository: Repository) -> tuple[git_config.Setting, ...]:
    return git_config.settings(repository.top, folders(repository)[1])[1]


def forget_branch(repository: Repository, name: str) -> None:
    """Takes what is configured of a branch that is gone out of the repository's config."""
    section = f"branch.{name}"
    if any(one.startswith(f"{section}.") for one in config_names(repository)):
        config = folders(repository)[1] / "config"
        words = ("config", "--file", os.fspath(config), "--remove-section", section)
        git_start.start(words, cwd=repository.top, env=git_start.environment(network=False))


@contextlib.contextmanager
def _stand_in(shared: Path, config: bytes) -> Iterator[str]:
    """A folder that git takes for the one that the work trees share: with this config, and links to what else it needs."""
    with tempfile.TemporaryDirectory(prefix="alfred-git-") as made:
        Path(made, "config").write_bytes(config)
        for name in _SHARED:
            if os.path.lexists(shared / name):
                Path(made, name).symlink_to(Path(os.path.realpath(shared), name))
        yield made


def filtered(repository: Repository, paths: Sequence[bytes]) -> list[tuple[str, str]]:
    """Which of these paths have a filter that is not run here: (path, filter), such as LFS."""
    if not paths:
        return []
    asked = b"".join(path + b"\0" for path in paths)
    done = run(repository, "check-attr", "-z", "--stdin", "filter", stdin=asked)
    words = done.text.split("\0")[:-1]
    found = zip(words[0::3], words[2::3], strict=True)
    return [(path, value) for path, value in found if value not in ("unspecified", "unset", "set")]
