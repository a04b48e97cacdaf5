"""The tables that a settings file has, with their keys and defaults."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orrery.home.settings.values import (
    DAY_MS,
    SECOND_MS,
    Change,
    ChangeKind,
    CohortEntry,
    Directory,
    DnsServer,
    DnsTimeout,
    Every,
    Horizon,
    Listening,
    Name,
    PublicIdentity,
    Recipient,
    Required,
    RootEndpoint,
    Settle,
    WorldId,
)
from orrery.rollout.cohorts import EVERYBODY, Share
from orrery.wire.endpoint import Endpoint
from orrery.wire.world import MAX_ENDPOINTS, MAX_ROOTS, WorldType
from orrery.worlds.stage import PLACES


class Table(BaseModel):
    """A table of the file: it has the keys that are known, each with a value of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RootSettings(Table):
    """A root that a World is to list.

    `orrery.home.resolving` makes of it what a World holds.

    Attributes:
        software: What runs there: an official root hands the newest revision to everybody, knows
            no cohorts, and needs the World's file installed.
    """

    name: Name
    identity: PublicIdentity
    endpoints: Annotated[list[RootEndpoint], Field(min_length=1, max_length=MAX_ENDPOINTS)]
    software: Literal["orrery", "zerotier-one"] = "orrery"


class WorldSettings(Table):
    """A World as it is wanted."""

    name: Name
    kind: Literal["planet", "moon"]
    id: WorldId
    roots: Annotated[list[RootSettings], Field(alias="root", min_length=1, max_length=MAX_ROOTS)]

    @property
    def type(self) -> WorldType:
        """The type on the wire."""
        return WorldType.PLANET if self.kind == "planet" else WorldType.MOON


class ServeSettings(Table):
    """How the root server is to work.

    Attributes:
        listen: Where it receives; a family that the machine does not have is left out.
        push: Whether a new revision is handed to every node at once.
        push_rate: To how many nodes a second at most.
        retention_days: How long the history of sightings is kept.
        retention_rows: How many rows of it are kept at most.
    """

    listen: Annotated[list[Listening], Field(min_length=1, max_length=64)] = [
        Endpoint.from_text("0.0.0.0:9993", allow_any=True),
        Endpoint.from_text("[::]:9993", allow_any=True),
    ]
    push: bool = True
    push_rate: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    retention_rows: Annotated[int, Field(ge=1_000, le=1_000_000_000)] = 1_000_000


class RolloutSettings(Table):
    """How a rollout goes that gives a revision to some nodes before others.

    `orrery apply` goes by it; `orrery publish` gives a revision to everybody at once.

    Attributes:
        cohorts: Who gets it before others, in order, as `Cohorts` wants them.
        settle_ms: How long a cohort is watched before the next one's turn; `settle`.
        horizon_ms: A node counts when it was seen in this span; `horizon`.
        required: The share of the counted nodes of a cohort that must have adopted before the
            next one's turn.
        without_asking: The kinds of change that `apply` makes without a question.
    """

    cohorts: Annotated[list[CohortEntry], Field(min_length=1, max_length=32)] = [
        Share(PLACES // 100),
        Share(PLACES // 10),
        EVERYBODY,
    ]
    settle_ms: Annotated[Settle, Field(alias="settle")] = 10 * SECOND_MS
    horizon_ms: Annotated[Horizon, Field(alias="horizon")] = 30 * DAY_MS
    required: Required = Fraction(1)
    without_asking: Annotated[list[Change], Field(max_length=len(ChangeKind))] = []


class DnsSettings(Table):
    """Who is asked what the names of roots stand for.

    Attributes:
        servers: DNS servers; those of the system when there are none.
        timeout_ms: How long a name may take; `timeout`.
    """

    servers: Annotated[list[DnsServer], Field(max_length=8)] = []
    timeout_ms: Annotated[DnsTimeout, Field(alias="timeout")] = 5 * SECOND_MS


class BackupSettings(Table):
    """Backups that are made by themselves: at times by the server, and before anything is signed.

    Attributes:
        to: The directory for them; one without a slash in front lies in the home.
        recipients: Age public keys: each of their owners opens a backup, nobody else does, and no
            secret for it lies on this machine.
        every_ms: How often the server makes one; `every`.
        keep: How many are kept of those, and how many of those made before signatures.
    """

    to: Directory
    recipients: Annotated[list[Recipient], Field(min_length=1, max_length=32)]
    every_ms: Annotated[Every, Field(alias="every")] = DAY_MS
    keep: Annotated[int, Field(ge=1, le=10_000)] = 14
