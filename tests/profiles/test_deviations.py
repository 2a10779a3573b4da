"""Where the profiles of libraries differ from what one expects: found by reading them, and by held-back cases."""

from __future__ import annotations

import simpy

import resilab as rl
from resilab import CircuitState


def run(env, *processes):
    """Play processes to their end."""
    for process in processes:
        env.process(process)
    env.run()


def call(live, env, outcomes, seconds=0.0):
    """Send one call after the other; each ends with an error or with its value."""
    for outcome in outcomes:

        def work(outcome=outcome):
            yield env.timeout(seconds)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        try:
            yield from live.execute(work)
        except (rl.ServiceError, rl.CircuitOpenError):
            pass


DOWN = rl.ServiceError("down")


def test_the_break_duration_generator_of_polly_counts_half_open_attempts_from_zero():
    env = simpy.Environment()
    breaker = rl.CircuitBreaker.like(
        "polly", minimum_throughput=2, break_duration_generator=lambda attempts: 2.0**attempts
    ).bind(env)
    times = []

    def model():
        yield from call(breaker, env, [DOWN, DOWN])
        for _ in range(3):
            times.append(breaker.retry_after)
            yield env.timeout(times[-1])
            yield from call(breaker, env, [DOWN])

    run(env, model())
    assert times == [1.0, 2.0, 4.0]


def test_a_probe_of_polly_that_an_outer_timeout_cancels_closes_the_breaker():
    env = simpy.Environment()
    policy = rl.ResiliencePolicy(rl.Timeout(1.0), rl.CircuitBreaker.like("polly", minimum_throughput=2))
    live = policy.bind(env)
    breaker = live.parts[1]

    def slow():
        yield env.timeout(9.0)

    def model():
        yield from call(live, env, [DOWN, DOWN])
        yield env.timeout(5.0)
        try:
            yield from live.execute(slow)
        except rl.TimeoutExceededError:
            pass

    run(env, model())
    assert breaker.state is CircuitState.CLOSED


def test_resilience4j_says_that_the_failure_rate_was_exceeded_when_closed_opens():
    env, log = simpy.Environment(), rl.EventLog()
    breaker = rl.CircuitBreaker.like("resilience4j", sliding_window_size=2, minimum_number_of_calls=2)
    run(env, call(breaker.bind(env, log=log), env, [DOWN, DOWN]))
    assert [row.type for row in log.rows] == ["failure_rate_exceeded", "transition"]


def test_resilience4j_goes_on_turning_while_nobody_calls():
    env, log = simpy.Environment(), rl.EventLog()
    breaker = rl.CircuitBreaker.like(
        "resilience4j",
        sliding_window_size=2,
        minimum_number_of_calls=2,
        wait_duration_in_open_state=5.0,
        automatic_transition_from_open_to_half_open_enabled=True,
        max_wait_duration_in_half_open_state=2.0,
    ).bind(env, log=log)
    env.process(call(breaker, env, [DOWN, DOWN]))
    env.run(20.5)
    turns = [(row.time, str(row.detail)) for row in log.rows if row.type == "transition"]
    assert turns == [
        (0, "closed -> open"),
        (5, "open -> half_open"),
        (7, "half_open -> open"),
        (12, "open -> half_open"),
        (14, "half_open -> open"),
        (19, "open -> half_open"),
    ]


def test_a_scenario_with_a_breaker_that_turns_by_itself_ends():
    breaker = rl.CircuitBreaker.like(
        "resilience4j",
        sliding_window_size=5,
        minimum_number_of_calls=5,
        wait_duration_in_open_state=1.0,
        automatic_transition_from_open_to_half_open_enabled=True,
        max_wait_duration_in_half_open_state=0.1,
    )
    service = rl.Service(2, rl.Constant(0.01), failure_rate=0.9)
    result = rl.simulate(rl.Scenario(rl.Steady(20), service, breaker, duration=5.0, clients=3), seed=1)
    assert result.events.time.max() < 10


def test_opening_a_breaker_of_resilience4j_that_is_open_restarts_its_wait():
    env = simpy.Environment()
    breaker = rl.CircuitBreaker.like("resilience4j", wait_duration_in_open_state=10.0).bind(env)
    breaker.force(CircuitState.OPEN)
    env.run(6.0)
    breaker.force(CircuitState.OPEN)
    assert breaker.retry_after == 10.0


def test_a_late_success_closes_no_breaker_of_polly_7_before_a_call():
    env = simpy.Environment()
    breaker = rl.CircuitBreaker.like("polly_v7", exceptions_allowed_before_breaking=2, duration_of_break=5.0).bind(env)
    run(env, call(breaker, env, ["late"], seconds=6.0), call(breaker, env, [DOWN, DOWN]))
    assert (env.now, breaker.state) == (6.0, CircuitState.HALF_OPEN)
    assert breaker.retry_after == 0.0


def starts_of(retry, give_up=rl.ServiceError):
    """Return when each attempt of one failing call starts."""
    env, starts = simpy.Environment(), []

    def work():
        starts.append(env.now)
        yield env.timeout(0)
        raise DOWN

    def caller():
        try:
            yield from retry.bind(env, seed=1).execute(work)
        except give_up:
            pass

    run(env, caller())
    return starts


def test_failsafe_cuts_the_last_delay_to_what_is_left_of_the_longest_duration():
    assert starts_of(rl.Retry.like("failsafe", delay=0.61, max_duration=1.0, max_attempts=9)) == [0, 0.61, 1.0]


def test_failsafe_draws_around_computed_delays_and_does_not_retry_what_it_aborts_on():
    retry = rl.Retry.like("failsafe", delay_fn=lambda number, error: 10.0, jitter_factor=0.5)
    _, first, second = starts_of(retry)
    assert 5.0 <= first <= 15.0
    assert first != second - first
    assert len(starts_of(rl.Retry.like("failsafe", abort_on=rl.ServiceError))) == 1


def test_tenacity_stops_before_or_after_its_delay():
    wait = rl.Backoff("constant", 0.4)
    assert len(starts_of(rl.Retry.like("tenacity", wait=wait, stop_after_delay=1.0))) == 4
    assert len(starts_of(rl.Retry.like("tenacity", wait=wait, stop_before_delay=1.0))) == 3


def test_resilience4j_does_not_retry_what_it_ignores():
    assert len(starts_of(rl.Retry.like("resilience4j", ignore_exceptions=rl.ServiceError))) == 1
