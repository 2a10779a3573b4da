"""Retries beside a late try: who is sent when, who wins, and what becomes of the others."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import simpy

import resilab as rl

QUICK = {"initial_delay": 0.0, "jitter": "none"}


class Script:
    """A dependency whose tries take these seconds and answer, or fail with an error."""

    def __init__(self, *tries):
        self.env = simpy.Environment()
        self.tries, self.sent, self.ended, self.cancelled = tries, [], None, []

    def call(self):
        number = len(self.sent)
        self.sent.append(self.env.now)
        seconds, answer = self.tries[number]
        try:
            yield self.env.timeout(seconds)
        except simpy.Interrupt:
            self.cancelled.append(number)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def play(self, retry, **bound):
        """Return what the call came to, and when."""
        self.live = retry.bind(self.env, **bound)

        def user():
            try:
                self.ended = (yield from self.live.execute(self.call)), self.env.now
            except rl.ResilienceError as error:
                self.ended = str(error), self.env.now

        self.env.process(user())
        self.env.run()
        return self.ended


FAILED = rl.ServiceError("no")


def test_a_late_try_goes_on_and_may_win():
    """The retry is sent after 1 s; the first try answers at 1.5 s, and the retry is cancelled."""
    script = Script((1.5, "first"), (9.0, "second"))
    assert script.play(rl.Retry(3, hedge_after=1.0, **QUICK)) == ("first", 1.5)
    assert (script.sent, script.cancelled, script.live.retries) == ([0, 1.0], [1], 1)


def test_the_retry_may_win_and_each_late_try_has_one():
    script = Script((9.0, "first"), (9.0, "second"), (0.2, "third"))
    assert script.play(rl.Retry(3, hedge_after=1.0, **QUICK)) == ("third", 2.2)
    assert (script.sent, script.cancelled) == ([0, 1, 2], [0, 1])


def test_a_retry_waits_for_its_delay_after_a_late_try_as_after_a_failure():
    """Late at 1.0, sent at 1.5; that one fails at 1.7, and the next is sent a second later."""
    script = Script((9.0, "first"), (0.2, FAILED), (0.1, "third"))
    assert script.play(rl.Retry(3, 0.5, jitter="none", hedge_after=1.0)) == ("third", pytest.approx(2.8))
    assert script.sent == pytest.approx([0, 1.5, 2.7])


def test_a_late_try_that_fails_has_had_its_retry():
    script = Script((1.2, FAILED), (0.9, "second"))
    assert script.play(rl.Retry(5, hedge_after=1.0, **QUICK)) == ("second", 1.9)
    assert len(script.sent) == 2


def test_an_answer_at_exactly_the_limit_is_in_time():
    script = Script((1.0, "first"))
    assert script.play(rl.Retry(3, hedge_after=1.0, **QUICK)) == ("first", 1.0)


def test_without_retries_left_the_others_are_waited_for():
    """The second and last try fails at 1.1; the first still answers."""
    script = Script((3.0, "first"), (0.1, FAILED))
    assert script.play(rl.Retry(1, hedge_after=1.0, **QUICK)) == ("first", 3.0)


def test_if_all_fail_the_last_error_stands():
    script = Script((3.0, rl.ServiceError("first")), (0.5, rl.ServiceError("second")))
    assert script.play(rl.Retry(1, hedge_after=1.0, **QUICK)) == ("first", 3.0)


def test_an_error_that_is_not_retried_wins_like_an_answer():
    script = Script((9.0, "first"), (0.5, rl.ServiceOverloadedError("full")))
    retry = rl.Retry(3, hedge_after=1.0, ignored_errors=rl.ServiceOverloadedError, **QUICK)
    assert script.play(retry) == ("full", 1.5)
    assert script.cancelled == [0]


def test_a_value_that_is_to_be_retried_is_no_answer_yet():
    script = Script((1.5, "stale"), (0.9, "fresh"))
    retry = rl.Retry(1, hedge_after=1.0, retryable_results=lambda value: value == "stale", **QUICK)
    assert script.play(retry) == ("fresh", 1.9)


def test_leaving_cancels_all_tries():
    """A time limit around the retry ends them, and a retry that still waits for its delay is never sent."""
    script = Script((9.0, "first"), (9.0, "second"))
    policy = rl.ResiliencePolicy(rl.Timeout(2.2), rl.Retry(3, 0.5, jitter="none", hedge_after=0.7))
    assert script.play(policy)[1] == 2.2
    assert script.sent == pytest.approx([0, 1.2])
    assert sorted(script.cancelled) == [0, 1]


def test_a_limit_of_active_retries_holds_and_is_given_back():
    """One place: of two calls that are late at once, one is retried; all places are free in the end."""
    env = simpy.Environment()
    retry = rl.Retry(5, hedge_after=1.0, budget=rl.RetryBudget.envoy(0.0, 1), **QUICK)
    live = retry.bind(env)
    service = rl.Service(10, 1.5, on_cancel="stop").bind(env)
    calls = [env.process(live.execute(service.request)) for _ in range(2)]
    env.run(env.all_of(calls))
    assert (env.now, live.retries, live.budget.active) == (1.5, 1, 0)


def play(*parts, failure_rate=0.0, seed=3):
    """Play Poisson arrivals with exponential latencies."""
    service = rl.Service(200, rl.Exponential(1.0), on_cancel="stop", failure_rate=failure_rate)
    return rl.simulate(rl.Scenario(rl.Poisson(20), service, rl.ResiliencePolicy(*parts), 60.0), seed)


def test_without_failures_and_delay_it_is_a_hedge():
    """Another way to the same rows: `Hedge` sends a copy each second, too."""
    ours, theirs = play(rl.Retry(3, hedge_after=0.8, **QUICK)), play(rl.Hedge(0.8, max_hedges=3))
    pd.testing.assert_frame_equal(ours.requests, theirs.requests)
    pd.testing.assert_frame_equal(ours.attempts, theirs.attempts)


def test_where_nothing_is_ever_late_it_is_a_retry():
    """The same luck, delays and rows."""
    retry = rl.Retry(3, 0.1, jitter="full")
    ours, theirs = (play(each, failure_rate=0.4) for each in (retry.replace(hedge_after=math.inf), retry))
    pd.testing.assert_frame_equal(ours.requests, theirs.requests)
    pd.testing.assert_frame_equal(ours.attempts, theirs.attempts)


def test_every_request_ends_once_and_no_worker_is_left_busy():
    result = play(
        rl.Timeout(4.0),
        rl.Retry(4, 0.1, jitter="full", hedge_after=0.5, budget=rl.RetryBudget.envoy(50.0)),
        rl.Bulkhead(60, max_queue=5),
        failure_rate=0.3,
    )
    assert sum(result.counts().values()) == len(result)
    assert len(result.attempts) == result.requests["attempts"].sum()
    assert result.timeline("busy_workers").iloc[-1] == 0
    assert result.requests["attempts"].max() <= 5


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="hedge_after must be > 0, got 0"):
        rl.Retry(hedge_after=0)
