"""The log of unattended processes: everything that goes wrong is in it, and no secret is."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from alfred import logs
from alfred.trust import redact

SECRET = "correct horse battery staple"


@pytest.fixture
def log(home: Path) -> Iterator[Path]:
    """A configured log; afterwards all is as it was."""
    before, level = logging.getLogger().handlers[:], logging.getLogger().level
    config = structlog.get_config()
    redact.register(SECRET, "MINE")
    home.mkdir(exist_ok=True)
    logs.configure(home)
    yield home / "logs" / "alfred.jsonl"
    redact.forget_all()
    for handler in logging.getLogger().handlers:
        if handler not in before:
            handler.close()
    logging.getLogger().handlers[:] = before
    logging.getLogger().setLevel(level)
    structlog.configure(**config)


def fails() -> None:
    near_the_cut = "x" * 65 + SECRET + "y" * 100
    raise ValueError(f"not this: {SECRET}" * bool(near_the_cut))


def lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text()
    assert SECRET[:10] not in text
    assert "[redacted:MINE:" in text
    return [json.loads(line) for line in text.splitlines()]


def test_neither_words_nor_values_nor_tracebacks_hold_a_secret(log: Path) -> None:
    structlog.get_logger().warning("it said", detail=SECRET, deep={"a": [SECRET]})
    logging.getLogger("lib").warning("it said %s", SECRET, extra={"more": SECRET})
    for logger in (structlog.get_logger(), logging.getLogger("lib")):
        try:
            fails()
        except ValueError:
            logger.exception("it failed")
    found = lines(log)
    assert len(found) == 4
    assert "fails" in json.dumps(found[2]) and "fails" in json.dumps(found[3])


def test_what_is_too_long_is_cut_wherever_it_stands_and_a_record_is_one_line(log: Path) -> None:
    long = "\x1b]52;c;eA==\x07\r\n" + "x" * 40_000
    structlog.get_logger().warning("%s{}" + long, detail=[{"a": long}], mine=SECRET)
    try:
        raise ValueError(long)
    except ValueError:
        logging.getLogger("lib").exception("it failed")
    for line in lines(log):
        written = json.dumps(line)
        assert len(written) < 30_000 and "[cut: 40" in written
    assert "\x1b" not in log.read_text() and len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("how", ["rotated", "deleted", "its folder was away for a while"])
def test_a_log_that_others_take_away_is_written_anew(
    log: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("lib")
    logger.warning("before")
    match how:
        case "rotated":
            log.rename(log.with_name("alfred.jsonl.1"))
        case "deleted":
            log.unlink()
        case _:
            log.parent.rename(log.parent.with_name("away"))
            logger.warning("nobody hears this")
            assert "cannot be written" in capsys.readouterr().err
            log.parent.mkdir()
    logger.warning("after")
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["after"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_what_ends_a_thread_is_in_the_log_and_not_on_standard_error(
    log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="not this") as caught:
        fails()
    why = (caught.type, caught.value, caught.tb, None)
    logs._lost(threading.ExceptHookArgs(why))
    [line] = lines(log)
    assert line["event"] == "thread.failed"
    assert "fails" in json.dumps(line["exception"])
    assert capfd.readouterr().err == ""


def test_a_thread_that_dies_is_told_to_the_log(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    logs.configure(log.parent.parent)
    assert threading.excepthook is logs._lost
