"""Pictures of runs and sweeps, drawn with matplotlib: every panel takes axes and returns them."""

from .communication import (
    calls_by_tier,
    message_fates,
    message_flow,
    message_lag,
    messaging_overview,
    request_trace,
    tiers_overview,
    workers_by_tier,
)
from .consistency import (
    outbox_backlog,
    outbox_delay,
    outbox_fates,
    outbox_overview,
    saga_gantt,
    saga_overview,
    saga_verdicts,
)
from .health import STATE_COLOURS, fleet_overview, replicas_over_time, scorecard
from .intervals import intervals
from .operations import operations_overview, places_held, refused_by_operation
from .run import latency_ecdf, latency_over_time, outcomes_over_time, overview, queue_and_workers
from .style import (
    FAULT_COLOUR,
    INK,
    KEPT_COLOUR,
    OUTCOME_COLOURS,
    SERIES_COLOURS,
    Picture,
    add_line,
    add_steps,
    axes_or_new,
    label,
    legend,
    lightness,
    log_axis,
    mark_faults,
    nice,
    picture,
    reach,
)
from .sweeps import differences, front, trade_off, words
from .traces import measured_and_simulated, model_check, trace_latency

__all__ = [
    "FAULT_COLOUR",
    "INK",
    "KEPT_COLOUR",
    "OUTCOME_COLOURS",
    "SERIES_COLOURS",
    "STATE_COLOURS",
    "Picture",
    "add_line",
    "add_steps",
    "axes_or_new",
    "calls_by_tier",
    "differences",
    "fleet_overview",
    "front",
    "intervals",
    "label",
    "latency_ecdf",
    "latency_over_time",
    "legend",
    "lightness",
    "log_axis",
    "mark_faults",
    "measured_and_simulated",
    "message_fates",
    "message_flow",
    "message_lag",
    "messaging_overview",
    "model_check",
    "nice",
    "operations_overview",
    "outbox_backlog",
    "outbox_delay",
    "outbox_fates",
    "outbox_overview",
    "outcomes_over_time",
    "overview",
    "picture",
    "places_held",
    "queue_and_workers",
    "reach",
    "refused_by_operation",
    "replicas_over_time",
    "request_trace",
    "saga_gantt",
    "saga_overview",
    "saga_verdicts",
    "scorecard",
    "tiers_overview",
    "trace_latency",
    "trade_off",
    "words",
    "workers_by_tier",
]


def __dir__() -> list[str]:
    """Offer the pictures, and not the modules that they come from, to whoever presses Tab."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
