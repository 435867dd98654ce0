"""A fork server for each process of the tests, and a prepared Postgres database to copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from alfred.store import connect
from tests import pg
from tests.crash import lives, parts


@pytest.fixture(scope="session")
def fork_server() -> Iterator[lives.Lives]:
    """The server that lives are lived in."""
    with lives.opened() as server:
        yield server


@pytest.fixture
def postgres(pg_server: pg.Server) -> Iterator[Callable[[], str]]:
    """Makes prepared databases: one for each call."""
    template = pg_server.create()
    store = connect.open_store(template)
    parts.prepare(store)
    store.close()
    made = [template]

    def make() -> str:
        if len(made) > 1:
            pg_server.drop(made.pop())
        made.append(pg_server.create(urlsplit(template).path[1:]))
        return made[-1]

    yield make
    for url in reversed(made):
        pg_server.drop(url)
