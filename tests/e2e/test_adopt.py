"""A fleet of another tool is taken over by the command, and its nodes follow, untouched."""

import signal
from pathlib import Path

from orrery.home import Home, SettingsEditor
from orrery.vl1.events import UpstreamAnswered, WorldTaken
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import World
from orrery.worlds.pitfalls import MKWORLD_TIMESTAMP_MS
from tests.e2e.processes import Serving, orrery
from tests.unit.home.folders import Maker, docker_planet
from tests.unit.server.serving import Crowd, free_port
from tests.unit.store.making import key


async def test_nodes_of_a_planet_with_a_fixed_timestamp_follow_its_adopted_root(
    tmp_path: Path,
) -> None:
    port = free_port()
    maker = Maker(places=(f"127.0.0.1/{port}",), timestamp_ms=MKWORLD_TIMESTAMP_MS, names=key(2))
    data = docker_planet(tmp_path / "data", maker, with_moon=False)
    (data / "one" / "current.c25519").write_bytes(key(2).encode())
    held = World.decode((data / "dist" / "planet").read_bytes())

    adopted = await orrery("adopt", data, "--home", tmp_path / "home")
    assert adopted.status == 0, adopted.err
    listen = f"127.0.0.1:{port}"
    serving = await Serving.start("--home", tmp_path / "home", "--listen", listen, env={})
    nodes = Crowd(held, range(1, 4), sockets=3)
    try:
        nodes.start()
        await nodes.all_tell(UpstreamAnswered)
        with Home.open(tmp_path / "home", writer=True) as home:
            editor = SettingsEditor(home.settings_path.read_text())
            wanted = [*held.roots[0].endpoints, Endpoint.from_text("84.17.53.155/9993")]
            editor.set_endpoints("planet", "root-1", wanted)
            home.save_settings(editor.text())
        published = await orrery("publish", "--home", tmp_path / "home")
        assert published.status == 0, published.err
        await nodes.all_tell(WorldTaken)
    finally:
        nodes.close()
        await serving.end(signal.SIGKILL)
    newest = World.decode((tmp_path / "home" / "planet").read_bytes())
    assert newest.timestamp_ms > held.timestamp_ms
    newest.verify(key(2).public)
    assert (data / "dist" / "planet").read_bytes() == held.encode()
