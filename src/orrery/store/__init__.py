"""What has to be remembered: revisions, timestamps, nodes, who adopted what, and who did what."""

from orrery.store.database import Store
from orrery.store.movements import Hearing, Movements, Standing
from orrery.store.records import (
    Adoption,
    AdoptionCount,
    AdoptionRecord,
    AuditEntry,
    Fork,
    ForkCount,
    ForkRecord,
    Holding,
    Lease,
    LeaseRecord,
    NodeRecord,
    Revision,
    Rollout,
    RootRecord,
    Serving,
    Sighting,
    SightingRecord,
)

__all__ = [
    "Adoption",
    "AdoptionCount",
    "AdoptionRecord",
    "AuditEntry",
    "Fork",
    "ForkCount",
    "ForkRecord",
    "Hearing",
    "Holding",
    "Lease",
    "LeaseRecord",
    "Movements",
    "NodeRecord",
    "Revision",
    "Rollout",
    "RootRecord",
    "Serving",
    "Sighting",
    "SightingRecord",
    "Standing",
    "Store",
]
