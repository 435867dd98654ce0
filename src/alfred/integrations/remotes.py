"""The configured remotes of a repository: where each one leads, and what it has.

Invariant: an address is taken from the repository's config, judged, and then used as it is; what else the
repository says about remotes (rewritten addresses, helpers, proxies, programs of the other side) is refused
or overruled. No remote is asked whose address the rules of the web refuse. A password in an address is
neither shown nor told.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from alfred import errors
from alfred.actions.context import ActionContext
from alfred.engines import git, git_config, git_start, refs
from alfred.integrations import places, web_settings
from alfred.trust import urls

_LOOK_S = 30  # for asking a remote what it has


@dataclass(frozen=True, slots=True)
class Remote:
    """A configured remote whose address may be used."""

    name: str
    url: str
    """As git gets it."""
    path: Path | None
    """The folder, of one on this machine."""

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return _bare(self.url)

    @property
    def bound(self) -> dict[str, str]:
        """What an approval of this address binds: what is shown, and a mark of the whole."""
        return {"url": self.shown, "mark": hashlib.sha256(self.url.encode()).hexdigest()[:16]}


def configured(ctx: ActionContext, here: git.Repository, name: str) -> Remote:
    """The configured remote of this name, when its address and nothing but it says where a push goes.

    Raises:
        CallFailed: there is none of this name, or it cannot be used; the message says why.
    """
    names = git.config_names(here)
    known = sorted(
        {n[7:].rpartition(".")[0] for n in names if n.startswith("remote.") and n.endswith("url")}
    )
    if name not in known:
        raise errors.CallFailed(
            f"There is no remote {name!r}.",
            next=f"There are: {', '.join(map(_bare, known)) or 'none'}.",
        )
    given = git.config_values(here, f"remote.{name}.pushurl")
    given = given or git.config_values(here, f"remote.{name}.url")
    if len(given) != 1:
        raise errors.CallFailed(f"The remote {name!r} has {len(given)} addresses to push to.")
    _refuse_detours(name, given[0], names)
    return _judged(ctx, here, name, given[0])


def _refuse_detours(name: str, url: str, names: list[str]) -> None:
    """Refuses what would lead a push elsewhere than to the address, or through something on the way."""
    for one in names:
        section, _, rest = one.partition(".")
        middle, _, last = rest.rpartition(".")
        detour = (
            (section == "url" and last in ("insteadof", "pushinsteadof"))
            or (section == "http" and one not in git_config.HARMLESS_HTTP)
            or (section == "remote" and middle == name and last in ("vcs", "proxy"))
            or (section == "remote" and middle == url)
        )
        if detour:
            raise errors.CallFailed(
                f"The repository's own config sets {_bare(one)!r}, which could lead a push elsewhere.",
                next="Remove it there; your global config is not concerned.",
            )


def _judged(ctx: ActionContext, here: git.Repository, name: str, url: str) -> Remote:
    bad = next((c for c in url if ord(c) < 33 or ord(c) == 127), None)
    if not url or url.startswith("-") or bad is not None:
        raise _refused(name, "it is empty, or has spaces or control characters")
    if re.match(r"[A-Za-z0-9+.-]*::", url):
        raise _refused(name, "it names a helper program")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if scheme:
        if odd := next((c for c in url if c in "?#\\"), None):
            # `https://a?@b/` leads to a, and reads as an address at b
            raise _refused(name, f"it has a {odd!r}, so that programs and people read other hosts")
        kind = scheme[1].lower()
        if kind not in git_start.TRANSPORTS:
            raise _refused(name, f"{kind!r} is not one of {', '.join(git_start.TRANSPORTS)}")
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise _refused(name, "it is malformed") from None
        if kind != "file":
            if not host or host.startswith("-") or (parts.username or "").startswith("-"):
                raise _refused(name, "its host or user is none")
            if parts.netloc.count("@") > 1 or (parts.password and kind != "https"):
                # git itself would repeat it in what it says
                raise _refused(name, "it carries a password in a way that nothing reads")
            return Remote(name, url, None)
        if host not in ("", "localhost"):
            raise _refused(name, "it names a folder of another machine")
        return _folder(ctx, here, name, urllib.parse.unquote(parts.path))
    if re.match(r"[^/]*:", url):
        user, _, host = url.partition(":")[0].rpartition("@")
        if not host or host.startswith("-") or user.startswith("-"):
            raise _refused(name, "its host or user is none")
        return Remote(name, url, None)
    return _folder(ctx, here, name, url)


def refuse_private(ctx: ActionContext, to: Remote) -> None:
    """The rules of the web hold for https remotes too. git looks the name up again by itself."""
    if not to.url.lower().startswith("https:"):
        return
    web = web_settings.of(ctx.settings)
    verdict = urls.check_url(to.shown, allow_private=web.hosts, ports=web.ports)
    if not verdict.allowed:
        raise _refused(to.name, verdict.reason)


def _folder(ctx: ActionContext, here: git.Repository, name: str, path: str) -> Remote:
    real = Path(os.path.realpath(here.top / path))
    if real.is_relative_to(here.top):
        raise _refused(name, "it lies in the workspace, whose files could be run as its hooks")
    if real.is_relative_to(os.path.realpath(places.installation(ctx))):
        raise _refused(
            name, "it lies in alfred's own home, where other runs could put hooks into it"
        )
    return Remote(name, str(real), real)


def _bare(text: str) -> str:
    shown = text.encode("utf-8", "backslashreplace").decode()  # names of git are bytes
    return re.sub(r"//[^/\s]*@", "//", shown)


def _refused(name: str, why: str) -> errors.CallFailed:
    return errors.CallFailed(f"The address of the remote {name!r} is refused: {why}.")


def default(ctx: ActionContext, here: git.Repository, to: Remote) -> str | None:
    """The remote's default branch as far as it is known here; a remote on this machine is asked."""
    if to.path is not None:
        found = re.match(r"ref: refs/heads/(\S+)\tHEAD", _listed(ctx, here, to, "--symref", "HEAD"))
        return found[1] if found else ""
    local = git.run(
        here, "symbolic-ref", "--quiet", f"refs/remotes/{to.name}/HEAD", ok=(0, 1)
    ).text.strip()
    return local.removeprefix(f"refs/remotes/{to.name}/") or None


def tip(ctx: ActionContext, here: git.Repository, to: Remote, branch: str) -> str | None:
    """The commit that the remote's branch is at, None when it has none."""
    said = _listed(ctx, here, to, f"refs/heads/{branch}")
    return next(
        (
            line.split("\t")[0]
            for line in said.splitlines()
            if line.endswith(f"\trefs/heads/{branch}")
        ),
        None,
    )


def _listed(ctx: ActionContext, here: git.Repository, to: Remote, *args: str) -> str:
    refuse_private(ctx, to)
    options = [arg for arg in args if arg.startswith("--")]
    patterns = [arg for arg in args if not arg.startswith("--")]
    done = git.run(
        here,
        *("ls-remote", "--upload-pack=git-upload-pack", *options, to.url, *patterns),
        network=True,
        timeout=_LOOK_S,
    )
    return done.text


def known(ctx: ActionContext, here: git.Repository, to: Remote, branch: str) -> str | None:
    """The commit that the remote's branch was last seen at; a remote on this machine is asked."""
    if to.path is not None:
        return tip(ctx, here, to, branch)
    return refs.sha(here, f"refs/remotes/{to.name}/{branch}")
