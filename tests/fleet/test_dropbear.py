"""Dropbear, the SSH server of OpenWrt, for everything that it does otherwise than OpenSSH."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncssh
import pytest

from orrery.errors import HostError
from orrery.fleet.reaching import open_shell
from orrery.home.settings import HostSettings
from tests.fleet.sshd import Credentials, Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def dropbear(
    tmp_path: Path, ssh_home: Path, credentials: Credentials
) -> Iterator[tuple[Sshd, HostSettings]]:
    """A dropbear that lets us in, and how to reach it.

    It reads authorized_keys in the home directory of the user and nowhere else, so it gets a view
    of the files in which that is another one.
    """
    program, keys = shutil.which("dropbear"), shutil.which("dropbearkey")
    if program is None or keys is None:
        pytest.skip("there is no dropbear here; on Debian: apt install dropbear-bin")
    home = pwd.getpwuid(os.geteuid()).pw_dir
    view = ["unshare", "--mount", "sh", "-c", f'mount --bind {ssh_home} {home} && exec "$@"', "sh"]
    possible = subprocess.run([*view, "true"], check=False, capture_output=True)
    if possible.returncode:
        pytest.skip(f"no view of the files can be made here: {possible.stderr.decode().strip()}")
    authorized = ssh_home / ".ssh" / "authorized_keys"
    authorized.write_bytes(credentials.authorized.read_bytes())
    authorized.chmod(0o600)
    key = tmp_path / "dropbear_key"
    made = subprocess.run(
        [keys, "-t", "ed25519", "-f", key], check=True, capture_output=True, text=True
    )
    public = next(line for line in made.stdout.splitlines() if line.startswith("ssh-"))
    shutil.copy(credentials.host_key, tmp_path / "host_key")
    (tmp_path / "host_key.pub").write_text(public)
    sshd = Sshd(
        tmp_path,
        replace(credentials, host_key=tmp_path / "host_key"),
        {},
        command=[*view, program, "-i", "-s", "-r", str(key)],
    )
    settings = {
        "name": "router",
        "ssh": f"{credentials.user}@127.0.0.1:{sshd.port}",
        "key": str(credentials.user_key),
        "known_hosts": str(credentials.known_hosts),
    }
    with sshd:
        yield sshd, HostSettings.model_validate(settings)


async def test_commands(dropbear: tuple[Sshd, HostSettings], ssh_home: Path) -> None:
    sshd, host = dropbear
    data = bytes(range(256)) * 1024
    async with open_shell(host, ssh_home) as shell:
        assert await shell.run("printf out; printf err >&2; exit 7") == (7, b"out", b"err")
        assert await shell.run("cat", data) == (0, data, b"")
        # More than it takes on a command line.
        assert (await shell.run(f"printf %s {'x' * 20_000} | wc -c")).out.split() == [b"20000"]
        assert (await shell.run("kill -9 $$")).status == 137
        sshd.line.cut()
        assert (await shell.run("echo again")).out == b"again\n"


async def test_a_key_that_changed(
    dropbear: tuple[Sshd, HostSettings], credentials: Credentials, ssh_home: Path
) -> None:
    sshd, host = dropbear
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    credentials.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    with pytest.raises(HostError, match="its host key has changed"):
        await open_shell(host, ssh_home).__aenter__()
