"""What `docs/settings.md` says is so: its file is read, its defaults are the defaults."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.errors import ResolveFailure
from orrery.home import BackupSettings, DnsSettings, RolloutSettings, ServeSettings, Settings
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


def test_the_keys_and_defaults_are_those_of_the_document() -> None:
    (text,) = _blocks("toml")
    settings = Settings.parse(text)
    assert settings.serve == ServeSettings()
    assert settings.rollout == RolloutSettings()
    assert settings.dns == DnsSettings()
    assert settings.backup is not None
    assert settings.backup == BackupSettings(
        to=Path("/srv/backups"), recipients=settings.backup.recipients
    )
    for table in (ServeSettings, RolloutSettings, DnsSettings, BackupSettings):
        for name, about in table.model_fields.items():
            assert re.search(rf"^{about.alias or name} = ", text, re.MULTILINE)


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
