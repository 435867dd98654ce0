"""Notices: to the configured targets and nobody else, and never a word of their passwords."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from alfred import errors
from alfred.actions import Effect, Risk, declare
from alfred.integrations import ask, notify
from alfred.trust import text as storable
from alfred.trust.display import display
from tests.unit.trust.test_display import DECEPTIVE

# apprise looks for a module that Python 3.13 has no more, and copes without it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

PASSWORD = "hunter2-hunter2-hunter2"


class Target:
    """A target of apprise's `json://` on the loopback: keeps what it got, answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.heads: list[Any] = []
        self.status = 200
        self.location = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.heads.append(self.headers)
                outer.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("location", outer.location)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def targets() -> Iterator[list[Target]]:
    made = [Target(), Target()]
    yield made
    for one in made:
        one.close()


def test_a_notice_is_free_and_blind() -> None:
    action = declare.build(notify.send)
    assert (action.risk, action.effect) == (Risk.NONE, Effect.BLIND)


def test_a_notice_reaches_every_target(new_bench: Any, targets: list[Target]) -> None:
    bench = new_bench(channels={"notify": [f"json://{t.address}/" for t in targets]})
    done = bench.call(notify.send, text="  Done:\n*3* files & <b>1</b> branch %s \\n\n")
    assert done == {"sent": ["json (1)", "json (2)"], "failed": []}
    for one in targets:
        assert [got["message"] for got in one.got] == ["Done:\n*3* files & <b>1</b> branch %s \\n"]
        assert one.got[0]["title"] == "alfred"


def test_a_notice_deceives_nobody(new_bench: Any, targets: list[Target]) -> None:
    bench = new_bench(channels={"notify": f"json://{targets[0].address}/"})
    text = "\n".join(storable.sanitize(text)[0] for text, _ in DECEPTIVE)
    bench.call(notify.send, text=text)
    (got,) = targets[0].got
    assert got["message"] == display(text, multiline=True) != text


def test_what_a_card_wrote_out_is_not_written_out_again_and_nothing_else_gets_through(
    new_bench: Any, targets: list[Target]
) -> None:
    settings = new_bench(channels={"notify": f"json://{targets[0].address}/"}).ctx.settings
    notify.tell(settings, lambda name: None, display("a\u202eb") + " and c\u202ed")
    assert [got["message"] for got in targets[0].got] == ["a\\u{202E}b and c\\u{202E}d"]


def test_without_targets_it_says_where_to_write_them(new_bench: Any) -> None:
    for channels in ({}, {"notify": []}, {"notify": None}, {"notify": {}}):
        with pytest.raises(errors.CallFailed) as told:
            new_bench(channels=channels).call(notify.send, text="x")
        assert "config.yaml" in (told.value.next or "")


def test_a_target_that_fails_is_named_without_its_secrets(
    new_bench: Any, targets: list[Target], caplog: pytest.LogCaptureFixture
) -> None:
    targets[0].status = 500
    urls = [
        f"json://pat:{PASSWORD}@{targets[0].address}/",
        f"nonsense://{PASSWORD}",
        PASSWORD,
        f"json://{targets[1].address}/",
    ]
    done = new_bench(channels={"notify": urls}).call(notify.send, text="x")
    assert done["sent"] == ["json (4)"]
    assert done["failed"] == [
        "json (1) did not take it",
        "nonsense (2) is not understood",
        "target (3) is not understood",
    ]
    with pytest.raises(errors.CallFailed, match="reached nobody") as told:
        new_bench(channels={"notify": urls[:3]}).call(notify.send, text="x")
    assert PASSWORD not in str(told.value.problem())
    assert PASSWORD not in caplog.text


def test_the_card_names_who_would_be_told_and_no_secret_of_theirs(new_bench: Any) -> None:
    urls = [
        "ntfy://my-topic",
        f"tgram://123456:{PASSWORD}/42",
        f"mailto://pat:{PASSWORD}@example.org?to=ann@example.org&to=bob@example.org",
        f"mailtos://pat:{PASSWORD}@example.org",
        f"mailto://pat:{PASSWORD}/x@example.org",
        PASSWORD,
        "slack://${TOKENS}/#general",
    ]
    secrets = {"TOKENS": f"{PASSWORD}/b/c"}
    bench = new_bench(channels={"notify": urls}, secrets=secrets)
    told, _, text = bench.preview(notify.send, text="It is done.").partition("\n\n")
    assert text == "It is done."
    assert told == (
        "to ntfy (1), tgram (2), mailto (3) ann@example.org bob@example.org, mailtos (4) pat@example.org,"
        " mailto (5), target (6), slack (7)"
    )
    target = bench.target(notify.send, text="x")
    assert PASSWORD not in json.dumps(target) and target["to"] == told.removeprefix("to ").split(
        ", "
    )
    for other in (urls[1:], [*urls[:-1], "slack://${OTHER}/#general"], [urls[0] + "2", *urls[1:]]):
        more = new_bench(channels={"notify": other}, secrets={**secrets, "OTHER": "x"})
        assert more.target(notify.send, text="x") != target, "another target is another approval"


@pytest.mark.slow
def test_secrets_stand_in_the_configuration_by_name_only(
    new_bench: Any, targets: list[Target]
) -> None:
    given = {"notify": f"json://pat:${{MY_SECRET}}@{targets[0].address}/"}
    bench = new_bench(channels=given, secrets={"MY_SECRET": "a/b@c:d e"})
    bench.call(notify.send, text="x")
    sent = base64.b64decode(targets[0].heads[0]["authorization"].removeprefix("Basic "))
    assert sent == b"pat:a/b@c:d e"
    with pytest.raises(errors.CallFailed, match="MY_SECRET, which is not there"):
        new_bench(channels=given).call(notify.send, text="x")


def test_a_target_cannot_send_the_notice_elsewhere(new_bench: Any, targets: list[Target]) -> None:
    targets[0].status, targets[0].location = 307, f"http://{targets[1].address}/"
    bench = new_bench(channels={"notify": [f"json://{targets[0].address}/"]})
    with pytest.raises(errors.CallFailed):
        bench.call(notify.send, text="private")
    assert targets[1].got == []


@pytest.mark.parametrize("text", ["", "  \n", "x" * 4_001])
def test_a_notice_has_something_to_say_and_not_too_much(
    new_bench: Any, targets: list[Target], text: str
) -> None:
    bench = new_bench(channels={"notify": [f"json://{targets[0].address}/"]})
    with pytest.raises(errors.CallFailed, match="1 to 4000"):
        bench.call(notify.send, text=text)
    assert targets[0].got == []


def test_the_model_cannot_name_a_target(new_bench: Any, targets: list[Target]) -> None:
    bench = new_bench(channels={"notify": [f"json://{targets[0].address}/"]})
    with pytest.raises(errors.CallRefused):
        bench.call(notify.send, text="x", target=f"json://{targets[1].address}/")
    bench.call(notify.send, text=f"json://{targets[1].address}/")
    assert targets[1].got == []


def test_a_question_is_never_answered_by_the_program(bench: Any) -> None:
    with pytest.raises(errors.CallFailed, match="by a person"):
        bench.call(ask.user, question="May I?", choices=["yes", "no"])
