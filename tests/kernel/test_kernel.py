"""The compiled kernel against recorded answers of the real node, and against reference.py."""

import inspect
import random
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orrery import kernel
from orrery.errors import ServiceError
from orrery.kernel import reference
from orrery.kernel._kernel import lib
from tests.kernel import answers
from tests.kernel.paths import every_path, forced

KEY = bytes(range(32))
IV = bytes(range(8))
PACKET = bytes(range(100))

keys = st.binary(min_size=32, max_size=32)
ivs = st.binary(min_size=8, max_size=8)
rounds = st.sampled_from([12, 20])
# Beyond three batches of the widest path; where a batch ends is where mistakes would be.
sizes = st.one_of(
    st.integers(0, 3300), st.integers(0, 52).map(lambda n: 64 * n), st.sampled_from([63, 65, 1025])
)
blocks = st.one_of(
    st.integers(0, 100), st.integers(2**32 - 60, 2**32 + 5), st.integers(2**64 - 60, 2**64 - 1)
)
seeds = st.integers(0, 2**32)


def test_reference_has_the_same_functions() -> None:
    for name in kernel.__all__:
        compiled, plain = getattr(kernel, name), getattr(reference, name)
        assert inspect.signature(compiled) == inspect.signature(plain)


# Salsa20


@every_path
@pytest.mark.parametrize(
    ("rounds", "start"),
    [
        # ECRYPT test set 1, vector 0, 256-bit key.
        (20, "e3be8fdd8beca2e3ea8ef9475b29a6e7003951e1097a5c38d23b7a5fad9f6844"),
        (12, "afe411ed1c4e07e4d0cde3b33e31ec190fa4cc796a58bafb848ead8d07d02cd2"),
    ],
)
def test_salsa20_published(path: int, rounds: Literal[12, 20], start: str) -> None:
    with forced(path):
        stream = kernel.salsa20(bytes(2000), b"\x80" + bytes(31), bytes(8), rounds)
    assert stream.startswith(bytes.fromhex(start))


@every_path
@settings(deadline=None, max_examples=60)
@given(seed=seeds, size=sizes, key=keys, iv=ivs, rounds=rounds, block=blocks)
def test_salsa20_as_reference(
    *, path: int, seed: int, size: int, key: bytes, iv: bytes, rounds: Literal[12, 20], block: int
) -> None:
    data = random.Random(seed).randbytes(size)
    with forced(path):
        assert kernel.salsa20(data, key, iv, rounds, block) == reference.salsa20(
            data, key, iv, rounds, block
        )


@every_path
def test_salsa20_of_more_than_a_packet(path: int) -> None:
    data = random.Random(20).randbytes(65_537)
    with forced(path):
        out = kernel.salsa20(data, KEY, IV, 20)
    tail_block = 65_536 // 64
    assert out[:128] == reference.salsa20(data[:128], KEY, IV, 20)
    assert out[65_536:] == reference.salsa20(data[65_536:], KEY, IV, 20, tail_block)
    assert kernel.salsa20(out, KEY, IV, 20) == data


def test_salsa20_of_nothing() -> None:
    assert kernel.salsa20(b"", KEY, IV) == b""


# Poly1305


@pytest.mark.parametrize("case", [pytest.param(tag, id=tag.name) for tag in answers.tags()])
@pytest.mark.parametrize("poly1305", [kernel.poly1305, reference.poly1305], ids=["c", "reference"])
def test_poly1305_published(poly1305: Callable[[bytes, bytes], bytes], case: answers.Tag) -> None:
    assert poly1305(case.message, case.key) == case.tag


@settings(deadline=None, max_examples=300)
@given(
    message=st.one_of(
        st.binary(max_size=200),
        st.integers(0, 200).map(lambda size: b"\xff" * size),
        st.tuples(seeds, sizes).map(lambda drawn: random.Random(drawn[0]).randbytes(drawn[1])),
    ),
    key=st.one_of(keys, st.binary(min_size=16, max_size=16).map(lambda s: b"\xff" * 16 + s)),
)
@example(message=b"", key=KEY)
def test_poly1305_as_reference(message: bytes, key: bytes) -> None:
    assert kernel.poly1305(message, key) == reference.poly1305(message, key)


# The proof of work


@every_path
@pytest.mark.parametrize("case", [pytest.param(d, id=d.name) for d in answers.digests()])
def test_memory_hard_digest_recorded(path: int, case: answers.Digest) -> None:
    with forced(path):
        assert kernel.memory_hard_digest(case.public_key) == case.digest


@pytest.mark.slow
def test_memory_hard_digest_of_reference() -> None:
    """Takes ten seconds, as the reference is plain Python."""
    case = next(answers.digests())
    assert reference.memory_hard_digest(case.public_key) == case.digest


@every_path
def test_memory_hard_digest_from_many_threads(path: int) -> None:
    cases = list(answers.digests())
    with forced(path), ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(kernel.memory_hard_digest, [c.public_key for c in cases] * 8))
    assert digests == [case.digest for case in cases] * 8


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see memory")
def test_memory_of_a_thread_goes_with_it() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def run_one_thread() -> None:
        thread = threading.Thread(target=kernel.memory_hard_digest, args=(bytes(64),))
        thread.start()
        thread.join()

    run_one_thread()
    before = resident_bytes()
    for _ in range(100):
        run_one_thread()
    assert resident_bytes() - before < 100 * 2 * 1024 * 1024 / 4


def test_other_threads_run_meanwhile() -> None:
    """Were the lock kept, this would fail for sure.

    Without forced switches nobody else could run between the start of the work and its end.
    """
    patience = sys.getswitchinterval()
    sys.setswitchinterval(10_000)
    try:
        seen_running = 0
        for _ in range(200):
            started = threading.Event()
            ended: list[bytes] = []

            def work(started: threading.Event = started, ended: list[bytes] = ended) -> None:
                started.set()
                ended.append(kernel.memory_hard_digest(bytes(64)))

            with forced(0):
                thread = threading.Thread(target=work)
                thread.start()
                started.wait()
                seen_running += not ended
                thread.join()
            if seen_running:
                break
    finally:
        sys.setswitchinterval(patience)
    assert seen_running


# Packets


@every_path
@pytest.mark.parametrize("case", [pytest.param(a, id=a.name) for a in answers.armored()])
def test_armor_recorded(path: int, case: answers.Armored) -> None:
    with forced(path):
        assert kernel.armor(case.plaintext, case.key, case.cipher) == case.wire
        opened = kernel.dearmor(case.wire, case.key)
    assert opened == case.wire[:27] + case.plaintext[27:]


@pytest.mark.parametrize("case", [pytest.param(a, id=a.name) for a in answers.armored()])
def test_reference_armor_recorded(case: answers.Armored) -> None:
    assert reference.armor(case.plaintext, case.key, case.cipher) == case.wire
    assert reference.dearmor(case.wire, case.key) == case.wire[:27] + case.plaintext[27:]


@pytest.mark.parametrize("case", [pytest.param(r, id=r.name) for r in answers.received()])
def test_dearmor_verdict_recorded(case: answers.Received) -> None:
    opened = kernel.dearmor(case.wire, case.key)
    assert (opened is not None) == case.taken
    assert opened == reference.dearmor(case.wire, case.key)


@every_path
@settings(deadline=None, max_examples=60)
@given(seed=seeds, size=sizes, key=keys, cipher=st.sampled_from([0, 1]), flags=st.integers(0, 255))
@example(seed=0, size=0xFFFF - 28, key=KEY, cipher=1, flags=0)
def test_armor_as_reference(
    *, path: int, seed: int, size: int, key: bytes, cipher: int, flags: int
) -> None:
    draw = random.Random(seed)
    packet = draw.randbytes(18) + bytes([flags]) + draw.randbytes(9 + size)
    with forced(path):
        wire = kernel.armor(packet, key, cipher)
        assert wire == reference.armor(packet, key, cipher)
        opened = kernel.dearmor(wire, key)
    assert opened == wire[:27] + packet[27:]


@settings(deadline=None, max_examples=200)
@given(
    seed=seeds,
    size=st.integers(28, 300),
    cipher=st.sampled_from([0, 1]),
    bit=st.integers(0, 300 * 8 - 1),
)
def test_any_changed_bit_but_hops_is_seen(seed: int, size: int, cipher: int, bit: int) -> None:
    packet = random.Random(seed).randbytes(size)
    wire = bytearray(kernel.armor(packet, KEY, cipher))
    at, mask = bit // 8 % size, 1 << bit % 8
    wire[at] ^= mask
    opened = kernel.dearmor(bytes(wire), KEY)
    if at == 18 and mask < 8:
        assert opened == bytes(wire[:27]) + packet[27:]
    else:
        assert opened is None


@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_dearmor_takes_any_bytes(data: bytes) -> None:
    assert kernel.dearmor(data, KEY) is None


@pytest.mark.parametrize("cipher", [2, 3, 4, 5, 6, 7])
def test_dearmor_refuses_other_ciphers(cipher: int) -> None:
    packet = PACKET[:18] + bytes([cipher << 3]) + PACKET[19:]
    assert kernel.dearmor(packet, KEY) is None
    assert reference.dearmor(packet, KEY) is None


def test_dearmor_refuses_sizes_that_no_packet_has() -> None:
    for size in (0, 27, 65_536, 200_000):
        assert kernel.dearmor(bytes(size), KEY) is None
        assert reference.dearmor(bytes(size), KEY) is None


def test_packets_from_many_threads() -> None:
    packets = [random.Random(n).randbytes(28 + n) for n in range(400)]
    wires = [reference.armor(packet, KEY, 1) for packet in packets]

    def there_and_back(packet: bytes) -> tuple[bytes, bytes | None]:
        wire = kernel.armor(packet, KEY, 1)
        return wire, kernel.dearmor(wire, KEY)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(there_and_back, packets * 10))
    expected = [(w, w[:27] + p[27:]) for p, w in zip(packets, wires, strict=True)]
    assert results == expected * 10


# What callers get wrong


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel.salsa20(b"x", KEY[1:], IV),
        lambda: kernel.salsa20(b"x", KEY, IV[1:]),
        lambda: kernel.salsa20(b"x", KEY, IV, 8),  # type: ignore[arg-type]
        lambda: kernel.poly1305(b"x", KEY[1:]),
        lambda: kernel.memory_hard_digest(bytes(63)),
        lambda: kernel.armor(PACKET[:27], KEY, 1),
        lambda: kernel.armor(bytes(65_536), KEY, 1),
        lambda: kernel.armor(PACKET, KEY[1:], 1),
        lambda: kernel.armor(PACKET, KEY, 3),
        lambda: kernel.dearmor(PACKET, KEY + b"x"),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"wants|has|knows"):
        call()


def test_other_types_are_refused_and_harmless() -> None:
    with pytest.raises(TypeError):
        kernel.armor(bytearray(PACKET), KEY, 1)  # type: ignore[arg-type]
    assert kernel.armor(PACKET, KEY, 1) == reference.armor(PACKET, KEY, 1)


# The kernel's own check


def test_self_test_passes() -> None:
    assert lib.orrery_self_test() == 0


def test_failed_self_test_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def orrery_self_test(self) -> int:
            return 5

    monkeypatch.setattr(kernel, "lib", Broken())
    with pytest.raises(ServiceError, match=r"fails its self-test \(check 5\)"):
        kernel._check_itself()


def test_unknown_paths_cannot_be_forced() -> None:
    assert lib.orrery_force_path(4) == -1
    assert lib.orrery_force_path(-2) == -1
    assert lib.orrery_force_path(-1) >= 0
