import os
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orrery.server.supervisor import notify, watchdog_interval_s


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.setblocking(False)
        yield bound


def test_a_state_goes_to_the_socket_that_is_named(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # such a path has room for 107 bytes only
    listener.bind("notify")
    monkeypatch.setenv("NOTIFY_SOCKET", "notify")
    notify("READY=1")
    assert listener.recv(100) == b"READY=1"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_named_with_an_at(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"orrery-test-{uuid.uuid4()}"
    listener.bind(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    notify("STOPPING=1")
    assert listener.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("named", ["", "nobody-is-here", "/" + "x" * 200])
def test_nobody_to_tell_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", named)
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "interval_s"),
    [
        ("30000000", None, 15.0),
        ("30000000", "ours", 15.0),
        ("30000000", "another", None),
        ("0", None, None),
        ("soon", None, None),
        ("²", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(
    monkeypatch: pytest.MonkeyPatch,
    microseconds: str | None,
    pid: str | None,
    interval_s: float | None,
) -> None:
    pids = {"ours": str(os.getpid()), "another": str(os.getpid() + 1)}
    for name, value in (
        ("WATCHDOG_USEC", microseconds),
        ("WATCHDOG_PID", None if pid is None else pids[pid]),
    ):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == interval_s
