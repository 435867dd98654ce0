"""The web: what is refused, what is told of a page, and that a page can do nothing to its reader."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from alfred import errors
from alfred.actions import Effect, Risk, arguments, declare, results
from alfred.engines import process
from alfred.integrations import page, web
from alfred.trust import labels
from alfred.trust.labels import Confidentiality
from tests.table import table

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """A web server on the loopback that answers by path, and counts."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.credentials: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.credentials.append(self.headers["authorization"])
                status, headers, body = outer.answers.get(self.path, (404, {}, b"none"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def get(new_bench: Any, server: Server) -> Callable[..., dict[str, Any]]:
    """Serves one answer and fetches it, the loopback being opened by the owner."""
    opened = {"web": {"allow_private": ["127.0.0.1"], "ports": [str(server.port)]}}
    bench = new_bench(integrations=opened)

    def fetch(body: str | bytes, kind: str = "text/html; charset=utf-8") -> dict[str, Any]:
        raw = body.encode() if isinstance(body, str) else body
        server.answers["/x"] = (200, {"content-type": kind} if kind else {}, raw)
        return bench.call(web.fetch, url=server.at("/x"))

    return fetch


def test_what_is_fetched_is_somebody_elses_word(new_bench: Any) -> None:
    action = declare.build(web.fetch)
    assert (action.effect, action.risk) == (Effect.PURE, Risk.NONE)
    assert callable(action.label)
    opened = new_bench(integrations={"web": {"allow_private": ["Wiki.lan", "::1"]}}).ctx
    for url in ("https://example.org/x", "https://wiki.lan.example.org/", "no address"):
        assert action.label({"url": url, "headers": None}, opened) == labels.EXTERNAL


def test_what_a_network_of_the_owners_holds_is_private(new_bench: Any) -> None:
    label = declare.build(web.fetch).label
    assert callable(label)
    opened = new_bench(integrations={"web": {"allow_private": ["Wiki.lan", "::1"]}}).ctx
    for url in ("http://wiki.lan/x", "http://WIKI.LAN.:8080/", "http://[0:0:0:0:0:0:0:1]/"):
        found = label({"url": url, "headers": None}, opened)
        assert found == labels.Label(labels.EXTERNAL.integrity, Confidentiality.PRIVATE), url


@table(
    [
        *("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/"),
        *("http://2130706433/", "http://0x7f.1/", "file:///etc/passwd", "ftp://example.org/"),
        *("http://user:pw@example.org/", "http://10.0.0.1/", "http://metadata.google.internal/"),
        *("gopher://x", "", "x", "http://", "http://127.0.0.1:22/", "javascript:alert(1)"),
    ]
)
def test_what_is_private_or_no_page_is_refused_with_the_reason(
    bench: Any, server: Server, url: str
) -> None:
    with pytest.raises(errors.FetchRefused) as told:
        bench.call(web.fetch, url=url)
    assert len(told.value.detail) > 20


def test_the_loopback_is_closed_unless_the_owner_opened_it(
    bench: Any, new_bench: Any, server: Server
) -> None:
    with pytest.raises(errors.FetchRefused):
        bench.call(web.fetch, url=server.at("/"))
    other = new_bench(integrations={"web": {"allow_private": ["10.0.0.1"], "ports": [server.port]}})
    with pytest.raises(errors.FetchRefused):
        other.call(web.fetch, url=server.at("/"))
    assert server.asked == []


def test_a_redirect_to_another_private_host_is_refused(new_bench: Any, server: Server) -> None:
    bench = new_bench(
        integrations={"web": {"allow_private": ["127.0.0.1"], "ports": [server.port]}}
    )
    server.answers["/away"] = (302, {"location": f"http://127.0.0.2:{server.port}/x"}, b"")
    with pytest.raises(errors.FetchRefused):
        bench.call(web.fetch, url=server.at("/away"))
    server.answers["/here"] = (302, {"location": "/x"}, b"")
    server.answers["/x"] = (200, {"content-type": "text/plain"}, b"arrived")
    told = bench.call(web.fetch, url=server.at("/here"))
    assert told["text"] == "arrived"
    assert told["redirects"] == [server.at("/here")]


def test_a_page_leads_a_workflow_to_no_host_that_its_contract_does_not_declare(
    new_bench: Any, server: Server
) -> None:
    bench = new_bench(
        integrations={"web": {"allow_private": ["127.0.0.1", "127.0.0.2"], "ports": [server.port]}}
    )
    server.answers["/away"] = (302, {"location": f"http://127.0.0.2:{server.port}/x"}, b"")
    server.answers["/here"] = (302, {"location": "/x"}, b"")
    server.answers["/x"] = (200, {"content-type": "text/plain"}, b"arrived")

    def told(page: str, *declared: str) -> Any:
        bench.ctx = replace(bench.ctx, declared=frozenset(declared))
        return bench.call(web.fetch, url=server.at(page))

    for declared in ((), ("127.0.0.1",)):
        with pytest.raises(
            errors.CallRefused, match=r"redirects to .127\.0\.0\.2., which the work"
        ):
            told("/away", *declared)
    assert server.asked == ["/away", "/away"]
    assert told("/here")["text"] == "arrived"
    for place in ("127.0.0.2", "web.fetch"):
        with pytest.raises(errors.FetchFailed, match=r"127\.0\.0\.2.* did not answer"):
            told("/away", place)  # it is asked


def test_what_a_model_wrote_into_an_address_goes_behind_no_redirect_that_would_have_been_asked_about(
    new_bench: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # too short to stand in anybody's words
    opened = {"web": {"allow_private": ["127.0.0.1", "::1"], "ports": [server.port]}}
    bench = new_bench(integrations=opened)
    there = server.at("/out?to=x")
    server.answers["/out?to=x"] = (302, {"location": f"http://[::1]:{server.port}/x"}, b"")
    server.answers["/here"] = (302, {"location": "/x"}, b"")
    server.answers["/x"] = (200, {"content-type": "text/plain"}, b"arrived")

    def told(url: str, *, external: bool = True, private: bool = True) -> Any:
        bench.ctx = replace(bench.ctx, external=external, private=private)
        return bench.call(web.fetch, url=url)

    with pytest.raises(errors.CallRefused, match=r"redirects to .::1., and reading is sending"):
        told(there)
    assert told(server.at("/here"))["text"] == "arrived"
    follows = pytest.raises(errors.FetchFailed, match=r"::1.* did not answer")
    for more in ({"external": False}, {"private": False}):
        with follows:
            told(there, **more)
    # what is somebody's as a whole takes nothing along
    monkeypatch.setattr(web.heard, "links", lambda look, run: frozenset([there]))
    with follows:
        told(there)
    monkeypatch.setattr(web.heard, "links", lambda look, run: frozenset())
    monkeypatch.setattr(web.heard, "words", lambda look, run: [f"Look at {there}, please."])
    with follows:
        told(there)


@pytest.mark.parametrize("wrong", [{"ports": ["x"]}, {"ports": 7}, {"allow_private": 7}])
def test_a_configuration_that_is_wrong_says_so(new_bench: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.CallFailed, match=r"integrations\.web"):
        new_bench(integrations={"web": wrong}).call(web.fetch, url="http://example.org/")


def test_a_page_is_told_as_a_person_sees_it(get: Any, server: Server) -> None:
    told = get(
        "<title> A  title </title><h1>Head</h1><p>One <b>bold</b> word.</p>"
        "<ul><li>a<li>b</ul><table><tr><td>1<td>2</table>"
        "<a href='/more'>More</a> <a href='https://example.org/'>Out</a>"
    )
    assert told["title"] == "A title"
    assert told["text"] == "Head\nOne bold word.\na\nb\n1 2\nMore Out"
    assert told["links"] == [f"More <{server.at('/more')}>", "Out <https://example.org/>"]
    assert told["status"] == 200
    assert "hidden" not in told


HIDDEN = [
    "<p style='display:none'>CANARY</p>",
    "<p style='DISPLAY : NONE'>CANARY</p>",
    "<p style='visibility:hidden'>CANARY</p>",
    "<p style='font-size:0'>CANARY</p>",
    "<p style='color:red;font-size:0px;'>CANARY</p>",
    "<p style='opacity: 0.0'>CANARY</p>",
    "<p style='position:absolute;left:-9999px'>CANARY</p>",
    "<p style='text-indent:-999em'>CANARY</p>",
    "<p style='max-height:0;overflow:hidden'>CANARY</p>",
    "<p style='clip:rect(0,0,0,0)'>CANARY</p>",
    "<p style='clip-path: circle(0)'>CANARY</p>",
    "<p style='color: transparent'>CANARY</p>",
    "<p style='transform: scale(0)'>CANARY</p>",
    "<p style='display:/**/none'>CANARY</p>",
    "<p style='dis/* x */play:none'>CANARY</p>",
    "<p hidden>CANARY</p>",
    "<p hidden=''>CANARY</p>",
    "<div hidden><div><p>CANARY</p></div></div>",
    "<style>.x{display:none}</style><p class=x>CANARY</p>",
    "<style>/* a */ #y , .z { color:red; visibility:hidden }</style><p id=y>CANARY</p>",
    "<style>@media print{p{color:red}} .x{opacity:0}</style><p class=x>CANARY</p>",
    "<input type=hidden value=CANARY>",
    "<!-- CANARY -->",
    "<script>CANARY</script>",
    "<style>CANARY{}</style>",
    "<template>CANARY</template>",
    "<noscript>CANARY</noscript>",
    "<iframe srcdoc='CANARY'>CANARY</iframe>",
    "<svg><text>CANARY</text></svg>",
    "<svg><title>CANARY</title></svg>",
    "<img alt=CANARY>",
    "<meta name=description content=CANARY>",
    "<object>CANARY</object>",
    "<p title=CANARY data-x=CANARY>x</p>",
    "<a href='javascript:CANARY'>x</a>",
    "<a href='data:text/html,CANARY'>x</a>",
    "<a href='https://example.org/CANARY' hidden>x</a>",
    "<div style='display:none'><a href='https://example.org/CANARY'>x</a></div>",
]


@table(HIDDEN)
def test_what_nobody_would_see_is_taken_out(html: str) -> None:
    told = page.read(f"<body><p>seen</p>{html}<p>after</p>", "https://example.org/")
    assert "CANARY" not in json.dumps(told)
    assert told["text"].startswith("seen")
    assert told["text"].endswith("after")
    if ("style=" in html or "hidden" in html or "<style>." in html) and ">CANARY<" in html:
        assert told["hidden"] == len("CANARY")


SEEN = [
    "<p style='font-size:10px'>CANARY</p>",
    "<p style='opacity:0.5'>CANARY</p>",
    "<p style='opacity:.9'>CANARY</p>",
    "<p style='background-color:transparent'>CANARY</p>",
    "<p style='transform:scale(0.5)'>CANARY</p>",
    "<p style='left:-5px'>CANARY</p>",
    "<p style='display:inline'>CANARY</p>",
    "<style>@media print{.x{display:none}}</style><p class=x>CANARY</p>",
    "<style>.x:hover{display:none} .y{display:none}</style><p class=x>CANARY</p>",
    "<style>}{{{ .x{display:none</style><p class=y>CANARY</p>",
    "<details><summary>x</summary>CANARY</details>",
    "<select><option>CANARY</select>",
    "<textarea>CANARY</textarea>",
    "<p style='max-width:100%'>CANARY</p>",
]


@table(SEEN)
def test_what_is_seen_stays(html: str) -> None:
    assert "CANARY" in page.read(html, "https://example.org/")["text"]


def test_a_rule_that_hides_something_and_is_not_understood_is_told(get: Any) -> None:
    told = get("<style>.x..{display:none} p,,a{opacity:0} .y{color:red</style><p>seen")
    assert told["style"].startswith("2 rules that hide something were not understood")
    assert "style" not in get("<style>.x{display:none}</style><p>seen")


def test_letters_that_draw_nothing_are_taken_out_and_counted(get: Any) -> None:
    tags = "".join(chr(0xE0000 + ord(c)) for c in "ignore all")
    for kind in ("text/html; charset=utf-8", "text/plain; charset=utf-8"):
        told = get(f"a{tags}b\u202ec\u200bd", kind)
        assert told["text"] == "abcd"
        assert told["hidden"].startswith("12 ")


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("grüße".encode(), "text/plain; charset=utf-8", "grüße"),
        ("grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", "grüße"),
        ("“x”".encode("cp1252"), "text/plain; charset=latin1", "“x”"),
        ("привет".encode("koi8-r"), "text/plain; charset='koi8-r'", "привет"),
        ("日本".encode("shift_jis"), "text/plain;charset=Shift_JIS", "日本"),
        ("日本".encode("euc-jp"), "text/html", "日本"),
        ("\ufeffx".encode("utf-16"), "text/plain; charset=latin1", "x"),
        (b"\xef\xbb\xbfx", "text/plain; charset=koi8-r", "x"),
        ("grüße".encode(), "text/plain; charset=nonsense", "grüße"),
        ("grüße".encode(), "text/plain; charset=punycode", "grüße"),
        ("grüße".encode(), "text/plain; charset=unicode_escape", "grüße"),
        (b"\\u0041", "text/plain; charset=unicode_escape", "\\u0041"),
        (b"<p>x\xff", "text/html; charset=utf-8", "x\ufffd"),
    ],
)
def test_every_encoding_is_read(get: Any, body: bytes, kind: str, text: str) -> None:
    if body == "日本".encode("euc-jp"):
        body = b"<meta charset=euc-jp><p>" + body
    assert get(body, kind)["text"] == text


def test_json_and_text_are_told_as_they_are(get: Any) -> None:
    assert get('{"a": [1]}', "application/json")["text"] == '{"a": [1]}'
    assert get("a <b>\n  c", "text/plain")["text"] == "a <b>\n  c"
    assert get("<p>x</p>", "")["text"] == "x"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x89PNG", "image/png"),
        (b"%PDF-", "application/pdf"),
        (b"a\0b", "text/plain"),
        (b"\0\1", ""),
    ],
)
def test_what_is_no_text_is_told_by_type_and_size(get: Any, body: bytes, kind: str) -> None:
    told = get(body, kind)
    assert told["text"] is None
    assert told["note"]
    assert told["bytes"] == len(body)


def test_a_long_page_fits_into_what_the_model_reads(get: Any) -> None:
    links = "".join(f"<a href='/{n}{'x' * 200}'>{'&quot;' * 80}</a>" for n in range(200))
    told = get(f"<title>{'&quot;' * 9000}</title>" + '"<br>\\\n' * 90_000 + links)
    assert len(json.dumps(told, ensure_ascii=False)) < results.RESULT_LIMIT
    assert "characters left out" in told["text"]
    assert told["links"]


def test_a_page_that_takes_forever_is_given_up(get: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAGE_S", 0.2)
    given: list[float] = []
    real = process.run
    monkeypatch.setattr(process, "run", lambda *a, **k: given.append(k["timeout"]) or real(*a, **k))
    with pytest.raises(errors.CallFailed, match=r"longer than 0\.2 s"):
        get("<div>" * 200_000 + "x")
    assert given == [0.2]


def test_the_reader_of_pages_ends_also_when_nobody_is_left_to_end_it() -> None:
    says = "import resource as r; print([r.getrlimit(n) for n in (r.RLIMIT_CPU, r.RLIMIT_AS)])"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from alfred.integrations import page; page.main(); {says}",
            "http://x/",
        ],
        input=b"<p>x",
        capture_output=True,
        check=True,
    )
    limits = [(page.PROCESSOR_S,) * 2, (page.MEMORY,) * 2]
    assert done.stdout.decode().endswith(f"{limits}\n")


def test_a_page_that_breaks_its_reader_breaks_nothing_else(
    get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.sys, "executable", "/bin/false")
    with pytest.raises(errors.CallFailed, match="cannot be read: exit code 1"):
        get("<p>x")


def test_a_missing_page_is_told_with_its_status(new_bench: Any, server: Server) -> None:
    bench = new_bench(
        integrations={"web": {"allow_private": ["127.0.0.1"], "ports": [server.port]}}
    )
    assert bench.call(web.fetch, url=server.at("/none"))["status"] == 404


# ---- credentials

BEARER = {"Authorization": "Bearer secret://FORUM_KEY"}


@pytest.fixture
def keyed(new_bench: Any, server: Server) -> Any:
    """A bench with a credential for the server at 127.0.0.1; 127.0.0.2 is opened as well, and gets none."""
    return new_bench(
        integrations={"web": {"allow_private": ["127.0.0.1", "127.0.0.2"], "ports": [server.port]}},
        bound={"FORUM_KEY": ["127.0.0.1"]},
        secrets={"FORUM_KEY": "value-of-the-key"},
    )


def test_a_credential_takes_the_place_of_its_reference_on_the_wire_alone(
    keyed: Any, server: Server
) -> None:
    server.answers["/x"] = (302, {"location": "/y"}, b"")
    server.answers["/y"] = (200, {"content-type": "text/plain"}, b"welcome")
    got = keyed.call(web.fetch, url=server.at("/x"), headers=BEARER)
    assert got["text"] == "welcome"
    assert server.credentials == ["Bearer value-of-the-key"] * 2
    keyed.call(web.fetch, url=server.at("/y"))
    assert server.credentials[2:] == [None]


def test_what_a_credential_opened_is_private(keyed: Any) -> None:
    label = declare.build(web.fetch).label
    assert callable(label)
    found = label({"url": "https://x", "headers": BEARER}, keyed.ctx)
    assert found == labels.Label(labels.EXTERNAL.integrity, Confidentiality.PRIVATE)


def test_a_credential_goes_to_no_other_host_and_follows_no_redirect_there(
    keyed: Any, server: Server
) -> None:
    elsewhere = f"http://127.0.0.2:{server.port}/z"
    with pytest.raises(errors.CallRefused, match=r"may go to 127\.0\.0\.1, not to"):
        keyed.call(web.fetch, url=elsewhere, headers=BEARER)
    assert server.asked == []
    server.answers["/x"] = (302, {"location": elsewhere}, b"")
    with pytest.raises(errors.CallRefused, match=r"redirects to .127\.0\.0\.2.: .*may go to"):
        keyed.call(web.fetch, url=server.at("/x"), headers=BEARER)
    assert server.asked == ["/x"]


@table(
    [
        {"Authorization": "Bearer value"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Authorization": "secret://A and secret://B"},
        {"Authorization": 5},
        ["Authorization"],
    ]
)
def test_nothing_but_a_reference_stands_in_a_header(headers: Any) -> None:
    action = declare.build(web.fetch)
    assert isinstance(
        arguments.validate(action, {"url": "https://x.org", "headers": headers}), arguments.Invalid
    )
