"""Health checks, and the Kubernetes probes that ask for them."""

from .kubernetes import KubernetesHealthChecks
from .pod import KubernetesPod, PodState, RestartBackoff
from .probe import KubernetesProbe
from .registry import HealthCheck, HealthCheckRegistry
from .status import Health, HealthStatus, SystemHealth

__all__ = [
    "Health",
    "HealthCheck",
    "HealthCheckRegistry",
    "HealthStatus",
    "KubernetesHealthChecks",
    "KubernetesPod",
    "KubernetesProbe",
    "PodState",
    "RestartBackoff",
    "SystemHealth",
]
