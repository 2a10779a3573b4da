"""Experiments: many runs of one or more scenarios, and what can be concluded from them."""

from .comparison import compare
from .covering import coverage
from .front import pareto
from .recommending import recommend
from .replication import intervals, replicate
from .slo import SLO, Cost
from .space import Range
from .stress import Stress
from .sweeping import sweep

__all__ = ["compare", "coverage", "intervals", "pareto", "replicate", "sweep"]
