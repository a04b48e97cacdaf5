"""The directory on disk: settings, World files, locks, and publishing into them."""

from orrery.home.creating import create
from orrery.home.document import SettingsEditor
from orrery.home.home import Home, wall_clock_ms
from orrery.home.locking import lock_keys, unlock_keys
from orrery.home.named_endpoint import NamedEndpoint, WantedEndpoint
from orrery.home.publishing import Proposal, propose, publish, release, rotate_key
from orrery.home.resolving import DnsResolver, Resolution, ResolvedRoot, Resolver, resolve
from orrery.home.settings import (
    BackupSettings,
    DeploySettings,
    DnsSettings,
    HostSettings,
    RolloutSettings,
    RootSettings,
    ServeSettings,
    Settings,
    SshTarget,
    WorldSettings,
)

__all__ = [
    "BackupSettings",
    "DeploySettings",
    "DnsResolver",
    "DnsSettings",
    "Home",
    "HostSettings",
    "NamedEndpoint",
    "Proposal",
    "Resolution",
    "ResolvedRoot",
    "Resolver",
    "RolloutSettings",
    "RootSettings",
    "ServeSettings",
    "Settings",
    "SettingsEditor",
    "SshTarget",
    "WantedEndpoint",
    "WorldSettings",
    "create",
    "lock_keys",
    "propose",
    "publish",
    "release",
    "resolve",
    "rotate_key",
    "unlock_keys",
    "wall_clock_ms",
]
