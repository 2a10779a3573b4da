"""Experiments: many runs of one or more scenarios, and what can be concluded from them."""

from .comparison import compare
from .covering import coverage
from .front import pareto
from .replication import intervals, replicate
from .sweeping import sweep

__all__ = ["compare", "coverage", "intervals", "pareto", "replicate", "sweep"]
