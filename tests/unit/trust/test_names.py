"""What the names on a path say."""

from __future__ import annotations

from pathlib import Path

from alfred.actions import Risk, classify_command
from alfred.trust import names
from tests.table import table


@table([
        *(".git", "sub/.git/hooks/x", ".GIT/config", ".g\u200cit/config", ".git./config", "\uff0egit/x"),
        *(".githooks/x", ".gitattributes", "lefthook.yml", "Jenkinsfile", ".cirrus.yml", ".gitlab/ci/x.yml"),
        *("AGENTS.md", "a/Claude.md", ".claude.json", ".aider.conf.yml", ".aider.tags", ".windsurf/rules"),
        *(".cargo/config.toml", "web/.yarnrc.yml", ".pnpmfile.cjs", ".zed/tasks.json", ".nvim.lua", ".trae/rules"),
        *(".env", ".ENV", ".env.local", "app/.env.example", ".bashrc", ".pypirc", ".ssh/id", ".kube/config"),
    ])  # fmt: skip
def test_what_steers_programs_or_holds_secrets_is_sensitive_to_files_and_to_commands(
    tmp_path: Path, path: str
) -> None:
    assert names.sensitive(path)
    plain, delicate = (classify_command(f"rm '{p}'", cwd=tmp_path) for p in ("a/plain", path))
    assert plain < delicate is Risk.HIGH


@table(["a", "git", "env", "x.env", "environment", "docs/agents", "my.git", "aider"])  # fmt: skip
def test_other_names_are_not(path: str) -> None:
    assert not names.sensitive(path)


@table(
    [
        *(("tmp/x", True), ("a/tmp/x", True), ("cache/x", True), ("a/.turbo/b/c", True)),
        *(("tmp", False), ("a/cache/x", False), ("x", False), ("a/tmp", False)),
    ]
)
def test_what_lies_in_a_folder_for_temporary_files_is_disposable(path: str, is_so: bool) -> None:
    assert names.disposable(path) is is_so
