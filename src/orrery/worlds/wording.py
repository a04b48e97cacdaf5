"""How Worlds are called in sentences for people."""

from datetime import UTC, datetime, timedelta

from orrery.wire.world import World, WorldType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_WITH_A_DATE_MS = 253_402_300_799_999


def describe_timestamp(timestamp_ms: int) -> str:
    """A timestamp as a number, with its date where there is one."""
    if not 0 < timestamp_ms <= _LAST_WITH_A_DATE_MS:
        return str(timestamp_ms)
    date = _EPOCH + timedelta(milliseconds=timestamp_ms)
    return f"{timestamp_ms} ({date:%Y-%m-%d %H:%M:%S} UTC)"


def describe_type(world_type: WorldType) -> str:
    """`planet`, `moon` or, for type 0, what it amounts to."""
    return "World of type 0" if world_type == WorldType.NULL else world_type.name.lower()


def describe_world(world: World) -> str:
    """Type and id: `planet 0000000008eac90a`."""
    return f"{describe_type(world.type)} {world.id:016x}"
