"""All that is known of a home at one moment: what checks look at, and nothing that they could ask.

Nothing here is a secret: of keys there are fingerprints and modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from orrery.custody import KeyFile, Owner
from orrery.home.planning import Planned
from orrery.home.rolling import RolloutView
from orrery.home.settings import BackupSettings, Settings
from orrery.home.unsettled import Mark, Outlook
from orrery.rollout.places import Place
from orrery.wire.address import Address
from orrery.wire.endpoint import Endpoint
from orrery.wire.identity import Identity
from orrery.wire.world import World
from orrery.worlds.chain import Chain

if TYPE_CHECKING:
    from orrery.fleet import HostPlan, HostView


OTHERS = 0o077
"""Permissions of everybody but the owner."""


class Secrecy(StrEnum):
    """Who may see a file of a home, or change it."""

    SECRET = "secret"  # noqa: S105 - a word
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory of the home.

    Attributes:
        path: As the home was named.
        secrecy: Whether others may see it.
        mode: Its permissions.
        owner: Whose it is.
        is_directory: Whether it is one.
    """

    path: Path
    secrecy: Secrecy
    mode: int
    owner: Owner
    is_directory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What lies on the disk.

    Attributes:
        owner: Whose the home is.
        user: Who looks.
        entries: What is in it, the home itself among them.
        leftovers: Files that interrupted writes left.
        abandoned: Directories that interrupted restores left, with keys in them.
        is_changing: Whether somebody is changing the home now: leftovers may be in use.
        free_bytes: Room on its disk.
        needed_bytes: What the largest write takes: a copy of the database.
        damage: What is damaged in the database, empty for nothing.
    """

    owner: Owner
    user: int
    entries: tuple[Entry, ...] = ()
    leftovers: tuple[Path, ...] = ()
    abandoned: tuple[Path, ...] = ()
    is_changing: bool = False
    free_bytes: int = 1 << 40
    needed_bytes: int = 0
    damage: str = ""

    @property
    def has_exposed_secrets(self) -> bool:
        """Whether a secret is open to others, or somebody else's: then nothing uses it."""
        return any(
            entry.secrecy is Secrecy.SECRET
            and (entry.mode & OTHERS or entry.owner.uid != self.owner.uid)
            for entry in self.entries
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The signing keys of a World.

    Attributes:
        folder: Where they lie.
        files: Those that can be looked at.
        trouble: Why they cannot, empty where they can. What is open to others is in `Disk` too.
        rotated_at_ms: When the key was changed last, 0 if it never was.
    """

    folder: Path
    files: tuple[KeyFile, ...] = ()
    trouble: str = ""
    rotated_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A World that has a revision.

    Attributes:
        name: How `orrery.toml` calls it, its id where it does not.
        argument: What to add to a command so that it is about this World: ` home`, or nothing
            where there is one only.
        chain: Its revisions.
        led_to: The revision that its file is to hold.
        file: Where that lies.
        found: What lies there, None for nothing.
        keys: Its signing keys.
        planned: What the planner said, None where it could not be asked.
        refusal: Why not, empty where that is told elsewhere.
        unresolved: Whether it is because of the DNS.
        rollout: The last one, None if there never was one.
    """

    name: str
    argument: str
    chain: Chain
    led_to: World
    file: Path
    found: bytes | None
    keys: Keys
    planned: Planned | None = None
    refusal: str = ""
    unresolved: bool = False
    rollout: RolloutView | None = None

    @property
    def newest(self) -> World:
        """Its newest revision."""
        return self.chain.newest

    @property
    def title(self) -> str:
        """How a sentence calls it: `planet home`, or `the planet` where it has no other name."""
        kind = self.newest.type.name.lower()
        return f"the {kind}" if self.name == kind else f"{kind} {self.name}"

    @property
    def is_rolling(self) -> bool:
        """Whether a rollout of it goes on."""
        return self.rollout is not None and not self.rollout.rollout.state.is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """What is known of the backups of a home.

    Attributes:
        wanted: What `[backup]` says, None where it is left out.
        folder: Where they go.
        obstacle: Why none can be written there, empty where one can.
        newest: The file made last there, None for none.
        newest_at_ms: When it was made, 0 for none.
        is_whole: Whether it begins as a sealed file does, and is not empty.
        same_disk: Whether it is the disk of the home.
        by_hand_at_ms: When `orrery backup` was run last, 0 if it never was.
        by_hand_place: Where that one went.
        can_seal: Whether the part of Orrery that seals is installed.
    """

    wanted: BackupSettings | None = None
    folder: Path | None = None
    obstacle: str = ""
    newest: Path | None = None
    newest_at_ms: int = 0
    is_whole: bool = True
    same_disk: bool = False
    by_hand_at_ms: int = 0
    by_hand_place: str = ""
    can_seal: bool = True

    @property
    def last_at_ms(self) -> int:
        """When any was made last, 0 for none."""
        return max(self.newest_at_ms if self.is_whole else 0, self.by_hand_at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The clock.

    Attributes:
        now_ms: What it says.
        noted_ms: The latest time that it said when something was stored.
        is_synchronized: Whether something keeps it right, None where that cannot be told.
        remedy: What makes something keep it right, empty where that is not known.
    """

    now_ms: int
    noted_ms: int = 0
    is_synchronized: bool | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """A program that receives at an endpoint.

    Attributes:
        endpoint: Where.
        program: Its name, empty where that is not to be seen.
        process: Its id, 0 likewise.
    """

    endpoint: Endpoint
    program: str = ""
    process: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What was seen of roots from here.

    Attributes:
        asked: Where roots were asked; empty where nobody could be.
        answered: Where they answered.
        held_ms: The timestamp of the planet that the own root handed out, None if it was not asked
            or did not answer.
        local: Addresses of this machine among those that Worlds list.
        heard_at_ms: When a node was heard last by the own root, 0 for never.
        listeners: Who receives where the home is to, for each endpoint of `listen` that is taken.
        firewall: The program that manages the firewall here, empty where none was found.
        own_ipv6: A public IPv6 address of this machine, None if it has none.
    """

    asked: frozenset[Place] = frozenset()
    answered: frozenset[Place] = frozenset()
    held_ms: int | None = None
    local: frozenset[bytes] = frozenset()
    heard_at_ms: int = 0
    listeners: tuple[Listener, ...] = ()
    firewall: str = ""
    own_ipv6: Endpoint | None = None

    @property
    def silent(self) -> frozenset[Place]:
        """Where roots were asked and did not answer."""
        return self.asked - self.answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What was seen on the hosts of `orrery.toml`.

    Attributes:
        views: What there is on each.
        standings: How each stands with its Worlds, by name.
        refusal: Why they could not be looked at, empty where they were or were not to be.
        missing_part: The part of Orrery that is needed and not installed, empty for none.
    """

    views: tuple[HostView, ...] = ()
    standings: Mapping[str, HostPlan] = field(default_factory=dict)
    refusal: str = ""
    missing_part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A home at one moment.

    Attributes:
        path: The home, as it was named.
        obstacle: Why it cannot be opened, empty where it can; then only `disk` is known.
        remedy: A command that mends that, empty where only a backup helps.
        settings_path: `orrery.toml`.
        settings: What it says, None where it has mistakes.
        mistakes: Those, each with file and line.
        identity: The home's own, None where nothing says which it is.
        identity_trouble: Why its secret cannot be used, empty where it can.
        public_text: What stands in `identity.public`, None where it is missing.
        is_served: Whether a server of the own root runs.
        sharing: Other roots that served from this database lately.
        mark: What is known of a restore that is not finished, None where there is none.
        outlooks: What nodes have told since, one for each World.
        worlds: Those with a revision.
        broken: Chains that do not hold, each with a sentence.
        unpublished: Worlds of `orrery.toml` that have no revision yet, by name, and whether there
            is a key to sign it.
    """

    path: Path
    disk: Disk
    time: Time
    obstacle: str = ""
    remedy: str = ""
    settings_path: Path = Path("orrery.toml")
    settings: Settings | None = None
    mistakes: tuple[str, ...] = ()
    identity: Identity | None = None
    identity_trouble: str = ""
    public_text: str | None = None
    is_served: bool = False
    sharing: frozenset[Address] = frozenset()
    mark: Mark | None = None
    outlooks: tuple[Outlook, ...] = ()
    worlds: tuple[Published, ...] = ()
    broken: tuple[str, ...] = ()
    unpublished: Mapping[str, bool] = field(default_factory=dict)
    backups: Backups = Backups()
    network: Network = Network()
    hosts: Hosts = Hosts()

    def is_own(self, identity: Identity) -> bool:
        """Whether this is the home's own root."""
        return self.identity is not None and identity.public() == self.identity.public()

    def node_of(self, host: str) -> Address | None:
        """The node that runs on a host, as far as it was seen."""
        return next((view.node for view in self.hosts.views if view.name == host), None)
