"""What has to be remembered: revisions, timestamps, nodes, who adopted what, and who did what."""

from orrery.store.database import Store
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
    Serving,
    Sighting,
    SightingRecord,
)
from orrery.store.standing import Standing

__all__ = [
    "Adoption",
    "AdoptionCount",
    "AdoptionRecord",
    "AuditEntry",
    "Fork",
    "ForkCount",
    "ForkRecord",
    "Holding",
    "Lease",
    "LeaseRecord",
    "NodeRecord",
    "Revision",
    "Rollout",
    "Serving",
    "Sighting",
    "SightingRecord",
    "Standing",
    "Store",
]
