"""Health checks: their answers, side by side, within their time limits."""

from __future__ import annotations

import pytest
import simpy

import resilab as rl


def after(env, seconds, answer=None):
    """Return a check that answers after *seconds*; an exception is raised."""

    def check():
        yield env.timeout(seconds)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return check


def check_all(env, *checks, log=None):
    """Run the checks and return what the registry says."""
    registry = rl.HealthCheckRegistry(checks).bind(env, log=log)
    return env.run(env.process(registry.check_all()))


def test_reference_snippet_of_the_registry():
    """The reference's registry: three checks, side by side, each with its duration; one error makes the whole sick."""
    env = simpy.Environment()
    registry = rl.HealthCheckRegistry().bind(env)
    registry.register(rl.HealthCheck("database", after(env, 0.02, rl.HealthStatus("healthy", {"pool": 10}))))
    registry.register(rl.HealthCheck("cache", after(env, 0.01, rl.HealthStatus("degraded"))))
    health = env.run(env.process(registry.check_all()))
    assert health.status == "degraded"
    assert env.now == 0.02  # Promise.all: as long as the slowest, not the sum
    assert health.checks["database"] == rl.HealthStatus("healthy", {"pool": 10}, 0.02)
    assert health.checks["cache"].duration == 0.01

    registry.register(rl.HealthCheck("queue", after(env, 0.005, ConnectionError("no route to host"))))
    health = env.run(env.process(registry.check_all()))
    assert health.status == "unhealthy"
    assert health.checks["queue"].status == "unhealthy"
    assert health.checks["queue"].details == {"error": "no route to host"}
    assert health.checks["queue"].duration == pytest.approx(0.005)


def test_reference_snippet_of_kubernetes():
    """Liveness looks at nothing; readiness asks the registry."""
    env = simpy.Environment()
    sick = rl.HealthCheck("database", after(env, 0.01, rl.HealthStatus("unhealthy")))
    checks = rl.KubernetesHealthChecks(rl.HealthCheckRegistry((sick,))).bind(env)
    assert env.run(env.process(checks.liveness_check())) == rl.HealthStatus("healthy")
    ready = env.run(env.process(checks.readiness_check()))
    assert (ready.status, ready.http_code) == ("unhealthy", 503)


def test_checks_run_side_by_side():
    """Ten checks of one second take one second."""
    env = simpy.Environment()
    health = check_all(env, *(rl.HealthCheck(f"check {n}", after(env, 1.0), timeout=2.0) for n in range(10)))
    assert env.now == health.duration == 1.0


def test_a_hung_check_does_not_hang_the_registry():
    """A check that never answers is unhealthy after its own limit; the others keep their answers."""
    env = simpy.Environment()
    hung = rl.HealthCheck("hung", lambda: wait_forever(env), timeout=0.3)
    health = check_all(env, hung, rl.HealthCheck("well", after(env, 0.1)))
    assert env.now == 0.3
    assert health.status == "unhealthy"
    assert health.checks["well"].status == "healthy"
    assert "timed out" in health.checks["hung"].details["error"]


def wait_forever(env):
    yield env.event()


def test_an_answer_at_exactly_the_limit_counts():
    """As everywhere: a response at the time limit is in time."""
    env = simpy.Environment()
    assert check_all(env, rl.HealthCheck("slow", after(env, 0.5), timeout=0.5)).status == "healthy"


@pytest.mark.parametrize(
    ("critical", "other", "status", "code"),
    [
        ("healthy", "healthy", "healthy", 200),
        ("healthy", "degraded", "degraded", 200),
        ("healthy", "unhealthy", "degraded", 200),
        ("degraded", "healthy", "degraded", 200),
        ("degraded", "degraded", "degraded", 200),
        ("degraded", "unhealthy", "degraded", 200),
        ("unhealthy", "healthy", "unhealthy", 503),
        ("unhealthy", "unhealthy", "unhealthy", 503),
    ],
)
def test_the_whole_is_the_worst_of_what_is_critical(critical, other, status, code):
    """A critical failure is the failure of the whole; anything else that is not well degrades it."""
    env = simpy.Environment()
    health = check_all(
        env,
        rl.HealthCheck("database", after(env, 0.1, critical)),
        rl.HealthCheck("cache", after(env, 0.1, other), critical=False),
    )
    assert (health.status, health.http_code) == (status, code)


def test_no_checks_are_healthy():
    """An empty registry answers 200 at once."""
    env = simpy.Environment()
    health = check_all(env)
    assert (health.status, health.http_code, env.now) == ("healthy", 200, 0)


def test_a_check_may_be_an_ordinary_function():
    """A check that takes no time needs no generator; None is healthy."""
    env = simpy.Environment()
    assert check_all(env, rl.HealthCheck("disk", lambda: None)).status == "healthy"
    assert check_all(env, rl.HealthCheck("disk", lambda: rl.Health.DEGRADED)).status == "degraded"

    def fails():
        raise OSError("disk is full")

    assert check_all(env, rl.HealthCheck("disk", fails)).checks["disk"].details == {"error": "disk is full"}


def test_a_check_that_returns_nonsense_is_a_mistake():
    """It is not taken for healthy, nor for a failing dependency."""
    env = simpy.Environment()
    with pytest.raises(TypeError, match=r"disk: a health check must return .* got 17"):
        check_all(env, rl.HealthCheck("disk", lambda: 17))


def test_cancelling_the_registry_cancels_its_checks():
    """Who asks may leave; no check runs on."""
    env = simpy.Environment()
    ended = []

    def check():
        try:
            yield env.event()
        finally:
            ended.append(env.now)

    registry = rl.HealthCheckRegistry((rl.HealthCheck("a", check, 9.0), rl.HealthCheck("b", check, 9.0))).bind(env)

    def ask():
        with pytest.raises(rl.TimeoutExceededError):
            yield from rl.Timeout(0.2).bind(env).execute(registry.check_all)

    env.run(env.process(ask()))
    assert ended == [0.2, 0.2]


def test_a_mistake_in_a_check_ends_the_run():
    """`NotAGeneratorError` is no illness of the dependency, and no check is left running."""
    env = simpy.Environment()

    def check():
        yield from rl.Timeout(1.0).bind(env).execute(len, "abc")

    with pytest.raises(rl.NotAGeneratorError):
        check_all(env, rl.HealthCheck("slow", after(env, 0.4)), rl.HealthCheck("wrong", check))


def test_policies_compose_with_checks():
    """A check behind a retry is a check: any generator function is."""
    env = simpy.Environment()
    answers = iter([ConnectionError("lost"), None])

    def flaky():
        yield env.timeout(0.01)
        answer = next(answers)
        if answer is not None:
            raise answer

    retry = rl.Retry(max_retries=1, initial_delay=0.0).bind(env)
    assert check_all(env, rl.HealthCheck("database", lambda: retry.execute(flaky))).status == "healthy"


def test_changes_of_health_are_events():
    """A log gets one row for each change of the whole, and none while nothing changes."""
    env = simpy.Environment()
    log = rl.EventLog()
    answers = iter(["healthy", "unhealthy", "unhealthy", "healthy"])
    registry = rl.HealthCheckRegistry((rl.HealthCheck("disk", lambda: next(answers)),)).bind(env, log=log)
    for _ in range(4):
        env.run(env.process(registry.check_all()))
    assert [row[2:] for row in log.rows] == [
        ("health", -1, "healthy -> unhealthy"),
        ("health", -1, "unhealthy -> healthy"),
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rl.HealthStatus("fine"), ValueError, "status must be one of 'healthy'"),
        (lambda: rl.HealthStatus(duration=-1), ValueError, "duration must be >= 0, got -1"),
        (lambda: rl.HealthCheck("x", "not a function"), TypeError, "check must be a function"),
        (lambda: rl.HealthCheck("x", len, timeout=0), ValueError, "timeout must be > 0, got 0"),
        (lambda: rl.HealthCheck(3, len), TypeError, "name must be a str"),
        (lambda: rl.HealthCheckRegistry((len,)), TypeError, "checks must be a HealthCheck"),
        (
            lambda: rl.HealthCheckRegistry((rl.HealthCheck("x", len), rl.HealthCheck("x", len))),
            ValueError,
            "checks must have different names, got 'x' twice",
        ),
    ],
)
def test_bad_input_is_refused(make, error, message):
    """Name, rule, value."""
    with pytest.raises(error, match=message):
        make()
