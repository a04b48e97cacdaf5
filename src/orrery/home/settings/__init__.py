"""`orrery.toml`: what is wanted. Every mistake is told with file, line and a sentence.

[[world]]                 a planet or a moon
name = "home"             how the commands call it
kind = "planet"           or "moon"
id = "8056c2e21c000001"   16 hex digits, never to be changed

[[world.root]]            1 to 4 of them
name = "root-1"
identity = "8056c2e21c:0:…"            the public one
endpoints = ["203.0.113.7:9993"]       1 to 32 of them; names too: "root.example.org:9993"
software = "orrery"                    or "zerotier-one"

[serve]                   these have a default for everything
[rollout]
[dns]

[backup]                  left out, nothing is backed up by itself
to = "/srv/backups"
recipients = ["age1…"]    public keys, of which any one opens a backup

[[host]]                  a server with an official zerotier-one that is looked after from here
name = "root-2"
ssh = "root@203.0.113.8"  left out: this machine
platform = "linux"        or "openwrt", "freebsd", "macos", "docker"

[deploy]                  these have a default for everything too
"""

from orrery.home.settings.file import FILE_NAME, Settings, read_text
from orrery.home.settings.hosts import DeploySettings, HostSettings, Platform, SshTarget
from orrery.home.settings.tables import (
    BackupSettings,
    DnsSettings,
    RolloutSettings,
    RootSettings,
    ServeSettings,
    WorldSettings,
)
from orrery.home.settings.values import ChangeKind, check_name

__all__ = [
    "FILE_NAME",
    "BackupSettings",
    "ChangeKind",
    "DeploySettings",
    "DnsSettings",
    "HostSettings",
    "Platform",
    "RolloutSettings",
    "RootSettings",
    "ServeSettings",
    "Settings",
    "SshTarget",
    "WorldSettings",
    "check_name",
    "read_text",
]
