from collections.abc import Callable
from random import Random

import pytest

from orrery.errors import CustodyError, DecodeError, UsageError, VerifyError
from orrery.wire.address import Address
from orrery.wire.cursor import Reader
from orrery.wire.identity import Identity
from tests.vectors.loading import load

CASES = load("identities.json")["valid"]
SECRET: str = CASES[0]["secret"]
PUBLIC: str = CASES[0]["public"]
ADDRESS, _, PUBLIC_KEY, PRIVATE_KEY = SECRET.split(":")


def entropy(seed: int) -> Callable[[int], bytes]:
    return Random(seed).randbytes


@pytest.mark.parametrize("text", [PUBLIC, SECRET, f" {SECRET}\r\n", PUBLIC.upper(), SECRET.upper()])
def test_whole_texts_are_read(text: str) -> None:
    identity = Identity.from_string(text)
    assert str(identity) == PUBLIC
    assert (identity.private_key is not None) is (len(text) > 200)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (ADDRESS, "3 fields between colons, or 4 .* this text has 1"),
        (f"{SECRET}:", "this text has 5"),
        (f"{ADDRESS[1:]}:0:{PUBLIC_KEY}", "is not an address"),
        (f"0x{ADDRESS}:0:{PUBLIC_KEY}", "is not an address"),
        (f"ff00000001:0:{PUBLIC_KEY}", "reserved"),
        (f"0000000000:0:{PUBLIC_KEY}", "reserved"),
        (f"{ADDRESS}:1:{PUBLIC_KEY}", "type .* is not 0"),
        (f"{ADDRESS}::{PUBLIC_KEY}", "type .* is not 0"),
        (f"{ADDRESS}:0:{PUBLIC_KEY[1:]}", "public key of .* has 127 hex digits, not 128"),
        (f"{ADDRESS}:0:{PUBLIC_KEY}0", "public key of .* has 129 hex digits"),
        (f"{ADDRESS}:0:{PUBLIC_KEY[:20]}g{PUBLIC_KEY[21:]}", "character 21 of the public key"),
        (f"{PUBLIC}:", "private key of .* has 0 hex digits"),
        (f"{PUBLIC}:{PRIVATE_KEY[:-2]}", "private key of .* has 126 hex digits"),
        (f"{PUBLIC}:x{PRIVATE_KEY[1:]}", "character 1 of the private key"),
        (f"{PUBLIC}:{CASES[1]['private_key']}", "does not belong to its public key"),
    ],
)
def test_each_mistake_has_its_sentence(text: str, mistake: str) -> None:
    with pytest.raises(DecodeError, match=mistake):
        Identity.from_string(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{PUBLIC}:{PRIVATE_KEY[:-2]}",
        f"{PUBLIC}:{PRIVATE_KEY[:64]}x{PRIVATE_KEY[65:]}",
        f"{PUBLIC}:{CASES[1]['private_key']}",
        f"{PRIVATE_KEY}:0:{PUBLIC_KEY}",
        f"{ADDRESS}:{PRIVATE_KEY}:{PUBLIC_KEY}",
    ],
)
def test_no_message_shows_a_private_key(text: str) -> None:
    with pytest.raises(DecodeError) as refusal:
        Identity.from_string(text)
    for secret in (PRIVATE_KEY, CASES[1]["private_key"]):
        assert secret[:12] not in str(refusal.value)


def test_the_private_key_is_not_shown() -> None:
    identity = Identity.from_string(SECRET)
    shown = f"{identity!r}{identity}{identity.fingerprint}"
    assert PRIVATE_KEY not in shown
    assert repr(identity.private_key) not in shown


def test_equality_does_not_ask_who_holds_the_secret() -> None:
    secret, public = Identity.from_string(SECRET), Identity.from_string(PUBLIC)
    assert secret == public
    assert len({secret, public}) == 1
    assert secret.public().private_key is None
    assert public.public() is public
    assert secret != Identity.from_string(CASES[1]["public"])


def test_order_is_by_address_then_key() -> None:
    low, high = Identity(Address(1), b"z" * 64), Identity(Address(2), b"a" * 64)
    assert low < high
    assert Identity(Address(1), b"y" * 64) < low


def test_what_needs_the_private_key_says_so() -> None:
    public = Identity.from_string(PUBLIC)
    uses: list[Callable[[], object]] = [
        lambda: public.to_string(secret=True),
        lambda: public.to_bytes(secret=True),
        lambda: public.agree(public),
        lambda: public.sign(b""),
    ]
    for use in uses:
        with pytest.raises(CustodyError, match=f"private key of identity {ADDRESS} is needed"):
            use()


@pytest.mark.parametrize(
    "identity", [Identity(Address(1 << 40), bytes(64)), Identity(Address(1), b"")]
)
def test_impossible_identities_are_not_written(identity: Identity) -> None:
    with pytest.raises(UsageError):
        identity.to_bytes()


def test_reading_stops_at_its_end_and_starts_where_the_reader_is() -> None:
    identity = Identity.from_string(SECRET)
    reader = Reader(b"xx" + identity.to_bytes(secret=True) + identity.to_bytes() + b"yy", 2)
    assert Identity.read(reader).private_key == identity.private_key
    assert Identity.read(reader).private_key is None
    assert reader.take(2) == b"yy"


def test_signatures() -> None:
    identity, other = Identity.from_string(SECRET), Identity.from_string(CASES[1]["public"])
    signature = identity.sign(b"message")
    identity.verify(b"message", signature)
    with pytest.raises(VerifyError):
        other.verify(b"message", signature)
    with pytest.raises(VerifyError):
        identity.verify(b"other", signature)


def test_a_key_of_small_order_agrees_on_the_hash_of_zeros() -> None:
    identity = Identity.from_string(SECRET)
    weak = Identity(Address(1), bytes(32) + identity.public_key[32:])
    assert identity.agree(weak) == Identity.from_string(CASES[1]["secret"]).agree(weak)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_same_entropy_makes_the_same_identity_with_any_number_of_workers(workers: int) -> None:
    tries: list[int] = []
    identity = Identity.generate(entropy=entropy(4), workers=workers, progress=tries.append)
    identity.validate()
    assert identity == Identity.generate(entropy=entropy(4))
    assert tries == list(range(1, len(tries) + 1))
    assert Identity.from_string(identity.to_string(secret=True)) == identity


def test_validation_says_what_is_wrong() -> None:
    identity = Identity.from_string(PUBLIC)
    identity.validate()
    with pytest.raises(VerifyError, match=f"belongs to the address {ADDRESS}"):
        Identity(Address(identity.address ^ 1), identity.public_key).validate()
    with pytest.raises(VerifyError, match="reserved"):
        Identity(Address(0), identity.public_key).validate()
    unproved = next(
        case for case in load("identities.json")["invalid"] if "memory_hard_digest" in case
    )
    with pytest.raises(VerifyError, match="proof of work"):
        Identity.from_string(unproved["text"]).validate()


def test_an_error_in_progress_ends_the_search() -> None:
    def cancel(_tries: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Identity.generate(entropy=entropy(1), workers=2, progress=cancel)
