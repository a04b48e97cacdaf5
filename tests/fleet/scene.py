"""A home with two revisions, and a host that holds the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orrery.fleet import Outcome, deploy, deploying
from orrery.home import Home, publish
from tests.unit.home.making import ELSEWHERE, ONE, make_home, want
from tests.unit.store.making import NOW_MS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.fleet.bed import Bed

SETTINGS = '\n[deploy]\ntimeout = "10s"\nkeep = 3\n'


class Scene:
    """A home, and a host that is to get its newest revision.

    Attributes:
        home: The home.
        host: The host; its node is no root.
        old: What the host holds at first: revision 1.
        new: What it is to hold: revision 2.
    """

    def __init__(
        self,
        directory: Path,
        bed: Bed,
        monkeypatch: pytest.MonkeyPatch,
        *,
        settings: str = SETTINGS,
        name: str = "node-1",
        **kind: Any,
    ) -> None:
        monkeypatch.setattr(deploying, "POLL_S", 0.05)
        path = directory / "home"
        with make_home(path, [ONE]) as home:
            (first,) = home.served_worlds()
            self.old = first
            want(home, ONE, ELSEWHERE)
            self.new = publish(home, "home", NOW_MS + 1).world
        self.home = Home.open(path)
        self.host = bed.host(name, planet=self.old, **kind)
        self.host.hurry()
        self.say(settings + self.host.toml())

    def say(self, text: str) -> None:
        """Add to orrery.toml."""
        path = self.home.settings_path
        path.write_text(path.read_text() + text)

    async def deploy(self, **more: Any) -> Outcome:
        """Deploy to the host."""
        (outcome,) = await deploy(self.home, [self.host.name], **more)
        return outcome

    def close(self) -> None:
        """Close the home."""
        self.home.close()
