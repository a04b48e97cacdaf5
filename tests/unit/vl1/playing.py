"""Friends: nodes that a test plays by hand against a node of ours."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple, TypeVar

from orrery.errors import VerifyError
from orrery.lab.chains import ChainMaker, root_of, table_of
from orrery.lab.identities import check_unproven, make_unproven_identity
from orrery.lab.seeded import seeded_entropy
from orrery.vl1.events import Drop, Event, Output, PacketDropped
from orrery.vl1.fragments import Reassembler
from orrery.vl1.path import Path
from orrery.vl1.push import PushSettings
from orrery.vl1.root import RootLimits, RootNode
from orrery.wire.address import Address
from orrery.wire.cipher import CipherSuite, SharedKeys
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.packet import (
    FLAG_FRAGMENTED,
    FLAGS_OFFSET,
    FRAGMENT_INDICATOR,
    FRAGMENT_INDICATOR_OFFSET,
    Fragment,
    Packet,
    Verb,
    encode_packet,
    header_destination,
    header_source,
    is_fragmented_size,
    split,
)
from orrery.wire.verbs import Hello, Ok, OkHello, Version, WorldHeld
from orrery.wire.world import Root, World, WorldType

START_MS = 1_700_000_000_000
PLANET_ID = 0x1234567890ABCDEF
MOON_ID = 0xFEDCBA0987654321
ROOT_ENDPOINT = Endpoint.from_text("203.0.113.1/9993")
VERSION = Version(1, 14, 1)
EventT = TypeVar("EventT")


@cache
def identity_of(name: int | str) -> Identity:
    return make_unproven_identity(name)


@cache
def agreement_between(one: int | str, other: Identity) -> bytes:
    return identity_of(one).agree(other)


def endpoint_of(number: int) -> Endpoint:
    """A public endpoint, each in its own /24."""
    return Endpoint(bytes((30, number >> 8 & 0xFF, number & 0xFF, 9)), 9993)


class Sent(NamedTuple):
    """A packet that was sent to a friend, in the clear."""

    to: Path
    packet: Packet
    size: int

    @property
    def ok(self) -> Ok:
        assert self.packet.verb == Verb.OK
        return Ok.decode(self.packet.payload)

    @property
    def worlds(self) -> tuple[World, ...]:
        ok = self.ok
        assert ok.verb == Verb.HELLO
        return OkHello.decode(ok.body).worlds


class Friend:
    """A node of the lab, with the keys that it shares with a node of ours."""

    def __init__(
        self, name: int | str, ours: Identity, *, protocol: int = 12, path: Path | None = None
    ) -> None:
        self.identity = identity_of(name)
        self.address: Address = self.identity.address
        self.ours = ours.public()
        self.keys = SharedKeys(agreement_between(name, self.ours))
        self.protocol = protocol
        number = name if isinstance(name, int) else 0xFF00 + len(name)
        self.path = path or Path(endpoint_of(number))
        self._entropy = seeded_entropy(f"friend {name}")

    def __repr__(self) -> str:
        return f"Friend({self.address:010x})"

    def hello(
        self,
        now_ms: int = START_MS,
        planet: WorldHeld = WorldHeld(0, 0),  # noqa: B008 - immutable
        moons: Iterable[WorldHeld] = (),
        *,
        hops: int = 0,
        suite: CipherSuite = CipherSuite.POLY1305_NONE,
        identity: Identity | None = None,
    ) -> bytes:
        packet_id = self._entropy(8)
        made = Hello(
            self.protocol,
            VERSION,
            now_ms,
            identity or self.identity.public(),
            ROOT_ENDPOINT,
            planet,
            tuple(moons),
        )
        payload = made.encode(lambda field: self.keys.crypt_field(field, packet_id))
        return self.packet(Verb.HELLO, payload, suite=suite, hops=hops, packet_id=packet_id)

    def packet(
        self,
        verb: int,
        payload: bytes = b"",
        *,
        suite: CipherSuite | None = None,
        hops: int = 0,
        packet_id: bytes | None = None,
    ) -> bytes:
        """One datagram; a large packet must be sent by `fragments`."""
        datagram, *rest = self.fragments(verb, payload, suite=suite, hops=hops, packet_id=packet_id)
        assert not rest
        return datagram

    def fragments(
        self,
        verb: int,
        payload: bytes,
        *,
        suite: CipherSuite | None = None,
        hops: int = 0,
        packet_id: bytes | None = None,
    ) -> list[bytes]:
        if suite is None:
            aes = self.protocol >= 12
            suite = CipherSuite.AES_GMAC_SIV if aes else CipherSuite.POLY1305_SALSA2012
        packet_id = packet_id or self._entropy(8)
        plain = bytearray(
            encode_packet(packet_id, self.ours.address, self.address, verb, payload, hops=hops)
        )
        plain[FLAGS_OFFSET] |= FLAG_FRAGMENTED * is_fragmented_size(len(plain))
        return split(self.keys.armor(bytes(plain), suite))

    def ok(
        self, question: Packet, body: bytes = b"", *, verb: int | None = None, hops: int = 0
    ) -> list[bytes]:
        answered = question.verb if verb is None else verb
        return self.fragments(Verb.OK, Ok(answered, question.id, body).encode(), hops=hops)

    def ok_hello(self, question: Packet, *worlds: World, now_ms: int = START_MS) -> list[bytes]:
        body = OkHello(now_ms, self.protocol, VERSION, ROOT_ENDPOINT, worlds).encode()
        return self.ok(question, body, verb=Verb.HELLO)

    def read_hello(self, packet: Packet) -> Hello:
        return Hello.decode(packet.payload, lambda field: self.keys.crypt_field(field, packet.id))


class Reply:
    """What a node of ours did."""

    def __init__(self, output: Output) -> None:
        self.datagrams = output.datagrams
        self.events: list[Event] = output.events
        self.proofs = output.proofs

    def to(self, friend: Friend) -> list[Sent]:
        """The packets that ours made for a friend."""
        reassembler = Reassembler()
        found = []
        for datagram, path in self.datagrams:
            if header_destination(datagram) != friend.address:
                continue
            whole: bytes | None = datagram
            if datagram[FRAGMENT_INDICATOR_OFFSET] == FRAGMENT_INDICATOR:
                whole = reassembler.add(Fragment.decode(datagram), 0)
            elif header_source(datagram) != friend.ours.address:
                continue
            elif datagram[FLAGS_OFFSET] & FLAG_FRAGMENTED:
                whole = reassembler.add_head(datagram, 0)
            if whole is not None:
                packet = Packet.decode(friend.keys.dearmor(whole)).uncompress()
                found.append(Sent(path, packet, len(whole)))
        return found

    def verbs(self, friend: Friend) -> list[int]:
        return [sent.packet.verb for sent in self.to(friend)]

    def one(self, friend: Friend, verb: Verb) -> Sent:
        """The only packet of a verb for a friend."""
        (sent,) = [sent for sent in self.to(friend) if sent.packet.verb == verb]
        return sent

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def drops(self) -> list[Drop]:
        return [event.reason for event in self.of(PacketDropped)]

    def bytes_to(self, path: Path) -> int:
        return sum(len(datagram) for datagram, to in self.datagrams if to == path)


def make_planet(
    *endpoints: Endpoint, roots: Iterable[Root] = (), seed: int | str = "planet"
) -> ChainMaker:
    """A planet of our root, and of others."""
    ours = root_of(identity_of("root"), *(endpoints or (ROOT_ENDPOINT,)))
    return ChainMaker(
        WorldType.PLANET, PLANET_ID, [ours, *roots], seeded_entropy(seed), START_MS - 10_000_000
    )


def make_moon(roots: Iterable[Root] = ()) -> ChainMaker:
    ours = root_of(identity_of("root"), ROOT_ENDPOINT)
    return ChainMaker(
        WorldType.MOON, MOON_ID, [ours, *roots], seeded_entropy("moon"), START_MS - 9_000_000
    )


def held(world: World) -> WorldHeld:
    return WorldHeld(world.id, world.timestamp_ms)


class Play:
    """A root, and what is done to it."""

    def __init__(
        self,
        *makers: ChainMaker,
        push: PushSettings = PushSettings(),  # noqa: B008 - immutable
        limits: RootLimits = RootLimits(),  # noqa: B008
        now_ms: int = START_MS,
    ) -> None:
        self.makers = makers or (make_planet(),)
        self.identity = identity_of("root")
        self.now_ms = now_ms
        self.root = RootNode(
            self.identity,
            seeded_entropy("root"),
            table_of(*self.makers),
            now_ms,
            push=push,
            limits=limits,
        )
        self._friends = 0

    @property
    def maker(self) -> ChainMaker:
        return self.makers[0]

    def friend(
        self, name: int | str | None = None, *, protocol: int = 12, path: Path | None = None
    ) -> Friend:
        self._friends += 1
        return Friend(name or self._friends, self.identity, protocol=protocol, path=path)

    def give(
        self,
        datagrams: bytes | list[bytes],
        path: Path,
        *,
        proven: bool | None = None,
        check: bool = True,
    ) -> Reply:
        """A packet; proofs are done at once."""
        for datagram in datagrams if isinstance(datagrams, list) else [datagrams]:
            self.root.receive(datagram, path, self.now_ms)
        output = self.root.drain()
        for proof in output.proofs if check else ():
            holds = proven
            if holds is None:
                try:
                    check_unproven(proof.identity)
                except VerifyError:
                    holds = False
                else:
                    holds = True
            self.root.proof_done(proof.identity, holds, self.now_ms)
            late = self.root.drain()
            output.datagrams.extend(late.datagrams)
            output.events.extend(late.events)
        return Reply(output)

    def meet(
        self,
        friend: Friend,
        planet: WorldHeld | None = None,
        moons: Iterable[WorldHeld] = (),
        *,
        confirm: bool = True,
    ) -> Reply:
        """HELLO from a friend, which answers the HELLO of ours and so has a path."""
        reply = self.give(
            friend.hello(self.now_ms, held(self.maker.newest) if planet is None else planet, moons),
            friend.path,
        )
        if confirm:
            question = reply.one(friend, Verb.HELLO).packet
            reply.events += self.give(friend.ok_hello(question), friend.path).events
        return reply

    def wait(self, milliseconds: int) -> Reply:
        """Let time pass; what is due is done at the end."""
        self.now_ms += milliseconds
        self.root.tick(self.now_ms)
        return Reply(self.root.drain())

    def publish(self) -> Reply:
        """Serve what the makers have signed."""
        self.root.publish(table_of(*self.makers), self.now_ms)
        return Reply(self.root.drain())
