"""What `docs/settings.md` says is so: its file is read, its defaults are the defaults."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from orrery.errors import ResolveFailure
from orrery.home import (
    BackupSettings,
    DeploySettings,
    DnsSettings,
    HostSettings,
    RolloutSettings,
    ServeSettings,
    Settings,
)
from orrery.home.settings import Platform
from tests.unit.cli.running import Orrery
from tests.unit.cli.test_documentation import shown
from tests.unit.home.making import entropy, make_home
from tests.unit.home.nameserver import NameServer, running

DOCUMENT = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()


@pytest.fixture
def server() -> Iterator[NameServer]:
    with running() as started:
        yield started


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def _keys(table: type[BaseModel]) -> list[str]:
    return [about.alias or name for name, about in table.model_fields.items()]


def test_the_keys_and_defaults_are_those_of_the_document() -> None:
    text, _ = _blocks("toml")
    settings = Settings.parse(text)
    assert settings.serve == ServeSettings()
    assert settings.rollout == RolloutSettings()
    assert settings.dns == DnsSettings()
    assert settings.backup is not None
    assert settings.backup == BackupSettings(
        to=Path("/srv/backups"), recipients=settings.backup.recipients
    )
    assert settings.deploy == DeploySettings()
    for table in (ServeSettings, RolloutSettings, DnsSettings, BackupSettings, DeploySettings):
        for key in _keys(table):
            assert re.search(rf"^{key} = ", text, re.MULTILINE)


def test_the_hosts_are_those_of_the_document() -> None:
    text, hosts = _blocks("toml")
    planet = text.partition("[serve]")[0]
    moon = (
        planet.replace('"home"', '"hut"')
        .replace('"planet"', '"moon"')
        .replace("b9ce1f7fa4000001", "b9ce1f7fa4")
    )
    settings = Settings.parse(planet + moon + hosts)
    assert [host.name for host in settings.hosts] == ["root-2", "office", "gateway"]
    assert settings.host("office").worlds == ["home", "hut"]
    told = DOCUMENT.partition("## [[host]]")[2].partition("## [deploy]")[0]
    for key in _keys(HostSettings):
        assert re.search(rf"^[^\n]*`{key}[ =`]|^{key} = ", told, re.MULTILINE)


@pytest.mark.parametrize("platform", get_args(Platform))
def test_the_defaults_of_platforms_are_those_of_the_document(platform: str) -> None:
    (row,) = (line for line in DOCUMENT.splitlines() if line.startswith(f"  | `{platform}` |"))
    keys = {"name": "x", "platform": platform}
    if platform == "docker":
        keys["container"] = "x"
    host = HostSettings.model_validate(keys)
    _, _, home, service, restart, _ = (cell.strip() for cell in row.split("|"))
    assert home.partition(",")[0] == host.home
    assert service == (host.service or "")
    for command in re.findall(r"`(.*?)`", restart):
        for part in command.split("…"):
            assert part.strip(";") in host.restart_command


def test_every_reason_is_named() -> None:
    for word in ResolveFailure:
        assert f"`{word}`" in DOCUMENT


def test_every_example_is_real(
    orrery: Orrery, server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(tmp_path / "home", entropy=entropy("document")).close()
    monkeypatch.chdir(tmp_path / "home")
    settings = tmp_path / "home" / "orrery.toml"
    server.records["root.example.org"] = ["AAAA 2001:db8::4", "A 198.51.100.4"]
    good = settings.read_text().replace("servers = []", f'servers = ["{server.endpoint}"]')
    wrong, names, misspelt = _blocks("console")

    settings.write_text(
        good.replace('"planet"', '"star"')
        .replace("203.0.113.7:9993", "a_b.example.org:9993")
        .replace('"10s"', '"10"')
        .replace('"100%"\n', '"0%"\n')
    )
    assert shown(orrery, wrong) == wrong
    named = good.replace('"203.0.113.7:9993",', '"203.0.113.7:9993", "root.example.org:9993",')
    settings.write_text(named)
    assert shown(orrery, names) == names
    settings.write_text(named.replace("root.example.org:", "rot.example.org:"))
    assert shown(orrery, misspelt) == misspelt
