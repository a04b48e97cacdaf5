"""The seam between what is done on a host and how it is reached."""

from typing import NamedTuple, Protocol


class Finished(NamedTuple):
    """A command that ended.

    Attributes:
        status: Its exit status; 128 and the signal's number if a signal ended it.
        out: What it wrote to standard output.
        err: And to standard error.
    """

    status: int
    out: bytes
    err: bytes


class Shell(Protocol):
    """Runs POSIX shell commands on a host, with nothing else expected there than its `sh`.

    Attributes:
        where: What to call the host in an error: "this machine", "root@203.0.113.7".
    """

    where: str

    async def run(self, command: str, data: bytes = b"", *, timeout_s: float = 30) -> Finished:
        """Run a command to its end.

        Args:
            command: For `sh -c`.
            data: Its standard input, any bytes.
            timeout_s: How long it may take.

        Returns:
            How it ended, whatever its exit status.

        Raises:
            HostError: The connection was lost, the time is over, or it wrote more than 8 MiB;
                whether it did its work is not known.
        """
        ...
