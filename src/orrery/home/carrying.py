"""Carrying a rollout out: what the conductor decided is stored, then done.

Every function here is one step that is whole or not there; what was stored last says what comes
next. A timestamp that was given out and never stored is lost, which costs nothing. A revision is
stored in one transaction with the note that it is, so it is never signed for a second time with
another timestamp; signed for a second time with the same one, it has the same bytes.
"""

from dataclasses import replace

from orrery.home.backing_up import back_up_before_signing
from orrery.home.home import Home
from orrery.home.publishing import check_as_a_node
from orrery.home.unsettled import check_settled
from orrery.rollout.conductor import Act, Decision, Position, next_world, published
from orrery.rollout.order import Order
from orrery.rollout.progress import Progress
from orrery.rollout.state import RolloutState
from orrery.store import AuditEntry, Lease, Rollout
from orrery.wire.signature import fingerprint
from orrery.wire.world import World
from orrery.worlds.chain import Chain

CONDUCTOR = "conductor"
"""Who does it, in the audit."""
_WAIT_S = 2
"""How long another writer is waited for: less than the lease runs."""


def position_of(rollout: Rollout) -> Position:
    """Where a rollout stands, as it is stored.

    Raises:
        DecodeError: Its progress was written by something else than Orrery.
    """
    return Position(
        state=rollout.state,
        step=rollout.step,
        cohort=rollout.cohort,
        reason=rollout.reason,
        served=rollout.served,
        progress=Progress.from_json(rollout.intents),
    )


class Carrier:
    """Carries rollouts of a home out, as long as the lease is its own.

    Args:
        home: The home; it is locked for as long as something is done that a file follows from.
        lease: The conductor's.
    """

    def __init__(self, home: Home, lease: Lease) -> None:
        self._home = home
        self._lease = lease

    def carry_out(self, rollout: Rollout, order: Order, decision: Decision, now_ms: int) -> Rollout:
        """Store a decision, and do what belongs to it.

        Args:
            rollout: The rollout as it was read.
            order: What it says is to be done.
            decision: What to do now.
            now_ms: The clock.

        Returns:
            The rollout as it is stored now.

        Raises:
            ConflictError: Somebody else changed it, has the lease, or changes the home for long.
            CustodyError: The key that must sign is missing, locked or open to others.
            UpdateRefused: A node would not take what is to be published.
            VerifyError: What was signed elsewhere is not what the plan says.
            PlanError: The home was restored, and it is not known what was published since.
            UnreadableError: Something cannot be written, or the backup that is wanted before a
                signature cannot be made; it is as it was.
        """
        position, act = decision
        if act is Act.NOTHING and position.served == rollout.served:
            return self._store(rollout, position, now_ms)  # no file follows from it
        home = self._home
        home.acquire(_WAIT_S)
        try:
            if act is not Act.NOTHING:
                check_settled(home)
            match act:
                case Act.NOTHING:
                    stored = self._store(rollout, position, now_ms)
                case Act.ALLOCATE:
                    timestamp_ms = home.store.allocate_timestamp(rollout.world_id, now_ms)
                    progress = replace(position.progress, signing_ms=timestamp_ms)
                    stored = self._store(rollout, replace(position, progress=progress), now_ms)
                case Act.PUBLISH:
                    stored = self._publish(rollout, order, position, now_ms)
            home.write_worlds()
        finally:
            home.release()
        return stored

    def write_worlds(self) -> None:
        """Bring the World files to what the one who was conductor before may not have written.

        Raises:
            ConflictError: Somebody changes the home for long.
            UnreadableError: A file cannot be written.
        """
        self._home.acquire(_WAIT_S)
        try:
            self._home.write_worlds()
        finally:
            self._home.release()

    def _publish(self, rollout: Rollout, order: Order, at: Position, now_ms: int) -> Rollout:
        chain = self._home.store.chain(rollout.world_id)
        signed, signer = self._signed(order, at, chain, now_ms)
        what = "taken back" if at.progress.rolling_back else "published"
        return self._home.store.publish_step(
            signed,
            changed_to(rollout, published(at, signed.timestamp_ms, now_ms)),
            now_ms,
            f"rollout {rollout.number}, step {at.step + 1} {what}",
            lease=self._lease,
            audit=AuditEntry(
                now_ms,
                CONDUCTOR,
                "publish",
                f"World {signed.id:016x} revision {signed.timestamp_ms}, step {at.step + 1} of "
                f"rollout {rollout.number} {what}, signed by {fingerprint(signer)}, names "
                f"{fingerprint(signed.updates_must_be_signed_by)}",
            ),
        )

    def _signed(self, order: Order, at: Position, chain: Chain, now_ms: int) -> tuple[World, bytes]:
        """What is to be published, and the public key that signed it."""
        public = chain.newest.updates_must_be_signed_by
        if not at.progress.rolling_back:
            step = order.plan.steps[at.step]
            elsewhere = order.signed_step(step.number)
            if elsewhere is not None:
                return order.check_step(step, elsewhere, chain.newest), public
        back_up_before_signing(self._home, now_ms)
        signer = self._home.keys.signer_for(chain.world_id, public)
        signed = next_world(order, at, chain.revisions).sign(signer)
        check_as_a_node(chain.newest, signed, public)
        return signed, public

    def _store(self, rollout: Rollout, at: Position, now_ms: int) -> Rollout:
        audit = None
        if at.state is not rollout.state and (at.state.is_over or at.state is RolloutState.PAUSED):
            detail = f"World {rollout.world_id:016x}, rollout {rollout.number}: {at.reason}"
            audit = AuditEntry(now_ms, CONDUCTOR, f"rollout {at.state}", detail)
        return self._home.store.update_rollout(
            changed_to(rollout, at), now_ms, lease=self._lease, audit=audit
        )


def changed_to(rollout: Rollout, at: Position) -> Rollout:
    """A rollout as it is stored when it stands there."""
    return replace(
        rollout,
        state=at.state,
        step=at.step,
        cohort=at.cohort,
        reason=at.reason,
        served=at.served,
        intents=at.progress.to_json(),
    )
