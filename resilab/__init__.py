"""resilab: an interactive lab for resilience patterns on a simulated clock."""

from .communication.connection_pool import ConnectionPool
from .distributions import Constant, Empirical, Exponential, Gamma, LogNormal, Mixture, Pareto, Uniform
from .errors import (
    AcknowledgementError,
    BrokerUnavailableError,
    BulkheadFullError,
    CallRejectedError,
    CircuitOpenError,
    ConsumerCrashError,
    NotAGeneratorError,
    PoolClosedError,
    PoolTimeoutError,
    ResilienceError,
    ServiceError,
    ServiceOverloadedError,
    StatusError,
    TimeoutExceededError,
    UnfinishedRunError,
    UnknownTopicError,
)
from .events import EventLog
from .experiments import compare, intervals, pareto, replicate, sweep
from .lab.faults import CapacityLoss, Errors, Outage, Slowdown
from .lab.result import Result
from .lab.run import simulate
from .lab.scenario import Operation, Scenario
from .lab.service import Service
from .lab.workload import ClosedLoop, Poisson, Replay, Schedule, Steady
from .resilience.bulkhead import Bulkhead
from .resilience.circuit_breaker import CircuitBreaker, CircuitState
from .resilience.fallback import Fallback
from .resilience.policy import ResiliencePolicy, compose
from .resilience.resilient_service import ResilientService
from .resilience.retry import Retry
from .resilience.timeout import Timeout
