"""Pictures of communication show the numbers of the run."""

from __future__ import annotations

import numpy as np
import pytest

import resilab as rl
from resilab.plots.stage import Stage


def tiers(failure_rate):
    retry = rl.Retry(max_retries=1, initial_delay=0.01)
    services = [rl.Service(50, 0.01, name=name) for name in ("api", "orders", "inventory")]
    services[-1] = services[-1].replace(failure_rate=failure_rate)
    scenario = rl.Scenario(rl.Steady(20), rl.chain(*services, policy=retry), policy=retry, duration=5.0)
    return rl.simulate(scenario, 1)


def messages(**group):
    consumers = rl.Consumers(count=3, handling_time=0.05, crash_rate=0.05, **group)
    return rl.simulate(
        rl.MessagingScenario(rl.Poisson(20), rl.MessageBroker(ack_deadline=1), consumers, duration=5.0), 1
    )


def test_the_bars_of_a_call_tree_say_how_many_calls_a_request_causes():
    ax = rl.plots.calls_by_tier(tiers(1.0), baseline=tiers(0.0))
    assert [text.get_text().strip() for text in ax.texts] == ["2", "4", "8"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["api", "orders", "inventory"]


def test_a_trace_has_one_bar_a_call():
    result = tiers(1.0)
    ax = rl.plots.request_trace(result, 0)
    assert sum(patch.get_alpha() is None for patch in ax.patches) == 14
    assert ax.get_ylabel() == "14 calls"
    with pytest.raises(ValueError, match="request_id must be"):
        rl.plots.request_trace(result, 10**6)


def test_the_fates_of_events_add_up():
    result = messages(idempotent=True)
    ax = rl.plots.message_fates(result)
    assert [text.get_text().strip() for text in ax.texts] == [str(len(result)), "0", "0", "0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overview", "runs"),
    [
        (rl.plots.tiers_overview, lambda: (tiers(0.2), tiers(0.5))),
        (rl.plots.messaging_overview, lambda: (messages(), messages(idempotent=True))),
    ],
)
def test_an_overview_is_drawn_again_on_a_stage_and_shows_a_baseline(overview, runs):
    one, two = runs()
    stage = Stage(8, 5, 40)
    first = stage.render(lambda figure: overview(one, figure))
    other = stage.render(lambda figure: overview(two, figure, baseline=one))
    assert len(stage.axes) == 4
    assert first != other
    assert len(overview(one).axes) == 4


def test_the_lag_of_each_group_has_a_line():
    groups = (rl.Consumers(name="mail"), rl.Consumers(name="search", handling_time=0.2))
    result = rl.simulate(rl.MessagingScenario(rl.Poisson(20), consumers=groups, duration=5.0), 1)
    ax = rl.plots.message_lag(result)
    labels = [artist.get_label() for artist in [*ax.lines, *ax.artists] if not artist.get_label().startswith("_")]
    assert labels == ["mail", "search"]
    assert np.ptp(ax.get_ylim()) > result.lag("search")[1].max()


def test_faults_of_one_window_are_named_below_one_another():
    """Two faults at the same time have one text with a line each, so that neither is written over the other."""
    ax = rl.plots.picture()[1]
    together = rl.Slowdown(start=1, duration=2, factor=3), rl.Errors(start=1, duration=2, rate=0.5)
    rl.plots.mark_faults(ax, (*together, rl.Errors(start=5, duration=2, rate=0.1)), names=True)
    assert [text.get_text() for text in ax.texts] == ["3 x slower\n50% errors", "10% errors"]
