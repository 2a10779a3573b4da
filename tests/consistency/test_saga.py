"""Sagas: order of steps and compensations, doubt, failed compensations, and theory."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab.consistency.saga_steps import SagaContext
from resilab.theory import expected_saga


def run(env: simpy.Environment, steps):
    return env.run(env.process(steps))


def recording(env: simpy.Environment, trace: list, word: str, seconds: float = 1.0, error: Exception | None = None):
    """A step that takes some seconds, writes its word, and may fail."""

    def act(context: SagaContext):
        yield env.timeout(seconds)
        trace.append((env.now, word))
        if error is not None:
            raise error

    return act


def test_steps_run_in_order_and_the_saga_commits():
    """Nothing is compensated when nothing fails."""
    env, trace = simpy.Environment(), []
    steps = [rl.SagaStep(w, recording(env, trace, w), recording(env, trace, f"undo {w}")) for w in "abc"]
    result = run(env, rl.Saga(*steps).bind(env).execute())
    assert trace == [(1, "a"), (2, "b"), (3, "c")]
    assert result.success
    assert result.status == "committed"
    assert result.error is None
    assert result.completed == ("a", "b", "c")


def test_completed_steps_are_compensated_in_reverse_order():
    """The failed step itself is not compensated: it answered that it had no effect."""
    env, trace = simpy.Environment(), []
    steps = [rl.SagaStep(w, recording(env, trace, w), recording(env, trace, f"undo {w}")) for w in "ab"]
    steps.append(rl.SagaStep("c", recording(env, trace, "c", error=ValueError("no")), recording(env, trace, "undo c")))
    result = run(env, rl.Saga(*steps).bind(env).execute())
    assert [word for _, word in trace] == ["a", "b", "c", "undo b", "undo a"]
    assert (result.success, result.error, result.status, result.failed_step) == (False, "no", "compensated", "c")
    assert result.compensated == ("b", "a")


def test_a_compensation_is_retried_until_it_works():
    """By default five retries come before a compensation counts as failed."""
    env, tries = simpy.Environment(), []

    def stubborn(context):
        yield env.timeout(0.1)
        tries.append(env.now)
        if len(tries) < 4:
            raise rl.ServiceError("not now")

    steps = (
        rl.SagaStep("a", recording(env, [], "a"), stubborn),
        rl.SagaStep("b", recording(env, [], "b", error=ValueError("no")), None),
    )
    result = run(env, rl.Saga(*steps).bind(env, seed=1).execute())
    assert len(tries) == 4
    assert result.status == "compensated"


def test_a_compensation_that_fails_for_good_is_recorded_and_does_not_stop_the_others():
    """The result, the log and the events say which one; `repair` tries it again."""
    env, trace, log = simpy.Environment(), [], rl.EventLog()
    works = []

    def refund(context):
        yield env.timeout(1)
        if not works:
            raise rl.ServiceError("bank is closed")
        trace.append((env.now, "undo b"))

    steps = (
        rl.SagaStep("a", recording(env, trace, "a"), recording(env, trace, "undo a")),
        rl.SagaStep("b", recording(env, trace, "b"), refund, compensation_policy=rl.Retry(2, jitter="none")),
        rl.SagaStep("c", recording(env, trace, "c", error=ValueError("no")), None),
    )
    saga = rl.Saga(*steps).bind(env, log=log)
    result = run(env, saga.execute())
    assert [word for _, word in trace] == ["a", "b", "c", "undo a"]
    assert result.status == "stuck"
    assert result.is_stuck
    assert result.failed_compensations == (("b", "bank is closed"),)
    assert saga.saga_log.stuck() == [result.saga_id]
    assert ("stuck", "saga-1: b: bank is closed") in [(row[2], row[4]) for row in log.rows]
    works.append(True)
    repaired = run(env, saga.repair(result.saga_id))
    assert repaired.status == "compensated"
    assert trace[-1][1] == "undo b"
    assert [word for _, word in trace].count("undo a") == 1
    with pytest.raises(ValueError, match="repair needs a stuck saga"):
        saga.repair(result.saga_id)


def test_each_step_has_its_own_policy_and_its_timeout_limits_all_attempts():
    """A step fails after its time limit even when its retries are not used up."""
    env, starts = simpy.Environment(), []

    def slow(context):
        starts.append(env.now)
        yield env.timeout(1)
        raise rl.ServiceError("no")

    step = rl.SagaStep("a", slow, None, policy=rl.Retry(10, initial_delay=0.5, jitter="none"), timeout=3.0)
    result = run(env, rl.Saga(step).bind(env).execute())
    assert starts == [0, 1.5]
    assert env.now == 3.0
    assert result.outcome == "timeout"


@pytest.mark.parametrize("cancel", [True, False])
def test_a_step_that_timed_out_and_took_effect_later_is_compensated(cancel):
    """The charge happens after its caller has gone, and after the refund was sent; no money is kept."""
    env = simpy.Environment()

    def slowly():
        yield env.timeout(10)

    def at_once():
        yield env.timeout(0.1)

    services = rl.Inventory().bind(env, at_once), rl.Payment().bind(env, slowly), rl.OrderRepository().bind(env)
    policy = rl.ResiliencePolicy(rl.Timeout(2.0, cancel=cancel))
    spec = rl.CreateOrderSaga(*services, policy=policy, compensation_policy=rl.Timeout(20.0))
    saga = spec.bind(env)
    result = run(env, saga.execute({"order_id": 1, "customer_id": 1, "items": [1], "total": 5.0}))
    env.run()
    assert result.compensated == ("process_payment", "reserve_inventory")
    assert services[1].status("create_order-1/process_payment") != "charged"
    assert services[0].status("create_order-1/reserve_inventory") == "released"


def test_a_refund_that_overtakes_its_charge_forbids_it():
    """The undo of a key that has had no effect yet makes the late effect a declined one."""
    env = simpy.Environment()
    payment = rl.Payment().bind(env)

    def charge():
        yield env.timeout(5)
        with pytest.raises(rl.DeclinedError, match="told to undo k before"):
            yield from payment.charge(1, 5.0, "k")

    process = env.process(charge())
    run(env, payment.refund("k"))
    env.run(process)
    assert payment.status("k") == "none"


def test_doubt_of_an_early_attempt_survives_a_later_clear_refusal():
    """The first attempt timed out, the second was refused: the step may still take effect, so it is undone."""
    env, undone = simpy.Environment(), []
    attempts = []

    def charge(context):
        attempts.append(env.now)
        if len(attempts) == 1:
            yield env.timeout(10)
        yield env.timeout(0.1)
        raise rl.ServiceError("no")

    def refund(context):
        yield env.timeout(0.1)
        undone.append(context.key)

    policy = rl.ResiliencePolicy(rl.Retry(1, initial_delay=0.1, jitter="none"), rl.Timeout(1.0))
    result = run(env, rl.Saga(rl.SagaStep("pay", charge, refund, policy=policy)).bind(env).execute())
    assert result.cause == "service_error"
    assert undone == ["saga-1/pay"]


def test_a_call_that_was_never_sent_leaves_no_doubt():
    """An open circuit breaker refuses before the service could do anything."""
    env, undone = simpy.Environment(), []

    def charge(context):
        yield env.timeout(0.1)
        raise rl.ServiceError("no")

    def refund(context):
        yield env.timeout(0.1)
        undone.append(context.saga_id)

    breaker = rl.CircuitBreaker(failure_threshold=1, volume_threshold=1, timeout=100.0)
    saga = rl.Saga(rl.SagaStep("pay", charge, refund, policy=breaker)).bind(env)
    causes = [run(env, saga.execute()).cause for _ in range(3)]
    assert causes == ["service_error", "circuit_open", "circuit_open"]
    assert undone == []


def test_every_failed_step_can_be_declared_doubtful():
    """With doubtful_errors=Exception each failure adds the compensation of the failed step."""
    env, trace = simpy.Environment(), []
    step = rl.SagaStep("a", recording(env, trace, "a", error=ValueError("no")), recording(env, trace, "undo a"))
    result = run(env, rl.Saga(step, doubtful_errors=Exception).bind(env).execute())
    assert result.compensated == ("a",)


def test_a_last_step_without_compensation_gets_stuck_only_when_in_doubt():
    """A time limit in the last step leaves something that nothing can undo, and the result says so."""
    env = simpy.Environment()
    step = rl.SagaStep("send", recording(env, [], "send", seconds=5), None, timeout=1.0)
    result = run(env, rl.Saga(step).bind(env).execute())
    assert result.failed_compensations == (("send", "send is in doubt, and nothing can undo it"),)


def test_a_step_without_compensation_in_the_middle_is_refused():
    """What cannot be undone must come last; a step that changes nothing says so."""
    env = simpy.Environment()
    last = rl.SagaStep("b", recording(env, [], "b"), None)
    with pytest.raises(ValueError, match=r"compensate of step 'a' must be a generator function, got None"):
        rl.Saga(rl.SagaStep("a", recording(env, [], "a"), None), last)
    saga = rl.Saga(rl.SagaStep("a", recording(env, [], "a"), rl.nothing_to_undo), last)
    assert run(env, saga.bind(env).execute()).success


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda f: rl.Saga(), ValueError, "steps must not be empty"),
        (lambda f: rl.Saga("a"), TypeError, "steps must be a SagaStep"),
        (lambda f: rl.Saga(rl.SagaStep("a", f, f), rl.SagaStep("a", f, f)), ValueError, "different names"),
        (lambda f: rl.SagaStep("a", None, f), TypeError, "execute of step 'a' must be a generator function"),
        (lambda f: rl.SagaStep("a", f, 3), TypeError, "compensate of step 'a' must be a generator function"),
        (lambda f: rl.SagaStep("a", f, f, timeout=0), ValueError, "timeout must be > 0"),
        (lambda f: rl.SagaStep("a", f, f, policy=3), TypeError, "policy must be a Policy"),
        (lambda f: rl.Participant("p", decline_rate=2), ValueError, "decline_rate must be from 0 to 1"),
        (lambda f: rl.SagaLog(write_time=float("nan")), ValueError, "write_time must not be NaN"),
    ],
)
def test_impossible_values_are_refused(make, error, message):
    """Name, rule, value."""
    with pytest.raises(error, match=message):
        make(lambda context: None)


def test_a_plain_function_as_step_is_a_mistake_of_the_model():
    """It is not taken for a failed step, which would be compensated in silence."""
    env = simpy.Environment()
    saga = rl.Saga(rl.SagaStep("a", lambda context: 3, rl.nothing_to_undo)).bind(env)
    with pytest.raises(rl.NotAGeneratorError, match="execute needs a generator function"):
        run(env, saga.execute())


def test_the_context_must_fit_into_the_log():
    """What JSON cannot hold would be lost in a crash."""
    env = simpy.Environment()

    def step(context):
        yield env.timeout(1)
        context.thing = object()

    with pytest.raises(TypeError, match="context of saga-1 must hold values that JSON can hold"):
        run(env, rl.Saga(rl.SagaStep("a", step, None)).bind(env).execute())


def test_context_fields_come_from_the_command_and_from_the_steps():
    """A missing field and a reserved name have clear errors."""

    @dataclass
    class Command:
        order_id: int

    env, seen = simpy.Environment(), []

    def step(context):
        yield env.timeout(1)
        context.payment_id = f"pay-{context.order_id}"
        seen.append(context.key)
        with pytest.raises(AttributeError, match="no field 'nope'"):
            _ = context.nope
        with pytest.raises(AttributeError, match="key of a saga context belongs to the saga"):
            context.key = "x"

    result = run(env, rl.Saga(rl.SagaStep("a", step, None)).bind(env).execute(Command(7)))
    assert result.context == {"order_id": 7, "payment_id": "pay-7"}
    assert seen == ["saga-1/a"]


def test_the_same_saga_id_is_executed_once():
    """A second execute returns the recorded result; while it runs it is refused."""
    env, trace = simpy.Environment(), []
    saga = rl.Saga(rl.SagaStep("a", recording(env, trace, "a"), None)).bind(env)
    first = env.process(saga.execute(saga_id="x"))
    env.run(until=0.5)
    with pytest.raises(RuntimeError, match="saga 'x' is running already"):
        run(env, saga.execute(saga_id="x"))
    assert env.run(first) == run(env, saga.execute(saga_id="x"))
    assert len(trace) == 1
    with pytest.raises(KeyError, match="no saga 'y'"):
        run(env, saga.resume("y"))


def test_the_reference_create_order_saga_line_by_line():
    """The snippet of the reference, translated; the card is refused and the reservation goes back."""
    env = simpy.Environment()
    inventory, payment, order_repo = (
        rl.Inventory().bind(env),
        rl.Payment(decline_rate=1.0).bind(env),
        rl.OrderRepository().bind(env),
    )

    def reserve_inventory(ctx):
        ctx.reservation_id = yield from inventory.reserve(ctx.items, ctx.key)

    def cancel_reservation(ctx):
        yield from inventory.cancel_reservation(ctx.reservation_id)

    def process_payment(ctx):
        ctx.payment_id = yield from payment.charge(ctx.customer_id, ctx.total, ctx.key)

    def refund(ctx):
        yield from payment.refund(ctx.payment_id)

    def confirm_order(ctx):
        yield from order_repo.confirm(ctx.order_id)

    def cancel_order(ctx):
        yield from order_repo.cancel(ctx.order_id)

    saga = rl.Saga(
        rl.SagaStep("reserve_inventory", execute=reserve_inventory, compensate=cancel_reservation),
        rl.SagaStep("process_payment", execute=process_payment, compensate=refund),
        rl.SagaStep("confirm_order", execute=confirm_order, compensate=cancel_order),
    ).bind(env)
    command = {"order_id": 1, "customer_id": 7, "items": ["book"], "total": 9.5}
    result = run(env, saga.execute(command))
    assert not result.success
    assert result.error == "payment declined saga-1/process_payment"
    assert inventory.frame().status.tolist() == ["released"]
    assert payment.frame().status.tolist() == ["declined"]
    assert order_repo.frame().empty


def test_frames_of_steps_and_log():
    """Steps, their times and outcomes, and every entry of the log are one call away."""
    env, trace = simpy.Environment(), []
    steps = (
        rl.SagaStep("a", recording(env, trace, "a"), recording(env, trace, "undo a")),
        rl.SagaStep("b", recording(env, trace, "b", error=rl.ServiceError("no")), None),
    )
    saga = rl.Saga(*steps).bind(env, saga_log=rl.SagaLog(write_time=0.5).bind(env))
    run(env, saga.execute())
    frame = saga.frame()
    assert frame[["step", "kind", "start", "end", "outcome"]].values.tolist() == [
        ["a", "execute", 0.5, 1.5, "success"],
        ["b", "execute", 2.0, 3.0, "failure"],
        ["a", "compensate", 3.5, 4.5, "success"],
    ]
    log = saga.saga_log.to_frame()
    assert log.type.tolist() == ["started", "completed", "compensating", "compensated", "ended"]
    assert log.time.tolist() == [0.5, 2.0, 3.5, 5.0, 5.5]


CASES = {
    "S1-a": ([0.99] * 4, None, 1, (0.9606, 0.039404, 0.0, 0.058611, 3.9404)),
    "S1-b": ([0.95] * 5, None, 1, (0.77378, 0.22622, 0.0, 0.42926, 4.5244)),
    "S1-c": ([0.9, 0.95, 0.99], [0.9] * 3, 1, (0.84645, 0.14743, 0.0061245, 0.0621, 2.755)),
    "S1-d": ([0.9, 0.95, 0.99], [0.9] * 3, 3, (0.84645, 0.15349, 6.21e-05, 0.0621, 2.755)),
    "S1-e": ([0.9, 0.95, 0.99], [0.9] * 3, None, (0.84645, 0.15355, 0.0, 0.0621, 2.755)),
}


@pytest.mark.parametrize("name", CASES)
def test_theory_of_sagas(name):
    """The formula gives the known values, to their last digit."""
    success, compensation, tries, values = CASES[name]
    assert list(expected_saga(success, compensation, tries).values()) == pytest.approx(values, rel=5e-4, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_all_ways_a_saga_can_go_add_up_to_theory(name):
    """Every combination of luck is played once and weighted by its probability: no noise, exact values."""
    success, compensation, tries, _values = CASES[name]
    expected = expected_saga(success, compensation, tries)
    undo = compensation or [1.0] * len(success)
    limit = 6 if tries is None else tries
    totals = np.zeros(5)
    for steps in itertools.product([True, False], repeat=len(success)):
        chance = math.prod(p if works else 1 - p for p, works in zip(success, steps, strict=True))
        failed = steps.index(False) if False in steps else 0
        for failures in itertools.product(range(limit + 1), repeat=failed if compensation else 0):
            weight = chance * math.prod(ways(q, n, limit) for q, n in zip(undo, failures, strict=False))
            totals += weight * np.array(play(steps, failures, tries))
    assert totals == pytest.approx(list(expected.values()), rel=1e-4 if tries is None else 1e-9, abs=1e-9)


def ways(chance: float, failures: int, limit: int) -> float:
    """The probability that a compensation fails this often before it works, or to its limit."""
    return (1 - chance) ** failures * (1.0 if failures == limit else chance)


def play(steps, failures, tries):
    """Run one saga whose luck is given: does a step work, how often does its compensation fail."""
    env = simpy.Environment()

    def chance(works):
        def act(context):
            yield from ()
            if not works():
                raise rl.ServiceError("no")

        return act

    def undo(index):
        left = [failures[index]] if index < len(failures) else [0]

        def works():
            left[0] -= 1
            return left[0] < 0

        return chance(works)

    policy = rl.Retry(None if tries is None else tries - 1, initial_delay=0.1, jitter="none")
    made = [rl.SagaStep(f"{i}", chance(lambda works=works: works), undo(i)) for i, works in enumerate(steps)]
    saga = rl.Saga(*made, compensation_policy=policy).bind(env)
    status = run(env, saga.execute()).status
    kinds = [row[3] for row in saga.rows]
    words = ("committed", "compensated", "stuck")
    return *(status == word for word in words), kinds.count("compensate"), kinds.count("execute")


def test_a_step_that_was_under_way_at_a_crash_is_in_doubt():
    """The charge of the dead orchestrator takes effect late, the one of its successor fails: no money is kept."""
    env, calls = simpy.Environment(), []

    def serve():
        calls.append(env.now)
        number = len(calls)
        yield env.timeout(2.0 if number == 1 else 0.1)
        if number == 2:
            raise rl.ServiceError("no")

    payment = rl.Payment().bind(env, serve)
    services = rl.Inventory().bind(env), payment, rl.OrderRepository().bind(env)
    saga = rl.CreateOrderSaga(*services).bind(env)
    command = {"order_id": 1, "customer_id": 1, "items": [1], "total": 5.0}
    process = env.process(saga.execute(command, "x"))
    env.run(until=1)
    rl.crash(process)
    (result,) = run(env, saga.recover())
    env.run()
    assert len(calls) == 3
    assert result.compensated == ("process_payment", "reserve_inventory")
    assert payment.status("x/process_payment") == "none"


def test_sagas_that_start_together_have_different_names():
    """A log that takes time to write does not know those that were named just before."""
    env = simpy.Environment()
    step = rl.SagaStep("step", recording(env, [], "step"), recording(env, [], "undo"))
    saga = rl.Saga(step).bind(env, saga_log=rl.SagaLog(write_time=0.5).bind(env))
    processes = [env.process(saga.execute({"order_id": number})) for number in range(3)]
    env.run()
    assert [process.value.saga_id for process in processes] == ["saga-1", "saga-2", "saga-3"]
