"""What is wrong with a home and its hosts, or would be one day, with the command that mends it.

`gather` reads all that there is to know into a `Snapshot`; `examine` says what is wrong in it, and
touches nothing. So each check is a function from a value to findings.
"""

from orrery.doctor.commands import Commands
from orrery.doctor.examining import examine
from orrery.doctor.finding import Finding, Level
from orrery.doctor.gathering import gather
from orrery.doctor.snapshot import Snapshot

__all__ = ["Commands", "Finding", "Level", "Snapshot", "examine", "gather"]
