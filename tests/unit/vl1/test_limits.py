import pytest

from orrery.vl1.limits import Allowance, BucketTable, TokenBucket

TEN = Allowance(burst=10, per_second=2)


def test_a_bucket_gives_its_burst_and_then_what_time_brings() -> None:
    bucket = TokenBucket(TEN, 0)
    assert [bucket.take(1, 0) for _ in range(11)] == [True] * 10 + [False]
    assert not bucket.take(1, 499)
    assert bucket.take(1, 500)
    assert not bucket.take(1, 500)
    assert bucket.take(4, 2_500)


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(TEN, 0)
    assert not bucket.take(10.5, 1_000_000)
    assert bucket.take(10, 1_000_000)
    assert not bucket.take(1, 1_000_000)


def test_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(TEN, 0)
    assert not bucket.take(11, 0)
    assert bucket.take(10, 0)


def test_refills_of_less_than_one_add_up() -> None:
    bucket = TokenBucket(TEN, 0)
    bucket.take(10, 0)
    assert [now_ms for now_ms in range(1, 1_001) if bucket.take(1, now_ms)] == [500, 1_000]


def test_a_charge_leaves_a_debt_of_one_burst_at_most() -> None:
    bucket = TokenBucket(TEN, 0)
    bucket.charge(1_000, 0)
    assert bucket.wait_ms(1, 0) == 5_501
    assert not bucket.take(1, 5_499)
    assert bucket.take(1, 5_501)


def test_the_wait_is_long_enough_and_not_much_longer() -> None:
    bucket = TokenBucket(TEN, 0)
    assert bucket.wait_ms(10, 0) == 0
    bucket.take(10, 0)
    wait_ms = bucket.wait_ms(3, 0)
    assert wait_ms == 1_501
    assert not bucket.take(3, 1_499)
    assert bucket.take(3, wait_ms)


def test_what_never_fits_waits_for_a_full_bucket() -> None:
    bucket = TokenBucket(TEN, 0)
    bucket.take(10, 0)
    assert bucket.wait_ms(1_000, 0) == 5_001


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(TEN, 1_000_000)
    bucket.take(8, 1_000_000)
    assert bucket.take(2, 0)
    assert not bucket.take(1, 0)
    assert bucket.take(1, 500)


@pytest.mark.parametrize("size", [1, 3])
def test_a_table_remembers_the_keys_used_last(size: int) -> None:
    table = BucketTable(TEN, size)
    for key in range(10):
        assert table.bucket(key, 0).take(10, 0)
        assert len(table) == min(key + 1, size)
    assert not table.bucket(9, 0).take(1, 0)
    assert table.bucket(9 - size, 0).take(1, 0)


def test_a_key_that_is_used_stays() -> None:
    table = BucketTable(TEN, 2)
    kept = table.bucket("kept", 0)
    for key in range(10):
        table.bucket(key, 0)
        assert table.bucket("kept", 0) is kept
