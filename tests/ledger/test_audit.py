"""The audit chain notices every change that was made behind its back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from alfred.runs import audit
from alfred.runs.audit import Broken, Kept
from alfred.store.connect import Store
from alfred.store.trouble import DataError
from alfred.trust import redact
from tests.ledger.core import Core


@pytest.fixture
def chain(store: Store) -> Iterator[Core]:
    """A ledger whose chain of two tenants has five rows each. It may be left broken."""
    core = Core(store)
    for n in range(5):
        for tenant in ("main", "other"):
            core.do(audit.append, tenant, "said", n=n)
    yield core


def broken(core: Core) -> Broken | None:
    with core.store.read() as look:
        return audit.verify(look)[1]


def test_an_honest_chain_holds(chain: Core) -> None:
    with chain.store.read() as look:
        assert audit.verify(look) == (10, None)


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize("change", ["row=replace(row,'said','done')", "at=at+1", "row=row||' '"])
def test_a_changed_row_is_found(chain: Core, n: int, change: str) -> None:
    chain.write(f"update audit set {change} where tenant='other' and n=:n", n=n)
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("other", n)


@pytest.mark.parametrize("column", ["row", "prev", "hash"])
def test_a_row_that_is_no_text_is_found(chain: Core, column: str) -> None:
    if chain.store.pg:
        with pytest.raises(DataError, match="invalid byte sequence"):
            chain.write(f"update audit set {column}=convert_from('\\xff','utf8')")
        return
    chain.write(
        f"update audit set {column}=cast(x'ff'||{column} as text) where tenant='other' and n=3"
    )
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("other", 3)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_deleted_row_is_found(chain: Core, n: int) -> None:
    chain.write("delete from audit where tenant='main' and n=:n", n=n)
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("main", n)


@pytest.mark.parametrize("kept", [0, 2, 4])
def test_a_cut_end_is_found(chain: Core, kept: int) -> None:
    chain.write("delete from audit where tenant='main' and n>:n", n=kept)
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("main", kept + 1)


def test_two_rows_in_each_others_place_are_found(chain: Core) -> None:
    for was, to in ((2, 99), (3, 2), (99, 3)):
        chain.write("update audit set n=:to where tenant='main' and n=:was", was=was, to=to)
    found = broken(chain)
    assert found is not None and found.n == 2


def test_a_row_that_was_sealed_anew_breaks_the_next(chain: Core) -> None:
    prev, at = chain.all("select prev,at from audit where tenant='main' and n=2")[0]
    row = '{"what": "nothing"}'
    chain.write(
        "update audit set row=:row,hash=:hash where tenant='main' and n=2",
        row=row,
        hash=audit.seal(prev, 2, at, row),
    )
    found = broken(chain)
    assert found is not None and found.n == 3


@pytest.mark.parametrize(
    ("change", "n"),
    [
        ("update audit_heads set n=4 where tenant='main'", 5),
        ("update audit_heads set hash='x' where tenant='main'", 5),
        ("insert into audit select tenant,0,prev,hash,row,at from audit where tenant='main' and n=1", 0),
        ("insert into audit select tenant,-7,prev,hash,row,at from audit where tenant='main' and n=1", -7),
        ("insert into audit select tenant,6,hash,'x',row,at from audit where tenant='main' and n=5", 6),
    ],
)  # fmt: skip
def test_a_moved_head_and_a_row_that_was_put_in_are_found(chain: Core, change: str, n: int) -> None:
    chain.write(change)
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("main", n)


@pytest.mark.parametrize(
    ("tenant", "n", "digest", "found"),
    [
        ("main", 3, None, None),
        ("main", 3, "0" * 64, ("main", 3)),
        ("main", 6, "0" * 64, ("main", 6)),
        ("gone", 2, "0" * 64, ("gone", 1)),
    ],
    ids=["as it was", "another row", "cut", "all of it"],
)
def test_a_row_that_was_noted_elsewhere_is_still_the_same(
    chain: Core, tenant: str, n: int, digest: str | None, found: tuple[str, int] | None
) -> None:
    kept = chain.one("select hash from audit where tenant='main' and n=3")
    with chain.store.read() as look:
        broken = audit.verify(look, Kept(tenant, n, digest or kept))[1]
    assert (broken and (broken.tenant, broken.n)) == found


def test_a_verb_that_is_rolled_back_leaves_no_row(chain: Core) -> None:
    def fails(tx: audit.Tx) -> None:
        audit.append(tx, "main", "never")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        chain.do(fails)
    with chain.store.read() as look:
        assert audit.verify(look) == (10, None)


def test_several_rows_of_one_transaction_are_sealed_in_their_order(chain: Core) -> None:
    def verb(tx: audit.Tx) -> None:
        for n in range(3):
            audit.append(tx, "main", "more", n=n)

    chain.do(verb)
    rows = chain.all("select row from audit where tenant='main' and n>5 order by n")
    assert [row for (row,) in rows] == [f'{{"n": {n}, "what": "more"}}' for n in range(3)]
    assert broken(chain) is None


def test_a_chain_whose_head_was_taken_away_is_broken(chain: Core) -> None:
    chain.write("delete from audit_heads where tenant='other'")
    found = broken(chain)
    assert found is not None and (found.tenant, found.n) == ("other", 1)


def test_a_chain_of_which_nothing_is_left_is_missed(store: Store) -> None:
    core = Core(store)
    assert core.do(audit.policy, "main", {"mode": "gated"})
    assert broken(core) is None
    core.write("delete from audit")
    core.write("delete from audit_heads")
    found = broken(core)
    assert found is not None and (found.tenant, found.n) == ("main", 1)


def test_a_policy_that_changes_is_sealed_and_one_that_stays_is_not(store: Store) -> None:
    core = Core(store)
    rules = {"mode": "gated", "rules": []}
    assert core.do(audit.policy, "main", rules)
    assert not core.do(audit.policy, "main", rules)
    assert core.do(audit.policy, "other", rules)
    assert core.do(audit.policy, "main", rules | {"mode": "autonomous"})
    sealed = [
        json.loads(row)
        for (row,) in core.all("select row from audit where tenant='main' order by n")
    ]
    assert [row["rules"]["mode"] for row in sealed] == ["gated", "autonomous"]


def test_a_secret_is_not_sealed(store: Store) -> None:
    core = Core(store)
    redact.register("correct-horse-battery", "PASSPHRASE")
    core.do(audit.append, "main", "said", why="it is correct-horse-battery")
    assert "horse" not in core.one("select row from audit")
