import json
from collections.abc import Mapping

import pytest

from orrery.errors import HostError, UsageError
from orrery.fleet.local_api import Answer, LocalApi, Method
from orrery.wire.address import Address, parse_address

SEED = parse_address("8056c2e21c")
MOON = {"id": "000000b9ce1f7fa4", "timestamp": 7, "waiting": False, "roots": []}


class Node:
    """Answers as it is told to, and remembers what it was asked."""

    where = "root@h"

    def __init__(self, *answers: object, status: int = 200) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self._answers = list(answers)
        self._status = status

    async def __call__(
        self, method: Method, path: str, body: Mapping[str, str] | None = None
    ) -> Answer:
        self.asked.append((method, path, body))
        return Answer(self._status, json.dumps(self._answers.pop(0)).encode())


async def test_status_peers_and_moons_are_asked_at_their_paths() -> None:
    peer = {"address": "8056c2e21c", "role": "PLANET"}
    node = Node({"address": "8056c2e21c", "online": True}, [peer], peer, [MOON])
    api = LocalApi(node)
    assert (await api.status()).online
    assert [each.role for each in await api.peers()] == ["PLANET"]
    found = await api.peer(SEED)
    assert found is not None
    assert found.is_root
    assert [moon.timestamp_ms for moon in await api.moons()] == [7]
    assert node.asked == [
        ("GET", "/status", None),
        ("GET", "/peer", None),
        ("GET", "/peer/8056c2e21c", None),
        ("GET", "/moon", None),
    ]
    assert api.where == "root@h"


async def test_who_is_not_known_is_none() -> None:
    api = LocalApi(Node({}, [MOON], [MOON]))
    assert await api.peer(SEED) is None
    assert await api.moon(0xB9CE1F7FA5) is None
    held = await api.moon(0xB9CE1F7FA4)
    assert held is not None
    assert held.id == 0xB9CE1F7FA4


async def test_moons_are_wanted_and_forgotten_by_ten_digits() -> None:
    node = Node({}, {})
    await LocalApi(node).orbit(0x1F7FA4, SEED)
    await LocalApi(node).deorbit(0x1F7FA4)
    assert node.asked == [
        ("POST", "/moon/00001f7fa4", {"seed": "8056c2e21c"}),
        ("DELETE", "/moon/00001f7fa4", None),
    ]


@pytest.mark.parametrize("moon_id", [0, 1 << 40, (1 << 64) - 1])
async def test_an_id_that_has_no_path_is_refused_before_anything_is_asked(moon_id: int) -> None:
    node = Node()
    with pytest.raises(UsageError, match=r"cannot be orbited by its id.*moons\.d"):
        await LocalApi(node).orbit(moon_id, SEED)
    with pytest.raises(UsageError, match="cannot be left by its id"):
        await LocalApi(node).deorbit(moon_id)
    assert node.asked == []


@pytest.mark.parametrize("seed", [0, 0xFF00000001])
async def test_nobody_is_no_seed(seed: int) -> None:
    with pytest.raises(UsageError, match=f"{seed:010x} is a reserved address, and no root of moon"):
        await LocalApi(Node()).orbit(1, Address(seed))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "the zerotier-one on root@h refuses the token of this home"),
        (404, "the zerotier-one on root@h does not know /status: it is too old"),
        (500, "the zerotier-one on root@h answers /status with status 500"),
    ],
)
async def test_what_is_no_answer_is_told(status: int, said: str) -> None:
    with pytest.raises(HostError) as refused:
        await LocalApi(Node({}, status=status)).status()
    assert said in str(refused.value)


async def test_what_is_not_understood_is_told_with_its_place() -> None:
    with pytest.raises(HostError, match="root@h: this is no list of a zerotier-one"):
        await LocalApi(Node({})).peers()
