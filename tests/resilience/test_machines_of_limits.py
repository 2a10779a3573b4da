"""Rate limiters, throttles and hedges under attack: each agrees with a plain account of its meaning."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import simpy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

import resilab as rl
from resilab import engine

from ..strategies import optional
from .test_machines import Call, Machine

SECONDS = (0.125, 0.25, 0.5, 1.0, 3.0)  # binary fractions: every sum of them is exact
STARTS = (0.0, 0.375, 5.0)


class Slots:
    """Permits that come in slots of equal length: a call takes the earliest that are free."""

    def __init__(self, size, length, begin):
        self.size, self.length, self.begin = size, Fraction(length), Fraction(begin)
        self.taken = {}

    def number(self, now):
        return (Fraction(now) - self.begin) // self.length

    def ask(self, now, wanted, max_wait):
        """Return when *wanted* permits are there, or None; only then are they not taken."""
        slot, taken = self.number(now), dict(self.taken)
        for _ in range(wanted):
            while taken.get(slot, 0) >= self.size:
                slot += 1
            taken[slot] = taken.get(slot, 0) + 1
        when = max(Fraction(now), self.begin + slot * self.length)
        if when - Fraction(now) > max_wait:
            return None
        self.taken = taken
        return when

    def available(self, now):
        return self.size - sum(count for slot, count in self.taken.items() if slot >= self.number(now))


class Bucket:
    """Tokens that flow in all the time, in exact numbers."""

    def __init__(self, rate, size, begin):
        self.rate, self.size, self.tokens, self.at = rate, size, Fraction(size), Fraction(begin)

    def fill(self, now):
        self.tokens = min(Fraction(self.size), self.tokens + (Fraction(now) - self.at) * self.rate)
        self.at = Fraction(now)

    def ask(self, now, wanted, max_wait):
        self.fill(now)
        if self.tokens < wanted:
            return None
        self.tokens -= wanted
        return Fraction(now)

    def available(self, now):
        self.fill(now)
        return math.floor(self.tokens)


class Log:
    """The times at which permits were taken."""

    def __init__(self, permits, period):
        self.permits, self.period, self.times = permits, period, []

    def ask(self, now, wanted, max_wait):
        if wanted > self.available(now):
            return None
        self.times += [now] * wanted
        return Fraction(now)

    def available(self, now):
        return self.permits - sum(now - time < self.period for time in self.times)


class RateLimiterMachine(Machine):
    """A rate limiter gives the permits of a second account, at the same times, in order of arrival."""

    @initialize(
        kind=st.sampled_from(("token_bucket", "cycle", "bursty", "smooth", "sliding_log")),
        permits=st.sampled_from((1, 2, 4)),
        period=st.sampled_from((0.5, 1.0, 2.0)),
        burst=optional(st.integers(1, 5)),
        max_wait=st.sampled_from((0.0, 0.25, 1.0, 2.5, math.inf)),
        start=st.sampled_from(STARTS),
    )
    def begin(self, kind, permits, period, burst, max_wait, start):
        self.env = simpy.Environment(start)
        self.max_wait = 0.0 if kind in ("token_bucket", "sliding_log") else max_wait
        self.kind, self.permits, self.period = kind, permits, period
        self.live = rl.RateLimiter(permits, period, kind, burst, self.max_wait).bind(self.env)
        self.account = {
            "token_bucket": lambda: Bucket(Fraction(permits) / Fraction(period), burst or permits, start),
            "cycle": lambda: Slots(permits, period, start),  # as in resilience4j, from when it was made
            "bursty": lambda: Slots(permits, period, start),
            "smooth": lambda: Slots(1, period / permits, start),
            "sliding_log": lambda: Log(permits, period),
        }[kind]()
        self.starts, self.rejections = {}, 0

    def ask(self, wanted=1):
        when = self.account.ask(self.env.now, wanted, self.max_wait)
        self.rejections += when is None
        return when

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=5))
    def arrive(self, kinds):
        for is_task in kinds:
            when = self.ask()
            call = Call(self, is_task)
            self.settle()
            self.calls.append(call)
            assert (call.outcome == "rejected") is (when is None)
            if when is not None:
                self.starts[call] = when

    @rule(wanted=st.integers(1, 5))
    def reserve(self, wanted):
        """Permits can be taken without a call, several at once."""
        when = self.ask(wanted)
        wait = self.live.reserve(wanted)
        assert wait == (None if when is None else when - Fraction(self.env.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), has_failed=st.booleans())
    def end(self, data, has_failed):
        self.finish(self.pick(data, self.running), has_failed)

    @precondition(lambda self: self.running or self.waiting)
    @rule(data=st.data())
    def leave(self, data):
        """A call that leaves keeps its permit: nobody starts earlier or later."""
        self.cancel(self.pick(data, self.running + self.waiting))

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))
        self.settle()

    @invariant()
    def agrees(self):
        if not hasattr(self, "live"):
            return
        now = self.env.now
        for call, when in self.starts.items():
            assert call.is_sent is (when <= now) or call.outcome == "cancelled"
        starts = [when for call, when in self.starts.items() if call.outcome != "cancelled"]
        assert starts == sorted(starts)
        assert self.live.rejections == self.rejections
        if self.kind == "smooth":
            assert self.live.available == (self.account.available(now) > 0)
        else:
            assert self.live.available == self.account.available(now)


class ThrottleMachine(Machine):
    """A throttle holds the requests and accepts of its window, and rejects by the book's formula."""

    @initialize(
        multiplier=st.sampled_from((1.0, 1.5, 2.0)),
        window=st.sampled_from((0.5, 2.0, 8.0)),
        refusals=st.sampled_from((None, rl.ServiceOverloadedError)),
        seed=st.integers(0, 99),
        start=st.sampled_from(STARTS),
    )
    def begin(self, multiplier, window, refusals, seed, start):
        self.env = simpy.Environment(start)
        self.live = rl.AdaptiveThrottle(multiplier, window, refusals).bind(self.env)
        self.multiplier, self.window, self.refusals = multiplier, window, refusals
        self.requests, self.accepts, self.rejections = [], [], 0
        random.seed(seed)

    def probability(self):
        """Return the formula of the book for calls younger than the window."""
        requests, accepts = (
            sum(self.env.now - time < self.window for time in times) for times in (self.requests, self.accepts)
        )
        return max(Fraction(0), (requests - Fraction(self.multiplier) * accepts) / (requests + 1))

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=5))
    def arrive(self, kinds):
        for is_task in kinds:
            state = random.getstate()
            is_refused = random.random() < self.probability()
            random.setstate(state)
            self.requests.append(self.env.now)
            self.rejections += is_refused
            call = Call(self, is_task)
            self.settle()
            self.calls.append(call)
            assert (call.outcome == "rejected") is is_refused
            assert call.is_sent is not is_refused

    @precondition(lambda self: self.running)
    @rule(data=st.data(), error=st.sampled_from((None, rl.ServiceError("down"), rl.ServiceOverloadedError("full"))))
    def end(self, data, error):
        call = self.pick(data, self.running)
        is_refusal = error is not None and (self.refusals is None or isinstance(error, self.refusals))
        if not is_refusal:
            self.accepts.append(self.env.now)
        call.gate.succeed() if error is None else call.gate.fail(error)
        self.settle()
        assert call.outcome == ("ok" if error is None else "fail")

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data):
        """A call that leaves was a request, and is no accept."""
        self.cancel(self.pick(data, self.running))

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))

    @invariant()
    def agrees(self):
        if hasattr(self, "live"):
            assert self.live.reject_probability == float(self.probability())
            assert (self.live.calls, self.live.rejections) == (len(self.requests), self.rejections)


class Copy:
    """One copy of a hedged call; it runs until the test ends it."""

    def __init__(self, env):
        self.gate = env.event()
        self.end = None


class HedgedCall:
    """A hedged call, its copies, and what should become of them."""

    def __init__(self, machine, is_task):
        self.env = machine.env
        self.copies = []
        self.outcome = None
        self.ends = {}  # by copy, in the order in which they should have ended
        self.expected = None
        self.sent = 1
        self.next_at = self.env.now + machine.delay
        steps = self._caller(machine.live)
        self.process = engine.start(self.env, steps) if is_task else self.env.process(steps)

    def _work(self):
        number, copy = len(self.copies), Copy(self.env)
        self.copies.append(copy)
        try:
            yield copy.gate
        except simpy.Interrupt:
            copy.end = "cancelled"
            raise
        except Exception:
            copy.end = "error"
            raise
        copy.end = "ok"
        return number

    def _caller(self, live):
        try:
            self.outcome = "ok", (yield from live.execute(self._work))
        except simpy.Interrupt as signal:
            self.outcome = "cancelled", signal.cause
        except (rl.ServiceError, KeyError) as error:
            self.outcome = type(error), error.args[0]

    @property
    def running(self):
        return [number for number, copy in enumerate(self.copies) if copy.end is None]


class HedgeMachine(Machine):
    """A hedge sends the copies that it should when it should, and never leaves one behind."""

    @initialize(
        delay=st.sampled_from((0.0, 0.25, 0.5, 2.0, math.inf)),
        max_hedges=st.integers(1, 3),
        wins=st.sampled_from(("success", "completion")),
        start=st.sampled_from(STARTS),
    )
    def begin(self, delay, max_hedges, wins, start):
        self.env = simpy.Environment(start)
        self.delay, self.max_hedges, self.wins = delay, max_hedges, wins
        self.live = rl.Hedge(delay, max_hedges, wins, handled_errors=rl.ServiceError).bind(self.env)

    @property
    def running(self):
        return [call for call in self.calls if call.expected is None]

    def send(self, call):
        """Account for the copies that are due by now."""
        while call.expected is None and call.sent <= self.max_hedges and call.next_at <= self.env.now:
            call.sent += 1
            call.next_at += self.delay

    def count_end(self, call, number, kind):
        """Account for the end of a copy."""
        if call.expected is not None:
            return
        call.ends[number] = kind
        if kind is rl.ServiceError and self.wins == "success":
            if call.sent <= self.max_hedges:
                call.sent += 1
                call.next_at = self.env.now + self.delay
                self.send(call)
            elif len(call.ends) == call.sent:
                call.expected = rl.ServiceError, 0
        else:
            call.expected = kind, number

    def end_copy(self, call, number, kind):
        gate = call.copies[number].gate
        if kind == "ok":
            gate.succeed()
        else:
            gate.fail(kind(number))
            gate.defused = True  # its copy may be cancelled at this very instant

    @rule(kinds=st.lists(st.booleans(), min_size=1, max_size=2))
    def arrive(self, kinds):
        for is_task in kinds:
            call = HedgedCall(self, is_task)
            self.calls.append(call)
            self.settle()
            self.send(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kinds=st.lists(st.sampled_from(("ok", rl.ServiceError, KeyError)), min_size=1, max_size=3))
    def end(self, data, kinds):
        """End some copies of a call at one instant."""
        call = self.pick(data, self.running)
        numbers = data.draw(st.permutations(call.running))
        for number, kind in zip(numbers, kinds, strict=False):
            self.end_copy(call, number, kind)
            self.count_end(call, number, kind)
        self.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), has_ended=st.booleans(), kind=st.sampled_from(("ok", rl.ServiceError)))
    def leave(self, data, has_ended, kind):
        """Cancel a call, perhaps at the instant at which a copy ends."""
        call = self.pick(data, self.running)
        if has_ended:
            self.end_copy(call, data.draw(st.sampled_from(call.running)), kind)
        call.expected = "cancelled", "leave"
        call.process.interrupt("leave")
        self.settle()

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds):
        self.env.run(self.env.timeout(seconds))
        self.settle()
        for call in self.calls:
            self.send(call)

    @invariant()
    def agrees(self):
        if not hasattr(self, "live"):
            return
        for call in self.calls:
            assert call.outcome == call.expected
            assert len(call.copies) == call.sent <= self.max_hedges + 1
            if call.expected is None:
                assert call.running == [number for number in range(call.sent) if number not in call.ends]
            else:
                assert not call.running
        assert self.live.hedges == sum(call.sent - 1 for call in self.calls)
        won = [call.outcome for call in self.calls if call.outcome is not None and call.outcome[0] != "cancelled"]
        assert self.live.hedge_wins == sum(number > 0 for _, number in won)


LIMITS = settings(max_examples=150, stateful_step_count=30, deadline=None)

TestRateLimiterMachine = RateLimiterMachine.TestCase
TestRateLimiterMachine.settings = LIMITS
TestThrottleMachine = ThrottleMachine.TestCase
TestThrottleMachine.settings = LIMITS
TestHedgeMachine = HedgeMachine.TestCase
TestHedgeMachine.settings = LIMITS
