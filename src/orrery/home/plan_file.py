"""Plan files: a plan with the exact bytes of every revision, to sign elsewhere and to apply here.

    {
      "format": "orrery-plan", "version": 1,
      "made_at_ms": 1790000000000,
      "world": "home",                        how `orrery.toml` calls it
      "start": "…",                           the signed World that the plan starts from, hex
      "order": {…},                           the plan, and how it is carried out; see
                                              `orrery.rollout.order`
      "told": {"gone": [], "in_turn": [], "official": [], "exempt": [], "next_key": null,
               "spare_root": true},
      "revisions": [
        {
          "timestamp_ms": 1790000000001,      allocated for this revision and for nothing else
          "signer": "bjwn-qtsv-…",            fingerprint of the key that must sign
          "to_sign": "…",                     what is signed: 0x7f × 8, the World, 0xf7 × 8, hex
          "signature": null                   or 96 bytes in hex
        }
      ],
      "digest": "…"                           SHA-256 of all of it but the signatures
    }

What a person is shown before signing is made of the bytes to sign, never of words in the file.
The digest tells of damage and careless edits; what was forged is found by whoever applies the file,
who plans anew and compares.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from orrery.errors import ConflictError, CustodyError, DecodeError, PlanError, VerifyError
from orrery.home.home import Home
from orrery.home.planning import Planned, Told, make_plan
from orrery.home.resolving import Resolver
from orrery.home.unsettled import check_settled
from orrery.rollout.fields import (
    Fields,
    read_address,
    read_bytes,
    read_flag,
    read_list,
    read_number,
    read_sized,
    read_text,
)
from orrery.rollout.order import Order
from orrery.rollout.plan import Plan, Refusal
from orrery.wire.address import format_address
from orrery.wire.signature import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, fingerprint
from orrery.wire.world import UNSIGNED, World
from orrery.worlds.wording import describe_timestamp, describe_world

FORMAT = "orrery-plan"
VERSION = 1
MAX_PLAN_BYTES = 64 << 20
"""A plan names every node of the fleet: about 13 bytes for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan, and the revisions that it makes.

    Attributes:
        made_at_ms: When it was made.
        world: How `orrery.toml` calls the World.
        start: The signed World that it starts from.
        order: The plan, and how it is to be carried out.
        told: What a person said when it was made.
        revisions: The World of each step, unsigned as long as nobody signed it.
    """

    made_at_ms: int
    world: str
    start: World
    order: Order
    told: Told
    revisions: tuple[World, ...]

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.order.plan

    @property
    def signed_order(self) -> Order:
        """The order with the Worlds that were signed."""
        return replace(
            self.order,
            signed=tuple(
                None if world.signature == UNSIGNED else world.encode() for world in self.revisions
            ),
        )

    @property
    def unsigned(self) -> tuple[int, ...]:
        """The numbers of the steps that nobody has signed yet, from 1."""
        return tuple(
            number
            for number, world in enumerate(self.revisions, start=1)
            if world.signature == UNSIGNED
        )

    def sign(self, keys: Iterable[SigningKey]) -> Self:
        """Sign those revisions that one of these keys must sign.

        Raises:
            VerifyError: A private key does not belong to its public key.
        """
        by_public = {key.public: key for key in keys}
        signed = [
            world.sign(by_public[step.signed_by])
            if world.signature == UNSIGNED and step.signed_by in by_public
            else world
            for step, world in zip(self.plan.steps, self.revisions, strict=True)
        ]
        return replace(self, revisions=tuple(signed))

    def verify_signatures(self) -> None:
        """Check every signature that is there.

        Raises:
            VerifyError: One was not made by the key that must sign, or for other bytes.
        """
        for step, world in zip(self.plan.steps, self.revisions, strict=True):
            if world.signature == UNSIGNED:
                continue
            try:
                world.verify(step.signed_by)
            except VerifyError as error:
                raise VerifyError(
                    f"the signature of step {step.number} does not hold, and must be that of "
                    f"{fingerprint(step.signed_by)} ({error}): sign the file again with that key"
                ) from None

    def to_json(self) -> str:
        """The form above."""
        data = self._unsigned_data()
        data["digest"] = _digest(data)
        for told, world in zip(data["revisions"], self.revisions, strict=True):
            if world.signature != UNSIGNED:
                told["signature"] = world.signature.hex()
        return json.dumps(data, indent=1) + "\n"

    def _unsigned_data(self) -> dict[str, Any]:
        told = self.told
        return {
            "format": FORMAT,
            "version": VERSION,
            "made_at_ms": self.made_at_ms,
            "world": self.world,
            "start": self.start.encode().hex(),
            "order": json.loads(self.order.to_json()),
            "told": {
                "gone": list(told.gone),
                "in_turn": [list(pair) for pair in told.in_turn],
                "official": list(told.official),
                "exempt": [format_address(address) for address in told.exempt],
                "next_key": None if told.next_key is None else told.next_key.hex(),
                "spare_root": told.spare_root,
            },
            "revisions": [
                {
                    "timestamp_ms": world.timestamp_ms,
                    "signer": fingerprint(step.signed_by),
                    "to_sign": world.signed_bytes().hex(),
                    "signature": None,
                }
                for step, world in zip(self.plan.steps, self.revisions, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read that form; whether its signatures hold is another question.

        Raises:
            DecodeError: It is something else, was damaged, or contradicts itself.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise DecodeError("this is no plan file: it is not JSON") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DecodeError("this is no plan file: make one with `orrery plan --out`")
        if data.get("version") != VERSION:
            raise DecodeError(
                f"this plan file has version {data.get('version')!r}, and this Orrery knows "
                f"version {VERSION}: use one version of Orrery on both machines"
            )
        _check_digest(data)
        with Fields(data, "the plan file") as fields:
            for known in ("format", "version", "digest"):
                fields.take(known, lambda value: value)
            order = fields.take("order", _read_order)
            found = cls(
                made_at_ms=fields.take("made_at_ms", read_number),
                world=fields.take("world", read_text),
                start=fields.take("start", _read_world),
                order=order,
                told=fields.take("told", _read_told),
                revisions=tuple(
                    _revisions(order.plan, fields.take("revisions", read_list(_Revision.from_data)))
                ),
            )
        found._check()
        return found

    def _check(self) -> None:
        """Check what makes of its parts one chain."""
        plan, start = self.plan, self.start
        if (start.type, start.id) != (plan.type, plan.id) or (
            start.timestamp_ms,
            start.signature,
        ) != (plan.start_ms, plan.start_signature):
            raise DecodeError(_contradiction("the revision that it starts from is another one"))
        names, last_ms = start.updates_must_be_signed_by, start.timestamp_ms
        for step, world in zip(plan.steps, self.revisions, strict=True):
            if step.signed_by != names:
                raise DecodeError(
                    _contradiction(f"step {step.number} is signed by a key that is not its turn")
                )
            if world.timestamp_ms <= last_ms:
                raise DecodeError(
                    _contradiction(f"the timestamp of step {step.number} is not the larger one")
                )
            names, last_ms = step.names, world.timestamp_ms


def make_plan_file(home: Home, planned: Planned, now_ms: int) -> PlanFile:
    """Make the file of a plan; the timestamps that its revisions get are used up by that.

    Args:
        home: The home, open as a writer.
        planned: The plan.
        now_ms: The clock.

    Raises:
        PlanError: There is no plan, it has no step, or the home was restored and it is not known
            what was published since.
    """
    home.check_writer()
    check_settled(home)
    order = planned.order
    if not order.plan.steps:
        raise PlanError("this plan has no step, so there is nothing to sign")
    return PlanFile(
        made_at_ms=now_ms,
        world=planned.world.name,
        start=planned.chain.newest,
        order=order,
        # The key to be named may be taken out of the home until the file is applied.
        told=replace(planned.told, next_key=planned.wish.key),
        revisions=tuple(
            order.plan.world(step, home.store.allocate_timestamp(planned.world.id, now_ms))
            for step in order.plan.steps
        ),
    )


def check_plan_file(
    home: Home, file: PlanFile, now_ms: int, resolver: Resolver | None = None
) -> Planned:
    """Check a plan file against what the home publishes, wants and knows now.

    Args:
        home: The home.
        file: The file.
        now_ms: The clock.
        resolver: Tells what names stand for; the DNS when left out.

    Returns:
        What is planned now, which is the same plan, for the fleet as it is now.

    Raises:
        ConflictError: It is for another World or chain, or the chain has moved on.
        VerifyError: A signature does not hold.
        PlanError: `orrery.toml` or the fleet has changed, so that another plan would be made now.
    """
    settings = home.settings()
    world = next((each for each in settings.worlds if each.id == file.plan.id), None)
    if world is None:
        names = ", ".join(f"{each.name} {each.id:016x}" for each in settings.worlds)
        raise ConflictError(
            f"this plan is for {describe_world(file.start)}, and this home has {names}: apply it "
            "in the home where it was made"
        )
    _check_start(home, file, world.name)
    file.verify_signatures()
    planned = make_plan(home, world.name, now_ms, file.told, resolver)
    if isinstance(planned.answer, Refusal):
        raise PlanError(
            f"{_STALE}: what orrery.toml wants is refused now, as `orrery plan` explains "
            f"({'; '.join(planned.answer.sentences)})"
        )
    if planned.order != replace(file.order, plan=planned.answer):
        raise PlanError(f"{_STALE}: [rollout] in orrery.toml says other cohorts or times; {_AGAIN}")
    _check_steps(file.plan, planned.answer)
    return planned


def signers_here(home: Home, file: PlanFile) -> list[SigningKey]:
    """The keys of a home for what nobody has signed yet.

    Raises:
        CustodyError: A key is not here, or is locked and no passphrase opens it.
    """
    found: dict[bytes, SigningKey] = {}
    for number in file.unsigned:
        public = file.plan.steps[number - 1].signed_by
        known = [key.public for key in home.keys.keys(file.plan.id)]
        if public not in known and None not in known:
            raise CustodyError(
                f"step {number} is not signed, and the key {fingerprint(public)} is not in "
                f"{home.keys.directory}: sign the file where that key is, with `orrery key sign`"
            )
        if public not in found:
            found[public] = home.keys.signer_for(file.plan.id, public)
    return list(found.values())


_AGAIN = "make a new one with `orrery plan --out`, and have that signed"
_STALE = "this plan is out of date"


def _check_start(home: Home, file: PlanFile, name: str) -> None:
    newest = home.store.newest(file.plan.id)
    if newest is not None and newest.world == file.start:
        return
    revisions = () if newest is None else home.store.chain(file.plan.id).revisions
    if file.start not in revisions:
        raise ConflictError(
            f"this plan is for another chain of {name!r}: it starts from revision "
            f"{describe_timestamp(file.start.timestamp_ms)}, which this home never published; "
            f"apply it in the home where it was made"
        )
    since = revisions[revisions.index(file.start) + 1 :]
    if file.revisions and file.revisions[-1].timestamp_ms in {each.timestamp_ms for each in since}:
        raise ConflictError("this plan was applied already: its last revision is published")
    count = f"{len(since)} revision{'s were' if len(since) > 1 else ' was'}"
    raise ConflictError(
        f"the chain of {name!r} has moved on: {count} published since this plan was made; {_AGAIN}"
    )


def _check_steps(old: Plan, new: Plan) -> None:
    """Refuse a plan that would be another one now; who is in the fleet may have changed."""
    if _goal(old) != _goal(new):
        raise PlanError(
            f"{_STALE}: orrery.toml or the DNS wants other roots, or another key is "
            f"to be named; {_AGAIN}"
        )
    if len(old.steps) != len(new.steps) or old.finish != new.finish:
        raise PlanError(f"{_STALE}: the way is another one now ({len(new.steps)} steps); {_AGAIN}")
    for one, other in zip(old.steps, new.steps, strict=True):
        if replace(one, forced=()) != replace(other, forced=()):
            raise PlanError(
                f"{_STALE}: step {one.number} would be another one now, in what it publishes or "
                f"in what it waits for; {_AGAIN}"
            )


def _goal(plan: Plan) -> object:
    return (plan.steps[-1].roots, plan.steps[-1].names) if plan.steps else None


@dataclass(frozen=True, slots=True)
class _Revision:
    timestamp_ms: int
    signer: str
    to_sign: bytes
    signature: bytes | None

    @classmethod
    def from_data(cls, data: object) -> Self:
        with Fields(data, "a revision") as fields:
            return cls(
                fields.take("timestamp_ms", read_number),
                fields.take("signer", read_text),
                fields.take("to_sign", read_bytes),
                fields.take(
                    "signature",
                    lambda value: None if value is None else read_sized(SIGNATURE_BYTES)(value),
                ),
            )


def _revisions(plan: Plan, told: tuple[_Revision, ...]) -> Iterator[World]:
    """The Worlds of the steps, of which the bytes to sign must be the bytes."""
    if len(told) != len(plan.steps):
        raise DecodeError(
            _contradiction(f"it has {len(plan.steps)} steps and {len(told)} revisions")
        )
    for step, revision in zip(plan.steps, told, strict=True):
        world = plan.world(step, revision.timestamp_ms)
        if world.signed_bytes() != revision.to_sign:
            raise DecodeError(
                _contradiction(f"the bytes to sign are not the World of step {step.number}")
            )
        if revision.signer != fingerprint(step.signed_by):
            raise DecodeError(_contradiction(f"step {step.number} names another signer"))
        yield world if revision.signature is None else replace(world, signature=revision.signature)


def _contradiction(what: str) -> str:
    return f"this plan file contradicts itself, {what}: make a new one with `orrery plan --out`"


def _check_digest(data: dict[str, Any]) -> None:
    revisions = data.get("revisions")
    plain = {name: value for name, value in data.items() if name != "digest"}
    if isinstance(revisions, list):
        plain["revisions"] = [
            {**each, "signature": None} if isinstance(each, dict) else each for each in revisions
        ]
    if data.get("digest") != _digest(plain):
        raise DecodeError(
            "this plan file was changed after it was made: fetch it again, or make a new one with "
            "`orrery plan --out`"
        )


def _digest(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_world(data: object) -> World:
    return World.decode(read_bytes(data))


def _read_order(data: object) -> Order:
    order = Order.from_json(json.dumps(data))
    if order.signed:
        raise DecodeError("signatures stand with the revisions, and nowhere else")
    return order


def _read_told(data: object) -> Told:
    texts = read_list(read_text)
    with Fields(data, "what was told") as fields:
        return Told(
            gone=fields.take("gone", texts),
            in_turn=fields.take("in_turn", read_list(_read_pair)),
            official=fields.take("official", texts),
            exempt=fields.take("exempt", read_list(read_address)),
            next_key=fields.take(
                "next_key",
                lambda value: None if value is None else read_sized(PUBLIC_KEY_BYTES)(value),
            ),
            spare_root=fields.take("spare_root", read_flag),
        )


def _read_pair(data: object) -> tuple[str, str]:
    found = read_list(read_text)(data)
    if len(found) != 2:
        raise DecodeError("places in turn are two")
    return found[0], found[1]
