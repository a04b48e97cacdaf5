"""`orrery world show` and `diff`."""

import os
from pathlib import Path

import pytest

from orrery.wire.world import WorldType
from tests.unit.cli.running import Orrery
from tests.unit.worlds.formats.samples import (
    EARTH,
    encoded,
    idtool,
    moon_json,
    root_json,
)
from tests.unit.worlds.making import key, root, world

_SHOWN = """\
planet 0000000008eac90a
file         planet: planet, world.bin or *.moon, as nodes keep it
time         2022-02-11T15:12:04.813Z (1644592324813)
signed       by iwpv-vi6s-x4vr-4c6c-gc2t, which it names itself
next signer  iwpv-vi6s-x4vr-4c6c-gc2t
root 1       cafe9efeb9 (kesq-oa4q-n2mr-ueau-5hxq)
             104.194.8.134/9993
             2605:9880:200:1200:30:571:e34:51/9993
root 2       778cde7190 (4zcz-aial-vfcr-j4ti-tmzb)
             103.195.103.66/9993
             2605:9880:400:c3:254:f2bc:a1f7:19/9993
root 3       62f865ae71 (hnjr-477a-lxem-a2mu-nswb)
             50.7.252.138/9993
             2001:49f0:d0db:2::2/9993
root 4       cafe04eba9 (266n-c73x-65ob-ufgl-achj)
             84.17.53.155/9993
             2a02:6ea0:d405::9993/9993
1 warning
- its roots are not in genmoon's order (by address): nodes do not mind, but
  genmoon would write other bytes from the same roots
"""


def test_a_planet_is_shown(orrery: Orrery, files: Path) -> None:
    result = orrery("world", "show", "planet")
    assert (result.status, result.err) == (0, "")
    assert result.out == _SHOWN


def test_standard_input_is_shown(orrery: Orrery) -> None:
    result = orrery("world", "show", "-", stdin=EARTH)
    assert result.status == 0
    assert result.out == _SHOWN.replace("planet: planet,", "standard input: planet,")


def test_json_has_stable_keys(orrery: Orrery, files: Path) -> None:
    planet = orrery("world", "show", "planet", "--json").json
    moon = orrery("world", "show", "moon.json", "--json").json
    signing = orrery("world", "show", "current.c25519", "--json").json
    assert list(planet) == list(moon) == list(signing)
    assert list(planet) == [
        "file", "format", "type", "id", "timestamp_ms", "time", "signed", "self_signed",
        "signature", "next_signer", "signing_key", "holds_private_key", "roots", "dictionary",
        "warnings",
    ]  # fmt: skip
    assert planet["id"] == "0000000008eac90a"
    assert planet["type"] == "planet"
    assert planet["time"] == "2022-02-11T15:12:04.813Z"
    assert planet["self_signed"] is True
    assert planet["next_signer"]["fingerprint"] == "iwpv-vi6s-x4vr-4c6c-gc2t"
    assert planet["roots"][0]["endpoints"][0] == "104.194.8.134/9993"
    assert [each["code"] for each in planet["warnings"]] == ["unsorted-roots"]
    assert moon["signed"] is False
    assert moon["timestamp_ms"] is None
    assert moon["holds_private_key"] is True
    assert signing["roots"] is None


def test_a_private_key_is_shown_only_by_name(orrery: Orrery, files: Path) -> None:
    case = idtool("one-v4")
    secret = orrery("world", "show", "moon.json", "--secret", "--json").json["private_key"]
    assert secret in case["initmoon_output"]
    for arguments in ([], ["--json"]):
        for name in ("moon.json", "current.c25519"):
            assert secret[:64] not in orrery("world", "show", name, *arguments).out
    shown = orrery("world", "show", "moon.json", "--secret").out
    assert f"PRIVATE KEY  {secret[:64]}\n             {secret[64:]}\n" in shown
    result = orrery("world", "show", "planet", "--secret")
    assert (result.status, result.err) == (
        4,
        "orrery: planet holds no private key to show\n",
    )


def test_a_private_key_that_others_can_read_is_warned_of(orrery: Orrery, files: Path) -> None:
    (files / "moon.json").chmod(0o644)
    result = orrery("world", "show", "moon.json")
    assert result.status == 0
    assert "other users can read it: run chmod 600" in " ".join(result.out.split())
    codes = [
        each["code"] for each in orrery("world", "show", "moon.json", "--json").json["warnings"]
    ]
    assert codes[0] == "exposed-key"


def test_every_listing_fits_80_columns_and_has_no_colour(
    orrery: Orrery, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (files / "bad.json").write_bytes(encoded(idtool("bad-endpoint-text")["edited_json"]))
    (files / "old").write_bytes(world(10, names="b").encode())
    for arguments in (
        ("show", "planet"),
        ("show", "bad.json"),
        ("show", "moon.json", "--secret"),
        ("show", "old"),
        ("diff", "planet", "old"),
        ("verify", "planet", "--against", "none"),
        ("sign", "--help"),
        ("--help",),
    ):
        result = orrery("world", *arguments)
        assert "\x1b" not in result.out + result.err
        assert max(map(len, result.out.splitlines())) <= 80, arguments


def test_colour_is_for_terminals_that_want_it(
    orrery: Orrery, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in orrery("world", "show", "planet").out
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b[" not in orrery("world", "show", "planet").out


@pytest.mark.parametrize(
    ("json_or_bytes", "codes"),
    [
        (moon_json(roots=[root_json("root.example.com/9993")]), {"endpoint-misread"}),
        (moon_json(roots=[root_json("1.2.3.4")]), {"endpoint-misread"}),
        (moon_json(roots=[root_json()] * 5), {"too-many-roots", "duplicate-root"}),
        (moon_json(roots=[root_json(*["1.2.3.4/1"] * 33)]), {"too-many-endpoints"}),
        (moon_json(updatesMustBeSignedBy=None), {"no-next-key"}),
        (moon_json(id="08eac90a", worldType="planet"), {"earth-id"}),
        ({"roots": [root_json("1.2.3.4/9993")]}, {"stamps-fixed-time"}),
        (world(1567191349589).encode(), {"fixed-timestamp"}),
        (world(2**63).encode(), {"future-timestamp"}),
        (world(2**64 - 1).encode(), {"last-timestamp"}),
        (world(0).encode(), {"timestamp-zero"}),
        (world(5, world_id=0).encode(), {"id-zero"}),
        (world(5, roots=()).encode(), {"no-roots"}),
        (world(5, roots=(root(2), root(1))).encode(), {"unsorted-roots", "no-endpoints"}),
        (world(5).encode(), {"failed-proof"}),
        (world(5).encode() + b"x", {"trailing-bytes"}),
        (
            world(5, world_type=WorldType.MOON, dictionary=b"d", world_id=2**41).encode(),
            {"dictionary", "moon-id-too-long"},
        ),
    ],
)
def test_pitfalls_are_warned_of(
    orrery: Orrery, tmp_path: Path, json_or_bytes: object, codes: set[str]
) -> None:
    data = json_or_bytes if isinstance(json_or_bytes, bytes) else encoded(json_or_bytes)
    (tmp_path / "w").write_bytes(data)
    result = orrery("world", "show", "w", "--json")
    assert result.status == 0
    assert codes <= {each["code"] for each in result.json["warnings"]}
    assert all(each["sentence"] for each in result.json["warnings"])


def test_one_that_another_key_signed_is_told(orrery: Orrery, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(world(5, signer="a", names="b").encode())
    shown = " ".join(orrery("world", "show", "w").out.split())
    assert "signed not by the key that it names: by the one that the revision before" in shown
    assert f"next signer {key('b').fingerprint}" in shown
    assert orrery("world", "show", "w", "--json").json["self_signed"] is False


def test_a_name_that_is_no_text_is_shown(orrery: Orrery, tmp_path: Path) -> None:
    Path(os.fsdecode(b"pl\xff")).write_bytes(EARTH)
    result = orrery("world", "show", os.fsdecode(b"pl\xff"))
    assert result.status == 0
    assert result.out.splitlines()[1].startswith("file         pl")


def test_the_same_world_in_two_formats_is_the_same(orrery: Orrery, files: Path) -> None:
    for name in ("base64", "link", "c-header", "python-json", "roots-json"):
        assert orrery("world", "convert", "planet", name, "--to", name).status == 0
        result = orrery("world", "diff", "planet", name)
        assert (result.status, result.err) == (0, "")
        assert result.out == f"planet and {name} say the same World\n"
    case = idtool("one-v4")
    (files / "same.json").write_bytes(encoded(case["edited_json"]))
    assert orrery("world", "diff", "same.json", "one.moon").status == 0


def test_differences_are_told(orrery: Orrery, tmp_path: Path) -> None:
    old = world(10)
    new = world(11, names="b", roots=(root(1, "198.51.100.1/9993", "198.51.100.9/443"),))
    (tmp_path / "a").write_bytes(old.encode())
    (tmp_path / "b").write_bytes(new.encode())
    result = orrery("world", "diff", "a", "b")
    assert result.status == 1
    assert result.out.startswith("a -> b\ndiffers  timestamp: 10 ")
    for words in ("198.51.100.9/443 added", "1000000002 removed at 198.51.100.2/9993"):
        assert words in " ".join(result.out.split())
    assert "kept     1000000001 at 198.51.100.1/9993" in result.out
    told = orrery("world", "diff", "a", "b", "--json")
    assert told.status == 1
    assert told.json["same"] is False
    assert len(told.json["differences"]) == 4
    assert told.json["endpoints_kept"] == ["1000000001 at 198.51.100.1/9993"]


def test_a_change_that_strands_is_told(orrery: Orrery, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(world(10).encode())
    (tmp_path / "b").write_bytes(world(11, roots=(root(3, "198.51.100.3/9993"),)).encode())
    assert "no endpoint: who sleeps is stranded" in orrery("world", "diff", "a", "b").out
