"""Experiments: many runs of one or more scenarios, and what can be concluded from them."""

from .comparison import compare
from .covering import coverage
from .failures import InterruptedExperimentWarning, WorkerLostError
from .front import pareto
from .recommendation import Recommendation
from .recommending import recommend
from .replication import intervals, replicate
from .safety import SafeLoad, recovery_map, safe_load
from .slo import SLO, Cost
from .space import Range
from .stress import Stress
from .sweeping import sweep
from .tripping import Trips, trips

__all__ = [
    "SLO",
    "Cost",
    "InterruptedExperimentWarning",
    "Range",
    "Recommendation",
    "SafeLoad",
    "Stress",
    "Trips",
    "WorkerLostError",
    "compare",
    "coverage",
    "intervals",
    "pareto",
    "recommend",
    "recovery_map",
    "replicate",
    "safe_load",
    "sweep",
    "trips",
]
