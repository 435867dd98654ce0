"""The version is written twice, because reading package metadata is slow: both must say the same."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from alfred import version

ROOT = Path(__file__).parents[2]


def test_the_constant_is_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == version.VERSION


def test_the_environment_has_this_version_installed() -> None:
    assert metadata.version("alfred-agents") == version.VERSION
