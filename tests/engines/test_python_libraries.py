"""tenacity, stamina, hyx, pybreaker and botocore: the same script of calls, through them and through the lab."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

import resilab as rl

from .scripts import lab_breaker, lab_retries, script

SEEDS = range(20)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# tenacity and stamina


@pytest.mark.parametrize("seed", SEEDS)
def test_tenacity_makes_the_same_attempts_at_the_same_times(seed):
    tenacity = pytest.importorskip("tenacity")
    clock, left, outcomes, times = Clock(), script(seed, 60, 0.6), [], []

    def attempt():
        times.append(clock.now - 1000.0)
        if not left.pop(0):
            raise ValueError("no")

    while left:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_exponential(multiplier=0.1, max=0.3),
            sleep=clock.sleep, retry=tenacity.retry_if_exception_type(ValueError),
        )  # fmt: skip
        try:
            retrying(attempt)
            outcomes.append("ok")
        except tenacity.RetryError:
            outcomes.append("failed")
        except IndexError:
            break
    ours = rl.Retry.like(
        "tenacity", max_attempts=4, wait=rl.Backoff("exponential", 0.1, 2.0, max_delay=0.3)
    ).replace(retryable_errors=rl.ServiceError)  # fmt: skip
    lab_outcomes, lab_times = lab_retries(ours, script(seed, 60, 0.6))
    assert lab_outcomes == outcomes
    assert lab_times == pytest.approx(times[: len(lab_times)], abs=1e-9)


def test_stamina_waits_within_the_bounds_of_the_lab():
    """Its jitter is random: the waits of 200 calls lie between those of the least and the most draw, and reach both."""
    stamina = pytest.importorskip("stamina")
    law = rl.Retry.like("stamina")
    waits: list[list[float]] = [[] for _ in range(4)]
    for _ in range(200):
        slept = []
        with mock.patch("tenacity.nap.time.sleep", slept.append), pytest.raises(ValueError, match="no"):
            stamina.retry(on=ValueError, attempts=5, timeout=None)(_fail)()
        for place, seconds in zip(waits, slept, strict=True):
            place.append(seconds)
    for attempt, seconds in enumerate(waits):
        low, high = law.delay(attempt, 0.0), law.delay(attempt, 1.0 - 1e-12)
        assert low - 1e-9 <= min(seconds)
        assert max(seconds) <= high + 1e-9
        assert max(seconds) - min(seconds) > 0.9 * (high - low)


def _fail():
    raise ValueError("no")


# hyx and pybreaker


@pytest.mark.parametrize("attempts", [1, 3])
def test_hyx_counts_retries_as_attempts(attempts):
    retry = pytest.importorskip("hyx.retry").retry
    calls = []

    @retry(on=ValueError, attempts=attempts, backoff=0)
    async def attempt():
        calls.append(0)
        raise ValueError("no")

    with contextlib.suppress(Exception):
        asyncio.run(attempt())
    _, times = lab_retries(rl.Retry.like("hyx", attempts=attempts, backoff=0.0), [False] * (attempts + 1))
    assert len(calls) == len(times) == attempts + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_breaker_of_hyx_lets_the_same_calls_through(seed):
    hyx = pytest.importorskip("hyx.circuitbreaker")
    from hyx.circuitbreaker.exceptions import BreakerFailing

    answers, outcomes = script(seed, 200, 0.5), []
    clock = Clock()

    async def play():
        breaker = hyx.consecutive_breaker(
            exceptions=ValueError, failure_threshold=3, recovery_time_secs=1.05, recovery_threshold=2
        )

        @breaker
        async def attempt(succeeds):
            if not succeeds:
                raise ValueError("no")

        for succeeds in answers:
            try:
                await attempt(succeeds)
                outcomes.append("ok")
            except BreakerFailing:
                outcomes.append("rejected")
            except ValueError:
                outcomes.append("failed")
            clock.sleep(0.1)

    class Moment(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(clock.now, tz or UTC)

        @classmethod
        def utcnow(cls):
            return datetime.fromtimestamp(clock.now, UTC).replace(tzinfo=None)

    with mock.patch("hyx.circuitbreaker.states.datetime", Moment):
        asyncio.run(play())
    ours = rl.CircuitBreaker.like("hyx", failure_threshold=3, recovery_time=1.05, recovery_threshold=2)
    assert lab_breaker(ours, answers, 0.1) == outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_pybreaker_lets_the_same_calls_through(seed):
    """Failures in a row, one probe, and one success that closes it; the call that trips it raises its own error."""
    pybreaker = pytest.importorskip("pybreaker")
    answers, outcomes = script(seed, 200, 0.5), []
    breaker = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=1.05, throw_new_error_on_trip=False)
    clock = Clock()

    class Moment(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 1, tzinfo=tz) + timedelta(seconds=clock.now)

        @classmethod
        def utcnow(cls):
            return datetime(2026, 1, 1) + timedelta(seconds=clock.now)

    def attempt(succeeds):
        if not succeeds:
            raise ValueError("no")

    with mock.patch.object(pybreaker, "datetime", Moment):
        for succeeds in answers:
            try:
                breaker.call(attempt, succeeds)
                outcomes.append("ok")
            except pybreaker.CircuitBreakerError:
                outcomes.append("rejected")
            except ValueError:
                outcomes.append("failed")
            clock.sleep(0.1)
    ours = rl.CircuitBreaker(
        failure_threshold=3, success_threshold=1, timeout=1.05, volume_threshold=0, half_open_max_calls=1
    )
    assert lab_breaker(ours, answers, 0.1) == outcomes


# botocore


@pytest.mark.slow
@pytest.mark.parametrize(("failure_rate", "calls"), [(1.0, 60), (0.5, 150), (0.2, 200)])
def test_botocore_makes_as_many_attempts_with_its_quota(monkeypatch, failure_rate, calls):
    """The mode "standard" with the rules of November 2026: 3 attempts, and 14 of 500 tokens for each retry."""
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_NEW_RETRIES_2026", "true")
    from botocore.awsrequest import AWSResponse
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from botocore.session import Session

    answers, sent = script(7, 3 * calls, failure_rate), []

    class Raw:
        def stream(self, *_, **__):
            yield b"{}"

        def read(self, *_):
            return b"{}"

    def answer(request, **_):
        sent.append(answers[len(sent)])
        return AWSResponse(request.url, 200 if sent[-1] else 503, {}, Raw())

    session = Session()
    session.set_credentials("key", "secret")
    client = session.create_client(
        "sqs", region_name="eu-west-1", config=Config(retries={"mode": "standard", "total_max_attempts": 3})
    )
    client.meta.events.register("before-send.*.*", answer)
    outcomes = []
    with mock.patch("botocore.endpoint.time.sleep"):
        for _ in range(calls):
            try:
                client.list_queues()
                outcomes.append("ok")
            except ClientError:
                outcomes.append("failed")
    ours = rl.Retry.like("aws_2026", max_attempts=3)
    lab_outcomes, lab_times = lab_retries(ours, answers)
    assert lab_outcomes[:calls] == outcomes
    assert len(lab_times) >= len(sent)
