"""Which key belongs to which World: what the World says, not what files are called."""

from orrery.errors import VerifyError
from orrery.wire.signature import is_over
from orrery.wire.world import World


def is_signed_by(world: World, public_key: bytes) -> bool:
    """Whether this key made the World's signature."""
    try:
        world.verify(public_key)
    except VerifyError:
        return False
    return True


def is_whole(world: World) -> bool:
    """Whether it is what somebody has signed, whoever that was: not altered, and not unsigned."""
    return is_over(world.signed_bytes(), world.signature)


def concerns(world: World, public_key: bytes) -> bool:
    """Whether this key signed the World or must sign the next one."""
    return world.updates_must_be_signed_by == public_key or is_signed_by(world, public_key)
