"""What a command writes, up to a bound."""

from orrery.errors import HostError

LIMIT_BYTES = 8 << 20
"""How much a command may write: a host that is broken or hostile must not fill the memory."""


class Collected:
    """Both outputs of one command.

    Attributes:
        where: What to call the host in an error.
        out: What it wrote to standard output.
        err: And to standard error.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.out = bytearray()
        self.err = bytearray()

    def add(self, data: bytes, *, error: bool) -> None:
        """Take what it wrote next.

        Args:
            data: The bytes.
            error: They came by standard error.

        Raises:
            HostError: It is too much in all.
        """
        if len(self.out) + len(self.err) + len(data) > LIMIT_BYTES:
            raise HostError(
                f"a command on {self.where} wrote more than {LIMIT_BYTES >> 20} MiB and was "
                "ended; whether it did its work is not known"
            )
        (self.err if error else self.out).extend(data)


def too_late(where: str, timeout_s: float) -> HostError:
    """The error for a command whose time is over."""
    return HostError(
        f"a command on {where} had not ended after {timeout_s:g} seconds and was given up; "
        "whether it did its work is not known"
    )
