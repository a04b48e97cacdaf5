import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orrery.errors import HostError
from orrery.fleet.http_fetch import HttpFetch
from orrery.fleet.local_api import Answer

TOKEN = "k3y0fth3l0c4l4p1xxxxxxxx"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Served:
    """What a fake zerotier-one was asked, and its home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.requests: list[bytes] = []


@asynccontextmanager
async def serving(home: Path, answer: bytes, *, then: Talk | None = None) -> AsyncIterator[Served]:
    """A server that says one thing, whatever it is asked, and then closes or does `then`."""
    served = Served(home)
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            length = int(request.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            served.requests.append(request + await reader.readexactly(length))
            writer.write(answer)
            if then is not None:
                await then(reader, writer)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    (home / "zerotier-one.port").write_text(str(server.sockets[0].getsockname()[1]))
    (home / "authtoken.secret").write_text(TOKEN)
    async with server:
        yield served
        await ended.wait()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b" % (
        len(body),
        body,
    )


async def test_a_request_has_the_token_and_asks_to_close(tmp_path: Path) -> None:
    async with serving(tmp_path, ok(b"{}")) as served:
        assert await HttpFetch(tmp_path)("GET", "/status") == Answer(200, b"{}")
    (request,) = served.requests
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /status HTTP/1.1"
    assert f"X-ZT1-Auth: {TOKEN}" in lines
    assert "Connection: close" in lines


async def test_a_body_is_sent_along(tmp_path: Path) -> None:
    async with serving(tmp_path, ok(b'{"waiting":true}')) as served:
        answer = await HttpFetch(tmp_path)("POST", "/moon/b9ce1f7fa4", {"seed": "8056c2e21c"})
    assert answer == Answer(200, b'{"waiting":true}')
    assert served.requests[0].startswith(b"POST /moon/b9ce1f7fa4 HTTP/1.1\r\n")
    assert served.requests[0].endswith(b'\r\n\r\n{"seed": "8056c2e21c"}')


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", Answer(401, b"{}")),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Answer(200, b"until the end")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n",
            Answer(200, b"[1,2]"),
        ),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Answer(404, b"")),
    ],
)
async def test_answers_of_all_kinds_are_read(
    tmp_path: Path, answer: bytes, expected: Answer
) -> None:
    async with serving(tmp_path, answer):
        assert await HttpFetch(tmp_path)("GET", "/peer") == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 999999 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[1,\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"9" * 30 + b"\r\n[1,\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1_000 + b"\r\n",
    ],
)
async def test_what_is_no_answer_is_told(tmp_path: Path, answer: bytes) -> None:
    async with serving(tmp_path, answer):
        with pytest.raises(HostError, match="is no zerotier-one, or its answer was cut short"):
            await HttpFetch(tmp_path)("GET", "/status")


async def test_an_answer_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(1 << 20))
                await writer.drain()
        except ConnectionError:
            pass

    async with serving(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n", then=flood):
        with pytest.raises(HostError, match="sends more than 8 MiB"):
            await HttpFetch(tmp_path)("GET", "/peer")


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(tmp_path, b"HTTP/1.1 200 OK\r\n", then=wait):
        with pytest.raises(HostError, match=r"has not answered for 0\.2 seconds"):
            await HttpFetch(tmp_path, timeout_s=0.2)("GET", "/status")


async def test_a_service_that_does_not_run_is_told(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    (tmp_path / "zerotier-one.port").write_text(str(port))
    (tmp_path / "authtoken.secret").write_text(TOKEN)
    with pytest.raises(HostError, match=f"TCP port {port} .*: start it, or see in its log"):
        await HttpFetch(tmp_path)("GET", "/status")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("zerotier-one.port", None, "zerotier-one.port: zerotier-one has not run with this home"),
        ("zerotier-one.port", b"", "zerotier-one.port holds no port"),
        ("zerotier-one.port", b"0", "zerotier-one.port holds no port"),
        ("zerotier-one.port", b"65536", "zerotier-one.port holds no port"),
        ("authtoken.secret", None, "authtoken.secret: zerotier-one has not run with this home"),
        ("authtoken.secret", b" \n", "authtoken.secret holds no token"),
        ("authtoken.secret", b"a\r\nX-Other: b", "authtoken.secret holds no token"),
        ("authtoken.secret", "schlüssel".encode(), "authtoken.secret holds no token"),
    ],
)
async def test_what_is_missing_or_odd_in_the_home_is_told(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    (tmp_path / "zerotier-one.port").write_text("9993")
    (tmp_path / "authtoken.secret").write_text(TOKEN)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HostError) as refused:
        await HttpFetch(tmp_path)("GET", "/status")
    assert said in str(refused.value)
    assert "X-Other" not in str(refused.value)


async def test_a_token_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zerotier-one.port").write_text("9993")
    (tmp_path / "authtoken.secret").write_text(TOKEN)
    as_it_is = Path.open

    def guarded(path: Path, mode: str) -> object:
        if path.name == "authtoken.secret":
            raise PermissionError(13, "Permission denied", str(path))
        return as_it_is(path, mode)

    monkeypatch.setattr(Path, "open", guarded)
    with pytest.raises(HostError, match="may not be read by this user: run Orrery as root"):
        await HttpFetch(tmp_path)("GET", "/status")


async def test_a_directory_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "zerotier-one.port").mkdir()
    with pytest.raises(HostError, match=r"zerotier-one\.port cannot be read: Is a directory"):
        await HttpFetch(tmp_path)("GET", "/status")
