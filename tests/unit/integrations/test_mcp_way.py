"""Where an MCP server may lead, and what it is given: addresses that were judged, secrets that may go there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alfred.actions.ledger.pins import Place
from alfred.config_servers import Server
from alfred.integrations import mcp_way
from alfred.integrations.mcp_link import Broken
from alfred.trust import urls
from tests.table import table

SECRETS = {"KEY": "value-of-the-key"}


def settings(*opened: str, **secrets: tuple[str, ...]) -> Any:
    return SimpleNamespace(
        mcp_servers={},
        integrations={"web": {"allow_private": list(opened)}} if opened else {},
        secrets=secrets,
    )


@table(
    [
        ("http://127.0.0.1:3000/mcp", "127.0.0.1", None),
        ("http://localhost:3000/mcp", "127.0.0.1", None),
        ("http://[::1]:3000/mcp", "127.0.0.1", None),
        ("https://tools.lan/mcp", "10.0.0.7", None),
        ("https://tools/mcp", "10.0.0.7", None),
        ("https://tools.example/mcp", "9.9.9.9", None),
        ("https://tools.example:9443/mcp", "9.9.9.9", None),
        ("https://tools.example/mcp", "10.0.0.7", "it may not be asked"),
        ("https://tools.example/mcp", "127.0.0.1", "it may not be asked"),
        ("https://opened.example/mcp", "10.0.0.7", None),
        ("http://169.254.169.254/mcp", "169.254.169.254", "it may not be asked"),
        ("http://metadata.lan/mcp", "169.254.169.254", "it may not be asked"),
    ]
)
def test_a_name_that_looks_public_leads_to_public_addresses_only(
    monkeypatch: pytest.MonkeyPatch, url: str, address: str, refused: str | None
) -> None:
    monkeypatch.setattr(urls, "_system_resolve", lambda host: [address])
    try:
        found = mcp_way._target(url, settings("opened.example"))
    except Broken as why:
        assert refused is not None and refused in str(why)
    else:
        assert refused is None and found.url == url


@table(
    [
        ("https://9.9.9.9/mcp", {"A": "Bearer ${KEY}"}, {"A": "Bearer value-of-the-key"}, None),
        ("http://127.0.0.1/mcp", {"A": "Bearer ${KEY}"}, {"A": "Bearer value-of-the-key"}, None),
        ("http://9.9.9.9/mcp", {"A": "Bearer ${KEY}"}, None, "over https only"),
        ("http://9.9.9.9/mcp", {"A": "plain"}, {"A": "plain"}, None),
        ("https://9.9.9.9/mcp", {"A": "${NONE}"}, None, "it needs NONE, which has no value here"),
        ("https://9.9.9.9/mcp", {"A": "Bearer secret://KEY"}, {"A": "Bearer value-of-the-key"}, None),
        ("https://9.9.9.10/mcp", {"A": "Bearer secret://KEY"}, None, "may go to 9.9.9.9, not to"),
        ("http://9.9.9.9/mcp", {"A": "Bearer secret://KEY"}, None, "over https only"),
    ]
)  # fmt: skip
def test_a_secret_goes_in_a_header_to_where_it_may(
    url: str, written: dict[str, str], made: dict[str, str] | None, refused: str | None
) -> None:
    known = settings(KEY=("9.9.9.9",))
    target = urls.target_of(url, None, frozenset(["127.0.0.1"]), frozenset())
    try:
        found = mcp_way._headers(written, target, Place("main", "", "x"), known, SECRETS.get)
    except Broken as why:
        assert refused is not None and refused in str(why)
    else:
        assert found == made


def test_another_tenant_has_nothing_of_the_environment(tmp_path: Path) -> None:
    one = Server(command="x", env={"A": "${HOME}"})
    mcp_way.link(Place("main", "", "x"), one, folder=tmp_path, settings=None, secret=lambda n: None)
    with pytest.raises(Broken, match="it needs HOME"):
        mcp_way.link(
            Place("acme", "", "x"), one, folder=tmp_path, settings=None, secret=lambda n: None
        )
