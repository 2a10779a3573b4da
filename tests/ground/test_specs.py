"""Every value that configures something: it is a value, and it refuses what is impossible."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import math
import pickle
import pkgutil
from collections.abc import Callable, Collection
from numbers import Real
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab.lab.tiers import Downstream
from resilab.validation import Spec, rules_of
from resilab.worlds.fleet import Fleet


def all_specs() -> list[type[Spec]]:
    """Return every class of the package that derives from Spec, some left out."""
    for module in pkgutil.walk_packages(rl.__path__, "resilab."):
        importlib.import_module(module.name)
    found: dict[str, type[Spec]] = {}
    todo: list[type] = [Spec]
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            if kind.__module__.startswith("resilab.") and not kind.__name__.startswith("_"):
                found[kind.__name__] = kind
    return [found[name] for name in sorted(found) if name not in LEFT_OUT]


LEFT_OUT = {
    *("Distribution", "Policy", "Workload", "World"),  # bases without fields
    "Response",  # the answer to a call
    *("Job", "Measures", "Case", "Number", "SuccessRate", "Score", "ComesBack"),  # values that no user makes
    "CreateOrderSaga",  # holds live services
}
LISTS_OF_THEIR_OWN = {"Fallback.levels", "Service.faults", "Tier.faults", "Trace.bad_rows"}
"""Fields that are given one by one, or whose errors say it otherwise."""
HOLD_FUNCTIONS = {"HealthCheck", "Saga", "SagaStep"}
"""Specs of work that the user writes: their text names a function, with its address."""


def step() -> Any:
    """Stand for the work of a step or a check."""
    yield


SERVICE = rl.Service(workers=2, latency=0.1)
EXAMPLES: dict[str, dict[str, Any]] = {
    "Bulkhead": {"max_concurrent": 3, "max_queue": 2, "max_wait": 0.5},
    "CapacityLoss": {"start": 1.0, "duration": 2.0},
    "ClosedLoop": {"users": 3, "think_time": 1.0},
    "SLO": {"within": 0.8},
    "Range": {"low": 0.1, "high": 2.0},
    "Cost": {"incidents": 2.0, "lost_request": 1.0},
    "ConnectionPool": {"max_size": 3, "acquire_timeout": 1.0, "idle_timeout": 5.0, "max_lifetime": 60.0},
    "Constant": {"value": 1.0},
    "CountWindow": {"size": 10},
    "Dependency": {"service": SERVICE},
    "Downstream": {"service": SERVICE},
    "Empirical": {"values": (0.1, 0.2)},
    "Errors": {"start": 1.0, "duration": 2.0},
    "Exponential": {"mean": 1.0},
    "Fault": {"start": 1.0, "duration": 2.0},
    "Fleet": {"replicas": 2, "workers": 3, "latency": 0.1},
    "FleetScenario": {
        "workload": rl.Steady(rate=1),
        "fleet": Fleet(replicas=2, workers=3, latency=0.1),
        "duration": 5.0,
    },
    "Gamma": {"mean": 1.0, "cv": 0.5},
    "HealthCheck": {"name": "database", "check": step},
    "Hedge": {"delay": 0.1},
    "LogNormal": {"median": 1.0, "sigma": 0.5},
    "MessagingScenario": {"workload": rl.Steady(rate=1), "duration": 5.0},
    "Operation": {"name": "read", "workload": rl.Steady(rate=1), "service": SERVICE},
    "Outage": {"start": 1.0, "duration": 2.0},
    "Pareto": {"minimum": 1.0, "alpha": 2.0},
    "Participant": {"name": "payment"},
    "Poisson": {"rate": 5.0},
    "RateLimiter": {"permits": 5},
    "Replay": {"times": (0.0, 1.0)},
    "ReplicaFault": {"start": 1.0, "duration": 2.0},
    "ResilientService": {"database": rl.Bulkhead(3)},
    "SagaStep": {"name": "pay", "execute": step, "compensate": step},
    "Scenario": {"workload": rl.Steady(rate=1), "service": SERVICE, "duration": 5.0},
    "Schedule": {"steps": ((0, 5.0), (10, 2.0))},
    "Service": {"workers": 2, "latency": 0.1, "queue_limit": 5, "failure_latency": 0.2},
    "Slider": {"low": 0.0, "high": 1.0, "step": 0.1, "value": 0.5},
    "Slowdown": {"start": 1.0, "duration": 2.0},
    "Steady": {"rate": 5.0},
    "Tier": {"workers": 2, "name": "api", "latency": 0.1, "calls": (Downstream(SERVICE),)},
    "TimeWindow": {"seconds": 10.0},
    "Timeout": {"seconds": 1.0},
    "Trace": {"start": (0.0, 1.0), "duration": (0.1, 0.2), "failed": (True, False)},
    "Uniform": {"low": 1.0, "high": 2.0},
}
POSITIONAL: dict[str, tuple[Any, ...]] = {
    "Fallback": ("cached page",),
    "Mixture": ((0.9, rl.Constant(0.1)), (0.1, rl.Exponential(mean=1.0))),
    "Saga": (rl.SagaStep("pay", step, step),),
    "ResiliencePolicy": (rl.Retry(), rl.Timeout(1.0)),
}


def example(kind: type[Spec]) -> Any:
    """Return a valid value of that class."""
    return kind(*POSITIONAL.get(kind.__name__, ()), **EXAMPLES.get(kind.__name__, {}))


def has_example(kind: type[Spec]) -> bool:
    try:
        example(kind)
    except (TypeError, ValueError):
        return False
    return True


SPECS = [kind for kind in all_specs() if has_example(kind)]


def test_every_spec_has_an_example():
    """A new class is added to EXAMPLES above, with values for the fields that have no default."""
    assert [kind.__name__ for kind in all_specs() if not has_example(kind)] == []


def of_each(*others: str) -> Any:
    return pytest.mark.parametrize(
        "kind", [kind for kind in SPECS if kind.__name__ not in others], ids=lambda k: k.__name__
    )


@of_each()
def test_a_spec_is_a_value(kind):
    """It hashes, compares, copies, pickles and prints."""
    value = example(kind)
    for same in (example(kind), copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == value
        assert hash(same) == hash(value)
        assert repr(same) == repr(value)
    assert value != object()
    assert " at 0x" not in repr(value) or kind.__name__ in HOLD_FUNCTIONS


@of_each()
def test_a_spec_is_frozen(kind):
    value = example(kind)
    assert kind.__dataclass_params__.frozen
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


@of_each()
def test_replacing_a_field_by_itself_changes_nothing(kind):
    value = example(kind)
    assert value.replace() == value
    for field in dataclasses.fields(value):
        if field.init and not (isinstance(value, rl.ResilientService)):
            assert value.replace(**{field.name: getattr(value, field.name)}) == value


def test_copy_replace_is_replace():
    """`copy.replace`, of Python 3.13, calls this method; for those, too, whose parts are given one by one."""
    for value, changes in (
        (rl.Retry(), {"max_retries": 5}),
        (rl.Fallback("page", handled_errors=OSError), {"levels": ("other",)}),
        (rl.ResiliencePolicy(rl.Retry()), {"policies": (rl.Timeout(1.0),)}),
        (rl.ResilientService(cache=rl.Bulkhead(2)), {"cache": rl.Bulkhead(3)}),
        (rl.Mixture((1.0, rl.Constant(0.1))), {"parts": ((1.0, rl.Constant(0.2)),)}),
    ):
        assert value.__replace__(**changes) == value.replace(**changes) != value


@of_each("ResilientService")
def test_an_unknown_field_is_refused(kind):
    with pytest.raises((TypeError, KeyError, ValueError)):
        example(kind).replace(colour="green")


def fields_that(are_wanted: Callable[[dataclasses.Field[Any], Any], bool], but: Collection[str] = ()) -> list[Any]:
    """Return each field of a spec for which `are_wanted(field, value)` holds, as parameters of a test."""
    return [
        pytest.param(kind, field.name, id=name)
        for kind in SPECS
        for field in dataclasses.fields(kind)
        if (name := f"{kind.__name__}.{field.name}") not in but
        if are_wanted(field, getattr(example(kind), field.name))
    ]


def is_numeric(field: dataclasses.Field[Any], held: Any) -> bool:
    """Whether a field holds a number or a distribution, by value or by annotation."""
    is_number = isinstance(held, Real) and not isinstance(held, bool)
    is_optional = held is None and str(field.type) in ("float | None", "int | None")
    return is_number or is_optional or hasattr(held, "sample")


def is_part(field: dataclasses.Field[Any], held: Any) -> bool:
    """Whether a field holds another spec."""
    return isinstance(held, Spec) and not hasattr(held, "sample")


NO_NUMBER = [math.nan, "many", [], object(), b"1", 1j]


@pytest.mark.parametrize(("kind", "name"), fields_that(is_numeric))
def test_a_number_refuses_what_is_none(kind, name):
    """The message says name, rule and value."""
    for value in NO_NUMBER:
        with pytest.raises((TypeError, ValueError), match=rf"(?s){name}.* must .*(got|nan)"):
            example(kind).replace(**{name: value})


@pytest.mark.parametrize(("kind", "name"), fields_that(is_numeric))
@settings(max_examples=25)
@given(
    number=st.one_of(
        st.floats(),
        st.integers(),
        st.booleans(),
        st.sampled_from([math.inf, -math.inf, -1, 0, -0.0, 5e-324, 1e308, 10**400, -(10**400)]),
    )
)
def test_any_number_is_refused_in_words_or_makes_a_value(kind, name, number):
    """A refusal says what is wrong with which field; what is taken is a value like any other."""
    refusal = None
    try:
        value = example(kind).replace(**{name: number})
    except (TypeError, ValueError) as error:
        refusal = str(error)
    if refusal is not None:
        assert " must " in refusal
        return
    assert not (isinstance(number, float) and math.isnan(number))
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(value) == hash(value.replace())
    repr(value)


@pytest.mark.parametrize(("kind", "name"), fields_that(is_numeric))
def test_a_number_of_numpy_becomes_one_of_python(kind, name):
    """A spec prints the same whoever computed its numbers."""
    held = getattr(example(kind), name)
    if not isinstance(held, Real):
        return
    numpys = np.int64(held) if isinstance(held, int) else np.float64(held)
    value = example(kind).replace(**{name: numpys})
    assert value == example(kind)
    assert repr(value) == repr(example(kind))
    assert type(getattr(value, name)) in (int, float)


@pytest.mark.parametrize(("kind", "name"), fields_that(lambda field, _: str(field.type) == "bool"))
def test_a_truth_value_refuses_what_is_none(kind, name):
    """A word such as "no" would count as true."""
    for value in ("no", "", 1, 0.0, None, math.nan, [], np.array(True)):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got "):
            example(kind).replace(**{name: value})
    assert getattr(example(kind).replace(**{name: np.bool_(True)}), name) is True


@pytest.mark.parametrize(
    ("kind", "name"), fields_that(lambda field, _: str(field.type).startswith("tuple["), but=LISTS_OF_THEIR_OWN)
)
def test_a_list_refuses_what_is_none(kind, name):
    for value in (3.5, math.nan, object(), len, rl.Timeout(1.0)):
        with pytest.raises((TypeError, ValueError), match=rf"(?s){name}.* must "):
            example(kind).replace(**{name: value})


@pytest.mark.parametrize(("kind", "name"), fields_that(is_part))
def test_a_part_refuses_what_is_none(kind, name):
    for value in (object(), 3, "part", rl.Constant):
        with pytest.raises((TypeError, ValueError), match=rf"(?s){name}.* must "):
            example(kind).replace(**{name: value})


@pytest.mark.parametrize(("kind", "name"), fields_that(lambda field, _: str(field.type) == "str"))
def test_a_word_refuses_what_is_none(kind, name):
    for value in (3, None, object(), b"word", ["word"]):
        with pytest.raises((TypeError, ValueError), match=rf"(?s){name}.* must "):
            example(kind).replace(**{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.Poisson(rate=0), "rate must be > 0, got 0"),
        (lambda: rl.Steady(rate=-1), "rate must be > 0, got -1"),
        (lambda: rl.Schedule([(0, 0)]), "steps must have a rate > 0"),
        (lambda: rl.Schedule([(5, 1), (5, 2)]), "steps must be in order of start"),
        (lambda: rl.Replay(()), "times must not be empty"),
        (lambda: rl.Empirical(()), "values must not be empty"),
        (lambda: rl.Empirical((0.1, math.nan)), "values must be finite and >= 0, got nan"),
        (lambda: rl.Scenario(rl.Poisson(1), SERVICE, duration=0), "duration must be > 0, got 0"),
        (lambda: rl.Scenario(rl.Poisson(1), SERVICE), "duration must be"),
        (lambda: rl.ClosedLoop(users=1, think_time=0), "think_time must have a mean > 0"),
        (lambda: rl.Replay("12"), "times must be a list of numbers, got '12'"),
        (lambda: rl.Empirical(["0.1", "0.2"]), "values must be a list of numbers, got ['0.1', '0.2']"),
        (lambda: rl.Empirical([10**400]), "values must be a list of numbers"),
        (lambda: rl.Schedule([(0, 1, 2)]), "steps must be pairs (start, rate), got [(0, 1, 2)]"),
        (lambda: rl.Schedule([3]), "steps must be a list or a tuple, got 3"),
        (lambda: rl.Database({"orders": 3}), "columns must be a str, got 3"),
        (lambda: rl.Database(["orders"]), "tables must be a dict of name -> columns, got 'orders' in it"),
        (lambda: rl.MessageBroker(dead_letter_topic=3), "dead_letter_topic must be a str, got 3"),
        (lambda: rl.Backoff(kind=np.array(["list"])), "kind must be one of"),
        (
            lambda: rl.Backoff(jitter=lambda delay, draw: -delay),
            "the seconds returned by jitter must be >= 0, got -1.0",
        ),
        (
            lambda: rl.Backoff(jitter=lambda delay, draw: None),
            "the seconds returned by jitter must be a number, got None",
        ),
        (
            lambda: rl.Retry(jitter=lambda attempt, draw: None),
            "the seconds returned by jitter must be a number, got None",
        ),
        (lambda: rl.Retry(jitter=lambda attempt: 1.0), "jitter must be a function that takes 0, 0.5, got "),
        (lambda: rl.Backoff(jitter=len), "jitter must be a function that takes 1.0, 0.5, got "),
        (lambda: rl.CircuitBreaker(timeout=lambda number: "5 s"), "the seconds returned by timeout must be a number"),
        (lambda: rl.CircuitBreaker(timeout=len), "timeout must be a function that takes 1, got "),
        (lambda: rl.Gamma(mean=1.0, cv=1e-200), "cv must be from 1e-100 to 1e+100, got 1e-200"),
        (lambda: rl.LogNormal.from_mean(1.0, cv=1e200), "cv must be <= 1e154, got 1e+200"),
        (lambda: rl.Retry(max_retries=-1), "max_retries must be >= 0, got -1"),
        (lambda: rl.Retry(max_retries=1.5), "max_retries must be a whole number, got 1.5"),
        (lambda: rl.Retry(jitter="some"), "jitter must be one of"),
        (lambda: rl.Timeout(0), "seconds must be > 0, got 0"),
        (lambda: rl.Bulkhead(-1), "max_concurrent must be >= 0, got -1"),
        (lambda: rl.CircuitBreaker(failure_threshold=0), "failure_threshold must be >= 1, got 0"),
        (lambda: rl.Service(workers=0, latency=1), "workers must be >= 1, got 0"),
        (lambda: rl.Service(workers=1, latency=-1), "latency must be >= 0, got -1"),
        (lambda: rl.Service(workers=1, latency=1, failure_rate=1.1), "failure_rate must be from 0 to 1, got 1.1"),
        (lambda: rl.Service(workers=1, latency=1, discipline="random"), "discipline must be one of"),
        (lambda: rl.Outage(start=-1, duration=1), "start must be >= 0, got -1"),
        (lambda: rl.Outage(start=1, duration=1, mode="explode"), "mode must be one of"),
        (lambda: rl.Slowdown(start=1, duration=1, factor=0), "factor must be > 0, got 0"),
        (lambda: rl.Fallback(), "levels must not be empty"),
        (lambda: rl.Mixture((0.0, rl.Constant(1))), "weight must be > 0, got 0.0"),
    ],
)
def test_impossible_values_are_refused_with_name_rule_and_value(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert message in str(caught.value)


def test_a_saga_of_orders_refuses_what_is_impossible():
    """It holds live services, so that it is not among those above."""
    env = simpy.Environment()
    services = {"inventory": rl.Inventory(), "payment": rl.Payment(), "orders": rl.OrderRepository()}
    live = {name: spec.bind(env) for name, spec in services.items()}
    assert rl.CreateOrderSaga(**live) == rl.CreateOrderSaga(**live)
    for name, spec in services.items():
        with pytest.raises(TypeError, match=f"{name} must be a live service"):
            rl.CreateOrderSaga(**{**live, name: spec})
    for name, value in (("timeout", -1), ("timeout", math.nan), ("policy", 3), ("compensation_policy", "none")):
        with pytest.raises((TypeError, ValueError), match=f"{name} must "):
            rl.CreateOrderSaga(**live, **{name: value})


def test_every_field_of_every_spec_has_a_rule():
    """What a field allows stands with it; what has no rule of its own is named here."""
    free = {"Any", "Mapping[str, Any]", "Mapping[str, HealthStatus]", "Mapping[str, int]"}
    between = {  # checked by their own constructor, or together with other fields
        *("Fallback.levels", "Mixture.parts", "ResiliencePolicy.policies", "Saga.steps", "Schedule.steps"),
        *("Backoff.jitter", "ServiceClient.failures", "ServiceClient.retried", "Trace.bad_rows"),
    }
    missing = set()
    for kind in all_specs():
        hints = {field.name: str(field.type) for field in dataclasses.fields(kind)}
        without = [name for name in hints if name not in rules_of(kind) and hints[name] not in free]
        missing |= {f"{kind.__name__}.{name}" for name in without}
    assert missing == between
    assert rules_of(rl.Bulkhead)["max_wait"] == "a number >= 0, or infinity, or None"
