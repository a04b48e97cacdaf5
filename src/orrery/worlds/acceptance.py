"""Whether a node would take one World in place of another (ZeroTierOne node/World.hpp).

The rule is World::shouldBeReplacedBy, and nothing is added to it: neither the clock nor the roots
of the candidate matter to a node.
"""

from orrery.errors import RefusalReason, UpdateRefused, VerifyError
from orrery.wire.signature import fingerprint, is_over
from orrery.wire.world import UNSIGNED, World, WorldType
from orrery.worlds.wording import describe_timestamp, describe_type, describe_world

__all__ = ["RefusalReason", "UpdateRefused", "check_update"]


def check_update(current: World | None, candidate: World) -> None:
    """Check that a node which holds `current` would take `candidate`.

    Args:
        current: what the node holds; None for nothing, which anything replaces.
        candidate: what it is handed.

    Raises:
        UpdateRefused: it would not, with the first reason that the node finds.
    """
    if current is None or current.id == 0 or current.type == WorldType.NULL:
        return
    holder = f"a node that holds {describe_world(current)}"
    if candidate.type != current.type:
        raise UpdateRefused(
            f"{holder} refuses a {describe_type(candidate.type)}: an update has the same type",
            RefusalReason.OTHER_TYPE,
        )
    if candidate.id != current.id:
        raise UpdateRefused(
            f"{holder} refuses one with the id {candidate.id:016x}: an update keeps the id, and "
            "nodes change to another World by a new file only",
            RefusalReason.OTHER_ID,
        )
    if candidate.timestamp_ms <= current.timestamp_ms:
        raise _not_newer(holder, current, candidate)
    try:
        candidate.verify(current.updates_must_be_signed_by)
    except VerifyError:
        raise _wrong_signature(holder, current, candidate) from None


def _not_newer(holder: str, current: World, candidate: World) -> UpdateRefused:
    held = describe_timestamp(current.timestamp_ms)
    if candidate.timestamp_ms < current.timestamp_ms:
        return UpdateRefused(
            f"{holder} with timestamp {held} refuses an older one: its timestamp is "
            f"{describe_timestamp(candidate.timestamp_ms)}; sign its content again with a larger",
            RefusalReason.OLDER,
        )
    if candidate == current:
        return UpdateRefused(
            f"{holder} with timestamp {held} has no use for the same World again",
            RefusalReason.IDENTICAL,
        )
    return UpdateRefused(
        f"{holder} with timestamp {held} refuses a different one with the same timestamp: "
        "sign it with a larger timestamp",
        RefusalReason.SAME_TIMESTAMP,
    )


def _wrong_signature(holder: str, current: World, candidate: World) -> UpdateRefused:
    """All of it is one verdict for the node; for people it is told apart."""
    wanted = (
        f"{holder} with timestamp {describe_timestamp(current.timestamp_ms)} wants an update "
        f"signed by the key {fingerprint(current.updates_must_be_signed_by)}, and the one with "
        f"timestamp {describe_timestamp(candidate.timestamp_ms)}"
    )
    if candidate.signature == UNSIGNED:
        return UpdateRefused(f"{wanted} is not signed: sign it", RefusalReason.UNSIGNED)
    if not is_over(candidate.signed_bytes(), candidate.signature):
        return UpdateRefused(
            f"{wanted} was altered after it was signed: sign it again, or fetch it again",
            RefusalReason.ALTERED,
        )
    signer = (
        f"signed by {fingerprint(candidate.updates_must_be_signed_by)}"
        if candidate.is_self_signed
        else "not, nor by the key that it names itself"
    )
    return UpdateRefused(
        f"{wanted} is {signer}: hand over the revision that names its signer first, or sign it "
        "with the wanted key",
        RefusalReason.WRONG_SIGNATURE,
    )
