"""What a zerotier-one tells of itself: the answers of its local HTTP API.

Facts: ZeroTierOne service/OneService.cpp 1.14.1. Keys that are not known are passed over, and those
that older versions do not have may be missing. Times are milliseconds of the node's own clock, 0
for never.
"""

import json
from typing import Annotated, Any, Self

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
)

from orrery.errors import DecodeError
from orrery.wire.address import Address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity

_MOST_U64 = 2**64 - 1


def _read_address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("an address is a text")
    return parse_address(value)


def _read_identity(value: object) -> object:
    return Identity.from_string(value) if isinstance(value, str) else value


def _read_endpoint(value: object) -> object:
    return Endpoint.parse_as_node(value) if isinstance(value, str) else value


def _read_world_id(value: object) -> object:
    return int(value, 16) if isinstance(value, str) else value


def _read_hex(value: object) -> object:
    return bytes.fromhex(value) if isinstance(value, str) else value


def _read_latency(value: object) -> object:
    return None if isinstance(value, int) and value < 0 else value


def _read_version(value: object) -> object:
    """A node that has not been heard of says "-1.-1.-1"."""
    return None if isinstance(value, str) and value.startswith("-") else value


_Address = Annotated[Address, BeforeValidator(_read_address)]
_Identity = Annotated[InstanceOf[Identity], BeforeValidator(_read_identity)]
_Endpoint = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_endpoint)]
_U64 = Annotated[int, Field(ge=0, le=_MOST_U64)]
_WorldId = Annotated[_U64, BeforeValidator(_read_world_id)]
_Bytes = Annotated[bytes, BeforeValidator(_read_hex)]


def _setting(name: str) -> AliasPath:
    return AliasPath("config", "settings", name)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one of these.

        Args:
            data: JSON.

        Raises:
            DecodeError: It is something else.
        """
        return cls._read(_json(data))

    @classmethod
    def parse_list(cls, data: bytes) -> tuple[Self, ...]:
        """Read a list of these.

        Args:
            data: JSON.

        Raises:
            DecodeError: It is something else.
        """
        found = _json(data)
        if not isinstance(found, list):
            raise DecodeError(f"this is no list of a zerotier-one: {_clipped(data)}")
        return tuple(cls._read(each) for each in found)

    @classmethod
    def _read(cls, value: object) -> Self:
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in detail["loc"]) or "all of it"
            raise DecodeError(
                f"what a zerotier-one tells of its {cls.__name__.lower()} is not as expected, at "
                f"{where}: {detail['msg'][:100]}"
            ) from None


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise DecodeError(f"this is no JSON, as a zerotier-one answers: {_clipped(data)}") from None


def _clipped(data: bytes) -> str:
    text = data[:60].decode("ascii", "replace")
    return repr(text) + ("…" if len(data) > 60 else "")


class Status(_Answer):
    """`GET /status`: the node itself.

    Attributes:
        address: Its address.
        identity: Its public identity.
        online: Whether it heard from a root lately; lags by up to five seconds, and stays true for
            minutes after the roots are gone.
        clock_ms: Its clock.
        planet_id: The id of the planet that it works with, whatever its file says.
        planet_timestamp_ms: The timestamp of that planet.
        version: Of zerotier-one, such as "1.14.1".
        tcp_fallback: Whether it talks over a relay by TCP, because UDP goes nowhere.
        primary_port: Where it receives, and where this API is.
        listening_on: Addresses that it is bound to, as it writes them.
        surface_addresses: Where others see it, as it writes them.
        home: Its home directory, as it sees it.
    """

    address: _Address
    identity: Annotated[_Identity | None, Field(alias="publicIdentity")] = None
    online: bool = False
    clock_ms: Annotated[_U64, Field(alias="clock")] = 0
    planet_id: Annotated[_U64, Field(alias="planetWorldId")] = 0
    planet_timestamp_ms: Annotated[_U64, Field(alias="planetWorldTimestamp")] = 0
    version: str = ""
    tcp_fallback: Annotated[bool, Field(alias="tcpFallbackActive")] = False
    primary_port: Annotated[int, Field(validation_alias=_setting("primaryPort"))] = 0
    listening_on: Annotated[tuple[str, ...], Field(validation_alias=_setting("listeningOn"))] = ()
    surface_addresses: Annotated[
        tuple[str, ...], Field(validation_alias=_setting("surfaceAddresses"))
    ] = ()
    home: Annotated[str, Field(validation_alias=_setting("homeDir"))] = ""


class PeerPath(_Answer):
    """A way to a peer.

    Attributes:
        endpoint: Where the peer is.
        active: Whether it was used lately; an expired path is not.
        preferred: Whether it is the one in use.
        last_send_ms: When something went there.
        last_receive_ms: When something came from there.
    """

    endpoint: Annotated[_Endpoint, Field(alias="address")]
    active: bool = False
    preferred: bool = False
    last_send_ms: Annotated[int, Field(alias="lastSend")] = 0
    last_receive_ms: Annotated[int, Field(alias="lastReceive")] = 0


class Peer(_Answer):
    """An entry of `GET /peer`: another node that this one knows.

    Attributes:
        address: Its address.
        role: PLANET or MOON for a root of what this node holds, else LEAF.
        version: Of its zerotier-one; None when it has not said.
        latency_ms: Of the best path; None when it is not known.
        paths: The ways to it; with none, it is reached through a root.
    """

    address: _Address
    role: str = "LEAF"
    version: Annotated[str | None, BeforeValidator(_read_version)] = None
    latency_ms: Annotated[int | None, BeforeValidator(_read_latency), Field(alias="latency")] = None
    paths: tuple[PeerPath, ...] = ()

    @property
    def is_root(self) -> bool:
        """Whether it is a root of the planet, or of a moon, that this node holds."""
        return self.role in ("PLANET", "MOON")

    @property
    def path(self) -> PeerPath | None:
        """The way in use, if there is one."""
        for path in self.paths:
            if path.preferred:
                return path
        return next((path for path in self.paths if path.active), None)


class MoonRoot(_Answer):
    """A root of a moon.

    Attributes:
        identity: Its public identity.
        endpoints: Where it is.
    """

    identity: _Identity
    endpoints: Annotated[tuple[_Endpoint, ...], Field(alias="stableEndpoints")] = ()


class Moon(_Answer):
    """An entry of `GET /moon`: a moon that the node holds or waits for.

    Attributes:
        id: Its id.
        timestamp_ms: The timestamp of the revision that it holds; 0 while it waits.
        waiting: Whether it only waits for it.
        roots: Its roots; none while it waits.
        updates_must_be_signed_by: The key of its next revision, 64 bytes; None while it waits.
        signature: 96 bytes; None while it waits.
    """

    id: _WorldId
    timestamp_ms: Annotated[_U64, Field(alias="timestamp")] = 0
    waiting: bool = False
    roots: tuple[MoonRoot, ...] = ()
    updates_must_be_signed_by: Annotated[_Bytes | None, Field(alias="updatesMustBeSignedBy")] = None
    signature: _Bytes | None = None
