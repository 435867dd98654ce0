"""What programs of MCP servers complain about is kept and told without secrets, and bounded."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from alfred.integrations import mcp_complaints
from alfred.integrations.mcp_complaints import Complaints
from alfred.integrations.mcp_link import Link
from alfred.trust import redact

SECRET = "Kv93-hunter2-of-mine"


@pytest.fixture(autouse=True)
def known() -> None:
    redact.register(SECRET, "TOKEN")


@pytest.mark.slow
def test_neither_the_log_nor_the_last_words_hold_a_secret_wherever_they_are_cut(
    tmp_path: Path,
) -> None:
    log = tmp_path / "mcp-x.log"
    complaints = Complaints(log)
    said = f"{'x' * 1_000} token {SECRET} is wrong\n{'y ' * 990}"
    for at in range(0, len(said), 7):  # as it comes through a pipe
        complaints.feed(said[at : at + 7].encode())
    complaints.close()
    assert "is wrong" in log.read_text()
    for text in (log.read_text(), complaints.last):
        assert "hunter2" not in text and "of-mine" not in text
    for before in range(150, 300):  # where a message is cut
        link = Link(
            lambda allowance: nullcontext(),
            complaint=lambda before=before: f"{'x' * before}{SECRET}{'y' * 300}",
        )
        assert not any(SECRET[:n] in link.told("it ended") for n in range(6, len(SECRET)))


def test_a_log_that_two_write_has_no_hole_and_begins_anew_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "mcp-x.log"
    one, two = Complaints(log), Complaints(log)
    for turn in (one, two, one):
        turn.feed(b"a line\n")
    assert log.read_bytes() == b"a line\n" * 3 and log.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(mcp_complaints, "MOST", 30)
    two.feed(b"another line\n")
    one.close()
    two.close()
    assert log.read_bytes() == b"another line\n"


def test_a_log_that_cannot_be_written_costs_the_words_nothing(tmp_path: Path) -> None:
    complaints = Complaints(tmp_path / "no" / "such" / "folder.log")
    complaints.feed(b"it is wrong \n")
    complaints.close()
    assert complaints.last == "it is wrong \n"
