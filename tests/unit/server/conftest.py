"""Fixtures of the server's tests."""

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from tests.unit.server.serving import Crowd, Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A home whose root is at 127.0.0.1; a test that starts its server need not stop it."""
    made = Site(tmp_path)
    yield made
    if hasattr(made, "server"):
        await made.server.stop()
    made.home.close()


@pytest.fixture
async def crowd(site: Site) -> AsyncIterator[Callable[..., Crowd]]:
    """Makes leaves with recorded identities that hold the site's first planet, and starts them."""
    made: list[Crowd] = []

    def make(numbers: Iterable[int], **how: object) -> Crowd:
        made.append(Crowd(site.planet, numbers, **how))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.close()
