"""Taking over a planet or moon that runs already, without touching a node.

`investigate` reads what people have and judges it, `choose_identity` says who the home's own root
is to be, and `adopt` makes the home.
"""

from orrery.home.adopting.finding import Finding, FindingCode
from orrery.home.adopting.judging import Ability, Findings, RootFound, WorldFound, investigate
from orrery.home.adopting.making import (
    Choice,
    Role,
    adopt,
    check_adoptable,
    check_apart,
    check_wish,
    choose_identity,
)
from orrery.home.adopting.wanting import adopted_text, world_names

__all__ = [
    "Ability",
    "Choice",
    "Finding",
    "FindingCode",
    "Findings",
    "Role",
    "RootFound",
    "WorldFound",
    "adopt",
    "adopted_text",
    "check_adoptable",
    "check_apart",
    "check_wish",
    "choose_identity",
    "investigate",
    "world_names",
]
