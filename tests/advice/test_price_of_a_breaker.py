"""What a breaker costs where nothing but luck is against it."""

from __future__ import annotations

import pytest

import resilab as rl

OPEN = 4.0
"""Seconds from opening to the first probe."""


def refused(rate: float, noise: float, threshold: int, duration: float) -> float:
    """Share of the requests that a breaker refuses without any fault."""
    service = rl.Service(int(rate), rl.Exponential(mean=0.05), failure_rate=noise, on_cancel="ignore")
    policy = rl.CircuitBreaker(failure_threshold=threshold, timeout=OPEN, success_threshold=3, half_open_max_calls=1)
    run = rl.simulate(rl.Scenario(rl.Poisson(rate), service, policy, duration=duration), seed=1, record=False)
    return run.counts()["rejected"] / sum(run.counts().values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "noise", "threshold", "duration"),
    [(20, 0.3, 5, 2000), (200, 0.2, 5, 400), (20, 0.1, 3, 2000), (200, 0.1, 3, 400), (1000, 0.1, 5, 200)],
)
def test_the_price_is_rate_times_luck_times_time_open(rate, noise, threshold, duration):
    """x = rate x p^n (1 - p) x time open, and x / (1 + x) of the requests are refused; a failed probe opens again."""
    x = rate * noise**threshold * (1 - noise) * OPEN / (1 - noise) ** 3
    found = refused(rate, noise, threshold, duration)
    print(rate, noise, threshold, round(found, 3), round(x / (1 + x), 3))
    assert x / (1 + x) == pytest.approx(found, rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 0.3])
def test_the_same_noise_costs_more_at_a_higher_rate(noise):
    """A rule of noise alone, whatever the rate, does not hold."""
    few, many = (refused(rate, noise, 5, duration=200.0) for rate in (20, 400))
    assert many > few + 0.2
