"""resilab: an interactive lab for resilience patterns on a simulated clock.

Policies, the simulated world and the verbs stand at the top. The rest has rooms:
`rl.errors`, `rl.communication`, `rl.messaging`, `rl.saga`, `rl.outbox`, `rl.health`, `rl.fleet`,
`rl.traces`, `rl.configs`, `rl.selection`, `rl.experiments`, `rl.theory`, `rl.plots`, `rl.widgets`.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import (
    communication as _communication,
)
from . import (
    errors,
    fleet,
    health,
    messaging,
    outbox,
    saga,
    theory,
    traces,
)
from . import (
    experiments as _experiments,
)
from . import (
    selection as _selection,
)
from .distributions import Constant, Empirical, Exponential, Gamma, LogNormal, Mixture, Pareto, Uniform
from .errors import (
    BulkheadFullError,
    CallRejectedError,
    CircuitOpenError,
    ResilienceError,
    ServiceError,
    TimeoutExceededError,
)
from .events import EventLog
from .experiments import SLO, Range, compare, recommend, replicate, safe_load, sweep, trips
from .lab.faults import CapacityLoss, Errors, Outage, Slowdown
from .lab.result import Result
from .lab.run import simulate
from .lab.scenario import Operation, Scenario
from .lab.service import Service
from .lab.tiers import Downstream, Tier, chain
from .lab.workload import ClosedLoop, Poisson, Replay, Schedule, Steady
from .resilience.adaptive_throttle import AdaptiveThrottle
from .resilience.backoff import Backoff
from .resilience.base import LivePolicy, Policy
from .resilience.breaker_rules import HalfOpenRule, OpenRule
from .resilience.bulkhead import Bulkhead
from .resilience.circuit_breaker import CircuitBreaker, CircuitState
from .resilience.deadline import Deadline
from .resilience.fallback import Fallback
from .resilience.hedge import Hedge
from .resilience.policy import ResiliencePolicy, compose
from .resilience.rate_limiter import RateLimiter
from .resilience.resilient_service import ResilientService
from .resilience.retry import Retry
from .resilience.retry_budget import RetryBudget
from .resilience.timeout import Timeout
from .resilience.windows import CountWindow, TimeWindow
from .traces import read_trace

__all__ = [
    "SLO",
    "AdaptiveThrottle",
    "Backoff",
    "Bulkhead",
    "BulkheadFullError",
    "CallRejectedError",
    "CapacityLoss",
    "CircuitBreaker",
    "CircuitOpenError",
    "CircuitState",
    "ClosedLoop",
    "Constant",
    "CountWindow",
    "Deadline",
    "Downstream",
    "Empirical",
    "Errors",
    "EventLog",
    "Exponential",
    "Fallback",
    "Gamma",
    "HalfOpenRule",
    "Hedge",
    "LivePolicy",
    "LogNormal",
    "Mixture",
    "OpenRule",
    "Operation",
    "Outage",
    "Pareto",
    "Poisson",
    "Policy",
    "Range",
    "RateLimiter",
    "Replay",
    "ResilienceError",
    "ResiliencePolicy",
    "ResilientService",
    "Result",
    "Retry",
    "RetryBudget",
    "Scenario",
    "Schedule",
    "Service",
    "ServiceError",
    "Slider",
    "Slowdown",
    "Steady",
    "Tier",
    "TimeWindow",
    "Timeout",
    "TimeoutExceededError",
    "Uniform",
    "chain",
    "compare",
    "compose",
    "configs",
    "errors",
    "explore",
    "fleet",
    "health",
    "lint",
    "messaging",
    "outbox",
    "plots",
    "read_trace",
    "recommend",
    "replicate",
    "safe_load",
    "saga",
    "simulate",
    "sweep",
    "theory",
    "traces",
    "trips",
]

_LAZY = {
    "Slider": "widgets",
    "explore": "widgets",
    "plots": "plots",
    "widgets": "widgets",
    "configs": "configs",
    "lint": "configs",
}
_ROOMS = (errors, _communication, messaging, saga, outbox, health, fleet, traces, _selection, _experiments, theory)
_ELSEWHERE = {
    "RetryPolicy": "Retry",
    "RetryConfig": "Retry",
    "TimeoutPolicy": "Timeout",
    "CancellableTimeout": "Timeout",
    "FallbackPolicy": "Fallback",
    "GracefulDegradation": "Fallback",
    "CircuitBreakerConfig": "CircuitBreaker",
}
"""Names of the reference document that are other names here."""


if TYPE_CHECKING:
    from . import configs, plots
    from .configs import lint
    from .widgets import Slider, explore
else:

    def __getattr__(name: str) -> object:
        """Load what is not needed in every model when it is first used, and find what lies in a room."""
        if name in _LAZY:
            module = _import_module(f".{_LAZY[name]}", __name__)
            return module if name == _LAZY[name] else getattr(module, name)
        for room in _ROOMS:
            if name in getattr(room, "__all__", ()):
                return getattr(room, name)
        hint = f": it is rl.{_ELSEWHERE[name]} here" if name in _ELSEWHERE else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    """Offer the public names, and not the folders that they come from, to whoever presses Tab."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
