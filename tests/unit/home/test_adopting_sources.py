"""What is read of folders and zips: no more than the bounds, and each refusal in words."""

import errno
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from orrery.errors import DecodeError, UnreadableError
from orrery.home.adopting import sources
from orrery.home.adopting.sources import Haul, gather
from tests.unit.home.folders import (
    NETWORK,
    Maker,
    controller,
    docker_planet,
    node_home,
    put,
    zipped,
)

PLANET = Maker().world().encode()


def names(haul: Haul) -> list[str]:
    """What was read, without where it was."""
    return sorted(source.name for source in haul.sources)


def sentences(haul: Haul) -> str:
    """All refusals."""
    return "\n".join(trouble.sentence for trouble in haul.troubles)


def test_a_folder_is_read_without_the_caches_of_its_node(tmp_path: Path) -> None:
    home = node_home(tmp_path / "node")
    controller(home, 2)
    haul = gather([home])
    assert names(haul) == [
        "authtoken.secret",
        "identity.public",
        "identity.secret",
        "planet",
        "zerotier-one.port",
    ]
    assert haul.networks == {str(home): 2}
    assert not haul.troubles


def test_the_members_of_many_networks_are_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = node_home(tmp_path / "node")
    controller(home)
    for number in range(50):
        put(home / "controller.d" / "network" / NETWORK / "member" / f"{number}.json", "{}")
    monkeypatch.setattr(sources, "MOST_ENTRIES", 20)
    haul = gather([home])
    assert "planet" in names(haul)
    assert not haul.troubles


def test_networks_in_a_zip_are_counted(tmp_path: Path) -> None:
    home = node_home(tmp_path / "data" / "one")
    controller(home, 3)
    haul = gather([zipped(tmp_path / "data", tmp_path / "a.zip")])
    assert haul.networks == {f"{tmp_path / 'a.zip'}:one": 3}
    assert not any(NETWORK in source.name for source in haul.sources)


def test_a_file_counts_once_however_often_it_is_named(tmp_path: Path) -> None:
    folder = docker_planet(tmp_path / "docker")
    once = gather([folder])
    haul = gather([folder, folder / "one", folder / "dist" / "planet", folder / "dist" / "planet"])
    assert names(haul) == names(once)
    assert [source.parts for source in haul.sources if source.named] == [
        ("docker", "dist", "planet")
    ]


@pytest.mark.parametrize("name", ["planet", "notes"])
def test_what_may_not_be_read_is_told_where_its_name_promises_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path / "node" / name, PLANET)
    real_open = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(name):
            raise PermissionError(errno.EACCES, "no")
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    haul = gather([tmp_path / "node"])
    assert not haul.sources
    assert ("you may not do that" in sentences(haul)) == (name == "planet")
    with pytest.raises(UnreadableError, match="you may not do that"):
        gather([tmp_path / "node" / name])


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "data" / "planet", PLANET)
    put(tmp_path / "data" / "closed" / "planet", PLANET)
    real_scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "no")
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    haul = gather([tmp_path / "data"])
    assert names(haul) == ["planet"]
    assert "closed cannot be read: you may not do that" in sentences(haul)
    with pytest.raises(UnreadableError):
        gather([tmp_path / "data" / "closed"])


def test_long_files_are_read_only_where_their_name_promises_something(tmp_path: Path) -> None:
    put(tmp_path / "data" / "node.log", bytes(100_000))
    put(tmp_path / "data" / "moon.json", bytes(2 << 20))
    put(tmp_path / "data" / "mkworld.json", b" " * 100_000)
    zipped(docker_planet(tmp_path / "docker"), tmp_path / "small.zip")
    with zipfile.ZipFile(tmp_path / "data" / "export.zip", "w") as archive:
        archive.writestr("planet", PLANET + bytes(100_000))
    haul = gather([tmp_path / "data"])
    assert names(haul) == ["mkworld.json"]
    assert "moon.json is too long for what its name says" in sentences(haul)
    assert "export.zip is a zip: name it itself to read it" in sentences(haul)


def test_a_short_zip_in_a_folder_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    zipped(docker_planet(tmp_path / "docker"), tmp_path / "data" / "export.zip")
    haul = gather([tmp_path / "data"])
    assert not haul.sources
    assert "export.zip is a zip: name it itself to read it" in sentences(haul)


def test_what_is_named_and_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DecodeError, match="and no World has"):
        gather([put(tmp_path / "a", bytes(2 << 20))])
    archive = zipped(docker_planet(tmp_path / "docker"), tmp_path / "a.zip")
    monkeypatch.setattr(sources, "MOST_ZIP_BYTES", 1000)
    with pytest.raises(DecodeError, match="unpack it, and name the folder"):
        gather([archive])


def test_what_is_named_and_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match="neither a file nor a folder"):
        gather([tmp_path / "pipe"])
    with pytest.raises(UnreadableError, match="is no path"):
        gather([Path("a\0b")])


def test_all_that_is_read_together_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 1000)
    for number in range(20):
        put(tmp_path / "data" / f"{number}", bytes(100))
    haul = gather([tmp_path / "data"])
    assert len(haul.sources) == 11
    assert len(haul.troubles) == 1
    monkeypatch.setattr(sources, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(sources, "MOST_ENTRIES", 5)
    haul = gather([tmp_path / "data"])
    assert len(haul.sources) == 0
    assert "more files than any of these folders has" in sentences(haul)
    archive = zipped(tmp_path / "data", tmp_path / "a.zip")
    assert len(gather([archive]).sources) == 5


@pytest.mark.parametrize(
    ("method", "flags", "words"),
    [
        (zipfile.ZIP_BZIP2, 0, "is packed in a way that is not read here"),
        (zipfile.ZIP_LZMA, 0, "is packed in a way that is not read here"),
        (zipfile.ZIP_DEFLATED, 1, "is encrypted"),
    ],
)
def test_entries_of_a_zip_that_are_not_read_are_told(
    tmp_path: Path, method: int, flags: int, words: str
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("planet", PLANET)
        archive.writestr("something", PLANET)
    if flags:
        data = bytearray(path.read_bytes())
        at = -1
        while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
            struct.pack_into("<H", data, at + 8, flags)
        path.write_bytes(bytes(data))
    haul = gather([path])
    assert not haul.sources
    assert sentences(haul).count(words) == 1


def test_an_entry_with_another_content_than_the_zip_says_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("planet", PLANET)
    path.write_bytes(path.read_bytes().replace(PLANET, PLANET[::-1]))
    haul = gather([path])
    assert not haul.sources
    assert "is damaged in the zip" in sentences(haul)


def test_an_empty_zip_holds_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    assert not gather([tmp_path / "a.zip"]).sources


def test_a_zip_with_more_names_than_it_may_have_is_refused_before_they_are_read(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(15_000):
            archive.writestr(f"{number:032d}", b"")
    with pytest.raises(DecodeError, match="more files than any of these folders"):
        gather([tmp_path / "a.zip"])
