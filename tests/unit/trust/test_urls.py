"""What may be fetched: a table of hostile URLs, the same as redirect targets, and no connection to any."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.trust import addresses, urls
from tests.table import table

PUBLIC = "93.184.216.34"


def public(host: str) -> list[str]:
    return [PUBLIC]


# The resolver answers with a public address for every name: what is refused here is refused for what
# the URL itself says.
HOSTILE = """
http://127.0.0.1/
http://127.0.0.1:80/
http://127.0.0.1:8080/
http://127.0.0.1./
http://127.0.0.2/
http://127.255.255.254/
http://127.1/
http://127.0.1/
http://127.1./
http://0177.0.0.1/
http://0177.0.0.01/
http://00000177.0.0.1/
http://0x7f.0.0.1/
http://0x7f.1/
http://0x7f000001/
http://0X7F000001/
http://0x7f.0x0.0x0.0x1/
http://2130706433/
http://017700000001/
http://127.0.0.1.5/
http://127.0.0.256/
http://256.256.256.256/
http://1.2.3/
http://1.2.3.4.5/
http://1/
http://0/
http://0.0.0.0/
http://0.0.0.0:8080/
http://0.1.2.3/
http://00.0.0.0/
http://8.8.8.08/
http://08.8.8.8/
http://134744072/
http://0x08080808/
http://8.8.2056/
http://10.0.0.1/
http://10.255.255.255/
http://10.1/
http://100.64.0.1/
http://100.127.255.254/
http://100.100.100.200/
http://169.254.0.1/
http://169.254.169.254/
http://169.254.169.254/latest/meta-data/iam/security-credentials/
http://169.254.170.2/
http://169.254.43518/
http://0xa9fea9fe/
http://2852039166/
http://0251.0376.0251.0376/
http://172.16.0.1/
http://172.31.255.255/
http://192.168.0.1/
http://192.168.1/
http://192.0.0.1/
http://192.0.0.8/
http://192.0.0.192/
http://192.0.2.1/
http://192.88.99.1/
http://198.18.0.1/
http://198.19.255.255/
http://198.51.100.7/
http://203.0.113.7/
http://224.0.0.1/
http://239.255.255.250/
http://240.0.0.1/
http://255.255.255.255/
http://168.63.129.16/
http://[::]/
http://[::1]/
http://[::1]:8080/
http://[0:0:0:0:0:0:0:1]/
http://[0000:0000:0000:0000:0000:0000:0000:0001]/
http://[::127.0.0.1]/
http://[::7f00:1]/
http://[::8.8.8.8]/
http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/
http://[::ffff:10.0.0.1]/
http://[::ffff:169.254.169.254]/
http://[::ffff:a9fe:a9fe]/
http://[::ffff:0:127.0.0.1]/
http://[64:ff9b::7f00:1]/
http://[64:ff9b::127.0.0.1]/
http://[64:ff9b::a9fe:a9fe]/
http://[64:ff9b::10.0.0.1]/
http://[64:ff9b:1::7f00:1]/
http://[64:ff9b:1::8.8.8.8]/
http://[2002:7f00:1::]/
http://[2002:7f00:0001::1]/
http://[2002:0a00:0001::]/
http://[2002:a9fe:a9fe::]/
http://[2002:c0a8:0101::1]/
http://[2001::1]/
http://[2001:0:7f00:1::]/
http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/
http://[2001:10::1]/
http://[2001:20::1]/
http://[2001:db8::1]/
http://[3fff::1]/
http://[2606:4700::5efe:7f00:1]/
http://[2606:4700::5efe:127.0.0.1]/
http://[2606:4700::200:5efe:10.0.0.1]/
http://[fe80::1]/
http://[fe80::5efe:8.8.8.8]/
http://[fe80::1%25eth0]/
http://[fe80::1%eth0]/
http://[2606:4700::1%25lo]/
http://[fec0::1]/
http://[fc00::1]/
http://[fd00::1]/
http://[fd00:ec2::254]/
http://[fd00:ec2::23]/
http://[ff02::1]/
http://[ff0e::1]/
http://[100::1]/
http://[4000::1]/
http://[5f00::1]/
http://[e000::1]/
http://[v1.1]/
http://[1::2::3]/
http://[12345::]/
http://[::1/
http://::1/
http://[]/
http://[127.0.0.1]/
http://[::1]evil.com/
http://[::1].evil.com/
http://localhost/
http://LOCALHOST/
http://localhost./
http://localhost:8080/
http://foo.localhost/
http://a.b.localhost./
http://printer.local/
http://local/
http://nas.lan/
http://NAS.LAN./
http://router.home.arpa/
http://home.arpa/
http://metadata.google.internal/computeMetadata/v1/
http://metadata.google.internal./
http://METADATA.Google.Internal/
http://vault.internal/
http://internal/
http://duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion/
http://example.com../
http://.example.com/
http://example..com/
http://./
http://../
http:///
http:///etc/passwd
http:/example.com/
http:example.com/
http:\\\\example.com/
http:/\\example.com/
http://\\example.com/
http://example.com\\@127.0.0.1/
http://example.com\\.evil.com/
http://127.0.0.1\\.example.com/
//example.com/
///example.com/
example.com
/etc/passwd
file:///etc/passwd
file://localhost/etc/passwd
FILE:///etc/passwd
ftp://example.com/
gopher://127.0.0.1:6379/_INFO
dict://127.0.0.1:11211/stats
ldap://example.com/
sftp://example.com/
ssh://example.com/
git://example.com/
ext::sh
jar:http://example.com!/
data:text/html,x
javascript:alert(1)
mailto:a@example.com
view-source:http://example.com/
blob:http://example.com/x
ws://example.com/
wss://example.com/
about:blank
unix:///var/run/docker.sock
http+unix://%2Fvar%2Frun%2Fdocker.sock/info
netdoc:///etc/passwd
httpx://example.com/
hhttp://example.com/
http//example.com/
http://user@example.com/
http://user:password@example.com/
http://:@example.com/
http://@example.com/
http://example.com@127.0.0.1/
http://127.0.0.1@example.com/
http://example.com:80@127.0.0.1/
http://example.com:80:80/
http://a@b@c/
https://user%40example.com@evil.com/
http://%31%32%37.0.0.1/
http://%6c%6f%63%61%6c%68%6f%73%74/
http://127.0.0.1%2eexample.com/
http://example.com%00.evil.com/
http://example%2Ecom/
http://exa%20mple.com/
http://example.com:22/
http://example.com:25/
http://example.com:0/
http://example.com:1/
http://example.com:6379/
http://example.com:11211/
http://example.com:65536/
http://example.com:99999999999/
http://example.com:-80/
http://example.com:+80/
http://example.com:080/
http://example.com:8_0/
http://example.com:80a/
http://example.com: 80/
http://example.com:\u0668\u0660/
http://example.com:http/
http://example.com:80.0/
http://exa mple.com/
http://example.com/a b
http://example.com/\ta
http://exam\tple.com/
http://\u0000example.com/
http://example.com/\u0000
http://example.com/\u007f
http://example.com/\u0085
http://example.com/\u00a0
http://example.com/\u200b
http://example.com/\u2028x
http://example.com/\u202ex
http://example.com/\ufeffx
http://example.com/\U000e0041
http://exam\u00adple.com/
http://exam\u200dple.com/
http://\u2460\u2461\u2466.0.0.1/
http://\uff11\uff12\uff17.0.0.1/
http://127\u30020\u30020\u30021/
http://127\uff0e0\uff0e0\uff0e1/
http://127\uff610\uff610\uff611/
http://example\u3002com/
http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/
http://loc\u0430lhost\u202e/
http://\u212aelvin.com/
http://exa\u2100mple.com/
http://\u0661\u0662\u0667.0.0.1/
http://\ud800.com/
http://-example.com/
http://example-.com/
http://example.com/\ud800
http://exam!ple.com/
http://exam$ple.com/
http://exam*ple.com/
http://exa<mple.com/
http://exa|mple.com/
http://{host}/
http://xn--/
http://xn--a/
http://xn--zzzzzz999.com/
http://0x7f.com.0x1/
http://foo.0x/
http://foo.123/
http://a.0177/
"""
HOSTILE_URLS = [
    *HOSTILE.strip("\n").split("\n"),
    *("", " ", "\0", "\n", "http://", "https://", " http://example.com/", "http://example.com/ "),
    *(
        "http://example.com/\r\nHost: evil",
        "http://example.com\r\n/",
        "http://example.com/%0d%0a\n",
    ),
    *(
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 127 + "com/",
        "http://" + "[" * 5000 + "/",
    ),
    "http://example.com/" + "a" * 20_000,
]
assert len(HOSTILE_URLS) >= 250

ALLOWED = [
    ("http://example.com", "http://example.com/"),
    ("http://example.com/", "http://example.com/"),
    ("HTTP://EXAMPLE.COM/", "http://example.com/"),
    ("https://example.com/a/b?c=d&e=f#g", "https://example.com/a/b?c=d&e=f"),
    ("https://example.com?x=1", "https://example.com/?x=1"),
    ("https://example.com#frag", "https://example.com/"),
    ("https://example.com:443/", "https://example.com/"),
    ("http://example.com:80/", "http://example.com/"),
    ("http://example.com:8080/", "http://example.com:8080/"),
    ("https://example.com:8443/", "https://example.com:8443/"),
    ("http://example.com:443/", "http://example.com:443/"),
    ("https://example.com./", "https://example.com/"),
    ("https://sub-domain.example.co.uk/", "https://sub-domain.example.co.uk/"),
    ("https://foo_bar.example.com/", "https://foo_bar.example.com/"),
    ("https://r3---sn-abc.example.com/", "https://r3---sn-abc.example.com/"),
    ("https://bücher.example/ü?ä=ö", "https://xn--bcher-kva.example/%C3%BC?%C3%A4=%C3%B6"),
    ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://例え.テスト/", "https://xn--r8jz45g.xn--zckzah/"),
    ("https://привет.рф/", "https://xn--b1agh1afp.xn--p1ai/"),
    ("https://8.8.8.8/", "https://8.8.8.8/"),
    ("https://8.8.8.8./", "https://8.8.8.8/"),
    ("http://1.1.1.1:8080/", "http://1.1.1.1:8080/"),
    ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ("https://[2606:4700:4700:0:0:0:0:1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
    ("https://[64:ff9b::808:808]/", "https://[64:ff9b::808:808]/"),
    ("https://[2002:808:808::1]/", "https://[2002:808:808::1]/"),
    ("https://[::ffff:8.8.8.8]/", "https://[::ffff:808:808]/"),
    ("https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/"),
    ("https://localhost.example.com/", "https://localhost.example.com/"),
    ("https://internal.example.com/", "https://internal.example.com/"),
    ("https://mylocal/", "https://mylocal/"),
    ("https://notlocalhost/", "https://notlocalhost/"),
    ("https://1password.com/", "https://1password.com/"),
    ("https://4chan.org/", "https://4chan.org/"),
    ("https://0x7f.example.com/", "https://0x7f.example.com/"),
    ("https://example.com/@user", "https://example.com/@user"),
    ("https://example.com/a%20b%2Fc", "https://example.com/a%20b%2Fc"),
    ("https://example.com/?u=http://127.0.0.1/", "https://example.com/?u=http://127.0.0.1/"),
    ("https://example.com//double", "https://example.com//double"),
    ("https://example.com/\U0001f600", "https://example.com/%F0%9F%98%80"),
]


@table(HOSTILE_URLS)
def test_a_hostile_url_is_refused_with_a_reason_and_no_address(url: str) -> None:
    verdict = urls.check_url(url, resolve=public)
    assert not verdict.allowed
    assert verdict.address is None
    assert verdict.reason
    assert verdict.reason.isprintable()
    assert len(verdict.reason) < 500


@table(ALLOWED)
def test_an_honest_url_is_allowed_and_means_one_thing(url: str, meant: str) -> None:
    verdict = urls.check_url(url, resolve=public)
    assert verdict.allowed, verdict.reason
    assert urls._parse(url).url == meant
    assert verdict.address in (PUBLIC, urls._parse(url).host)


@table(ALLOWED)
def test_the_client_reads_the_same_url_as_the_judge(url: str, meant: str) -> None:
    import httpx2

    target = urls._parse(url)
    sent = httpx2.URL(
        scheme=target.scheme, host=target.host, port=target.port, raw_path=target.target.encode()
    )
    assert sent.raw_host.decode() == target.host
    assert sent.raw_path.decode() == target.target
    assert (sent.port or {"http": 80, "https": 443}[sent.scheme]) == target.port


@table(["me", "me:", ":", "", "me:password", "a:b:c", "127.0.0.1:80", "a@b"])
def test_a_user_in_a_url_is_refused_for_what_it_is(user: str) -> None:
    verdict = urls.check_url(f"https://{user}@example.com/", resolve=public)
    assert verdict.reason == "it carries a user or a password"


@pytest.mark.parametrize("value", [None, b"http://example.com/", 7, ["http://example.com"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    assert not urls.check_url(value, resolve=public).allowed  # type: ignore[arg-type]


# ---- what a name resolves to

CLOSED = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::",
    "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
    "ff02::1", "2606:4700::5efe:7f00:1", "2001:db8::1",
]  # fmt: skip


@table(CLOSED)
def test_one_closed_address_among_public_ones_refuses_the_name(address: str) -> None:
    for answer in ([address], [PUBLIC, address], [address, PUBLIC], [PUBLIC, "8.8.8.8", address]):
        verdict = urls.check_url("https://example.com/", resolve=lambda host, a=answer: a)
        assert not verdict.allowed, answer
        assert verdict.address is None


def test_a_name_is_allowed_with_the_first_of_its_addresses() -> None:
    asked: list[str] = []

    def resolve(host: str) -> list[object]:
        asked.append(host)
        return [ipaddress.ip_address("2606:4700::1111"), PUBLIC, PUBLIC]

    verdict = urls.check_url("https://BÜCHER.example./", resolve=resolve)
    assert (verdict.allowed, verdict.address) == (True, "2606:4700::1111")
    assert asked == ["xn--bcher-kva.example"]


def test_an_address_in_the_url_is_never_looked_up() -> None:
    def resolve(host: str) -> list[str]:
        raise AssertionError(host)

    assert urls.check_url("https://8.8.8.8/", resolve=resolve).allowed
    assert not urls.check_url("https://10.0.0.1/", resolve=resolve).allowed


@pytest.mark.parametrize("answer", [[], ["nonsense"], ["127.0.0.1.5"], [""], ["1.2.3.4/8"], [None]])
def test_an_answer_that_is_no_address_refuses(answer: list[str]) -> None:
    assert not urls.check_url("https://example.com/", resolve=lambda host: answer).allowed


@pytest.mark.parametrize("problem", [OSError("no such host"), socket.gaierror(8, "unknown")])
def test_a_name_that_does_not_resolve_is_refused(problem: Exception) -> None:
    def resolve(host: str) -> list[str]:
        raise problem

    assert "does not resolve" in urls.check_url("https://example.com/", resolve=resolve).reason


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(urls, "RESOLVE_S", 0.01)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: never.wait(60))
    try:
        assert "no answer" in urls.check_url("https://example.com/").reason
    finally:
        never.set()


# ---- what the owner opened


def test_a_private_host_is_opened_by_its_owner_and_no_other_with_it() -> None:
    def resolve(host: str) -> list[str]:
        return ["192.168.1.5"]

    opened = frozenset({"NAS.lan."})
    assert urls.check_url("http://nas.lan/", resolve=resolve, allow_private=opened).allowed
    assert not urls.check_url("http://nas.lan/", resolve=resolve).allowed
    assert not urls.check_url("http://tv.lan/", resolve=resolve, allow_private=opened).allowed
    assert not urls.check_url("http://x.nas.lan/", resolve=resolve, allow_private=opened).allowed
    assert not urls.check_url("http://192.168.1.5/", resolve=resolve, allow_private=opened).allowed
    for host in ("192.168.1.5", "[fd00::5]", "127.0.0.1", "[::1]", "localhost"):
        verdict = urls.check_url(
            f"http://{host}/", resolve=lambda h: ["127.0.0.1"], allow_private={host}
        )
        assert verdict.allowed, (host, verdict.reason)


@table([
        "169.254.169.254", "169.254.1.1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "fe80::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
    ])  # fmt: skip
def test_an_opened_host_never_opens_a_metadata_service_or_an_odd_form(address: str) -> None:
    verdict = urls.check_url(
        "http://nas.lan/", resolve=lambda host: [address], allow_private={"nas.lan"}
    )
    assert not verdict.allowed
    literal = f"[{address}]" if ":" in address else address
    assert not urls.check_url(f"http://{literal}/", allow_private={literal}).allowed


def test_a_port_is_opened_by_its_owner() -> None:
    assert not urls.check_url("http://example.com:9000/", resolve=public).allowed
    assert urls.check_url("http://example.com:9000/", resolve=public, ports={9000}).allowed
    assert not urls.check_url("http://example.com:9001/", resolve=public, ports={9000}).allowed


@pytest.mark.parametrize(
    "entry", ["", "http://nas.lan", "nas lan", "127.1", "*.lan", "fe80::1%eth0"]
)
def test_a_wrong_entry_of_the_opened_hosts_is_the_owners_error(entry: str) -> None:
    with pytest.raises(errors.ConfigError, match="cannot be opened"):
        urls.check_url("http://example.com/", resolve=public, allow_private={entry})


# ---- properties

_octets = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)


@given(_octets)
def test_no_ipv4_address_is_open_that_python_calls_private(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert addresses.why_closed(address)


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address))
def test_no_ipv6_address_is_open_outside_global_unicast(address: ipaddress.IPv6Address) -> None:
    in_use = address in ipaddress.ip_network("2000::/3") or address in ipaddress.ip_network(
        "64:ff9b::/96"
    )
    if not in_use and address.ipv4_mapped is None:
        assert addresses.why_closed(address)


@given(_octets)
def test_a_wrapped_address_is_never_more_open_than_what_it_wraps(
    address: ipaddress.IPv4Address,
) -> None:
    number = int(address)
    wrapped = (
        0xFFFF << 32 | number,
        number,
        0x0064FF9B << 96 | number,
        0x2002 << 112 | number << 80,
        0x2002 << 112 | number << 80 | 1,
        0x26064700 << 96 | 0x5EFE << 32 | number,
        0x26064700 << 96 | 0x0200_5EFE << 32 | number,
        0x0064FF9B0001 << 80 | number,
        0x20010000 << 96 | (number ^ 0xFFFFFFFF),
        0x20010000 << 96 | number << 64,
    )
    if addresses.why_closed(address):
        for form in wrapped:
            assert addresses.why_closed(ipaddress.IPv6Address(form)), ipaddress.IPv6Address(form)


@given(st.text(max_size=60))
def test_no_text_makes_the_judge_fail(text: str) -> None:
    for url in (text, "http://" + text, "https://example.com" + text, f"http://{text}/"):
        verdict = urls.check_url(url, resolve=public)
        assert verdict.allowed == (verdict.address is not None)


@given(_octets, st.sampled_from(["plain", "hex", "octal", "whole", "short", "mixed"]))
def test_every_spelling_of_a_closed_address_is_refused(
    address: ipaddress.IPv4Address, spelling: str
) -> None:
    a, b, c, d = address.packed
    text = {
        "plain": f"{a}.{b}.{c}.{d}",
        "hex": f"0x{a:x}.0x{b:02x}.0x{c:x}.0x{d:x}",
        "octal": f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        "whole": str(int(address)),
        "short": f"{a}.{int(address) & 0xFFFFFF}",
        "mixed": f"0x{a:x}.{b}.{c << 8 | d}",
    }[spelling]
    verdict = urls.check_url(f"http://{text}/", resolve=public)
    if spelling == "plain":
        assert verdict.allowed == (addresses.why_closed(address) is None)
    else:
        assert not verdict.allowed
