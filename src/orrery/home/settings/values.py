"""The values that settings are made of: what each says, and what is wrong with it."""

import contextlib
import re
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainValidator, TypeAdapter

from orrery.custody.sealing import check_recipient
from orrery.errors import CustodyError, DecodeError, UsageError
from orrery.home.named_endpoint import WantedEndpoint, is_name, read_endpoint, read_listen
from orrery.home.settings.mistakes import did_you_mean, mistake
from orrery.rollout.cohorts import Cohort, Named, Share
from orrery.spans import format_span, parse_span_ms
from orrery.wire.address import Address, format_address, parse_address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.worlds.stage import PLACES

WORLD_ID = re.compile(r"[0-9a-fA-F]{1,16}")
_NODE = re.compile(r"[0-9a-fA-F]{10}")
_NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]+)?")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
LONGEST_NAME = 64
_DNS_PORT = 53
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
DAY_MS = 24 * 60 * MINUTE_MS


class ChangeKind(StrEnum):
    """A kind of change that a plan makes to a World, for `without_asking`."""

    ADD_ENDPOINT = "add-endpoint"
    REMOVE_ENDPOINT = "remove-endpoint"
    ADD_ROOT = "add-root"
    REMOVE_ROOT = "remove-root"
    ROTATE_KEY = "rotate-key"


def text_of(value: object, what: str) -> str:
    """A value that is to be a text; a mistake where it is none."""
    if not isinstance(value, str):
        raise mistake(f"{what} is a text: write it in quotes")
    return value


def _read_name(value: object) -> str:
    text = text_of(value, "a name")
    if (sentence := _wrong_name(text)) is not None:
        raise mistake(sentence)
    return text


def check_name(text: str) -> None:
    """Refuse a name of a World or root that is none.

    Raises:
        UsageError: It is none.
    """
    if (sentence := _wrong_name(text)) is not None:
        raise UsageError(f"{text[:LONGEST_NAME]!r} is no name: {sentence}")


def _wrong_name(text: str) -> str | None:
    if not text.strip() or text != text.strip() or not text.isprintable():
        return "a name is made of visible characters, without blanks around it"
    if len(text) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters, and this has {len(text)}"
    return None


def _read_world_id(value: object) -> int:
    text = text_of(value, "an id")
    if not WORLD_ID.fullmatch(text):
        raise mistake(f"an id is 1 to 16 hex digits, and {text[:40]!r} is not")
    if not int(text, 16):
        raise mistake("the id 0 is no World's: nodes let anything replace such a World")
    return int(text, 16)


def _read_identity(value: object) -> Identity:
    text = text_of(value, "an identity")
    if text.count(":") > 2:
        # Nothing of it is repeated here: this text ends up in terminals and logs.
        raise mistake(
            "this identity has its private key with it: write only what identity.public holds, "
            "and take the private key out of this file"
        )
    try:
        return Identity.from_string(text)
    except DecodeError as error:
        raise mistake(str(error)) from None


def _read_endpoint(value: object) -> WantedEndpoint:
    try:
        return read_endpoint(text_of(value, "an endpoint"))
    except DecodeError as error:
        raise mistake(str(error)) from None


def _read_listening(value: object) -> Endpoint:
    text = text_of(value, "an address to listen at")
    try:
        return read_listen(text)
    except DecodeError as error:
        raise mistake(str(error)) from None


def _read_dns_server(value: object) -> Endpoint:
    text = text_of(value, "a DNS server").strip()
    if is_name(text):
        raise mistake(
            f"{text[:80]!r} is a name, and this server is what looks names up: write its IP address"
        )
    for written in (text, f"{text}/{_DNS_PORT}"):
        with contextlib.suppress(DecodeError):
            return Endpoint.from_text(written)
    raise mistake(
        f'{text[:80]!r} is no DNS server: write its IP address, such as "9.9.9.9" or "9.9.9.9:53"'
    )


def read_span_ms(least_ms: int, most_ms: int, why: str = "") -> Callable[[object], int]:
    """What reads a span of time.

    Args:
        least_ms: The shortest that is of use.
        most_ms: The longest.
        why: The end of the sentence about another one.
    """

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise mistake(
                'a span of time has a unit and stands in quotes: write "90s", "10m", "36h" or "7d"'
            )
        try:
            span_ms = parse_span_ms(value)
        except UsageError as error:
            raise mistake(str(error)) from None
        if not least_ms <= span_ms <= most_ms:
            raise mistake(
                f"{value.strip()} is too {'short' if span_ms < least_ms else 'long'}: write "
                f"{format_span(least_ms)} to {format_span(most_ms)}{why}"
            )
        return span_ms

    return read


def _read_share(value: object) -> Share:
    if not isinstance(value, str):
        raise mistake('a share stands in quotes, with a % sign: write "10%"')
    if _NUMBER.fullmatch(value.strip()):
        raise mistake(f'{value.strip()[:20]!r} has no % sign: write "{value.strip()[:20]}%"')
    try:
        return Share.from_text(value)
    except DecodeError as error:
        raise mistake(str(error)) from None


def _read_required(value: object) -> Fraction:
    return Fraction(_read_share(value).places, PLACES)


def _read_node(value: object) -> Address:
    try:
        return parse_address(text_of(value, "the address of a node"))
    except DecodeError as error:
        raise mistake(str(error)) from None


def _read_cohort(value: object) -> Cohort:
    if isinstance(value, list):
        # What is wrong with a node is told with the line of that node.
        nodes = _NODES.validate_python(value)
        if not nodes:
            raise mistake("this cohort names no node: name one, or leave the cohort out")
        for number, node in enumerate(nodes):
            if node in nodes[:number]:
                raise mistake(f"node {format_address(node)} is named twice here: name it once")
        return Named(frozenset(nodes))
    if isinstance(value, str) and _NODE.fullmatch(value.strip()):
        raise mistake(f'nodes stand in a list of their own: write ["{value.strip()}"]')
    if not isinstance(value, str):
        raise mistake('a cohort is a share, "10%", or a list of nodes, ["2c3e8f527a"]')
    return _read_share(value)


def _read_change(value: object) -> ChangeKind:
    text = text_of(value, "a kind of change")
    try:
        return ChangeKind(text)
    except ValueError:
        known = [str(kind) for kind in ChangeKind]
        raise mistake(f"{text[:40]!r} is no kind of change{did_you_mean(text, known)}") from None


def _read_directory(value: object) -> Path:
    if isinstance(value, Path):
        return value
    text = text_of(value, "a directory")
    if not text.strip() or not text.isprintable():
        raise mistake('a directory has a name: write to = "/srv/backups"')
    return Path(text)


def _read_recipient(value: object) -> str:
    text = text_of(value, "a recipient").strip()
    try:
        check_recipient(text)
    except UsageError as error:
        raise mistake(str(error)) from None
    except CustodyError:  # the part that seals is not installed: who backs up is told
        if not _RECIPIENT.fullmatch(text):
            raise mistake(
                f"{text[:10]!r}… is no recipient: write an age public key, age1…, which "
                "`age-keygen` makes"
            ) from None
    return text


Name = Annotated[str, BeforeValidator(_read_name)]
WorldId = Annotated[int, BeforeValidator(_read_world_id)]
PublicIdentity = Annotated[InstanceOf[Identity], BeforeValidator(_read_identity)]
RootEndpoint = Annotated[WantedEndpoint, PlainValidator(_read_endpoint)]
Listening = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_listening)]
DnsServer = Annotated[InstanceOf[Endpoint], BeforeValidator(_read_dns_server)]
Required = Annotated[InstanceOf[Fraction], BeforeValidator(_read_required)]
CohortEntry = Annotated[Cohort, PlainValidator(_read_cohort)]
Settle = Annotated[int, BeforeValidator(read_span_ms(SECOND_MS, 30 * DAY_MS))]
Horizon = Annotated[
    int,
    BeforeValidator(
        read_span_ms(
            10 * MINUTE_MS,
            400 * DAY_MS,
            ", because a node that is there may be silent for minutes, and one that is not is "
            "forgotten after 400 days",
        )
    ),
]
DnsTimeout = Annotated[int, BeforeValidator(read_span_ms(SECOND_MS, MINUTE_MS))]
Every = Annotated[int, BeforeValidator(read_span_ms(MINUTE_MS, 400 * DAY_MS))]
Directory = Annotated[InstanceOf[Path], BeforeValidator(_read_directory)]
Recipient = Annotated[str, BeforeValidator(_read_recipient)]
Change = Annotated[ChangeKind, PlainValidator(_read_change)]
Node = Annotated[Address, BeforeValidator(_read_node)]
_NODES = TypeAdapter(list[Node])
