"""Choosing a pattern: the two tables of the reference, and what each of their rows is worth."""

from .scorecard import scorecard
from .tables import pattern_table, when_to_use
