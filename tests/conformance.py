"""Play the observed behaviour of named libraries on our policies.

A case of `data/conformance.json` is a fact about a library: settings, timed steps, and
what the library showed. Each `play_*` builds the policy with `like`, repeats the steps
on a simulated clock and returns what our policy shows, in the same words.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import simpy

import resilab as rl
from resilab.resilience.backoff import Backoff
from resilab.resilience.retry import Retry


class IgnoredError(Exception):
    """An error that the policy is told to ignore."""


class UnhandledError(Exception):
    """An error that the policy is not told to handle."""


ERRORS = {"fail": rl.ServiceError, "ignored": IgnoredError, "unhandled": UnhandledError}


def play_until(env, time):
    """Play *env* up to *time*, with what happens at that time."""
    if time > env.now:
        env.run(env.timeout(time - env.now))


def scripted(env, outcome, lasts=0.0, value=None):
    """Return a call that ends with *outcome* after *lasts* seconds."""

    def call():
        yield env.timeout(lasts)
        if outcome != "ok":
            raise ERRORS.get(outcome, RuntimeError)(outcome)
        return value

    return call


def outcome_of(error):
    """Return the word for the error that ended a call."""
    words = {
        rl.CircuitOpenError: "circuit_open",
        rl.BulkheadFullError: "bulkhead_full",
        rl.TimeoutExceededError: "timeout",
    }
    words |= {kind: word for word, kind in ERRORS.items()} | {simpy.Interrupt: "cancelled"}
    return words.get(type(error), next((word for kind, word in words.items() if isinstance(error, kind)), str(error)))


class BreakerPlay:
    """A breaker and the steps that it has seen."""

    def __init__(self, case):
        self.env = simpy.Environment()
        self.log = rl.EventLog()
        filters = {"ignored_errors": IgnoredError, "recorded_errors": (rl.ServiceError, IgnoredError)}
        self.breaker = rl.CircuitBreaker.like(case["library"], **case["settings"], **filters).bind(
            self.env, log=self.log
        )
        self.is_permitted = None
        self.refused_for = None

    def step(self, step):
        play_until(self.env, step["at"])
        for _ in range(step.get("times", 1)):
            getattr(self, step["do"])(step)

    def acquire(self, step):
        self.refused_for = self.breaker.retry_after
        self.is_permitted = self.breaker.try_acquire()

    def record(self, step):
        lasts = step.get("lasts", 0.0)
        if step["outcome"] == "ok":
            self.breaker.record_success(lasts)
        else:
            self.breaker.record_error(ERRORS[step["outcome"]](), lasts)

    def call(self, step):
        before = self.breaker.rejections
        call = scripted(self.env, step["outcome"], step.get("lasts", 0.0))

        def caller():
            try:
                yield from self.breaker.execute(call)
            except (*ERRORS.values(), rl.CircuitOpenError):
                pass

        self.env.run(self.env.process(caller()))
        self.is_permitted = self.breaker.rejections == before

    def release(self, step):
        self.breaker.release()

    def force(self, step):
        wait = step.get("wait", step["until"] - self.env.now if "until" in step else None)
        self.breaker.force(rl.CircuitState(step["state"]), wait)

    def reset(self, step):
        self.breaker.reset()

    def check(self, step):
        pass

    def shown(self):
        metrics = self.breaker.metrics
        turns = Counter(row[4].split(" -> ")[1] for row in self.log.rows if row[2] == "transition")
        types = Counter(row[2] for row in self.log.rows)
        return {
            "state": metrics.state,
            "permitted": self.is_permitted,
            "retry_after": self.refused_for,
            "buffered": metrics.buffered,
            "failed": metrics.failed,
            "successful": metrics.successful,
            "slow": metrics.slow,
            "failure_rate": metrics.failure_rate,
            "slow_call_rate": metrics.slow_call_rate,
            "failure_ratio": metrics.failed / metrics.buffered if metrics.buffered else 0.0,
            "not_permitted": metrics.not_permitted,
            "opened": turns["open"],
            "closed": turns["closed"],
            "half_opened": turns["half_open"],
            "failure_rate_exceeded": types["failure_rate_exceeded"],
            "slow_call_rate_exceeded": types["slow_call_rate_exceeded"],
        }


def play_retry(case):
    """Play scripted attempts and return what was seen."""
    env = simpy.Environment()
    attempts = case["attempts"]
    starts = []

    def call():
        step = attempts[min(len(starts), len(attempts) - 1)]
        starts.append(env.now)
        yield from scripted(env, step["outcome"])()

    def delay_from(number, error):
        return attempts[min(number, len(attempts)) - 1].get("delay")

    retry = Retry.like(case["library"], **case["settings"], retryable_errors=rl.ServiceError, delay_from=delay_from)
    seen = {"outcome": "ok"}

    def caller():
        try:
            yield from retry.bind(env, seed=1).execute(call)
        except (rl.ServiceError, UnhandledError) as error:
            seen["outcome"] = outcome_of(error)

    env.process(caller())
    env.run()
    return seen | {"attempts": len(starts), "slept": env.now, "starts": starts}


def delays(case, count, draws=None):
    """Return the first delays of the law of a case."""
    law = Retry.like(case["library"], **case["settings"]).backoff
    assert isinstance(law, Backoff)
    if draws is None and "seed" in case:
        generator = random.Random(case["seed"])
        draws = [generator.random() for _ in range(count)]
    return law.delays_of(count, draws or case.get("draws", [0.0]))


def play_bulkhead(case):
    """Play arrivals, releases and changes of size, and return what was seen."""
    env = simpy.Environment()
    bulkhead = rl.Bulkhead.like(case["library"], **case["settings"]).bind(env)
    calls, order, events, running, processes = {}, [], [], {}, {}

    def work(name, arrived, holds):
        calls[name] = ["ok", env.now - arrived]
        order.append(name)
        events.append("permitted")
        running[name] = end = env.event() if holds is None else env.timeout(holds)
        try:
            yield end
        finally:
            del running[name]
        events.append("finished")

    def arrive(name, holds):
        arrived = env.now
        try:
            yield from bulkhead.execute(work, name, arrived, holds)
        except rl.BulkheadFullError:
            calls[name] = ["rejected", env.now - arrived]
            events.append("rejected")
        except simpy.Interrupt:
            calls.setdefault(name, ["cancelled", env.now - arrived])

    for step in case["steps"]:
        play_until(env, step["at"])
        if step["do"] == "arrive":
            processes[step["call"]] = env.process(arrive(step["call"], step.get("holds")))
        elif step["do"] == "release":
            running[step.get("call", next(iter(running)))].succeed()
        elif step["do"] == "cancel":
            processes[step["call"]].interrupt()
        else:
            bulkhead.resize(step["permits"])
        play_until(env, env.now + 1e-12)
    env.run()
    return {"calls": calls, "order": order, "events": events, "available_at_end": bulkhead.available}


def build_layer(case, layer, count):
    """Return the policy of one layer of a composition, with a counter for what its fallback does."""
    library, kind = case["library"], layer["type"]
    options = {key: value for key, value in layer.items() if key not in ("type", "name", "held")}
    if kind == "timeout":
        return rl.Timeout.like(library, **options)
    if kind == "retry":
        return Retry.like(library, **options)
    if kind == "circuit_breaker":
        return rl.CircuitBreaker.like(library, **options)
    if kind == "bulkhead":
        return rl.Bulkhead.like(library, **options)
    handled = {}
    if "handle" in options:
        handled["handled_errors"] = tuple(ERRORS[word] for word in options["handle"])
    if "handle_result" in options:
        handled["handled_results"] = lambda value: value in options["handle_result"]

    def answer():
        count["executions"] += 1
        yield case["env"].timeout(options.get("duration", 0.0))
        if options.get("outcome", "ok") != "ok":
            raise RuntimeError(options["outcome"])
        return options.get("value")

    return rl.Fallback(answer, **handled)


def play_composition(case):
    """Play scripted executions through layers, the outermost first, and return what was seen."""
    env = simpy.Environment()
    case = case | {"env": env}
    executions, seen, parts = [], {}, {}

    def call():
        step = case["executions"][min(len(executions), len(case["executions"]) - 1)]
        executions.append(env.now)
        return (yield from scripted(env, step["outcome"], step["lasts"], step["value"])())

    def hold(bulkhead):
        yield from bulkhead.execute(partial(scripted(env, "ok", 1e9)))

    around = call
    for depth, layer in reversed(list(enumerate(case["layers"]))):
        count = Counter()
        live = build_layer(case, layer, count).bind(env, seed=1, depth=depth)
        for _ in range(layer.get("held", 0)):
            env.process(hold(live))
        parts[layer.get("name", layer["type"])] = (live, count)
        around = partial(live.run, around)

    def caller():
        try:
            seen.update(value=(yield from around()), outcome="ok")
        except Exception as error:
            seen["outcome"] = outcome_of(error)
        seen["t"] = env.now

    play_until(env, 1e-12 if any("held" in layer for layer in case["layers"]) else 0.0)
    process = env.process(caller())
    if "caller_cancel" in case:
        play_until(env, case["caller_cancel"])
        process.interrupt()
    env.run(process)
    seen["executions"] = len(executions)
    for name, (live, count) in parts.items():
        seen[f"{name}.executions"] = count["executions"]
        for counter in ("timeouts", "retries", "rejections"):
            seen[f"{name}.{counter}"] = getattr(live, counter, None)
        seen[f"{name}.attempts"] = getattr(live, "retries", 0) + 1
        if hasattr(live, "metrics"):
            metrics = live.metrics
            seen |= {
                f"{name}.fail": metrics.failed,
                f"{name}.success": metrics.successful,
                f"{name}.state": metrics.state,
            }
    return seen


def play_interaction(case):
    """Return how many calls use up all their attempts before the breaker opens."""
    settings = case["settings"]
    env = simpy.Environment()
    breaker = rl.CircuitBreaker(failure_threshold=settings["tolerate"] + 1, timeout=1e12, volume_threshold=0).bind(env)
    law = Backoff("exponential", settings["base"])
    retry = Retry(settings["max_attempts"] - 1, backoff=law).bind(env, seed=1)
    full = []

    def attempt():
        sent[0] += 1
        yield env.timeout(0)
        raise rl.ServiceError("down")

    def client():
        for _ in range(settings["calls"]):
            sent[0] = 0
            try:
                yield from retry.execute(partial(breaker.run, attempt))
            except (rl.ServiceError, rl.CircuitOpenError):
                full.append(sent[0] == settings["max_attempts"])

    sent = [0]
    env.process(client())
    env.run()
    return {"full_calls_before_open": full.index(False)}


def play_rate_limiter(case):
    """Play requests for permits, and return what was seen after each step."""
    env = simpy.Environment()
    limiter = rl.RateLimiter(**case["settings"]).bind(env)
    seen = []
    for step in case["steps"]:
        play_until(env, step["at"])
        wait = None
        for _ in range(step["times"] if step["do"] == "ask" else 0):
            wait = limiter.reserve(step["permits"])
        seen.append({"wait": wait, "available": limiter.available, "next_free": limiter.next_free})
    return seen


def play_retry_budget(case):
    """Play outcomes on a retry budget, and return what was seen after each step."""
    budget = getattr(rl.RetryBudget, case["settings"]["rule"])().bind(simpy.Environment())
    seen = []
    for step in case["steps"]:
        is_allowed = None
        for _ in range(step["times"]):
            if step["do"] == "want_retry":
                is_allowed = budget.pay() is not None
            else:
                budget.succeed() if step["do"] == "ok" else budget.fail()
                is_allowed = budget.allows()
        seen.append({"tokens": budget.tokens, "allowed": is_allowed})
    return seen


def play_hedge(case):
    """Play scripted copies of one hedged call, and return what was seen."""
    env = simpy.Environment()
    hedge = rl.Hedge(**case["settings"], handled_errors=rl.ServiceError).bind(env)
    seen = {"started": 0, "cancelled": []}

    def copy():
        number = seen["started"]
        seen["started"] += 1
        step = case["executions"][number]
        try:
            value = yield from scripted(env, step["outcome"], step["lasts"], step["value"])()
        except (rl.ServiceError, UnhandledError) as error:
            error.number = number
            raise
        except simpy.Interrupt:
            seen["cancelled"].append(number)
            raise
        return number, value

    def caller():
        try:
            seen["winner"], seen["value"] = yield from hedge.execute(copy)
            seen["outcome"] = "ok"
        except (rl.ServiceError, UnhandledError) as error:
            seen["winner"], seen["outcome"] = error.number, outcome_of(error)
        seen["t"] = env.now

    env.process(caller())
    env.run()
    return seen | {"hedges": hedge.hedges}
