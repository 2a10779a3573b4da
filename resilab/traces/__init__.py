"""Traces: measured requests, read from the log of a real service, and a model of that service."""

from .calibrating import calibrate
from .calibration import Calibration, ModelWarning
from .checking import Check, check
from .durations import read_durations
from .of_result import trace_of
from .reading import FAILURE_CODES, read_trace
from .text import TraceError
from .trace import BadRow, Trace

__all__ = [
    "FAILURE_CODES",
    "BadRow",
    "Calibration",
    "Check",
    "ModelWarning",
    "Trace",
    "TraceError",
    "calibrate",
    "check",
    "read_durations",
    "read_trace",
    "trace_of",
]
