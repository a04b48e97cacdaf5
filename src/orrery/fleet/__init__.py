"""Other people's servers: official zerotier-one roots and nodes, on this machine or over SSH."""

from orrery.fleet.campaign import deploy, look_at
from orrery.fleet.conversing import Reply, ask_hosts, leave, orbit
from orrery.fleet.host_view import HostFile, HostView, Problem, Running, Unfinished
from orrery.fleet.known import Known, read_known
from orrery.fleet.looking import look
from orrery.fleet.outcomes import Outcome, Progress, Result, Step
from orrery.fleet.wanting import Act, HostPlan, Standing, plan_for, standing_of

__all__ = [
    "Act",
    "HostFile",
    "HostPlan",
    "HostView",
    "Known",
    "Outcome",
    "Problem",
    "Progress",
    "Reply",
    "Result",
    "Running",
    "Standing",
    "Step",
    "Unfinished",
    "ask_hosts",
    "deploy",
    "leave",
    "look",
    "look_at",
    "orbit",
    "plan_for",
    "read_known",
    "standing_of",
]
