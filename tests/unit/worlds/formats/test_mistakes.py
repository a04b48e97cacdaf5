"""One sentence for each mistake, with its place."""

from base64 import b64encode
from typing import Any

import pytest

from orrery.errors import DecodeError
from orrery.worlds import formats
from orrery.worlds.formats import MAX_FILE_BYTES
from tests.unit.worlds.formats.samples import (
    EARTH,
    FIRST_RUN,
    encoded,
    idtool,
    moon_json,
    root_json,
)

_KEY = idtool("one-v4")["edited_json"]["signingKey"]
_SECRET = idtool("one-v4")["edited_json"]["signingKey_SECRET"]
_IDENTITY = idtool("one-v4")["first_identity"]
_B64 = b64encode(EARTH)


def _moon(**changes: Any) -> bytes:
    return encoded(moon_json(**changes))


def _moon_at(*endpoints: Any) -> bytes:
    return _moon(roots=[root_json("198.51.100.1/9993"), root_json(*endpoints)])


def _python(**changes: Any) -> bytes:
    root = {
        "address": _IDENTITY[:10],
        "identity_type": 0,
        "public_key": _IDENTITY[13:],
        "stable_endpoints": [{"type": 4, "ip": "198.51.100.1", "port": "9993"}],
    }
    whole = {
        "type": 1,
        "id": 7,
        "timestamp": 5,
        "public_key": _KEY,
        "signature": "00" * 96,
        "roots": [root],
    }
    endpoint = changes.pop("endpoint", None)
    root.update(changes.pop("root", {}))
    if endpoint is not None:
        root["stable_endpoints"] = [endpoint]
    return encoded({**whole, **changes})


MISTAKES: list[tuple[str, bytes, str]] = [
    # Not one of the formats
    ("empty", b"", "the file is empty: copy it again"),
    ("blank", b" \n\t\n", "nothing but blanks"),
    ("too-large", b"{" + b" " * MAX_FILE_BYTES, "more than 1048576 bytes"),
    ("zip", b"PK\x03\x04\x00\x00", "begins with byte 1 (planet) or 127 (moon), this with 80"),
    ("prose", b"the planet is in the other folder", "in no format that Orrery knows"),
    ("web-page", b"<!DOCTYPE html><html></html>", "this is a web page and not a World"),
    ("identity", _IDENTITY.encode(), "use `orrery identity show`"),
    # Binary
    ("cut-planet", EARTH[:100], "a node would throw the file away"),
    ("cut-root", EARTH[:200], "root 1 of the World"),
    ("five-roots", EARTH[:177] + b"\x05" + EARTH[178:], "5 roots"),
    # Keys
    ("key-halves", bytes(range(128, 256)), "does not belong to the public key"),
    # JSON
    ("no-json", b'{"roots": [}', "line 1, column 12: this is not JSON"),
    ("no-json-line", b'{\n "roots": []\n "id": 1}', "line 3, column 2"),
    ("comment", b'{"roots": [] // mine\n}', "line 1, column 14"),
    ("deep", b"[" * 1000, "line 1: brackets are nested more than 16 deep"),
    ("twice", b'{"roots": [], "roots": []}', "the key 'roots' stands twice"),
    ("nan", b'{"roots": NaN}', "NaN is not JSON"),
    ("long-number", b'{"roots": ' + b"1" * 5000 + b"}", "not JSON that any tool reads"),
    ("other-json", b'{"nwid": "8056c2e21c000001"}', "says nothing about a World"),
    ("list-of-texts", b'["a"]', "root 1 must be an object"),
    # moon.json
    ("no-id", _moon(id=None), "id is missing: write the hex digits"),
    ("id-number", _moon(id=5), '"id" must be a text in quotes'),
    ("id-zero", _moon(id="0000000000"), "id is 0, which to a node means no World"),
    ("id-letters", _moon(id="moon1"), "id is 'moon1': write 1 to 16 hex digits"),
    ("id-long", _moon(id="1" * 17), "write 1 to 16 hex digits"),
    ("no-type", _moon(worldType=None), "worldType is missing"),
    ("type", _moon(worldType="star"), "worldType is 'star': write"),
    ("roots-object", _moon(roots={}), '"roots" must be a list'),
    ("root-text", _moon(roots=[root_json(), "x"]), "root 2 must be an object"),
    ("no-identity", _moon(roots=[{"stableEndpoints": []}]), 'root 1: "identity" is missing'),
    ("identity-text", _moon(roots=[root_json(identity="zzz")]), "root 1: an identity has 3 fields"),
    (
        "identity-short",
        _moon(roots=[root_json(identity=_IDENTITY[:-2])]),
        "root 1: the public key of identity 6e133e061d has 126 hex digits, not 128",
    ),
    (
        "identity-letter",
        _moon(roots=[root_json(identity=_IDENTITY[:-1] + "g")]),
        "root 1: character 128 of the public key",
    ),
    (
        "identity-reserved",
        _moon(roots=[root_json(identity="ff" + _IDENTITY[2:])]),
        "root 1: ff133e061d is a reserved address",
    ),
    ("endpoints-text", _moon(roots=[root_json(stableEndpoints="1.2.3.4/9993")]), "must be a list"),
    ("endpoint-number", _moon_at(9993), "root 2, endpoint 1 must be a text in quotes"),
    ("endpoint-name", _moon_at("root.example.com/9993"), "root 2, endpoint 1: 'root.example.com"),
    (
        "endpoint-no-port",
        _moon_at("198.51.100.1"),
        "root 2, endpoint 1: '198.51.100.1' has no port",
    ),
    ("endpoint-port-0", _moon_at("198.51.100.1/0"), "root 2, endpoint 1: '0' in"),
    ("endpoint-port-big", _moon_at("198.51.100.1/65536"), "is not a port"),
    ("endpoint-third", _moon_at("1.2.3.4/1", "1.2.3.4/2", "x"), "root 2, endpoint 3: "),
    ("endpoint-empty", _moon_at(""), "root 2, endpoint 1: '' has no IP address"),
    ("endpoint-zero", _moon_at("0.0.0.0/9993"), "is no place where a root can be found"),
    ("endpoint-octet", _moon_at("300.1.1.1/9993"), "'300.1.1.1' in '300.1.1.1/9993'"),
    ("endpoint-ipv6", _moon_at("2001:db8::1:9993"), "has no port"),
    ("endpoint-zone", _moon_at("fe80::1%eth0/9993"), "interface of this machine"),
    ("endpoint-long", _moon_at("1" * 600), "root 2, endpoint 1 is a longer text"),
    ("many-roots", _moon(roots=[root_json()] * 5), "5 roots, and nodes throw away"),
    ("most-roots", _moon(roots=[root_json()] * 65), '"roots" is longer than any'),
    ("many-endpoints", _moon_at(*["1.2.3.4/1"] * 33), "root 2: 33 endpoints, and nodes"),
    ("key-short", _moon(signingKey=_KEY[:-2]), "signingKey: 126 hex digits where a key has 128"),
    ("key-letter", _moon(signingKey="x" + _KEY[1:]), "signingKey: character 1 is no hex digit"),
    ("key-number", _moon(signingKey=1), '"signingKey" must be a text'),
    ("secret-letter", _moon(signingKey_SECRET="?" * 128), "signingKey_SECRET: character 1"),
    (
        "secret-other",
        _moon(signingKey_SECRET=_SECRET[:-2] + "00"),
        "signingKey_SECRET does not belong to signingKey",
    ),
    ("next-short", _moon(updatesMustBeSignedBy="00"), "updatesMustBeSignedBy: 2 hex digits"),
    # mkworld
    ("plid-text", encoded({"rootNodes": [], "plID": "7"}), '"plID" must be a whole number'),
    ("plid-negative", encoded({"rootNodes": [], "plID": -1}), '"plID" must not be negative'),
    ("plid-large", encoded({"rootNodes": [], "plID": 2**64}), '"plID" must fit 64 bits'),
    ("plbirth", encoded({"rootNodes": [], "plBirth": 1.5}), '"plBirth" must be a whole number'),
    ("recommend", encoded({"rootNodes": [], "plRecommend": 1}), "must be true or false"),
    ("signing-one", encoded({"rootNodes": [], "signing": ["a"]}), "is shorter than the tool needs"),
    ("signing-odd", encoded({"rootNodes": [], "signing": ["a", "\x1b[1m"]}), "what is no file"),
    (
        "mkworld-endpoint",
        encoded({"rootNodes": [{"identity": _IDENTITY, "endpoints": ["host/9993"]}]}),
        "root 1, endpoint 1: 'host/9993' is a name",
    ),
    ("mkworld-identity", encoded({"rootNodes": [{}]}), 'root 1: "identity" is missing'),
    # Forks
    ("roots-missing", encoded({"roots": None}), '"roots" must be a list'),
    ("bare-root", encoded([root_json("host")]), "root 1, endpoint 1: 'host' is a name"),
    ("python-type", _python(type=2), "type is 2: write 1 for a planet or 127 for a moon"),
    ("python-id", _python(id="7"), '"id" must be a whole number'),
    ("python-time", _python(timestamp=-1), '"timestamp" must not be negative'),
    ("python-half-key", _python(public_key=_KEY[:64]), "public_key: 64 hex digits"),
    ("python-no-key", _python(public_key=""), "public_key is empty"),
    ("python-signature", _python(signature="00"), "signature is not 192 hex digits"),
    ("python-address", _python(root={"address": "xyz"}), "root 1, address: 'xyz'"),
    ("python-kind", _python(root={"identity_type": 1}), "root 1: identity_type is 1"),
    ("python-root-key", _python(root={"public_key": "00"}), "root 1, public_key: 2 hex digits"),
    (
        "python-ip",
        _python(endpoint={"type": 4, "ip": "host", "port": "1"}),
        "root 1, endpoint 1: 'host' is not an IP address",
    ),
    (
        "python-family",
        _python(endpoint={"type": 6, "ip": "1.2.3.4", "port": "1"}),
        "root 1, endpoint 1: type is 6 and 1.2.3.4 is IPv4",
    ),
    (
        "python-endpoint-type",
        _python(endpoint={"type": 0, "ip": "1.2.3.4", "port": "1"}),
        "type is 0: write 4 for IPv4",
    ),
    (
        "python-port",
        _python(endpoint={"type": 4, "ip": "1.2.3.4", "port": "99999"}),
        "root 1, endpoint 1: port is not a port",
    ),
    (
        "python-port-list",
        _python(endpoint={"type": 4, "ip": "1.2.3.4", "port": []}),
        'root 1, endpoint 1: "port"',
    ),
    (
        "python-port-0",
        _python(endpoint={"type": 4, "ip": "1.2.3.4", "port": 0}),
        "root 1, endpoint 1: ",
    ),
    # Text around bytes
    ("base64-short", _B64[:100], "a node would throw the file away"),
    ("base64-odd", _B64[:101], "not base64 of a World"),
    ("base64-no-world", b64encode(b"x" * 200), "this is no World: it begins with 120"),
    ("link-http", b"https://example.com/planet", "does not add a planet"),
    ("link-path", b"https://joinzt.com/network?id=1", "does not add a planet"),
    ("link-version", b"https://joinzt.com/addplanet?v=2&planet=" + _B64, "reads v=1"),
    ("link-empty", b"https://joinzt.com/addplanet?v=1&planet=", "carries no planet"),
    ("link-port", b"https://[joinzt.com/addplanet?v=1", "not a link that anything can open"),
    ("link-fields", b"https://joinzt.com/addplanet?" + b"a=1&" * 50, "not a link"),
    ("link-cut", b"https://joinzt.com/addplanet?v=1&planet=AQ", "throw the file away"),
    ("header-empty", b"unsigned char ZT_DEFAULT_WORLD[0] = {};", "built without a planet"),
    ("header-none", b"static char *name = NULL; {}", "no array of bytes"),
    ("header-end", b"unsigned char w[] = {0x01, 0x02", "the array w has no end"),
    ("header-byte", b"unsigned char w[] = {0x01, 0x1ff};", "item 2 of the array w is '0x1ff'"),
    ("header-octal", b"unsigned char w[] = {1, 007};", "item 2 of the array w is '007'"),
    ("header-length", b"unsigned char w[3] = {1, 2};", "said to have 3 bytes and lists 2"),
    (
        "header-defined",
        b"#define ZT_DEFAULT_WORLD_LENGTH 9\nunsigned char ZT_DEFAULT_WORLD[ZT_D] = {1};",
        "said to have 9 bytes and lists 1",
    ),
]


@pytest.mark.parametrize(
    ("data", "sentence"), [pytest.param(*case[1:], id=case[0]) for case in MISTAKES]
)
def test_a_mistake_is_told(data: bytes, sentence: str) -> None:
    with pytest.raises(DecodeError) as caught:
        formats.read(data)
    message = str(caught.value)
    assert sentence in message
    assert _SECRET[:16] not in message
    assert all(len(line) < 400 for line in message.splitlines())


def test_all_mistakes_are_told_at_once() -> None:
    data = _moon(
        id="x",
        worldType="star",
        roots=[root_json("host", "1.2.3.4"), root_json("1.2.3.4/0", identity="zzz")],
    )
    with pytest.raises(DecodeError) as caught:
        formats.read(data)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "id is 'x'",
        "worldType is 'star'",
        "root 1, endpoint 1",
        "root 1, endpoint 2",
        "root 2",
        "root 2, endpoint 1",
    ]


def test_a_flood_of_mistakes_is_cut_short() -> None:
    with pytest.raises(DecodeError) as caught:
        formats.read(_moon_at(*["host"] * 30))
    lines = str(caught.value).splitlines()
    assert len(lines) == 9
    assert lines[-1] == "and 22 more mistakes"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("root.example.com/9993", "0.0.0.0/9993"),
        ("1.2.3.4:9993", None),
        ("1.2.3.4", "1.2.3.4/0"),
        ("1.2.3.4/70000", "1.2.3.4/4464"),
        ("localhost", ""),
        ("", ""),
        ("x" * 100, ""),
    ],
)
def test_loose_reading_takes_what_genmoon_would_and_says_so(text: str, taken: str | None) -> None:
    document = formats.read(_moon_at(text), loose=True)
    assert document.roots is not None
    endpoints = {str(end) for root in document.roots for end in root.endpoints}
    misread = [note for note in document.notes if note.code == "endpoint-misread"]
    if taken is None:  # ip:port is read as it is meant
        assert endpoints == {"198.51.100.1/9993", "1.2.3.4/9993"}
        assert not misread
    else:
        assert endpoints == {"198.51.100.1/9993", taken}
        assert len(misread) == 1
        assert misread[0].sentence.startswith("root 2, endpoint 1: ")
        assert (taken or "an empty endpoint") in misread[0].sentence
        codes = {str(found.code) for found in document.warnings(0, check_proof=False)}
        assert not codes & {"nil-endpoint", "zero-address", "port-zero"}


def test_loose_reading_passes_over_a_secret_of_another_pair() -> None:
    document = formats.read(_moon(signingKey_SECRET=_SECRET[:-2] + "00"), loose=True)
    assert document.signing_key is None
    assert document.signing_public == bytes.fromhex(_KEY)
    assert [note.code for note in document.notes] == ["key-mismatch"]


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        (moon_json(updatesMustBeSignedBy=None), ["no-next-key"]),
        ({"rootNodes": [], "plID": 0, "plBirth": 0, "plRecommend": True}, ["draws-random-id"]),
        ({"rootNodes": [], "plID": 149604618, "plBirth": 1800000000000, "plRecommend": True},
         ["draws-random-id"]),
        ({"rootNodes": [], "plID": 7, "plBirth": 1800000000000, "plRecommend": True},
         ["stamps-fixed-time"]),
        ({"rootNodes": [], "plID": 7, "plBirth": 0, "plRecommend": False}, []),
        ({"roots": []}, ["stamps-fixed-time"]),
    ],
)  # fmt: skip
def test_what_the_tool_would_do_unasked_is_noted(value: Any, codes: list[str]) -> None:
    document = formats.read(encoded(value))
    assert [note.code for note in document.notes] == codes
    assert {"unsigned", "id-zero", "timestamp-zero"}.isdisjoint(
        str(found.code) for found in document.warnings(0)
    )


def test_a_signed_json_that_no_node_could_read_is_refused_even_loosely() -> None:
    root = {"address": _IDENTITY[:10], "public_key": _IDENTITY[13:], "stable_endpoints": []}
    crowded = {**root, "stable_endpoints": [{"type": 4, "ip": "1.2.3.4", "port": "1"}] * 33}
    for data, sentence in (
        (_python(roots=[root] * 5), "5 roots, and nodes throw away"),
        (_python(roots=[crowded]), "root 1: 33 endpoints, and nodes throw away"),
    ):
        for loose in (False, True):
            with pytest.raises(DecodeError, match=sentence):
                formats.read(data, loose=loose)


def test_a_root_whose_private_key_is_given_away_is_noted_and_loses_it() -> None:
    document = formats.read(encoded(idtool("identity-with-secret")["edited_json"]))
    assert [note.code for note in document.notes] == ["secret-in-root"]
    assert document.roots is not None
    assert document.roots[0].identity.private_key is None


def test_null_endpoints_of_the_cpp_forks_are_no_mistake() -> None:
    document = formats.read(encoded({"roots": [root_json(stableEndpoints=None)]}))
    assert document.roots is not None
    assert document.roots[0].endpoints == ()


def test_keys_added_by_forks_are_passed_over() -> None:
    added = moon_json(comment="mine", roots=[root_json("1.2.3.4/9993", region="eu")])
    assert formats.read(encoded(added)).roots


def test_a_key_file_that_begins_like_a_world_is_a_key_file() -> None:
    data = bytes.fromhex(FIRST_RUN["previous_c25519"])
    for first in (0, 1, 127):
        with pytest.raises(DecodeError):
            formats.read(bytes([first]) + data[1:])
    assert formats.read(data).signing_key is not None
