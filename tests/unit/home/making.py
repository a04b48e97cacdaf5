"""Homes for tests: quick to make, because nothing is searched for and nothing is random."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from orrery.home import Home, SettingsEditor, create
from orrery.home.named_endpoint import WantedEndpoint
from orrery.wire.endpoint import Endpoint
from tests.unit.store.making import NOW_MS, identity

ONE = Endpoint.from_text("203.0.113.7:9993")
TWO = Endpoint.from_text("[2001:db8::7]:9993")
ELSEWHERE = Endpoint.from_text("198.51.100.9:443")


def entropy(seed: str = "") -> Callable[[int], bytes]:
    """Bytes that are the same in every run."""
    calls = itertools.count()
    return lambda size: hashlib.shake_256(f"{seed} {next(calls)}".encode()).digest(size)


def secret_file(directory: Path, number: int = 0) -> Path:
    """An identity.secret outside of the home."""
    path = directory / f"identity-{number}.secret"
    path.write_text(identity(number).to_string(secret=True))
    path.chmod(0o600)
    return path


def make_home(
    path: Path, endpoints: Sequence[WantedEndpoint] = (ONE, TWO), **kwargs: object
) -> Home:
    """A home at this path, open as a writer."""
    values: dict[str, object] = {
        "entropy": entropy(str(path)),
        "clock": lambda: NOW_MS,
        "name": "home",
    }
    if "identity_secret" not in kwargs:
        values["identity_secret"] = secret_file(path.parent)
    return create(path, NOW_MS, endpoints, **(values | kwargs))  # type: ignore[arg-type]


def want(home: Home, *endpoints: WantedEndpoint, world: str = "home", root: str = "root-1") -> None:
    """Say in orrery.toml that a root has these endpoints."""
    editor = SettingsEditor(home.settings_path.read_text())
    editor.set_endpoints(world, root, endpoints)
    home.save_settings(editor.text())
