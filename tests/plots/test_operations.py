"""Pictures of requests of several kinds."""

from __future__ import annotations

import numpy as np
import pytest

import resilab as rl


@pytest.fixture(scope="module")
def result():
    """Two kinds that share 20 places, the second five times as slow as the first."""
    parts = []
    for name, seconds in (("search", 1.0), ("report", 5.0)):
        service = rl.Service(1000, rl.Exponential(seconds), name=f"{name} service")
        parts.append(rl.Operation(name, rl.Poisson(6), service))
    scenario = rl.Scenario(policy=rl.Bulkhead(20, max_queue=0), duration=300.0, operations=tuple(parts))
    return rl.simulate(scenario, seed=1)


def test_places_are_stacked_up_to_the_limit(result):
    """One area on the other; the highest is near the 20 places, and no higher."""
    ax = rl.plots.places_held(result, places=20)
    labels = sorted(ax.get_legend_handles_labels()[1])
    assert labels == ["all 20 places", "report service", "search service"]
    lower, upper = (patch.get_data() for patch in ax.patches[:2])
    np.testing.assert_allclose(upper.baseline, lower.values)
    assert 18 < upper.values[5:].mean() <= upper.values.max() <= 20
    assert ax.get_ylabel() == "places held"


def test_share_refused_is_that_of_the_rows(result):
    """Over all steps, weighted by arrivals, it is the share in the frame."""
    ax = rl.plots.refused_by_operation(result)
    for patch, kind in zip(ax.patches, ("search", "report"), strict=True):
        rows = result.requests[result.requests["operation"] == kind]
        edges = patch.get_data().edges
        arrived = np.histogram(rows["arrival"], edges)[0]
        share = (rows["outcome"] == "rejected").mean()
        assert (patch.get_data().values * arrived).sum() / arrived.sum() == pytest.approx(share)


def test_overview_has_both_and_keeps_the_baseline_grey(result):
    """Two panels; the kept run adds a line for each kind, and no entry to the legend."""
    figure = rl.plots.operations_overview(result, places=20, baseline=result)
    left, right = figure.axes
    assert len(right.patches) == 4
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["search", "report"]
    assert left.get_xlabel() == "time (s)"
