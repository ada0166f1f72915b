"""Where a node may connect to. Every row of these tables is an attack, or what must work in spite of them."""

from ipaddress import ip_address

import pytest

from src.outside.addresses import what_is_special
from src.outside.breaker import Breakers
from src.outside.errors import Fault, Refused
from src.outside.guard import Allowed, Guard, look_up
from src.outside.http import HttpClient
from src.outside.messages import Call

SPECIAL = {
    "loopback": [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "64:ff9b::127.0.0.1",
        "2a00::200:5efe:127.0.0.1",
    ],
    "private": [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "2a00::5efe:10.0.0.1",
    ],
    "metadata": [
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
    ],
    "link-local": [
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
    ],
    "shared": [
        "100.64.0.1",
    ],
    "unspecified": [
        "0.0.0.0",
        "0.1.2.3",
        "::",
    ],
    "multicast": [
        "224.0.0.1",
        "ff02::1",
    ],
    "reserved": [
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "4000::1",
        "64:ff9b:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
    "documentation": [
        "192.0.2.1",
        "203.0.113.9",
        "2001:db8::1",
        "3fff::1",
    ],
    "IPv4-in-IPv6": [
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ],
}

GLOBAL = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in SPECIAL.items() for text in texts])
def test_an_address_that_is_not_the_internets_is_known_as_what_it_is(text: str, kind: str) -> None:
    assert what_is_special(ip_address(text)) == kind


@pytest.mark.parametrize("text", GLOBAL)
def test_an_address_of_the_internet_is_not_special(text: str) -> None:
    assert what_is_special(ip_address(text)) is None


HOSTILE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://127.0.0.1./",
    "http://１２７.0.0.1/",  # noqa: RUF001
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25lo]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://[fd00:ec2::254]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://user@127.0.0.1/",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1:80\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1:22/",
    "http://8.8.8.8:22/",
    "http://8.8.8.8:6379/",
    "http://8.8.8.8:0/",
    "http://8.8.8.8:99999/",
    "https://127.0.0.1:443/",
    "HTTP://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://example.com/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "dict://127.0.0.1:11211/",
    "data:text/plain,hello",
    "//127.0.0.1/",
    "127.0.0.1",
    "http:///path",
    "http://",
    "",
    "http://[::1",
    "http://exa mple.com/",
    "http://example.com\r\nX: y/",
    "http://example.com\x00.evil.example/",
]


def offline(host: str, port: int) -> list[str]:
    """The system's own reading of addresses, and no names but localhost."""
    return ["127.0.0.1"] if host == "localhost" else look_up(host, port)


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_for_good(url: str) -> None:
    http = HttpClient(Guard(resolve=offline), Breakers(), max_bytes=1000)

    with pytest.raises(Refused):
        http.send(Call("GET", url, timeout_seconds=5))


def guard(*addresses: str, allow: str = "") -> Guard:
    return Guard(Allowed.read(allow.split()), resolve=lambda *_: list(addresses))


def test_a_name_is_refused_for_any_one_of_its_addresses() -> None:
    with pytest.raises(Refused, match=r"mixed.example \(10.0.0.9\) is a private address"):
        guard("8.8.8.8", "10.0.0.9").addresses("mixed.example", 443)


def test_a_refusal_says_what_would_allow_it() -> None:
    with pytest.raises(Refused, match=r"unless OUTBOUND_ALLOW has crm.internal:443"):
        guard("10.0.0.9").addresses("crm.internal", 443)


@pytest.mark.parametrize(
    ("allow", "host", "port"),
    [
        ("crm.internal:8000", "crm.internal", 8000),
        ("CRM.internal:8000", "crm.INTERNAL.", 8000),
        ("10.0.0.9:8000", "10.0.0.9", 8000),
        ("[fd00::9]:8000", "fd00::9", 8000),
        ("10.0.0.0/8", "anything.example", 443),
        ("192.168.0.0/16 10.0.0.0/24", "anything.example", 80),
    ],
)
def test_what_the_operator_allows_can_be_reached(allow: str, host: str, port: int) -> None:
    assert guard("10.0.0.9", allow=allow).addresses(host, port) == ["10.0.0.9"]


@pytest.mark.parametrize(
    ("allow", "host", "port"),
    [
        ("crm.internal:8000", "crm.internal", 443),
        ("crm.internal:443", "other.internal", 443),
        ("crm.internal:443", "crm.internal.evil.example", 443),
        ("10.0.0.0/8", "anything.example", 22),
        ("192.168.0.0/16", "anything.example", 443),
        ("::/0", "anything.example", 443),
    ],
)
def test_what_the_operator_allows_opens_nothing_beside_it(allow: str, host: str, port: int) -> None:
    with pytest.raises(Refused):
        guard("10.0.0.9", allow=allow).addresses(host, port)


@pytest.mark.parametrize("part", ["crm.internal", "crm.internal:http", ":80", "10.0.0.1/8", "10.0.0.0/40", "a/b"])
def test_an_allowance_that_cannot_be_read_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Allowed.read([part])


@pytest.mark.parametrize("addresses", [["not an address"], ["1.2.3"], ["8.8.8.8", ""]])
def test_an_address_that_cannot_be_read_is_refused(addresses: list[str]) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        guard(*addresses).addresses("odd.example", 443)


def test_a_name_without_an_address_may_have_one_later() -> None:
    with pytest.raises(Fault, match="has no address"):
        guard().addresses("new.example", 443)
