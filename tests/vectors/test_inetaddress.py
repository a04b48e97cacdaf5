"""Endpoints, against what ZeroTier One made of the same texts and bytes."""

from typing import Any

import pytest

from orrery.errors import DecodeError
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import Root
from orrery.worlds.ordering import sort_endpoints, sort_roots
from tests.vectors.loading import cases

MESSAGES = {"OUT_OF_BOUNDS": "end early", "BAD_ENCODING": "unknown type"}


@pytest.mark.parametrize("case", cases("inetaddress.json", "text"))
def test_text_is_read_as_loosely_as_by_a_node(case: dict[str, Any]) -> None:
    if not case["from_string"]:
        with pytest.raises(DecodeError):
            Endpoint.parse_as_node(case["text"])
        return
    endpoint = Endpoint.parse_as_node(case["text"])
    assert endpoint.family == case["family"]
    assert endpoint.port == case["port"]
    assert str(endpoint) == case["to_string"]
    assert endpoint.host == case["to_ip_string"]
    assert endpoint.encode().hex() == case["serialized"]
    assert endpoint.scope == case["scope"]


@pytest.mark.parametrize("case", cases("inetaddress.json", "text"))
def test_text_read_strictly_is_refused_or_means_the_same(case: dict[str, Any]) -> None:
    try:
        endpoint = Endpoint.from_text(case["text"])
    except DecodeError:
        return
    if case["text"] not in ("1.2.3.4:9993", "[2001:db8::1]:9993", "[2001:db8::1]/9993"):
        # All others that pass are ones which a node reads right, but for blanks around them.
        assert endpoint == Endpoint.parse_as_node(case["text"].strip())
    assert endpoint.port


@pytest.mark.parametrize("case", cases("inetaddress.json", "binary"))
def test_binary(case: dict[str, Any]) -> None:
    reader = Reader(bytes.fromhex(case["data"]))
    if case["exception"]:
        with pytest.raises(DecodeError, match=MESSAGES[case["exception_name"]]):
            Endpoint.read(reader)
        return
    endpoint = Endpoint.read(reader)
    assert reader.offset == case["consumed"]
    assert (endpoint.family, endpoint.port) == (case["family"], case["port"])
    assert str(endpoint) == case["to_string"]
    assert endpoint.encode().hex() == case["reserialized"]


@pytest.mark.parametrize("case", cases("inetaddress.json", "sort"))
def test_endpoints_are_sorted_as_by_genmoon(case: dict[str, Any]) -> None:
    endpoints = map(Endpoint.parse_as_node, case["input"])
    assert [str(endpoint) for endpoint in sort_endpoints(endpoints)] == case["sorted"]


@pytest.mark.parametrize("case", cases("inetaddress.json", "identity_sort"))
def test_roots_are_sorted_as_by_genmoon(case: dict[str, Any]) -> None:
    roots = [Root(Identity.from_string(text), ()) for text in case["input"]]
    assert [str(root.identity) for root in sort_roots(roots)] == case["sorted"]
