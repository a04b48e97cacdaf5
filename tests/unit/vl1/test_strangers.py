import pytest

from orrery.lab.identities import make_unproven_identity
from orrery.vl1.limits import Allowance
from orrery.vl1.path import Path
from orrery.vl1.strangers import Stranger, StrangerGate, StrangerLimits, site_of
from orrery.wire.endpoint import Endpoint

LIMITS = StrangerLimits(
    agreements=Allowance(5, 10),
    proofs=Allowance(8, 4),
    site_proofs=Allowance(4, 2),
    failure_cost=3,
    waiting=6,
    sites=3,
)
IDENTITIES = [make_unproven_identity(number).public() for number in range(20)]


def stranger(number: int, ip: str = "198.51.100.7") -> Stranger:
    return Stranger(IDENTITIES[number], bytes(48), b"", Path(Endpoint.from_text(f"{ip}/9993")))


def admit_and_settle(
    gate: StrangerGate, number: int, now_ms: int, *, ip: str = "198.51.100.7", proven: bool = True
) -> bool:
    if not gate.admit(stranger(number, ip), now_ms):
        return False
    assert gate.settle(IDENTITIES[number], proven=proven, now_ms=now_ms) == stranger(number, ip)
    return True


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.1/1", "198.51.100.254/9", True),
        ("198.51.100.1/1", "198.51.101.1/1", False),
        ("[2001:db8:1::1]:1", "[2001:db8:1:ffff::9]:9", True),
        ("[2001:db8:1::1]:1", "[2001:db8:2::1]:1", False),
    ],
)
def test_a_site_is_what_one_party_holds(one: str, other: str, same: bool) -> None:
    sites = {site_of(Endpoint.from_text(text)) for text in (one, other)}
    assert len(sites) == (1 if same else 2)


def test_agreements_are_rationed_for_all() -> None:
    gate = StrangerGate(LIMITS, 0)
    assert [gate.may_agree(0) for _ in range(6)] == [True] * 5 + [False]
    assert gate.may_agree(100)
    assert not gate.may_agree(100)


def test_a_site_has_its_own_ration_of_proofs() -> None:
    gate = StrangerGate(LIMITS, 0)
    assert [admit_and_settle(gate, number, 0) for number in range(5)] == [True] * 4 + [False]
    assert admit_and_settle(gate, 5, 0, ip="192.0.2.1"), "another site is not shut out"
    assert admit_and_settle(gate, 4, 501)


def test_all_sites_together_have_a_ration_of_proofs() -> None:
    gate = StrangerGate(LIMITS, 0)
    admitted = [admit_and_settle(gate, number, 0, ip=f"198.51.{number}.1") for number in range(10)]
    assert admitted == [True] * 8 + [False] * 2
    assert admit_and_settle(gate, 9, 250, ip="198.51.9.1")


def test_what_all_lack_does_not_cost_the_site() -> None:
    gate = StrangerGate(LIMITS, 0)
    for number in range(8):
        admit_and_settle(gate, number, 0, ip=f"198.51.{number}.1")
    for _ in range(10):
        assert not gate.admit(stranger(9, "192.0.2.1"), 0)
    assert [admit_and_settle(gate, number, 1_000, ip="192.0.2.1") for number in range(9, 14)] == [
        True
    ] * 4 + [False]


def test_an_identity_without_proof_costs_its_site_more() -> None:
    gate = StrangerGate(LIMITS, 0)
    assert admit_and_settle(gate, 0, 0, proven=False)
    assert not gate.admit(stranger(1), 0), "the proof and its failure took all four"
    assert admit_and_settle(gate, 2, 0, ip="192.0.2.1")
    assert admit_and_settle(gate, 1, 501)


def test_who_waits_does_not_wait_twice() -> None:
    gate = StrangerGate(LIMITS, 0)
    assert gate.admit(stranger(0), 0)
    assert not gate.admit(stranger(0, "192.0.2.1"), 0)
    assert gate.settle(IDENTITIES[0], proven=True, now_ms=0) == stranger(0)
    assert gate.settle(IDENTITIES[0], proven=True, now_ms=0) is None


def test_only_so_many_wait() -> None:
    gate = StrangerGate(LIMITS, 0)
    admitted = [gate.admit(stranger(number, f"198.51.{number}.1"), 0) for number in range(8)]
    assert admitted == [True] * 6 + [False] * 2
    gate.settle(IDENTITIES[3], proven=True, now_ms=0)
    assert gate.admit(stranger(7, "198.51.7.1"), 0)


def test_somebody_who_does_not_wait_is_not_settled() -> None:
    gate = StrangerGate(LIMITS, 0)
    assert gate.settle(IDENTITIES[0], proven=False, now_ms=0) is None
    assert admit_and_settle(gate, 0, 0)


def test_sites_are_remembered_in_bounded_number() -> None:
    gate = StrangerGate(LIMITS._replace(proofs=Allowance(1_000, 0.001)), 0)
    for number in range(4):
        admit_and_settle(gate, number, 0)
    assert not gate.admit(stranger(4), 0)
    for third in range(3):
        admit_and_settle(gate, 5, 0, ip=f"192.0.{third}.1")
    assert admit_and_settle(gate, 4, 0), "three others were seen since: the site is forgotten"


def test_the_rations_let_500_nodes_of_one_site_in_within_a_minute() -> None:
    """Each asks every 5 s, all at the same moments, as after a power cut."""
    gate = StrangerGate(StrangerLimits(), 0)
    identities = [make_unproven_identity(number).public() for number in range(500)]
    missing = list(identities)
    path = Path(Endpoint.from_text("198.51.100.7/9993"))
    rounds = 0
    while missing:
        now_ms = rounds * 5_000
        later = []
        for identity in missing:
            if gate.may_agree(now_ms) and gate.admit(
                Stranger(identity, bytes(48), b"", path), now_ms
            ):
                gate.settle(identity, proven=True, now_ms=now_ms)
            else:
                later.append(identity)
        missing = later
        rounds += 1
    assert rounds * 5_000 <= 60_000
