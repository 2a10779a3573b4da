"""A file that says nothing but which library it is for has that library's defaults: those of `like`."""

from __future__ import annotations

import pytest

import resilab as rl
from resilab import configs

RESILIENCE4J = """
resilience4j:
  retry: {instances: {a: {}}}
  circuitbreaker: {instances: {a: {}}}
  ratelimiter: {instances: {a: {}}}
  timelimiter: {instances: {a: {}}}
  bulkhead: {instances: {a: {}}}
"""
MICROSOFT = (
    '{"H": {"Retry": {}, "CircuitBreaker": {}, "AttemptTimeout": {}, "TotalRequestTimeout": {}, "RateLimiter": {}}}'
)
POLLY = '{"a": {"Retry": {}, "CircuitBreaker": {}, "Timeout": {}, "Hedging": {}, "ConcurrencyLimiter": {}}}'
ISTIO = """
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}
"""
GRPC = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "1s",
"maxBackoff": "10s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


def like(library, *kinds):
    """The defaults of a library, the outermost first."""
    return tuple(kind.like(library) for kind in kinds)


DEFAULTS = {
    "resilience4j": (
        RESILIENCE4J,
        like("resilience4j", rl.Retry, rl.CircuitBreaker, rl.RateLimiter, rl.Timeout, rl.Bulkhead),
    ),
    "spring": ("@Retryable", like("spring", rl.Retry)),
    "microsoft": (MICROSOFT, rl.ResiliencePolicy.like("microsoft").flat()),
    "polly": (POLLY, like("polly", rl.Retry, rl.CircuitBreaker, rl.Timeout, rl.Hedge, rl.Bulkhead)),
    "aws": ("[default]\nretry_mode = standard\n", like("aws_2026", rl.Retry)),
    "istio": (ISTIO, (rl.Retry.like("istio", retry_on=rl.errors.ReplicaRefusedError),)),
    "envoy": (
        "{name: a, connect_timeout: 1s, load_assignment: {cluster_name: a}}",
        like("envoy", rl.Bulkhead),
    ),
    "grpc": (
        GRPC,
        (rl.Retry.like("grpc", max_attempts=5, initial_backoff=1.0, max_backoff=10.0, backoff_multiplier=2),),
    ),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_file_without_values_has_the_defaults_of_like(kind):
    """Two ways to the same numbers; gRPC has no defaults, and is told the same."""
    text, expected = DEFAULTS[kind]
    assert configs.read(text, kind).policy.flat() == tuple(expected)


def test_route_of_envoy_that_retries_has_its_defaults():
    """15 s for all, one retry, three at one time in the cluster, 1024 requests."""
    config = configs.read("{route: {cluster: a, retry_policy: {retry_on: 5xx}}}", "envoy")
    assert config.policy == rl.ResiliencePolicy.like("envoy")


def test_probe_without_values_is_that_of_kubernetes():
    """10 s, 1 s, three failures."""
    config = configs.read("containers:\n- name: a\n  livenessProbe: {httpGet: {path: /}}\n", "kubernetes")
    assert config.pod == rl.health.KubernetesPod(liveness=rl.health.KubernetesProbe())
