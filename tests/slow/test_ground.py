"""What the ground of all tests does to a whole session: no skip slips through, nothing personal does, no paid model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SKIPS = {
    "marked": "import pytest\n@pytest.mark.skip(reason='later')\ndef test_it(): pass\n",
    "inside": "import pytest\ndef test_it(): pytest.skip('later')\n",
    "module": "import pytest\npytest.skip('later', allow_module_level=True)\n",
    "import": "import pytest\npytest.importorskip('no_such_module')\n",
    "program": (
        "import pytest\n@pytest.mark.needs_program('sh', 'no-such-program')\ndef test_it(): pass\n"
    ),
}


def pytest_run(
    folder: Path, text: str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Our configuration and conftest over one test file of the test's own."""
    file = folder / "test_given.py"
    file.write_text(text)
    config = (f"--rootdir={ROOT}", "-c", ROOT / "pyproject.toml", "-p", "tests.conftest")
    keep = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *config, *options, file],
        cwd=ROOT,
        env=keep | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def skipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest says about a file with each kind of skip: leniently, and when all must run."""
    said = {}
    for must_run in ("0", "1"):
        folder = tmp_path_factory.mktemp("skips")
        for name, text in SKIPS.items():
            (folder / f"test_{name}.py").write_text(text)
        done = pytest_run(
            folder, "", str(folder), "--continue-on-collection-errors", ALFRED_TEST_ALL=must_run
        )
        said[must_run] = f"{done.returncode}\n{done.stdout}"
    return said


def test_a_skip_says_why(skipped: dict[str, str]) -> None:
    assert f" {len(SKIPS)} skipped in" in skipped["0"]
    assert "'no-such-program', which is not on the PATH" in skipped["0"]


def test_no_kind_of_skip_passes_when_all_must_run(skipped: dict[str, str]) -> None:
    closing = skipped["1"].splitlines()[-1]
    bad = sum(int(n) for n in re.findall(r"(\d+) (?:failed|error)", closing))
    assert bad == len(SKIPS), skipped["1"]
    assert "skipped" not in closing
    assert skipped["1"].startswith("1\n")


def test_nothing_personal_of_the_machine_reaches_a_test(tmp_path: Path) -> None:
    text = """
import os
from pathlib import Path

def test_it():
    given = {name for name, value in os.environ.items() if value == "of-the-machine"}
    assert given == {"LANGUAGE", "ALFRED_TEST_SOMETHING"}
    assert Path.home() != Path("/home/somebody")
    assert not any(Path.home().iterdir())
    assert not Path(os.environ["ALFRED_HOME"]).exists()
"""
    names = [
        *("ALFRED_MODEL", "ALFRED_DATABASE_URL", "HERMES_MCP_URL", "ANTHROPIC_API_KEY", "GH_TOKEN"),
        *("OPENAI_BASE_URL", "MISTRAL_API_KEY", "GIT_DIR", "http_proxy", "XDG_CONFIG_HOME"),
        *("SSH_AUTH_SOCK", "SLACK_BOT_TOKEN", "PGHOST", "LANGUAGE", "ALFRED_TEST_SOMETHING"),
    ]
    given = dict.fromkeys(names, "of-the-machine") | {"HOME": "/home/somebody"}
    done = pytest_run(tmp_path, text, **given)
    assert done.returncode == 0, done.stdout


def test_models_may_not_be_asked_from_their_first_import_on(tmp_path: Path) -> None:
    text = """
import sys

def test_it():
    assert "pydantic_ai" not in sys.modules
    import pydantic_ai.models
    assert pydantic_ai.models.ALLOW_MODEL_REQUESTS is False

def test_other(allow_model_requests):
    import pydantic_ai.models
    assert pydantic_ai.models.ALLOW_MODEL_REQUESTS is True

def test_last():
    import pydantic_ai.models
    assert pydantic_ai.models.ALLOW_MODEL_REQUESTS is False
"""
    done = pytest_run(tmp_path, text, "-p", "no:randomly")
    assert done.returncode == 0, done.stdout
