import os
import stat
import traceback
from pathlib import Path

import pytest

from orrery.custody import read_identity_secret, write_identity
from orrery.errors import CustodyError, OrreryError
from tests.unit.store.making import identity

ANNE = identity(0)
BERT = identity(1)


def test_files_are_those_of_zerotier_one(tmp_path: Path) -> None:
    write_identity(tmp_path, ANNE)
    assert (tmp_path / "identity.secret").read_text() == ANNE.to_string(secret=True)
    assert (tmp_path / "identity.public").read_text() == ANNE.to_string()
    modes = [
        stat.S_IMODE((tmp_path / f"identity.{kind}").stat().st_mode)
        for kind in ("secret", "public")
    ]
    assert modes == [0o600, 0o644]
    found = read_identity_secret(tmp_path / "identity.secret")
    assert found == ANNE
    assert found.private_key == ANNE.private_key


def test_a_newline_at_the_end_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "identity.secret"
    path.write_text(ANNE.to_string(secret=True) + "\n")
    path.chmod(0o600)
    assert read_identity_secret(path) == ANNE


def test_another_identity_is_never_overwritten(tmp_path: Path) -> None:
    write_identity(tmp_path, ANNE)
    with pytest.raises(CustodyError, match="holds another identity"):
        write_identity(tmp_path, BERT)
    assert read_identity_secret(tmp_path / "identity.secret") == ANNE


def test_the_public_file_is_mended(tmp_path: Path) -> None:
    write_identity(tmp_path, ANNE)
    (tmp_path / "identity.public").write_text("torn")
    write_identity(tmp_path, ANNE)
    assert (tmp_path / "identity.public").read_text() == str(ANNE)


def test_an_open_file_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    write_identity(tmp_path, ANNE)
    path = tmp_path / "identity.secret"
    path.chmod(0o644)
    with pytest.raises(CustodyError) as refused:
        read_identity_secret(path)
    assert str(refused.value).endswith(f"(mode 0644); run: chmod 600 {path}")


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_identity(tmp_path, ANNE)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(CustodyError, match=f"run: chown {owner + 1} "):
        read_identity_secret(tmp_path / "identity.secret")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CustodyError, match=r"identity\.secret is missing"):
        read_identity_secret(tmp_path / "identity.secret")


def test_a_directory_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "identity.secret").mkdir()
    with pytest.raises(CustodyError, match="is not a file"):
        read_identity_secret(tmp_path / "identity.secret")


@pytest.mark.parametrize(
    "content",
    [
        "",
        str(ANNE),
        ANNE.to_string(secret=True)[:-1],
        f"{ANNE}:{BERT.to_string(secret=True).rpartition(':')[2]}",
        ANNE.to_string(secret=True)[11:],
        ANNE.to_string(secret=True).rpartition(":")[2],
        "é" * 20,
        "x" * 2000,
    ],
    ids=["empty", "public", "short", "not a pair", "no address", "key alone", "text", "long"],
)
def test_what_is_no_identity_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity.secret"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(OrreryError) as refused:
        read_identity_secret(path)
    assert isinstance(refused.value, CustodyError)
    shown = "".join(traceback.format_exception(refused.value))
    for secret in (ANNE, BERT):
        digits = secret.to_string(secret=True).rpartition(":")[2]
        assert not any(digits[i : i + 16] in shown for i in range(0, 112, 4))
