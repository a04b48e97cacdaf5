"""The local API of a zerotier-one on this machine, by HTTP.

It is at the TCP port of zerotier-one.port, which is its primary UDP port, and takes the token of
authtoken.secret in the header X-ZT1-Auth. It is asked at 127.0.0.1: at ::1 it knows no DELETE for
moons (ZeroTierOne service/OneService.cpp).
"""

import asyncio
import io
import json
import re
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from socket import socket
from typing import cast

from orrery.errors import HostError
from orrery.fleet.collecting import LIMIT_BYTES
from orrery.fleet.local_api import Answer, Method

_ADDRESS = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
_TOKEN = re.compile(rb"[!-~]{1,256}")
_PORT = re.compile(rb"[1-9][0-9]{0,4}")


class HttpFetch:
    """Asks the zerotier-one that has its home on this machine.

    Port and token are read for each request, as both may change with a restart.

    Args:
        home: The directory of zerotier-one.
        timeout_s: How long an answer may take.

    Attributes:
        where: What to call it in an error.
    """

    where = "this machine"

    def __init__(self, home: Path, *, timeout_s: float = 10) -> None:
        self._home = home
        self._timeout_s = timeout_s

    async def __call__(
        self, method: Method, path: str, body: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask; see `orrery.fleet.local_api.Fetch`."""
        port, token = self._port(), self._token()
        content = b"" if body is None else json.dumps(body).encode()
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: {_ADDRESS}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nX-ZT1-Auth: "
        ).encode() + token
        try:
            async with asyncio.timeout(self._timeout_s):
                received = await _exchange(port, request + b"\r\n\r\n" + content)
        except TimeoutError:
            raise HostError(
                f"the zerotier-one of {self._home} has not answered for {self._timeout_s:g} "
                "seconds: if it stays like that, restart it"
            ) from None
        except OSError as error:
            raise HostError(
                f"no zerotier-one of {self._home} answers at {_ADDRESS}, TCP port {port} "
                f"({error.strerror or 'connection lost'}): start it, or see in its log why it ended"
            ) from None
        try:
            return _answer(method, received)
        except HTTPException:
            raise HostError(
                f"what answers at {_ADDRESS}, TCP port {port}, is no zerotier-one, or its answer "
                f"was cut short: see whether {self._home} is the home of the one that runs"
            ) from None

    def _port(self) -> int:
        found = self._read("zerotier-one.port")
        if not _PORT.fullmatch(found) or int(found) > 65_535:
            raise HostError(
                f"{self._home / 'zerotier-one.port'} holds no port: restart zerotier-one, which "
                "writes it"
            )
        return int(found)

    def _token(self) -> bytes:
        found = self._read("authtoken.secret")
        if not _TOKEN.fullmatch(found):
            raise HostError(
                f"{self._home / 'authtoken.secret'} holds no token: take it away and restart "
                "zerotier-one, which makes a new one"
            )
        return found

    def _read(self, name: str) -> bytes:
        path = self._home / name
        try:
            with path.open("rb") as file:
                return file.read(_CHUNK_BYTES).strip()
        except FileNotFoundError:
            raise HostError(
                f"there is no {path}: zerotier-one has not run with this home; start it, or "
                "check 'home'"
            ) from None
        except PermissionError:
            raise HostError(
                f"{path} may not be read by this user: run Orrery as root, or write sudo = true"
            ) from None
        except OSError as error:
            raise HostError(f"{path} cannot be read: {error.strerror}") from None


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(_ADDRESS, port)
    try:
        writer.write(request)
        await writer.drain()
        received = bytearray()
        while chunk := await reader.read(_CHUNK_BYTES):
            received += chunk
            if len(received) > LIMIT_BYTES:
                raise HostError(
                    f"what answers at {_ADDRESS}, TCP port {port}, sends more than "
                    f"{LIMIT_BYTES >> 20} MiB, which no zerotier-one does that Orrery can look "
                    "after"
                )
        return bytes(received)
    finally:
        writer.close()


class _Received:
    """What `HTTPResponse` wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _answer(method: Method, received: bytes) -> Answer:
    response = HTTPResponse(cast("socket", _Received(received)), method=method)
    try:
        response.begin()
        return Answer(response.status, response.read())
    except (ValueError, OverflowError) as error:  # a length that is no number, or a huge one
        raise HTTPException(str(error)) from None
    finally:
        response.close()
