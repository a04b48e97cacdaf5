"""Every exception Orrery raises on purpose.

    OrreryError                 code, exit_status
    ├── UsageError              2   the request itself makes no sense
    ├── DecodeError             3   bytes or text that are not what they claim to be
    ├── UnreadableError         3   a file or database that cannot be read or written
    │   └── ResolveError        3   a name that stands for no address, or for a wrong one
    ├── VerifyError             1   well-formed, but not valid: a signature, a proof of work
    │   └── UpdateRefused       1   a World that a node would not take in place of its own
    ├── PlanError               1   a wish that is not safe, or not there yet
    │   └── NothingNewError     1   a wish that is fulfilled already
    ├── HostError               1   a server that cannot be reached, or did not do what it was told
    ├── CustodyError            4   a private key that is missing, locked or exposed
    ├── ConflictError           5   somebody else was faster, or two records disagree
    └── ServiceError            70  a part of Orrery that failed at its own work

`code` is a stable word for programs, the message is one sentence for people: what is wrong, where,
and how to mend it. `exit_status` is what the command line ends with.
"""

from enum import StrEnum
from typing import ClassVar


class OrreryError(Exception):
    """Base of every error that Orrery raises on purpose."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 70


class UsageError(OrreryError):
    """The request itself makes no sense."""

    code = "usage"
    exit_status = 2


class DecodeError(OrreryError):
    """Bytes or text that are not what they claim to be."""

    code = "malformed"
    exit_status = 3


class UnreadableError(OrreryError):
    """A file or database that cannot be read or written."""

    code = "unreadable"
    exit_status = 3


class ResolveFailure(StrEnum):
    """Why it is not known at which addresses a name is."""

    NO_SUCH_NAME = "no-such-name"
    NO_ADDRESS = "no-address"
    TIMEOUT = "timeout"
    SERVER_FAILED = "server-failed"
    NO_SERVER = "no-server"
    UNUSABLE = "unusable"
    PRIVATE = "private"
    SHARED = "shared"
    TOO_MANY = "too-many"


class ResolveError(UnreadableError):
    """A name of the DNS that stands for no address, or for one that a World must not hold."""

    code = "unresolved"

    def __init__(self, message: str, reason: ResolveFailure) -> None:
        super().__init__(message)
        self.reason = reason


class VerifyError(OrreryError):
    """Well-formed, but not valid: a signature or a proof of work does not hold."""

    code = "not-valid"
    exit_status = 1


class RefusalReason(StrEnum):
    """Why a node would not take a World."""

    NULL_TYPE = "null-type"
    OTHER_TYPE = "other-type"
    OTHER_ID = "other-id"
    IDENTICAL = "identical"
    SAME_TIMESTAMP = "same-timestamp"
    OLDER = "older"
    UNSIGNED = "unsigned"
    ALTERED = "altered"
    WRONG_SIGNATURE = "wrong-signature"
    NOT_AWAITED = "not-awaited"


class UpdateRefused(VerifyError):  # noqa: N818 - the node's verdict, not its error
    """A World that a node would not take in place of the one it holds."""

    code = "update-refused"

    def __init__(self, message: str, reason: RefusalReason) -> None:
        super().__init__(message)
        self.reason = reason


class PlanError(OrreryError):
    """A wish that is not safe to carry out, or not there yet."""

    code = "not-safe"
    exit_status = 1


class NothingNewError(PlanError):
    """A wish that is fulfilled already: the newest revision says it."""

    code = "nothing-new"


class HostError(OrreryError):
    """A server that cannot be reached, or that did not do what it was told."""

    code = "host"
    exit_status = 1


class CustodyError(OrreryError):
    """A private key that is missing, locked or exposed."""

    code = "key"
    exit_status = 4


class ConflictError(OrreryError):
    """Somebody else was faster, or two records of one thing disagree."""

    code = "conflict"
    exit_status = 5


class ServiceError(OrreryError):
    """A part of Orrery that failed at its own work."""

    code = "service"
