"""Hostile URLs through the real `web.fetch`, on a machine that owns every address: what counts is who was connected to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.unit.trust import test_urls

ROOT = Path(__file__).parents[2]
PUBLIC = f"{test_urls.PUBLIC} 80"

# What Linux does not even try: an address of no host, of a link without a name, of many.
UNTRIED = {"224.0.0.1", "255.255.255.255", "fe80::1", "ff02::1"}

Tried = dict[str, list[tuple[str, str, list[str]]]]
"""How something was tried -> what, what came of it, where connections were begun."""


@pytest.fixture(scope="module")
def tried() -> Tried:
    done = subprocess.run(
        [
            *("bwrap", "--unshare-user", "--unshare-net", "--uid", "0", "--gid", "0"),
            *("--cap-add", "CAP_NET_ADMIN", "--cap-add", "CAP_NET_RAW"),
            *("--cap-add", "CAP_NET_BIND_SERVICE", "--dev-bind", "/", "/"),
            *(sys.executable, "-m", "tests.slow.everywhere"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Tried = defaultdict(list)
    for how, what, came, where in json.loads(done.stdout):
        found[how].append((what, came, where))
    return found


@pytest.mark.needs_program("bwrap")
def test_a_hostile_url_begins_no_connection_and_an_honest_one_goes_where_it_was_checked(
    tried: Tried,
) -> None:
    assert len(tried["asked"]) >= 150
    reached = [
        (what, came, where) for what, came, where in tried["asked"] + tried["named"] if where
    ]
    assert reached == []
    assert {came for _, came, _ in tried["asked"] + tried["named"]} == {"refused"}

    assert len(tried["allowed"]) == len(test_urls.ALLOWED)
    for url, came, where in tried["allowed"]:
        assert came == ("read" if url.lower().startswith("http:") else "failed"), (
            url
        )  # no TLS there
        assert len(where) == 1, url


@pytest.mark.needs_program("bwrap")
def test_no_redirect_and_no_second_answer_of_a_name_server_leads_anywhere_else(
    tried: Tried,
) -> None:
    assert len(tried["redirected"]) >= 150
    # What has no host of its own is a path on the public server.
    wrong = [(what, where) for what, _, where in tried["redirected"] if set(where) != {PUBLIC}]
    assert wrong == []
    first = "2606:4700::1111"
    assert tried["rebound"] == [
        (test_urls.PUBLIC, "read", [PUBLIC]),
        (first, "read", [f"{first} 80"]),
    ]
    assert tried["led home"] == [("http://1.1.1.1/", "refused", ["1.1.1.1 80"])]


@pytest.mark.needs_program("bwrap")
def test_whoever_is_not_judged_is_seen_at_every_address(
    tried: Tried,
) -> None:
    """The oracle sees what it should."""
    unseen = {what for what, came, where in tried["plain"] if came != "reached" or not where}
    assert unseen == UNTRIED
