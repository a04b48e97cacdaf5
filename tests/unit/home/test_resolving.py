from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest

from orrery.errors import ResolveError, ResolveFailure
from orrery.home import Settings
from orrery.home.named_endpoint import NamedEndpoint
from orrery.home.resolving import ResolvedRoot, resolve
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root, World, WorldType
from tests.unit.store.making import identity

FILE = "/home/orrery.toml"


def settings(*roots: Sequence[str]) -> Settings:
    """A planet with these endpoints at each of its roots; the first of root 1 is on line 8."""
    text = '[[world]]\nname = "home"\nkind = "planet"\nid = "8056c2e21c000001"\n'
    for number, endpoints in enumerate(roots):
        text += (
            f'[[world.root]]\nname = "root-{number + 1}"\n'
            f'identity = "{identity(number).public()}"\n'
            f"endpoints = {list(endpoints)}\n"
        )
    return Settings.parse(text, FILE)


def dns(**records: str) -> Callable[[str], tuple[bytes, ...]]:
    """A DNS that knows these names, a for a.example."""
    known = {
        f"{name}.example": tuple(ip_address(text).packed for text in texts.split())
        for name, texts in records.items()
    }

    def ask(name: str) -> tuple[bytes, ...]:
        if name not in known:
            raise ResolveError(f"{name} does not exist", ResolveFailure.NO_SUCH_NAME)
        return known[name]

    return ask


def resolved(
    wanted: Settings, ask: Callable[[str], Sequence[bytes]], published: World | None = None
) -> tuple[ResolvedRoot, ...]:
    return resolve(wanted, wanted.worlds[0], ask, published=published)


def endpoints_of(root: ResolvedRoot) -> list[str]:
    return [str(endpoint) for endpoint in root.root.endpoints]


def test_names_become_all_their_addresses_in_the_order_of_worlds() -> None:
    wanted = settings(["a.example:9993", "8.8.4.4:443"], ["9.9.9.9:9993"])
    first, second = resolved(wanted, dns(a="2620:fe::fe 8.8.8.8 1.1.1.1"))
    assert (first.name, first.root.identity) == ("root-1", identity(0).public())
    assert endpoints_of(first) == [
        "1.1.1.1/9993",
        "8.8.8.8/9993",
        "8.8.4.4/443",
        "2620:fe::fe/9993",
    ]
    (found,) = first.resolutions
    assert found.endpoint == NamedEndpoint("a.example", 9993)
    assert list(map(str, found.addresses)) == ["1.1.1.1/9993", "8.8.8.8/9993", "2620:fe::fe/9993"]
    assert (endpoints_of(second), second.resolutions) == (["9.9.9.9/9993"], ())


def test_the_order_of_an_answer_is_no_difference() -> None:
    wanted = settings(["a.example:1"])
    one = resolved(wanted, dns(a="8.8.8.8 1.1.1.1 2620:fe::fe"))
    assert one == resolved(wanted, dns(a="2620:fe::fe 1.1.1.1 8.8.8.8 1.1.1.1"))


def test_a_name_is_asked_for_once() -> None:
    asked = []

    def ask(name: str) -> tuple[bytes, ...]:
        asked.append(name)
        return dns(a="1.1.1.1")(name)

    (root,) = resolved(settings(["a.example:1", "a.example:2"]), ask)
    assert endpoints_of(root) == ["1.1.1.1/1", "1.1.1.1/2"]
    assert asked == ["a.example"]


def test_without_names_nobody_is_asked() -> None:
    def ask(name: str) -> tuple[bytes, ...]:
        raise AssertionError(name)

    (root,) = resolved(settings(["8.8.8.8:1", "1.1.1.1:1"]), ask)
    assert endpoints_of(root) == ["1.1.1.1/1", "8.8.8.8/1"]


def test_what_a_name_says_and_the_file_too_is_there_once() -> None:
    (root,) = resolved(
        settings(["1.1.1.1:1", "a.example:1", "b.example:1"]), dns(a="1.1.1.1", b="1.1.1.1 8.8.8.8")
    )
    assert endpoints_of(root) == ["1.1.1.1/1", "8.8.8.8/1"]


@pytest.mark.parametrize(
    ("roots", "records", "reason", "said"),
    [
        ([["x.example:1"]], {}, "no-such-name", "line 8: root 'root-1': x.example does not exist"),
        ([["a.example:1"]], {"a": ""}, "no-address", "a.example has no IP address in the DNS"),
        (
            [["a.example:1"]],
            {"a": "0.0.0.0"},
            "unusable",
            "for 0.0.0.0, which belongs to no",
        ),
        ([["a.example:1"]], {"a": "1.1.1.1 ff02::1"}, "unusable", "stands for ff02::1, which"),
        (
            [["1.1.1.1:1"], ["a.example:1"]],
            {"a": "1.1.1.1"},
            "shared",
            "line 12: root 'root-2': a.example stands for 1.1.1.1, and root 'root-1' is at "
            "1.1.1.1/1 too",
        ),
        (
            [["a.example:1"], ["b.example:1"]],
            {"a": "1.1.1.1 8.8.8.8", "b": "8.8.8.8 1.1.1.1"},
            "shared",
            "line 8: root 'root-1': a.example stands for 1.1.1.1, and root 'root-2'",
        ),
        (
            [["a.example:1"]],
            {"a": " ".join(f"1.1.1.{n}" for n in range(1, 34))},
            "too-many",
            "a.example stands for 33 addresses: at most 32, or nodes throw the whole World away",
        ),
        (
            [["a.example:1", "8.8.8.8:1"]],
            {"a": " ".join(f"1.1.1.{n}" for n in range(1, 33))},
            "too-many",
            "a.example stands for 32 addresses, and this root would have 33 endpoints: at most 32",
        ),
        (
            [["a.example:1"]],
            {"a": "1.1.1.1 192.168.1.5"},
            "private",
            "a.example stands for 192.168.1.5, which only machines near it reach, and this World "
            "has public endpoints: if your DNS tells other things inside than outside, name another"
            ' DNS server: servers = ["9.9.9.9"] below [dns]; if it is meant, write the address',
        ),
        ([["a.example:1"], ["1.1.1.1:1"]], {"a": "100.64.0.1"}, "private", "root 'root-1'"),
        ([["a.example:1", "1.1.1.1:1"]], {"a": "127.0.1.1"}, "private", "stands for 127.0.1.1"),
        ([["a.example:1"]], {"a": "1.1.1.1 fd00::1"}, "private", "stands for fd00::1"),
        ([["a.example:1"]], {"a": "1.1.1.1 64:ff9b::101:101"}, "private", "for 64:ff9b::101:101"),
        ([["a.example:1"]], {"a": "1.1.1.1 ::ffff:1.2.3.4"}, "private", "for ::ffff:1.2.3.4"),
    ],
)
def test_what_is_no_place_for_a_root_is_refused(
    roots: list[list[str]], records: dict[str, str], reason: str, said: str
) -> None:
    with pytest.raises(ResolveError) as refused:
        resolved(settings(*roots), dns(**records))
    message = str(refused.value)
    assert said in message
    assert message.startswith(f"{FILE}, line ")
    assert refused.value.reason == reason
    assert (refused.value.code, refused.value.exit_status) == ("unresolved", 3)


def test_a_world_without_public_endpoints_may_have_names_for_private_ones() -> None:
    (root,) = resolved(settings(["a.example:1", "10.0.0.1:1"]), dns(a="192.168.1.5 fd00::1"))
    assert endpoints_of(root) == ["10.0.0.1/1", "192.168.1.5/1", "fd00::1/1"]


def test_private_addresses_that_are_written_out_are_meant() -> None:
    (root,) = resolved(settings(["a.example:1", "10.0.0.1:1"]), dns(a="1.1.1.1"))
    assert endpoints_of(root) == ["10.0.0.1/1", "1.1.1.1/1"]


def test_a_root_that_was_public_does_not_become_private_because_a_name_says_so() -> None:
    wanted = settings(["a.example:1"])
    before = World(
        type=WorldType.PLANET,
        id=0x8056C2E21C000001,
        timestamp_ms=1,
        updates_must_be_signed_by=bytes(64),
        roots=(Root(identity(0).public(), (Endpoint.from_text("1.1.1.1:1"),)),),
    )
    with pytest.raises(ResolveError, match=r"stands for 192\.168\.1\.5, which only machines near"):
        resolved(wanted, dns(a="192.168.1.5"), before)
    assert resolved(wanted, dns(a="8.8.8.8"), before)


def test_every_name_that_fails_is_told_with_its_place() -> None:
    wanted = settings(["x.example:1", "1.1.1.1:1"], ["y.example:1", "x.example:2"])
    with pytest.raises(ResolveError) as refused:
        resolved(wanted, dns())
    assert str(refused.value).splitlines() == [
        f"{FILE}, line 8: root 'root-1': x.example does not exist",
        f"{FILE}, line 12: root 'root-2': y.example does not exist",
        f"{FILE}, line 12: root 'root-2': x.example does not exist",
    ]
