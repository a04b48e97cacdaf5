import pytest

from orrery.errors import DecodeError, UsageError
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint, Scope


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1.2.3.4/9993", "1.2.3.4/9993"),
        ("1.2.3.4:9993", "1.2.3.4/9993"),
        (" 1.2.3.4/1\n", "1.2.3.4/1"),
        ("2001:db8::1/9993", "2001:db8::1/9993"),
        ("[2001:db8::1]:9993", "2001:db8::1/9993"),
        ("[2001:db8::1]/65535", "2001:db8::1/65535"),
        ("2001:DB8:0:0::1/9993", "2001:db8::1/9993"),
        ("::ffff:198.51.100.7/9993", "::ffff:198.51.100.7/9993"),
        ("::198.51.100.7/9993", "::198.51.100.7/9993"),
        ("10.0.0.1:9993", "10.0.0.1/9993"),
        ("127.0.0.1:9993", "127.0.0.1/9993"),
    ],
)
def test_what_people_write(text: str, written: str) -> None:
    endpoint = Endpoint.from_text(text)
    assert str(endpoint) == written
    assert Endpoint.from_text(written) == endpoint
    assert Endpoint.parse_as_node(written) == endpoint


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "has no IP address"),
        ("/9993", "has no IP address"),
        (":9993", "has no IP address"),
        ("1.2.3.4", "has no port"),
        ("2001:db8::1", "has no port"),
        ("2001:db8::1:9993", "has no port"),
        ("[2001:db8::1]", "has no port"),
        ("1.2.3.4/", "not a port"),
        ("1.2.3.4/0", "not a port"),
        ("1.2.3.4:0", "not a port"),
        ("1.2.3.4/65536", "not a port"),
        ("1.2.3.4/-1", "not a port"),
        ("1.2.3.4/09993", "not a port"),
        ("1.2.3.4/9993/5", "not a port"),
        ("1.2.3.4/ 9993", "not a port"),
        ("1.2.3.4/９９９３", "not a port"),
        ("root.example.com/9993", "is a name"),
        ("root.example.com:9993", "is a name"),
        ("localhost/9993", "is a name"),
        ("根.example/9993", "is a name"),
        ("[root.example.com]:9993", "not an IPv6 address"),
        ("[1.2.3.4]:9993", "not an IPv6 address"),
        ("fe80::1%eth0/9993", "interface of this machine"),
        ("1.2.3/9993", "not an IP address"),
        ("1.2.3.256/9993", "not an IP address"),
        ("01.2.3.4/9993", "not an IP address"),
        ("2001:db8::1::2/9993", "not an IP address"),
        ("0.0.0.0/9993", "no place"),
        ("[::]:9993", "no place"),
        ("255.255.255.255/9993", "no place"),
        ("224.0.0.1/9993", "no place"),
        ("ff02::1/9993", "no place"),
    ],
)
def test_each_mistake_has_its_sentence(text: str, mistake: str) -> None:
    with pytest.raises(DecodeError, match=mistake):
        Endpoint.from_text(text)


@pytest.mark.parametrize("text", ["0.0.0.0:9993", "[::]:9993"])
def test_a_server_may_listen_everywhere(text: str) -> None:
    assert not any(Endpoint.from_text(text, allow_any=True).ip)


def test_even_a_server_does_not_listen_at_a_group() -> None:
    with pytest.raises(DecodeError, match="no place"):
        Endpoint.from_text("224.0.0.1:9993", allow_any=True)


@pytest.mark.parametrize(
    ("ip", "text"),
    [
        ("00" * 16, "::"),
        ("00" * 15 + "01", "::1"),
        ("00" * 14 + "0102", "::102"),
        ("00" * 12 + "00010002", "::0.1.0.2"),
        ("00" * 10 + "ffff00000000", "::ffff:0.0.0.0"),
        ("20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"),
        ("20010000000000010000000000000001", "2001:0:0:1::1"),
    ],
)
def test_ipv6_is_written_as_by_the_c_library(ip: str, text: str) -> None:
    assert Endpoint(bytes.fromhex(ip), 1).host == text


def test_nil() -> None:
    assert Endpoint.NIL == Endpoint.read(Reader(b"\x00")) == Endpoint.parse_as_node("")
    assert (Endpoint.NIL.family, str(Endpoint.NIL), Endpoint.NIL.encode()) == (0, "", b"\x00")
    assert Endpoint.NIL.scope is Scope.NONE


def test_order_is_that_of_little_endian_numbers() -> None:
    ordered = ["1.2.3.4/9993", "9.9.9.9/443", "2001:db8::1/9993", "2001:db8::1/443"]
    endpoints = [Endpoint.NIL, *map(Endpoint.from_text, ordered)]
    assert sorted(endpoints[index] for index in (3, 0, 4, 2, 1)) == endpoints
    assert endpoints[0] <= endpoints[1] < endpoints[2]
    assert endpoints[2] >= endpoints[1]


def test_equal_endpoints_are_one_in_a_set() -> None:
    assert len({Endpoint.from_text("1.2.3.4/1"), Endpoint.from_text("1.2.3.4:1")}) == 1


@pytest.mark.parametrize("endpoint", [Endpoint(b"abc", 1), Endpoint(b"abcd", 65536)])
def test_impossible_endpoints_are_not_written(endpoint: Endpoint) -> None:
    with pytest.raises(UsageError, match="4 or 16 bytes and a port from 0 to 65535"):
        endpoint.encode()


def test_a_reserved_type_may_reach_past_the_end() -> None:
    reader = Reader(b"\x03\x00\x40")
    assert Endpoint.read(reader) == Endpoint.NIL
    assert reader.offset == 67


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("198.19.255.255", Scope.PRIVATE),
        ("203.0.113.1", Scope.PRIVATE),
        ("100.128.0.1", Scope.GLOBAL),
        ("240.0.0.1", Scope.PSEUDOPRIVATE),
        ("fe80::2", Scope.LINK_LOCAL),
        ("fd00::1", Scope.PRIVATE),
        ("::ffff:127.0.0.1", Scope.LOOPBACK),
        ("::2", Scope.GLOBAL),
    ],
)
def test_scopes_beyond_the_vectors(text: str, scope: Scope) -> None:
    assert Endpoint.parse_as_node(f"{text}/9993").scope is scope
