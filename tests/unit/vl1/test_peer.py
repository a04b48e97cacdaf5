import pytest

from orrery.lab.identities import make_unproven_identity
from orrery.vl1.path import Path
from orrery.vl1.peer import MAX_PATHS, PATH_ALIVE_MS, PATH_EXPIRATION_MS, Peer
from orrery.wire.cipher import CipherSuite
from orrery.wire.endpoint import Endpoint
from orrery.wire.verbs import Version

HOUR_MS = 3_600_000


def make_peer() -> Peer:
    return Peer(make_unproven_identity(1).public(), bytes(48))


def path(last_byte: int, port: int = 9993, socket: int = 0) -> Path:
    return Path(Endpoint(bytes((198, 51, 100, last_byte)), port), socket)


def test_only_protocol_12_gets_aes() -> None:
    peer = make_peer()
    suites = []
    for protocol in (0, 11, 12, 13):
        peer.set_version(protocol, Version(1, 14, 1))
        suites.append(peer.suite)
    assert suites == [CipherSuite.POLY1305_SALSA2012] * 2 + [CipherSuite.AES_GMAC_SIV] * 2


# -- answers --------------------------------------------------------------------------------


def test_an_answer_is_taken_once_and_only_to_what_was_asked() -> None:
    peer = make_peer()
    assert not peer.take_answer(b"question")
    peer.expect_answer(b"question")
    assert not peer.take_answer(b"invented")
    assert peer.take_answer(b"question")
    assert not peer.take_answer(b"question")


def test_an_id_is_not_found_across_two_others() -> None:
    peer = make_peer()
    peer.expect_answer(b"abcdefgh")
    peer.expect_answer(b"ijklmnop")
    assert not peer.take_answer(b"efghijkl")
    assert peer.take_answer(b"ijklmnop")
    assert peer.take_answer(b"abcdefgh")


def test_the_last_64_questions_may_be_answered() -> None:
    peer = make_peer()
    for number in range(80):
        peer.expect_answer(number.to_bytes(8))
    assert [number for number in range(80) if peer.take_answer(number.to_bytes(8))] == list(
        range(16, 80)
    )


# -- paths ----------------------------------------------------------------------------------


def test_a_path_is_used_once_it_is_confirmed() -> None:
    peer = make_peer()
    assert not peer.heard(path(1), 0)
    assert not peer.knows(path(1))
    assert peer.best_path(0) is None
    peer.confirm(path(1), 10)
    assert peer.knows(path(1))
    assert peer.heard(path(1), 20)
    assert peer.best_path(20) == path(1)
    assert peer.last_receive_ms == 20


def test_the_best_path_is_the_one_heard_from_last() -> None:
    peer = make_peer()
    for last_byte in (1, 2, 3):
        peer.confirm(path(last_byte), last_byte)
    peer.heard(path(2), 10)
    assert peer.best_path(10) == path(2)
    assert peer.paths(10) == [path(2), path(3), path(1)]


def test_a_silent_path_expires() -> None:
    peer = make_peer()
    peer.confirm(path(1), 0)
    assert peer.best_path(PATH_EXPIRATION_MS - 1) == path(1)
    assert peer.best_path(PATH_EXPIRATION_MS) is None
    assert peer.paths(PATH_EXPIRATION_MS) == []
    peer.heard(path(1), PATH_EXPIRATION_MS)
    assert peer.best_path(PATH_EXPIRATION_MS) == path(1)


def test_beside_a_living_path_no_other_port_of_its_address_is_learned() -> None:
    peer = make_peer()
    peer.confirm(path(1), 0)
    assert peer.heard(path(1, port=1), PATH_ALIVE_MS - 1)
    peer.confirm(path(1, port=1), PATH_ALIVE_MS - 1)
    assert not peer.knows(path(1, port=1))


def test_another_port_takes_the_place_of_a_dead_one() -> None:
    peer = make_peer()
    peer.confirm(path(1), 0)
    peer.confirm(path(2), 0)
    assert not peer.heard(path(1, port=1), PATH_ALIVE_MS)
    peer.confirm(path(1, port=1), PATH_ALIVE_MS)
    assert peer.paths(PATH_ALIVE_MS) == [path(1, port=1), path(2)]


@pytest.mark.parametrize("other", [path(2), path(1, socket=1)])
def test_another_address_or_socket_is_a_path_of_its_own(other: Path) -> None:
    peer = make_peer()
    peer.confirm(path(1), 0)
    assert not peer.heard(other, 0)
    peer.confirm(other, 1)
    assert peer.paths(1) == [other, path(1)]


def test_of_many_paths_the_oldest_gives_way() -> None:
    peer = make_peer()
    for number in range(MAX_PATHS + 2):
        peer.confirm(path(number), number)
    assert peer.paths(100) == [path(number) for number in reversed(range(2, MAX_PATHS + 2))]


def test_a_path_can_be_dropped() -> None:
    peer = make_peer()
    peer.confirm(path(1), 0)
    peer.confirm(path(2), 1)
    peer.forget_path(path(2))
    assert peer.paths(1) == [path(1)]


def test_one_path_is_not_asked_twice_in_a_second() -> None:
    peer = make_peer()
    assert peer.may_confirm(path(1), 0)
    assert not peer.may_confirm(path(1), 999)
    assert peer.may_confirm(path(2), 999)
    assert peer.may_confirm(path(1), 1_000)


def test_a_clock_that_is_set_back_keeps_no_dead_path_alive() -> None:
    peer = make_peer()
    peer.confirm(path(1), HOUR_MS)
    peer.confirm(path(2), HOUR_MS)
    peer.heard(path(2), 0)
    assert peer.best_path(0) is not None
    peer.heard(path(2), 1)
    assert peer.best_path(1) == path(2)
    assert not peer.heard(path(1, port=1), PATH_ALIVE_MS)
    assert peer.best_path(PATH_EXPIRATION_MS + 1) is None


def test_a_clock_that_is_set_back_lets_a_path_be_confirmed() -> None:
    peer = make_peer()
    assert peer.may_confirm(path(1), HOUR_MS)
    assert peer.may_confirm(path(1), 0)
