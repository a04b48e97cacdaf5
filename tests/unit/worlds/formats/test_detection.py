"""A file is known by what is in it, however it came here."""

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from orrery.errors import DecodeError
from orrery.worlds import formats
from tests.unit.worlds.formats.samples import (
    EARTH,
    FIRST_RUN,
    encoded,
    idtool,
    moon_json,
    root_json,
)
from tests.vectors.loading import cases, load

_B64 = b64encode(EARTH)
_LISTED = b",".join(b"0x%02x" % byte for byte in EARTH)
_XXD = b"unsigned char planet[] = {\n  " + _LISTED.replace(b",", b",\n  ") + b"\n};\n"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (EARTH, "binary"),
        (EARTH + b"behind", "binary"),
        (bytes.fromhex(idtool("one-v4")["moon"]), "binary"),
        (bytes.fromhex(FIRST_RUN["current_c25519"]), "c25519"),
        (encoded(moon_json()), "moon-json"),
        (encoded(moon_json(objtype=None, signingKey=None)), "moon-json"),
        (b"\xef\xbb\xbf" + encoded(moon_json()), "moon-json"),
        (b"\xff\xfe" + encoded(moon_json()).decode().encode("utf-16-le"), "moon-json"),
        (b"\n\t " + encoded(moon_json()), "moon-json"),
        (encoded({"roots": [root_json("198.51.100.1/9993")]}), "roots-json"),
        (encoded([root_json("198.51.100.1/9993")]), "roots-json"),
        (encoded({"rootNodes": [], "signing": ["a", "b"]}), "mkworld"),
        (_B64, "base64"),
        (_B64 + b"\n", "base64"),
        (b"\n".join(_B64[i : i + 76] for i in range(0, len(_B64), 76)), "base64"),
        (b"\r\n".join(_B64[i : i + 64] for i in range(0, len(_B64), 64)), "base64"),
        (_B64.rstrip(b"="), "base64"),
        (urlsafe_b64encode(EARTH), "base64"),
        (b"https://joinzt.com/addplanet?v=1&planet=" + _B64, "link"),
        (b"https://joinzt.com/addplanet?v=1&planet=" + quote(_B64, safe="").encode(), "link"),
        (b"https://joinzt.com/addplanet/?planet=" + quote(_B64).encode() + b"&v=1\n", "link"),
        (b"joinzt.com/addplanet?v=1&planet=" + urlsafe_b64encode(EARTH), "link"),
        (_XXD, "c-header"),
        (b"static const uint8_t w[570] = {" + _LISTED + b"};", "c-header"),
    ],
)
def test_every_format_is_known_by_its_content(data: bytes, name: str) -> None:
    document = formats.read(data)
    assert document.format == name
    if name in ("base64", "link", "c-header"):
        assert document.world is not None
        assert document.world.encode() == EARTH


def test_the_worlds_own_array_is_found_in_a_whole_source_file() -> None:
    source = (
        b"/* ZT_DEFAULT_WORLD[] = {0x00}; */\n#include <stdio.h>\n"
        b"static const unsigned char other[2] = {1, 2};\n"
        b"#define ZT_DEFAULT_WORLD_LENGTH 570 // bytes\n"
        b"static const unsigned char ZT_DEFAULT_WORLD[ZT_DEFAULT_WORLD_LENGTH] = {"
        + _LISTED
        + b"};\nint main() { return 0; }\n"
    )
    world = formats.read(source).world
    assert world is not None
    assert world.encode() == EARTH


@pytest.mark.parametrize("case", cases("world_decode.json", "cases"))
def test_a_binary_file_is_read_exactly_as_a_node_reads_it(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["data"])
    if not case["ok"]:
        with pytest.raises(DecodeError):
            formats.read(data)
        return
    document = formats.read(data)
    assert document.format == "binary"
    codes = {note.code.value for note in document.notes}
    consumed = int(case["consumed"])
    assert ("trailing-bytes" in codes) == (consumed < len(data))
    assert ("cut-short" in codes) == (consumed > len(data))


def test_every_candidate_of_the_update_cases_is_taken_for_a_world() -> None:
    for case in load("world_updates.json")["pairs"]:
        assert formats.read(bytes.fromhex(case["candidate"])).format == "binary"
