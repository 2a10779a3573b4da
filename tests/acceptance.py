"""When a simulated number agrees with an exact one, and when the test has the power to say so."""

import math

import numpy as np

import resilab as rl
from resilab.lab.records import OUTCOMES

REPLICATIONS = 20


def accept(values, exact, *, relative=0.05, absolute=0.002):
    """Assert that the mean over replications agrees with *exact*, and that a wrong one would not.

    The mean may be off by 4.5 standard errors (t with 19 degrees of freedom: one false
    alarm in 4,000), and these may be at most 5 % of the value or 0.002.
    """
    values = np.asarray(values, dtype=float)
    margin = 4.5 * values.std(ddof=1) / math.sqrt(len(values))
    assert margin <= max(relative * abs(exact), absolute), f"no power: {margin:.2g} around {exact:.4g}"
    assert abs(values.mean() - exact) <= margin + 1e-12, f"{values.mean():.5g} +- {margin:.2g}, exact {exact:.5g}"


def replications(scenario, measure, *, first_seed=1000, count=REPLICATIONS, record=True):
    """Play *scenario* under different seeds; return an array of what *measure* says of each."""
    return np.array([measure(rl.simulate(scenario, first_seed + k, record=record)) for k in range(count)])


def shares(result):
    """Return the shares of the outcomes among the requests without the first tenth."""
    outcome = result.columns["outcome"][len(result) // 10 :]
    return np.bincount(outcome, minlength=len(OUTCOMES)) / len(outcome)


class Sent:
    """The attempts of a run without the first tenth, as arrays."""

    def __init__(self, result):
        rows = result.attempts_array()
        rows = rows[len(rows) // 10 :]
        self.start, self.end = rows["start"], rows["end"]
        self.is_success = rows["outcome"] == 0
        self.queue_time = rows["work_start"] - rows["start"]
        self.service_time = rows["work_end"] - rows["work_start"]
        self.span = self.start[-1] - self.start[0]
