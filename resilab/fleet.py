"""Fleets: replicas behind a load balancer, watched by probes."""

from .worlds.ejection import OutlierEjection
from .worlds.fleet import Fleet
from .worlds.fleet_result import FleetResult
from .worlds.fleet_scenario import FleetScenario
from .worlds.replica import Dependency, ReplicaFault

__all__ = [
    "Dependency",
    "Fleet",
    "FleetResult",
    "FleetScenario",
    "OutlierEjection",
    "ReplicaFault",
]
