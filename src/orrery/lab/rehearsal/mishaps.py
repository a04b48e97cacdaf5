"""What goes wrong in a rehearsal, and right again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from orrery.errors import UsageError
from orrery.lab.lapse import LapsedNetwork
from orrery.lab.rehearsal.faults import Fault, FaultKind
from orrery.lab.rehearsal.nodes import Member, Nodes
from orrery.lab.rehearsal.roots import Roots
from orrery.lab.rehearsal.script import Script
from orrery.wire.address import Address, format_address
from orrery.wire.endpoint import Endpoint


class Mishaps:
    """Lets faults happen.

    Args:
        script: what is rehearsed.
        network: where all live.
        roots: the roots.
        nodes: the nodes.
        sleep: puts a node to sleep.
        begin_ms: of the rehearsal.
        random: of all chance.
        tell: told what happens.
    """

    def __init__(
        self,
        script: Script,
        network: LapsedNetwork,
        roots: Roots,
        nodes: Nodes,
        *,
        sleep: Callable[[Member], None],
        begin_ms: int,
        random: Random,
        tell: Callable[[str], None],
    ) -> None:
        self._script = script
        self._network = network
        self._roots = roots
        self._nodes = nodes
        self._sleep = sleep
        self._begin_ms = begin_ms
        self._random = random
        self._tell = tell

    def have(self, fault: Fault) -> Callable[[], None] | None:
        """Let something go wrong.

        Returns:
            What makes it good again, None where nothing does.

        Raises:
            UsageError: there is no such root.
        """
        match fault.kind:
            case FaultKind.ROOT_DOWN:
                return self._stop_root(fault)
            case FaultKind.PLACE_DOWN:
                return self._stop_place(fault)
            case FaultKind.UNREACHABLE if fault.place is not None:
                return self._put_out_of_reach(fault.place)
            case FaultKind.NODES_DOWN:
                return self._stop_nodes(fault.share)
            case FaultKind.NAT_REBOOT:
                self._reboot_nats(fault.share)
            case FaultKind.LOSS:
                return self._lose_more(fault.share)
        return None

    def _stop_root(self, fault: Fault) -> Callable[[], None] | None:
        running = [address for address, host in sorted(self._roots.hosts.items()) if host.is_up]
        wanted = fault.root.lower()
        if wanted:
            names = {self._script.names.get(each, "").lower(): each for each in self._roots.hosts}
            names |= {format_address(each): each for each in self._roots.hosts}
            if wanted not in names:
                known = ", ".join(self._script.name_of(each) for each in sorted(self._roots.hosts))
                raise UsageError(f"{fault}: no root {fault.root!r} runs by then, only {known}")
            running = [names[wanted]] if names[wanted] in running else []
        if not running:
            self._tell(f"{fault}: there is no such root to stop any more")
            return None
        address: Address = self._random.choice(running)
        self._roots.fail(address)
        return lambda: self._roots.start_again(address, self._begin_ms)

    def _stop_place(self, fault: Fault) -> Callable[[], None] | None:
        endpoint = fault.place
        host = None if endpoint is None else self._network.host_at(endpoint)
        if endpoint is None or host is None or host not in self._roots.hosts.values():
            self._tell(f"{fault}: no root is there by then")
            return None
        place = self._roots.places[endpoint]
        self._roots.close(place)
        return lambda: self._roots.open(place)

    def _put_out_of_reach(self, endpoint: Endpoint) -> Callable[[], None]:
        def end() -> None:
            with self._network.disturbing():
                self._network.out_of_reach.discard(endpoint)
            self._tell(f"{endpoint} is within reach of nodes again")

        with self._network.disturbing():
            self._network.out_of_reach.add(endpoint)
        self._tell(f"{endpoint} gets out of reach of nodes")
        return end

    def _stop_nodes(self, share: float) -> Callable[[], None]:
        hit = [member for member in self._nodes.members if self._random.random() < share]
        stopped = [member for member in hit if not member.asleep]
        for member in stopped:
            self._sleep(member)
        self._tell(f"{len(stopped)} nodes go away at once")

        def end() -> None:
            back = [member for member in stopped if member.asleep]
            for member in back:
                self._nodes.wake(member)
            self._tell(f"{len(back)} nodes come back at once")

        return end

    def _reboot_nats(self, share: float) -> None:
        hit = [nat for nat in self._nodes.nats() if self._random.random() < share]
        with self._network.disturbing():
            for nat in hit:
                nat.reboot()
        self._tell(f"{len(hit)} NATs forget their mappings")

    def _lose_more(self, share: float) -> Callable[[], None]:
        def end() -> None:
            with self._network.disturbing():
                self._nodes.lose(0.0)
            self._tell("no more packets than before are lost")

        with self._network.disturbing():
            self._nodes.lose(share)
        self._tell(f"{share:.0%} of the packets more are lost")
        return end
