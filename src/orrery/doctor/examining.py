"""All checks, in the order in which a person would look."""

from collections.abc import Callable, Iterator

from orrery.doctor.checks.backups import check_backups
from orrery.doctor.checks.chain import check_chains
from orrery.doctor.checks.disk import check_disk
from orrery.doctor.checks.hosts import check_hosts
from orrery.doctor.checks.keys import check_keys
from orrery.doctor.checks.rollouts import check_restored, check_rollouts
from orrery.doctor.checks.serving import check_serving
from orrery.doctor.checks.settings import check_identity, check_settings
from orrery.doctor.checks.stranding import check_single_points, check_stranding
from orrery.doctor.checks.time import check_time
from orrery.doctor.commands import Commands
from orrery.doctor.finding import Finding
from orrery.doctor.snapshot import Snapshot

Check = Callable[[Snapshot, Commands], Iterator[Finding]]

_CHECKS: tuple[Check, ...] = (
    check_disk,
    check_settings,
    check_identity,
    check_restored,
    check_time,
    check_keys,
    check_chains,
    check_serving,
    check_rollouts,
    check_hosts,
    check_stranding,
    check_backups,
    check_single_points,
)


def examine(snapshot: Snapshot, commands: Commands) -> tuple[Finding, ...]:
    """Everything that the owner of a home should know, what matters most first.

    Args:
        snapshot: The home.
        commands: Make the commands that mend.
    """
    checks = (check_disk,) if snapshot.obstacle else _CHECKS
    found = [finding for check in checks for finding in check(snapshot, commands)]
    # One command for one place is told once, whatever checks came upon it.
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.level.rank))
