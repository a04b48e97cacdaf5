"""Where the passphrase of a locked key comes from."""

import io
from pathlib import Path

import pytest

from orrery.cli.homes import new_passphrase_provider, passphrase_provider
from orrery.errors import CustodyError, UnreadableError


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORRERY_PASSPHRASE", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


def passphrase_file(path: Path, mode: int = 0o600) -> Path:
    path.write_text("open sesame\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("provider", [passphrase_provider, new_passphrase_provider])
def test_the_file_comes_before_the_environment(
    provider: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_PASSPHRASE", "from the environment")
    assert provider(None)("a key") == "from the environment"
    assert provider(passphrase_file(tmp_path / "phrase"))("a key") == "open sesame"


@pytest.mark.parametrize("provider", [passphrase_provider, new_passphrase_provider])
def test_a_credential_of_systemd_comes_after_the_environment(
    provider: type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(CustodyError, match="the systemd credential orrery-passphrase"):
        provider(None)("a key")
    (tmp_path / "orrery-passphrase").write_text("from systemd\n")
    (tmp_path / "orrery-passphrase").chmod(0o440)  # as an access list of systemd looks
    assert provider(None)("a key") == "from systemd"
    assert capsys.readouterr().err == ""
    assert provider(passphrase_file(tmp_path / "phrase"))("a key") == "open sesame"
    monkeypatch.setenv("ORRERY_PASSPHRASE", "from the environment")
    assert provider(None)("a key") == "from the environment"


def test_a_credential_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "orrery-passphrase").mkdir()
    with pytest.raises(UnreadableError, match="orrery-passphrase cannot be read"):
        passphrase_provider(None)("a key")


def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert passphrase_provider(passphrase_file(tmp_path / "phrase"))("a key")
    assert capsys.readouterr().err == ""
    path = passphrase_file(tmp_path / "my phrase", 0o640)
    assert passphrase_provider(path)("a key") == "open sesame"
    told = capsys.readouterr().err
    assert "other users can read it" in told
    assert f"run chmod 600 '{path}'" in told.replace("\n", " ")


def test_a_file_that_cannot_be_read_is_said_so_once(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as told:
        passphrase_provider(tmp_path / "none")("a key")
    assert str(told.value).count("none") == 1
    assert "Errno" not in str(told.value)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableError, match="holds no text"):
        passphrase_provider(tmp_path / "bytes")("a key")


def test_with_nobody_to_ask_it_is_said_what_to_give() -> None:
    with pytest.raises(CustodyError, match="a key is locked: give --passphrase-file"):
        passphrase_provider(None)("a key")
    with pytest.raises(CustodyError, match="cannot be locked without a passphrase: give"):
        new_passphrase_provider(None)("a key")
