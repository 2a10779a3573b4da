"""Configurations of libraries in and out: what they say, what they cannot, and where they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab import configs
from resilab.configs.differences import canonical

RESILIENCE4J = """
resilience4j:
  circuitbreaker:
    configs:
      default:
        slidingWindowSize: 20
        registerHealthIndicator: true
    instances:
      orders:
        baseConfig: default
        minimum-number-of-calls: 10
        failureRateThreshold: 40
        waitDurationInOpenState: 5s
  retry:
    instances:
      orders:
        maxAttempts: 4
        enableExponentialBackoff: true
  timelimiter:
    instances:
      orders:
        timeoutDuration: 800ms
"""
PODS = """
kind: Deployment
spec:
  template:
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: api
          livenessProbe: {httpGet: {path: /live}, periodSeconds: 5, failureThreshold: 4}
          readinessProbe: {periodSeconds: 2, successThreshold: 2}
"""
ANNOTATED = """
@Retryable(maxRetries = 4, delay = 100, multiplier = 2,
           maxDelay = 1000)
@ConcurrencyLimit(8)
public Order find(String id) { return client.get(id); }
"""
LINKERD = """
metadata:
  name: orders
  annotations:
    retry.linkerd.io/http: 5xx
    retry.linkerd.io/limit: "2"
    retry.linkerd.io/timeout: 400ms
    balancer.linkerd.io/failure-accrual: consecutive
"""


def status_of(config, key):
    (row,) = [row for row in config.rows if row.key.endswith(key)]
    return row.status


def test_resilience4j_is_read_with_its_own_semantics_and_order():
    """Base configurations count, spellings are relaxed, and keys that the library ignores are said to be."""
    config = configs.read(RESILIENCE4J)
    assert config.kind, config.name == ("resilience4j", "orders")
    retry, breaker, limit = config.policy.flat()
    expected = rl.CircuitBreaker.like(
        "resilience4j", sliding_window_size=20, minimum_number_of_calls=10, failure_rate_threshold=40,
        wait_duration_in_open_state=5.0,
    )  # fmt: skip
    assert breaker == expected
    assert retry == rl.Retry.like("resilience4j", max_attempts=4)
    assert limit == rl.Timeout.like("resilience4j", timeout_duration=0.8)
    assert status_of(config, "enableExponentialBackoff") == "dropped"
    assert status_of(config, "registerHealthIndicator") == "dropped"
    assert config.notes["line"].notna().all()


@pytest.mark.parametrize("state", ["FORCED_OPEN", "half_open", "DISABLED"])
def test_initial_state_of_resilience4j_is_read_and_written(state):
    """A breaker may begin open, disabled ..."""
    config = configs.read(f"resilience4j.circuitbreaker.instances.orders.initialState={state}\n")
    assert config.policy.flat()[0] == rl.CircuitBreaker.like("resilience4j", initial_state=state)
    assert status_of(config, "initialState") == "mapped"
    written = configs.write(config.policy, "resilience4j", "orders")
    assert f"initialState: {state.upper()}" in written.text
    assert configs.read(written.text).policy == config.policy
    with pytest.raises(configs.ConfigError, match=r"initialState must be one of CLOSED, .* got 'AJAR'"):
        configs.read("resilience4j.circuitbreaker.instances.orders.initialState=AJAR\n")


def test_properties_say_the_same_as_yaml():
    """Dotted names with values."""
    config = configs.read("resilience4j.retry.instances.orders.max-attempts=5\n")
    assert config.policy == rl.ResiliencePolicy(rl.Retry.like("resilience4j", max_attempts=5))


def test_a_nested_order_is_read_and_written():
    """The smaller aspect order is further outside."""
    policy = rl.ResiliencePolicy(rl.CircuitBreaker.like("resilience4j"), rl.Retry.like("resilience4j"))
    written = configs.write(policy, "resilience4j", "orders")
    assert "circuitBreakerAspectOrder: 1" in written.text
    assert configs.read(written.text).policy == policy


def test_the_standard_handler_always_has_its_five_policies():
    """What the section does not say has the library's default."""
    config = configs.read('{"AttemptTimeout": {"Timeout": "00:00:03"}, "Retry": {"MaxRetryAttempts": 5}}', name="http")
    kinds = [type(part).__name__ for part in config.policy.flat()]
    assert kinds == ["Bulkhead", "Timeout", "Retry", "CircuitBreaker", "Timeout"]
    assert config.policy.flat()[2].max_retries == 5
    assert config.policy.flat()[4].seconds == 3.0


def test_pollys_options_keep_the_order_of_the_file():
    """It is taken for the order of the Add calls."""
    text = '{"orders": {"Timeout": {"Timeout": "00:00:05"}, "Retry": {"MaxRetryAttempts": 2}}}'
    config = configs.read(text)
    assert [type(part).__name__ for part in config.policy.flat()] == ["Timeout", "Retry"]
    assert config.policy.flat()[1] == rl.Retry.like("polly", max_retry_attempts=2)


def test_probes_are_read_and_written_in_whole_seconds():
    """What whole seconds change is said."""
    pod = configs.read(PODS).pod
    assert pod is not None
    assert pod.liveness == rl.health.KubernetesProbe(period=5.0, failure_threshold=4)
    assert pod.readiness.success_threshold == 2
    assert pod.grace_period == 20
    written = configs.write(rl.health.KubernetesProbe(period=2.4), "kubernetes", "api")
    assert "periodSeconds: 2" in written.text
    assert [row.status for row in written.rows if row.key == "liveness.period"] == ["approximated"]


def test_annotations_of_spring_count_retries():
    """maxRetries is one less than attempts; the limit is inside the retry."""
    config = configs.read(ANNOTATED)
    retry, limit = config.policy.flat()
    assert (config.name, retry.max_retries) == ("find", 4)
    assert [retry.backoff.delays_of(4)] == [[0.1, 0.2, 0.4, 0.8]]
    assert limit.max_concurrent == 8


def test_time_limit_and_unit_of_springs_annotation():
    """The timeout ends the retries, and the unit is of every wait."""
    annotation = "@Retryable(delay = 2, maxDelay = 8, timeout = 20, timeUnit = TimeUnit.SECONDS)"
    config = configs.read(f"{annotation}\npublic Reply call(Request request) {{\n")
    assert config.policy.flat()[0] == rl.Retry.like("spring", delay=2.0, max_delay=8.0, timeout=20.0)
    assert [row.status for row in config.rows] == ["mapped"] * 4
    written = configs.write(config.policy, "spring", "call")
    assert "timeout = 20000" in written.text
    assert configs.read(written.text).policy == config.policy
    assert (
        configs.read(annotation.replace("20", "0") + "\npublic Reply call() {\n").policy.flat()[0].max_duration is None
    )
    with pytest.raises(configs.ConfigError, match=r"timeUnit must be one of NANOSECONDS, .* got 'WEEKS'"):
        configs.read("@Retryable(delay = 2, timeUnit = WEEKS)\npublic Reply call() {\n")


def test_linkerd_retries_inside_its_limits_and_breaks_endpoints():
    """The limit of a try is inside the retry, the breaker of an endpoint inside both."""
    config = configs.read(LINKERD)
    retry, limit, breaker = config.policy.flat()
    assert retry.max_retries == 2
    assert limit.seconds == 0.4
    assert breaker == rl.CircuitBreaker.like("linkerd")


def test_an_aws_profile_names_mode_and_attempts():
    """Legacy is played by the rules before November 2026, and says so."""
    config = configs.read("[profile orders]\nretry_mode = standard\nmax_attempts = 5\n")
    assert config.name == "orders"
    assert config.policy.flat()[0] == rl.Retry.like("aws_2026", max_attempts=5)
    assert status_of(configs.read("[default]\nretry_mode = legacy\n"), "retry_mode") == "approximated"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RESILIENCE4J.replace("800ms", "soon"), "line 22: .*timeoutDuration must be a duration"),
        (RESILIENCE4J.replace("maxAttempts: 4", "maxAttempts: many"), "line 17: .*maxAttempts must be a number"),
        (RESILIENCE4J.replace("baseConfig: default", "baseConfig: other"), "line 10: .*must be one of the configs"),
        (RESILIENCE4J + "  retry: {}\n", "retry stands twice"),
        ("a: [1", "not readable as YAML or JSON"),
        ("colour: red", "not told what it is"),
        ("", "the text is empty"),
        (PODS.replace("failureThreshold: 4", "failureThreshold: 0"), "line 9: .*failureThreshold must be >= 1, got 0"),
        ('{"Retry": {"MaxRetryAttempts": 0}, "AttemptTimeout": {}}', "MaxRetryAttempts must be >= 1, got 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(text, message):
    """Line, key, rule, value."""
    with pytest.raises(configs.ConfigError, match=message):
        configs.read(text, name=None if "Attempt" not in text or "orders" in text else "http")


def test_a_file_is_named_in_its_errors(tmp_path):
    """A path is read like its text."""
    path = tmp_path / "application.yml"
    path.write_text(RESILIENCE4J)
    assert configs.read(path).policy == configs.read(RESILIENCE4J).policy
    path.write_text(RESILIENCE4J.replace("5s", "five"))
    with pytest.raises(configs.ConfigError, match=r"^application.yml, line 13"):
        configs.read(path)


seconds = st.integers(1, 5000).map(lambda number: number / 1000)
policies = st.lists(
    st.one_of(
        st.builds(rl.Timeout, seconds),
        st.builds(rl.Retry, st.integers(1, 5), seconds, jitter=st.sampled_from(("none", "full", "reference"))),
        st.builds(rl.CircuitBreaker, st.integers(1, 9), st.integers(1, 5), seconds),
        st.builds(rl.Bulkhead, st.integers(1, 50), st.sampled_from((None, 0, 7)), st.sampled_from((None, 0.25))),
        st.just(rl.Fallback("page")),
    ),
    max_size=4,
).map(lambda parts: rl.ResiliencePolicy(*parts))


@pytest.mark.parametrize("kind", [kind for kind in configs.KINDS if kind != "kubernetes"])
@pytest.mark.parametrize(
    "part",
    [rl.Fallback("page"), rl.Bulkhead(5), rl.Hedge(0.1), rl.Deadline(1.0), rl.AdaptiveThrottle(), rl.RateLimiter(5)],
    ids=lambda part: type(part).__name__,
)
def test_what_a_library_does_not_have_is_a_note_and_no_error(part, kind):
    """Alone, too: the file then says nothing, or what it can."""
    written = configs.write(part, kind, "orders")
    has_it = type(part) in map(type, configs.read(written.text, kind, "orders").policy.flat())
    assert has_it or any(row.key == type(part).__name__ and row.status == "dropped" for row in written.rows)


@settings(max_examples=60)
@given(policies, st.sampled_from([kind for kind in configs.KINDS if kind != "kubernetes"]))
def test_what_is_written_is_read_as_an_equal_policy_or_the_notes_say_why_not(policy, kind):
    """No difference is silent, and writing what was read changes nothing more."""
    written = configs.write(policy, kind, "orders")
    back = configs.read(written.text, kind, "orders")
    changed = [row for row in written.rows if row.status != "mapped"]
    same = [canonical(part) for part in policy.flat()] == [canonical(part) for part in back.policy.flat()]
    assert changed or same
    for part in policy.flat():
        if type(part) not in {type(other) for other in back.policy.flat()}:
            assert any(row.key == type(part).__name__ for row in changed)
    again = configs.write(back.policy, kind, "orders")
    assert configs.read(again.text, kind, "orders").policy == back.policy
