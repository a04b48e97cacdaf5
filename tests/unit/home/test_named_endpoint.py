import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import DecodeError
from orrery.home.named_endpoint import NamedEndpoint, read_endpoint
from orrery.wire.endpoint import Endpoint

_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
_TOPS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("root.example.org:9993", "root.example.org", 9993),
        (" Root.Example.ORG/443 ", "root.example.org", 443),
        ("root.example.org.:1", "root.example.org", 1),
        ("7.example.org:65535", "7.example.org", 65535),
        ("xn--mnchen-3ya.example:9993", "xn--mnchen-3ya.example", 9993),
        ("a-b--c.d:9993", "a-b--c.d", 9993),
        (f"{'a' * 63}.org:9993", f"{'a' * 63}.org", 9993),
    ],
)
def test_names_are_read(text: str, name: str, port: int) -> None:
    found = read_endpoint(text)
    assert found == NamedEndpoint(name, port)
    assert read_endpoint(str(found)) == found


@pytest.mark.parametrize("text", ["1.2.3.4:9993", "1.2.3.4/9993", "[2001:db8::1]:9993", "dead::/1"])
def test_addresses_stay_addresses(text: str) -> None:
    assert read_endpoint(text) == Endpoint.from_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root.example.org", "'root.example.org' has no port: write root.example.org:9993"),
        ("root.example.org:", "'' in 'root.example.org:' is not a port"),
        ("root.example.org:0", "'0' in 'root.example.org:0' is not a port"),
        ("root.example.org:65536", "a port is a number from 1 to 65535"),
        ("root.example.org:9993:1", "is not an IP address"),
        ("localhost:9993", "is a name without a domain"),
        ("dead:9993", "is a name without a domain"),
        ("http://root.example.org:9993", "is a URL: write root.example.org:9993"),
        ("root.example.org:9993/path", "is not an IP address"),
        ("root_1.example.org:9993", "'root_1' in 'root_1.example.org:9993' is no part of a name"),
        ("-a.example.org:9993", "'-a' in"),
        ("a-.example.org:9993", "with no hyphen at an end"),
        ("a..example.org:9993", "'' in 'a..example.org:9993' is no part of a name"),
        ("root .example.org:9993", "'root ' in"),
        ("*.example.org:9993", r"'\*' in"),
        (f"{'a' * 64}.org:9993", "1 to 63 letters"),
        (
            f"{'a.' * 130}org:9993",
            "a name of 263 characters is too long: the DNS knows at most 253",
        ),
        ("1.2.3.4x:9993", "'4x' in '1.2.3.4x:9993' is not the end of a name"),
        ("münchen.example:9993", "write xn--mnchen-3ya.example"),
        (f"{'ü' * 70}.example:9993", "as your registrar does"),
        ("1.2.3.400:9993", "is not an IP address"),
        ("[root.example.org]:9993", "is not an IPv6 address"),
        ("fe80::1%eth0/9993", "names an interface"),
        ("", "has no IP address"),
    ],
)
def test_what_is_no_endpoint_is_refused(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        read_endpoint(text)


@given(labels=st.lists(_LABELS, min_size=1, max_size=3), top=_TOPS, port=st.integers(1, 65535))
def test_every_name_of_rfc_1123_is_read_as_it_is_written(
    labels: list[str], top: str, port: int
) -> None:
    name = ".".join([*labels, top])
    assert read_endpoint(f"{name}:{port}") == NamedEndpoint(name, port)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text(string.printable, max_size=300))
def test_any_text_is_an_endpoint_or_refused_with_a_sentence(text: str) -> None:
    try:
        found = read_endpoint(text)
    except DecodeError:
        return
    assert read_endpoint(str(found)) == found
