"""A machine that loses power before a chosen step, or a disk that fails at it.

Every call that changes the disk, and every commit of a database, is a step. `MachineStops` is no
`Exception`, and after it every further step raises it again: no handler can clean up what a dead
machine could not. A machine that stops may also lose what was not forced to disk: bytes that were
written, and renames and removals whose directory was not synced. SQLite does its own syncing and is
trusted to.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

_RENAME = os.rename
_STEPS = (
    "chmod",
    "chown",
    "fchmod",
    "fchown",
    "fsync",
    "link",
    "mkdir",
    "rename",
    "replace",
    "rmdir",
    "unlink",
    "write",
)


class MachineStops(BaseException):
    """The power is gone."""


class Machine:
    """Counts the steps, and fails at one of them.

    Attributes:
        steps: The steps so far, by name.
    """

    def __init__(self, stop_before: int | None, fault: Callable[[], BaseException]) -> None:
        self.steps: list[str] = []
        self.stopped = False
        self._stop_before = stop_before
        self._fault = fault
        self._unsynced_bytes: dict[tuple[int, int], int] = {}
        self._unsynced_names: list[tuple[Path, Callable[[], None]]] = []

    def step(self, name: str) -> None:
        """Say that a step is about to be made."""
        if self.stopped:
            raise MachineStops
        if len(self.steps) == self._stop_before:
            self._stop_before = None
            fault = self._fault()
            self.stopped = isinstance(fault, MachineStops)
            raise fault
        self.steps.append(name)

    def wrote(self, descriptor: int) -> None:
        """Bytes went into a file."""
        found = os.fstat(descriptor)
        self._unsynced_bytes.setdefault((found.st_dev, found.st_ino), os.dup(descriptor))

    def synced(self, descriptor: int) -> None:
        """A file or a directory is safe on disk."""
        found = os.fstat(descriptor)
        kept = self._unsynced_bytes.pop((found.st_dev, found.st_ino), None)
        if kept is not None:
            os.close(kept)
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._unsynced_names = [kept for kept in self._unsynced_names if kept[0] != place]

    def removes(self, path: Path) -> None:
        """A name is about to go."""
        content, mode = path.read_bytes(), path.stat().st_mode

        def undo() -> None:
            path.write_bytes(content)
            path.chmod(mode)

        self._unsynced_names.append((path.parent.resolve(), undo))

    def renames(self, source: Path, target: Path) -> None:
        """A name is about to become another."""
        before = (target.read_bytes(), target.stat().st_mode) if target.exists() else None

        def undo() -> None:
            if target.exists():
                _RENAME(target, source)
            if before is not None:
                target.write_bytes(before[0])
                target.chmod(before[1])

        self._unsynced_names.append((target.parent.resolve(), undo))

    def lose(self) -> None:
        """Lose what is not safe on disk."""
        for descriptor in self._unsynced_bytes.values():
            os.ftruncate(descriptor, 0)
        for _, undo in reversed(self._unsynced_names):
            undo()

    def clear(self) -> None:
        """Let go of what was kept for `lose`."""
        for descriptor in self._unsynced_bytes.values():
            os.close(descriptor)
        self._unsynced_bytes.clear()
        self._unsynced_names.clear()


@contextmanager
def machine(
    stop_before: int | None = None,
    *,
    fault: Callable[[], BaseException] = MachineStops,
    loses: bool = False,
) -> Iterator[Machine]:
    """Run the body on a machine that fails before the step with this number, counted from 0.

    `MachineStops` ends the body and goes no further.
    """
    running = Machine(stop_before, fault)

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any, **kwargs: Any) -> Any:
            running.step(name)
            if name == "unlink" and Path(args[0]).exists():
                running.removes(Path(args[0]))
            if name in ("rename", "replace"):
                running.renames(Path(args[0]), Path(args[1]))
            result = call(*args, **kwargs)
            if name == "write":
                running.wrote(args[0])
            if name == "fsync":
                running.synced(args[0])
            return result

        return stepping

    def create(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT and not os.path.lexists(path):
            running.step("create")
        return opens(path, flags, *args, **kwargs)

    def commit(_connection: object) -> None:
        running.step("commit")

    opens = os.open
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in _STEPS:
                patch.setattr(os, name, wrap(name, getattr(os, name)))
            patch.setattr(os, "open", create)
            event.listen(Engine, "commit", commit)
            try:
                yield running
            except MachineStops:
                pass
            finally:
                event.remove(Engine, "commit", commit)
        if running.stopped and loses:
            running.lose()
    finally:
        running.clear()


def disk_full() -> OSError:
    """What the system says when the disk is full."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
