"""The two tables, and the scorecard that measures each of their rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import resilab as rl
from resilab.lab.records import DEGRADED, SUCCESS
from resilab.selection.case import Case, Number, SuccessRate, most_in_flight, most_in_service
from resilab.selection.cases import all_cases

PATTERNS = {
    "Circuit Breaker": ("Cascading failures", "May reject valid requests"),
    "Retry + Backoff": ("Transient failures", "Increased latency"),
    "Bulkhead": ("Resource exhaustion", "Limited throughput"),
    "Timeout": ("Hanging requests", "May cut valid operations"),
    "Fallback": ("Complete failure", "Degraded functionality"),
}
SCENARIOS = {
    "External service calls": "Circuit Breaker + Retry",
    "Database connections": "Connection pooling + Timeout",
    "Critical vs non-critical ops": "Bulkhead isolation",
    "Uncertain latency operations": "Timeout",
    "Acceptable degradation": "Fallback",
    "Distributed transactions": "Saga",
    "Message reliability": "Outbox",
}


@pytest.fixture(scope="module")
def card():
    """The scorecard of a few replications."""
    return rl.scorecard(replications=8, seed=7, n_jobs=1, progress=False)


def test_pattern_table_is_that_of_the_reference():
    """Row by row, with a class and a notebook."""
    frame = rl.pattern_table()
    rows = zip(frame["pattern"], frame["protection_against"], frame["trade_off"], strict=True)
    assert {pattern: (against, price) for pattern, against, price in rows} == PATTERNS
    assert list(frame.columns) == ["pattern", "protection_against", "trade_off", "class", "notebook"]


def test_when_to_use_is_that_of_the_reference():
    """Row by row, with classes and a notebook."""
    frame = rl.when_to_use()
    assert dict(zip(frame["scenario"], frame["recommended_pattern"], strict=True)) == SCENARIOS
    assert list(frame.columns) == ["scenario", "recommended_pattern", "class", "notebook"]


def test_every_class_of_the_tables_exists():
    """The names are those of the package."""
    for frame in (rl.pattern_table(), rl.when_to_use()):
        for names in frame["class"]:
            for name in names.split(", "):
                assert hasattr(rl, name), name


def test_every_notebook_of_the_tables_exists():
    """The links lead somewhere."""
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    for frame in (rl.pattern_table(), rl.when_to_use()):
        assert [name for name in frame["notebook"] if not (folder / name).is_file()] == []


def test_every_row_of_both_tables_is_measured_on_both_days():
    """A protection and a price for each of the twelve rows, in the order of the tables."""
    cases = all_cases()
    for table, rows in (("pattern_table", PATTERNS), ("when_to_use", SCENARIOS)):
        found = [(case.row, case.side) for case in cases if case.table == table]
        assert found == [(row, side) for row in rows for side in ("protection", "price")]
    for case in cases:
        if case.table == "pattern_table":
            assert case.claim == PATTERNS[case.row][case.side == "price"]


@pytest.mark.slow
def test_every_pattern_protects_and_costs(card):
    """The claims of both tables hold: each interval excludes 0, on the right side."""
    wrong = card[card["verdict"] != card["side"].map({"protection": "protects", "price": "costs"})]
    assert wrong[["row", "side", "difference_low", "difference_high"]].to_numpy().tolist() == []
    assert len(card) == 24
    assert (card["replications"] == 8).all()
    assert np.allclose(card["difference"], card["with_pattern"] - card["without"])


@pytest.mark.slow
def test_the_card_is_a_comparison_seed_by_seed(card):
    """One row of it is what `compare` says of the same two scenarios."""
    case = all_cases()[2]
    frame = rl.compare(
        {"a": case.without, "b": case.with_pattern}, replications=8, seed=7, metrics="success_rate", n_jobs=1
    )
    mine = card.loc[2, ["without", "with_pattern", "difference_low", "difference_high"]].astype(float)
    assert mine.tolist() == pytest.approx(
        frame.loc[0, ["baseline", "mean", "difference_low", "difference_high"]].astype(float).tolist()
    )


def test_a_pattern_is_the_only_difference_between_the_two_runs():
    """With and without meet the same arrivals."""
    for case in all_cases():
        if isinstance(case.without, rl.Scenario):
            assert case.without.replace(policy=case.with_pattern.policy, operations=case.with_pattern.operations) == (
                case.with_pattern
            )


def day(failure_rate=0.0):
    """Return a small scenario."""
    return rl.Scenario(rl.Poisson(20), rl.Service(10, 0.1, failure_rate=failure_rate), duration=20.0)


def card_of(without, with_pattern, measure, better="higher", side="protection"):
    """Return the only row of a card."""
    case = Case(
        "pattern_table", "row", "pattern", side, "claim", "metric", "%", better, without, with_pattern, measure, "day"
    )
    return rl.scorecard(replications=3, cases=(case,), n_jobs=1).loc[0]


@pytest.mark.parametrize(
    ("better", "side", "verdict"),
    [
        ("higher", "protection", "protects"),
        ("lower", "protection", "harms"),
        ("lower", "price", "costs"),
        ("higher", "price", "gains"),
    ],
)
def test_verdicts_say_which_side_of_zero(better, side, verdict):
    """A rise is good or bad, on a bad day or on a healthy one."""
    retry = rl.Retry(max_retries=5, initial_delay=0.0)
    row = card_of(day(0.3), day(0.3).replace(policy=retry), Number("success_rate"), better, side)
    assert row["verdict"] == verdict
    assert row["without"] == pytest.approx(0.7, abs=0.05)
    assert row["with_pattern"] > 0.99


def test_what_changes_nothing_is_not_seen():
    """A scenario against itself differs by exactly 0."""
    row = card_of(day(0.1), day(0.1), Number("success_rate"))
    assert (row["difference"], row["difference_low"], row["difference_high"], row["verdict"]) == (0, 0, 0, "not seen")


def test_measures_count_what_they_say():
    """Success of an operation in a stretch of time, answers of any kind, most in flight, most inside."""
    result = rl.simulate(day(0.2).replace(policy=rl.Fallback("page"), duration=50.0), seed=3)
    outcome, arrival = result.columns["outcome"], result.columns["arrival"]
    assert SuccessRate()(result) == (outcome == SUCCESS).mean()
    assert SuccessRate(start=10, end=20)(result) == (outcome[(arrival >= 10) & (arrival < 20)] == SUCCESS).mean()
    assert SuccessRate(counts_degraded=True)(result) == 1.0
    assert (outcome == DEGRADED).any()
    assert most_in_flight(result) == result.timeline("in_flight").max()
    assert most_in_service(result) == most_in_flight(result)


def of_row(row):
    return {case.side: case for case in all_cases() if case.row == row}


@pytest.mark.slow
def test_orders_without_a_saga_stay_half_done_as_often_as_payments_are_declined():
    """The reservation of a declined order is held for ever; the saga gives it back."""
    case = of_row("Distributed transactions")["protection"]
    plain, saga = rl.simulate(case.without, 1), rl.simulate(case.with_pattern, 1)
    assert case.measure(plain) == pytest.approx(0.1, abs=4.5 * (0.09 / len(plain)) ** 0.5)
    assert case.measure(saga) == 0
    assert plain.counts()["success"] == saga.counts()["success"]
    price = of_row("Distributed transactions")["price"]
    assert price.measure(rl.simulate(price.without, 1)) == pytest.approx(0.15, abs=0.01)


def test_without_an_outbox_the_outage_of_the_broker_loses_its_messages():
    """As many as orders in the outage; with an outbox none, and on a quiet day they wait half a poll."""
    case = of_row("Message reliability")["protection"]
    assert case.measure(rl.simulate(case.without, 1)) == pytest.approx(0.25, abs=0.1)
    assert case.measure(rl.simulate(case.with_pattern, 1)) == 0
    price = of_row("Message reliability")["price"]
    assert price.measure(rl.simulate(price.without, 1)) == pytest.approx(0.01)
    assert price.measure(rl.simulate(price.with_pattern, 1)) == pytest.approx(0.6, abs=0.1)


def test_bad_input_is_refused():
    """Name, rule, value."""
    with pytest.raises(ValueError, match="replications must be >= 2, got 1"):
        rl.scorecard(replications=1)
    with pytest.raises(ValueError, match="side must be one of 'protection', 'price', got 'gain'"):
        all_cases()[0].replace(side="gain")
