"""Labels only get worse, and what cannot be read is the worst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.table import table

_labels = st.builds(Label, st.sampled_from(Integrity), st.sampled_from(Confidentiality))


def _no_better(one: Label, two: Label) -> bool:
    return one.integrity >= two.integrity and one.confidentiality >= two.confidentiality


def test_the_order_is_the_one_of_the_design() -> None:
    assert [i.name.lower() for i in sorted(Integrity)] == [
        "owner",
        "trusted",
        "derived",
        "external",
    ]
    assert [c.name.lower() for c in sorted(Confidentiality)] == [
        "public",
        "internal",
        "private",
        "secret",
    ]


@given(_labels, _labels, _labels)
def test_joining_only_gets_worse_in_whatever_order(a: Label, b: Label, c: Label) -> None:
    joined = labels.join(a, b)
    assert _no_better(joined, a)
    assert _no_better(joined, b)
    assert joined == labels.join(b, a)
    assert labels.join(joined, c) == labels.join(a, labels.join(b, c))
    assert labels.join(a, a) == a
    assert labels.join_all([a, b, c]) == labels.join(joined, c)
    # Not worse than it must be either: each half is that of one of them.
    assert joined.integrity in (a.integrity, b.integrity)
    assert joined.confidentiality in (a.confidentiality, b.confidentiality)


@given(_labels)
def test_the_best_and_the_worst_are_the_ends(label: Label) -> None:
    assert labels.join(label, labels.BEST) == label
    assert labels.join(label, labels.WORST) == labels.WORST
    assert labels.join_all([]) == labels.BEST


@given(_labels)
def test_a_label_survives_being_stored(label: Label) -> None:
    assert labels.decode(labels.encode(label)) == label
    assert str(label) == labels.encode(label)


def test_the_stored_form_is_the_documented_one() -> None:
    assert labels.encode(Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)) == "external/private"


@table([
        None, "", "/", "owner", "owner/", "/public", "Owner/Public", "OWNER/PUBLIC", " owner/public",
        "owner/public ", "owner/public\n", "owner / public", "owner/public/x", "owner/private/", "0/0",
        "public/owner", "owner\0/public", "ownеr/public", "owner/unknown", "trust/public", "null", "\ud800",
        0, 1, b"owner/public", ["owner/public"], {}, True,
    ])  # fmt: skip
def test_what_cannot_be_read_is_external_and_secret(text: object) -> None:
    assert labels.decode(text) == labels.WORST  # type: ignore[arg-type]
    assert labels.encode(labels.WORST) == "external/secret"


@given(st.text())
def test_no_text_decodes_to_better_than_it_says(text: str) -> None:
    label = labels.decode(text)
    assert label == labels.WORST or labels.encode(label) == text


def test_a_label_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        labels.WORST.integrity = Integrity.OWNER  # type: ignore[misc]
