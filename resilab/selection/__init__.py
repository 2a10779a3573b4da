"""Choosing a pattern: the two tables of the reference, and what each of their rows is worth."""

from .case import Case, Number, SuccessRate
from .cases import all_cases
from .scorecard import scorecard
from .tables import pattern_table, when_to_use

__all__ = ["Case", "Number", "SuccessRate", "all_cases", "pattern_table", "scorecard", "when_to_use"]
