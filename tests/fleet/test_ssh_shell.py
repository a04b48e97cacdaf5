"""Commands over a real sshd, and every way in which they do not get there."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from orrery.errors import CustodyError, HostError, UsageError
from orrery.fleet import ssh_shell
from orrery.fleet.reaching import open_shell
from orrery.home.settings import HostSettings
from tests.fleet.sshd import Credentials, Sshd, write_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from orrery.fleet.shell import Shell


def settings(target: str, **more: Any) -> HostSettings:
    """What a [[host]] says."""
    return HostSettings.model_validate({"name": "host", "ssh": target} | more)


def reach(sshd: Sshd, credentials: Credentials, **more: Any) -> AbstractAsyncContextManager[Shell]:
    """Open a shell as the settings of a test say, else with all that is needed."""
    files = {"key": str(credentials.user_key), "known_hosts": str(credentials.known_hosts)}
    values = {key: value for key, value in (files | more).items() if value is not None}
    return open_shell(settings(f"{credentials.user}@127.0.0.1:{sshd.port}", **values), Path("/"))


async def refusal(way: AbstractAsyncContextManager[Shell]) -> str:
    """Why a host cannot be reached."""
    with pytest.raises(HostError) as refused:
        await way.__aenter__()
    return str(refused.value)


async def test_what_it_writes_and_how_it_ends(sshd: Sshd, credentials: Credentials) -> None:
    async with reach(sshd, credentials) as shell:
        assert await shell.run("printf out; printf err >&2; exit 7") == (7, b"out", b"err")
        assert await shell.run("kill -TERM $$") == (128 + signal.SIGTERM, b"", b"")
        assert await shell.run("wc -c # and a comment") == (0, b"0\n", b"")
        assert (await shell.run("if")).status != 0
        assert shell.where == f"{credentials.user}@127.0.0.1:{sshd.port}"
    assert sshd.line.accepted == 1


async def test_any_bytes_go_in_and_come_out(sshd: Sshd, credentials: Credentials) -> None:
    data = bytes(range(256)) * 4096
    async with reach(sshd, credentials) as shell:
        assert await shell.run("cat", data) == (0, data, b"")
        assert await shell.run("exit 3", data) == (3, b"", b"")


async def test_a_command_of_many_lines_and_all_characters(
    sshd: Sshd, credentials: Credentials
) -> None:
    text = "".join(map(chr, range(0x20, 0x7F))) + "ä!! $(x) `y` \\\n" * 1000
    quoted = "'" + text.replace("'", "'\\''") + "'"
    async with reach(sshd, credentials) as shell:
        assert (await shell.run(f"printf %s {quoted}")).out.decode() == text


async def test_commands_side_by_side(sshd: Sshd, credentials: Credentials) -> None:
    async with reach(sshd, credentials) as shell:
        finished = await asyncio.gather(*(shell.run(f"echo {n}") for n in range(8)))
    assert [one.out for one in finished] == [b"%d\n" % n for n in range(8)]
    assert sshd.line.accepted == 1


async def test_too_much_output_and_too_much_time(sshd: Sshd, credentials: Credentials) -> None:
    async with reach(sshd, credentials) as shell:
        with pytest.raises(HostError, match="wrote more than 8 MiB"):
            await shell.run("cat /dev/zero")
        with pytest.raises(HostError, match=r"had not ended after 0\.2 seconds"):
            await shell.run("cat; sleep 0.3", timeout_s=0.2)
        assert await shell.run("echo on") == (0, b"on\n", b"")


def test_of_a_command_that_comes_in_part_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"{{ touch {mark}; echo a }}\necho }}\n}}".encode()
    line = f"exec sh -c 'eval \"$(dd bs=1 count={len(text)} 2>/dev/null)\"'"
    for length in range(len(text)):
        done = subprocess.run(
            ["sh", "-c", line], check=False, input=text[:length], capture_output=True
        )
        assert done.stdout == b""
        assert not mark.exists(), text[:length]
    assert (
        subprocess.run(["sh", "-c", line], check=False, input=text, capture_output=True).returncode
        == 0
    )
    assert mark.exists()


@pytest.mark.parametrize("to_host", [0, 1, 100, 400, 100_000])
async def test_a_line_that_is_cut_on_the_way_there(
    sshd: Sshd, credentials: Credentials, tmp_path: Path, to_host: int
) -> None:
    data = bytes(200_000)
    copy = tmp_path / "copy"
    async with reach(sshd, credentials) as shell:
        assert (await shell.run("true")).status == 0
        sshd.line.cut_at(to_host=to_host)
        with pytest.raises(HostError, match=r"was lost|cannot be reached"):
            await shell.run(f"cat >{copy}", data)
        with pytest.raises(HostError, match="cannot be reached"):
            await shell.run("true")
        sshd.line.mend()
        assert await shell.run(f"cat >{copy}", data) == (0, b"", b"")
    assert copy.read_bytes() == data


async def test_a_loss_between_two_commands(sshd: Sshd, credentials: Credentials) -> None:
    async with reach(sshd, credentials) as shell:
        assert (await shell.run("true")).status == 0
        sshd.line.cut()
        assert (await shell.run("echo again")).out == b"again\n"
    assert sshd.line.accepted == 2


async def test_a_line_that_is_cut_on_the_way_back(sshd: Sshd, credentials: Credentials) -> None:
    async with reach(sshd, credentials) as shell:
        sshd.line.cut_at(from_host=100_000)
        with pytest.raises(HostError, match=r"the connection to .* was lost"):
            await shell.run("head -c 200000 /dev/zero")
        sshd.line.mend()
        assert (await shell.run("echo again")).out == b"again\n"
    assert sshd.line.accepted == 2


async def test_a_line_that_hangs(
    sshd: Sshd, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ssh_shell._WANTED, "keepalive_interval", 0.1)
    begun, end = tmp_path / "begun", tmp_path / "end"
    os.mkfifo(begun)
    os.mkfifo(end)
    async with reach(sshd, credentials) as shell:
        running = asyncio.create_task(shell.run(f"echo >{begun}; cat {end}"))
        await asyncio.to_thread(begun.read_text)
        sshd.line.hang()
        with pytest.raises(HostError, match=r"the connection to .* was lost"):
            await running
        sshd.line.mend()
        assert (await shell.run("echo again")).out == b"again\n"
    await asyncio.to_thread(end.write_text, "")


async def test_an_sshd_that_is_killed(sshd: Sshd, credentials: Credentials, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with reach(sshd, credentials) as shell:
        running = asyncio.create_task(shell.run(f"echo here >{fifo}; cat; sleep 0.1"))
        await asyncio.to_thread(fifo.read_text)
        sshd.kill()
        with pytest.raises(HostError, match=r"the connection to .* was lost"):
            await running
        assert (await shell.run("echo again")).out == b"again\n"


# Host keys


def fingerprint(file: Path) -> str:
    """As ssh-keygen tells it."""
    return asyncssh.read_public_key(file.with_name(f"{file.name}.pub")).get_fingerprint()


async def test_a_host_that_is_not_known(sshd: Sshd, credentials: Credentials) -> None:
    credentials.known_hosts.write_text("")
    told = await refusal(reach(sshd, credentials))
    where = f"{credentials.user}@127.0.0.1"
    assert told == (
        f"{where}:{sshd.port}: its host key ssh-ed25519 {fingerprint(credentials.host_key)} is not "
        "known here: compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says "
        f"on the host, then accept it by `ssh -o UserKnownHostsFile={credentials.known_hosts} "
        f"-p {sshd.port} {where} true`"
    )


async def test_nobody_is_known_without_the_file(sshd: Sshd, credentials: Credentials) -> None:
    credentials.known_hosts.unlink()
    assert "is not known here" in await refusal(reach(sshd, credentials))


async def test_what_the_sentence_says_mends_it(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    credentials.known_hosts.write_text("")
    told = await refusal(reach(sshd, credentials))
    found = re.search(r"accept it by `ssh (.*)`", told)
    assert found is not None
    # ssh itself asks a person; here it takes the key unasked.
    command = f"ssh -F none -o StrictHostKeyChecking=no -i {credentials.user_key} {found[1]}"
    await asyncio.to_thread(
        subprocess.run, ["sh", "-c", command], check=True, capture_output=True, cwd=ssh_home
    )
    async with reach(sshd, credentials) as shell:
        assert (await shell.run("true")).status == 0


async def test_a_host_key_that_changed(
    sshd: Sshd, credentials: Credentials, tmp_path: Path
) -> None:
    other = write_key(tmp_path / "other")
    kind, key, *_ = other.with_name("other.pub").read_text().split()
    credentials.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    told = await refusal(reach(sshd, credentials))
    assert "its host key has changed" in told
    assert fingerprint(credentials.host_key) in told
    assert f"and not ssh-ed25519 {fingerprint(other)}, as {credentials.known_hosts} knows" in told
    found = re.search(r"run `(ssh-keygen .*?)`", told)
    assert found is not None
    subprocess.run(["sh", "-c", found[1]], check=True, capture_output=True)
    assert "is not known here" in await refusal(reach(sshd, credentials))


async def test_a_host_that_has_no_key_of_the_kind_that_is_known(
    sshd: Sshd, credentials: Credentials, tmp_path: Path
) -> None:
    other = write_key(tmp_path / "other", kind="ecdsa-sha2-nistp256")
    kind, key, *_ = other.with_name("other.pub").read_text().split()
    credentials.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {kind} {key}\n")
    told = await refusal(reach(sshd, credentials))
    assert "its host key has changed: it is ssh-ed25519 SHA256:" in told
    assert "and not ecdsa-sha2-nistp256 SHA256:" in told


async def test_a_host_key_that_was_revoked(sshd: Sshd, credentials: Credentials) -> None:
    line = credentials.known_hosts.read_text()
    credentials.known_hosts.write_text(f"{line}@revoked {line}")
    told = await refusal(reach(sshd, credentials))
    assert "Host key is revoked for host 127.0.0.1: do not connect" in told


async def test_a_host_key_with_a_certificate(
    ssh_home: Path, credentials: Credentials, tmp_path: Path
) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    public = asyncssh.read_public_key(credentials.host_key.with_name("host_key.pub"))
    certificate = authority.generate_host_certificate(public, "it", principals=["127.0.0.1"])
    certificate.write_certificate(tmp_path / "host-cert.pub")
    with Sshd(tmp_path, credentials, {}, f"HostCertificate {tmp_path / 'host-cert.pub'}") as sshd:
        plain = credentials.known_hosts.read_text()
        for known in (plain, "@cert-authority * " + authority.export_public_key().decode()):
            credentials.known_hosts.write_text(known)
            async with reach(sshd, credentials) as shell:
                assert (await shell.run("true")).status == 0
        # Its own key is what its owner can compare, not that of who certified it.
        credentials.known_hosts.write_text("")
        told = await refusal(reach(sshd, credentials))
        assert f"its host key ssh-ed25519 {fingerprint(credentials.host_key)} is not" in told


async def test_lines_that_ssh_would_pass_over(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    subprocess.run(
        ["ssh-keygen", "-H", "-f", str(credentials.known_hosts)], check=True, capture_output=True
    )
    hashed = credentials.known_hosts.read_text()
    assert hashed.startswith("|1|")
    credentials.known_hosts.write_text(f"nonsense\n@what is this\n\n# a comment\n|1|x\n{hashed}")
    async with reach(sshd, credentials) as shell:
        assert (await shell.run("true")).status == 0


async def test_the_usual_file_of_known_hosts(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    told = await refusal(reach(sshd, credentials, known_hosts=None))
    assert f"accept it by `ssh -p {sshd.port} {credentials.user}@127.0.0.1 true`" in told
    shutil.copy(credentials.known_hosts, ssh_home / ".ssh" / "known_hosts")
    async with reach(sshd, credentials, known_hosts=None) as shell:
        assert (await shell.run("true")).status == 0


async def test_no_configuration_turns_the_check_off(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    (ssh_home / ".ssh" / "config").write_text(
        "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n"
    )
    assert "is not known here" in await refusal(reach(sshd, credentials, known_hosts=None))


# Keys to log in with


async def test_a_key_file_that_is_missing_or_open_or_none(
    sshd: Sshd, credentials: Credentials, tmp_path: Path
) -> None:
    for key, sentence in (
        (tmp_path / "none", "is missing"),
        (credentials.user_key.with_name("user_key.pub"), "chmod 600"),
        (write_key(tmp_path / "locked", "passphrase"), "ssh-add"),
    ):
        with pytest.raises(CustodyError, match=sentence):
            await reach(sshd, credentials, key=str(key)).__aenter__()
    (tmp_path / "text").write_text("no key")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(CustodyError, match="is no private key of ssh"):
        await reach(sshd, credentials, key=str(tmp_path / "text")).__aenter__()
    assert sshd.line.accepted == 0


async def test_a_key_that_is_not_let_in(
    sshd: Sshd, credentials: Credentials, tmp_path: Path
) -> None:
    other = write_key(tmp_path / "other")
    assert await refusal(reach(sshd, credentials, key=str(other))) == (
        f"{credentials.user}@127.0.0.1:{sshd.port} does not let user {credentials.user!r} in with "
        f"the key {other}: add other.pub to his ~/.ssh/authorized_keys there, or name another key "
        "or user"
    )


async def test_no_key_to_try(sshd: Sshd, credentials: Credentials) -> None:
    assert "there was no key to try" in await refusal(reach(sshd, credentials, key=None))


async def test_ssh_s_own_key_files(sshd: Sshd, credentials: Credentials, ssh_home: Path) -> None:
    shutil.copy(credentials.user_key, ssh_home / ".ssh" / "id_ed25519")
    async with reach(sshd, credentials, key=None) as shell:
        assert (await shell.run("true")).status == 0


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An ssh-agent that holds nothing."""
    path = shutil.which("ssh-agent")
    if path is None:
        pytest.skip("there is no ssh-agent here; on Debian: apt install openssh-client")
    place = str(tmp_path / "agent")
    with subprocess.Popen([path, "-D", "-a", place], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", place)
        yield place
        process.terminate()


async def hold(agent: str, *files: Path, passphrase: str | None = None) -> None:
    """Let the agent hold keys."""
    async with asyncssh.connect_agent(agent) as client:
        await client.add_keys([asyncssh.read_private_key(file, passphrase) for file in files])


async def test_a_key_of_the_agent(
    sshd: Sshd, credentials: Credentials, agent: str, tmp_path: Path
) -> None:
    other = write_key(tmp_path / "other")
    await hold(agent, other)
    told = await refusal(reach(sshd, credentials, key=None))
    assert f"with any of these keys: ssh-ed25519 {fingerprint(other)} (other): add one" in told
    await hold(agent, credentials.user_key)
    async with reach(sshd, credentials, key=None) as shell:
        assert (await shell.run("true")).status == 0


async def test_a_key_file_with_a_passphrase_is_the_agent_s_to_use(
    sshd: Sshd, credentials: Credentials, agent: str, tmp_path: Path
) -> None:
    locked = write_key(tmp_path / "locked", "passphrase")
    credentials.authorized.write_bytes(locked.with_name("locked.pub").read_bytes())
    await hold(agent, credentials.user_key)
    with pytest.raises(CustodyError, match=f"let an agent hold it by `ssh-add {locked}`"):
        await reach(sshd, credentials, key=str(locked)).__aenter__()
    await hold(agent, locked, passphrase="passphrase")
    async with reach(sshd, credentials, key=str(locked)) as shell:
        assert (await shell.run("true")).status == 0


async def test_more_keys_than_it_takes(
    ssh_home: Path, credentials: Credentials, agent: str, tmp_path: Path
) -> None:
    await hold(agent, *(write_key(tmp_path / f"key-{number}") for number in range(3)))
    with Sshd(tmp_path, credentials, {}, "MaxAuthTries 2") as sshd:
        told = await refusal(reach(sshd, credentials, key=None))
        assert "it takes fewer keys than were offered: name the right one by 'key'" in told
        async with reach(sshd, credentials) as shell:
            assert (await shell.run("true")).status == 0


async def test_a_key_with_a_certificate(
    ssh_home: Path, credentials: Credentials, tmp_path: Path
) -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    authority.write_public_key(tmp_path / "authority.pub")
    public = asyncssh.read_public_key(credentials.user_key.with_name("user_key.pub"))
    certificate = authority.generate_user_certificate(public, "us", principals=[credentials.user])
    credentials.authorized.write_text("")
    with Sshd(tmp_path, credentials, {}, f"TrustedUserCAKeys {tmp_path / 'authority.pub'}") as sshd:
        assert "does not let user" in await refusal(reach(sshd, credentials))
        certificate.write_certificate(credentials.user_key.with_name("user_key-cert.pub"))
        async with reach(sshd, credentials) as shell:
            assert (await shell.run("true")).status == 0


# The way there


async def test_a_name_of_ssh_s_configuration(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    (ssh_home / ".ssh" / "config").write_text(
        f"Host cellar\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {credentials.user}\n"
        f"  IdentityFile {credentials.user_key}\n  UserKnownHostsFile {credentials.known_hosts}\n"
        "  RequestTTY yes\n  RemoteCommand false\n  ForwardAgent yes\n"
    )
    async with open_shell(settings("cellar"), ssh_home) as shell:
        assert shell.where == f"{credentials.user}@cellar"
        assert await shell.run("echo here") == (0, b"here\n", b"")


async def test_a_way_through_another_host(
    sshd: Sshd, credentials: Credentials, ssh_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "jump").mkdir()
    with Sshd(tmp_path / "jump", credentials, {}) as jump:
        config = (
            f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User {credentials.user}\n"
            "Host cellar\n  HostName 127.0.0.1\n"
            f"  Port {sshd.port}\n  User {credentials.user}\n  ProxyJump jump\n"
            f"Host *\n  IdentityFile {credentials.user_key}\n"
        )
        (ssh_home / ".ssh" / "config").write_text(config)
        told = await refusal(open_shell(settings("cellar"), ssh_home))
        assert "Host key is not trusted for host 127.0.0.1: connect to that host by ssh" in told
        shutil.copy(credentials.known_hosts, ssh_home / ".ssh" / "known_hosts")
        async with open_shell(settings("cellar"), ssh_home) as shell:
            assert await shell.run("echo here") == (0, b"here\n", b"")
        assert jump.line.accepted == 2
    assert sshd.line.accepted == 0 or sshd.line.from_host > 0


async def test_a_configuration_that_is_wrong(
    sshd: Sshd, credentials: Credentials, ssh_home: Path
) -> None:
    (ssh_home / ".ssh" / "config").write_text("ConnectTimeout long\n")
    told = await refusal(reach(sshd, credentials))
    assert "ssh's configuration cannot be used" in told
    assert "line 1" in told


async def test_nobody_listens(sshd: Sshd, credentials: Credentials) -> None:
    sshd.stop()
    assert "nobody listens there" in await refusal(reach(sshd, credentials))


async def test_a_name_without_an_address(ssh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = await refusal(open_shell(settings("root@nowhere"), ssh_home))
    assert told == (
        "root@nowhere cannot be reached: its name stands for no address: check its spelling, and "
        "the DNS"
    )


async def test_no_way_to_an_address(ssh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Connect call failed ('2001:db8::1:22', 22, 0, 0)")

    monkeypatch.setattr(asyncssh, "connect", unreachable)
    told = await refusal(open_shell(settings("root@2001:db8::1:22"), ssh_home))
    assert told == (
        "root@2001:db8::1:22 cannot be reached: there is no way to it from here: check the "
        "address; an IPv6 address with a port has brackets, [2001:db8::7]:22"
    )


@asynccontextmanager
async def stranger(says: bytes) -> AsyncIterator[int]:
    """A server that is no sshd."""

    talks = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*talks)


async def test_a_server_that_says_nothing(ssh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_shell, "_CONNECT_S", 0.3)
    async with stranger(b"") as port:
        told = await refusal(open_shell(settings(f"root@127.0.0.1:{port}"), ssh_home))
    assert "did not answer within 0.3 seconds" in told


async def test_a_server_that_is_no_sshd(ssh_home: Path) -> None:
    async with stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100_000)) as port:
        told = await refusal(open_shell(settings(f"root@127.0.0.1:{port}"), ssh_home))
    assert f"root@127.0.0.1:{port} cannot be reached" in told


async def test_what_a_stranger_says_does_not_steer_a_terminal(ssh_home: Path) -> None:
    said = b"\x1b]0;mine\x07\x1b[2Jgo away"
    payload = struct.pack(">BII", 1, 2, len(said)) + said + bytes(4)
    padding = 16 - (len(payload) + 5) % 8
    packet = struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)

    async with stranger(b"SSH-2.0-stranger\r\n" + packet) as port:
        told = await refusal(open_shell(settings(f"root@127.0.0.1:{port}"), ssh_home))
    assert "go away" in told
    assert told.isprintable()


async def test_without_asyncssh(ssh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "orrery.fleet.ssh_shell", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'zt-orrery[ssh]'")):
        await open_shell(settings("root@nowhere"), ssh_home).__aenter__()


async def test_this_machine(ssh_home: Path) -> None:
    host = HostSettings.model_validate({"name": "host"})
    async with open_shell(host, ssh_home) as shell:
        assert shell.where == "this machine"
        assert await shell.run("echo here") == (0, b"here\n", b"")
