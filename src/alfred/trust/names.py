"""What the names on a path say about what lies there: whether it steers other programs or holds secrets, and
whether it may be thrown away.

One list for everybody who judges a change, or keeps one from happening: actions on files and git, words of
commands, the sandbox. Names are compared as a file system sees them that minds neither case nor invisible
letters.
"""

from __future__ import annotations

import unicodedata

_VERSION_CONTROL = (
    *(".git", ".hg", ".svn", ".gitmodules", ".gitattributes", ".gitconfig", ".githooks", ".husky"),
    *("lefthook.yml", ".lefthook.yml", ".pre-commit-config.yaml", ".pre-commit-config.yml"),
)
_BUILDS = (
    *(".github", ".gitlab", ".forgejo", ".gitea", ".circleci", ".buildkite", ".ci", ".woodpecker"),
    *(".azure-pipelines", ".gitlab-ci.yml", ".gitlab-ci.yaml", ".travis.yml", ".drone.yml"),
    *(".drone.yaml", ".cirrus.yml", ".woodpecker.yml", ".woodpecker.yaml", ".appveyor.yml"),
    *("appveyor.yml", "azure-pipelines.yml", "azure-pipelines.yaml", "bitbucket-pipelines.yml"),
    *(".cargo", ".bazelrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".mise.toml", "mise.toml"),
    *("jenkinsfile", "cloudbuild.yaml", "cloudbuild.yml", "buildspec.yml", "codemagic.yaml"),
)
_AGENTS_AND_EDITORS = (
    *(".claude", ".codex", ".cursor", ".gemini", ".continue", ".clinerules", ".roo", ".kiro"),
    *(".junie", ".windsurf", ".agents", ".opencode", ".alfred", ".hermes", ".devcontainer"),
    *(".zed", ".fleet", ".nvim.lua", ".nvimrc", ".vimrc", ".exrc", ".dir-locals.el", ".gdbinit"),
    *(".amazonq", ".trae", ".qwen", ".augment", ".factory", ".crush", ".crush.json", "crush.json"),
    *(".vscode", ".idea", ".claude.json", ".mcp.json", "mcp.json", "opencode.json"),
    *("agents.md", "agents.override.md", "agent.md", "claude.md", "claude.local.md", "gemini.md"),
    *("soul.md", "skill.md", "warp.md", ".goosehints", ".cursorrules", ".windsurfrules"),
    *(".rules", ".aider.conf.yml", ".cursorignore", ".claudeignore"),
)
_SHELLS_AND_SECRETS = (
    *(".env", ".envrc", ".netrc", ".npmrc", ".pypirc", ".ssh", ".aws", ".gnupg", ".kube"),
    *(".docker", ".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".zprofile"),
)
_SENSITIVE = frozenset(_VERSION_CONTROL + _BUILDS + _AGENTS_AND_EDITORS + _SHELLS_AND_SECRETS)
_SENSITIVE_BEGINNINGS = (".env.", ".aider")

CACHES = frozenset(
    {
        *("tmp", "temp", ".tmp", ".temp", ".cache", "__pycache__", ".pytest_cache", ".mypy_cache"),
        *(".ruff_cache", ".hypothesis", ".parcel-cache", ".turbo", ".sass-cache", ".eslintcache"),
        *(".nyc_output", ".gradle-cache"),
    }
)
"""Folders of temporary files and caches, wherever they lie."""

INSTALLED = frozenset(
    ("node_modules", "bower_components", "site-packages", ".venv", "venv", ".tox", ".nox")
)
"""Folders of installed packages, wherever they lie: whatever changes them changes code that is run anyway, and packages
bring many sensitive names of their own that steer nothing there."""

_CACHES_AT_THE_TOP = CACHES | {"cache", "caches"}


def sensitive(path: str) -> bool:
    """Whether a path lies in what configures git, CI or agents, or names a file with secrets."""
    return any(
        part in _SENSITIVE or part.startswith(_SENSITIVE_BEGINNINGS)
        for part in map(_folded, path.split("/"))
    )


def installed(name: str) -> bool:
    """Whether a folder of this name is one of installed packages."""
    return name in INSTALLED


def disposable(path: str) -> bool:
    """Whether a path, from the workspace, lies in a folder for temporary files or caches."""
    folders = path.split("/")[:-1]
    return bool(folders) and (
        folders[0] in _CACHES_AT_THE_TOP or any(part in CACHES for part in folders)
    )


def _folded(part: str) -> str:
    plain = unicodedata.normalize("NFKC", part)
    visible = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    return visible.casefold().rstrip(" .") or visible
