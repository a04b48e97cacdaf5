import asyncio
import os
import signal
from pathlib import Path

import pytest

from orrery.errors import HostError
from orrery.fleet.collecting import LIMIT_BYTES
from orrery.fleet.local_shell import LocalShell
from orrery.fleet.shell import Shell

SHELL: Shell = LocalShell()


async def test_what_it_writes_and_how_it_ends() -> None:
    assert await SHELL.run("printf out; printf err >&2; exit 7") == (7, b"out", b"err")


async def test_any_bytes_go_in_and_come_out() -> None:
    data = bytes(range(256)) * 4096

    assert await SHELL.run("cat", data) == (0, data, b"")


async def test_standard_input_ends() -> None:
    assert await SHELL.run("wc -c") == (0, b"0\n", b"")


async def test_a_command_that_does_not_read_its_input() -> None:
    assert await SHELL.run("exit 3", bytes(1 << 20)) == (3, b"", b"")


async def test_a_signal_is_told_as_a_shell_does() -> None:
    assert (await SHELL.run("kill -TERM $$")).status == 128 + signal.SIGTERM


async def test_a_command_that_is_no_command() -> None:
    finished = await SHELL.run("if")

    assert finished.status != 0
    assert finished.err


async def test_when_the_time_is_over_all_of_it_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))

    # Both processes hold the fifo open: it ends when neither lives.
    with pytest.raises(HostError, match=r"on this machine had not ended after 0\.2 seconds"):
        await SHELL.run(f"exec 3>{fifo}; (sleep 1000; :) | (sleep 1000; :)", timeout_s=0.2)

    assert await reading == b""


async def test_who_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    running = asyncio.create_task(SHELL.run(f"exec 3>{fifo}; sleep 1000; :"))
    with await asyncio.to_thread(fifo.open, "rb") as reader:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(reader.read) == b""


async def test_who_is_called_off_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    """At every turn of the event loop until it has started."""
    for turns in range(12):
        fifo = tmp_path / f"fifo-{turns}"
        os.mkfifo(fifo)
        with os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
            running = asyncio.create_task(SHELL.run(f"exec 3>{fifo}; sleep 1000; :"))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            os.set_blocking(reader.fileno(), True)
            assert await asyncio.to_thread(reader.read) == b""


async def test_what_it_left_in_the_background_goes_on(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    assert await SHELL.run(f"(echo late >{fifo}) >/dev/null 2>&1 &") == (0, b"", b"")

    assert await asyncio.to_thread(fifo.read_text) == "late\n"


async def test_too_much_output() -> None:
    with pytest.raises(HostError, match="wrote more than 8 MiB"):
        await SHELL.run("cat /dev/zero")


async def test_as_much_output_as_may_be() -> None:
    finished = await SHELL.run(f"head -c {LIMIT_BYTES} /dev/zero")

    assert len(finished.out) == LIMIT_BYTES


async def test_a_command_with_a_zero_byte() -> None:
    with pytest.raises(HostError, match="no command can be started on this machine"):
        await SHELL.run("echo \0")
