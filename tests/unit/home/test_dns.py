"""Looking names up over sockets, at a server on loopback."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.resolver
import pytest

from orrery.errors import PlanError, ResolveError
from orrery.home import SettingsEditor, propose, publish
from orrery.home.named_endpoint import NamedEndpoint
from orrery.home.resolving import DnsResolver
from orrery.home.settings import DnsSettings
from orrery.wire.endpoint import Endpoint
from tests.unit.home.making import make_home
from tests.unit.home.nameserver import NameServer, running
from tests.unit.store.making import NOW_MS


@pytest.fixture
def server() -> Iterator[NameServer]:
    with running() as started:
        yield started


def _asking(*servers: Endpoint, timeout_ms: int = 30_000) -> DnsResolver:
    return DnsResolver(
        DnsSettings().model_copy(update={"servers": list(servers), "timeout_ms": timeout_ms})
    )


def _addresses(server: NameServer, name: str) -> list[str]:
    return [str(ip_address(ip)) for ip in _asking(server.endpoint)(name)]


def test_both_families_are_asked_for(server: NameServer) -> None:
    server.records["root.example"] = ["AAAA 2620:fe::fe", "A 8.8.8.8", "A 1.1.1.1"]
    assert _addresses(server, "root.example") == ["1.1.1.1", "8.8.8.8", "2620:fe::fe"]
    assert server.asked == ["A root.example udp", "AAAA root.example udp"]


def test_one_family_is_enough(server: NameServer) -> None:
    server.records |= {"four.example": ["A 1.1.1.1"], "six.example": ["AAAA 2620:fe::fe"]}
    assert _addresses(server, "four.example") == ["1.1.1.1"]
    assert _addresses(server, "six.example") == ["2620:fe::fe"]


def test_aliases_are_followed(server: NameServer) -> None:
    server.records |= {
        "root.example": ["CNAME home.example."],
        "home.example": ["CNAME line-7.example."],
        "line-7.example": ["A 1.1.1.1", "AAAA 2620:fe::fe"],
    }
    assert _addresses(server, "root.example") == ["1.1.1.1", "2620:fe::fe"]


def test_aliases_that_lead_nowhere_and_names_without_addresses_have_none(
    server: NameServer,
) -> None:
    server.records |= {"root.example": ["CNAME gone.example."], "mail.example": []}
    assert _addresses(server, "root.example") == []
    assert _addresses(server, "mail.example") == []


def test_an_answer_that_is_too_long_for_a_datagram_comes_by_tcp(server: NameServer) -> None:
    server.records["root.example"] = [f"A 1.1.1.{n}" for n in range(1, 41)]
    assert len(_addresses(server, "root.example")) == 40
    assert server.asked[:2] == ["A root.example udp", "A root.example tcp"]


def test_a_search_list_is_not_used(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns.resolver.Resolver, "use_search_by_default", True, raising=False)
    server.records["root.example.here"] = ["A 1.1.1.1"]
    with pytest.raises(ResolveError):
        _asking(server.endpoint)("root.example")
    assert server.asked == ["A root.example udp"]


@pytest.mark.parametrize(
    ("rows", "timeout_ms", "reason", "said"),
    [
        (None, 30_000, "no-such-name", "root.example does not exist in the DNS: check how"),
        (["silent"], 50, "timeout", "nobody told within 0s what root.example stands for (asked"),
        (["A 1.1.1.1", "mute-aaaa"], 300, "timeout", "check the network of this machine, or name"),
        (
            ["refused"],
            30_000,
            "server-failed",
            "cannot tell what root.example stands for (REFUSED;",
        ),
        (["servfail"], 30_000, "server-failed", "(SERVFAIL; asked 127.0.0.1/"),
        (
            ["CNAME root.example."],
            30_000,
            "server-failed",
            "(its aliases, CNAME records, lead in a circle; asked",
        ),
    ],
)
def test_what_the_dns_does_not_tell_is_an_error(
    server: NameServer, rows: list[str] | None, timeout_ms: int, reason: str, said: str
) -> None:
    if rows is not None:
        server.records["root.example"] = rows
    with pytest.raises(ResolveError) as refused:
        _asking(server.endpoint, timeout_ms=timeout_ms)("root.example")
    assert said in str(refused.value)
    assert refused.value.reason == reason


def test_another_server_is_asked_when_one_is_silent(server: NameServer) -> None:
    server.records["root.example"] = ["A 1.1.1.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nobody = Endpoint.from_text(f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ResolveError, match=rf"\(asked {nobody}\)"):
            _asking(nobody, timeout_ms=50)("root.example")
        asking = _asking(nobody, server.endpoint, timeout_ms=2_000)
        assert asking("root.example") == (bytes((1, 1, 1, 1)),)


def test_a_machine_without_dns_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dns.resolver.Resolver.read_resolv_conf

    def read(self: dns.resolver.Resolver, _file: str) -> None:
        real(self, str(tmp_path / "no-resolv.conf"))

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", read)
    with make_home(tmp_path / "home") as home:
        _want_names(home.settings_path, None, "root.example:9993")
        with pytest.raises(ResolveError, match=r"orrery\.toml, line 17: root 'root-1': this") as no:
            propose(home, "home")
        assert no.value.reason == "no-server"


def _want_names(path: Path, server: NameServer | None, *names: str) -> None:
    editor = SettingsEditor(path.read_text())
    editor.set_endpoints("home", "root-1", [NamedEndpoint.from_text(name) for name in names])
    text = editor.text()
    if server is not None:
        text = text.replace("servers = []", f'servers = ["{server.endpoint}"]')
    path.write_text(text)


def test_a_revision_is_made_when_a_name_stands_for_something_else(
    server: NameServer, tmp_path: Path
) -> None:
    server.records["root.example"] = ["A 1.1.1.1", "A 8.8.8.8"]
    with make_home(tmp_path / "home", [Endpoint.from_text("1.1.1.1:9993")]) as home:
        _want_names(home.settings_path, server, "root.example:9993")
        world = publish(home, "home", NOW_MS + 1).world
        assert list(map(str, world.roots[0].endpoints)) == ["1.1.1.1/9993", "8.8.8.8/9993"]

        server.records["root.example"] = ["A 8.8.8.8", "A 1.1.1.1"]
        with pytest.raises(PlanError, match="nothing to publish"):
            publish(home, "home", NOW_MS + 2)

        server.records["root.example"] = ["A 8.8.8.8", "A 9.9.9.9"]
        proposal = propose(home, "home")
        server.records["root.example"] = ["A 4.4.4.4"]
        world = publish(home, "home", NOW_MS + 3, proposal=proposal).world
        assert list(map(str, world.roots[0].endpoints)) == ["8.8.8.8/9993", "9.9.9.9/9993"]

        del server.records["root.example"]
        with pytest.raises(ResolveError, match=r"orrery\.toml, line 17: root 'root-1': root\.ex"):
            publish(home, "home", NOW_MS + 4)
        assert home.served_worlds() == (world,)


def test_a_home_may_begin_with_a_name(tmp_path: Path) -> None:
    name = NamedEndpoint("root.example", 9993)

    def ask(_name: str) -> tuple[bytes, ...]:
        return (bytes((1, 1, 1, 1)),)

    with make_home(tmp_path / "home", [name], resolver=ask) as home:
        assert home.settings().worlds[0].roots[0].endpoints == [name]
        assert list(map(str, home.served_worlds()[0].roots[0].endpoints)) == ["1.1.1.1/9993"]
    (tmp_path / "home" / "init.unfinished").write_bytes(b"")
    with make_home(tmp_path / "home", [name], resolver=ask) as home:
        assert not (tmp_path / "home" / "init.unfinished").exists()


def test_an_init_whose_name_is_not_known_is_finished_by_the_next(
    server: NameServer, tmp_path: Path
) -> None:
    name = NamedEndpoint("root.example", 9993)
    with pytest.raises(ResolveError, match=r"root\.example does not exist in the DNS"):
        make_home(tmp_path / "home", [name], resolver=_asking(server.endpoint))
    server.records["root.example"] = ["A 1.1.1.1"]
    with make_home(tmp_path / "home", [name], resolver=_asking(server.endpoint)) as home:
        assert list(map(str, home.served_worlds()[0].roots[0].endpoints)) == ["1.1.1.1/9993"]
