"""The circuit breaker: its default meaning sentence by sentence, then each switch."""

from __future__ import annotations

import math

import pytest
import simpy

import resilab as rl
from resilab import CircuitBreaker, CircuitState, CountWindow, HalfOpenRule, OpenRule, TimeWindow

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


class NotFoundError(Exception):
    """The dependency has answered: there is no such thing."""


class World:
    """A live breaker, and calls that end as told."""

    def __init__(self, **settings):
        self.env = simpy.Environment()
        self.log = rl.EventLog()
        self.breaker = CircuitBreaker(**settings).bind(self.env, log=self.log)
        self.sent = 0

    def start(self, outcome="ok", lasts=0.0):
        """Start a call; its process ends with "ok", "fail", "rejected", "cancelled" or the value."""

        def work():
            self.sent += 1
            yield self.env.timeout(lasts)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome == "fail":
                raise rl.ServiceError("down")
            return outcome

        def caller():
            try:
                return (yield from self.breaker.execute(work))
            except rl.CircuitOpenError:
                return "rejected"
            except rl.ServiceError:
                return "fail"
            except NotFoundError:
                return "not found"
            except simpy.Interrupt:
                return "cancelled"

        return self.env.process(caller())

    def call(self, *outcomes):
        """Make calls one after the other, without taking time, and return how the last one ended."""
        return [self.env.run(self.start(outcome)) for outcome in outcomes][-1]

    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))

    @property
    def state(self):
        return self.breaker.state

    @property
    def transitions(self):
        return [(row[0], row[4]) for row in self.log.rows if row[2] == "transition"]


FAIL3 = ("fail",) * 3
SMALL = {"failure_threshold": 3, "success_threshold": 2, "timeout": 5.0, "volume_threshold": 0}


# The default meaning


def test_defaults_are_those_of_the_reference():
    spec = CircuitBreaker()
    assert (spec.failure_threshold, spec.success_threshold, spec.timeout, spec.volume_threshold) == (5, 3, 30.0, 10)
    assert (spec.half_open_max_calls, spec.late_results, spec.window) == (None, "drop", None)


def test_it_opens_at_the_threshold_of_consecutive_failures_not_before():
    world = World(**SMALL)
    assert world.call("fail", "fail") == "fail"
    assert world.state is CLOSED
    world.call("fail")
    assert world.state is OPEN


def test_a_success_in_closed_clears_the_count():
    world = World(**SMALL)
    world.call("fail", "fail", "ok", "fail", "fail")
    assert world.state is CLOSED
    assert world.breaker.failures == 2
    world.call("fail")
    assert world.state is OPEN


def test_it_opens_only_once_enough_calls_were_recorded_since_it_closed():
    world = World(**SMALL | {"volume_threshold": 6})
    world.call("ok", *FAIL3, "fail")
    assert world.state is CLOSED
    world.call("fail")
    assert world.state is OPEN


def test_calls_before_it_closed_do_not_count_towards_the_volume():
    world = World(**SMALL | {"volume_threshold": 4})
    world.call("ok", *FAIL3)
    world.wait(5)
    world.call("ok", "ok", *FAIL3)
    assert world.state is CLOSED
    world.call("fail")
    assert world.state is OPEN


def test_open_rejects_without_sending():
    world = World(**SMALL)
    world.call(*FAIL3)
    assert world.call("ok") == "rejected"
    assert world.sent == 3
    assert world.breaker.rejections == 1


def test_it_turns_half_open_with_the_first_call_at_exactly_the_timeout():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(4.999)
    assert world.call("ok") == "rejected"
    world.wait(0.001)
    assert world.state is OPEN
    assert world.call("ok") == "ok"
    assert world.state is HALF_OPEN


def test_it_stays_open_without_a_call():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(100)
    assert world.state is OPEN
    world.call("ok")
    assert world.transitions[-1] == (100, "open -> half_open")


def test_enough_consecutive_successes_close_it():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(5)
    world.call("ok")
    assert world.state is HALF_OPEN
    world.call("ok")
    assert world.state is CLOSED


def test_any_failure_in_half_open_opens_it_again_for_the_whole_timeout():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(5)
    world.call("ok", "fail")
    assert world.state is OPEN
    world.wait(4.9)
    assert world.call("ok") == "rejected"
    world.wait(0.1)
    world.call("ok")
    assert world.state is HALF_OPEN  # the success before the failure does not count
    world.call("ok")
    assert world.state is CLOSED


def test_half_open_admits_all_probes_by_default():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(5)
    probes = [world.start("ok", lasts=1.0) for _ in range(7)]
    world.wait(1.1)
    assert [probe.value for probe in probes] == ["ok"] * 7
    assert world.state is CLOSED


def test_half_open_max_calls_limits_the_probes_in_flight():
    world = World(**SMALL | {"half_open_max_calls": 2})
    world.call(*FAIL3)
    world.wait(5)
    probes = [world.start("ok", lasts=1.0) for _ in range(3)]
    world.wait(0.5)
    assert probes[2].value == "rejected"
    world.wait(0.5)
    assert world.state is CLOSED


@pytest.mark.parametrize(("late_results", "state"), [("drop", HALF_OPEN), ("count", OPEN)])
def test_a_result_from_before_the_last_transition_is_ignored_unless_told_otherwise(late_results, state):
    world = World(**SMALL | {"late_results": late_results})
    world.start("fail", lasts=6.0)
    world.call(*FAIL3)
    world.wait(5)
    world.call("ok")
    world.wait(1)
    assert world.state is state


def test_a_late_failure_does_not_open_a_breaker_that_closed_meanwhile():
    world = World(**SMALL | {"failure_threshold": 1, "success_threshold": 1})
    world.start("fail", lasts=6.0)
    world.call("fail")
    world.wait(5)
    world.call("ok")
    world.wait(2)
    assert world.transitions[-1][1] == "half_open -> closed"


@pytest.mark.parametrize("budget", ["concurrent", "total"])
def test_a_cancelled_call_gives_its_place_back_and_counts_as_neither(budget):
    world = World(**SMALL | {"half_open_max_calls": 1, "half_open": HalfOpenRule(budget=budget)})
    world.call(*FAIL3)
    world.wait(5)
    probe = world.start("ok", lasts=9.0)
    world.wait(1)
    assert world.call("ok") == "rejected"
    probe.interrupt()
    world.wait(0)
    assert probe.value == "cancelled"
    assert world.state is HALF_OPEN
    assert world.call("ok") == "ok"


def test_a_cancelled_call_in_closed_counts_as_neither():
    world = World(**SMALL | {"failure_threshold": 1})
    call = world.start("ok", lasts=9.0)
    world.wait(1)
    call.interrupt()
    world.wait(0)
    assert world.state is CLOSED
    assert world.breaker.metrics.buffered == 0


# Windows


def test_a_count_window_opens_at_the_rate_and_forgets_the_oldest():
    world = World(window=CountWindow(4), failure_rate_threshold=0.5, volume_threshold=4)
    world.call("fail", "ok", "ok", "ok")
    assert world.breaker.metrics.failure_rate == 0.25
    world.call("fail")  # forgets the first
    assert world.breaker.metrics.failure_rate == 0.25
    world.call("fail")
    assert world.state is OPEN
    assert world.breaker.metrics.failed == 2


def test_a_count_window_needs_no_more_calls_than_it_has_places():
    world = World(window=CountWindow(3), failure_rate_threshold=1.0, volume_threshold=10)
    world.call("fail", "fail")
    assert world.breaker.metrics.failure_rate is None
    world.call("fail")
    assert world.state is OPEN


def test_an_exact_time_window_forgets_a_result_when_it_is_as_old_as_the_window():
    world = World(window=TimeWindow(10.0), failure_rate_threshold=0.5, volume_threshold=2)
    world.call("fail")
    world.wait(9.9)
    assert world.breaker.metrics.buffered == 1
    world.wait(0.1)
    assert world.breaker.metrics.buffered == 0
    world.call("fail")
    assert world.state is CLOSED
    world.call("fail")
    assert world.state is OPEN


def test_reading_the_metrics_changes_nothing():
    for window in (TimeWindow(1.0), TimeWindow(1.0, 10), TimeWindow(1.0, 10, "event"), TimeWindow(1.0, 10, "opening")):
        live = window.bind(simpy.Environment())
        live.record(0.0, True, False)
        live.record(0.5, False, True)
        before = [live.counts(time) for time in (0.5, 1.0, 1.6, 0.5)]
        assert before[0] == before[3]
        assert before[2].calls == 0


@pytest.mark.parametrize(
    ("window", "counts"),
    [
        (TimeWindow(1.0), [3, 3, 2, 2, 1, 1, 1, 0]),
        (TimeWindow(1.0, 5, "clock"), [3, 2, 2, 1, 1, 1, 0, 0]),
        (TimeWindow(1.0, 5, "opening"), [3, 3, 1, 1, 1, 0, 0, 0]),
        (TimeWindow(1.0, 5, "event"), [3, 3, 1, 1, 1, 1, 1, 0]),
    ],
)
def test_buckets_forget_in_steps(window, counts):
    live = window.bind(simpy.Environment(0.15))
    for time in (0.95, 1.10, 1.25):
        live.record(time, False, False)
    assert [live.counts(time).calls for time in (1.79, 1.81, 1.96, 2.01, 2.11, 2.16, 2.21, 2.26)] == counts


def test_slow_calls_open_it_whether_they_succeed_or_fail():
    world = World(
        window=CountWindow(4), failure_rate_threshold=1.0, slow_call_duration=1.0, slow_call_rate_threshold=0.5
    )
    starts = [world.start("ok", 1.0), world.start("ok", 1.1), world.start("ok", 0.5)]
    world.wait(2)
    assert [call.value for call in starts] == ["ok"] * 3
    assert world.breaker.metrics.slow == 1  # exactly the duration is not slow
    world.start("fail", 1.5)
    world.wait(2)
    assert world.state is OPEN


def test_opens_on_failure_looks_at_the_rate_after_failures_only():
    every, failures = (
        World(window=CountWindow(9), failure_rate_threshold=0.5, volume_threshold=3, opens_on=opens_on)
        for opens_on in ("result", "failure")
    )
    for world in (every, failures):
        world.call("fail", "fail", "ok")
    assert every.state is OPEN
    assert failures.state is CLOSED


# Errors and results


def test_ignored_errors_count_as_neither_and_give_the_place_back():
    world = World(**SMALL | {"ignored_errors": NotFoundError, "half_open_max_calls": 1})
    world.call("fail", "fail", NotFoundError())
    assert world.breaker.failures == 2
    world.call("fail")
    world.wait(5)
    world.call(*[NotFoundError()] * 5)
    assert world.state is HALF_OPEN
    world.call("ok", "ok")
    assert world.state is CLOSED


@pytest.mark.parametrize(("other_errors", "failures"), [("success", 1), ("ignored", 3)])
def test_an_error_that_is_not_recorded_is_an_answer_or_nothing(other_errors, failures):
    world = World(**SMALL | {"failure_threshold": 9, "recorded_errors": rl.ServiceError, "other_errors": other_errors})
    world.call("fail", "fail", NotFoundError(), "fail")
    assert world.breaker.failures == failures


def test_a_value_can_be_a_failure():
    world = World(**SMALL | {"recorded_results": lambda value: value == 503})
    world.call(503, 503, 200, 503, 503)
    assert world.state is CLOSED
    world.call(503)
    assert world.state is OPEN


# Half-open


def test_half_open_calls_decide_together():
    settings = {"window": CountWindow(2), "failure_rate_threshold": 0.5, "timeout": 1.0}
    world = World(**settings, half_open_max_calls=4, half_open=HalfOpenRule(4, budget="total"))
    world.call("fail", "fail")
    world.wait(1)
    world.call("fail", "ok", "ok")
    assert world.state is HALF_OPEN
    world.call("ok")
    assert world.state is CLOSED
    world.call("fail", "fail")
    world.wait(1)
    world.call("ok", "ok", "fail", "fail")
    assert world.state is OPEN


def test_a_total_budget_is_not_refilled_by_results():
    half_open = HalfOpenRule(budget="total")
    world = World(**SMALL | {"success_threshold": 5, "half_open_max_calls": 2, "half_open": half_open})
    world.call(*FAIL3)
    world.wait(5)
    assert world.call("ok", "ok") == "ok"
    assert world.call("ok") == "rejected"


def test_success_capacity_forgives_some_failures():
    world = World(**SMALL | {"success_threshold": 2, "half_open": HalfOpenRule(success_capacity=3)})
    world.call(*FAIL3)
    world.wait(5)
    world.call("fail", "ok")
    assert world.state is HALF_OPEN
    world.call("ok")
    assert world.state is CLOSED
    world.call(*FAIL3)
    world.wait(5)
    world.call("fail", "fail")
    assert world.state is OPEN


def test_a_probe_interval_admits_one_more_probe_when_the_first_hangs():
    world = World(**SMALL | {"half_open_max_calls": 1, "half_open": HalfOpenRule(probe_interval=2.0)})
    world.call(*FAIL3)
    world.wait(5)
    world.start("ok", lasts=math.inf)
    world.wait(1.9)
    assert world.call("ok") == "rejected"
    world.wait(0.1)
    assert world.call("ok") == "ok"


@pytest.mark.parametrize("state", [OPEN, CLOSED])
def test_half_open_ends_after_its_longest_wait(state):
    world = World(**SMALL | {"half_open": HalfOpenRule(max_wait=2.0, after_wait=state.value)})
    world.call(*FAIL3)
    world.wait(5)
    world.call("ok")
    world.wait(1.9)
    assert world.state is HALF_OPEN
    world.wait(0.2)
    assert world.state is state


def test_it_can_turn_half_open_by_itself():
    world = World(**SMALL | {"opening": OpenRule(automatic=True)})
    world.call(*FAIL3)
    world.wait(5)
    assert world.transitions[-1] == (5, "open -> half_open")
    world.env.run()  # and does not go on turning for ever
    assert world.state is HALF_OPEN


def test_the_longest_wait_in_half_open_begins_with_that_state_even_if_nobody_calls():
    """resilience4j starts its timer on entry: an idle breaker goes on turning."""
    world = World(**SMALL | {"opening": OpenRule(automatic=True), "half_open": HalfOpenRule(max_wait=2.0)})
    world.call(*FAIL3)
    world.wait(12.5)
    world.env.run()  # and ends, since nothing else is left to happen
    turns = [(5, "open -> half_open"), (7, "half_open -> open"), (12, "open -> half_open"), (14, "half_open -> open")]
    assert world.transitions[1:] == turns


# The log says why


def reasons(world):
    """Return what the log says beside the transitions."""
    return [(row.type, row.detail) for row in world.log.rows if row.type not in ("transition", "rejected")]


def test_the_log_says_why_a_closed_breaker_opened_before_it_opens():
    """resilience4j publishes FAILURE_RATE_EXCEEDED when CLOSED opens."""
    world = World(window=CountWindow(4), failure_rate_threshold=0.5, volume_threshold=4)
    world.call("ok", "fail", "ok", "fail")
    assert [(row.type, row.detail) for row in world.log.rows] == [
        ("failure_rate_exceeded", "2 of 4 failed"),
        ("transition", "closed -> open"),
    ]


def test_the_log_says_how_many_failed_in_a_row_and_that_probes_failed():
    world = World(**SMALL)
    world.call(*FAIL3)
    world.wait(5)
    world.call("fail")
    assert reasons(world) == [("failures_exceeded", "3 in a row failed"), ("probes_failed", "1 of 1 failed")]


def test_the_log_says_that_slow_calls_opened_it_and_that_a_hand_did():
    world = World(window=CountWindow(2), slow_call_duration=1.0, slow_call_rate_threshold=0.5, volume_threshold=2)
    world.call("ok")
    world.env.run(world.start("ok", lasts=2.0))
    world.breaker.force(CLOSED)
    assert reasons(world) == [("slow_call_rate_exceeded", "1 of 2 were slow"), ("forced", "closed")]


def test_the_log_says_that_time_turned_it():
    world = World(**SMALL | {"opening": OpenRule(automatic=True), "half_open": HalfOpenRule(max_wait=2.0)})
    world.call(*FAIL3)
    world.wait(7.5)
    assert reasons(world)[1:] == [("open_long_enough", "after 5 s"), ("half_open_too_long", "after 2 s")]


# Above or at a threshold, cancelled calls, states by hand and by result


def test_opening_above_a_threshold_leaves_it_closed_at_the_threshold():
    """opossum and gobreaker compare with "greater than"."""
    world = World(window=CountWindow(4), failure_rate_threshold=0.5, volume_threshold=4, opens_above=True)
    world.call("ok", "fail", "ok", "fail")
    assert world.state is CLOSED
    world.call("fail", "fail")
    assert world.state is OPEN
    world = World(**SMALL | {"opens_above": True})
    world.call(*FAIL3)
    assert world.state is CLOSED
    world.call("fail")
    assert world.state is OPEN


def test_a_cancelled_probe_counts_as_success_where_the_library_says_so():
    """Polly 8 takes the cancellation by an outer timeout for an outcome that it does not handle."""
    world = World(**SMALL | {"cancelled_calls": "success", "success_threshold": 1})
    world.call(*FAIL3)
    world.wait(5)
    probe = world.start("ok", lasts=9.0)
    world.wait(1)
    probe.interrupt()
    world.wait(0)
    assert world.state is CLOSED


def test_a_late_result_in_open_after_half_open_is_counted_where_late_results_are():
    world = World(**SMALL | {"late_results": "count"})
    world.call(*FAIL3)
    world.wait(5)
    world.start("ok", lasts=1.0)
    world.call("fail")
    assert (world.state, world.breaker.metrics.buffered) == (OPEN, 1)
    world.wait(1)
    assert world.breaker.metrics.buffered == 2


def test_opening_one_that_is_open_waits_anew_where_the_rule_says_so():
    for restarts, left in ((False, 2.0), (True, 5.0)):
        world = World(**SMALL | {"opening": OpenRule(restarts=restarts)})
        world.call(*FAIL3)
        world.wait(3)
        world.breaker.force(OPEN)
        assert world.breaker.retry_after == left
        assert world.transitions == [(0, "closed -> open")]


def test_an_open_breaker_that_is_due_may_show_half_open_before_a_call():
    """Polly 7 turns when its state is read; a late success changes nothing."""
    world = World(**SMALL | {"opening": OpenRule(shows_half_open=True), "late_results": "count"})
    world.start("ok", lasts=6.0)
    world.call(*FAIL3)
    world.wait(5)
    assert (world.state, world.transitions) == (HALF_OPEN, [(0, "closed -> open")])
    world.wait(1)
    assert world.state is HALF_OPEN


def test_it_begins_in_the_state_that_it_is_told():
    world = World(**SMALL | {"initial_state": "open"})
    assert (world.call("ok"), world.transitions) == ("rejected", [])
    world.wait(5)
    assert world.call("ok") == "ok"
    assert World(initial_state="forced_open").call("ok") == "rejected"
    with pytest.raises(ValueError, match="initial_state must be one of 'closed', 'open'"):
        CircuitBreaker(initial_state="ajar")


def test_the_value_or_the_error_of_a_call_may_turn_it():
    world = World(**SMALL | {"turns_on": lambda outcome: "open" if outcome == 429 else None})
    world.call("ok", 200)
    assert world.state is CLOSED
    world.call(429)
    assert (world.state, reasons(world)) == (OPEN, [("forced", "open")])


def test_the_time_open_is_drawn_around_the_timeout():
    times = set()
    for seed in range(200):
        env = simpy.Environment()
        breaker = CircuitBreaker(timeout=10.0, opening=OpenRule(jitter=0.5)).bind(env, seed=seed)
        breaker.force(OPEN)
        times.add(breaker.retry_after)
    assert len(times) == 200
    assert 5 <= min(times) < 5.5
    assert 14.5 < max(times) <= 15
    assert OpenRule(jitter=0.5, max_timeout=12.0).seconds(10.0, 1, draw=0.9) == 12.0


# Time open


def open_times(world, openings):
    """Return how long the breaker stays open each time its probe fails."""
    times = []
    world.call(*FAIL3)
    for _ in range(openings):
        times.append(world.breaker.retry_after)
        world.wait(times[-1])
        world.call("fail")
    return times


def test_the_time_open_grows_while_probes_fail_and_starts_anew_after_closing():
    world = World(**SMALL | {"opening": OpenRule(multiplier=2.0, max_timeout=30.0)})
    assert open_times(world, 5) == [5, 10, 20, 30, 30]
    world.wait(30)
    world.call("ok", "ok")
    assert world.state is CLOSED
    assert open_times(world, 1) == [5]


def test_the_time_open_can_be_a_function_of_the_openings():
    assert open_times(World(**SMALL | {"timeout": lambda number: number * 7.0}), 3) == [7, 14, 21]


def test_the_error_can_say_how_long_to_stay_open():
    rule = OpenRule(open_for=lambda error: 60.0 if isinstance(error, rl.ServiceError) else None)
    world = World(**SMALL | {"opening": rule})
    world.call(*FAIL3)
    assert world.breaker.retry_after == 60


# By hand


def test_forced_states_last_until_the_next_force():
    world = World(**SMALL)
    world.breaker.force(CircuitState.FORCED_OPEN)
    world.wait(1e6)
    assert world.call("ok") == "rejected"
    assert world.breaker.retry_after == math.inf
    world.breaker.force(CircuitState.DISABLED)
    world.call(*FAIL3 * 3)
    assert (world.state, world.breaker.metrics.buffered) == (CircuitState.DISABLED, 0)
    world.breaker.force(CircuitState.METRICS_ONLY)
    world.call(*FAIL3 * 3)
    assert (world.state, world.breaker.metrics.failed) == (CircuitState.METRICS_ONLY, 9)
    assert [row[2] for row in world.log.rows].count("failures_exceeded") == 1
    world.breaker.reset()
    assert (world.state, world.breaker.metrics.failed) == (CLOSED, 0)


def test_force_open_for_an_explicit_time():
    world = World(**SMALL)
    world.breaker.force(OPEN, wait=100.0)
    world.wait(99)
    assert world.call("ok") == "rejected"
    world.wait(1)
    assert world.call("ok") == "ok"


def test_primitives_count_like_execute():
    world = World(**SMALL | {"half_open_max_calls": 1})
    for _ in range(3):
        assert world.breaker.try_acquire()
        world.breaker.record_failure()
    assert not world.breaker.try_acquire()
    with pytest.raises(rl.CircuitOpenError):
        world.breaker.acquire()
    world.wait(5)
    assert world.breaker.try_acquire()
    assert not world.breaker.try_acquire()
    world.breaker.release()
    for _ in range(2):
        assert world.breaker.try_acquire()
        world.breaker.record_success()
    assert world.state is CLOSED


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failure_rate_threshold": 0.5}, "window must be given with failure_rate_threshold"),
        ({"window": CountWindow(5), "failure_rate_threshold": 0.0}, "failure_rate_threshold must be > 0"),
        ({"window": CountWindow(5), "failure_rate_threshold": 50}, "failure_rate_threshold must be from 0 to 1"),
        ({"slow_call_duration": 1.0}, "window must be given with slow_call_duration"),
        ({"half_open": HalfOpenRule(5)}, "failure_rate_threshold must be given with half_open.calls"),
        ({"success_threshold": 3, "half_open": HalfOpenRule(success_capacity=2)}, "success_capacity must be >= 3"),
        ({"timeout": 0}, "timeout must be > 0"),
        ({"late_results": "maybe"}, "late_results must be one of"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CircuitBreaker(**settings)


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        (OpenRule, {"multiplier": 0.5}, "multiplier must be >= 1"),
        (HalfOpenRule, {"budget": "both"}, "budget must be one of"),
        (HalfOpenRule, {"max_wait": 0.0}, "max_wait must be > 0"),
    ],
)
def test_impossible_rules_are_refused(rule, settings, message):
    with pytest.raises(ValueError, match=message):
        rule(**settings)
