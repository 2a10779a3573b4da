"""Policies under attack: any order of events, and a cancellation at any instant, leak nothing."""

from __future__ import annotations

from collections import deque
from functools import partial

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import resilab as rl
from resilab import engine
from resilab.engine import Request
from resilab.resilience.bulkhead import LiveBulkhead
from resilab.resilience.circuit_breaker import LiveCircuitBreaker

from ..strategies import optional, policies

CLOSED, OPEN, HALF_OPEN = rl.CircuitState.CLOSED, rl.CircuitState.OPEN, rl.CircuitState.HALF_OPEN


class Call:
    """One call that runs until the test ends it."""

    def __init__(self, machine, is_task):
        self.gate = machine.env.event()
        self.outcome = None
        self.is_sent = False
        self.began_in = None
        self.arrived = machine.env.now
        steps = self._caller(machine.live)
        self.process = engine.start(machine.env, steps) if is_task else machine.env.process(steps)

    def _work(self):
        self.is_sent = True
        yield self.gate

    def _caller(self, live):
        try:
            yield from live.execute(self._work)
            self.outcome = "ok"
        except rl.CallRejectedError:
            self.outcome = "rejected"
        except rl.ServiceError:
            self.outcome = "fail"
        except simpy.Interrupt:
            self.outcome = "cancelled"


class Machine(RuleBasedStateMachine):
    """Calls that begin, end and are cancelled in any order on a live policy."""

    def __init__(self):
        super().__init__()
        self.env = simpy.Environment()
        self.calls = []

    def settle(self):
        """Let everything happen that is due now."""
        while self.env.peek() <= self.env.now:
            self.env.step()

    def pick(self, data, calls):
        return calls[data.draw(st.integers(0, len(calls) - 1))]

    @property
    def running(self):
        return [call for call in self.calls if call.is_sent and call.outcome is None]

    @property
    def waiting(self):
        return [call for call in self.calls if not call.is_sent and call.outcome is None]

    def finish(self, call, has_failed):
        if has_failed:
            call.gate.fail(rl.ServiceError("down"))
        else:
            call.gate.succeed()
        self.settle()

    def cancel(self, call):
        call.process.interrupt("cancelled by the test")
        self.settle()
        assert call.outcome == "cancelled"


class BreakerMachine(Machine):
    """A breaker agrees with a second, plain account of its default meaning, whatever happens."""

    @initialize(
        threshold=st.integers(1, 3),
        successes=st.integers(1, 3),
        volume=st.integers(0, 4),
        places=optional(st.integers(1, 2)),
        is_timed=st.booleans(),
    )
    def begin(self, threshold, successes, volume, places, is_timed):
        extra = {"recorded_results": lambda value: False} if is_timed else {}
        spec = rl.CircuitBreaker(threshold, successes, 5.0, volume, half_open_max_calls=places, **extra)
        self.spec, self.live = spec, spec.bind(self.env)
        self.state, self.stay, self.recorded, self.failures, self.successes = CLOSED, 0, 0, 0, 0
        self.opened = 0.0
        self.probes = set()

    def turn(self, state):
        self.state, self.stay = state, self.stay + 1
        self.recorded = self.failures = self.successes = 0
        self.probes = set()
        self.opened = self.env.now

    @rule(is_task=st.booleans())
    def arrive(self, is_task):
        if self.state is OPEN and self.env.now >= self.opened + 5.0:
            self.turn(HALF_OPEN)
        limit = self.spec.half_open_max_calls
        is_full = self.state is HALF_OPEN and limit is not None and len(self.probes) >= limit
        is_refused = self.state is OPEN or is_full
        call = Call(self, is_task)
        self.settle()
        self.calls.append(call)
        assert (call.outcome == "rejected") is is_refused
        assert call.is_sent is not is_refused
        call.began_in = self.stay
        if self.state is HALF_OPEN and not is_refused:
            self.probes.add(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), has_failed=st.booleans())
    def end(self, data, has_failed):
        call = self.pick(data, self.running)
        if call.began_in == self.stay:
            self.probes.discard(call)
            self.recorded += 1
            self.failures = self.failures + 1 if has_failed else 0
            self.successes = 0 if has_failed else self.successes + 1
            if self.state is HALF_OPEN and has_failed:
                self.turn(OPEN)
            elif self.state is HALF_OPEN and self.successes >= self.spec.success_threshold:
                self.turn(CLOSED)
            elif (
                self.state is CLOSED
                and has_failed
                and self.failures >= self.spec.failure_threshold
                and self.recorded >= self.spec.volume_threshold
            ):
                self.turn(OPEN)
        self.finish(call, has_failed)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data):
        call = self.pick(data, self.running)
        self.probes.discard(call)
        self.cancel(call)

    @rule(seconds=st.sampled_from((0.5, 2.5, 5.0)))
    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))

    @rule(state=st.sampled_from((OPEN, HALF_OPEN, CLOSED)))
    def force(self, state):
        if state is not self.state:
            self.turn(state)
        self.live.force(state)

    @invariant()
    def agrees(self):
        if hasattr(self, "live"):
            assert self.live.state is self.state
            assert self.live._probes == len(self.probes)


class BulkheadMachine(Machine):
    """A bulkhead agrees with a second account of permits and queue, whatever happens."""

    @initialize(
        permits=st.integers(1, 3), max_queue=optional(st.integers(0, 2)), max_wait=optional(st.sampled_from((1.0, 3.0)))
    )
    def begin(self, permits, max_queue, max_wait):
        self.live = rl.Bulkhead(permits, max_queue, max_wait).bind(self.env)
        self.permits, self.max_queue, self.max_wait = permits, max_queue, max_wait
        self.queue = deque()

    def grant(self):
        """Check that waiting calls got the free permits in order of arrival."""
        while self.queue and self.queue[0].outcome is None and self.queue[0].is_sent:
            self.queue.popleft()
            assert len(self.running) <= self.permits
        assert not any(call.is_sent for call in self.queue)

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=4))
    def arrive(self, kinds):
        for is_task in kinds:
            self.arrive_one(is_task)

    def arrive_one(self, is_task):
        has_permit = len(self.running) < self.permits
        has_place = self.max_queue is None or len(self.queue) < self.max_queue
        call = Call(self, is_task)
        self.settle()
        self.calls.append(call)
        assert call.is_sent is has_permit
        assert (call.outcome == "rejected") is not (has_permit or has_place)
        if call.outcome is None and not call.is_sent:
            self.queue.append(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), has_failed=st.booleans())
    def end(self, data, has_failed):
        self.finish(self.pick(data, self.running), has_failed)
        self.grant()

    @precondition(lambda self: self.running or self.waiting)
    @rule(data=st.data())
    def leave(self, data):
        call = self.pick(data, self.running + self.waiting)
        if call in self.queue:
            self.queue.remove(call)
        self.cancel(call)
        self.grant()

    @rule(seconds=st.sampled_from((0.5, 1.0, 2.0)))
    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))
        self.settle()
        for call in list(self.queue):
            if self.max_wait is not None and self.env.now >= call.arrived + self.max_wait:
                assert call.outcome == "rejected"
                self.queue.remove(call)

    @rule(permits=st.integers(1, 4))
    def resize(self, permits):
        self.permits = permits
        self.live.resize(permits)
        self.settle()
        self.grant()

    @invariant()
    def agrees(self):
        if hasattr(self, "live"):
            assert self.live.in_flight == len(self.running)
            assert self.live.queue_length == len(self.queue) == len(self.waiting)
            assert self.live.available == max(0, self.permits - len(self.running))
            assert not self.queue or len(self.running) >= self.permits

    def teardown(self):
        for call in list(self.calls):
            if call.outcome is None:
                call.gate.succeed()
        self.env.run()
        if hasattr(self, "live"):
            assert (self.live.in_flight, self.live.queue_length) == (0, 0)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestBulkheadMachine = BulkheadMachine.TestCase
TestBulkheadMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

# Cancel any stack at any instant

rich_breakers = st.one_of(
    st.builds(
        rl.CircuitBreaker,
        window=st.one_of(st.builds(rl.CountWindow, st.integers(1, 6)), st.builds(rl.TimeWindow, st.floats(0.1, 3.0))),
        failure_rate_threshold=st.floats(0.1, 1.0),
        volume_threshold=st.integers(1, 5),
        timeout=st.floats(0.05, 2.0),
        half_open_max_calls=optional(st.integers(1, 2)),
        late_results=st.sampled_from(("drop", "count")),
        half_open=st.builds(rl.HalfOpenRule, max_wait=optional(st.floats(0.1, 1.0))),
    ),
    st.builds(
        rl.CircuitBreaker.like,
        st.just("failsafe"),
        delay=st.floats(0.05, 1.0),
        failure_threshold=st.integers(1, 3),
    ),
)
other_policies = st.one_of(
    st.builds(rl.Hedge, st.floats(0.0, 0.5), st.integers(1, 2), st.sampled_from(("success", "completion"))),
    st.builds(rl.RateLimiter, st.integers(1, 3), kind=st.just("cycle"), max_wait=st.floats(0.0, 1.0)),
    st.builds(rl.AdaptiveThrottle, window=st.floats(0.1, 3.0)),
    st.builds(rl.Retry, st.integers(0, 3), st.floats(0.0, 0.3), budget=st.just(rl.RetryBudget(max_tokens=2.0))),
)
stacks = st.lists(st.one_of(policies, rich_breakers, other_policies), min_size=1, max_size=5)
plans = st.lists(
    st.tuples(st.floats(0.0, 3.0), optional(st.floats(0.0, 3.0)), st.booleans()), min_size=1, max_size=20
)  # arrival, time until it is cancelled, kind of caller


def link(env, stack, service, limits):
    """Bind *stack* around the service, with a check of the limit inside each bulkhead."""
    around, live = service.request, []
    for depth in reversed(range(len(stack))):
        part = stack[depth].bind(env, seed=1, depth=depth)
        live.append(part)
        if isinstance(part, LiveBulkhead):
            around = partial(counted, limits, part, around)
        around = partial(part.run, around)
    return around, live


def counted(limits, bulkhead, fn):
    limits[bulkhead] = limits.get(bulkhead, 0) + 1
    assert limits[bulkhead] <= bulkhead.max_concurrent
    try:
        return (yield from fn())
    finally:
        limits[bulkhead] -= 1


def attack(stack, plan, workers, on_cancel, failure_rate):
    """Play the plan, and return the live policies, the service and what became of each call."""
    env = simpy.Environment()
    service = rl.Service(
        workers, rl.Exponential(0.3), queue_limit=3, failure_rate=failure_rate, on_cancel=on_cancel
    ).bind(env, seed=1)
    around, live = link(env, stack, service, limits := {})
    ends = [None] * len(plan)

    def caller(number, arrived):
        try:
            yield from around()
            ends[number] = "ok", env.now
        except simpy.Interrupt as signal:
            ends[number] = signal.cause, env.now
        except rl.ResilienceError:
            ends[number] = "error", env.now

    def client(number, arrival, patience, is_task):
        yield env.timeout(arrival)
        process = (
            engine.start(env, caller(number, arrival), Request(number, number))
            if is_task
            else env.process(caller(number, arrival))
        )
        if patience is not None:
            yield env.timeout(patience)
            if process.is_alive:
                process.interrupt("leave")
                yield env.timeout(0)
                assert ends[number] == ("leave", env.now)

    for number, entry in enumerate(plan):
        env.process(client(number, *entry))
    env.run()
    assert not any(limits.values())
    return live, service, ends


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    stack=stacks,
    plan=plans,
    workers=st.integers(1, 3),
    on_cancel=st.sampled_from(("stop", "drop_queued", "ignore")),
    failure_rate=st.sampled_from((0.0, 0.3, 1.0)),
)
def test_a_cancellation_at_any_instant_leaks_nothing(stack, plan, workers, on_cancel, failure_rate):
    """No permit, place, probe or worker stays taken, and every call ends exactly once."""
    live, service, ends = attack(stack, plan, workers, on_cancel, failure_rate)
    assert None not in ends
    assert (service.busy, service.queue_length) == (0, 0)
    for part in live:
        if isinstance(part, LiveBulkhead):
            assert (part.in_flight, part.queue_length) == (0, 0)
        if isinstance(part, LiveCircuitBreaker) and part.spec.half_open.budget == "concurrent":
            assert part._probes == 0


def test_a_retry_keeps_no_delay_between_calls():
    """Decorrelated delays depend on the delay before; that of another call must not matter."""
    env = simpy.Environment()
    live = rl.Retry(3, 0.1, 100.0, jitter="decorrelated").bind(env, seed=1)
    alone = env.now

    def fails():
        yield env.timeout(0)
        raise rl.ServiceError("down")

    def caller(key, ends):
        try:
            yield from live.execute(fails)
        except rl.ServiceError:
            ends[key] = env.now - alone

    def play(keys):
        nonlocal alone
        alone, ends = env.now, {}
        for key in keys:
            engine.start(env, caller(key, ends), Request(key, key))
        env.run()
        return ends

    together = play(range(5))
    assert all(play([key])[key] == pytest.approx(together[key]) for key in range(5))
