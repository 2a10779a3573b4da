"""Our policies do what the libraries do that people run: facts from the libraries' own tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resilab as rl
from resilab.resilience.backoff import Backoff

from .. import conformance as play

CASES = json.loads((Path(__file__).parents[1] / "data" / "conformance.json").read_text())


def cases(*kinds):
    """Return the cases of some kinds, as parameters."""
    return [pytest.param(case, id=f"{case['library']}-{case['id']}") for case in CASES if case["kind"] in kinds]


def agree(shown, wanted):
    """Check that everything *wanted* is shown."""
    for name, value in wanted.items():
        assert shown[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float | list) else value), name


@pytest.mark.parametrize("case", cases("circuit_breaker"))
def test_breakers_turn_as_those_of_the_libraries(case):
    breaker = play.BreakerPlay(case)
    for step in case["steps"]:
        breaker.step(step)
        agree(breaker.shown(), step.get("then", {}))
    agree(breaker.shown(), case["end"])


@pytest.mark.parametrize("case", [case for case in cases("retry") if "attempts" in case.values[0]])
def test_retries_try_as_those_of_the_libraries(case):
    agree(play.play_retry(case), case["end"])


@pytest.mark.parametrize("case", [case for case in cases("retry") if "attempts" not in case.values[0]])
def test_delays_follow_the_laws_of_the_libraries(case):
    wanted = case["end"]
    if "delays" in wanted:
        tolerance = 1e-4 if "seed" in case else 1e-9  # seeded facts are printed with four places
        assert play.delays(case, len(wanted["delays"])) == pytest.approx(wanted["delays"], rel=tolerance)
    for number, delay in wanted.get("delay_at", {}).items():
        assert play.delays(case, int(number))[-1] == pytest.approx(delay, abs=1e-9)
    if "bounds" in wanted:
        low, high = zip(*wanted["bounds"], strict=True)
        assert play.delays(case, len(low), [0.0]) == pytest.approx(low, abs=1e-9)
        assert play.delays(case, len(high), [1.0]) == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("case", cases("bulkhead"))
def test_bulkheads_admit_as_those_of_the_libraries(case):
    shown, wanted = play.play_bulkhead(case), dict(case["end"])
    for name, (outcome, waited) in wanted.pop("calls", {}).items():
        assert shown["calls"][name] == [outcome, pytest.approx(waited, abs=1e-9)], name
    assert {name: shown[name] for name in wanted} == wanted


@pytest.mark.parametrize("case", cases("timeout", "fallback", "composition"))
def test_compositions_end_as_those_of_the_libraries(case):
    agree(play.play_composition(case), case["end"])


@pytest.mark.parametrize("case", [case for case in cases("interaction") if "rows" not in case.values[0]])
def test_a_breaker_inside_a_retry_opens_after_as_many_calls(case):
    agree(play.play_interaction(case), case["end"])


@pytest.mark.parametrize("case", [case for case in cases("interaction") if "rows" in case.values[0]])
def test_all_attempts_of_a_retry_take_as_long(case):
    """Without a cap the delays add up to base (2^(n-1) - 1)."""
    for attempts, base, total in case["rows"]:
        assert sum(Backoff("exponential", base).delays_of(attempts - 1)) == pytest.approx(total)


def test_an_unknown_library_or_option_is_refused():
    with pytest.raises(ValueError, match="library must be one of"):
        rl.CircuitBreaker.like("guava")
    with pytest.raises(TypeError, match="sliding_window must be an option of resilience4j"):
        rl.CircuitBreaker.like("resilience4j", sliding_window=10)


@pytest.mark.parametrize("case", cases("rate_limiter"))
def test_rate_limiters_give_permits_as_those_of_the_libraries(case):
    for shown, step in zip(play.play_rate_limiter(case), case["steps"], strict=True):
        agree(shown, step["then"])


@pytest.mark.parametrize("case", cases("retry_budget"))
def test_retry_budgets_pay_as_those_of_the_libraries(case):
    for shown, step in zip(play.play_retry_budget(case), case["steps"], strict=True):
        agree(shown, step["then"])


@pytest.mark.parametrize("case", cases("adaptive_throttle"))
def test_an_adaptive_throttle_rejects_with_the_probability_of_the_book(case):
    throttle = rl.AdaptiveThrottle(**case["settings"])
    for step in case["steps"]:
        agree({"reject_probability": throttle.probability(step["requests"], step["accepts"])}, step["then"])


@pytest.mark.parametrize("case", cases("hedging"))
def test_hedges_race_as_those_of_the_libraries(case):
    agree(play.play_hedge(case), case["end"])
