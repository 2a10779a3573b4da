"""Synchronous and asynchronous communication: clients, pools, and what a broker is made of."""

from .connection_pool import ConnectionPool
from .service_client import ServiceClient
from .status import Response

__all__ = ["ConnectionPool", "Response", "ServiceClient"]
