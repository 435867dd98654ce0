"""References to secrets: where each may go, and that its value takes their place there and nowhere else."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from alfred import errors
from alfred.trust import references, urls
from tests.table import table

BOUND = {"GITHUB_TOKEN": ("api.github.com", "uploads.github.com"), "NAS_KEY": ("nas.home.example",)}
VALUES = {"GITHUB_TOKEN": "value-of-the-token", "NAS_KEY": "nas"}


def target(host: str, scheme: str = "https", address: str = "140.82.121.6") -> urls.Target:
    return urls.Target(scheme, host, 443, "/", (ipaddress.ip_address(address),))


def resolved(value: str, to: urls.Target, values: dict[str, str] = VALUES) -> dict[str, str]:
    given = references.headers({"Authorization": value})
    return references.resolved(given, to, bound=BOUND, secrets=values.get)


@table(
    [
        ("secret://GITHUB_TOKEN", "value-of-the-token"),
        ("Bearer secret://GITHUB_TOKEN", "Bearer value-of-the-token"),
        ("token secret://GITHUB_TOKEN", "token value-of-the-token"),
    ]
)
def test_the_value_takes_the_place_of_its_reference(given: str, sent: str) -> None:
    for host in BOUND["GITHUB_TOKEN"]:
        assert resolved(given, target(host)) == {"Authorization": sent}


@table(
    [
        *(
            "evil.example",
            "github.com",
            "api.github.com.evil.example",
            "xapi.github.com",
            "1.1.1.1",
        ),
        *("gist.api.github.com", "nas.home.example", "api.github.co"),
    ]
)
def test_it_goes_to_no_other_host(host: str) -> None:
    problem = references.refused("GITHUB_TOKEN", host, BOUND)
    assert problem is not None
    assert "api.github.com" in problem.detail
    with pytest.raises(errors.CallRefused, match="may go to"):
        resolved("secret://GITHUB_TOKEN", target(host))


def test_it_goes_in_the_clear_to_a_host_that_the_owner_opened_alone() -> None:
    with pytest.raises(errors.CallRefused, match="https only"):
        resolved("secret://GITHUB_TOKEN", target("api.github.com", "http"))
    home = target("nas.home.example", "http", "192.168.1.5")
    assert resolved("secret://NAS_KEY", home) == {"Authorization": "nas"}


@table(
    [
        ("GITHUB_TOKE", "secret://GITHUB_TOKEN"),
        ("github_token", "GITHUB_TOKEN"),
        ("OTHER", "NAS_KEY"),
    ]
)
def test_an_unknown_name_tells_the_nearest(name: str, told: str) -> None:
    problem = references.refused(name, "api.github.com", BOUND)
    assert problem is not None
    assert told in problem.detail
    assert f"{{{name}: [api.github.com]}}" in (problem.next or "")


@table(
    [
        ("", "no reference"),
        ("x", "no reference"),
        ("Bearer", "no reference"),
        ("secret://", "no reference"),
        ("secret://1A", "no reference"),
        ("secret://A secret://B", "no reference"),
        ("secret://A ", "no reference"),
        (" secret://A", "no reference"),
        ("Bearer  secret://A", "no reference"),
        ("Bearer secret://A;x=y", "no reference"),
        ("a b secret://A", "no reference"),
        ("secret://A\n", "no reference"),
        ("private data secret://A", "no reference"),
        ("Basic\r\nX: secret://A", "no reference"),
        ("value-of-the-token", "no reference"),
    ]
)
def test_a_header_is_a_reference_and_nothing_else(value: str, why: str) -> None:
    with pytest.raises(errors.CallRefused, match=why) as told:
        references.headers({"Authorization": value})
    assert "value-of-the-token" not in str(told.value.problem())


@table([{"User-Agent": "secret://A"}, {"X-Key": "secret://A", "x-key": "secret://B"}])
def test_a_header_stands_once_and_is_none_of_alfreds(given: dict[str, str]) -> None:
    with pytest.raises(errors.CallRefused, match="alfred's own, or is there twice"):
        references.headers(given)


@table(["", "A:", "A B", "A\r\nB", "Ä", "x" * 70, ":authority", "-A"])
def test_the_name_of_a_header_is_one(name: str) -> None:
    with pytest.raises(errors.CallRefused, match="no name of a header"):
        references.headers({name: "secret://A"})


@table(["", "two\nlines", "tab\there", "ünïcode", "x\0", " led", "trailed ", "\x7f"])
def test_a_value_that_no_header_can_carry_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(errors.CallRefused) as told:
        resolved("secret://NAS_KEY", target("nas.home.example"), {"NAS_KEY": value})
    assert not value.strip() or value not in str(told.value.problem())
    with pytest.raises(errors.CallRefused, match="no value"):
        resolved("secret://NAS_KEY", target("nas.home.example"), {})


@table(
    [
        ("secret://A", ["A"]),
        ({"a": ["x secret://A y", {"secret://B": "secret://A"}], "n": 5}, ["A", "B"]),
        ("no secret:/A, Secret://A", []),
        (None, []),
    ]
)
def test_references_are_found_wherever_they_stand(value: Any, names: list[str]) -> None:
    assert references.named(value) == names
