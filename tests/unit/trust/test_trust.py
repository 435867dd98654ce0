"""The public names, and what asking for one of them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "httpx2",
    "httpcore2",
    "idna",
    "confusable_homoglyphs",
    "keyring",
    "ssl",
    "asyncio",
    "pydantic",
)


def _loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import alfred.trust",
        "from alfred.trust import display; display('x')",
        "from alfred.trust import redact; redact('x')",
        "from alfred.trust import open_beneath",
        "from alfred.trust import check_url; check_url('http://127.0.0.1/')",
        "from alfred.trust import labels, text, paths, secrets, sandbox, urls, redact, display",
    ],
)
def test_a_judgement_loads_no_client_and_no_table_that_it_does_not_need(code: str) -> None:
    assert not _loaded(code) & set(HEAVY)


@pytest.mark.parametrize("first", ["display", "redact"])
def test_a_name_means_the_same_whoever_imported_what_before(first: str) -> None:
    code = f"""
import alfred.trust.{first}
import alfred.trust
from alfred.trust import {first}
assert {first}("x") == alfred.trust.{first}("x") == {first}.{first}("x") == "x"
"""
    _loaded(code)
    _loaded(f"import alfred.trust\nassert alfred.trust.{first}('x') == 'x'")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import alfred.trust

    with pytest.raises(AttributeError):
        alfred.trust.nothing  # noqa: B018
    assert set(alfred.trust.__all__) <= set(dir(alfred.trust))
