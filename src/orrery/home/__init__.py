"""The directory on disk: settings, World files, locks, and publishing into them."""

from orrery.home.creating import create
from orrery.home.document import SettingsEditor
from orrery.home.home import Home, wall_clock_ms
from orrery.home.publishing import Proposal, propose, publish, rotate_key
from orrery.home.settings import RootSettings, ServeSettings, Settings, WorldSettings

__all__ = [
    "Home",
    "Proposal",
    "RootSettings",
    "ServeSettings",
    "Settings",
    "SettingsEditor",
    "WorldSettings",
    "create",
    "propose",
    "publish",
    "rotate_key",
    "wall_clock_ms",
]
