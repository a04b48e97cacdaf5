from orrery.vl1.limits import Allowance
from orrery.vl1.push import PushQueue, PushSettings
from orrery.wire.address import Address

SETTINGS = PushSettings(nodes=Allowance(3, 10), bytes=Allowance(1_000, 1_000))


def addresses(count: int) -> list[Address]:
    return [Address(0x1000000000 + number) for number in range(count)]


def test_nodes_come_in_their_order_at_a_pace() -> None:
    queue = PushQueue(SETTINGS, 0)
    queue.fill(addresses(5))
    assert list(queue.take(0)) == addresses(5)[:3]
    assert list(queue.take(50)) == []
    wait_ms = queue.wait_ms(50)
    assert 0 < wait_ms <= 51
    assert list(queue.take(50 + wait_ms)) == [addresses(5)[3]]
    assert list(queue.take(10_000)) == [addresses(5)[4]]
    assert len(queue) == 0


def test_bytes_hold_up_nodes() -> None:
    queue = PushQueue(SETTINGS, 0)
    queue.fill(addresses(5))
    taken = []
    for address in queue.take(0):
        taken.append(address)
        queue.sent(900, 0)
    assert taken == addresses(5)[:2], "the second leaves a debt of 800 bytes"
    assert queue.wait_ms(0) == 802
    assert list(queue.take(800)) == []
    assert next(queue.take(802)) == addresses(5)[2]


def test_a_push_larger_than_a_burst_is_sent_all_the_same() -> None:
    queue = PushQueue(SETTINGS, 0)
    queue.fill(addresses(2))
    assert next(queue.take(0)) == addresses(2)[0]
    queue.sent(9_000, 0)
    assert list(queue.take(1_000)) == []
    assert list(queue.take(1_002)) == [addresses(2)[1]]


def test_a_new_revision_starts_over() -> None:
    queue = PushQueue(SETTINGS, 0)
    queue.fill(addresses(5))
    next(queue.take(0))
    queue.fill(reversed(addresses(5)))
    assert len(queue) == 5
    assert next(queue.take(0)) == addresses(5)[4]


def test_attempts_are_further_and_further_apart() -> None:
    settings = PushSettings(first_retry_ms=1_000, last_retry_ms=60_000)
    waits = [settings.retry_ms(attempts) for attempts in range(1, 9)]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert settings.retry_ms(10_000) == 60_000
