"""Traces: measured requests, read from the log of a real service."""

from .durations import read_durations
from .reading import FAILURE_CODES, read_trace
from .text import TraceError
from .trace import BadRow, Trace

__all__ = ["FAILURE_CODES", "BadRow", "Trace", "TraceError", "read_durations", "read_trace"]
